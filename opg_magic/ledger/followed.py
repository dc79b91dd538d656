"""The calls of a ledger as a list that follows it: what was added is read, and nothing twice."""

from __future__ import annotations

import threading
from typing import Any

from opg_magic.ledger.reading import LedgerReading
from opg_magic.ledger.records import LedgerRow
from opg_magic.ledger.row_cells import table_cells

#: Texts of any length, which a list does not show and would keep in memory for good.
LEFT_OUT = frozenset({"answer", "withheld_answer", "tool_calls"})


class Followed:
    """Every call of one ledger as table cells (:data:`opg_magic.ledger.columns.COLUMNS`) without
    :data:`LEFT_OUT`.

    For a view that is drawn again and again: the first :meth:`update` reads the whole ledger, a
    later one only the receipts and supplements that were added, and the calls without receipt."""

    def __init__(self, ledger: LedgerReading) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._receipt, self._supplement = 0, 0
        self._last_id: str | None = None
        self._receipts: dict[str, dict[str, Any]] = {}

    def update(self) -> list[dict[str, Any]]:
        """All calls, newest first.  Raises LedgerError where the ledger cannot be read."""
        with self._lock:
            there = self._ledger.seqs_after(self._receipt - 1, at_most=1) if self._last_id else []
            if self._last_id is not None and there != [(self._receipt, self._last_id)]:
                self._begin()  # another file stands in its place
            rows, self._supplement = self._ledger.rows_since(self._receipt, self._supplement)
            for receipt, row in rows:
                self._receipts[row.id] = _cells(row)
                if receipt > self._receipt:
                    self._receipt, self._last_id = receipt, row.id
            calls = [*self._receipts.values(), *map(_cells, self._ledger.without_receipt())]
            return sorted(calls, key=lambda cells: (cells["time"], cells["id"]), reverse=True)


def _cells(row: LedgerRow) -> dict[str, Any]:
    return {name: cell for name, cell in table_cells(row).items() if name not in LEFT_OUT}
