"""``opg ledger``: is it whole, and what it holds as it was saved (``check``); save what can be read
(``rescue``)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """The commands of ``opg ledger``."""
    ledger = commands.add_parser("ledger", help="check or rescue the ledger's file").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = ledger.add_parser("check", help="read the whole ledger and report what is damaged")
    check.add_argument("path", nargs="?", type=Path, help="a file other than your ledger")
    check.add_argument(
        "--head",
        metavar="HEAD",
        help="compare with a head that you kept: what an earlier check printed",
    )
    check.set_defaults(handler=_check)
    rescue = ledger.add_parser(
        "rescue", help="copy what can be read of a damaged ledger into a new file"
    )
    rescue.add_argument("path", nargs="?", type=Path, help="a file other than your ledger")
    rescue.add_argument(
        "--to", type=Path, metavar="NEW", help="write this new file; it must not exist yet"
    )
    rescue.add_argument(
        "--log",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="read also this log (-wal), which was kept elsewhere",
    )
    rescue.set_defaults(handler=_rescue)


def _path(options: argparse.Namespace) -> Path:
    from opg_magic.settings import paths

    chosen: Path | None = options.path
    return chosen if chosen is not None else paths.ledger_file()


def _check(options: argparse.Namespace) -> int:
    from opg_magic.errors import LedgerError
    from opg_magic.ledger import head
    from opg_magic.ledger.pages import LedgerReader

    path = _path(options)
    with LedgerReader(path) as ledger:
        if not ledger.exists:
            raise LedgerError(
                f"There is no ledger {path}.", hint="One is made with the first call."
            )
        findings = [*_torn(path), *ledger.findings()]
        # Of a damaged one nothing more is read than was asked for.
        digests = [] if findings and options.head is None else ledger.digests_in_order()
        other = None if options.head is None else head.head_fault(options.head, digests)
    if other is not None:
        print(f"✗ {other}")
    if findings:
        print("\n".join(f"✗ {one}" for one in findings))
        print(
            f"{path} is damaged. You can still export what can be read, and save it with: opg "
            "ledger rescue"
        )
        return 1
    if other is not None:
        return 1
    number = len(digests)
    print(
        f"{path} is intact: {number} receipt{'s' * (number != 1)}, unchanged since "
        f"{'it was' if number == 1 else 'they were'} saved."
    )
    # Without one that is kept elsewhere, an older copy in this place goes unnoticed.
    print(f"Head, to keep elsewhere and compare with --head: {head.head_of(digests)}")
    return 0


def _torn(path: Path) -> list[str]:
    from opg_magic.ledger.rescue import deleted_files

    return [
        f"Process {one.pid} is writing to a {'log' if one.log else 'ledger'} that was deleted. Run "
        "opg ledger rescue before you end it."
        for one in deleted_files(path)
    ]


def _rescue(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from opg_magic.ledger.rescue import rescue

    path = _path(options)
    target = options.to or path.with_name(
        f"{path.stem}-rescued-{datetime.now(UTC):%Y%m%d-%H%M%S}.sqlite"
    )
    print(rescue(path, target, logs=options.log))
    print(
        f"{path} is unchanged. To use the new file, end all kernels, move {path.name}, "
        f"{path.name}-wal and {path.name}-shm away, then move {target.name} to {path}."
    )
    return 0
