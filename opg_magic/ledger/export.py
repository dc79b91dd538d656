"""The ledger as a file: ``.jsonl`` (whole receipts), ``.csv``, ``.parquet`` or ``.xlsx`` (one row a
call)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger import csv_table
from opg_magic.ledger.frames import COLUMNS, DAMAGED, chosen_rows, frame

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.ledger.store import Ledger, LedgerRow

FORMATS = (".jsonl", ".csv", ".parquet", ".xlsx")


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.  ``left_out``: calls that the file's form cannot hold, by the word for
    their verdict."""

    path: Path
    #: Rows of the table, or receipts in a file of receipts.
    written: int
    left_out: Mapping[str, int]
    #: Ids of what the ledger holds otherwise than it was saved.
    damaged: tuple[str, ...]
    #: Whether SQLite itself finds the ledger's file damaged: then more may be missing than is
    #: known.
    file_damaged: bool = False
    #: Texts that were too long for a cell of Excel.
    cut: int = 0

    def __str__(self) -> str:
        receipts = self.path.suffix.lower() == ".jsonl"
        what = _plural(self.written, "receipt" if receipts else "call")
        said = f"{what} written to {self.path}."
        if self.left_out:
            kinds = ", ".join(f"{number} {word}" for word, number in self.left_out.items())
            said += (
                f" {_plural(sum(self.left_out.values()), 'call')} left no receipt ({kinds}) and "
                f"cannot be in it: "
                "export .csv or .parquet for a row of every call."
            )
        if self.cut:
            said += f" {_plural(self.cut, 'text')} longer than Excel's cells cut: .csv and .parquet hold all."
        if self.damaged:
            ids = ", ".join(self.damaged[:10]) + (", …" if len(self.damaged) > 10 else "")
            there = (
                "not in this file"
                if receipts
                else "marked DAMAGED, and nothing else of them is in this file"
            )
            said += f" Damaged in the ledger, and {there}: {ids}. See: opg ledger check"
        if self.file_damaged:
            said += " The ledger's file is damaged; more may be missing. See: opg ledger check"
        return said


def export(
    ledger: Ledger,
    path: str | os.PathLike[str],
    *,
    include_withheld: bool = False,
    excel: bool = False,
    **filters: Any,
) -> Exported:
    """Write the calls that pass the filters (those of :func:`opg_magic.ledger.frames.receipts`).

    ``.jsonl`` holds whole receipts, one a line, withheld ones with their text and verdict; a call
    without receipt is not in it, and what is returned says so.  A damaged receipt keeps no other
    from being written.  The others hold the table, base units exact (parquet: decimal(38, 0); xlsx:
    text).  In CSV, an apostrophe stands wherever a spreadsheet could see a formula begin: see
    :mod:`opg_magic.ledger.csv_table`; ``excel`` begins it as Excel needs it.

    The file appears whole or not at all, readable for its owner alone (it holds prompts).  Raises
    ConfigError for another suffix, LedgerError if it cannot be written."""
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in FORMATS:
        raise ConfigError(
            f"{target.name} has no known ending.", hint=f"Use one of {', '.join(FORMATS)}."
        )
    if excel and kind != ".csv":
        raise ConfigError("excel is for a .csv.", hint="An .xlsx needs no such option.")
    rows = chosen_rows(ledger, **filters)
    cut = 0
    try:
        with _whole_or_not(target) as temporary:
            if kind == ".jsonl":
                written, damaged = _write_receipts(ledger, rows, temporary)
                left_out = Counter(cells["verdict"] for row, cells in rows if row.call is not None)
                return Exported(target, written, left_out, damaged, not ledger.is_whole())
            table = frame(rows, include_withheld=include_withheld)
            if kind == ".csv":
                csv_table.write(table, temporary, COLUMNS, bom=excel)
            elif kind == ".xlsx":
                cut = _write_excel(table, temporary)
            else:
                _write_parquet(table, temporary)
            damaged = tuple(cells["id"] for _, cells in rows if cells["verdict"] == DAMAGED)
            return Exported(target, len(table), {}, damaged, not ledger.is_whole(), cut)
    except OSError as error:
        raise LedgerError(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Choose a folder where you may write.",
        ) from None


def _write_receipts(
    ledger: Ledger, rows: list[tuple[LedgerRow, dict[str, Any]]], path: Path
) -> tuple[int, tuple[str, ...]]:
    """How many, and the ids of those that are damaged."""
    damaged = [row.id for row, cells in rows if cells["verdict"] == DAMAGED]
    ids = [
        row.id for row, cells in rows if row.document is not None and cells["verdict"] != DAMAGED
    ]
    written = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for receipt in ledger.receipts(ids, on_damage=lambda one, _what: damaged.append(one)):
            out.write(receipt.to_json() + "\n")
            written += 1
    return written, tuple(damaged)


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


@contextlib.contextmanager
def _whole_or_not(target: Path) -> Any:
    # mkstemp makes the file 0600, and in the same folder, so that the rename is atomic.
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_excel(table: pd.DataFrame, path: Path) -> int:
    from opg_magic.ledger import excel

    return excel.write(table, path, COLUMNS)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(
            "Writing .parquet needs the package PyArrow.",
            hint="pip install pyarrow (the extra parquet brings it), or export a .csv, which needs "
            "nothing.",
        ) from None

    exact = {name: table[name] for name, kind in COLUMNS.items() if kind == "units"}
    arrow = pa.Table.from_pandas(table.drop(columns=list(exact)), preserve_index=False)
    for name, values in exact.items():
        try:
            numbers = [None if v is None else _decimal(v) for v in values]
            column = pa.array(numbers, type=pa.decimal128(38, 0))
        except pa.ArrowInvalid:
            raise LedgerError(
                f"{name} holds an amount of more than 38 digits.", hint="Export .csv instead."
            ) from None
        arrow = arrow.add_column(list(table.columns).index(name), name, column)
    pq.write_table(arrow, path)


def _decimal(value: int) -> Any:
    from decimal import Decimal

    return Decimal(value)
