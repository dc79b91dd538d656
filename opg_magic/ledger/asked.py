"""Which receipts answer a request that was asked before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import TYPE_CHECKING

from opg_magic.ledger import index

if TYPE_CHECKING:
    from opg_magic.ledger.reading import LedgerReading

#: Keys that one query looks for.
_AT_ONCE = 5000


def asked_before(ledger: LedgerReading, keys: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Ids of the receipts whose request has one of these keys
    (:func:`~opg_magic.ledger.index.request_key`), newest first.  Keys without any are left out.

    Whether a receipt answered, and whether its answer may be used, is for the caller to judge."""
    wanted = sorted(set(keys))
    if not wanted or not ledger.count():
        return {}
    found = index.use(ledger, lambda db: _found(db, wanted))
    return _read(ledger, set(wanted)) if found is None else found


def _found(db: sqlite3.Connection, keys: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        chosen = json.dumps(keys[start : start + _AT_ONCE])
        for key, id in db.execute(
            "SELECT request, id FROM asked WHERE request IN (SELECT value FROM json_each(?)) "
            "ORDER BY request, seq DESC",
            (chosen,),
        ):
            found.setdefault(key, []).append(id)
    return {key: tuple(ids) for key, ids in found.items()}


def _read(ledger: LedgerReading, keys: set[str]) -> dict[str, tuple[str, ...]]:
    """The same without an index."""
    found: dict[str, list[str]] = {}
    for row in ledger.rows():
        key = None if row.document is None else index.key_of(row.document)
        if key is not None and key in keys:
            found.setdefault(key, []).append(row.id)
    return {key: tuple(reversed(ids)) for key, ids in found.items()}


__all__ = ["asked_before"]
