"""A checked answer as a response: whole, or as the events of a stream."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opg_magic.endpoint.refusal import Refusal
from opg_magic.endpoint.replies import Reply, finish_reason, tokens, tool_calls
from opg_magic.endpoint.response_request import ResponseRequest
from opg_magic.models import Answer

#: Why an answer is not whole: a host's word, and OpenAI's.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
#: Where an answer's text is.
_TEXT = {"output_index": 0, "content_index": 0}


class ResponseReply(Reply):
    """A reply to ``/v1/responses``."""

    def __init__(self, asked: ResponseRequest) -> None:
        super().__init__(asked)
        self._told = asked.told
        self._id = f"resp_{secrets.token_hex(12)}"
        self._message_id = f"msg_{secrets.token_hex(12)}"
        self._sent = 0

    def whole(self, answer: Answer) -> dict[str, Any]:
        return self._ended(answer, self._output(answer))

    def piece(self, text: str, *, first: bool) -> bytes:
        begin = self._begin() + self._begin_text() if first else b""
        return begin + self._delta(text)

    def rest(self, answer: Answer, text: str, *, first: bool) -> bytes:
        """The response of the last event has the field ``opg``."""
        output = self._output(answer)
        events = [self._begin()] if first else []
        if answer.tool_calls:
            events += [self._call(item, place) for place, item in enumerate(output)]
        else:
            if first:
                events.append(self._begin_text())
            if text:
                events.append(self._delta(text))
            events.append(self._end_text(output[0]))
        ended = self._ended(answer, output)
        last = self._event(f"response.{ended['status']}", response=ended)
        return b"".join([*events, self.comment(answer), last])

    def failure(self, refusal: Refusal) -> bytes:
        """As a response that failed, and as an error, since clients look for one or the other."""
        error = refusal.document()["error"]
        told = {"code": "server_error", "message": refusal.message}
        failed = {**self._response("failed", []), "error": told, "opg": dict(refusal.opg)}
        return self._event("response.failed", response=failed) + self._event(
            "error", code=refusal.code, message=refusal.message, param=refusal.param, error=error
        )

    # -------------------------------------------------------------------------------- objects

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self._asked.prompt.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "truncation": "disabled",
            "usage": None,
            **self._told,
        }

    def _ended(self, answer: Answer, output: list[dict[str, Any]]) -> dict[str, Any]:
        why = _INCOMPLETE.get(finish_reason(answer))
        response = self._response("incomplete" if why else "completed", output)
        if why:
            response["incomplete_details"] = {"reason": why}
        else:
            response["completed_at"] = int(datetime.now(UTC).timestamp())
        return {**response, "usage": _usage(answer), "opg": self.about(answer)}

    def _output(self, answer: Answer) -> list[dict[str, Any]]:
        if answer.tool_calls:
            return [
                {
                    "type": "function_call",
                    "id": f"fc_{secrets.token_hex(12)}",
                    "call_id": call["id"],
                    "name": call["name"],
                    "arguments": call["arguments"],
                    "status": "completed",
                }
                for call in tool_calls(answer)
            ]
        why = _INCOMPLETE.get(finish_reason(answer))
        return [self._message("incomplete" if why else "completed", [_part(answer.text)])]

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self._message_id,
            "role": "assistant",
            "status": status,
            "content": content,
        }

    # --------------------------------------------------------------------------------- events

    def _event(self, kind: str, **more: Any) -> bytes:
        document = {"type": kind, "sequence_number": self._sent, **more}
        self._sent += 1
        return f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()

    def _begin(self) -> bytes:
        response = self._response("in_progress", [])
        return b"".join(
            self._event(f"response.{kind}", response=response)
            for kind in ("created", "in_progress")
        )

    def _begin_text(self) -> bytes:
        item = self._message("in_progress", [])
        return self._item("added", item, 0) + self._text("content_part.added", part=_part(""))

    def _delta(self, text: str) -> bytes:
        return self._text("output_text.delta", delta=text, logprobs=[])

    def _end_text(self, item: Mapping[str, Any]) -> bytes:
        (part,) = item["content"]
        return (
            self._text("output_text.done", text=part["text"], logprobs=[])
            + self._text("content_part.done", part=part)
            + self._item("done", item, 0)
        )

    def _call(self, item: Mapping[str, Any], place: int) -> bytes:
        begun = {**item, "arguments": "", "status": "in_progress"}
        where = {"item_id": item["id"], "output_index": place}
        kind, arguments = "response.function_call_arguments", item["arguments"]
        return (
            self._item("added", begun, place)
            + self._event(f"{kind}.delta", **where, delta=arguments)
            + self._event(f"{kind}.done", **where, name=item["name"], arguments=arguments)
            + self._item("done", item, place)
        )

    def _item(self, what: str, item: Mapping[str, Any], place: int) -> bytes:
        return self._event(f"response.output_item.{what}", output_index=place, item=item)

    def _text(self, what: str, **more: Any) -> bytes:
        return self._event(f"response.{what}", item_id=self._message_id, **_TEXT, **more)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(answer: Answer) -> dict[str, Any] | None:
    """Clients need the details; hosts count none."""
    told = tokens(answer)
    if told is None:
        return None
    asked, came = told
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": came,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + came,
    }
