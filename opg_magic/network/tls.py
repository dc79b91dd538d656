"""Pinned TLS: the peer must present exactly the registered certificate, or no byte of HTTP is sent.

Identity is the certificate's DER bytes as the registry holds them (claim ``channel``), so names are
not looked at.  A context trusts that certificate alone, and after the
handshake its bytes are compared as well: a leaf that a registered CA certificate issued would pass
the first and fails the second (attack 19)."""

from __future__ import annotations

import hashlib
import select
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import httpcore

from opg_magic.errors import ChannelRefused, HostUnavailable
from opg_magic.models import ChannelEvidence, Host

#: Bytes of a request that are sent at once, and not as they are written.
_TOGETHER = 16 * 1024


class PinnedCertificate:
    """The registered certificate of one host: makes its TLS context and checks what a peer
    presents."""

    def __init__(self, der: bytes, *, label: str) -> None:
        """``der`` as in the registry; ``label`` names the host in messages.

        Raises :class:`ChannelRefused` if the bytes are not an X.509 certificate.
        """
        from cryptography import x509

        self.der = der
        self.label = label
        self.sha256 = hashlib.sha256(der).hexdigest()
        try:
            certificate = x509.load_der_x509_certificate(der)
            self.not_before = certificate.not_valid_before_utc
            self.not_after = certificate.not_valid_after_utc
            self.context = self._context()
        except (ValueError, ssl.SSLError):
            raise ChannelRefused(
                f"host {label} has a registered certificate that cannot be read; nothing was sent"
            ) from None

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # Without this OpenSSL trusts only self-signed certificates as ends of a path.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=self.der)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def require_valid_now(self) -> None:
        """Refuse a certificate outside its own validity, before any connection is opened."""
        now = datetime.now(UTC)
        if now > self.not_after:
            raise ChannelRefused(
                f"the registered certificate of host {self.label} expired on "
                f"{self.not_after:%Y-%m-%d %H:%M} UTC;"
                " nothing was sent"
            )
        if now < self.not_before:
            raise ChannelRefused(
                f"the registered certificate of host {self.label} is valid only from"
                f" {self.not_before:%Y-%m-%d %H:%M} UTC; nothing was sent"
            )

    def require_exact(self, presented: bytes | None) -> None:
        """Refuse any certificate but the registered one, byte for byte."""
        if presented != self.der:
            other = "none" if presented is None else hashlib.sha256(presented).hexdigest()
            raise ChannelRefused(
                f"host {self.label} presented certificate {other}, registered is {self.sha256}; "
                f"nothing was sent"
            )


