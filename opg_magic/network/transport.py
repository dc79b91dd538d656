"""The channel to one host: pinned TLS, one pool a kernel, every answer read to the end of its body.

What is sent and received comes back as data (:class:`RawExchange`), however the exchange ended:
whoever has paid must be able to say what for.  Nothing here judges an answer.

Secrets (payment signature, session id) are revealed only inside the coroutine that writes them.  No
exception leaves with frames of httpx or httpcore in its traceback, because their locals hold the
request's headers; and their loggers are silenced during an exchange, because at DEBUG they print
the response's headers, the session id among them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NoReturn

import httpcore
import httpx

from opg_magic.errors import (
    AttestationRefused,
    ChannelRefused,
    HostUnavailable,
    MalformedMessage,
    OpgError,
)
from opg_magic.models import ChannelEvidence, Host, Kind, Problem, ResponseEvidence, strict_json
from opg_magic.models.proxy import Proxy, proxy_for
from opg_magic.models.secret import Secret
from opg_magic.network.library_logs import quiet_libraries
from opg_magic.network.tls import PinnedBackend, PinnedCertificate, parse_endpoint
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import MAX_STREAM_BYTES, StreamReader
from opg_magic.protocol.x402 import PaymentRequired, parse_payment_required

PAYMENT_SIGNATURE = "PAYMENT-SIGNATURE"
PAYMENT_REQUIRED = "PAYMENT-REQUIRED"
SESSION = "X-Upto-Session"
SETTLEMENT_TYPE = "X-SETTLEMENT-TYPE"

#: Bounds of what is read where no answer is expected: errors, health, attestation (real documents:
#: 6 kB of base64).
MAX_SMALL_BODY = 128 * 1024
#: What a session's id may be (real ones are UUIDs).  A shorter one could be guessed, and would
#: stand in many a text.
_SESSION_ID = re.compile(r"[A-Za-z0-9._~+/=-]{16,200}", re.ASCII)
#: What may be a token's price in USD: figures beyond would only make sums that nobody can read.
MIN_PRICE, MAX_PRICE = 1e-9, 1e9
#: Seconds an idle connection is kept.  A call's attestation is fetched just before its prompt, on
#: this connection, so a prompt never meets one that the host closed long ago.
KEEPALIVE_SECONDS = 60.0

#: Response headers that may be kept; all others are dropped, the session id first of all.
_KEPT_HEADERS = frozenset(
    {
        "date",
        "server",
        "content-type",
        "payment-required",
        "payment-response",
        "x-settlement-tx-hash",
        "x-settlement-walrus-blob-id",
    }
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """A host's own word about itself: OPG price in USD (None if it names none), and its clock.

    ``status`` is the HTTP status: 502 is the TLS front's, where the gateway behind it is dead.
    """

    status: int | None
    ok: bool
    price_usd: Decimal | None
    version: str | None
    server_date: datetime | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class RawExchange:
    """One exchange as it ended, well or not.

    ``status`` is None if no response began.  ``header_sent``: bytes of the request, and so its
    payment header, may have left this machine; where it is False nothing can be charged.
    ``complete``: the body was read to its end.  Times are this machine's: ``sent_at`` just before
    the first byte, ``received_at`` after the last.  ``headers`` has lower-case names and never a
    secret."""

    status: int | None
    headers: Mapping[str, str]
    response: ResponseEvidence
    session: Secret[str] | None
    sent_at: datetime
    received_at: datetime
    header_sent: bool
    complete: bool
    server_date: datetime | None = None
    #: The host named its session by what is no id: the answer counts, and no later call joins that
    #: session.
    session_refused: bool = False


class SendFailed(HostUnavailable):
    """Nothing was sent: no connection, or it broke before the request began.  Another host may be
    tried."""


class SendCancelled(asyncio.CancelledError):
    """The exchange was cancelled; ``exchange`` holds all that is known of it."""

    def __init__(self, exchange: RawExchange) -> None:
        super().__init__("the exchange was cancelled")
        self.exchange = exchange


class _Transport(httpx.AsyncBaseTransport):
    """httpx's seam over an httpcore pool whose connections are pinned."""

    def __init__(
        self, backend: PinnedBackend, *, max_connections: int, proxy: Proxy | None
    ) -> None:
        options: dict[str, Any] = {
            "max_connections": max_connections,
            "max_keepalive_connections": max_connections,
            "keepalive_expiry": KEEPALIVE_SECONDS,
            "http1": True,
            "http2": False,
            "retries": 0,
            "ssl_context": backend.pin.context,
            "network_backend": backend,
        }
        self._pool = (
            httpcore.AsyncConnectionPool(**options)
            if proxy is None
            else httpcore.AsyncHTTPProxy(proxy.url, proxy_auth=proxy.auth, **options)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@dataclass(slots=True)
class _State:
    """What is known of a running exchange; filled as it goes, read when it ended however it did."""

    sent_at: datetime | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    session: Secret[str] | None = None
    session_refused: bool = False
    body_ended: bool = False
    problem: Problem | None = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore's trace hook: the moment before the first byte of the request is written.

        What a proxy is asked for is another request, and holds nothing of this one.
        """
        if event.endswith("send_request_headers.started") and self.sent_at is None:
            if info["request"].method == b"CONNECT":
                return
            self.sent_at = datetime.now(UTC)


class HostClient:
    """All that is asked of one host.  Made by :meth:`HostPool.client`."""

    def __init__(
        self, host: Host, *, timeout: float, max_connections: int = 8, proxy: Proxy | None = None
    ) -> None:
        """``timeout``: seconds for one request that is not a prompt.  Raises
        :class:`ChannelRefused`."""
        self.host = host
        self.origin = parse_endpoint(host)
        self._timeout = timeout
        self._proxy = proxy_for(self.origin, proxy)
        self._backend = PinnedBackend(
            PinnedCertificate(host.tls_certificate, label=host.short_id),
            tunnelled=self._proxy is not None,
        )
        self._http = httpx.AsyncClient(
            transport=_Transport(self._backend, max_connections=max_connections, proxy=self._proxy),
            base_url=self.origin,
            follow_redirects=False,
            trust_env=False,
            # A cookie would be a name tag across calls that nobody asked for.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )

    def __repr__(self) -> str:
        return f"<HostClient {self.host.short_id} {self.origin}>"

    async def aclose(self) -> None:
        await self._http.aclose()

    def channel(self) -> ChannelEvidence:
        """The certificate of the last handshake.  HostUnavailable if there has been none."""
        if self._backend.channel is None:
            raise HostUnavailable(
                f"no TLS connection to host {self.host.short_id} has been made yet"
            )
        return self._backend.channel

    async def attestation(self, nonce: bytes) -> bytes | None:
        """The enclave's attestation document over ``nonce`` (20 bytes), raw COSE; None if the host
        offers none (404).

        Raises :class:`AttestationRefused` if what is offered is not base64 or too large.
        """
        if len(nonce) != 20:
            raise ValueError("an attestation nonce has 20 bytes")
        state, body = await self._small("GET", f"/enclave/attestation?nonce={nonce.hex()}")
        if state.status == 404:
            return None
        if state.status != 200:
            raise HostUnavailable(
                f"host {self.host.short_id} answered {state.status} when asked for its attestation"
            )
        try:
            document = base64.b64decode(b"".join(body.split()), validate=True)
        except (binascii.Error, ValueError):
            document = b""
        if not document:
            raise AttestationRefused(f"the attestation of host {self.host.short_id} is not base64")
        return document

    async def health(self) -> Health:
        """``GET /health``.  What it says is the host's word; a price is kept only if it is a
        positive number."""
        state, body = await self._small("GET", "/health")
        price: Decimal | None = None
        version: str | None = None
        ok = False
        if state.status == 200:
            with contextlib.suppress(MalformedMessage):
                report = strict_json.loads(body)
                if isinstance(report, dict):
                    ok = report.get("status") == "OK"
                    feed = report.get("price_feed")
                    quoted = feed.get("price_usd") if isinstance(feed, dict) else None
                    if (
                        isinstance(quoted, int | float)
                        and quoted is not True
                        and MIN_PRICE <= quoted < MAX_PRICE
                    ):
                        price = Decimal(str(quoted))
                    named = report.get("version")
                    version = named[:40] if isinstance(named, str) else None
        return Health(
            state.status, ok, price, version, _server_date(state.headers), datetime.now(UTC)
        )

    async def probe_terms(self, path: str) -> tuple[PaymentRequired, datetime | None]:
        """Ask for payment terms with a dummy body, never the prompt; and what the host's clock
        says.

        Raises :class:`ChannelRefused` on a redirect, :class:`HostUnavailable` on anything but a 402
        with terms."""
        dummy: dict[str, Any] = {"model": "gpt-5", "max_tokens": 1, "temperature": 0.0}
        if path.endswith("/chat/completions"):
            dummy["messages"] = [{"role": "user", "content": "hi"}]
        else:
            dummy["prompt"] = "hi"
        state, _ = await self._small("POST", path, json.dumps(dummy).encode())
        header = state.headers.get(PAYMENT_REQUIRED.lower())
        if state.status != 402 or header is None:
            raise HostUnavailable(
                f"host {self.host.short_id} answered {state.status} where terms of payment (402) "
                f"were expected"
            )
        return parse_payment_required(header), _server_date(state.headers)

    async def send(
        self,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str | Secret[str]],
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None = None,
        timeout: float = 120.0,
    ) -> RawExchange:
        """POST ``body`` and read the answer to the end of its body.

        ``on_text`` gets all text so far and the count of text pieces (about tokens), not checked
        yet.  ``timeout`` is in seconds over the whole exchange.

        Returns a :class:`RawExchange` whenever a byte may have left: its ``response.problem`` says
        how it ended (``truncated``, ``timeout``, ``http-status``, ...).  Raises
        :class:`ChannelRefused` or :class:`SendFailed` if nothing was sent, and
        :class:`SendCancelled` on cancellation, which carries the exchange."""
        state = _State()
        sink = _Sink(stream, kind, on_text)
        failure: OpgError | None = None
        cancelled = False
        try:
            async with asyncio.timeout(timeout):
                await self._exchange("POST", path, body, headers, state, sink)
        except TimeoutError:
            state.problem = Problem("timeout", f"no complete answer within {timeout:g} s")
        except asyncio.CancelledError:
            cancelled = True
            state.problem = Problem(
                "interrupted", "the call was stopped before its answer was complete"
            )
        except OpgError as refused:
            failure = _bare(refused)
            state.problem = Problem("truncated", refused.message)
        except Exception as broken:
            state.problem = Problem("truncated", f"the connection broke ({type(broken).__name__})")
        # Outside the handlers, so that nothing raised from here has a context with foreign frames.
        exchange = self._raw(state, sink, _secrets(headers))
        if cancelled:
            raise SendCancelled(exchange)
        if not exchange.header_sent:
            if failure is not None:
                raise failure
            reason = state.problem.message if state.problem else "no connection"
            raise SendFailed(
                f"host {self.host.short_id} could not be reached{self._through()}: {reason}. "
                f"Nothing was sent."
            )
        return exchange

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str | Secret[str]],
        state: _State,
        sink: _Sink,
    ) -> None:
        """Run one request; what is learnt goes into ``state`` and ``sink`` as it comes."""
        try:
            with quiet_libraries():
                await self._request(method, path, body, headers, state, sink)
        finally:
            _log.debug(
                "%s %s to host %s: %s",
                method,
                path.partition("?")[0],
                self.host.short_id,
                state.status,
            )

    def _through(self) -> str:
        return f" through the proxy {self._proxy.label}" if self._proxy is not None else ""

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """The response's head.  HostUnavailable where a proxy does not let the request through."""
        refusal: str | None = None
        try:
            return await self._http.send(request, stream=True)
        except httpcore.ProxyError as refused:
            refusal = "".join(c if c.isprintable() else " " for c in str(refused)[:80])
        # Outside the handler: its context would lead to frames that hold the request.
        raise HostUnavailable(
            f"host {self.host.short_id} could not be reached{self._through()}: it says {refusal}. "
            f"Nothing was sent.",
            hint="The proxy is your own setting: opg config proxy.",
        )

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str | Secret[str]],
        state: _State,
        sink: _Sink,
    ) -> None:
        request = self._http.build_request(
            method,
            path,
            content=body or None,
            headers={**_defaults(body), **{n: _value(v) for n, v in headers.items()}},
            extensions={"trace": state.trace},
            # The whole exchange has one limit, set by the caller; a host may think long before its
            # first token.
            timeout=httpx.Timeout(None, connect=self._timeout),
        )
        response = await self._sent(request)
        try:
            state.status = response.status_code
            secrets = _secrets(headers)
            state.session = _session_id(response)
            state.session_refused = state.session is None and bool(response.headers.get(SESSION))
            if state.session is not None:
                secrets.append(state.session)
            state.headers = {
                name.lower(): _scrubbed(value, secrets)
                for name, value in response.headers.multi_items()
                if name.lower() in _KEPT_HEADERS
            }
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                state.problem = Problem(
                    "framing", "the host compressed its answer although asked not to"
                )
                return
            sink.begin(response.status_code)
            async for part in response.aiter_raw():
                if not sink.feed(part):
                    state.problem = Problem("too-large", f"the answer exceeds {sink.limit} bytes")
                    break
            else:
                state.body_ended = True
        finally:
            await response.aclose()

    async def _small(self, method: str, path: str, body: bytes = b"") -> tuple[_State, bytes]:
        """A request without secrets whose short answer is read whole.  Redirects and broken
        connections raise."""
        state = _State()
        sink = _Sink(stream=False, kind="chat", on_text=None, limit=MAX_SMALL_BODY)
        failure: OpgError | None = None
        broken: str | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(method, path, body, {}, state, sink)
        except TimeoutError:
            broken = f"no answer within {self._timeout:g} s"
        except OpgError as refused:
            failure = _bare(refused)
        except Exception as error:
            broken = type(error).__name__
        if failure is not None:
            raise failure
        if broken is None and state.problem is not None:
            broken = state.problem.message
        if broken is not None:
            raise HostUnavailable(
                f"host {self.host.short_id} could not be asked{self._through()}: {broken}"
            )
        if state.status is not None and 300 <= state.status < 400:
            self._refuse_redirect(state.status)
        return state, sink.raw()

    def _refuse_redirect(self, status: int) -> NoReturn:
        raise ChannelRefused(
            f"host {self.host.short_id} answered with a redirect ({status}); redirects are never "
            f"followed, nothing of"
            " the prompt was sent"
        )

    def _raw(self, state: _State, sink: _Sink, secrets: list[Secret[str]]) -> RawExchange:
        """The exchange as data, with the evidence read from what came."""
        now = datetime.now(UTC)
        if state.session is not None:
            secrets.append(state.session)
        return RawExchange(
            status=state.status,
            headers=state.headers,
            response=sink.evidence(state, secrets),
            session=state.session,
            sent_at=state.sent_at or now,
            received_at=now,
            header_sent=state.sent_at is not None,
            complete=state.body_ended,
            server_date=_server_date(state.headers),
            session_refused=state.session_refused,
        )


