"""``opg receipts`` and ``opg show``: what the ledger holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.display import output
from opg_magic.errors import CallFailed, LedgerError
from opg_magic.shell.common import add_filters, chosen, print_answer, print_card, session

if TYPE_CHECKING:
    import pandas as pd

#: What ``opg receipts list`` prints of each call, and which columns it leaves out first, the last
#: one named first, where a line has no room for all.
_LISTED = (
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
)
_OPTIONAL = ("model", "host", "notebook", "settled_opg")
#: Characters of a prompt that are worth more than another column; and most of any other text.
_PROMPT, _MOST = 32, 24


def add(commands: Any) -> None:
    """The commands."""
    from opg_magic.ledger.formats import FORMATS

    receipts = commands.add_parser("receipts", help="list or export your receipts").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = receipts.add_parser("list", help="print the ledger, one row per call")
    listing.add_argument(
        "--full", action="store_true", help="print every column and each whole prompt, however wide"
    )
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
    from opg_magic.display import columns

    filters = chosen(options)
    frame = session().receipts(**filters)
    if not len(frame):
        none = "There are no receipts yet. Ask a question: opg ask PROMPT"
        print("No receipt fits these options." if filters else none, file=sys.stderr)
        return 0
    print(listed(frame, None if options.full else columns.line_width()))
    return 0


def listed(frame: pd.DataFrame, width: int | None) -> str:
    """The receipts of a frame as a table whose lines have ``width`` characters; None: with every
    column, and nothing cut."""
    from opg_magic.display import columns

    texts = {name: [_text(name, one, width) for one in frame[name]] for name in _LISTED}
    names = [name for name in _LISTED if width is None or name not in _OPTIONAL]
    if width is not None:
        used = sum(_wide(name, texts[name]) + 2 for name in names if name != "prompt")
        for name in _OPTIONAL:
            used += _wide(name, texts[name]) + 2
            if used + _PROMPT > width:
                break
            names.append(name)
    names.sort(key=_LISTED.index)
    right = [at for at, name in enumerate(names) if name.endswith("_opg")]
    rows = [names, *zip(*(texts[name] for name in names), strict=True)]
    return columns.table(rows, width, gives=names.index("prompt"), right=right)


def _wide(name: str, texts: Sequence[str]) -> int:
    from opg_magic.display.columns import drawn

    return max(map(drawn, (name, *texts)))


def _text(name: str, value: Any, width: int | None) -> str:
    """A cell of the list.  Of what is not known there is nothing."""
    from opg_magic.display.columns import cut

    if value is None or value != value:
        return ""
    if name == "time":
        return format(value, "%Y-%m-%d %H:%M:%S" if width is None else "%Y-%m-%d %H:%M")
    if name.endswith("_opg"):
        return f"{value:.6f}"
    return str(value) if width is None or name == "prompt" else cut(str(value), _MOST)


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