class _PinnedStream(httpcore.AsyncNetworkStream):
    """A TCP stream that turns into TLS only towards the holder of the pinned certificate."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, backend: PinnedBackend) -> None:
        self._inner = inner
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        raise HostUnavailable("a host is read over TLS only")

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        raise HostUnavailable("a host is written to over TLS only")

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The handshake, with the pinned context in place of the pool's; then the exact
        comparison."""
        pin = self._backend.pin
        try:
            stream = await self._inner.start_tls(pin.context, server_hostname, timeout)
        except httpcore.ConnectError as failed:
            cause = failed.__cause__
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise ChannelRefused(
                    f"host {pin.label} presented another certificate than the registered one "
                    f"{pin.sha256}, or it is not"
                    f" valid now ({cause.verify_message}); nothing was sent"
                ) from None
            raise
        try:
            ssl_object = stream.get_extra_info("ssl_object")
            pin.require_exact(
                ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
            )
        except BaseException:
            await stream.aclose()
            raise
        self._backend.channel = ChannelEvidence(
            certificate_sha256=pin.sha256, tls_version=ssl_object.version()
        )
        return OpenStream(stream, ssl_object)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class OpenStream(httpcore.AsyncNetworkStream):
    """A connection after its handshake.  Unlike httpcore's own, it knows when TLS is over although
    TCP is not: a peer may end it in the packet of its answer, of which nothing is left to read on
    the socket.  A request that was written then would be lost, and its charge unknown.

    And it sends a request's head and body in one packet, where both are short."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, tls: ssl.SSLObject) -> None:
        self._inner = inner
        self._tls = tls
        self._socket = inner.get_extra_info("socket")
        self._unsent = b""
        # Called for every piece of an answer: not through a coroutine of this class.
        self.read = inner.read  # type: ignore[method-assign]

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Short pieces wait for the empty one that ends a request, or for its answer's read."""
        if buffer and len(self._unsent) + len(buffer) <= _TOGETHER:
            self._unsent += buffer
            self.read = self._send_and_read  # type: ignore[method-assign]
            return
        unsent, self._unsent = self._unsent + buffer, b""
        self.read = self._inner.read  # type: ignore[method-assign]
        await self._inner.write(unsent, timeout)

    async def _send_and_read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await self.write(b"", timeout)
        return await self._inner.read(max_bytes, timeout)

    async def aclose(self) -> None:
        self._unsent = b""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` of an idle connection: whether it cannot be used any more."""
        if info == "is_readable":
            return self._is_over() or _is_readable(self._socket)
        return self._inner.get_extra_info(info)

    def _is_over(self) -> bool:
        """Whether something other than tickets has come that nobody asked for.  Asked while the
        connection is idle, so nothing that this reads is missed."""
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            pass
        return True


def _is_readable(tcp: Any) -> bool:
    """Whether a socket has something to be read, or is closed."""
    descriptor = -1 if tcp is None else tcp.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    looked = select.poll()
    looked.register(descriptor, select.POLLIN)
    return bool(looked.poll(0))


class _Stream(httpcore.AsyncNetworkStream):
    """A TCP stream that, once it is TLS, is an :class:`OpenStream`."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return OpenStream(stream, stream.get_extra_info("ssl_object"))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class OpenBackend(httpcore.AnyIOBackend):
    """Opens connections whose certificate an authority vouches for, and which know when they are
    over."""

    async def connect_tcp(self, *place: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(*place, **options))


class _TunnelStream(_PinnedStream):
    """The same through a proxy: before TLS, only the request for the tunnel may be sent."""

    _asked = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._asked or not buffer.startswith(b"CONNECT "):
            raise HostUnavailable("a host is written to over TLS only")
        self._asked = True
        await self._inner.write(buffer, timeout)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to one host; ``channel`` is what its last handshake showed, None before the
    first.

    ``tunnelled``: they lead to a proxy first.
    """

    def __init__(self, pin: PinnedCertificate, *, tunnelled: bool = False) -> None:
        self.pin = pin
        self._stream = _TunnelStream if tunnelled else _PinnedStream
        self.channel: ChannelEvidence | None = None
        self._tcp = httpcore.AnyIOBackend()  # asyncio sets TCP_NODELAY on it

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.pin.require_valid_now()
        inner = await self._tcp.connect_tcp(host, port, timeout, local_address, socket_options)
        return self._stream(inner, self)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise HostUnavailable("a host is reached over TCP only")

    async def sleep(self, seconds: float) -> None:
        await self._tcp.sleep(seconds)


def parse_endpoint(host: Host) -> str:
    """Return a host's endpoint as an origin, ``https://name[:port]``, without trailing slash.

    The endpoint is the operator's word.  Raises :class:`ChannelRefused` unless it is plain https
    without credentials, path, query or fragment."""
    from urllib.parse import urlsplit

    shown = ascii(host.endpoint[:120])
    try:
        parts = urlsplit(host.endpoint)
        port = parts.port
        name = parts.hostname
    except ValueError:
        raise ChannelRefused(
            f"host {host.short_id} has an endpoint that is not a URL: {shown}"
        ) from None
    if (
        not host.endpoint.isascii()
        or any(c <= " " or c == "\\" for c in host.endpoint)
        or len(host.endpoint) > 512
    ):
        raise ChannelRefused(
            f"host {host.short_id} has an endpoint with characters that a URL cannot have: {shown}"
        )
    if parts.scheme != "https":
        raise ChannelRefused(f"host {host.short_id} has the endpoint {shown}; only https is used")
    if parts.username is not None or parts.password is not None:
        raise ChannelRefused(
            f"host {host.short_id} has an endpoint with credentials in it; it is not used"
        )
    if not name or parts.path not in ("", "/") or parts.query or parts.fragment or port == 0:
        raise ChannelRefused(
            f"host {host.short_id} has the endpoint {shown}; expected https://name:port"
        )
    if ":" in name:
        name = f"[{name}]"
    return f"https://{name}" + (f":{port}" if port is not None and port != 443 else "")
