"""``opg chat``: a conversation line by line, and what the ledger holds of others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opg_magic.cells.magic_line import OPTIONS
from opg_magic.errors import CallInterrupted, ConfigError, OpgError
from opg_magic.models.plain_text import inert, isolated
from opg_magic.shell.ask import add_options, given_of, stream_of
from opg_magic.shell.common import in_a_shell

_OPTIONS = tuple(option for option in OPTIONS if option.part in ("prompt", "call"))
#: What is done with chats, with the words that each takes.
_ACTIONS = {"list": 0, "show": 1, "fork": 2, "forget": 1, "export": 2}


def add(commands: Any) -> None:
    """The command."""
    chat = commands.add_parser(
        "chat",
        help="talk line by line; list, show, fork, forget, export chats",
        description="opg chat NAME talks, one line per prompt, until the end of input. opg chat "
        "list, show NAME, fork NAME NEW, forget NAME and export NAME FILE.jsonl manage chats.",
    )
    chat.add_argument("words", nargs="+", metavar="NAME|ACTION", help="a chat, or what to do")
    add_options(chat, _OPTIONS)
    chat.add_argument(
        "--no-stream", action="store_true", help="print nothing before the checks have passed"
    )
    chat.set_defaults(handler=_chat)


def _chat(options: argparse.Namespace) -> int:
    from opg_magic.call.chats import checked_name
    from opg_magic.call.session import current_session

    action, *words = options.words
    if action not in _ACTIONS:
        if words:
            raise ConfigError(
                f"opg chat has no action {action}.", hint=f"Actions: {', '.join(_ACTIONS)}."
            )
        return _talk(options, checked_name(action))
    if len(words) != _ACTIONS[action]:
        raise ConfigError(f"opg chat {action} takes {_ACTIONS[action]} words, not {len(words)}.")
    chats = current_session().chats
    if action == "list":
        found = list(chats.lines())
        if not found:
            print("There are no chats yet. Begin one: opg chat NAME", file=sys.stderr)
        for one in found:
            prompt = isolated(inert(" ".join(one.prompt.split()))[:60])
            print(f"{one.name}\t{one.calls}\t{one.at:%Y-%m-%d %H:%M}\t{one.model}\t{prompt}")
    elif action == "show":
        from opg_magic.display.conversation import text_of

        print(text_of(chats.receipts(words[0])))
    elif action == "fork":
        chats.fork(*words)
        print(f"Chat {words[1]} goes on from where {words[0]} stands now: --chat {words[1]}")
    elif action == "forget":
        if chats.forget(words[0]):
            print(f"Nothing of {words[0]} is sent again. Its receipts stay in the ledger.")
        else:
            print(f"There is no chat {words[0]}.")
    else:
        from opg_magic.models.plain_text import plural

        count = chats.export(words[0], Path(words[1]))
        print(f"{plural(count, 'receipt')} in {words[1]}. To check them: opg verify {words[1]}")
    return 0


def _talk(options: argparse.Namespace, name: str) -> int:
    """Each line is a prompt.  At a terminal a failed call is told and the chat goes on; elsewhere
    it ends the command."""
    given = given_of(options, _OPTIONS)
    for text in _lines(f"{name}> "):
        try:
            _say(options, text, given | {"chat": name})
        except (OpgError, CallInterrupted) as problem:
            if not _at_a_terminal():
                raise
            print(in_a_shell("\n".join(problem._render_traceback_())), file=sys.stderr)
        else:
            # The chat keeps the system message that it began with.
            given.pop("system", None)
    return 0


def _say(options: argparse.Namespace, text: str, given: dict[str, Any]) -> None:
    from opg_magic import api
    from opg_magic.display.conversation import footer
    from opg_magic.receipt.document import receipt_of

    session, prompt, call = api.prepare(text, **given)
    stream = stream_of(options, session.settings.get("policy"), given.get("policy"))
    try:
        answer = session.ask(prompt, call, stream)
    except BaseException:
        if stream is not None:
            stream.failed()
        raise
    if stream is None or not stream.ended(answer.text):
        print(inert(answer.text))
    print(footer(receipt_of(answer)), file=sys.stderr)


def _lines(asking: str) -> Iterator[str]:
    while True:
        try:
            line = input(asking) if _at_a_terminal() else sys.stdin.readline()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        if not line and not _at_a_terminal():
            return
        if line.strip():
            yield line.rstrip("\r\n")


def _at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
