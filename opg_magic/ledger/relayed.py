"""Calls that a relay paid for: how many, and how many tokens, in a day.  No money of the user's
moves."""

from __future__ import annotations

import json
import sqlite3

#: What is recorded before a call is sent: the most tokens that it may use.
ASKED = "relayed"
#: What is recorded once its answer came: the tokens that it used, by the host's count.
USED = "relayed-used"

# The newest first, so that reading ends where the day begins.
_OF_THE_DAY = """
SELECT e.at, e.call, e.kind, e.data FROM events e JOIN calls c ON c.id = e.call
WHERE e.kind IN ('relayed', 'relayed-used') AND c.network = ? ORDER BY e.seq DESC
"""


def used_since(db: sqlite3.Connection, network: str, day: str) -> tuple[int, int]:
    """Calls, and tokens, since a day: what was used where that is known, else the most that could
    be."""
    asked: dict[str, int] = {}
    used: dict[str, int] = {}
    for row in db.execute(_OF_THE_DAY, (network,)):
        if row["at"] < day:
            break
        into = asked if row["kind"] == ASKED else used
        into[row["call"]] = int(json.loads(row["data"])["tokens"])
    return len(asked), sum({**asked, **used}.values())
