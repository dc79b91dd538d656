"""``opg ask``: one question, paid and verified."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from opg_magic.errors import ConfigError, PromptError
from opg_magic.shell.common import add_network, print_answer


def add(commands: Any) -> None:
    """The command."""
    ask = commands.add_parser("ask", help="ask one question")
    ask.add_argument("prompt", help="the prompt, or - to read it from standard input")
    ask.add_argument("--model", metavar="M", help="ask this model, as provider/name")
    ask.add_argument("--system", metavar="S", help="send this system message before the prompt")
    ask.add_argument("--temperature", type=float, metavar="T", help="set the sampling temperature")
    ask.add_argument(
        "--max-tokens", type=int, metavar="N", help="limit the answer to this many tokens"
    )
    ask.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end the answer before this text; up to four",
    )
    ask.add_argument(
        "--settle",
        choices=("private", "batch"),
        default="private",
        help="publish nothing on chain (private, the default), or hashes (batch)",
    )
    ask.add_argument("--host", metavar="ID", help="ask this host: its ID or the beginning of it")
    ask.add_argument(
        "--hosts",
        type=int,
        metavar="N",
        help="ask this many hosts of different owners, and compare their answers",
    )
    ask.add_argument(
        "--quorum",
        type=int,
        metavar="N",
        help="with --hosts: require this many to give the same answer (default: more than half)",
    )
    add_network(ask)
    ask.add_argument("--max-cost", metavar="OPG", help="refuse the call if its cap exceeds this")
    ask.add_argument(
        "--policy",
        choices=("default", "strict", "audit"),
        help="choose which checks must pass; can only be stricter than your settings",
    )
    ask.add_argument(
        "--timeout", type=float, metavar="S", help="give up the call after this many seconds"
    )
    ask.set_defaults(handler=_ask)


#: The options that the call takes as they are.
_GIVEN = (
    "model",
    "system",
    "temperature",
    "max_tokens",
    "stop",
    "settle",
    "host",
    "network",
    "max_cost",
    "policy",
    "timeout",
)


def _ask(options: argparse.Namespace) -> int:
    from opg_magic.api import agree, ask

    prompt = _standard_input() if options.prompt == "-" else options.prompt
    given = {name: getattr(options, name) for name in _GIVEN}
    if options.hosts is None:
        if options.quorum is not None:
            raise ConfigError("--quorum says how many of --hosts must agree: give both")
        return print_answer(ask(prompt, **given))
    agreed = agree(prompt, hosts=options.hosts, quorum=options.quorum, **given)
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
