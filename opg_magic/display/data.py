"""An answer in the form that was asked for: its exact text, or a table of its rows.

No receipt covers such a display: it stands beside the card, and a reader is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.display import inert_html
from opg_magic.display.inert_html import STYLES
from opg_magic.display.style import FAINT
from opg_magic.models.plain_text import fenced, inert

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.models import Answer

#: As many of a table are shown in a notebook; the whole of it is in the variable.
MOST_ROWS, MOST_LETTERS = 60, 300


def text_bundle(answer: Answer) -> dict[str, Any]:
    """The text exactly as it was signed, with no markup rendered."""
    from opg_magic.display import markdown

    return {
        "text/plain": inert(answer.text),
        "text/markdown": fenced(answer.text),
        "text/html": markdown.verbatim_html(answer.text),
    }


def table_bundle(table: pd.DataFrame) -> dict[str, Any]:
    """The first rows of a table, whose cells are a model's words: nothing in them is markup."""
    count = len(table)
    left = f"{count:,} rows; the first {MOST_ROWS} are shown" if count > MOST_ROWS else ""
    rows = [
        [_cell(value) for value in row] for row in table.head(MOST_ROWS).itertuples(index=False)
    ]
    names = [_cell(name) for name in table.columns]
    cell, head = STYLES["cell"], f"{STYLES['cell']};text-align:left"
    html = "".join(f'<th style="{head}">{inert_html.text(name)}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{cell}">{inert_html.text(value)}</td>' for value in row)
        + "</tr>"
        for row in rows
    )
    told = f'<div style="font-size:12px;{FAINT}">{left}</div>' if left else ""
    return {
        "text/plain": table_text(table.head(MOST_ROWS)) + (f"\n{left}" if left else ""),
        "text/html": '<div style="overflow:auto;max-width:100%;margin:0 0 8px">'
        f'<table style="{STYLES["table"]}"><thead><tr>{html}</tr></thead>'
        f"<tbody>{body}</tbody></table>{told}</div>",
    }


def table_text(table: pd.DataFrame) -> str:
    """The table in aligned columns of inert text."""
    names = [_cell(name) for name in table.columns]
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (names, *rows)
    )


def _cell(value: Any) -> str:
    plain = inert(str(value)).replace("\n", "⏎")
    return plain if len(plain) <= MOST_LETTERS else plain[: MOST_LETTERS - 1] + "…"
