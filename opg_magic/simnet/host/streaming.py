"""A host's streamed answer: event by event, signed in the last one.

A provider that fails is an event of the stream, at once or in its middle: the head with status 200
has gone out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opg_magic.models import strict_json
from opg_magic.simnet.host import conduct, responses
from opg_magic.simnet.host.steps import Proof, Steps
from opg_magic.simnet.model.interface import Delta, ModelDown, Usage

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.payment.sessions import Session

log = logging.getLogger(__name__)

_USAGE = b'"usage": {'


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a stream once its final event is made: the figures, and what may be put on
    record."""

    usage: Usage | None
    proof: Proof


async def stream(
    steps: Steps, request: web.Request, session: Session, body: Mapping[str, Any]
) -> web.StreamResponse:
    """Answer as a stream.  Charged before the body ends: whoever reads to its end finds the charge
    made."""
    from aiohttp import web

    ended: list[Ending] = []
    events = steps.cheat.events(_events(steps, body, ended))
    first: bytes | None = b""
    try:
        # The first event is awaited before the head goes out: what breaks off there is no stream
        # yet.
        first = await anext(events, b"")
    except conduct.CutOff:
        return await responses.cut(request, session.id, b"data: {}\n\n")
    except ModelDown as down:
        log.info("the model did not answer: %s", down)
        first = None
    response = web.StreamResponse(
        headers={
            "Cache-Control": "no-cache",
            "Connection": "keep-alive",
            "Content-Type": "text/event-stream; charset=utf-8",
            "X-Upto-Session": session.id.reveal(),
        }
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        if first is None:
            return await _failed(response)
        await response.write(first)
        counted = _USAGE in first
        async for raw in events:
            await response.write(raw)
            counted = counted or _USAGE in raw
    except conduct.CutOff:
        responses.abort(request)
        return response
    except ModelDown:
        return await _failed(response)
    except ConnectionError:
        return response  # the client left in mid-stream: nothing is charged
    # What was sent without its usage is not charged, as observed.
    if ended and ended[0].usage is not None and counted:
        steps.charge(session, body, ended[0].usage)
    if ended and (counted or ended[0].usage is None):
        steps.record(request, ended[0].proof)
    with suppress(ConnectionError):
        await response.write_eof()
    return response


async def _failed(response: web.StreamResponse) -> web.StreamResponse:
    """One frame says so, and no end marker follows."""
    await response.write(
        conduct.write_event(conduct.Event("error", {"error": "Stream processing failed"}))
    )
    await response.write_eof()
    return response


async def _events(
    steps: Steps, body: Mapping[str, Any], ended: list[Ending]
) -> AsyncIterator[conduct.Event]:
    """The honest events of a stream.  ``ended`` gets its one entry when the final event is
    reached."""
    text: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    async for delta in _deltas(steps, body):
        if delta.text is not None:
            text.append(delta.text)
            yield conduct.Event(
                "text", _chunk({"content": delta.text, "role": "assistant"}, None, delta.model)
            )
        if delta.tool_calls:
            for part in delta.tool_calls:
                _assemble(calls, part)
            parts = [dict(part) for part in delta.tool_calls]
            yield conduct.Event(
                "tool", _chunk({"tool_calls": parts, "role": "assistant"}, None, delta.model)
            )
        if delta.finish_reason is not None:
            assembled = [calls[index] for index in sorted(calls)]
            signed = strict_json.dumps_python(assembled) if assembled else "".join(text)
            proof = steps.proof(body, "chat", signed)
            counted = steps.cheat.usage(delta.usage or Usage(0, len(text)))
            final = {**_chunk({}, delta.finish_reason, delta.model), **proof.fields}
            if counted is not None:
                final["usage"] = counted.document()
            ended.append(Ending(counted, proof))
            yield conduct.Event("final", final)
            break
    else:
        raise ModelDown("the stream ended without a finish reason")
    yield conduct.Event("done", None)


async def _deltas(steps: Steps, body: Mapping[str, Any]) -> AsyncIterator[Delta]:
    cheat = steps.cheat
    steps.reach_provider()
    if type(cheat).reply is not conduct.Honest.reply:
        reply = cheat.reply(await steps.reply(body, "chat"))
        for piece in reply.pieces:
            yield Delta(text=piece, model=reply.model)
        yield Delta(finish_reason=reply.finish_reason, usage=reply.usage, model=reply.model)
        return
    model = await steps.answering()
    async for delta in model.stream(cheat.asked(body), "chat"):
        await conduct.pause(cheat.pause)
        yield delta


def _chunk(delta: dict[str, Any], finish_reason: str | None, model: str) -> dict[str, Any]:
    return {
        "choices": [{"delta": delta, "index": 0, "finish_reason": finish_reason}],
        "model": model,
    }


def _assemble(calls: dict[int, dict[str, Any]], part: Mapping[str, Any]) -> None:
    """Join one fragment of a streamed tool call to its call, as it will be signed."""
    call = calls.setdefault(
        int(part.get("index", 0)),
        {"id": None, "type": "function", "function": {"name": None, "arguments": ""}},
    )
    function = part.get("function") or {}
    call["id"] = part.get("id") or call["id"]
    call["function"]["name"] = function.get("name") or call["function"]["name"]
    call["function"]["arguments"] += function.get("arguments") or ""
