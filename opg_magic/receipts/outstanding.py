"""What may still be taken from a payer: authorisations whose settlement is not known, over all kernels of a ledger."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from opg_magic.receipts.ledger_records import authorisation_of

#: Seconds past its deadline after which an authorisation cannot be settled any more, by the chain's own time.
MARGIN = timedelta(seconds=120)


def held(db: sqlite3.Connection, network: str, payer: str, at: datetime) -> int:
    """The sum of the caps, in base units, that can still be settled at ``at``, the time of the chain's newest block."""
    rows = db.execute(
        "SELECT authorisation FROM authorisations a WHERE network = ?"
        " AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.nonce = a.nonce)",
        (network,),
    )
    end = (at - MARGIN).timestamp()
    found = (authorisation_of(row["authorisation"]) for row in rows)
    return sum(a.cap for a in found if a.payer.lower() == payer.lower() and a.deadline >= end)
