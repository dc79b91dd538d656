"""A conversation as text: what was said, and the receipt of each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from opg_magic.models.plain_text import inert, plural
from opg_magic.receipt.calls import call_text, read_calls
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.question import text_of as content_of
from opg_magic.receipt.thread import messages_of, opening, thread_of


def text_of(receipts: Sequence[Receipt]) -> str:
    """The conversation of these receipts, oldest first: each call's own messages and its answer."""
    return "\n".join(line for receipt in receipts for line in _turn(receipt))


def _turn(receipt: Receipt) -> Iterator[str]:
    messages, thread = messages_of(receipt.document), thread_of(receipt.document)
    start = opening(messages)
    told = 0 if thread is None else sum(one.messages for one in thread.earlier)
    for message in [*(messages[:start] if not told else []), *messages[start + told :]]:
        yield f"{message.get('role')}: {inert(content_of(message.get('content')) or '')}"
    response: dict[str, Any] = receipt.document["response"]
    if (signed := response["tool_calls"]) is not None:
        read = read_calls(signed)
        calls = [inert(signed)] if read is None else [call_text(c.name, c.arguments) for c in read]
        yield from (f"calls: {call}" for call in calls)
    else:
        yield f"assistant: {inert(receipt.text or '')}"
    yield f"    {footer(receipt)}"


def footer(receipt: Receipt) -> str:
    """A call in one line: its receipt, the verdict when it was made, cost, and what was sent
    again."""
    verdict, cost = receipt.verdict_at_creation, receipt.cost.amount
    thread = thread_of(receipt.document)
    told = 0 if thread is None else sum(one.messages for one in thread.earlier)
    facts = [
        receipt.id,
        "not checked" if verdict is None else verdict.label,
        "" if cost is None else str(cost),
        f"{plural(told, 'message')} sent again" if told else "",
    ]
    return f"[{' · '.join(fact for fact in facts if fact)}]"
