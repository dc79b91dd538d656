"""A chain's JSON-RPC over HTTP, on this machine's loopback alone."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import strict_json

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.chain.chain import Chain

#: The largest request: far above a registration with its certificates.
MAX_REQUEST_BYTES = 1 << 20

#: Requests in one batch.
MAX_BATCH = 1000

LOOPBACK = "127.0.0.1"


#: A string, skipped as a whole, or a bracket.
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _parse(body: bytes) -> Any:
    """Strict JSON, its depth measured before it is parsed.

    The libraries that make up an EVM lift Python's recursion limit for the whole process, after
    which the parser would answer deep nesting by overflowing the C stack."""
    depth = 0
    for token in _STRUCTURE.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth > strict_json.MAX_DEPTH:
                raise MalformedMessage("nested too deep")
        elif token[0] in b"]}":
            depth -= 1
    return strict_json.loads(body)


class RpcServer:
    """Serves one :class:`Chain` at ``POST /``.

    Requests run one after the other in a thread of the server's own, so that an EVM at work never
    holds up the event loop.  A web page in a browser on this machine is kept out: only
    ``application/json`` is taken, which no page may send across origins unasked, and only under a
    loopback name."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.url: str | None = None
        self._runner: web.AppRunner | None = None
        self._executor: ThreadPoolExecutor | None = None

    async def start(self, port: int = 0) -> str:
        """Listens on ``port`` (0: any free one) and gives the URL."""
        from aiohttp import web

        if self._runner is not None:
            raise RuntimeError("already started")
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"chain-{self.chain.chain_id}")
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        # aiohttp sets TCP_NODELAY on each connection.
        await web.TCPSite(self._runner, LOOPBACK, port).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stops listening, lets what runs end, and gives the thread back.  Harmless when not
        started."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._runner = self._executor = self.url = None

    async def _answer(self, request: web.Request) -> web.Response:
        from aiohttp import web

        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json")
        if (request.url.host or "") not in (LOOPBACK, "localhost"):
            raise web.HTTPForbidden(text="not a name of this server")
        try:
            message = _parse(await request.read())
        except MalformedMessage:
            answer = {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": -32700, "message": "not JSON"},
            }
        else:
            if isinstance(message, list) and len(message) > MAX_BATCH:
                raise web.HTTPRequestEntityTooLarge(max_size=MAX_BATCH, actual_size=len(message))
            answer = await asyncio.get_running_loop().run_in_executor(
                self._executor, self.chain.handle, message
            )
        if answer is None:
            return web.Response(status=204)
        # One bytes body: length known, head and body in one write.
        return web.Response(
            body=json.dumps(answer, separators=(",", ":")).encode(), content_type="application/json"
        )
