"""A chain's RPC on loopback whose answers a test may alter: for endpoints that lie, lag, or speak
nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

#: Gets method, params and the honest answer (with ``result`` or ``error``), and gives what is
#: answered.
Edit = Callable[[str, list[Any], dict[str, Any]], Any]


class RpcDouble:
    """``asked`` lists the methods that were called, in order."""

    def __init__(self, chain: Any, edit: Edit | None) -> None:
        self._chain = chain
        self._edit = edit
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.asked.append(message["method"])
        honest = await asyncio.to_thread(self._chain.handle, message)
        told = (
            honest
            if self._edit is None
            else self._edit(message["method"], message["params"], honest)
        )
        if isinstance(told, web.Response):
            return told
        if asyncio.iscoroutine(told):
            told = await told
        return web.json_response(told)


@asynccontextmanager
async def rpc_double(chain: Any, edit: Edit | None = None) -> AsyncIterator[RpcDouble]:
    double = RpcDouble(chain, edit)
    application = web.Application()
    application.router.add_post("/{tail:.*}", double.answer)
    runner = web.AppRunner(application, shutdown_timeout=0, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    double.url = f"http://127.0.0.1:{port}/an-api-key"
    try:
        yield double
    finally:
        await runner.cleanup()


def result(answer: dict[str, Any], value: Any) -> dict[str, Any]:
    """The same answer with another result."""
    return {"jsonrpc": "2.0", "id": answer.get("id"), "result": value}


def error(answer: dict[str, Any], message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": answer.get("id"), "error": {"code": -32000, "message": message}}
