"""An answer in the format that its cell asked for: its exact text, or a table of its rows.

It stands above the card, made of what was signed alone, so that a reader makes it again and
compares it (:mod:`opg_magic.audit.implied`, ``labextension/src/face/formats.ts``).  What a user's
own types make of the rows is in the answer's variable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opg_magic.models.plain_text import fenced, inert, isolated
from opg_magic.receipt.face.figures import escaped

#: As many of a table are shown; the whole of it is in the variable.
MOST_ROWS, MOST_LETTERS = 60, 300
_BORDER = "1px solid rgba(128,128,128,.5)"
_CELL = f"padding:3px 10px;border:{_BORDER};text-align:"


def text_bundle(text: str) -> dict[str, str]:
    """The text exactly as it was signed, with no markup rendered."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere"
    return {
        "text/plain": inert(text),
        "text/markdown": fenced(text),
        "text/html": f'<div style="{style}">{escaped(inert(text))}</div>\n',
    }


def table_bundle(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The first rows of a table, whose cells are a model's words: nothing in them is markup."""
    left = f"{len(rows):,} rows; the first {MOST_ROWS} are shown" if len(rows) > MOST_ROWS else ""
    few = rows[:MOST_ROWS]
    cells = [[cell_text(row.get(name)) for name in columns] for row in few]
    right = [_is_numeric([row.get(name) for row in few]) for name in columns]
    names = [cell_text(name) for name in columns]
    told = f'<div style="font-size:12px">{left}</div>' if left else ""
    body = "".join(f"<tr>{_tags('td', row, right)}</tr>" for row in cells)
    return {
        "text/plain": "\n".join(
            [*_lines([names, *cells], right), *([left] if left else [])],
        ),
        "text/html": '<div style="overflow:auto;max-width:100%;margin:0 0 8px">'
        f'<table style="margin:0 0 10px;border-collapse:collapse"><thead><tr>'
        f"{_tags('th', names, right)}</tr></thead><tbody>{body}</tbody></table>{told}</div>",
    }


def cell_text(value: Any) -> str:
    """A value of JSON on one line: texts as they are, what holds others as JSON."""
    if isinstance(value, str):
        text = value
    elif value is None or isinstance(value, bool):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    plain = inert(text).replace("\n", "⏎")
    return plain if len(plain) <= MOST_LETTERS else plain[: MOST_LETTERS - 1] + "…"


def _is_numeric(values: Sequence[Any]) -> bool:
    there = [value for value in values if value is not None]
    plain = (isinstance(value, int | float) and not isinstance(value, bool) for value in there)
    return bool(there) and all(plain)


def _tags(tag: str, texts: Sequence[str], right: Sequence[bool]) -> str:
    return "".join(
        f'<{tag} style="{_CELL}{"right" if at_right else "left"}">{escaped(text)}</{tag}>'
        for text, at_right in zip(texts, right, strict=True)
    )


def _lines(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            " " * (width - len(text)) + isolated(text)
            if at_right
            else isolated(text) + " " * (width - len(text))
            for text, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip(" ")
        for row in rows
    ]
