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
    end.  ``total``: how many calls there are, or how many have the words that were searched."""

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
#: What a search looks into, a row a call: what a list shows of it.  Of a document that is not JSON,
#: the columns alone.
_SEARCHED = (
    _CALLS
    + """
SELECT every.*,
  coalesce(r.model, c.model) AS model, coalesce(r.notebook, c.notebook) AS notebook,
  CASE WHEN r.simulated THEN 'SIMULATED' END AS simulated,
  CASE WHEN NOT r.simulated OR r.verdict <> 'VERIFIED' THEN r.verdict END AS verdict,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.host.tee_id')
    ELSE c.host END AS host,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.prompt.text')
    ELSE c.prompt END AS prompt
FROM every LEFT JOIN receipts r ON r.id = every.id LEFT JOIN calls c ON c.id = every.id
ORDER BY every.at DESC, every.id DESC
"""
)
_IN_WORDS = ("id", "model", "notebook", "simulated", "verdict", "host", "prompt")
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

    def page(self, *, limit: int, after: str | None = None, words: str = "") -> Page:
        """``limit`` calls that come after the cursor, newest first; a call that never ended is
        among them.  With ``words``, only calls that have each of them, in any case: in the prompt,
        the ID, or the name of model, notebook, host or verdict.

        NoSuchPlace if the cursor is none that a page gave.
        """
        at, _, seen = (after or "").partition("~")
        if after is not None and not (_is_time(at) and seen.isalnum() and seen.isascii()):
            raise NoSuchPlace("The cursor `after` is not one that a page of the ledger gave.")
        if not self.exists:
            return Page((), None, 0)
        if words.split():
            all_found = self._found(words)
            total = len(all_found)
            found = [
                entry
                for entry in all_found
                if after is None or (entry["at"], entry["id"]) < (at, seen)
            ][: limit + 1]
        else:
            total = int(self._query(_TOTAL, {})[0][0])
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
        return Page(
            tuple(rows),
            f"{last['at']}~{last['id']}" if more and last is not None else None,
            total,
        )

    def _found(self, words: str) -> list[sqlite3.Row]:
        """Every call that has these words, newest first."""
        wanted = [word.casefold() for word in words.split()]
        found = []
        for entry in self._query(_SEARCHED, {}):
            text = " ".join(str(entry[name] or "") for name in _IN_WORDS).casefold()
            if all(word in text for word in wanted):
                found.append(entry)
        return found

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
