"""``opg verify``: judge receipts, or a notebook, on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.display import output
from opg_magic.models.arguments import ROUTES

if TYPE_CHECKING:
    from opg_magic.audit.report import Report
    from opg_magic.settings.config import Settings
    from opg_magic.verify.policy import Policy


_EXIT = (
    "Exit status: 0 verified; 1 altered, or fails although its author recorded otherwise; 2 "
    "unreadable; 3 not enough to say; 4 opg itself failed; 5 good, but for calls that failed when "
    "they were made."
)


def add(commands: Any) -> None:
    """The command."""
    verify = commands.add_parser(
        "verify",
        help="verify a receipt (.json), receipts (.jsonl) or a notebook (.ipynb)",
        description="Check receipts again on this machine. Nothing named in the file is contacted.",
        epilog=_EXIT,
    )
    _files(verify)
    verify.add_argument(
        "--policy",
        choices=("default", "strict", "audit"),
        default="default",
        help="choose which checks must pass (default: default)",
    )
    verify.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="CLAIM",
        help="also require this check to pass, such as settlement",
    )
    verify.add_argument(
        "--route",
        choices=ROUTES,
        help="also require the call to have taken this route",
    )
    _rpcs(verify)
    verify.add_argument(
        "--receipt", metavar="ID", help="verify only this receipt: its ID or the beginning of it"
    )
    verify.add_argument(
        "--allow-simulated",
        action="store_true",
        help="exit 0 also for receipts of this installation's own simulated network",
    )
    verify.add_argument(
        "--mine",
        action="store_true",
        help="accept as asked what your own kernel asked, for receipts that your ledger holds",
    )
    verify.add_argument(
        "--weights",
        action="store_true",
        help="check that open weights give each answer, by running those that you trust",
    )
    _forms(verify)
    verify.set_defaults(handler=_verify, judges=True)


def _rpcs(verify: argparse.ArgumentParser) -> None:
    verify.add_argument(
        "--rpc",
        action="append",
        default=[],
        metavar="URL",
        help="query this RPC of the registry's chain; several must agree",
    )
    verify.add_argument(
        "--payment-rpc",
        action="append",
        default=[],
        metavar="URL",
        help="query this RPC of the payment chain; several must agree",
    )


def _files(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("path", type=Path, help="a .json, .jsonl or .ipynb file")
    verify.add_argument(
        "receipts",
        type=Path,
        nargs="?",
        help="receipts (.jsonl) that the notebook names and does not hold",
    )


def _forms(verify: argparse.ArgumentParser) -> None:
    """The options that say how the report is printed."""
    form = verify.add_mutually_exclusive_group()
    form.add_argument(
        "--verbose", action="store_true", help="print every check of every receipt, not a summary"
    )
    form.add_argument("--json", action="store_true", help="print the whole report as JSON")
    form.add_argument(
        "--csv",
        action="store_true",
        help="print a table, one row per receipt, one column per check",
    )


def _verify(options: argparse.Namespace) -> int:
    from opg_magic.audit.judgement import verify_path
    from opg_magic.call.state import reader_trust
    from opg_magic.settings.config import Settings

    settings = Settings()
    lookups: Any = None
    with contextlib.ExitStack() as stack:
        if options.rpc or options.payment_rpc:
            from opg_magic.audit.rpc_lookups import rpc_lookups
            from opg_magic.network.profiles import resolve_by_rpcs

            lookups = stack.enter_context(
                rpc_lookups(
                    registry_rpcs=options.rpc,
                    payment_rpcs=options.payment_rpc,
                    network=resolve_by_rpcs([*options.rpc, *options.payment_rpc], settings),
                )
            )
        rerun = None
        if options.weights:
            from opg_magic.weights.check import Checker

            rerun = stack.enter_context(Checker()).run
        report = verify_path(
            options.path,
            policy=_policy(options, settings),
            trust=reader_trust(settings),
            rpc_reader=lookups and lookups.registry,
            payment_reader=lookups and lookups.payment,
            settlement_reader=lookups and lookups.settlement,
            allow_simulated=options.allow_simulated,
            receipt=options.receipt,
            own=_own(stack) if options.mine else None,
            rerun=rerun,
            receipts=options.receipts,
        )
    try:
        print(_shown(report, options), end="" if options.csv else "\n", flush=True)
    except BrokenPipeError:
        # Nobody reads on; the verdict is the same.
        output.nobody_reads()
    return int(report.exit_code)


def _policy(options: argparse.Namespace, settings: Settings) -> Policy:
    """What must pass: the options add to the reader's own settings.  Raises ConfigError if the two
    require different routes."""
    from opg_magic.verify.policy import combine, policy, requiring

    base = policy(options.policy)
    own = settings.get("required_route")
    claims = [*settings.get("required_claims"), *options.require]
    return combine(
        requiring(base, claims, None if own == "any" else own), requiring(base, [], options.route)
    )


def _shown(report: Report, options: argparse.Namespace) -> str:
    if options.json:
        return json.dumps(report.to_json(), indent=2)
    if options.csv:
        return report.to_csv()
    return report.to_text(verbose=options.verbose or options.receipt is not None)


def _own(stack: contextlib.ExitStack) -> Any:
    """Looks receipts up in the user's own ledger."""
    from opg_magic.ledger.own import own
    from opg_magic.ledger.pages import LedgerReader
    from opg_magic.settings import paths

    reader = stack.enter_context(LedgerReader(paths.ledger_file()))
    return lambda receipt: own(reader, receipt.id, receipt.computed_digest)
