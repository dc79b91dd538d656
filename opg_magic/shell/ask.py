"""``opg ask``: one question, paid and verified."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from opg_magic.cells.magic_line import OPTIONS, Form, Option
from opg_magic.errors import (
    CallInterrupted,
    ConfigError,
    HostsDisagree,
    OpgError,
    PromptError,
    ShapeMismatch,
)
from opg_magic.models.plain_text import inert
from opg_magic.shapes import fitted
from opg_magic.shell import standard_input
from opg_magic.shell.common import print_answer, print_text

if TYPE_CHECKING:
    from opg_magic.models import Answer
    from opg_magic.shapes import Shape
    from opg_magic.shell.streaming import Stream

#: The options of ``%%opg`` that are also of the shell: all but those of a cell.
_OPTIONS = tuple(option for option in OPTIONS if option.part != "cell")
#: Help that a shell needs otherwise than a cell: it has no ``answer.data``, no table and no types.
_HELP = {
    "--hosts": "ask this many hosts of different owners, and compare their answers",
    "--template": "fill the prompt into a template from your settings",
    "--file": "send this text file after the prompt, or - for standard input; its size is shown "
    "first",
    "--schema": 'ask for data: "name, year int", a JSON Schema or its file',
    "--format": "print the answer in this format; df: a table of --schema",
}
#: What a value becomes; the rest is checked as in Python.
_TYPES: dict[Form, type] = {"text": str, "number": float, "count": int, "amount": str, "name": str}


def add_options(parser: argparse.ArgumentParser, some: Iterable[Option]) -> None:
    """Add options of ``%%opg`` to a command."""
    for option in some:
        parser.add_argument(
            *filter(None, (option.short, option.flag)),
            action="append" if option.repeat else "store",
            default=argparse.SUPPRESS,
            type=_TYPES[option.form],
            metavar=None if option.choices else option.metavar,
            choices=option.choices or None,
            help=_HELP.get(option.flag, option.help),
        )


def given_of(options: argparse.Namespace, some: Iterable[Option]) -> dict[str, Any]:
    """What was given of these options, by their keys."""
    return {one.key: getattr(options, one.key) for one in some if hasattr(options, one.key)}


def add(commands: Any) -> None:
    """The command."""
    ask = commands.add_parser("ask", help="ask one question")
    ask.add_argument(
        "prompt", nargs="?", help="the prompt; without it, or with -, read it from standard input"
    )
    add_options(ask, _OPTIONS)
    ask.add_argument(
        "--no-stream",
        action="store_true",
        help="print nothing before the checks; a pipe or a file never gets unchecked text",
    )
    ask.add_argument("--cost", action="store_true", help="print what the call cost, to stderr")
    ask.add_argument(
        "--json", action="store_true", help="print answer, checks and cost, or the error, as JSON"
    )
    ask.add_argument(
        "--quiet", action="store_true", help="print the answer alone; what fails is still told"
    )
    ask.set_defaults(handler=_ask)


def _ask(options: argparse.Namespace) -> int:
    from opg_magic.shell import results

    shown = False
    try:
        shape = _shape(options)
        answer, shown = _answered(options, shape)
        answer = fitted(answer, shape)
    except (OpgError, CallInterrupted) as problem:
        if not options.json:
            if isinstance(problem, ShapeMismatch) and problem.answer is not None and not shown:
                # It passed its checks, and is paid for.
                print(inert(problem.answer.text) + "\n", file=sys.stderr)
            raise
        results.print_problem(problem)
        return 130 if isinstance(problem, CallInterrupted) else _code(problem)
    if options.json:
        results.print_result(answer, shape)
        return 0
    brief = not sys.stderr.isatty()
    if options.quiet:
        print_text(answer, shown=shown, text=_formatted(answer, shape))
        code = 0
    else:
        code = print_answer(answer, shown=shown, text=_formatted(answer, shape), brief=brief)
    if options.cost:
        print("\n" + results.cost_in_words(answer.cost), file=sys.stderr)
    return code


def _shape(options: argparse.Namespace) -> Shape | None:
    """What the answer shall be.  Raises ArgumentError; nothing was sent."""
    from opg_magic import shapes

    words, format = getattr(options, "schema", None), getattr(options, "format", None)
    named = None if words is None else shapes.resolve_words(words, format=format)
    return shapes.wanted(named, format)


def _formatted(answer: Answer, shape: Shape | None) -> str | None:
    """The answer as ``--format`` has it; None: as its text is."""
    if shape is None or answer.data is None:
        return None
    if shape.format == "df":
        from opg_magic.display.data import table_text

        return table_text(answer.data)
    if shape.format == "code":
        return str(answer.data)
    if shape.format == "json":
        return json.dumps(shape.output(answer), ensure_ascii=False, indent=2)
    return None


def _code(problem: OpgError) -> int:
    """As ``main`` has it of an error that is printed in words."""
    return 2 if isinstance(problem, (ConfigError, PromptError)) else 1


def _agreed(agree: Any, prompt: str, given: dict[str, Any]) -> Answer:
    """The answer of several hosts; where they disagree, each answer with what differs marked."""
    try:
        agreed = agree(prompt, **given)
    except HostsDisagree as problem:
        from opg_magic.display.several import comparison_bundle

        print(comparison_bundle(problem.answers)["text/plain"], file=sys.stderr)
        raise
    answer: Answer = agreed.answer
    return answer


def _answered(options: argparse.Namespace, shape: Shape | None) -> tuple[Answer, bool]:
    """The answer, and whether it stands on the terminal already."""
    from opg_magic import api
    from opg_magic.call.composing import composed
    from opg_magic.call.session import current_session

    given = given_of(options, _OPTIONS)
    text, piped = standard_input.read(options.prompt, given.get("file", ()))
    made = composed(
        text,
        current_session().settings,
        model=given.get("model"),
        network=given.get("network"),
        template=given.pop("template", None),
        files=given.pop("file", ()),
        piped=piped,
    )
    if made.announcement is not None:
        print(made.announcement[0].upper() + made.announcement[1:] + ".", file=sys.stderr)
    given["model"] = made.model
    given.update(schema=shape if "schema" in given else None)
    if "hosts" in given:
        return _agreed(api.agree, made.prompt.text, given), False
    if "quorum" in given:
        raise ConfigError("--quorum needs --hosts")
    session, prompt, call = api.prepare(made.prompt.text, **given)
    stream = stream_of(options, session.settings.get("policy"), given.get("policy"))
    if stream is None:
        return session.ask(prompt, call), False
    try:
        answer = session.ask(prompt, call, stream)
    except BaseException:
        stream.failed()
        raise
    return answer, stream.ended(answer.text)


def stream_of(options: argparse.Namespace, *policies: str | None) -> Stream | None:
    """Where unchecked text may go: to a terminal, unless a policy forbids it."""
    from opg_magic.shell.streaming import Stream
    from opg_magic.verify import combine, policy

    strictest = combine(*(policy(name) for name in policies if name is not None))
    formatted = getattr(options, "format", None) in ("json", "code", "df")
    quiet = (
        options.no_stream
        or getattr(options, "json", False)
        or formatted
        or strictest.withhold_missing
    )
    return None if quiet or not sys.stdout.isatty() else Stream()
