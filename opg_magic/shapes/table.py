"""Rows as a DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Any, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return rows (objects, or single values) as a table.

    Its columns are those of the schema, in their order and also where there is no row, then what
    rows have besides."""
    import pandas as pd

    objects = [row if isinstance(row, Mapping) else {"value": row} for row in rows]
    named = columns or (() if objects else ("value",))
    every = list(dict.fromkeys([*named, *(key for row in objects for key in row)]))
    made = pd.DataFrame(objects, columns=every)
    for name in every:
        values = [row.get(name) for row in objects]
        if _are_whole_with_gaps(values):
            # pandas would make floats of them, which lose digits.
            made[name] = pd.array(values, dtype="Int64")
    return made


def _are_whole_with_gaps(values: list[Any]) -> bool:
    kinds = {type(value) for value in values}
    return kinds == {int, type(None)} and all(
        value is None or -(2**63) <= value < 2**63 for value in values
    )
