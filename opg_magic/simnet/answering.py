"""What a host does once a call is paid for: check the body, ask the model, sign, charge, put the
hashes on record.

In the recorded order: authorisation (401), validation (400), model (200, 400, 500).  Only what is
answered with 2xx, to its end, and with the provider's ``usage`` is charged."""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opg_magic.models import CHAT_PATH, COMPLETION_PATH, Kind, ModelPrice, strict_json
from opg_magic.protocol import canonical
from opg_magic.protocol.merkle import BatchItem
from opg_magic.settings import prices
from opg_magic.simnet import honest, responses
from opg_magic.simnet.model import Model, ModelDown, Reply, Usage
from opg_magic.simnet.settlement import UNSIGNED, Settler
from opg_magic.simnet.validation import problem_in

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.models.networks import Network
    from opg_magic.simnet.host import Host
    from opg_magic.simnet.sessions import Session

log = logging.getLogger(__name__)

#: USD for one OPG, as the recorded hosts' price feed had it.
TOKEN_USD = Decimal("0.1")

#: What a host takes for a model whose price nobody published (USD per million tokens, its own
#: figure).
HOUSE_PRICE = ModelPrice(Decimal(1), Decimal(5), "2026-04", "the simulated host's own")

KINDS: dict[str, Kind] = {CHAT_PATH: "chat", COMPLETION_PATH: "completion"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What was signed of one answer: the five fields as they go out, when, and what may be put on
    record of it."""

    fields: dict[str, Any]
    time: int
    item: BatchItem


class Answering:
    """The answers of one host.  ``any_model``: the model's name is not checked against the list."""

    def __init__(
        self,
        host: Host,
        *,
        model: Model,
        any_model: bool,
        network: Network,
        settler: Settler | None,
    ) -> None:
        self.host = host
        self.model = model
        self._network = network
        self._any_model = any_model
        self._settler = settler
        self._price_list = prices.load()
        self._wire_models = {name.rpartition("/")[2] for name in self._price_list.models} | set(
            self._price_list.prices
        )

    async def answer(self, request: web.Request, session: Session) -> web.StreamResponse:
        """Answer a request that ``session`` pays for."""
        from opg_magic.simnet.streaming import stream

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
        cheat = self.host.cheat
        if cheat.takes_first:
            self.charge(session, body, Usage(50, 200))
        instead = await cheat.before_answer(self.host, request)
        if instead is not None:
            return instead
        if body.get("stream") is True and kind == "chat":
            return await stream(self, request, session, body)
        try:
            reply = cheat.reply(await self.reply(body, kind))
            await honest.pause(cheat.pause * len(reply.pieces))
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
        if not self._any_model and model not in self._wire_models:
            # This one answer has no blank after its colons, as recorded.
            return responses.compact({"error": f"Model '{model}' is not supported"}, status=400)
        if kind == "completion" and not isinstance(body["prompt"], str):
            return responses.failure()
        if any(m["role"] == "developer" for m in body.get("messages", ())):
            return responses.failure()
        return None

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        """What the model says, if it can be reached."""
        self.reach_provider()
        return await self.model.reply(body, kind)

    def reach_provider(self) -> None:
        """ModelDown where the provider is."""
        if not self.host.cheat.provider_up:
            raise ModelDown("the provider is down")

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
        proof = self.proof(body, kind, signed)
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
        usage = self.host.cheat.usage(reply.usage)
        if usage is not None:
            document["usage"] = usage.document()
        try:
            raw = self.host.cheat.document(document)
        except honest.CutOff:
            return await self.cut(request, session, json.dumps(document).encode())
        if usage is not None:
            self.charge(session, body, usage)
        from aiohttp import web

        self.record(request, proof)
        return web.Response(body=raw, content_type="application/json")

    def proof(self, body: Mapping[str, Any], kind: Kind, output: str) -> Proof:
        """The five signed fields, in the order recorded in streams."""
        request_hash = canonical.request_hash(
            canonical.canonicalise(kind, self.host.cheat.signed_request(body))
        )
        output_hash = canonical.output_hash(output)
        now = int(time.time())
        timestamp = self.host.cheat.timestamp(now)
        signer = self.host.cheat.signer(self.host)
        signature = signer.sign(canonical.signed_digest(request_hash, output_hash, timestamp))
        proof = {
            "tee_signature": base64.b64encode(signature).decode(),
            "tee_timestamp": timestamp,
            "tee_request_hash": request_hash.hex(),
            "tee_output_hash": output_hash.hex(),
            "tee_id": signer.tee_id,
        }
        fields = self.host.cheat.proof(proof)
        recorded = signature if fields else UNSIGNED
        tee_id = bytes.fromhex(signer.tee_id.removeprefix("0x"))
        return Proof(fields, now, BatchItem(tee_id, request_hash, output_hash, recorded, timestamp))

    def record(self, request: web.Request, proof: Proof) -> None:
        """Put a charged answer's hashes into the next batch, unless its caller asked for nothing on
        record.

        A word that is not known means a batch, as observed; ``individual`` is not known any more.
        """
        wanted = request.headers.get("X-SETTLEMENT-TYPE", "").strip().lower()
        if self._settler is not None and wanted != "private":
            self._settler.add(proof.item, self.host.cheat.manner)

    def charge(self, session: Session, body: Mapping[str, Any], usage: Usage) -> None:
        price = self._price_list.price(str(body["model"])) or HOUSE_PRICE
        usd = prices.usd(price, usage.prompt_tokens, usage.completion_tokens)
        cost = prices.in_token(usd, TOKEN_USD, self._network.token).amount
        charged = [
            self.host.sessions.charge(each, cost)
            for each in self.host.cheat.charged(self.host, session)
        ]
        if not all(charged):
            log.info(
                "a cost of %d base units was not charged: the session is closed or has less left",
                cost,
            )

    async def cut(self, request: web.Request, session: Session, raw: bytes) -> web.StreamResponse:
        """Half of a body of known length, then the end of the connection."""
        from aiohttp import web

        headers = {"Content-Type": "application/json", "X-Upto-Session": session.id.reveal()}
        response = web.StreamResponse(headers=headers)
        response.content_length = len(raw)
        await response.prepare(request)
        await response.write(raw[: len(raw) // 2])
        self.abort(request)
        return response

    @staticmethod
    def abort(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.close()


def _reserialised(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of an answer that is not streamed: hosts parse its arguments and write them
    anew."""
    function = dict(call["function"])
    with suppress(ValueError):
        function["arguments"] = json.dumps(json.loads(function["arguments"]))
    return {**call, "function": function}
