"""The channel to one host: pinned TLS, one pool per kernel, each answer read to the end of its
body.

What is sent and received comes back as data (:class:`RawExchange`), however the exchange ended:
whoever has paid must be able to say what for.  Nothing here verifies an answer.

Loggers of httpx and httpcore are silenced during an exchange: at DEBUG they print the response's
headers, the session ID among them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import httpcore
import httpx

from opg_magic.errors import (
    AttestationRefused,
    ChannelRefused,
    HostUnavailable,
    OpgError,
)
from opg_magic.models import ChannelEvidence, Host, Kind
from opg_magic.models.proxy import Proxy, proxy_for
from opg_magic.models.secret import Secret
from opg_magic.network.body_reader import MAX_SMALL_BODY, BodyReader
from opg_magic.network.carrying import carried, read_response
from opg_magic.network.exchange import (
    PAYMENT_REQUIRED,
    SETTLEMENT_TYPE,
    ExchangeState,
    RawExchange,
    header_value,
    secrets_of,
    server_date,
    without_frames,
)
from opg_magic.network.health import Health, read_health
from opg_magic.network.kept_http import KeptTransport
from opg_magic.network.library_logs import quiet_libraries
from opg_magic.network.tls import PinnedBackend, PinnedCertificate, parse_endpoint
from opg_magic.protocol.x402 import PaymentRequired, parse_payment_required

_log = logging.getLogger(__name__)

#: Seconds that an idle connection is kept.  A call's attestation is fetched just before its prompt,
#: on this connection, so a prompt never meets one that the host closed long ago.
KEEPALIVE_SECONDS = 60.0


class HostClient:
    """All that is asked of one host.  Made by :meth:`HostPool.client`."""

    def __init__(
        self, host: Host, *, timeout: float, max_connections: int = 64, proxy: Proxy | None = None
    ) -> None:
        """``timeout``: seconds for one request that is not a prompt.  Raises
        :class:`ChannelRefused`."""
        self.host = host
        self.origin = parse_endpoint(host)
        self._timeout = timeout
        self._urls = dict[str, httpx.URL]()
        self._proxy = proxy_for(self.origin, proxy)
        self._backend = PinnedBackend(
            PinnedCertificate(host.tls_certificate, label=host.short_id),
            tunnelled=self._proxy is not None,
        )
        # No client of httpx around it: nothing here follows redirects, reads the environment, or
        # keeps cookies, which would be a name tag across calls that nobody asked for.
        self._http = KeptTransport(
            self._backend,
            self._backend.pin.context,
            keep=KEEPALIVE_SECONDS,
            max_connections=max_connections,
            proxy=self._proxy,
        )

    def __repr__(self) -> str:
        return f"<HostClient {self.host.short_id} {self.origin}>"

    async def aclose(self) -> None:
        """Close the connections to the host."""
        await self._http.aclose()

    def channel(self) -> ChannelEvidence:
        """Return the certificate of the last handshake.  Raises :class:`HostUnavailable` if there
        has been none."""
        if self._backend.channel is None:
            raise HostUnavailable(
                f"no TLS connection to host {self.host.short_id} has been made yet"
            )
        return self._backend.channel

    async def attestation(self, nonce: bytes) -> bytes | None:
        """Return the enclave's attestation document over ``nonce`` (20 bytes), raw COSE; None if
        the host offers none (404).

        Raises :class:`AttestationRefused` if the document is not base64 or is empty,
        :class:`HostUnavailable` if there is no answer or it is too long."""
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
        """Return what ``GET /health`` says: the host's word.  Raises :class:`HostUnavailable`."""
        state, body = await self._small("GET", "/health")
        return read_health(state, body)

    async def probe_terms(self, path: str) -> tuple[PaymentRequired, datetime | None]:
        """Ask for payment terms with a dummy body, never the prompt.  Return them, and the host's
        clock (aware UTC).

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
                f"host {self.host.short_id} answered {state.status}; expected payment terms (402)"
            )
        return parse_payment_required(header), server_date(state.headers)

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

        ``on_text`` gets all text so far, not yet verified, and the count of text pieces (about
        tokens).  ``timeout``: seconds for the whole exchange.

        Returns a :class:`RawExchange` whenever a byte may have left: its ``response.problem`` says
        how it ended (``truncated``, ``timeout``, ``http-status``, ...).  Raises
        :class:`ChannelRefused` or :class:`SendFailed` if nothing was sent, and
        :class:`SendCancelled` on cancellation, which carries the exchange."""
        state = ExchangeState()
        sink = BodyReader(stream, kind, on_text)
        attempt = self._exchange("POST", path, body, headers, state, sink)
        return await carried(
            attempt,
            state,
            sink,
            headers=headers,
            timeout=timeout,
            reaching=f"host {self.host.short_id} could not be reached{self._through()}",
        )

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str | Secret[str]],
        state: ExchangeState,
        sink: BodyReader,
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
            return await self._http.handle_async_request(request)
        except httpcore.ProxyError as refused:
            refusal = "".join(c if c.isprintable() else " " for c in str(refused)[:80])
        # Outside the handler: its context would lead to frames that hold the request.
        raise HostUnavailable(
            f"host {self.host.short_id} could not be reached{self._through()}: it says {refusal}. "
            f"Nothing was sent.",
            hint="The proxy is your own setting: opg config proxy.",
        )

    def _url(self, path: str) -> httpx.URL:
        """The address of a path; those without a query are few, and asked for again and again."""
        known = self._urls.get(path)
        if known is None:
            known = httpx.URL(self.origin + path)
            if "?" not in path:
                self._urls[path] = known
        return known

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str | Secret[str]],
        state: ExchangeState,
        sink: BodyReader,
    ) -> None:
        request = httpx.Request(
            method,
            self._url(path),
            content=body or None,
            headers={**_defaults(body), **{n: header_value(v) for n, v in headers.items()}},
            # The whole exchange has one limit, set by the caller; a host may think long before its
            # first token.
            extensions={"trace": state.trace, "timeout": {"connect": self._timeout}},
        )
        await read_response(await self._sent(request), state, sink, secrets_of(headers))

    async def _small(
        self, method: str, path: str, body: bytes = b""
    ) -> tuple[ExchangeState, bytes]:
        """A request without secrets whose short answer is read whole.  Redirects and broken
        connections raise."""
        failure: OpgError | None = None
        broken: str | None = None
        state, sink = _nothing_yet()
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    await self._exchange(method, path, body, {}, state, sink)
                except (httpcore.NetworkError, httpcore.ProtocolError):
                    if state.sent_at is None or state.status is not None:
                        raise
                    # A kept connection that the host was closing.  Nothing here can spend, so it
                    # is asked once more.
                    state, sink = _nothing_yet()
                    await self._exchange(method, path, body, {}, state, sink)
        except TimeoutError:
            broken = f"no answer within {self._timeout:g} s"
        except OpgError as refused:
            failure = without_frames(refused)
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
            f"followed, and nothing of the prompt was sent"
        )


