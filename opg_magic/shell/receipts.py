"""``opg receipts`` and ``opg show``: what the ledger holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from opg_magic.display import output
from opg_magic.errors import CallFailed, LedgerError
from opg_magic.shell.common import add_filters, chosen, print_answer, print_card, session

#: What ``opg receipts list`` prints of each call.
_LISTED = [
    "time",
    "prompt",
    "verdict",
    "charge",
    "cost_opg",
    "settled_opg",
    "model",
    "host",
    "notebook",
    "id",
]
#: Characters of a prompt there; ``opg show ID`` has all of it.
_MOST = 40


def add(commands: Any) -> None:
    """The commands."""
    from opg_magic.ledger.formats import FORMATS

    receipts = commands.add_parser("receipts", help="list or export your receipts").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = receipts.add_parser("list", help="print the ledger, one row per call")
    add_filters(listing)
    listing.set_defaults(handler=_list)

    formats = ", ".join(f"{one.suffix} ({one.summary})" for one in FORMATS.values())
    export = receipts.add_parser("export", help=f"write the ledger to a file: {', '.join(FORMATS)}")
    export.add_argument("path", type=Path, help=f"the file; its ending says the format: {formats}")
    export.add_argument(
        "--excel", action="store_true", help="mark a .csv so that Excel reads it as UTF-8"
    )
    add_filters(export)
    export.set_defaults(handler=_export)

    show = commands.add_parser("show", help="print a saved answer again, at no cost")
    show.add_argument("id", help="a receipt's ID, its beginning, or 'last'")
    show.add_argument(
        "--unverified", action="store_true", help="print the answer even if it was withheld"
    )
    show.add_argument("--json", action="store_true", help="print the whole receipt")
    show.set_defaults(handler=_show)


def _list(options: argparse.Namespace) -> int:
    import pandas as pd

    frame = session().receipts(**chosen(options))
    frame["prompt"] = [_short(prompt) for prompt in frame["prompt"]]
    with pd.option_context(
        "display.max_rows", None, "display.width", 160, "display.max_columns", None
    ):
        print(frame[_LISTED].to_string(index=False) if len(frame) else "no receipts")
    return 0


def _short(prompt: Any) -> str:
    from opg_magic.display.words import one_line

    return one_line(prompt, _MOST) if isinstance(prompt, str) else ""


def _export(options: argparse.Namespace) -> int:
    from opg_magic.ledger.export import export

    done = export(session().ledger, options.path, excel=options.excel, **chosen(options))
    print(done)
    return 1 if done.damaged or done.file_damaged else 0


def _show(options: argparse.Namespace) -> int:
    kernel = session()
    if options.json:
        ledger = kernel.ledger
        receipt = ledger.last() if options.id == "last" else ledger.get(options.id)
        if receipt is None:
            raise LedgerError("The ledger holds no receipt yet.")
        print(output.json_text(receipt.document, receipt.to_json()))
        return 0
    try:
        answer = kernel.show(options.id, unverified=options.unverified)
    except CallFailed as problem:
        # There is no answer to print: the card says what there is, and the error how to read what
        # was withheld.
        if problem.receipt_id is not None:
            from opg_magic.display import card

            print_card(card.of_kept(kernel.ledger.get(problem.receipt_id), problem.verdict))
            problem.receipt_id = None
        raise
    return print_answer(answer)
