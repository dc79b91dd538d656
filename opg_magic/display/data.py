"""An answer in the form that was asked for: its exact text, or a table of its rows.

Both are made of the signed text alone (:mod:`opg_magic.receipt.face.formats`), so that a reader of
the notebook makes them again; a shell's table is the DataFrame itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opg_magic.models.plain_text import inert
from opg_magic.receipt.face import formats
from opg_magic.receipt.face.formats import MOST_LETTERS

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.models import Answer


def text_bundle(answer: Answer) -> dict[str, Any]:
    """The text exactly as it was signed, with no markup rendered."""
    return {**formats.text_bundle(answer.text)}


def table_bundle(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first rows of a table, as they were signed."""
    return {**formats.table_bundle(columns, rows)}


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
