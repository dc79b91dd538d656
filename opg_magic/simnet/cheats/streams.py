"""Lies in how an answer is sent: cut short, doubled, malformed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from opg_magic.simnet.host import responses
from opg_magic.simnet.host.conduct import (
    CutOff,
    Enclave,
    Event,
    Honest,
    write_document,
    write_event,
)

if TYPE_CHECKING:
    from aiohttp import web


class CutStream(Honest):
    mode = "cut-stream"
    says = "closes the connection before the final frame"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if event.kind in ("final", "done") or sent >= 5:
                raise CutOff
            yield write_event(event)
            sent += 1

    def document(self, document: Mapping[str, Any]) -> bytes:
        raise CutOff


class QuietCut(Honest):
    mode = "quiet-cut"
    says = "ends the stream cleanly before the final frame, as if nothing were missing"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            if event.kind not in ("final", "done"):
                yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document)[:-40]


class ErrorMidStream(Honest):
    mode = "error-mid-stream"
    says = "reports a failure of its own in the middle of the stream; nothing is charged"

    async def before_answer(self, host: Enclave, request: web.Request) -> web.StreamResponse | None:
        return None if await responses.wants_stream(request) else responses.failure()

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if sent >= 3 or event.kind == "final":
                break
            yield write_event(event)
            sent += 1
        yield write_event(Event("error", {"error": "Stream processing failed"}))


class TwoFinals(Honest):
    mode = "two-finals"
    says = "sends two final frames"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            yield write_event(event)
            if event.kind == "final":
                yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document) * 2


class TextAfterFinal(Honest):
    mode = "text-after-final"
    says = "sends more text after the final frame"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        async for event in events:
            yield write_event(event)
            if event.kind == "final":
                delta = {"content": " And one thing more.", "role": "assistant"}
                choice = {"delta": delta, "index": 0, "finish_reason": None}
                yield write_event(
                    Event(
                        "text", {"choices": [choice], "model": (event.document or {}).get("model")}
                    )
                )

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document) + b"And one thing more.\n"


class CorruptLine(Honest):
    mode = "corrupt-line"
    says = "sends a line of broken JSON in the middle of the stream"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        sent = 0
        async for event in events:
            if sent == 2 or (event.kind == "final" and sent < 2):
                yield b'data: {"choices": [{"delta": {"content": "\n\n'
            sent += 1
            yield write_event(event)

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document).replace(b'"choices": [', b'"choices": [[', 1)


class DuplicateJson(Honest):
    mode = "duplicate-json"
    says = "writes a key of the answer twice, with two values"

    async def events(self, events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
        done = False
        async for event in events:
            raw = write_event(event)
            if not done and event.kind in ("text", "final"):
                raw = raw.replace(b'"delta": {', b'"delta": {"content": "A lie. ", ', 1)
                if event.kind == "final":
                    raw = raw.replace(b'"delta": {', b'"delta": {"content": "", ', 1)
                done = True
            yield raw

    def document(self, document: Mapping[str, Any]) -> bytes:
        return write_document(document).replace(b'"model":', b'"model": "another",\n  "model":', 1)
