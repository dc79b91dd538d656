"""The ledger as a file: ``.jsonl`` (whole receipts), ``.csv`` or ``.parquet`` (one row a call)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.receipts.frames import COLUMNS, chosen_rows, frame

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.receipts.ledger import Ledger

FORMATS = (".jsonl", ".csv", ".parquet")

# A spreadsheet runs a cell that begins so (CSV injection); an apostrophe makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def export(ledger: Ledger, path: str | os.PathLike[str], *, include_withheld: bool = False, **filters: Any) -> int:
    """Write the calls that pass the filters (those of :func:`opg_magic.receipts.frames.receipts`); how many there were.

    ``.jsonl`` holds whole receipts, one a line, withheld ones with their text and verdict; a call without receipt is
    not in it.  ``.csv`` and ``.parquet`` hold the table: base units as exact integers (parquet: decimal(38, 0)), and in
    CSV a text that a spreadsheet would run is preceded by an apostrophe.

    The file appears whole or not at all, readable for its owner alone (it holds prompts).  Raises ConfigError for
    another suffix, LedgerError if it cannot be written.
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in FORMATS:
        raise ConfigError(f"{target.name} has no known ending.", hint=f"Use one of {', '.join(FORMATS)}.")
    rows = chosen_rows(ledger, **filters)
    try:
        with _whole_or_not(target) as temporary:
            if kind == ".jsonl":
                ids = [row.id for row, _ in rows if row.document is not None]
                with temporary.open("w", encoding="utf-8", newline="\n") as out:
                    for receipt in ledger.receipts(ids):
                        out.write(receipt.to_json() + "\n")
                return len(ids)
            table = frame(rows, include_withheld=include_withheld)
            if kind == ".csv":
                _write_csv(table, temporary)
            else:
                _write_parquet(table, temporary)
            return len(table)
    except OSError as error:
        raise LedgerError(
            f"{target} cannot be written: {error.strerror or error}.", hint="Choose a folder where you may write."
        ) from None


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


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    safe = table.copy()
    for name in safe.columns:
        if COLUMNS.get(name, "text") in ("text", "category"):
            safe[name] = safe[name].astype("object").map(_plain_text, na_action="ignore")
    safe["time"] = [moment.isoformat() for moment in safe["time"]]
    safe.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def _plain_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    exact = {name: table[name] for name, kind in COLUMNS.items() if kind == "units"}
    arrow = pa.Table.from_pandas(table.drop(columns=list(exact)), preserve_index=False)
    for name, values in exact.items():
        try:
            numbers = [None if v is None else _decimal(v) for v in values]
            column = pa.array(numbers, type=pa.decimal128(38, 0))
        except pa.ArrowInvalid:
            raise LedgerError(f"{name} holds an amount of more than 38 digits.", hint="Export .csv instead.") from None
        arrow = arrow.add_column(list(table.columns).index(name), name, column)
    pq.write_table(arrow, path)


def _decimal(value: int) -> Any:
    from decimal import Decimal

    return Decimal(value)
