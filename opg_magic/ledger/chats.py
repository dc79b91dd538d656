"""Chats by name: which call each goes on from.  They stand in the ledger's events, so they outlive
the kernel; the messages themselves stand in the receipts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from opg_magic.receipt.document import Receipt
from opg_magic.receipt.thread import answer_message, thread_of

#: The kind of event.
KIND = "chat"


def goes_on(name: str) -> dict[str, Any]:
    """The event that makes its call the last one of a chat."""
    return {"chat": name, "forgotten": False}


def forgotten(name: str) -> dict[str, Any]:
    """The event that ends a chat: nothing of it is sent again."""
    return {"chat": name, "forgotten": True}


def named_in(receipt: Receipt) -> str | None:
    """The chat that goes on from a receipt: its answer was handed out, and waits for no tool."""
    thread = thread_of(receipt.document)
    if thread is None or receipt.withheld or receipt.document["response"]["tool_calls"] is not None:
        return None
    return thread.name if answer_message(receipt.document) is not None else None


def heads(events: Iterable[Any]) -> dict[str, str]:
    """The last call of each chat by its name, from rows of ``call`` and ``data`` in their order;
    the chat that went on last stands last."""
    found: dict[str, str] = {}
    for event in events:
        data = json.loads(event["data"])
        found.pop(data["chat"], None)
        if not data["forgotten"]:
            found[data["chat"]] = event["call"]
    return found
