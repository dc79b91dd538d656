"""Verified AI calls in a notebook.

``%load_ext opg_magic`` brings the magics; the functions here are the same engine from Python.
Nothing heavy is imported until it is used."""

from __future__ import annotations

# First: a command guards itself before all that takes time.
from opg_magic.settings import interrupt as _interrupt  # noqa: F401 # isort: skip

from typing import TYPE_CHECKING, Any

from opg_magic.settings import environment as _environment  # noqa: F401 - read at first import
from opg_magic.table import accessor as _accessor

__version__ = "0.1.0"

if TYPE_CHECKING:
    from opg_magic import verify
    from opg_magic.api import aask, agree, amap, ask, map, receipts
    from opg_magic.models import Answer, Claim, Verdict
    from opg_magic.notebook.dashboard import dashboard

__all__ = [
    "Answer",
    "Claim",
    "Verdict",
    "__version__",
    "aask",
    "agree",
    "amap",
    "ask",
    "dashboard",
    "map",
    "receipts",
    "verify",
]

_HOMES = {
    "ask": "opg_magic.api",
    "aask": "opg_magic.api",
    "agree": "opg_magic.api",
    "map": "opg_magic.api",
    "amap": "opg_magic.api",
    "receipts": "opg_magic.api",
    "dashboard": "opg_magic.notebook.dashboard",
    "Answer": "opg_magic.models",
    "Claim": "opg_magic.models",
    "Verdict": "opg_magic.models",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "verify":
        return importlib.import_module("opg_magic.verify")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _map(*arguments: Any, **named: Any) -> Any:
    from opg_magic.api import map

    return map(*arguments, **named)


_accessor.register(_map)


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext opg_magic``: register ``%%opg`` and ``%opg``."""
    from opg_magic.notebook.magic import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext opg_magic``: end the session and take the magics away."""
    from opg_magic.notebook.magic import unload

    unload(ipython)
