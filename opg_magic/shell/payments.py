"""``opg reconcile`` and ``opg settle``: what the chains show of your calls by now."""

from __future__ import annotations

import argparse
from typing import Any

from opg_magic.display import columns
from opg_magic.shell.common import session


def add(commands: Any) -> None:
    """The commands."""
    reconcile = commands.add_parser(
        "reconcile", help="look up on the payment chain what open payments came to"
    )
    reconcile.set_defaults(handler=_reconcile)
    settle = commands.add_parser("settle", help="look for batches that hold your calls' hashes")
    settle.add_argument(
        "--watch", action="store_true", help="keep looking until every call's batch is found"
    )
    settle.set_defaults(handler=_settle)


def _reconcile(_: argparse.Namespace) -> int:
    from opg_magic.models.plain_text import plural

    print(f"{plural(session().reconcile(), 'authorisation')} settled or expired")
    return 0


def _settle(options: argparse.Namespace) -> int:
    found = session().settle(watch=options.watch)
    rows = [(one.receipt_id, one.status, one.detail) for one in found]
    print(columns.table(rows, columns.line_width(), wraps=True), end="\n" if found else "")
    if not found:
        print("no receipt waits for a settlement")
    return 0 if all(outcome.status == "settled" for outcome in found) else 3
