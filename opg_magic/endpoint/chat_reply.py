"""A checked answer as a chat completion: whole, or as the chunks of a stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from opg_magic.endpoint.chat_request import ChatRequest
from opg_magic.endpoint.refusal import Refusal
from opg_magic.endpoint.replies import Reply, finish_reason, tokens, tool_calls
from opg_magic.models import Answer


class ChatReply(Reply):
    """A reply to ``/v1/chat/completions``."""

    def __init__(self, asked: ChatRequest) -> None:
        super().__init__(asked)
        self._include_usage = asked.include_usage
        self._id = f"chatcmpl-{secrets.token_hex(12)}"

    def whole(self, answer: Answer) -> dict[str, Any]:
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
            "finish_reason": finish_reason(answer),
        }
        reply = self._object("chat.completion", [choice])
        usage = _usage(answer)
        return {**reply, **({"usage": usage} if usage else {}), "opg": self.about(answer)}

    def piece(self, text: str, *, first: bool) -> bytes:
        return _event(self._piece(text, first=first))

    def rest(self, answer: Answer, text: str, *, first: bool) -> bytes:
        """The chunk with the ``finish_reason`` has the field ``opg``."""
        calls = [{"index": place, **call} for place, call in enumerate(_tool_calls(answer))]
        chunks = []
        if calls:
            chunks.append(self._chunk({"role": "assistant", "content": None, "tool_calls": calls}))
        elif text or first:
            chunks.append(self._piece(text, first=first))
        end = self._chunk({}, finish_reason(answer))
        chunks.append({**end, "opg": self.about(answer)})
        usage = _usage(answer)
        if self._include_usage and usage:
            chunks.append({**self._object("chat.completion.chunk", []), "usage": usage})
        return b"".join(map(_event, chunks)) + self.comment(answer) + b"data: [DONE]\n\n"

    def failure(self, refusal: Refusal) -> bytes:
        return _event(refusal.document())

    def _piece(self, text: str, *, first: bool) -> dict[str, Any]:
        return self._chunk({**({"role": "assistant"} if first else {}), "content": text})

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._object("chat.completion.chunk", [choice])
        return {**chunk, "usage": None} if self._include_usage else chunk

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._asked.prompt.model,
            "choices": choices,
        }


def _event(document: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()


def _usage(answer: Answer) -> dict[str, int] | None:
    told = tokens(answer)
    if told is None:
        return None
    asked, came = told
    return {"prompt_tokens": asked, "completion_tokens": came, "total_tokens": asked + came}


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in tool_calls(answer)
    ]
