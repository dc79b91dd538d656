"""What a host does once a call is paid for: check the body, ask the model, answer.

In the recorded order: authorisation (401), validation (400), model (200, 400, 500).  Only what is
answered with 2xx, to its end, and with the provider's ``usage`` is charged."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opg_magic.models import CHAT_PATH, COMPLETION_PATH, Kind, strict_json
from opg_magic.simnet.host import responses
from opg_magic.simnet.host.conduct import CutOff, pause
from opg_magic.simnet.host.steps import Steps
from opg_magic.simnet.host.streaming import stream
from opg_magic.simnet.host.validation import problem_in
from opg_magic.simnet.model.interface import ModelDown, Reply, Usage

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.payment.sessions import Session

log = logging.getLogger(__name__)

KINDS: dict[str, Kind] = {CHAT_PATH: "chat", COMPLETION_PATH: "completion"}


class Answering:
    """The answers of one host."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        listed = (
            steps.price_list.models
            if steps.model.model is None
            else (steps.model.model, *steps.price_list.models)
        )
        self._wire_models = {name.rpartition("/")[2] for name in listed} | set(
            steps.price_list.prices
        )

    async def answer(self, request: web.Request, session: Session) -> web.StreamResponse:
        """Answer a request that ``session`` pays for."""
        if not request.headers.get("Authorization"):
            return responses.problem(401, "Unauthorized", "No authorization token provided")
        kind = KINDS[request.path]
        try:
            # As a host reads it: Python's own lenient JSON.
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            return responses.problem(400, "Bad Request", "Request body is not valid JSON")
        refused = self._refused(body, kind)
        if refused is not None:
            return refused
        cheat = self._steps.cheat
        if cheat.takes_first:
            self._steps.charge(session, body, Usage(50, 200))
        instead = await cheat.before_answer(self._steps.host, request)
        if instead is not None:
            return instead
        if body.get("stream") is True and kind == "chat":
            return await stream(self._steps, request, session, body)
        try:
            reply = cheat.reply(await self._steps.reply(body, kind))
            await pause(cheat.pause * len(reply.pieces))
            return await self._whole(request, session, body, kind, reply)
        except ModelDown as down:
            log.info("the model did not answer: %s", down)
            return responses.failure()

    def _refused(self, body: Any, kind: Kind) -> web.Response | None:
        """What is answered to a body that does not reach the model."""
        wrong = problem_in(body, kind)
        if wrong is not None:
            return responses.problem(400, "Bad Request", wrong)
        model = body["model"]
        if not self._steps.model.any_model and model not in self._wire_models:
            # This one answer has no blank after its colons, as recorded.
            return responses.compact({"error": f"Model '{model}' is not supported"}, status=400)
        if kind == "completion" and not isinstance(body["prompt"], str):
            return responses.failure()
        if any(m["role"] == "developer" for m in body.get("messages", ())):
            return responses.failure()
        return None

    async def _whole(
        self,
        request: web.Request,
        session: Session,
        body: Mapping[str, Any],
        kind: Kind,
        reply: Reply,
    ) -> web.StreamResponse:
        calls = [_reserialised(call) for call in reply.tool_calls]
        signed = strict_json.dumps_python(calls) if calls else reply.text
        proof = self._steps.proof(body, kind, signed)
        choice: dict[str, Any] = {"finish_reason": reply.finish_reason, "index": 0}
        if kind == "completion":
            choice["text"] = reply.text
        else:
            choice["message"] = {"content": reply.text, "role": "assistant"}
            if calls:
                choice["message"]["tool_calls"] = calls
        prefix, thing = (
            ("chatcmpl", "chat.completion") if kind == "chat" else ("cmpl", "text_completion")
        )
        document = {
            "choices": [choice],
            "created": proof.time,
            "id": f"{prefix}-{uuid.uuid4()}",
            "model": reply.model,
            "object": thing,
            **proof.fields,
        }
        usage = self._steps.cheat.usage(reply.usage)
        if usage is not None:
            document["usage"] = usage.document()
        try:
            raw = self._steps.cheat.document(document)
        except CutOff:
            return await responses.cut(request, session.id, json.dumps(document).encode())
        if usage is not None:
            self._steps.charge(session, body, usage)
        from aiohttp import web

        self._steps.record(request, proof)
        return web.Response(body=raw, content_type="application/json")


def _reserialised(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of an answer that is not streamed: hosts parse its arguments and write them
    anew."""
    function = dict(call["function"])
    with suppress(ValueError):
        function["arguments"] = json.dumps(json.loads(function["arguments"]))
    return {**call, "function": function}
