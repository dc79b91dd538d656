"""The parts of a receipt's document that hold evidence: one module a part, which writes it and
reads it back.

A part is the module of its name.  The table of claims (``opg_magic/models/claims.py``) says which
claim brings which part; response, host and sealed serve several claims."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

from opg_magic.models import CLAIMS
from opg_magic.receipt.form import schema
from opg_magic.receipt.parts.interface import Judged, Part

#: Every part that holds evidence, in the order of the claims.
PART_NAMES: tuple[str, ...] = (
    "response",
    "host",
    "sealed",
    *(kind.part for kind in CLAIMS if kind.part),
)


def written(judged: Judged) -> dict[str, Any]:
    """Every part by its key.

    A part that the schema requires is null where there is no such evidence; a part that came to
    the schema later is left out, so that a receipt without it has the bytes that it always had."""
    required = schema()["required"]
    parts = {name: part(name).write(judged) for name in PART_NAMES}
    return {name: one for name, one in parts.items() if one is not None or name in required}


def read(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`~opg_magic.models.Evidence` out of a document that has the published
    form; ValueError for a value that cannot be."""
    return {name: part(name).read(document) for name in PART_NAMES if name in document}


@cache
def part(name: str) -> Part:
    """The module that writes and reads a part."""
    return cast(Part, import_module(f"opg_magic.receipt.parts.{name}"))
