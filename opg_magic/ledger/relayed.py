"""Calls that a relay paid for: how many, and how many tokens, in a day.  No money of the user's
moves."""

from __future__ import annotations

import json
import sqlite3

#: What is recorded before a call is sent: the most tokens that it may use.
ASKED = "relayed"
#: What is recorded once its answer came: the tokens that it used, by the host's count.
USED = "relayed-used"

#: What is recorded of one that was never sent: it counts for nothing.
UNSENT = "relayed-unsent"

# The index of kinds and times first, the calls after: the day's rows alone are read.
_OF_THE_DAY = f"""
SELECT e.call, e.kind, e.data FROM events e CROSS JOIN calls c ON c.id = e.call
WHERE e.kind IN ('{ASKED}', '{USED}', '{UNSENT}') AND e.at >= ? AND c.network = ?
ORDER BY e.seq DESC
"""  # noqa: S608


def used_since(db: sqlite3.Connection, network: str, day: str) -> tuple[int, int]:
    """Calls, and tokens, since a day: what was used where that is known, else the most that could
    be.  Calls that were never sent are not counted."""
    asked: dict[str, int] = {}
    used: dict[str, int] = {}
    unsent: set[str] = set()
    for row in db.execute(_OF_THE_DAY, (day, network)):
        if row["kind"] == UNSENT:
            unsent.add(row["call"])
            continue
        into = asked if row["kind"] == ASKED else used
        into[row["call"]] = int(json.loads(row["data"])["tokens"])
    sent = {call: tokens for call, tokens in {**asked, **used}.items() if call not in unsent}
    return len(asked.keys() & sent.keys()), sum(sent.values())