class _Sink:
    """Takes the body's bytes as they come and reads them as an answer, an error, or a fragment of
    either."""

    def __init__(
        self,
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None,
        limit: int | None = None,
    ) -> None:
        self.limit = MAX_STREAM_BYTES if limit is None else limit
        self._stream = stream
        self._kind = kind
        self._on_text = on_text
        self._reader: StreamReader | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._text = ""
        self._pieces = 0

    def begin(self, status: int) -> None:
        if status == 200 and self._stream:
            self._reader = StreamReader()
        elif status != 200:
            self.limit = min(self.limit, MAX_SMALL_BODY)

    def feed(self, part: bytes) -> bool:
        """Take some bytes; False if there are more than will be read."""
        self._size += len(part)
        if self._size > self.limit:
            return False
        if self._reader is None:
            self._parts.append(part)
            return True
        deltas = self._reader.feed(part)
        if deltas:
            self._text += "".join(deltas)
            self._pieces += len(deltas)
            self._show()
        return True

    def _show(self) -> None:
        if self._on_text is None:
            return
        try:
            self._on_text(self._text, self._pieces)
        except Exception:
            # A display that breaks must not lose an answer that is being paid for.
            self._on_text = None
            _log.warning(
                "the display of a running answer failed; it goes on without", exc_info=True
            )

    def raw(self) -> bytes:
        return b"".join(self._parts)

    def evidence(self, state: _State, secrets: list[Secret[str]]) -> ResponseEvidence:
        status = state.status
        if status is not None and status != 200:
            message = (
                f"the host answered {status}: {_host_reason(state.headers, self.raw(), secrets)}"
            )
            return self._fragment(Problem("http-status", message))
        if self._reader is not None:
            evidence = self._reader.finish(ended=state.body_ended)
        elif self._stream or status is None:
            evidence = self._fragment(
                Problem("truncated", "the connection ended before an answer began")
            )
        else:
            evidence = read_reply(self.raw(), self._kind, ended=state.body_ended)
        # How the exchange ended explains an incomplete answer better than where its text breaks
        # off.
        if state.problem is not None and (
            evidence.problem is None or evidence.problem.code == "truncated"
        ):
            evidence = replace(evidence, problem=state.problem)
        return evidence

    def _fragment(self, problem: Problem) -> ResponseEvidence:
        raw = self.raw()
        return ResponseEvidence(
            stream=self._stream,
            text=None,
            tool_calls=None,
            finish_reason=None,
            frame=None,
            raw_sha256=hashlib.sha256(raw).hexdigest(),
            raw_size=len(raw),
            problem=problem,
        )


