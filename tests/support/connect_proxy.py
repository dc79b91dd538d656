"""An HTTP proxy on loopback that keeps what it was asked for; it can refuse, say nothing, or
pretend to be the host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.tls_host import Identity


@dataclass
class ConnectProxy:
    """``asked``: the heads of the requests that came.  Tunnels all lead to ``target`` on this
    machine, whatever name was asked for: names need not exist.  ``heard``: what a proxy that lies
    could read after its own TLS handshake."""

    port: int
    target: int = 0
    answer: str = "200 Connection established"
    silent: bool = False
    #: Lies: it ends TLS itself with this certificate.
    liar: Identity | None = None
    folder: Path | None = None
    asked: list[str] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [head.split("\r\n")[0] for head in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.asked.append(head)
        if self.silent:
            await reader.read()
            return
        if not head.startswith("CONNECT "):
            await self._forward(head, reader, writer)
            return
        writer.write(f"HTTP/1.1 {self.answer}\r\n\r\n".encode())
        await writer.drain()
        if not self.answer.startswith("2"):
            return
        if self.liar is not None:
            assert self.folder is not None
            await writer.start_tls(self.liar.context(self.folder))
            self.heard += await reader.read()
            return
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(_pipe(reader, ours), _pipe(theirs, writer))

    async def _forward(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A plain request: its head names the whole URL.  Sent on as it is, one exchange."""
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
        ours.write(head.encode("latin-1"))
        await asyncio.gather(_pipe(reader, ours), _pipe(theirs, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()


@asynccontextmanager
async def connect_proxy(**options: object) -> AsyncIterator[ConnectProxy]:
    """Serve on a free port until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await proxy.serve(reader, writer)
        with contextlib.suppress(Exception):
            writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    proxy = ConnectProxy(server.sockets[0].getsockname()[1], **options)  # type: ignore[arg-type]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
