"""``opg ledger check``: is the file whole, and what it holds as it was saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """The commands of ``opg ledger``."""
    ledger = commands.add_parser("ledger", help="the ledger's file").add_subparsers(required=True, metavar="COMMAND")
    check = ledger.add_parser("check", help="read all of the ledger, and say what is damaged")
    check.add_argument("path", nargs="?", type=Path, help="another file than your ledger")
    check.set_defaults(handler=_check)


def _path(options: argparse.Namespace) -> Path:
    from opg_magic import paths

    chosen: Path | None = options.path
    return chosen if chosen is not None else paths.ledger_file()


def _check(options: argparse.Namespace) -> int:
    from opg_magic.errors import LedgerError
    from opg_magic.server.ledger import LedgerReader

    path = _path(options)
    with LedgerReader(path) as ledger:
        if not ledger.exists:
            raise LedgerError(f"There is no ledger {path}.", hint="One is made with the first call.")
        findings = ledger.findings()
        number = None if findings else ledger.count()
    if findings:
        print("\n".join(f"✗ {one}" for one in findings))
        print(f"{path} is damaged. What can be read is exported all the same, and can be saved: opg ledger rescue")
        return 1
    print(
        f"{path} is whole: {number} receipt{'s' * (number != 1)}, as {'it was' if number == 1 else 'they were'} saved."
    )
    return 0
