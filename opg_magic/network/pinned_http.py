"""httpx over connections whose certificate is pinned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpcore
import httpx

from opg_magic.models.proxy import Proxy
from opg_magic.network.tls import PinnedBackend

#: Seconds that an idle connection is kept.  A call's attestation is fetched just before its prompt,
#: on this connection, so a prompt never meets one that the host closed long ago.
KEEPALIVE_SECONDS = 60.0


class PinnedTransport(httpx.AsyncBaseTransport):
    """Lets httpx use an httpcore pool whose connections are pinned."""

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
