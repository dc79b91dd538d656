"""Calls of tools in an answer, as a person reads them: ``weather(city="Paris", days=3)``.

What stands there is what was signed: the same names, order and digits, strings as JSON writes them.
What has no such form stays the JSON that it is.  The browser writes the same
(``labextension/src/receipt/tool-calls.ts``); notebooks in ``tests/corpus`` hold both together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opg_magic.errors import MalformedMessage
from opg_magic.models import strict_json
from opg_magic.models.plain_text import cut, isolated, seen

#: Longest text of a round's calls: after a yes to a longer one nothing is run, as nobody saw what
#: it does.  And of a call that does not run, which is shown for information.
MOST_SHOWN, MOST_UNRUN = 10_000, 100
#: Why calls were not run.
NOT_CONFIRMED = "its tool calls were not confirmed, so none of them was run"
STILL_ASKS = "the model still asks for tools after round"
NOBODY = "nobody could be asked to confirm its tool calls, so none of them was run"
#: What to do where nobody can be asked.
UNASKED = "To run them without asking: --tools-confirm never, or tools_confirm=False."
TOO_LONG = "its tool calls are too long to be shown, so none was run"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}:,]|[^\[\]{}:,"\s]+')
_PYTHON = {"true": "True", "false": "False", "null": "None"}
#: The words of a question, and of a call that does not run.
ASKS_FOR, YES_OR_NO, NOT_RUN = "The model asks for:", "? [y/N] ", ": not run, "


class Call(NamedTuple):
    """A call as it was signed."""

    id: str
    name: str
    arguments: str


def read_calls(signed: str | None) -> list[Call] | None:
    """Return the calls in the signed text of an answer; None where it has none, or any that is no
    call."""
    if signed is None:
        return None
    try:
        found = strict_json.loads(signed)
    except MalformedMessage:
        return None
    calls = [call_of(one) for one in found] if isinstance(found, list) else []
    read = [call for call in calls if call is not None]
    return read if read and len(read) == len(calls) else None


def call_of(signed: Any) -> Call | None:
    """Return one call; None of what is no call."""
    function = signed.get("function") if isinstance(signed, Mapping) else None
    if not isinstance(function, Mapping):
        return None
    id, name, arguments = signed.get("id"), function.get("name"), function.get("arguments")
    if isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str):
        return Call(id, name, arguments)
    return None


def call_text(name: str, arguments: str) -> str:
    """Return a call on one line, all of which is seen, in the order in which it was written."""
    if _NAME.fullmatch(name) is not None:
        try:
            return f"{name}({_written(arguments, strict_json.loads(arguments))})"
        except MalformedMessage:
            pass
    return isolated(seen(" ".join(_words(f"{name}({arguments})"))))


def unrun_text(call: str, why: str) -> str:
    """Return a call, of :func:`call_text`, that is not made, and why."""
    long = len(call) > MOST_UNRUN
    shown = f"{cut(call, MOST_UNRUN)}… ({len(call):,} characters)" if long else call
    return f"{shown}{NOT_RUN}{seen(' '.join(_words(why)))}"


def question(calls: Sequence[str]) -> str:
    """Return the question before the calls of a round are made."""
    listed = "".join(f"\n  {call}" for call in calls)
    return f"{ASKS_FOR}{listed}\nRun {'it' if len(calls) == 1 else 'them'}{YES_OR_NO}"


def stopped(id: str, why: str) -> str:
    """Return the message of a call, with this ID, whose answer's calls were not run."""
    return f"Call {id} is kept, but {why}."


def still_asks(rounds: int) -> str:
    """Return why no more calls are run after so many."""
    return f"{STILL_ASKS} {rounds}"


def looks_like_a_question(text: str) -> bool:
    """Return whether a text poses as such a question."""
    return text.lstrip().startswith(ASKS_FOR)


def _words(text: str) -> list[str]:
    """A text's words; what parts them is named here, for browsers part them elsewhere."""
    return [word for word in re.split(r"[ \t\n\r\f\v]+", text) if word]


def _written(text: str, value: Any) -> str:
    """JSON on one line; an object with plain names, and no other, as arguments of Python."""
    marks = _TOKEN.findall(text)
    plain = isinstance(value, dict) and all(map(_NAME.fullmatch, value))
    parts: list[str] = []
    depth = 0
    for place, mark in enumerate(marks):
        depth += mark in "{["
        outermost = plain and depth == 1
        if mark in "{[}]":
            parts.append("" if outermost else mark)
            depth -= mark in "}]"
        elif mark == ":":
            parts.append("" if outermost else ": ")
        elif mark == ",":
            parts.append(", ")
        elif not mark.startswith('"'):
            parts.append(_PYTHON.get(mark, mark) if plain else mark)
        elif outermost and marks[place + 1] == ":":
            parts.append(f"{json.loads(mark)}=")
        else:
            parts.append(_quoted(json.loads(mark)))
    return "".join(parts)


def _quoted(text: str) -> str:
    # The marks by which something unseen is named stand in no text of the model's.
    inside = seen(json.dumps(text, ensure_ascii=False)[1:-1].replace("⟦", "\\u27e6"))
    return f'"{isolated(inside)}"'