class HostPool:
    """One per kernel: a pinned client for each host in use, with its own kept-alive connections."""

    def __init__(self, *, timeout: float = 30.0, proxy: Proxy | None = None) -> None:
        """``timeout``: seconds for connecting, and for one request that is not a prompt."""
        self._timeout = timeout
        self._proxy = proxy
        self._clients: dict[tuple[str, str, bytes], HostClient] = {}

    def client(self, host: Host) -> HostClient:
        """Return the client for ``host`` as its registry entry stands now: another certificate is
        another client.

        Raises :class:`ChannelRefused` if the entry's endpoint or certificate cannot be used.
        """
        key = (host.tee_id, host.endpoint, host.tls_certificate)
        if key not in self._clients:
            self._clients[key] = HostClient(host, timeout=self._timeout, proxy=self._proxy)
        return self._clients[key]

    async def aclose(self) -> None:
        """Close the connections to every host."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


def _nothing_yet() -> tuple[ExchangeState, BodyReader]:
    """Of a request whose short answer is read whole."""
    return ExchangeState(), BodyReader(False, "chat", None, limit=MAX_SMALL_BODY)


def _defaults(body: bytes) -> dict[str, str]:
    headers = {
        # Hosts accept any bearer token, but they want one.
        "Authorization": "Bearer opg",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        "User-Agent": "opg-magic",
    }
    if body:
        headers |= {"Content-Type": "application/json", SETTLEMENT_TYPE: "private"}
    return headers
