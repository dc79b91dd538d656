"""Tables as people have them (list, pandas, Polars), read column by column and given back with the
answers beside their rows: index and order as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from opg_magic.errors import ArgumentError

#: The column of data that has none of its own.
VALUE = "value"


class Frame(Protocol):
    """A table: the names of its columns, the labels of its rows."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Sequence[Any]: ...

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column, in the order of the rows."""

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        """A new table of the same kind, with these columns at its end; old ones of the same names
        give way.  The given table stays."""


def is_dask(data: Any) -> bool:
    """Return whether this is a DataFrame or Series of Dask's.  Imports nothing."""
    home = type(data).__module__.partition(".")[0]
    return home in ("dask", "dask_expr") and type(data).__name__ in ("DataFrame", "Series")


def frame_of(data: Any, *, empty: bool = False) -> Frame:
    """Return a list, Series, DataFrame or Polars frame as a :class:`Frame`.

    Raises :class:`ArgumentError` for anything else, and, but for ``empty``, for one without rows.
    """
    home = type(data).__module__.partition(".")[0]
    name = type(data).__name__
    made: _Pandas | _Polars
    if home == "polars" and name == "DataFrame":
        made = _Polars(data)
    elif home == "polars" and name == "Series":
        made = _Polars(data.to_frame(data.name or VALUE))
    elif isinstance(data, (list, tuple)):
        made = _Pandas(_listed(data))
    # A class in place of a frame has its attributes, and a task of Dask every one.
    elif not hasattr(type(data), "iloc"):
        raise ArgumentError(
            f"data must be a list, a Series, a DataFrame or a Polars frame, not "
            f"{type(data).__name__}. Nothing was sent."
        )
    elif name != "Series" and hasattr(data, "columns"):
        made = _Pandas(data)
    else:
        made = _Pandas(named(data))
    if not empty and not len(made.labels):
        raise ArgumentError("The table has no rows. Nothing was sent.")
    return made


def named(series: Any) -> Any:
    """Return a Series as the frame of its one column."""
    return series.to_frame(VALUE if series.name is None else series.name)


def _listed(data: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.DataFrame({VALUE: pd.Series(list(data), dtype=object)})


def refuse_taken(columns: Sequence[str], added: Sequence[str]) -> None:
    """Raise :class:`ArgumentError` if the table has one of the new columns already."""
    taken = [name for name in added if name in columns]
    if taken:
        raise ArgumentError(
            f"The table already has a column {taken[0]!r}. Nothing was sent.",
            hint="Give another output, or overwrite=True.",
        )


class _Pandas:
    def __init__(self, data: Any) -> None:
        if data.columns.nlevels > 1:
            raise ArgumentError(
                "The columns have several levels. Nothing was sent.",
                hint="Choose one level first, as in: df.columns = df.columns.map('_'.join)",
            )
        self._data = data
        self.columns = tuple(map(str, data.columns))
        self.labels = data.index

    def column(self, name: str) -> Sequence[Any]:
        if self.columns.count(name) != 1:
            found = "several columns" if name in self.columns else "no column"
            raise ArgumentError(f"The table has {found} {name!r}. Nothing was sent.")
        cells: list[Any] = self._data.iloc[:, self.columns.index(name)].astype(object).tolist()
        return cells

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        import pandas as pd

        made = self._data.drop(
            columns=[one for one in self._data.columns if str(one) in added]
        ).copy()
        for name, values in added.items():
            # As an array: a Series would be aligned by its index, and labels may stand twice.
            made[name] = pd.array(values, dtype=object)
        return made


class _Polars:
    def __init__(self, data: Any) -> None:
        self._data = data
        self.columns = tuple(data.columns)
        self.labels = range(data.height)

    def column(self, name: str) -> Sequence[Any]:
        cells: list[Any] = self._data[name].to_list()
        return cells

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        import polars as pl

        kept = self._data.drop([name for name in self.columns if name in added])
        return kept.with_columns(_series(pl, name, values) for name, values in added.items())


def _series(pl: Any, name: str, values: list[Any]) -> Any:
    """A column of Polars' own kind where that holds the values as they are, else one of objects:
    made to fit, answers would be other ones, or none."""
    with suppress(Exception):  # a user's types may raise whatever they like
        made = pl.Series(name, values, strict=True)
        if made.to_list() == values:
            return made
    return pl.Series(name, values, dtype=pl.Object)


__all__ = ["VALUE", "Frame", "frame_of"]
