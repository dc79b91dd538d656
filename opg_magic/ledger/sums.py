"""Sums over the ledger's rows: what may still be taken from a payer, and what calls cost.  All in
base units."""

from __future__ import annotations

import json
import sqlite3
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


def cost(db: sqlite3.Connection, network: str, token: Token, condition: str, value: str) -> int:
    """What calls cost: their share of what was settled, once that is known, and before that their
    host's figure.

    ``condition`` is a column of the receipts and its operator, never user input.
    """
    rows = db.execute(
        "SELECT id, cost, (SELECT evidence FROM supplements s WHERE s.receipt = receipts.id AND "
        "s.kind = 'payment'"
        f" ORDER BY s.seq DESC LIMIT 1) AS settled FROM receipts WHERE network = ? AND token = ? "
        f"AND {condition} ?",
        (network, token_key(token), value),
    )
    total = 0
    for row in rows:
        share = settled_share(json.loads(row["settled"]), row["id"]) if row["settled"] else None
        total += int(row["cost"] or 0) if share is None else share
    return total


def reserved(db: sqlite3.Connection, network: str, token: Token, condition: str, value: str) -> int:
    """Sum of what is reserved or was taken.  Days after today count too: a clock set back must not
    free anything."""
    rows = db.execute(
        "SELECT cap, (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = a.nonce) AS "
        "releases"
        f" FROM authorisations a WHERE network = ? AND token = ? AND {condition} ?",
        (network, token_key(token), value),
    )
    return sum(min([int(r["cap"]), *map(int, json.loads(r["releases"]))]) for r in rows)
