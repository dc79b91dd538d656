"""Tools: a model asks for functions, they run here, and their results go back to it.

Each round is a call of its own, with a receipt; together they are one thread.  What runs are the
signed bytes of an answer that passed its checks, nothing else; and by default only after a yes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.chats import extended
from opg_magic.models import Answer, Prompt, Thread, VerdictStatus
from opg_magic.models.plain_text import cut
from opg_magic.receipt.calls import (
    MOST_SHOWN,
    NOBODY,
    NOT_CONFIRMED,
    TOO_LONG,
    UNASKED,
    call_of,
    call_text,
    question,
    still_asks,
    stopped,
    unrun_text,
)
from opg_magic.receipt.thread import answer_message, messages_of

if TYPE_CHECKING:
    from opg_magic.shapes.functions import Tool

#: Most calls that one prompt makes, unless told otherwise.
MAX_ROUNDS = 8
#: What an answer must pass before anything of it runs.
_NEEDED = ("request", "response", "signature")

#: Asks whether the calls of a round, in words, may run.
Confirm = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call that a model asks for, as it was signed.  ``problem`` says why it cannot be made."""

    id: str
    name: str
    arguments: str
    tool: Tool | None = None
    read: dict[str, Any] | None = None
    problem: str | None = None

    def __str__(self) -> str:
        """On one line, all of which is seen, in its order: no mark that is drawn as nothing, no
        spaces by which the end could be pushed out of sight, no letters that change the order of
        what stands beside them."""
        text = call_text(self.name, self.arguments)
        if self.problem is not None:
            # What does not run is shown for information, and may be cut.
            return unrun_text(text, self.problem)
        if len(text) <= MOST_SHOWN:
            return text
        return f"{cut(text, MOST_SHOWN)}… ({len(text):,} characters)"


def with_tools(prompt: Prompt, tools: Sequence[Tool]) -> Prompt:
    """The prompt with what its request says of the tools, as the beginning of a thread."""
    extra = {**prompt.extra, "tools": [dict(tool.definition) for tool in tools]}
    return replace(prompt, extra=extra, thread=prompt.thread or Thread())


def run_rounds(
    ask: Callable[[Prompt], Answer],
    prompt: Prompt,
    tools: Sequence[Tool],
    *,
    confirm: Confirm | None,
    max_rounds: int = MAX_ROUNDS,
) -> Answer:
    """Ask, run what the answer asks for, and ask again, until an answer asks for nothing more.

    ``confirm`` is asked once a round, before anything runs; None runs without asking.  Raises what
    ``ask`` raises, and ToolsStopped: not confirmed, not checked well enough to run anything, or
    ``max_rounds`` calls made.  Every answer was paid for and is kept."""
    prompt = with_tools(prompt, tools)
    for left in reversed(range(max_rounds)):
        answer = ask(prompt)
        calls = wanted(answer, tools)
        if not calls:
            return answer
        if not left:
            raise _stopped(still_asks(max_rounds), answer)
        if confirm is not None:
            _confirm(calls, confirm, answer)
        prompt = _after(prompt, answer, [(call, _result(call)) for call in calls])
    raise ValueError("max_rounds must be at least 1")


def _confirm(calls: Sequence[Wanted], confirm: Confirm, answer: Answer) -> None:
    """A yes to all that would run, seen whole.  Raises ToolsStopped."""
    shown = [*map(str, calls)]
    if sum(map(len, shown)) > MOST_SHOWN and any(call.read is not None for call in calls):
        raise _stopped(TOO_LONG, answer)
    try:
        confirmed = confirm(shown)
    except _NobodyThere:
        raise _stopped(NOBODY, answer, hint=UNASKED) from None
    if not confirmed:
        raise _stopped(NOT_CONFIRMED, answer)


def wanted(answer: Answer, tools: Sequence[Tool]) -> list[Wanted]:
    """The calls that an answer asks for, read from what its host signed.

    Raises ToolsStopped where the answer did not pass what makes it the host's."""
    signed = answer_message(answer.receipt.document)
    if signed is None or "tool_calls" not in signed:
        return []
    claims = answer.verdict.claims
    passed = all(name in claims and claims[name].passed for name in _NEEDED)
    if answer.verdict.withheld or answer.verdict.status is VerdictStatus.FAILED or not passed:
        raise _stopped("nobody is known to have signed its tool calls, so none was run", answer)
    by_name = {tool.name: tool for tool in tools}
    found = signed["tool_calls"]
    calls = [_wanted(one, by_name) for one in (found if isinstance(found, list) else [found])]
    if len({call.id for call in calls if call is not None}) != len(calls):
        raise _stopped("its tool calls have no form that could be answered", answer)
    return [call for call in calls if call is not None]


def _wanted(signed: Any, tools: dict[str, Tool]) -> Wanted | None:
    from opg_magic.shapes.functions import DoesNotFit
    from opg_magic.shapes.misfit import NO_TOOL

    call = call_of(signed)
    if call is None:
        return None
    tool = tools.get(call.name)
    if tool is None:
        return Wanted(*call, problem=NO_TOOL)
    try:
        return Wanted(*call, tool, tool.read(call.arguments))
    except DoesNotFit as problem:
        return Wanted(*call, problem=str(problem))


def _result(call: Wanted) -> str:
    """What goes back to the model: the function's result, or why there is none."""
    if call.tool is None or call.read is None:
        return f"Error: {call.problem}"
    try:
        result = call.tool.function(**call.read)
        if isinstance(result, str):
            return result
        return json.dumps(result, ensure_ascii=False, allow_nan=False, default=str)
    except Exception as problem:  # the user's own function
        return f"Error: {type(problem).__name__}: {problem}"


def _after(prompt: Prompt, answer: Answer, results: Sequence[tuple[Wanted, str]]) -> Prompt:
    from opg_magic.receipt.document import receipt_of

    receipt = receipt_of(answer).original()
    document = receipt.document
    signed = answer_message(document)
    assert signed is not None  # it asked for the calls
    name = None if prompt.thread is None else prompt.thread.name
    back = [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": text.encode("utf-8", "replace").decode(),
        }
        for call, text in results
    ]
    said = (*messages_of(document), signed, *back)
    return replace(prompt, messages=said, system=None, thread=extended(receipt, name))


class _NobodyThere(Exception):
    """There is nobody to be asked: no terminal, or a front end that takes no input."""


def _stopped(why: str, answer: Answer, hint: str | None = None) -> errors.ToolsStopped:
    return errors.ToolsStopped(
        stopped(answer.receipt.id, why),
        hint=hint,
        answer=answer,
        charge=answer.cost.charge,
        receipt_id=answer.receipt.id,
        receipt=answer.receipt,
        verdict=answer.verdict,
        cost=answer.cost,
    )


def ask_the_user(calls: Sequence[str]) -> bool:
    """The question of a round, to whoever sits there.  Raises _NobodyThere."""
    if not _somebody_is_there():
        raise _NobodyThere
    _forget_typed()
    try:
        return input(question(calls)).strip().lower() in ("y", "yes")
    except EOFError:
        return False
    except (OSError, RuntimeError):
        # ipykernel: a front end that takes no input (nbconvert, papermill).
        raise _NobodyThere from None


def _forget_typed() -> None:
    """What was typed into a terminal while the call ran answers no question that came after it."""
    import sys

    with suppress(Exception):  # a notebook, another system
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _somebody_is_there() -> bool:
    import sys

    if "ipykernel" in sys.modules:
        return True  # its input() says itself whether the front end takes any
    return sys.stdin is not None and sys.stdin.isatty()
