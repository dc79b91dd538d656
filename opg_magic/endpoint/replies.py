"""A checked answer in the form of OpenAI's API: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opg_magic.endpoint.chat_request import ChatRequest
from opg_magic.endpoint.refusal import RECEIPT, REQUEST_ID, VERDICT, in_a_header
from opg_magic.models import Answer

CHARGE = "x-opg-charge"
UNSIGNED = "x-opg-unsigned"


class Reply:
    """What is said in reply to one request.  Its id is made before the call's is known."""

    def __init__(self, asked: ChatRequest) -> None:
        self._asked = asked
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(datetime.now(UTC).timestamp())

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The answer in one object."""
        calls = _tool_calls(answer)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if calls else answer.text,
            "refusal": None,
        }
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish_reason(answer),
        }
        reply = self._object("chat.completion", [choice])
        usage = _usage(answer)
        return {**reply, **({"usage": usage} if usage else {}), "opg": self.about(answer)}

    def piece(self, text: str, *, first: bool) -> dict[str, Any]:
        """A chunk with some of the text, not checked yet."""
        return self._chunk({**({"role": "assistant"} if first else {}), "content": text})

    def rest(self, answer: Answer, text: str, *, first: bool) -> list[dict[str, Any]]:
        """The chunks that end a stream, once the answer has passed; ``text``: what of it is left.

        The one with the ``finish_reason`` has the field ``opg``."""
        calls = [{"index": place, **call} for place, call in enumerate(_tool_calls(answer))]
        chunks = []
        if calls:
            chunks.append(self._chunk({"role": "assistant", "content": None, "tool_calls": calls}))
        elif text or first:
            chunks.append(self.piece(text, first=first))
        end = self._chunk({}, _finish_reason(answer))
        chunks.append({**end, "opg": self.about(answer)})
        usage = _usage(answer)
        if self._asked.include_usage and usage:
            chunks.append({**self._object("chat.completion.chunk", []), "usage": usage})
        return chunks

    def about(self, answer: Answer) -> dict[str, Any]:
        """What is known of the call: the field ``opg``."""
        return {
            "verdict": answer.verdict.label,
            "receipt": answer.receipt.id,
            "digest": answer.receipt.digest,
            "charge": str(answer.cost.charge),
            "cost": str(answer.cost),
            "unsigned": list(self._asked.unsigned),
            "notes": list(answer.notes),
        }

    def headers(self, answer: Answer) -> dict[str, str]:
        """The same in headers, as far as they hold it."""
        about = {
            VERDICT: in_a_header(answer.verdict),
            RECEIPT: answer.receipt.id,
            REQUEST_ID: answer.receipt.id,
            CHARGE: str(answer.cost.charge),
        }
        if self._asked.unsigned:
            about[UNSIGNED] = ", ".join(self._asked.unsigned)
        return about

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._object("chat.completion.chunk", [choice])
        return {**chunk, "usage": None} if self._asked.include_usage else chunk

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._asked.prompt.model,
            "choices": choices,
        }


def _finish_reason(answer: Answer) -> str:
    """Why the answer ended, by the host's word; no signature covers it."""
    told = answer.receipt.document["response"]["finish_reason"]
    return "tool_calls" if answer.tool_calls else str(told or "stop")


def _usage(answer: Answer) -> dict[str, int] | None:
    """The host's count of tokens, if it gave one."""
    told = answer.receipt.document["response"]["usage"] or {}
    asked, came = told.get("prompt_tokens"), told.get("completion_tokens")
    if asked is None or came is None:
        return None
    return {"prompt_tokens": asked, "completion_tokens": came, "total_tokens": asked + came}


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    """The calls as signed.  Clients need an id; a host may give none."""
    return [_tool_call(call, place) for place, call in enumerate(answer.tool_calls)]


def _tool_call(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    return {
        "id": call.get("id") or f"call_{place}",
        "type": "function",
        "function": {
            "name": function.get("name") or "",
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
        },
    }
