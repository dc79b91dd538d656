"""``opg ask``: one question, paid and verified."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from opg_magic.cells.magic_line import OPTIONS, Form
from opg_magic.errors import ConfigError, PromptError
from opg_magic.shell.common import print_answer

#: The options of ``%%opg`` that are also of the shell: all but those of a cell.
_OPTIONS = tuple(option for option in OPTIONS if option.part != "cell")
#: What a value becomes; the rest is checked as in Python.
_TYPES: dict[Form, type] = {"text": str, "number": float, "count": int, "amount": str}


def add(commands: Any) -> None:
    """The command."""
    ask = commands.add_parser("ask", help="ask one question")
    ask.add_argument("prompt", help="the prompt, or - to read it from standard input")
    for option in _OPTIONS:
        ask.add_argument(
            option.flag,
            action="append" if option.repeat else "store",
            default=argparse.SUPPRESS,
            type=_TYPES[option.form],
            metavar=None if option.choices else option.metavar,
            choices=option.choices or None,
            help=option.help,
        )
    ask.set_defaults(handler=_ask)


def _ask(options: argparse.Namespace) -> int:
    from opg_magic.api import agree, ask

    prompt = _standard_input() if options.prompt == "-" else options.prompt
    given = {o.key: getattr(options, o.key) for o in _OPTIONS if hasattr(options, o.key)}
    if "hosts" not in given:
        if "quorum" in given:
            raise ConfigError("--quorum says how many of --hosts must agree: give both")
        return print_answer(ask(prompt, **given))
    agreed = agree(prompt, **given)
    print(agreed.claim.sentence, file=sys.stderr)
    return print_answer(agreed.answer)


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise PromptError(
            f"The prompt on standard input is not {sys.stdin.encoding} text. Nothing was sent.",
            hint="Set the shell's encoding, or PYTHONIOENCODING, to that of the text.",
        ) from None
