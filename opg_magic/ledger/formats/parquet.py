"""The table as Parquet: base units as ``decimal(38, 0)``, which holds them exactly."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.formats.interface import ChosenCalls, ExportFormat, Written


class Parquet(ExportFormat):
    """Needs PyArrow, which the extra ``parquet`` brings."""

    suffix = ".parquet"
    summary = "a row per call, typed"

    def write(self, calls: ChosenCalls, path: Path) -> Written:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise ConfigError(
                "Writing .parquet needs the package PyArrow.",
                hint="pip install pyarrow (the extra parquet brings it), or export a .csv, which "
                "needs nothing.",
            ) from None

        table = calls.table
        exact = {name: table[name] for name, kind in calls.kinds.items() if kind == "units"}
        arrow = pa.Table.from_pandas(table.drop(columns=list(exact)), preserve_index=False)
        for name, values in exact.items():
            try:
                numbers = [None if value is None else Decimal(value) for value in values]
                column = pa.array(numbers, type=pa.decimal128(38, 0))
            except pa.ArrowInvalid:
                raise LedgerError(
                    f"{name} holds an amount of more than 38 digits.", hint="Export .csv instead."
                ) from None
            arrow = arrow.add_column(list(table.columns).index(name), name, column)
        pq.write_table(arrow, path)
        return Written(len(table))
