"""Tables as people have them (list, pandas, Polars, Arrow), read column by column and given back
with the answers beside their rows: index and order as they were."""

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

    def as_text(self, name: str) -> str:
        """Code that makes a column text, for whoever has to."""

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        """A new table of the same kind, with these columns at its end; old ones of the same names
        give way.  The given table stays."""


def is_dask(data: Any) -> bool:
    """Return whether this is a DataFrame or Series of Dask's.  Imports nothing."""
    home = type(data).__module__.partition(".")[0]
    return home in ("dask", "dask_expr") and type(data).__name__ in ("DataFrame", "Series")


def frame_of(data: Any, *, empty: bool = False) -> Frame:
    """Return a list, Series, DataFrame, Polars frame or Arrow table as a :class:`Frame`.  A
    LazyFrame is collected.

    Raises :class:`ArgumentError` for anything else, and, but for ``empty``, for one without rows.
    """
    home = type(data).__module__.partition(".")[0]
    name = type(data).__name__
    made: _Pandas | _Polars | _Arrow
    if home == "polars" and name in ("DataFrame", "LazyFrame"):
        made = _Polars(data.collect() if name == "LazyFrame" else data)
    elif home == "polars" and name == "Series":
        made = _Polars(data.to_frame(data.name or VALUE))
    elif home == "pyarrow" and name == "Table":
        made = _Arrow(data)
    elif isinstance(data, (list, tuple)):
        made = _Pandas(_listed(data), "[str(one) for one in data]")
    # A class in place of a frame has its attributes, and a task of Dask every one.
    elif not hasattr(type(data), "iloc"):
        raise ArgumentError(
            f"data must be a list, a Series, a DataFrame, a Polars frame or an Arrow table, not "
            f"{name[:80]}. Nothing was sent."
        )
    elif name != "Series" and hasattr(data, "columns"):
        made = _Pandas(data)
    else:
        made = _Pandas(named(data))
    if not empty and not len(made.labels):
        raise ArgumentError("The table has no rows. Nothing was sent.")
    return made


def named(series: Any) -> Any:
    """Return a Series as the frame of its one column.  Raises :class:`ArgumentError`."""
    if isinstance(series.name, tuple):
        raise ArgumentError(
            f"The Series is called {str(series.name)[:80]}, which no prompt can name. "
            "Nothing was sent.",
            hint="Give it another name, as in: series.rename('text')",
        )
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
    def __init__(self, data: Any, as_text: str | None = None) -> None:
        if data.columns.nlevels > 1:
            raise ArgumentError(
                "The columns have several levels. Nothing was sent.",
                hint="Choose one level first, as in: df.columns = df.columns.map('_'.join)",
            )
        self._data = data
        self.columns = tuple(map(str, data.columns))
        self.labels = data.index
        self._as_text = as_text

    def as_text(self, name: str) -> str:
        return self._as_text or f"df[{name!r}].astype(str)"

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

    def as_text(self, name: str) -> str:
        return f"df.with_columns(pl.col({name!r}).cast(pl.String))"

    def column(self, name: str) -> Sequence[Any]:
        cells: list[Any] = self._data[name].to_list()
        return cells

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        import polars as pl

        kept = self._data.drop([name for name in self.columns if name in added])
        return kept.with_columns(_series(pl, name, values) for name, values in added.items())


class _Arrow:
    def __init__(self, data: Any) -> None:
        self._data = data
        self.columns = tuple(data.column_names)
        self.labels = range(data.num_rows)

    def as_text(self, name: str) -> str:
        return f"pyarrow.compute.cast(table[{name!r}], pyarrow.string())"

    def column(self, name: str) -> Sequence[Any]:
        if self.columns.count(name) != 1:
            raise ArgumentError(f"The table has several columns {name!r}. Nothing was sent.")
        cells: list[Any] = self._data.column(self.columns.index(name)).to_pylist()
        return cells

    def extended(self, added: Mapping[str, list[Any]]) -> Any:
        import pyarrow as pa

        made = self._data.select([at for at, name in enumerate(self.columns) if name not in added])
        for name, values in added.items():
            made = made.append_column(name, _array(pa, values))
        return made


def _series(pl: Any, name: str, values: list[Any]) -> Any:
    """A column of Polars' own kind where that holds the values as they are, else one of objects:
    made to fit, answers would be other ones, or none."""
    if _are_texts(values):
        return pl.Series(name, values, dtype=pl.String)
    with suppress(Exception):  # a user's types may raise whatever they like
        made = pl.Series(name, values, strict=True)
        if _is_same(made.to_list(), values):
            return made
    return pl.Series(name, values, dtype=pl.Object)


def _array(pa: Any, values: list[Any]) -> Any:
    """A column of Arrow's own kind where that holds the values as they are, else their JSON: Arrow
    has no objects."""
    if not _are_texts(values):
        with suppress(Exception):
            made = pa.array(values)
            if _is_same(made.to_pylist(), values):
                return made
        from pydantic_core import to_json

        values = [None if one is None else to_json(one, fallback=str).decode() for one in values]
    return pa.array(values, type=pa.string())


def _are_texts(values: list[Any]) -> bool:
    return all(one is None or type(one) is str for one in values)


def _is_same(found: Any, meant: Any) -> bool:
    """Whether a value came back as it was: 1 is not 1.0, nor True."""
    if type(found) is not type(meant):
        return False
    if isinstance(meant, dict):
        return found.keys() == meant.keys() and all(
            _is_same(found[key], meant[key]) for key in meant
        )
    if isinstance(meant, list):
        return len(found) == len(meant) and all(map(_is_same, found, meant))
    return bool(found == meant)


__all__ = ["VALUE", "Frame", "frame_of"]
