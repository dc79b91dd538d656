"""Exporting the ledger: which calls go into the file, and that it appears whole or not at all.

The formats are in :mod:`opg_magic.ledger.formats`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.formats import FORMATS
from opg_magic.ledger.formats.csv import Csv, CsvForExcel
from opg_magic.ledger.formats.interface import ChosenCalls, ExportFormat
from opg_magic.ledger.frames import chosen_rows

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger


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
        receipts = FORMATS[self.path.suffix.lower()].unit == "receipt"
        what = _plural(self.written, "receipt" if receipts else "call")
        said = f"{what} written to {self.path}."
        if self.left_out:
            kinds = ", ".join(f"{number} {word}" for word, number in self.left_out.items())
            said += (
                f" {_plural(sum(self.left_out.values()), 'call')} left no receipt ({kinds}) and "
                "cannot be in it: export .csv or .parquet for a row of every call."
            )
        if self.cut:
            said += (
                f" {_plural(self.cut, 'text')} cut to the length of an Excel cell: .csv and "
                ".parquet hold all."
            )
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
    :mod:`opg_magic.ledger.formats.csv`; ``excel`` begins it as Excel needs it.

    The file appears whole or not at all, readable for its owner alone (it holds prompts).  Raises
    ConfigError for another suffix, LedgerError if it cannot be written."""
    target = Path(path)
    chosen = _format(target, excel=excel)
    calls = ChosenCalls(ledger, chosen_rows(ledger, audit=True, **filters), include_withheld)
    try:
        with _whole_or_not(target) as temporary:
            written = chosen.write(calls, temporary)
            return Exported(
                target,
                written.number,
                written.left_out,
                (*calls.damaged, *written.damaged),
                not ledger.is_whole(),
                written.cut,
            )
    except OSError as error:
        raise LedgerError(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Choose a folder where you may write.",
        ) from None


def _format(target: Path, *, excel: bool) -> ExportFormat:
    chosen = FORMATS.get(target.suffix.lower())
    if chosen is None:
        raise ConfigError(
            f"{target.name} has no known ending.", hint=f"Use one of {', '.join(FORMATS)}."
        )
    if not excel:
        return chosen
    if not isinstance(chosen, Csv):
        raise ConfigError(
            "--excel applies only to .csv.", hint="Leave it out: an .xlsx does not need it."
        )
    return CsvForExcel()


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


@contextlib.contextmanager
def _whole_or_not(target: Path) -> Iterator[Path]:
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
