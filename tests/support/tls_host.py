"""A real TLS server on loopback that speaks scripted bytes and keeps every byte it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opg_magic.models import Host


@dataclass(frozen=True)
class Identity:
    """A certificate (DER) and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def context(self, folder: Path) -> ssl.SSLContext:
        pem = folder / f"{self.certificate.serial_number}.pem"
        pem.write_bytes(
            self.certificate.public_bytes(serialization.Encoding.PEM)
            + self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


def identity(
    *,
    issuer: Identity | None = None,
    ca: bool = False,
    key: ec.EllipticCurvePrivateKey | None = None,
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=1),
) -> Identity:
    """A certificate that is self-signed, or issued by ``issuer``; valid from and to are counted
    from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a leaf" if issuer else "host")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Identity(certificate, key)


@dataclass
class Request:
    """One request as it was read: request line, headers (lower-case names), body."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class TlsHost:
    """What the server saw.  ``received`` holds every byte that came after a handshake."""

    port: int
    received: bytearray = field(default_factory=bytearray)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    #: Set whenever a connection's handler has ended.
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def entry(
        self, certificate: bytes, *, endpoint: str | None = None, tee_id: str = "0x" + "ab" * 32
    ) -> Host:
        """A registry entry that names this server with ``certificate``."""
        return Host(
            tee_id=tee_id,
            owner="0x" + "11" * 20,
            payment_address="0x" + "22" * 20,
            endpoint=endpoint or f"https://127.0.0.1:{self.port}",
            public_key=b"key",
            tls_certificate=certificate,
            pcr_hash="0x" + "33" * 32,
            tee_type=0,
            enabled=True,
            registered_at=0,
            last_heartbeat_at=0,
        )


@asynccontextmanager
async def tls_host(shown: Identity, answer: Answer, folder: Path) -> AsyncIterator[TlsHost]:
    """Serve on a free port with ``shown``; ``answer`` writes what it likes to every request."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        host.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                host.received += head
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    k.lower(): v.strip()
                    for k, _, v in (line.partition(":") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                host.received += body
                request = Request(lines[0], headers, body)
                host.requests.append(request)
                await answer(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            host.ended.set()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=shown.context(folder))
    host = TlsHost(server.sockets[0].getsockname()[1])
    try:
        yield host
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def closing_host(
    shown: Identity, folder: Path, answers: Mapping[bytes, bytes], ends: bytes
) -> AsyncIterator[TlsHost]:
    """Serve on a free port; an answer and the end of TLS are one packet, and TCP stays open.

    ``answers`` by the first three bytes of a request; what is no GET ends with ``ends``."""
    context = shown.context(folder)
    tasks: list[asyncio.Task[None] | None] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host.connections += 1
        tasks.append(asyncio.current_task())
        came, leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(came, leaves, server_side=True)
        ready, asked = False, b""
        while raw := await _some(reader):
            came.write(raw)
            with contextlib.suppress(ssl.SSLError):
                if not ready:
                    tls.do_handshake()
                    ready = True
                with contextlib.suppress(ssl.SSLWantReadError):
                    while True:
                        asked += tls.read(65536)
                if asked.startswith(b"GET") or asked.endswith(ends):
                    tls.write(answers[asked[:3]])
                    host.received += asked
                    tls.unwrap()
            writer.write(leaves.read())

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    host = TlsHost(server.sockets[0].getsockname()[1])
    try:
        yield host
    finally:
        server.close()
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


async def _some(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing once the connection, or the server, has ended."""
    try:
        return await reader.read(65536)
    except (ConnectionError, asyncio.CancelledError):
        return b""


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole response with a length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def stream_head(*headers: str) -> bytes:
    lines = [
        "HTTP/1.1 200 OK",
        "Content-Type: text/event-stream",
        "Transfer-Encoding: chunked",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()
