"""Rows of text that fit a width: a terminal's own, or :data:`PIPED` where nobody says how wide."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from opg_magic.models.plain_text import END, ISOLATE, inert, isolated

#: Characters a line where output is no terminal: a page of text, read by people and by grep.
PIPED = 120
#: A column that gives way keeps at least as many, and then the line is longer.
_LEAST = 16
#: Our own marks around text that runs from right to left.
_NO_PLACE = ISOLATE + END
_GAP = "  "


def line_width() -> int:
    """Characters that a line may have: COLUMNS, else the terminal's, else :data:`PIPED`."""
    return shutil.get_terminal_size((PIPED, 24)).columns


def drawn(text: str) -> int:
    """The places that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(one) or one in _NO_PLACE
        else 2
        if unicodedata.east_asian_width(one) in "WF"
        else 1
        for one in text
    )


def cut(text: str, most: int) -> str:
    """One inert line of ``text`` that takes at most ``most`` places."""
    flat = " ".join(inert(text).split())
    if drawn(flat) <= most:
        return flat
    while flat and drawn(flat) > most - 1:
        flat = flat[: min(len(flat) - 1, most)]
    return flat.rstrip() + "…"


def table(
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    gives: int = -1,
    wraps: bool = False,
    right: Sequence[int] = (),
) -> str:
    """Rows below each other, column below column.

    Column ``gives`` gives way so that lines have ``width`` places (None: none does): its texts are
    cut, or with ``wraps`` go on below; that one must be the last.  Columns ``right`` are
    right-aligned."""
    return "\n".join(blocks(rows, width, gives=gives, wraps=wraps, right=right))


def blocks(
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    gives: int = -1,
    wraps: bool = False,
    right: Sequence[int] = (),
) -> Iterator[str]:
    """The same, row by row: one line each, or several with ``wraps``."""
    cells = [[" ".join(inert(one).split()) for one in row] for row in rows]
    number = max(map(len, cells), default=1)
    gives %= number
    sizes = [max((drawn(row[at]) for row in cells), default=0) for at in range(number)]
    others = sum(sizes) - sizes[gives] + len(_GAP) * (number - 1)
    if width is not None:
        sizes[gives] = min(sizes[gives], max(_LEAST, width - others))
    for row in cells:
        below: list[str] = []
        if wraps:
            lines = textwrap.wrap(row[gives], max(1, sizes[gives]), break_on_hyphens=False)
            row[gives], *below = lines or [""]
        elif drawn(row[gives]) > sizes[gives]:
            row[gives] = cut(row[gives], sizes[gives])
        padded = [_padded(one, sizes[at], at in right) for at, one in enumerate(row)]
        yield "\n".join([_GAP.join(padded).rstrip(), *(" " * others + one for one in below)])


def folded(text: str, width: int | None = None, indent: str = "  ") -> str:
    """A sentence on as many lines as it takes, each after ``indent``."""
    return "\n".join(
        textwrap.wrap(
            " ".join(inert(text).split()),
            line_width() if width is None else width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _padded(text: str, size: int, right: bool) -> str:
    space = " " * (size - drawn(text))
    # Of text that runs from right to left, the next column would otherwise become a part.
    whole = isolated(text)
    return space + whole if right else whole + space