class HostPool:
    """One a kernel: a pinned client for every host that is used, each with its own kept-alive
    connections."""

    def __init__(self, *, timeout: float = 30.0, proxy: Proxy | None = None) -> None:
        """``timeout``: seconds for connecting, and for one request that is not a prompt."""
        self._timeout = timeout
        self._proxy = proxy
        self._clients: dict[tuple[str, str, bytes], HostClient] = {}

    def client(self, host: Host) -> HostClient:
        """The client for ``host`` as its registry entry stands now: another certificate is another
        client.

        Raises :class:`ChannelRefused` if the entry's endpoint or certificate cannot be used.
        """
        key = (host.tee_id, host.endpoint, host.tls_certificate)
        if key not in self._clients:
            self._clients[key] = HostClient(host, timeout=self._timeout, proxy=self._proxy)
        return self._clients[key]

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def _defaults(body: bytes) -> dict[str, str]:
    headers = {
        # Any bearer will do, but one must be there (protocol section 3).
        "Authorization": "Bearer opg",
        "Accept-Encoding": "identity",
        "User-Agent": "opg-magic",
    }
    if body:
        headers |= {"Content-Type": "application/json", SETTLEMENT_TYPE: "private"}
    return headers


def _value(value: str | Secret[str]) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    if not text.isascii() or not text.isprintable():
        # Said without the value: h11's own message would repeat it.
        raise MalformedMessage("a request header has characters that no header may hold")
    return text


