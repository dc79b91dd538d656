"""The ledger as a reader opens it: nothing is created, migrated or written; and pages instead of
everything."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from opg_magic.errors import LedgerError
from opg_magic.ledger.reading import LedgerReading
from opg_magic.ledger.records import LedgerRow, moment_of
from opg_magic.ledger.stored import Content

#: Most rows of one page.
MAX_PAGE = 200
#: A page ends before its documents exceed this (bytes), however few rows it then has.
MAX_PAGE_BYTES = 32 * 1024 * 1024


class NoSuchPlace(LedgerError):
    """A cursor that no page of the ledger gave."""


@dataclass(frozen=True, slots=True)
class Page:
    """Calls, newest first, and where the next page begins: ``after`` of its last row, None at the
    end."""

    rows: tuple[LedgerRow, ...]
    after: str | None
    total: int


#: Every call once: its receipt, or what was begun.  One that went on under another id is told by
#: the later id.
_CALLS = """
WITH every AS (
  SELECT id, created_at AS at, length(CAST(document AS BLOB)) AS size FROM receipts
  UNION ALL
  SELECT c.id, c.begun_at, 0 FROM calls c
  WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.call = c.id AND e.kind = 'session-gone')
)
"""
_PAGE = (
    _CALLS
    + """
SELECT * FROM every WHERE :at = '' OR (at, id) < (:at, :id) ORDER BY at DESC, id DESC LIMIT :limit
"""
)
_TOTAL = """
SELECT (SELECT count(*) FROM receipts) + count(*) FROM calls c
WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)
  AND NOT EXISTS (SELECT 1 FROM events e WHERE e.call = c.id AND e.kind = 'session-gone')
"""


class LedgerReader(LedgerReading):
    """A ledger that can only be read.  A file that is not there is an empty ledger, and stays not
    there."""

    _read_only: ClassVar[bool] = True

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    def page(self, *, limit: int, after: str | None = None) -> Page:
        """``limit`` calls that come after the cursor, newest first; a call that never ended is
        among them.

        NoSuchPlace if the cursor is none that a page gave.
        """
        at, _, seen = (after or "").partition("~")
        if after is not None and not (_is_time(at) and seen.isalnum() and seen.isascii()):
            raise NoSuchPlace("The cursor `after` is not one that a page of the ledger gave.")
        if not self.exists:
            return Page((), None, 0)
        found = self._query(_PAGE, {"at": at, "id": seen, "limit": limit + 1})
        rows: list[LedgerRow] = []
        content = self._contents()
        size = 0
        for entry in found[:limit]:
            size += entry["size"]
            if rows and size > MAX_PAGE_BYTES:
                break
            rows.append(self._row(entry, content))
        more = len(rows) < len(found)
        last = found[len(rows) - 1] if rows else None
        total = self._query(_TOTAL, {})[0][0]
        return Page(
            tuple(rows),
            f"{last['at']}~{last['id']}" if more and last is not None else None,
            int(total),
        )

    def _row(self, entry: sqlite3.Row, content: Content) -> LedgerRow:
        if entry["size"]:
            receipt = self._query("SELECT * FROM receipts WHERE id = ?", (entry["id"],))[0]
            later = self._query(
                "SELECT * FROM supplements WHERE receipt = ? ORDER BY seq", (entry["id"],)
            )
            return self._listed(receipt, later, content)
        rows = self._without_receipt(id=entry["id"])
        if not rows:
            # Its receipt was saved since the page was begun.
            return LedgerRow(entry["id"], moment_of(entry["at"]), self.get(entry["id"]).document)
        return self._begun(rows[0])


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) <= 40
