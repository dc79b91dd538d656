"""Sums over the ledger's rows: what may still be taken from a payer, and what calls cost.  All in
base units."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta

from opg_magic.ledger.records import authorisation_of, token_key
from opg_magic.models.networks import Token
from opg_magic.receipt.collected import settled_share

#: Past its deadline and this, by the chain's own time, an authorisation cannot be settled any more.
MARGIN = timedelta(seconds=120)


def held(db: sqlite3.Connection, network: str, payer: str, at: datetime) -> int:
    """The caps of authorisations, over all kernels, that can still be settled at ``at``, the
    chain's newest block."""
    rows = db.execute(
        "SELECT authorisation FROM authorisations a WHERE network = ?"
        " AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.nonce = a.nonce)",
        (network,),
    )
    end = (at - MARGIN).timestamp()
    found = (authorisation_of(row["authorisation"]) for row in rows)
    return sum(a.cap for a in found if a.payer.lower() == payer.lower() and a.deadline >= end)


_COSTS = """
SELECT id, cost, (
  SELECT evidence FROM supplements s
  WHERE s.receipt = receipts.id AND s.kind = 'payment'
  ORDER BY s.seq DESC LIMIT 1
) AS settled
FROM receipts
WHERE network = :network AND token = :token
  AND created_at >= coalesce(:since, '') AND (:kernel IS NULL OR kernel = :kernel)
"""


def cost(
    db: sqlite3.Connection,
    network: str,
    token: Token,
    *,
    kernel: str | None = None,
    since: str | None = None,
) -> int:
    """What calls cost, of one kernel or since a day (UTC): their share of what was settled, once
    that is known, and before that their host's figure."""
    chosen = {"network": network, "token": token_key(token), "kernel": kernel, "since": since}
    total = 0
    for row in db.execute(_COSTS, chosen):
        share = settled_share(json.loads(row["settled"]), row["id"]) if row["settled"] else None
        total += int(row["cost"] or 0) if share is None else share
    return total


# A query for each, so that each has its index: these stand in the way of every call.
_RESERVED_BY_KERNEL = """
SELECT cap, (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = a.nonce) AS releases
FROM authorisations a WHERE network = ? AND token = ? AND kernel = ?
"""
_RESERVED_SINCE = """
SELECT cap, (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = a.nonce) AS releases
FROM authorisations a WHERE network = ? AND token = ? AND last_day >= ?
"""


def reserved_by_kernel(db: sqlite3.Connection, network: str, token: Token, kernel: str) -> int:
    """Sum of what is reserved for one kernel's calls, or was taken for them."""
    return _reserved(db.execute(_RESERVED_BY_KERNEL, (network, token_key(token), kernel)))


def reserved_since(db: sqlite3.Connection, network: str, token: Token, day: str) -> int:
    """Sum of what is reserved or was taken since a day.  Days after today count too: a clock set
    back must not free anything."""
    return _reserved(db.execute(_RESERVED_SINCE, (network, token_key(token), day)))


def _reserved(rows: Iterable[sqlite3.Row]) -> int:
    return sum(min([int(r["cap"]), *map(int, json.loads(r["releases"]))]) for r in rows)
