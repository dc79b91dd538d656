"""What a cell of a notebook is, read from its text alone: a paid ``%%opg`` call, one that pays nothing, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from opg_magic import grammar, magic_line
from opg_magic.magic_line import Line, LineError

#: ``call``: a ``%%opg`` call to the letter, which is paid; ``free``: one that pays nothing (a dry run, its help, no
#: prompt); ``unclear``: a ``%%opg`` cell whose line no kernel would take; ``other``: all else.
Kind = Literal["call", "free", "unclear", "other"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it reads.  ``head`` is None for ``other``; ``line`` is None for ``other`` and ``unclear``."""

    kind: Kind
    head: grammar.Head | None = None
    line: Line | None = None


def read(source: str) -> Cell:
    """What a cell is."""
    head = grammar.head(source)
    if head is None:
        return Cell("other")
    try:
        line = magic_line.read(head.line)
    except LineError:
        return Cell("unclear", head)
    free = line.get("dry_run") or line.get("help") or grammar.is_blank(head.body)
    return Cell("free" if free else "call", head, line)


def as_called(head: grammar.Head) -> str:
    """The cell from its ``%%opg`` line on: what older versions took for the source of a call under ``%%time``."""
    return f"%%opg {head.line}\n{head.body}"
