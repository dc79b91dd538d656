"""What an export format is: a name's ending, and a way to write the chosen calls to a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

# Light: the shell's help is made from the formats.
if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.ledger.records import LedgerRow
    from opg_magic.ledger.store import Ledger
    from opg_magic.receipt.document import Receipt


@dataclass(frozen=True)
class ChosenCalls:
    """The calls to export, as a table or as whole receipts: a format takes what it needs."""

    ledger: Ledger
    #: Each row with its table cells.
    rows: list[tuple[LedgerRow, dict[str, Any]]]
    include_withheld: bool = False

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each column: see :data:`opg_magic.ledger.columns.ALL_COLUMNS`."""
        from opg_magic.ledger.columns import ALL_COLUMNS

        return ALL_COLUMNS

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per call.  A damaged one has its id and the verdict DAMAGED, nothing else."""
        from opg_magic.ledger.frames import frame

        return frame(self.rows, audit=True, include_withheld=self.include_withheld)

    def values(self, column: str) -> list[Any]:
        """A column of the table as Python values, None where nothing is known."""
        series = self.table[column]
        known = zip(series.astype("object"), series.notna(), strict=True)
        return [value if there else None for value, there in known]

    @property
    def damaged(self) -> tuple[str, ...]:
        """Ids of the rows that the ledger no longer holds as they were saved."""
        return tuple(cells["id"] for _, cells in self.rows if _is_damaged(cells))

    def receipts(self, on_damage: Callable[[str], object]) -> Iterator[Receipt]:
        """Whole receipts, oldest first; ``on_damage`` is told the id of each that cannot be read.
        Calls without a receipt are not among them: see :attr:`without_receipt`."""
        ids = [
            row.id
            for row, cells in self.rows
            if row.document is not None and not _is_damaged(cells)
        ]
        yield from self.ledger.receipts(ids, on_damage=lambda one, _what: on_damage(one))

    @property
    def without_receipt(self) -> Mapping[str, int]:
        """How many calls left no receipt, by the word in their verdict's place."""
        return Counter(cells["verdict"] for row, cells in self.rows if row.call is not None)


def _is_damaged(cells: Mapping[str, Any]) -> bool:
    from opg_magic.ledger.columns import DAMAGED

    return bool(cells["verdict"] == DAMAGED)


@dataclass(frozen=True, slots=True)
class Written:
    """What went into the file: ``number`` rows or receipts, without those ``left_out``."""

    number: int
    #: Ids that turned out damaged while they were read, beside :attr:`ChosenCalls.damaged`.
    damaged: tuple[str, ...] = ()
    #: Calls that the format cannot hold, by the word in their verdict's place.
    left_out: Mapping[str, int] = field(default_factory=dict)
    #: Texts that were too long for the format and were cut.
    cut: int = 0


class ExportFormat(ABC):
    """One format.  It has no state: one object serves every export."""

    #: What the file's name ends in, with the dot: ``.csv``.
    suffix: ClassVar[str]
    #: What the file holds, in a few words for the help of ``opg receipts export``.
    summary: ClassVar[str]
    #: Whether the file holds whole ``receipt``s or table rows, one per ``call``.
    unit: ClassVar[Literal["receipt", "call"]] = "call"

    @abstractmethod
    def write(self, calls: ChosenCalls, path: Path) -> Written:
        """Write the calls to ``path``, an empty file that the caller moves into place.

        Nothing may be changed silently: what the format cannot hold exactly is written as text, or
        told in what is returned.  Raises ConfigError where a package is missing, LedgerError for
        what the format cannot hold, OSError."""
