"""A conversation over several calls: which messages of a request come from which receipt.

Each request holds the whole conversation, so each receipt shows it; the thread says which earlier
calls its messages come from, so that a reader can hold them against those calls' own receipts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from opg_magic.errors import MalformedMessage
from opg_magic.models import Earlier, Thread, strict_json


def thread_of(document: Mapping[str, Any]) -> Thread | None:
    """The thread that a receipt's document tells of; None where its call continues none."""
    told = document.get("thread")
    if told is None:
        return None
    earlier = (Earlier(e["receipt"], e["digest"], e["messages"]) for e in told["earlier"])
    return Thread(told["name"], tuple(earlier))


def thread_name(document: Mapping[str, Any]) -> str | None:
    """The name of a call's conversation; of one without a name, the ID of its first call."""
    thread = thread_of(document)
    if thread is None:
        return None
    first: str = thread.earlier[0].receipt_id if thread.earlier else document["id"]
    return thread.name or first


def messages_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a receipt's request as they were sent; none if it is not a readable chat."""
    request = document["request"]
    if request["kind"] != "chat":
        return []
    try:
        body = strict_json.loads(request["body"])
    except MalformedMessage:
        return []
    held = body.get("messages") if isinstance(body, dict) else None
    whole = isinstance(held, list) and all(isinstance(message, dict) for message in held)
    return held if isinstance(held, list) and whole else []


def answer_message(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer as the message that a later request sends again: what the host signed, which is
    the tool calls where there are any.  None without an answer that can be sent."""
    response = document["response"]
    if response["tool_calls"] is None:
        text = response["text"]
        return None if text is None else {"role": "assistant", "content": text}
    try:
        calls = strict_json.loads(response["tool_calls"])
    except MalformedMessage:
        return None
    return {"role": "assistant", "content": "", "tool_calls": calls}


def opening(messages: list[dict[str, Any]]) -> int:
    """How many system messages stand before the conversation."""
    return next((n for n, m in enumerate(messages) if m.get("role") != "system"), len(messages))


def after(document: Mapping[str, Any], digest: str) -> Earlier | None:
    """The call of a receipt as one that a later request sends again; ``digest`` is the receipt's
    as it was made.  None where its own messages cannot be told."""
    messages, thread = messages_of(document), thread_of(document)
    told = sum(one.messages for one in thread.earlier) if thread is not None else 0
    own = len(messages) - opening(messages) - told
    return Earlier(document["id"], digest, own + 1) if own > 0 else None


#: (level, code, words)
Fault = tuple[Literal["failed", "note"], str, str]


def thread_faults(
    document: Mapping[str, Any], by_digest: Mapping[str, Mapping[str, Any]]
) -> Iterator[Fault]:
    """What the thread of a receipt says that its request, or the receipts that it names, do not.

    ``by_digest``: the documents at hand by their computed digest as they were made.  A receipt that
    is not at hand is said to be missing: that alone is no fault."""
    thread = thread_of(document)
    if thread is None:
        return
    messages = messages_of(document)
    start = at = opening(messages)
    ids = {other["id"] for other in by_digest.values()} if thread.earlier else set()
    missing = 0
    for one in thread.earlier:
        begins, at = at, at + one.messages
        if at >= len(messages):
            yield _differs("The thread names more earlier messages than the request holds.")
            return
        other = by_digest.get(one.digest)
        if other is not None:
            if other["id"] != one.receipt_id or not _holds(other, messages[:at]):
                yield _differs(
                    f"Earlier messages {begins - start + 1} to {at - start} of the request are not "
                    f"what receipt {one.receipt_id} holds."
                )
                return
        elif one.receipt_id in ids:
            yield _differs(
                f"The receipt {one.receipt_id} here is not the one that the thread names: its "
                "digest is another."
            )
            return
        else:
            missing += 1
    asked = [message.get("role") for message in messages[at:]]
    # The first round of tools may begin with messages of the caller's own, and claims no call.
    if "assistant" in asked and (thread.name or thread.earlier):
        yield _differs("The request holds an answer for which its thread names no receipt.")
        return
    if thread.earlier and asked != ["user"] and set(asked) != {"tool"}:
        yield _differs(
            "The request holds a message that comes neither from an earlier receipt nor from this "
            "call."
        )
        return
    if missing:
        receipts = "receipt" if missing == 1 else "receipts"
        yield (
            "note",
            "thread-missing",
            f"{missing} earlier {receipts} of this conversation not at hand: not compared.",
        )


def _differs(words: str) -> Fault:
    return "failed", "thread-differs", words


def _holds(other: Mapping[str, Any], sent: list[dict[str, Any]]) -> bool:
    """Whether the messages up to an answer, system messages too, are those of that receipt, with
    its answer."""
    held = [*messages_of(other), answer_message(other)]
    return [*map(strict_json.dumps_python, held)] == [*map(strict_json.dumps_python, sent)]
