"""What several commands of ``opg`` share: the session, options of one meaning, and how an answer is
printed."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

from opg_magic.display import output

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.display.card import Card
    from opg_magic.models import Answer

#: Options that narrow the ledger, each with what it takes and what it means.
FILTERS = {
    "since": ("TIME", "leave out calls before this (UTC): yesterday, 3 days ago, 2026-11-20"),
    "until": ("TIME", "leave out calls from this on (UTC); a date includes that day"),
    "notebook": ("NAME", "only calls of this notebook: its name or path"),
    "model": ("M", "only calls of this model, as asked or as answered"),
    "verdict": ("V", "only calls with this verdict: VERIFIED, SIMULATED, PARTIAL, FAILED, …"),
    "network": ("N", "only calls on this network: sim or opengradient"),
    "host": ("ID", "only calls to this host: its ID or the beginning of it"),
    "kernel": ("ID", "only calls of this kernel"),
}


def add_filters(parser: argparse.ArgumentParser) -> None:
    """The options that narrow the ledger."""
    parser.add_argument(
        "-q",
        "--search",
        metavar="WORDS",
        help="only calls whose prompt, answer, problem, model, notebook or ID holds these words",
    )
    for name, (metavar, text) in FILTERS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The filters that were given."""
    names = ("search", *FILTERS)
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def add_network(parser: argparse.ArgumentParser) -> None:
    """``--network``"""
    parser.add_argument(
        "--network", metavar="N", help="use sim or opengradient instead of the one in your settings"
    )


def session(options: argparse.Namespace | None = None) -> Session:
    """The session of this process, on the network that was chosen."""
    from opg_magic.call.session import current_session

    found = current_session()
    if options is not None and getattr(options, "network", None):
        found.settings.set("network", options.network)
    return found


def in_a_shell(text: str) -> str:
    """Words of ours with the commands as a shell has them; those of a notebook do not work
    there."""
    text = text.replace("%opg receipts", "opg receipts list")
    text = re.sub(r"(?<!%)%opg(?= )(?! \w+ in a notebook)", "opg", text)
    text = re.sub(r"\brun the cell again\b", "ask again", text)
    text = re.sub(r"\bRun the cell again\b", "Ask again", text)
    return text.replace("Run a cell that starts with %%opg.", "Ask a question: opg ask PROMPT")


def print_card(shown: Card, file: TextIO | None = None) -> None:
    """A card with every check, as wide as the terminal."""
    from opg_magic.display import plain

    width = _columns(sys.stdout if file is None else file)
    print(in_a_shell(plain.card(shown, all_rows=True, width=width)), file=file)


def _columns(file: TextIO) -> int:
    """How wide lines may be there."""
    import shutil

    from opg_magic.display import plain

    if not file.isatty():
        return plain.WIDTH
    return max(40, min(plain.WIDTH, shutil.get_terminal_size((plain.WIDTH, 24)).columns - 1))


def print_line(shown: Card, file: TextIO) -> None:
    """A card's first line, and where the others are: for a log."""
    from opg_magic.display import plain

    lines = plain.headline(shown)
    if shown.receipt_id is not None:
        lines.append(f"  Every check: opg show {shown.receipt_id}")
    print(in_a_shell("\n".join(lines)), file=file)


def print_answer(
    answer: Answer, *, shown: bool = False, text: str | None = None, brief: bool = False
) -> int:
    """The answer on stdout, its card on stderr; returns the exit code.  ``shown``: the answer
    stands there already.  ``text``: another form of it.  ``brief``: of the card the first line."""
    from opg_magic.display import card

    print_text(answer, shown=shown, text=text)
    print(file=sys.stderr)
    (print_line if brief else print_card)(card.of_answer(answer, by=card.HERE), sys.stderr)
    return 0


def print_text(answer: Answer, *, shown: bool = False, text: str | None = None) -> None:
    """The answer on stdout, as :func:`print_answer`."""
    from opg_magic.models.plain_text import inert

    text = inert(answer.text if text is None else text)
    if not shown:
        print(text)
    if not output.holds(text):
        escapes = "as \\x, \\u or \\U with its number"
        print(
            f"\nThis output is {sys.stdout.encoding}: a character that it lacks is printed "
            f"{escapes}.",
            file=sys.stderr,
        )
