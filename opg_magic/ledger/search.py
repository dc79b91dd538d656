"""Text search: which calls hold these words.

An index (:mod:`opg_magic.ledger.index`) narrows down what is read; whether a call holds the words
is decided by what was read (:func:`holds`)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opg_magic.ledger import index
from opg_magic.ledger.index import SEARCHED
from opg_magic.ledger.records import plain_text

if TYPE_CHECKING:
    from opg_magic.ledger.reading import LedgerReading

#: Fewer calls than this are read without an index.
_FEW = 200
_WORDS = re.compile(r'"([^"]+)"|(\S+)')


def search_terms(words: str | None) -> tuple[str, ...]:
    """The words of a search, without regard to case; what stands in double quotes is one."""
    return tuple((a or b).casefold() for a, b in _WORDS.findall(words or "") if (a or b).strip())


def holds(cells: Mapping[str, Any], terms: Sequence[str]) -> bool:
    """Whether a row of the table holds every term in one of :data:`SEARCHED`."""
    if not terms:
        return True
    texts = [str(cells[name]).casefold() for name in SEARCHED if cells[name] is not None]
    return all(any(term in text for text in texts) for term in terms)


def candidates(ledger: LedgerReading, terms: Sequence[str]) -> Collection[int] | None:
    """Numbers (``seq``) of the receipts that may hold the terms; None if all may."""
    usable = _usable(terms)
    if not usable or ledger.count() < _FEW:
        return None
    return index.use(ledger, lambda db: _matching(db, usable))


def covered(ledger: LedgerReading, terms: Sequence[str]) -> tuple[Collection[int], int] | None:
    """The receipts that may hold the terms, and the number up to which the index covers them: all
    later ones may too.  None if all may.

    Only reads the index, as it is: for who may write nothing."""
    usable = _usable(terms)
    return index.use_as_it_is(ledger, lambda db: _matching(db, usable)) if usable else None


def _usable(terms: Sequence[str]) -> list[str]:
    return [term for term in terms if len(term) >= 3 and "\0" not in term]


def _matching(db: sqlite3.Connection, terms: Sequence[str]) -> Collection[int]:
    quoted = " AND ".join('"' + plain_text(term).replace('"', '""') + '"' for term in terms)
    hits = db.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (quoted,))
    return {row[0] for row in hits} | {row[0] for row in db.execute("SELECT seq FROM unread")}


__all__ = ["SEARCHED", "candidates", "covered", "holds", "search_terms"]
