"""The ledger as a reader opens it: nothing is created, migrated or written; and pages instead of
everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import ClassVar

from opg_magic.errors import LedgerError
from opg_magic.ledger.reading import LedgerReading
from opg_magic.ledger.records import LedgerRow, moment_of
from opg_magic.ledger.search import covered
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
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """All that a search found, newest first, as time and ID; ``state``: the ledger's when it
    did."""

    words: str
    state: tuple[object, ...]
    calls: tuple[tuple[str, str], ...]


#: Every call once: its receipt, or what was begun.  One that went on under another id is told by
#: the later id.
_CALLS = """
WITH every AS (
  SELECT id, created_at AS at FROM receipts
  UNION ALL
  SELECT c.id, c.begun_at FROM calls c
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
#: the columns alone.  ``among``: the receipts that an index found among those up to ``covered``.
_SEARCHED = """
SELECT r.id, r.created_at AS at, r.model, r.notebook,
  CASE WHEN r.simulated THEN 'SIMULATED' END AS simulated,
  CASE WHEN NOT r.simulated OR r.verdict <> 'VERIFIED' THEN r.verdict END AS verdict,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.host.tee_id') END AS host,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.prompt.text') END AS prompt
FROM receipts r WHERE r.seq > :covered
UNION ALL
SELECT r.id, r.created_at, r.model, r.notebook,
  CASE WHEN r.simulated THEN 'SIMULATED' END,
  CASE WHEN NOT r.simulated OR r.verdict <> 'VERIFIED' THEN r.verdict END,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.host.tee_id') END,
  CASE WHEN json_valid(r.document) THEN json_extract(r.document, '$.prompt.text') END
FROM json_each(:among) JOIN receipts r ON r.seq = value WHERE r.seq <= :covered
UNION ALL
SELECT c.id, c.begun_at, c.model, c.notebook, NULL, NULL, c.host, c.prompt FROM calls c
WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)
  AND NOT EXISTS (SELECT 1 FROM events e WHERE e.call = c.id AND e.kind = 'session-gone')
"""
_IN_WORDS = ("id", "model", "notebook", "simulated", "verdict", "host", "prompt")
_TOTAL = """
SELECT (SELECT count(*) FROM receipts) + count(*) FROM calls c
WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)
  AND NOT EXISTS (SELECT 1 FROM events e WHERE e.call = c.id AND e.kind = 'session-gone')
"""


#: What changes with every call that is begun, that goes on elsewhere, or whose receipt is saved,
#: and with all that is learnt of a receipt later.
_STATE = """
SELECT (SELECT max(seq) FROM receipts), (SELECT id FROM receipts ORDER BY seq DESC LIMIT 1),
  (SELECT max(seq) FROM events), (SELECT max(rowid) FROM calls), (SELECT count(*) FROM calls),
  (SELECT max(seq) FROM supplements)
"""


class LedgerReader(LedgerReading):
    """A ledger that can only be read.  A file that is not there is an empty ledger, and stays not
    there."""

    _read_only: ClassVar[bool] = True

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    def digests_in_order(self) -> list[str]:
        """The digest under which each receipt was saved, in that order."""
        return [r["digest"] for r in self._query("SELECT digest FROM receipts ORDER BY seq", ())]

    def state(self) -> str:
        """A short text that is another one after every change of what a page shows, whichever
        process made it; empty while there is no ledger."""
        if not self.exists:
            return ""
        now = json.dumps([*self._query(_STATE, ())[0]])
        return hashlib.sha256(now.encode()).hexdigest()[:16]

    def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        words: str = "",
        known: Found | None = None,
    ) -> Page:
        """``limit`` calls that come after the cursor, newest first; a call that never ended is
        among them.  With ``words``, only calls that have each of them, in any case: in the prompt,
        the ID, or the name of model, notebook, host or verdict.  ``known``: what an earlier page
        found; it is not searched for again while the ledger is the same.

        NoSuchPlace if the cursor is none that a page gave.
        """
        at, _, seen = (after or "").partition("~")
        if after is not None and not (_is_time(at) and seen.isalnum() and seen.isascii()):
            raise NoSuchPlace("The cursor `after` is not one that a page of the ledger gave.")
        if not self.exists:
            return Page((), None, 0)
        found = None
        if words.split():
            found = self._found(words, known)
            total = len(found.calls)
            rest = (one for one in found.calls if after is None or one < (at, seen))
            calls = list(islice(rest, limit + 1))
        else:
            total = int(self._query(_TOTAL, {})[0][0])
            page = self._query(_PAGE, {"at": at, "id": seen, "limit": limit + 1})
            calls = [(entry["at"], entry["id"]) for entry in page]
        rows = self._rows(calls[:limit])
        last = "~".join(calls[len(rows) - 1]) if len(rows) < len(calls) else None
        return Page(tuple(rows), last, total, found)

    def _rows(self, calls: list[tuple[str, str]]) -> list[LedgerRow]:
        """As many of them as a page holds."""
        rows: list[LedgerRow] = []
        content, size = self._contents(), 0
        for at, id in calls:
            sizes = self._query(
                "SELECT length(CAST(document AS BLOB)) AS size FROM receipts WHERE id = ?", (id,)
            )
            size += sizes[0]["size"] if sizes else 0
            if rows and size > MAX_PAGE_BYTES:
                break
            rows.append(self._row(at, id, content, has_receipt=bool(sizes)))
        return rows

    def _found(self, words: str, known: Found | None) -> Found:
        """Every call that has these words."""
        # Asked first: what is saved while this searches is not taken for searched.
        state = tuple(self._query(_STATE, ())[0])
        if known is not None and (known.words, known.state) == (words, state):
            return known
        wanted = [word.casefold() for word in words.split()]
        index = covered(self, wanted)
        among, up_to = ((), 0) if index is None else index
        found = []
        for entry in self._query(_SEARCHED, {"among": json.dumps([*among]), "covered": up_to}):
            text = " ".join(str(entry[name] or "") for name in _IN_WORDS).casefold()
            if all(word in text for word in wanted):
                found.append((entry["at"], entry["id"]))
        return Found(words, state, tuple(sorted(found, reverse=True)))

    def _row(self, at: str, id: str, content: Content, *, has_receipt: bool) -> LedgerRow:
        if has_receipt:
            receipt = self._query("SELECT * FROM receipts WHERE id = ?", (id,))[0]
            later = self._query("SELECT * FROM supplements WHERE receipt = ? ORDER BY seq", (id,))
            return self._listed(receipt, later, content)
        rows = self._without_receipt(id=id)
        if not rows:
            # Its receipt was saved since the page was begun.
            return LedgerRow(id, moment_of(at), self.get(id).document)
        return self._begun(rows[0])


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) <= 40
