"""One simulated host: its TLS front, attestation, small answers, and the 402 flow with sessions, as
observed.

A paid call is answered in the recorded order: session or payment (402), then what
:mod:`~opg_magic.simnet.host.answering` does.  Errors after the payment was accepted carry the
session's id and are not charged."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opg_magic.errors import SimnetError
from opg_magic.models import CHAT_PATH, COMPLETION_PATH
from opg_magic.models.networks import Network
from opg_magic.simnet.host import responses
from opg_magic.simnet.host.answering import Answering
from opg_magic.simnet.host.conduct import Honest
from opg_magic.simnet.host.identity import Certificate, Signer
from opg_magic.simnet.host.steps import TOKEN_USD, Steps
from opg_magic.simnet.host.unsealing import SEALED_PATH, SealingIdentity, Unsealing
from opg_magic.simnet.model.interface import Model
from opg_magic.simnet.payment.facilitator import (
    Facilitator,
    PaymentInvalid,
    SignedPayment,
    read_payment,
)
from opg_magic.simnet.payment.sessions import Session, Sessions
from opg_magic.simnet.payment.terms import Rhythm, Terms
from opg_magic.simnet.settlement.relay import Settler

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.host.nitro import Authority

HEARTBEAT_SECONDS = 300
MAX_BODY = 32 * 1024 * 1024

_DESCRIPTIONS = {CHAT_PATH: "Chat completion", COMPLETION_PATH: "Completion"}
_NONCE = re.compile(r"[0-9a-fA-F]{40}")
_ATTESTATION = "/enclave/attestation"


class Host:
    """One enclave behind its TLS front.

    ``pcrs`` maps 0, 1, 2 to 48 bytes each.  ``payment_address`` is where its ``payTo`` goes.
    Wiring that the network does after construction: ``neighbours`` (the other hosts, whose keys a
    cheat may use)."""

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
        terms: Terms,
        rhythm: Callable[[], Rhythm],
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
        self.sealing = SealingIdentity()
        self.unsealing = Unsealing(self.sealing)
        self.neighbours: list[Host] = []
        self.cheat = Honest()
        self.released = asyncio.Event()
        self.endpoint = ""
        self.last_heartbeat: float | None = None
        self.sessions = Sessions(
            self._settle, rhythm=rhythm, clock=payment_clock, on_settled=on_settled
        )
        self._terms = terms
        self._authority = authority
        self._module_id = f"i-{uuid.uuid4().hex[:17]}-enc{uuid.uuid4().hex[:16]}"
        self._facilitator = facilitator
        self._network = network
        self._answering = Answering(Steps(self, model=model, network=network, settler=settler))
        self._on_activity = on_activity
        self._started = time.time()
        self._foreign: Authority | None = None
        self._stranger: Signer | None = None
        self._certificates: dict[str, Certificate] = {"registered": self.certificate}
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None

    @property
    def tee_id(self) -> str:
        """The host's id, 0x-hex: the hash of its signing key."""
        return self.signer.tee_id

    # ------------------------------------------------------------------------------- start and stop

    async def start(self, port: int = 0) -> str:
        """Listen on loopback (0: any free port); the endpoint's URL."""
        from aiohttp import web

        @web.middleware
        async def each(
            request: web.Request, handler: Callable[[web.Request], Any]
        ) -> web.StreamResponse:
            return await self._each(request, handler)

        app = web.Application(client_max_size=MAX_BODY, middlewares=[each])
        app.router.add_get("/health", self._health)
        app.router.add_get("/signing-key", self._signing_key)
        app.router.add_get("/heartbeat/status", self._heartbeat_status)
        app.router.add_get(_ATTESTATION, self._attestation)
        app.router.add_post(CHAT_PATH, self._infer)
        app.router.add_post(COMPLETION_PATH, self._infer)
        app.router.add_post(SEALED_PATH, self._sealed)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No tickets: a resumed session would show no certificate, so that a cheat with another one
        # went unseen.
        self._context.num_tickets = 0
        self._context.options |= ssl.OP_NO_TICKET
        self.certificate.load_into(self._context)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=300
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._context).start()
        self.endpoint = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.endpoint

    async def stop(self) -> None:
        """Stop listening and drop what is open."""
        self.released.set()
        await self.sessions.close()
        await self.unsealing.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def play(self, cheat: Honest) -> None:
        """Behave like that from now on."""
        before, self.cheat = self.cheat, cheat
        before.pause = cheat.pause  # answers that are on their way go on at the new pace
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

    # ----------------------------------------------------------------------- what cheats build upon

    def attest(
        self,
        nonce: bytes | None,
        *,
        authority: Authority | None = None,
        pcrs: Mapping[int, bytes] | None = None,
        **overrides: Any,
    ) -> bytes:
        """The attestation document for a nonce; what a cheat overrides goes to
        :meth:`Authority.document`."""
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
            from opg_magic.simnet.host.nitro import Authority

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
        """A TLS certificate that no registry lists (DER)."""
        return self._certificate("foreign").der

    def _certificate(self, which: str) -> Certificate:
        if which not in self._certificates:
            issuer = self.certificate if which == "issued" else None
            self._certificates[which] = Certificate.create(f"{self.name}.simulated.invalid", issuer)
        return self._certificates[which]

    def redirect(self, request: web.Request) -> web.Response:
        """A redirect to another host's same path."""
        from aiohttp import web

        target = self.neighbours[0].endpoint if self.neighbours else "https://127.0.0.1:9"
        return web.Response(status=307, headers={"Location": target + request.path})

    # -------------------------------------------------------------------------------- small answers

    async def _each(
        self, request: web.Request, handler: Callable[[web.Request], Any]
    ) -> web.StreamResponse:
        """Around every request: an unknown path or method is answered as recorded."""
        from aiohttp import web

        self._on_activity()
        if not self.cheat.gateway_up and request.path != _ATTESTATION:
            return responses.bad_gateway()
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return responses.problem(
                404,
                "Not Found",
                "The requested URL was not found on the server. If you entered the URL manually "
                "please check your"
                " spelling and try again.",
            )
        except web.HTTPMethodNotAllowed:
            return responses.problem(
                405, "Method Not Allowed", "The method is not allowed for the requested URL."
            )
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
        return responses.compact(
            {"price_feed": feed, "status": "OK", "tee_enabled": True, "version": "1.0.0"}
        )

    async def _signing_key(self, request: web.Request) -> web.Response:
        return responses.compact(
            {
                "enclave_info": {
                    "instance_type": "tee-enabled",
                    "platform": "aws-nitro",
                    "version": "1.0.0",
                },
                "measurements": None,
                "public_key": self.signer.pem,
                "tee_id": self.tee_id,
                "timestamp": datetime.now(UTC).isoformat(),
                "wallet_address": self.payment_address,
            }
        )

    async def _heartbeat_status(self, request: web.Request) -> web.Response:
        if self.last_heartbeat is None:
            return responses.compact({"enabled": False})
        return responses.compact(
            {"enabled": True, "interval": HEARTBEAT_SECONDS, "last_success": self.last_heartbeat}
        )

    async def _attestation(self, request: web.Request) -> web.Response:
        from aiohttp import web

        nonce = request.query.get("nonce", "")
        if not _NONCE.fullmatch(nonce):
            return web.Response(status=400, text="nonce must be 40 hex digits\n")
        document = await asyncio.to_thread(self.cheat.attestation, self, bytes.fromhex(nonce))
        if document is None:
            raise web.HTTPNotFound
        return web.Response(text=base64.b64encode(document).decode())

    # ----------------------------------------------------------------------------------- paid calls

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        intercepted = self.cheat.intercept(self, request)
        if intercepted is not None:
            return intercepted
        session = await self._paid(request)
        if not isinstance(session, Session):
            return session
        answer = await self._answering.answer(request, session)
        if not answer.prepared:
            answer.headers["X-Upto-Session"] = session.id.reveal()
        return answer

    async def _sealed(self, request: web.Request) -> web.StreamResponse:
        return await self.unsealing.answer(request, self.endpoint, self.cheat)

    async def _paid(self, request: web.Request) -> Session | web.Response:
        """The session that pays for this request, or the 402 that asks for one."""
        session_id = request.headers.get("X-Upto-Session")
        if session_id and self.unsealing.pays(session_id):
            return self.unsealing.tab
        if session_id:
            found = (
                self.sessions.resume(session_id, request.method, request.path)
                if self.cheat.keeps_sessions
                else None
            )
            return found or responses.session_gone()
        header = request.headers.get("PAYMENT-SIGNATURE")
        if not header:
            return self._payment_required(request, "Payment required")
        try:
            payment = read_payment(header)
            if not self.cheat.facilitator_up:
                return responses.html_error()
            await self._facilitator.verify(payment, self._offer(paying=True))
        except PaymentInvalid as refused:
            return self._payment_required(request, refused.reason)
        return self.sessions.join(payment, request.method, request.path) or responses.session_gone()

    async def _settle(self, payment: SignedPayment, amount: int) -> str | None:
        """Collect a session's sum, as this host does."""
        if not self.cheat.facilitator_up:
            raise PaymentInvalid("the facilitator cannot be reached")
        return await self.cheat.settle(self._facilitator, payment, amount)

    def _offer(self, *, paying: bool) -> dict[str, Any]:
        offer = {
            "scheme": "upto",
            "network": f"eip155:{self._network.payment_chain_id}",
            "asset": self._network.token.address,
            "amount": str(self._terms.cap),
            "payTo": self.payment_address,
            "maxTimeoutSeconds": self._terms.deadline,
            "extra": {
                "name": "OpenGradient",
                "version": "1",
                "assetTransferMethod": "permit2",
                "facilitatorAddress": self._facilitator.address,
            },
        }
        return self.cheat.offer(offer, paying=paying)

    def _payment_required(self, request: web.Request, error: str) -> web.Response:
        return responses.payment_required(
            self._offer(paying="PAYMENT-SIGNATURE" in request.headers),
            url=self.endpoint + request.path,
            description=_DESCRIPTIONS[request.path],
            error=error,
        )


def host_named(hosts: list[Host], wanted: str) -> Host:
    """A host by its name or a beginning of its tee_id.  SimnetError if there is none, or more than
    one."""
    found = [h for h in hosts if h.name == wanted]
    prefix = wanted.lower().removeprefix("0x")
    if not found and prefix:
        found = [h for h in hosts if h.tee_id[2:].startswith(prefix)]
    if len(found) != 1:
        names = ", ".join(h.name for h in hosts)
        raise SimnetError(
            f"{'No' if not found else 'More than one'} host is called “{wanted}”.",
            hint=f"Hosts: {names}",
        )
    return found[0]