def _secrets(headers: Mapping[str, str | Secret[str]]) -> list[Secret[str]]:
    return [value for value in headers.values() if isinstance(value, Secret)]


def _session_id(response: httpx.Response) -> Secret[str] | None:
    given = Secret(response.headers.get(SESSION, ""))
    return given if _SESSION_ID.fullmatch(given.reveal()) else None


def _scrubbed(text: str, secrets: list[Secret[str]]) -> str:
    """A host's text without our secrets, should it send them back.

    They are revealed in no name of any frame: a traceback with locals may come of an error that
    nobody expects."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), "<secret>")
    return text


def _bare(error: OpgError) -> OpgError:
    """The error without the frames it came through: their locals hold the request's headers."""
    error.__context__ = None
    error.__cause__ = None
    return error.with_traceback(None)


def _server_date(headers: Mapping[str, str]) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(headers.get("date", ""))
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _host_reason(headers: Mapping[str, str], raw: bytes, secrets: list[Secret[str]]) -> str:
    """What the host says about its failure, short and without control characters or our secrets."""
    reason: object = None
    header = headers.get(PAYMENT_REQUIRED.lower())
    if header is not None:
        with contextlib.suppress(MalformedMessage):
            reason = parse_payment_required(header).error
    if not reason:
        with contextlib.suppress(MalformedMessage):
            message = strict_json.loads(raw)
            if isinstance(message, dict):
                reason = message.get("error") or message.get("detail") or message.get("title")
                if isinstance(reason, dict):
                    reason = reason.get("message")
    if not isinstance(reason, str) or not reason:
        return "no reason given"
    clean = "".join(c if c.isprintable() else " " for c in _scrubbed(reason, secrets))
    return clean if len(clean) <= 300 else clean[:297] + "..."
