"""The relay of the private route: carries sealed requests, and pays the host for them.

It sees who asks, for which host, when and how much; of prompt and answer it sees ciphertext."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opg_magic.errors import ConfigError, MalformedMessage
from opg_magic.models import Host, Kind, SealedEvidence
from opg_magic.models.proxy import Proxy, is_this_machine, proxy_for
from opg_magic.models.secret import Secret
from opg_magic.network.carrying import carried, read_response
from opg_magic.network.exchange import (
    ExchangeState,
    NoSealingKey,
    RawExchange,
    RelayUnavailable,
    header_value,
    secrets_of,
)
from opg_magic.network.library_logs import quiet_libraries
from opg_magic.network.sealed_reader import SealedReader
from opg_magic.protocol import ohttp

if TYPE_CHECKING:
    import httpx

#: Where a relay takes sealed requests, as the official SDK brings them.
RELAY_PATH = "/api/v1/chat/ohttp"
CONNECT_SECONDS = 30.0
#: Seconds that an idle connection is kept: less than the 5 s after which common servers end one.
#: A request that meets that end on its way may have arrived, so it could not be sent again.
KEEPALIVE_SECONDS = 4.0
MAX_CONNECTIONS = 100
AUTHORIZATION = "Authorization"


def relay_base(url: str) -> str:
    """The base of a relay's URL, without the path of :data:`RELAY_PATH`.

    Raises ConfigError for a URL without TLS that is not on this machine, or with anything but name
    and port."""
    problem = None
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        raise ConfigError("The relay's URL is not a URL. Nothing was sent.") from None
    path = parts.path.rstrip("/").removesuffix(RELAY_PATH)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        problem = "must begin with https:// and a name"
    elif parts.scheme == "http" and not is_this_machine(parts.hostname):
        problem = "must begin with https://: the sign-in would go out in clear text"
    elif path or parts.query or parts.fragment or parts.username is not None:
        problem = "may have a name and a port only"
    if problem is not None:
        raise ConfigError(f"The relay's URL {problem}. Nothing was sent.")
    return f"{parts.scheme}://{parts.netloc}"


def bearer(token: Secret[str]) -> Secret[str]:
    """The value of :data:`AUTHORIZATION` for a sign-in's token."""
    return Secret(f"Bearer {token.reveal()}")


class RelayClient:
    """One relay, for all hosts.  Close it with :meth:`aclose`."""

    def __init__(self, url: str, *, proxy: Proxy | None = None) -> None:
        """Raises ConfigError for a URL that is not safe to use."""
        self.base = relay_base(url)
        self.label = urlsplit(self.base).netloc
        self._proxy = proxy_for(self.base, proxy)
        self._http: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"<RelayClient {self.label}>"

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()

    def sealed(self, host: Host) -> SealedEvidence:
        """How a request to this host is sealed, for its receipt.  Raises ChannelRefused."""
        key = key_of(host)
        return SealedEvidence(self.label, key.header, key.public_key)

    async def send(
        self,
        host: Host,
        body: bytes,
        *,
        token: Secret[str],
        stream: bool,
        kind: Kind,
        on_text: Callable[[str, int], None] | None,
        timeout: float,
    ) -> RawExchange:
        """Seal ``body`` to the host, let the relay carry it, and read the answer to its end.

        ``token`` is the sign-in's.  Returns as
        :meth:`opg_magic.network.transport.HostClient.send` does.  Raises ChannelRefused or
        RelayUnavailable if nothing was sent, SendCancelled on cancellation."""
        try:
            request = ohttp.seal_request(key_of(host), body)
        except MalformedMessage as unusable:
            raise _refused(host, unusable) from None
        headers: dict[str, str | Secret[str]] = {
            AUTHORIZATION: bearer(token),
            "Content-Type": ohttp.REQUEST_TYPE,
            "Accept": ohttp.CHUNKED_TYPE if stream else ohttp.RESPONSE_TYPE,
            "X-TEE-ID": host.tee_id,
            **({"X-OHTTP-Stream": "true"} if stream else {}),
        }
        state = ExchangeState()
        sink = SealedReader(request, state, stream=stream, kind=kind, on_text=on_text)
        return await carried(
            self._post(request.wire, headers, state, sink),
            state,
            sink,
            headers={**headers, "token": token},
            timeout=timeout,
            reaching=f"the relay {self.label} could not be reached",
            failed=_unreached,
        )

    async def _post(
        self,
        wire: bytes,
        headers: Mapping[str, str | Secret[str]],
        state: ExchangeState,
        sink: SealedReader,
    ) -> None:
        import httpx

        client = self._connected()
        with quiet_libraries():
            request = client.build_request(
                "POST",
                RELAY_PATH,
                content=wire,
                headers={name: header_value(value) for name, value in headers.items()},
                extensions={"trace": state.trace},
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            )
            response = await client.send(request, stream=True)
            await read_response(response, state, sink, secrets_of(headers))

    def _connected(self) -> httpx.AsyncClient:
        import httpx

        from opg_magic.network.kept_http import KeptTransport
        from opg_magic.network.tls import OpenBackend

        if self._http is None:
            self._http = httpx.AsyncClient(
                base_url=self.base,
                headers={"Accept-Encoding": "identity", "User-Agent": "opg-magic"},
                transport=KeptTransport(
                    OpenBackend(),
                    httpx.create_ssl_context(trust_env=False),
                    keep=KEEPALIVE_SECONDS,
                    max_connections=MAX_CONNECTIONS,
                    proxy=self._proxy,
                ),
                follow_redirects=False,
                trust_env=False,
                cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._http


def key_of(host: Host) -> ohttp.SealingKey:
    """The host's key for sealed requests.  Raises NoSealingKey if it has none that can be
    used."""
    try:
        return ohttp.sealing_key(host.ohttp_config)
    except MalformedMessage as unusable:
        raise _refused(host, unusable) from None


def _unreached(message: str) -> RelayUnavailable:
    return RelayUnavailable(
        message, hint="Run the cell again later. Or ask with --route direct, which needs a wallet."
    )


def _refused(host: Host, why: MalformedMessage) -> NoSealingKey:
    return NoSealingKey(
        f"host {host.short_id} cannot be asked privately: {why.message}. Nothing was sent."
    )
