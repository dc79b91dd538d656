"""httpx over kept connections to one place: a host, whose certificate is pinned, or a relay."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpx

from opg_magic.models.proxy import Proxy


class KeptTransport(httpx.AsyncBaseTransport):
    """Lets httpx use httpcore's connections to one origin.

    One that has ended is not used again.  That is found out before a byte is written: a request is
    never written twice, because what was written may have arrived.

    httpcore's own pool only makes them: it looks at every connection whenever a request begins or
    ends, which with thirty of them takes longer than the request."""

    def __init__(
        self,
        backend: httpcore.AsyncNetworkBackend,
        context: ssl.SSLContext,
        *,
        keep: float,
        max_connections: int,
        proxy: Proxy | None,
    ) -> None:
        """``context`` for TLS; ``backend`` may take another.  ``keep``: seconds that an idle
        connection is kept."""
        options: dict[str, Any] = {
            "keepalive_expiry": keep,
            "http1": True,
            "http2": False,
            "retries": 0,
            "ssl_context": context,
            "network_backend": backend,
        }
        self._maker = (
            httpcore.AsyncConnectionPool(**options)
            if proxy is None
            else httpcore.AsyncHTTPProxy(proxy.url, proxy_auth=proxy.auth, **options)
        )
        self._slots = asyncio.Semaphore(max_connections)
        self._open = set[httpcore.AsyncConnectionInterface]()
        #: The one used last stands last, and is used first: those that are not needed expire.
        self._idle = deque[httpcore.AsyncConnectionInterface]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        await self._slots.acquire()
        connection: httpcore.AsyncConnectionInterface | None = None
        try:
            connection = await self._take(url.origin)
            response = await connection.handle_async_request(asked)
        except BaseException:
            await self.give_back(connection)
            raise
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response, connection, self),
            extensions=response.extensions,
        )

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        """A connection that is idle and still open, or a new one."""
        if self._idle and self._idle[0].has_expired():
            await self._close(self._idle.popleft())
        while self._idle:
            connection = self._idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await self._close(connection)
        connection = self._maker.create_connection(origin)
        self._open.add(connection)
        return connection

    async def give_back(self, connection: httpcore.AsyncConnectionInterface | None) -> None:
        """A request has ended: its connection is kept if its answer was read to the end."""
        try:
            if connection is not None:
                if connection in self._open and connection.is_available():
                    self._idle.append(connection)
                else:
                    await self._close(connection)
        finally:
            self._slots.release()

    async def _close(self, connection: httpcore.AsyncConnectionInterface) -> None:
        self._open.discard(connection)
        await connection.aclose()

    async def aclose(self) -> None:
        self._idle.clear()
        for connection in tuple(self._open):
            await self._close(connection)


class _Body(httpx.AsyncByteStream):
    def __init__(
        self,
        response: httpcore.Response,
        connection: httpcore.AsyncConnectionInterface,
        transport: KeptTransport,
    ) -> None:
        self._response = response
        self._connection = connection
        self._transport = transport
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.aiter_stream():
            yield part

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._response.aclose()
        finally:
            await self._transport.give_back(self._connection)
