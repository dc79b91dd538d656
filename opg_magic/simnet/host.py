"""One simulated host: TLS, attestation, the 402 flow with sessions, chat and completions, as observed.

Source: protocol sections 3, 4 and 6 and the recordings that they rest on.  A paid call is answered in the recorded
order: session or payment (402), then authorisation (401), then validation (400), then the model (200, 400, 500).
Errors after the payment was accepted carry the session's id and are not charged: only what is answered with 2xx, and to
its end, is.

What ``X-SETTLEMENT-TYPE`` asks for is done once the call was charged: :mod:`opg_magic.simnet.settlement`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import ssl
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic import prices
from opg_magic.errors import SimnetError
from opg_magic.models import CHAT_PATH, COMPLETION_PATH, Kind, ModelPrice
from opg_magic.networks import OBSERVED_CAP, Network
from opg_magic.protocol import canonical, strict_json
from opg_magic.protocol.merkle import BatchItem
from opg_magic.simnet import cheats
from opg_magic.simnet.facilitator import Facilitator, PaymentInvalid, Session, Sessions, read_payment
from opg_magic.simnet.model import Delta, Model, ModelDown, Reply, Usage
from opg_magic.simnet.settlement import UNSIGNED, Settler

if TYPE_CHECKING:
    from aiohttp import web
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from opg_magic.simnet.nitro import Authority

log = logging.getLogger(__name__)

#: USD for one OPG, as the recorded hosts' price feed had it.
TOKEN_USD = Decimal("0.1")

#: What a host takes for a model whose price nobody published (USD per million tokens, its own figure).
HOUSE_PRICE = ModelPrice(Decimal(1), Decimal(5), "2026-04", "the simulated host's own")

MAX_TIMEOUT_SECONDS = 300
HEARTBEAT_SECONDS = 300
MAX_BODY = 32 * 1024 * 1024

_KINDS: dict[str, Kind] = {CHAT_PATH: "chat", COMPLETION_PATH: "completion"}
_DESCRIPTIONS = {CHAT_PATH: "Chat completion", COMPLETION_PATH: "Completion"}
_NONCE = re.compile(r"[0-9a-fA-F]{40}")
_USAGE = b'"usage": {'

#: What a 402 says beside its offers, as recorded.  A client must not sign any of it by itself.
EXTENSIONS: dict[str, Any] = {
    "erc20ApprovalGasSponsoring": {
        "info": {
            "description": "The facilitator accepts a raw signed approval transaction and will sponsor the gas fees.",
            "version": "1",
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "from": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The address of the sender.",
                },
                "asset": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The ERC-20 token contract address to approve.",
                },
                "spender": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]{40}$",
                    "description": "The address of the spender (Canonical Permit2).",
                },
                "amount": {"type": "string", "pattern": "^[0-9]+$", "description": "Approval amount (uint256)."},
                "signedTransaction": {
                    "type": "string",
                    "pattern": "^0x[a-fA-F0-9]+$",
                    "description": "RLP-encoded signed transaction calling ERC20.approve().",
                },
                "version": {
                    "type": "string",
                    "pattern": "^[0-9]+(\\.[0-9]+)*$",
                    "description": "Schema version identifier.",
                },
            },
            "required": ["from", "asset", "spender", "amount", "signedTransaction", "version"],
        },
    }
}


# ------------------------------------------------------------------------------------------------------------ its keys


@dataclass(frozen=True)
class Signer:
    """An enclave's RSA-2048 key: DER SubjectPublicKeyInfo, and the id that follows from it."""

    key: rsa.RSAPrivateKey = field(repr=False)
    der: bytes = field(repr=False)
    tee_id: str

    @classmethod
    def create(cls) -> Signer:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(65537, 2048)
        der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(key, der, canonical.tee_id(der))

    @property
    def pem(self) -> str:
        from cryptography.hazmat.primitives import serialization

        return (
            self.key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def sign(self, digest: bytes) -> bytes:
        """RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32, over 32 bytes (protocol section 3)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self.key.sign(digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


@dataclass(frozen=True)
class Certificate:
    """A TLS certificate with its key.  ``chain`` holds the issuers to present with it."""

    der: bytes = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()

    @classmethod
    def create(cls, name: str, issuer: Certificate | None = None) -> Certificate:
        """A certificate for 127.0.0.1 and localhost: self-signed (as ``openssl req -x509`` makes them), or issued."""
        from ipaddress import IPv4Address

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        parent = x509.load_der_x509_certificate(issuer.der) if issuer else None
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")])
        signing = issuer.key if issuer else key
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(parent.subject if parent else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
            .sign(signing, hashes.SHA256())
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        return cls(der, key, (issuer.der, *issuer.chain) if issuer else ())

    def load_into(self, context: ssl.SSLContext) -> None:
        """Present this certificate in new connections of the context."""
        from cryptography.hazmat.primitives import serialization

        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in (self.der, *self.chain)).encode()
        # OpenSSL reads key and chain from a file alone: one that only this user can read, gone at once.
        with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
            file.write(key + pem)
        try:
            context.load_cert_chain(file.name)
        finally:
            Path(file.name).unlink()


@dataclass(frozen=True, slots=True)
class Proof:
    """What was signed of one answer: the five fields as they go out, when, and what may be put on record of it."""

    fields: dict[str, Any]
    time: int
    item: BatchItem


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a stream once its final event is made: the figures, and what may be put on record."""

    usage: Usage
    proof: Proof


# ------------------------------------------------------------------------------------------------------------ the host


class Host:
    """One enclave behind its TLS front.

    ``pcrs`` maps 0, 1, 2 to 48 bytes each.  ``payment_address`` is where its ``payTo`` goes.  Wiring that the network
    does after construction: ``neighbours`` (the other hosts, whose keys a cheat may use).
    """

    def __init__(
        self,
        name: str,
        *,
        authority: Authority,
        pcrs: Mapping[int, bytes],
        version: str,
        owner: str,
        payment_address: str,
        facilitator: Facilitator,
        network: Network,
        model: Model,
        any_model: bool = False,
        settle_idle: Callable[[], float],
        payment_clock: Callable[[], float] = time.time,
        on_settled: Callable[[Session], None] = lambda _: None,
        on_activity: Callable[[], None] = lambda: None,
        settler: Settler | None = None,
    ) -> None:
        self.name = name
        self.pcrs = dict(pcrs)
        self.version = version
        self.owner = owner
        self.payment_address = payment_address
        self.signer = Signer.create()
        self.certificate = Certificate.create(f"{name}.simulated.invalid")
        self.neighbours: list[Host] = []
        self.cheat = cheats.Honest()
        self.released = asyncio.Event()
        self.endpoint = ""
        self.last_heartbeat: float | None = None
        self.sessions = Sessions(
            facilitator,
            settle_idle=settle_idle,
            clock=payment_clock,
            on_settled=on_settled,
            settle=lambda payment, amount: self.cheat.settle(facilitator, payment, amount),
        )
        self._settler = settler
        self._authority = authority
        self._module_id = f"i-{uuid.uuid4().hex[:17]}-enc{uuid.uuid4().hex[:16]}"
        self._facilitator = facilitator
        self._network = network
        self._model = model
        self._any_model = any_model
        self._on_activity = on_activity
        self._price_list = prices.load()
        self._wire_models = {name.rpartition("/")[2] for name in self._price_list.models} | set(self._price_list.prices)
        self._started = time.time()
        self._foreign: Authority | None = None
        self._stranger: Signer | None = None
        self._certificates: dict[str, Certificate] = {"registered": self.certificate}
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None

    @property
    def tee_id(self) -> str:
        return self.signer.tee_id

    # ------------------------------------------------------------------------------------------------- start and stop

    async def start(self, port: int = 0) -> str:
        """Listen on loopback (0: any free port); the endpoint's URL."""
        from aiohttp import web

        @web.middleware
        async def each(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
            return await self._each(request, handler)

        app = web.Application(client_max_size=MAX_BODY, middlewares=[each])
        app.router.add_get("/health", self._health)
        app.router.add_get("/signing-key", self._signing_key)
        app.router.add_get("/heartbeat/status", self._heartbeat_status)
        app.router.add_get("/enclave/attestation", self._attestation)
        app.router.add_post(CHAT_PATH, self._infer)
        app.router.add_post(COMPLETION_PATH, self._infer)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No tickets: a resumed session would show no certificate, so that a cheat with another one went unseen.
        self._context.num_tickets = 0
        self._context.options |= ssl.OP_NO_TICKET
        self.certificate.load_into(self._context)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=300)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._context).start()
        self.endpoint = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.endpoint

    async def stop(self) -> None:
        """Stop listening and drop what is open."""
        self.released.set()
        await self.sessions.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def play(self, mode: str) -> None:
        """Cheat in that mode from now on (``off``: be honest).  SimnetError if there is none of that name."""
        cheat = cheats.make(mode)
        before, self.cheat = self.cheat, cheat
        released, self.released = self.released, asyncio.Event()
        released.set()
        if cheat.certificate != before.certificate and self._context is not None:
            self._certificate(cheat.certificate).load_into(self._context)
            self._drop_connections()

    def _drop_connections(self) -> None:
        """Another certificate counts from the next connection on: so there is a next one."""
        server = self._runner.server if self._runner is not None else None
        for connection in list(getattr(server, "connections", ())):
            connection.force_close()

    # ------------------------------------------------------------------------------------------- what cheats build upon

    def attest(
        self,
        nonce: bytes | None,
        *,
        authority: Authority | None = None,
        pcrs: Mapping[int, bytes] | None = None,
        **overrides: Any,
    ) -> bytes:
        """The attestation document for a nonce; what a cheat overrides goes to :meth:`Authority.document`."""
        bound = {"signing_key_der": self.signer.der, "tls_certificate_der": self.certificate.der}
        return (authority or self._authority).document(
            pcrs=self.pcrs if pcrs is None else pcrs,
            nonce=nonce,
            timestamp_ms=int(time.time() * 1000),
            module_id=self._module_id,
            **{**bound, **overrides},
        )

    def foreign_authority(self) -> Authority:
        """An attestation root that nobody trusts."""
        if self._foreign is None:
            from opg_magic.simnet.nitro import Authority

            self._foreign = Authority.create()
        return self._foreign

    def other_signer(self) -> Signer:
        """Another registered host's key; where this host is alone, one that is not registered."""
        return self.neighbours[0].signer if self.neighbours else self.unregistered_signer()

    def unregistered_signer(self) -> Signer:
        """A key that no registry lists."""
        if self._stranger is None:
            self._stranger = Signer.create()
        return self._stranger

    def foreign_certificate_der(self) -> bytes:
        return self._certificate("foreign").der

    def _certificate(self, which: str) -> Certificate:
        if which not in self._certificates:
            issuer = self.certificate if which == "issued" else None
            self._certificates[which] = Certificate.create(f"{self.name}.simulated.invalid", issuer)
        return self._certificates[which]

    def failure(self) -> web.Response:
        """HTTP 500 as recorded."""
        return _indented({"error": "Request processing failed"}, status=500)

    def redirect(self, request: web.Request) -> web.Response:
        """A redirect to another host's same path."""
        from aiohttp import web

        target = self.neighbours[0].endpoint if self.neighbours else "https://127.0.0.1:9"
        return web.Response(status=307, headers={"Location": target + request.path})

    async def wants_stream(self, request: web.Request) -> bool:
        """Whether the request's body asks for a stream."""
        body = _parse(await request.read())
        return body is not None and body.get("stream") is True

    # --------------------------------------------------------------------------------------------------- small answers

    async def _each(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        """Around every request: an unknown path or method is answered as recorded."""
        from aiohttp import web

        self._on_activity()
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return _problem(
                404,
                "Not Found",
                "The requested URL was not found on the server. If you entered the URL manually please check your"
                " spelling and try again.",
            )
        except web.HTTPMethodNotAllowed:
            return _problem(405, "Method Not Allowed", "The method is not allowed for the requested URL.")
        return answer

    async def _health(self, request: web.Request) -> web.Response:
        feed = {
            "consecutive_failures": 0,
            "last_error": None,
            "last_success": self._started,
            "price_usd": float(TOKEN_USD),
            "refresh_interval": 300,
            "total_errors": 0,
            "total_fetches": 1 + int((time.time() - self._started) // 300),
        }
        return _compact({"price_feed": feed, "status": "OK", "tee_enabled": True, "version": "1.0.0"})

    async def _signing_key(self, request: web.Request) -> web.Response:
        return _compact(
            {
                "enclave_info": {"instance_type": "tee-enabled", "platform": "aws-nitro", "version": "1.0.0"},
                "measurements": None,
                "public_key": self.signer.pem,
                "tee_id": self.tee_id,
                "timestamp": datetime.now(UTC).isoformat(),
                "wallet_address": self.payment_address,
            }
        )

    async def _heartbeat_status(self, request: web.Request) -> web.Response:
        if self.last_heartbeat is None:
            return _compact({"enabled": False})
        return _compact({"enabled": True, "interval": HEARTBEAT_SECONDS, "last_success": self.last_heartbeat})

    async def _attestation(self, request: web.Request) -> web.Response:
        from aiohttp import web

        nonce = request.query.get("nonce", "")
        if not _NONCE.fullmatch(nonce):
            return web.Response(status=400, text="nonce must be 40 hex digits\n")
        document = await asyncio.to_thread(self.cheat.attestation, self, bytes.fromhex(nonce))
        if document is None:
            raise web.HTTPNotFound
        return web.Response(text=base64.b64encode(document).decode())

    # ------------------------------------------------------------------------------------------------------ paid calls

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        intercepted = self.cheat.intercept(self, request)
        if intercepted is not None:
            return intercepted
        session = await self._paid(request)
        if not isinstance(session, Session):
            return session
        answer = await self._answer(request, session)
        if not answer.prepared:
            answer.headers["X-Upto-Session"] = session.id.reveal()
        return answer

    async def _paid(self, request: web.Request) -> Session | web.Response:
        """The session that pays for this request, or the 402 that asks for one."""
        session_id = request.headers.get("X-Upto-Session")
        if session_id:
            found = (
                self.sessions.resume(session_id, request.method, request.path) if self.cheat.keeps_sessions else None
            )
            return found or _session_gone()
        header = request.headers.get("PAYMENT-SIGNATURE")
        if not header:
            return self._payment_required(request, "Payment required")
        try:
            payment = read_payment(header)
            await self._facilitator.verify(payment, self._offer(paying=True))
        except PaymentInvalid as refused:
            return self._payment_required(request, refused.reason)
        return self.sessions.join(payment, request.method, request.path) or _session_gone()

    def _offer(self, *, paying: bool) -> dict[str, Any]:
        offer = {
            "scheme": "upto",
            "network": f"eip155:{self._network.payment_chain_id}",
            "asset": self._network.token.address,
            "amount": str(OBSERVED_CAP),
            "payTo": self.payment_address,
            "maxTimeoutSeconds": MAX_TIMEOUT_SECONDS,
            "extra": {
                "name": "OpenGradient",
                "version": "1",
                "assetTransferMethod": "permit2",
                "facilitatorAddress": self._facilitator.address,
            },
        }
        return self.cheat.offer(offer, paying=paying)

    def _payment_required(self, request: web.Request, error: str) -> web.Response:
        message = {
            "x402Version": 2,
            "error": error,
            "resource": {
                "url": self.endpoint + request.path,
                "description": _DESCRIPTIONS[request.path],
                "mimeType": "application/json",
            },
            "accepts": [self._offer(paying="PAYMENT-SIGNATURE" in request.headers)],
            "extensions": EXTENSIONS,
        }
        header = base64.b64encode(json.dumps(message, separators=(",", ":")).encode()).decode()
        return _payment_error(b"{}", {"PAYMENT-REQUIRED": header})

    async def _answer(self, request: web.Request, session: Session) -> web.StreamResponse:
        if not request.headers.get("Authorization"):
            return _problem(401, "Unauthorized", "No authorization token provided")
        kind = _KINDS[request.path]
        body = _parse(await request.read())
        wrong = "Request body is not valid JSON" if body is None else problem_in(body, kind)
        if wrong is not None or body is None:
            return _problem(400, "Bad Request", wrong or "")
        model = body["model"]
        if not self._any_model and model not in self._wire_models:
            # This one answer has no blank after its colons, as recorded.
            return _compact({"error": f"Model '{model}' is not supported"}, status=400)
        if any(m.get("role") == "developer" for m in body.get("messages", ())):
            return self.failure()
        if self.cheat.takes_first:
            self._charge(session, body, Usage(50, 200))
        instead = await self.cheat.before_answer(self, request)
        if instead is not None:
            return instead
        try:
            if body.get("stream") is True and kind == "chat":
                return await self._stream(request, session, body)
            reply = self.cheat.reply(await self._model.reply(body, kind))
            await cheats.pause(self.cheat.pause * len(reply.pieces))
            return await self._whole(request, session, body, kind, reply)
        except ModelDown as down:
            log.info("the model did not answer: %s", down)
            return self.failure()

    async def _whole(
        self, request: web.Request, session: Session, body: Mapping[str, Any], kind: Kind, reply: Reply
    ) -> web.StreamResponse:
        calls = [_reserialised(call) for call in reply.tool_calls]
        signed = strict_json.dumps_python(calls) if calls else reply.text
        proof = self._proof(body, kind, signed)
        choice: dict[str, Any] = {"finish_reason": reply.finish_reason, "index": 0}
        if kind == "completion":
            choice["text"] = reply.text
        else:
            choice["message"] = {"content": reply.text, "role": "assistant"}
            if calls:
                choice["message"]["tool_calls"] = calls
        prefix, thing = ("chatcmpl", "chat.completion") if kind == "chat" else ("cmpl", "text_completion")
        document = {
            "choices": [choice],
            "created": proof.time,
            "id": f"{prefix}-{uuid.uuid4()}",
            "model": reply.model,
            "object": thing,
            **proof.fields,
            "usage": reply.usage.document(),
        }
        try:
            raw = self.cheat.document(document)
        except cheats.CutOff:
            return await self._cut(request, session, json.dumps(document).encode())
        self._charge(session, body, reply.usage)
        from aiohttp import web

        self._record(request, proof)
        return web.Response(body=raw, content_type="application/json")

    async def _stream(self, request: web.Request, session: Session, body: Mapping[str, Any]) -> web.StreamResponse:
        from aiohttp import web

        ended: list[Ending] = []
        events = self.cheat.events(self._events(body, ended))
        # The first event is awaited before the head goes out: a provider that is down is a plain HTTP 500.
        try:
            first = await anext(events, b"")
        except cheats.CutOff:
            return await self._cut(request, session, b"data: {}\n\n")
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
        counted = first if _USAGE in first else b""
        try:
            await response.write(first)
            async for raw in events:
                await response.write(raw)
                counted = raw if _USAGE in raw else counted
        except cheats.CutOff:
            self._abort(request)
            return response
        except ModelDown:
            await response.write(cheats.write_event(cheats.Event("error", {"error": "Stream processing failed"})))
            await response.write_eof()
            return response
        except ConnectionError:
            return response  # the client left in mid-stream: nothing is charged
        # Charged before the body ends: whoever reads to its end finds the charge made.  What was sent without its usage
        # is not charged, as observed.
        if counted and ended:
            self._charge(session, body, ended[0].usage)
            self._record(request, ended[0].proof)
        with suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _events(self, body: Mapping[str, Any], ended: list[Ending]) -> AsyncIterator[cheats.Event]:
        """The honest events of a stream.  ``ended`` gets its one entry when the final event is reached."""
        text: list[str] = []
        calls: dict[int, dict[str, Any]] = {}
        async for delta in self._deltas(body):
            if delta.text is not None:
                text.append(delta.text)
                yield cheats.Event("text", _chunk({"content": delta.text, "role": "assistant"}, None, delta.model))
            if delta.tool_calls:
                for part in delta.tool_calls:
                    _assemble(calls, part)
                parts = [dict(part) for part in delta.tool_calls]
                yield cheats.Event("tool", _chunk({"tool_calls": parts, "role": "assistant"}, None, delta.model))
            if delta.finish_reason is not None:
                assembled = [calls[index] for index in sorted(calls)]
                signed = strict_json.dumps_python(assembled) if assembled else "".join(text)
                proof = self._proof(body, "chat", signed)
                counted = delta.usage or Usage(0, len(text))
                final = {**_chunk({}, delta.finish_reason, delta.model), **proof.fields, "usage": counted.document()}
                ended.append(Ending(counted, proof))
                yield cheats.Event("final", final)
                break
        else:
            raise ModelDown("the stream ended without a finish reason")
        yield cheats.Event("done", None)

    async def _deltas(self, body: Mapping[str, Any]) -> AsyncIterator[Delta]:
        if type(self.cheat).reply is not cheats.Honest.reply:
            reply = self.cheat.reply(await self._model.reply(body, "chat"))
            for piece in reply.pieces:
                yield Delta(text=piece, model=reply.model)
            yield Delta(finish_reason=reply.finish_reason, usage=reply.usage, model=reply.model)
            return
        async for delta in self._model.stream(body, "chat"):
            await cheats.pause(self.cheat.pause)
            yield delta

    def _proof(self, body: Mapping[str, Any], kind: Kind, output: str) -> Proof:
        """The five signed fields, in the order recorded in streams."""
        request_hash = canonical.request_hash(canonical.canonicalise(kind, self.cheat.signed_request(body)))
        output_hash = canonical.output_hash(output)
        now = int(time.time())
        timestamp = self.cheat.timestamp(now)
        signer = self.cheat.signer(self)
        signature = signer.sign(canonical.signed_digest(request_hash, output_hash, timestamp))
        proof = {
            "tee_signature": base64.b64encode(signature).decode(),
            "tee_timestamp": timestamp,
            "tee_request_hash": request_hash.hex(),
            "tee_output_hash": output_hash.hex(),
            "tee_id": signer.tee_id,
        }
        fields = self.cheat.proof(proof)
        recorded = signature if fields else UNSIGNED
        tee_id = bytes.fromhex(signer.tee_id.removeprefix("0x"))
        return Proof(fields, now, BatchItem(tee_id, request_hash, output_hash, recorded, timestamp))

    def _record(self, request: web.Request, proof: Proof) -> None:
        """Put a charged answer's hashes into the next batch, unless its caller asked for nothing on record.

        A word that is not known means a batch, as observed; ``individual`` is not known any more.
        """
        wanted = request.headers.get("X-SETTLEMENT-TYPE", "").strip().lower()
        if self._settler is not None and wanted != "private":
            self._settler.add(proof.item, self.cheat.manner)

    def _charge(self, session: Session, body: Mapping[str, Any], usage: Usage) -> None:
        price = self._price_list.price(str(body["model"])) or HOUSE_PRICE
        usd = prices.usd(price, usage.prompt_tokens, usage.completion_tokens)
        cost = prices.in_token(usd, TOKEN_USD, self._network.token).amount
        charged = [self.sessions.charge(each, cost) for each in self.cheat.charged(self, session)]
        if not all(charged):
            log.info("a cost of %d base units was not charged: the session is closed or has less left", cost)

    async def _cut(self, request: web.Request, session: Session, raw: bytes) -> web.StreamResponse:
        """Half of a body of known length, then the end of the connection."""
        from aiohttp import web

        headers = {"Content-Type": "application/json", "X-Upto-Session": session.id.reveal()}
        response = web.StreamResponse(headers=headers)
        response.content_length = len(raw)
        await response.prepare(request)
        await response.write(raw[: len(raw) // 2])
        self._abort(request)
        return response

    @staticmethod
    def _abort(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.close()


# ----------------------------------------------------------------------------------------------------------- validation


def problem_in(body: Mapping[str, Any], kind: Kind) -> str | None:
    """Why a host answers this body with 400, or None (protocol section 3).  Checked before anything is hashed."""
    if not isinstance(body.get("model"), str):
        return "'model' is a required property"
    for key in ("tools", "response_format", "tool_choice"):
        if key in body and body[key] is None:
            return f"None is not valid - '{key}'"
    stop = body.get("stop")
    if isinstance(stop, list) and not (1 <= len(stop) <= 4 and all(isinstance(s, str) for s in stop)):
        return f"{stop!r} is not valid under any of the given schemas - 'stop'"
    if stop is not None and not isinstance(stop, str | list):
        return f"{stop!r} is not valid under any of the given schemas - 'stop'"
    temperature = body.get("temperature")
    if temperature is not None and (isinstance(temperature, bool) or not isinstance(temperature, int | float)):
        return f"{temperature!r} is not of type 'number' - 'temperature'"
    limit = body.get("max_tokens")
    if limit is not None and type(limit) is not int:
        return f"{limit!r} is not of type 'integer' - 'max_tokens'"
    if not isinstance(body.get("stream", False), bool):
        return f"{body['stream']!r} is not of type 'boolean' - 'stream'"
    if kind == "completion":
        return None if isinstance(body.get("prompt"), str) else "'prompt' is a required property"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "'messages' is a required property, and not empty"
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return f"'role' is a required property - 'messages.{number}'"
        content = message.get("content")
        if content == [] or (isinstance(content, list) and not all(_good_part(part) for part in content)):
            return f"{content!r} is not valid under any of the given schemas - 'messages.{number}.content'"
        if content is not None and not isinstance(content, str | list):
            return f"{content!r} is not valid under any of the given schemas - 'messages.{number}.content'"
    tools = body.get("tools", [])
    if not isinstance(tools, list) or not all(isinstance(t, dict) for t in tools):
        return f"{tools!r} is not of type 'array' - 'tools'"
    if not isinstance(body.get("response_format", {}), dict):
        return f"{body['response_format']!r} is not of type 'object' - 'response_format'"
    return None


def _good_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("text", "image_url")


# -------------------------------------------------------------------------------------------------------------- helpers


def _parse(raw: bytes) -> dict[str, Any] | None:
    """The body as a host reads it: Python's own lenient JSON."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _chunk(delta: dict[str, Any], finish_reason: str | None, model: str) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "index": 0, "finish_reason": finish_reason}], "model": model}


def _assemble(calls: dict[int, dict[str, Any]], part: Mapping[str, Any]) -> None:
    """Join one fragment of a streamed tool call to its call, as it will be signed."""
    call = calls.setdefault(
        int(part.get("index", 0)), {"id": None, "type": "function", "function": {"name": None, "arguments": ""}}
    )
    function = part.get("function") or {}
    call["id"] = part.get("id") or call["id"]
    call["function"]["name"] = function.get("name") or call["function"]["name"]
    call["function"]["arguments"] += function.get("arguments") or ""


def _reserialised(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call of an answer that is not streamed: hosts parse its arguments and write them anew."""
    function = dict(call["function"])
    with suppress(ValueError):
        function["arguments"] = json.dumps(json.loads(function["arguments"]))
    return {**call, "function": function}


def _indented(document: Mapping[str, Any], *, status: int, content_type: str = "application/json") -> web.Response:
    from aiohttp import web

    return web.Response(status=status, body=cheats.write_document(document), content_type=content_type)


def _compact(document: Mapping[str, Any], *, status: int = 200) -> web.Response:
    from aiohttp import web

    text = json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n"
    return web.Response(status=status, body=text.encode(), content_type="application/json")


def _problem(status: int, title: str, detail: str) -> web.Response:
    document = {"detail": detail, "status": status, "title": title, "type": "about:blank"}
    return _indented(document, status=status, content_type="application/problem+json")


def _session_gone() -> web.Response:
    return _payment_error(b'{"error": "Session expired or exhausted"}', {})


def _payment_error(body: bytes, headers: dict[str, str]) -> web.Response:
    from aiohttp import web

    response = web.Response(status=402, body=body, content_type="application/json", headers=headers)
    if headers:
        # Recorded: a 402 that asks for payment names its type twice.
        response.headers.add("Content-Type", "application/json")
    response.enable_chunked_encoding()
    return response


def host_named(hosts: list[Host], wanted: str) -> Host:
    """A host by its name or a beginning of its tee_id.  SimnetError if there is none, or more than one."""
    found = [h for h in hosts if h.name == wanted]
    prefix = wanted.lower().removeprefix("0x")
    if not found and prefix:
        found = [h for h in hosts if h.tee_id[2:].startswith(prefix)]
    if len(found) != 1:
        names = ", ".join(h.name for h in hosts)
        raise SimnetError(f"{'no' if not found else 'more than one'} host is called “{wanted}”", hint=f"Hosts: {names}")
    return found[0]
