"""The control address: JSON over loopback, for whoever holds the token in the state file."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from opg_magic.errors import OpgError
from opg_magic.models.secret import Secret
from opg_magic.simnet.host.host import Host
from opg_magic.simnet.settlement.relay import Batch, Settler

if TYPE_CHECKING:
    from aiohttp import web

#: What answers a route: the request's JSON object in, the answer's out.
Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Controlled(Protocol):
    """What the control address asks of the network."""

    run_id: str
    settle_idle: float

    @property
    def settler(self) -> Settler: ...
    def status(self) -> dict[str, Any]: ...
    def host(self, wanted: str) -> Host: ...
    def cheat(self, host: str, mode: str) -> None: ...
    def restart(self, host: str) -> int: ...
    def set_settle_idle(self, seconds: float) -> None: ...
    def advance(self, seconds: float) -> float: ...
    async def registry_action(self, host: str, action: str) -> None: ...
    async def settle_now(self) -> list[str]: ...
    async def settle_batch(self) -> Sequence[Batch]: ...


class Control:
    """Serves the routes of one network.  ``on_client`` gets the process id of each new client,
    ``on_down`` is called when someone asks for the end."""

    def __init__(
        self,
        network: Controlled,
        *,
        on_client: Callable[[int], None],
        on_down: Callable[[], None],
    ) -> None:
        self.token: Secret[str] = Secret(secrets.token_urlsafe(32))
        self.url = ""
        self._network = network
        self._on_client = on_client
        self._on_down = on_down
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port of loopback; the URL."""
        from aiohttp import web

        @web.middleware
        async def guarded(request: web.Request, handler: Any) -> web.StreamResponse:
            return await self._guarded(request, handler)

        app = web.Application(middlewares=[guarded])
        app.router.add_get("/status", _answering(self._status))
        for name in (
            "clients",
            "cheat",
            "registry",
            "restart",
            "settle",
            "settle_batch",
            "advance",
            "down",
        ):
            app.router.add_post(f"/{name}", _answering(getattr(self, f"_{name}")))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening.  Harmless when not started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        from aiohttp import web

        given = request.headers.get("X-Control-Token", "")
        if not secrets.compare_digest(given.encode(), self.token.reveal().encode()):
            return web.json_response({"error": "X-Control-Token is wrong or missing"}, status=403)
        try:
            answer: web.StreamResponse = await handler(request)
        except OpgError as error:
            return web.json_response({"error": error.message, "hint": error.hint}, status=400)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response(
                {"error": f"the request is malformed: {type(error).__name__}"}, status=400
            )
        return answer

    # ----------------------------------------------------------------------------------- the routes

    async def _status(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return self._network.status()

    async def _clients(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        pid = wanted["pid"]
        if type(pid) is not int or pid <= 0:
            raise ValueError("pid")
        self._on_client(pid)
        return {"run_id": self._network.run_id}

    async def _cheat(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        self._network.cheat(str(wanted["host"]), str(wanted["mode"]))
        host = self._network.host(str(wanted["host"]))
        return {
            "host": host.name,
            "tee_id": host.tee_id,
            "mode": host.cheat.mode,
            "says": host.cheat.says,
        }

    async def _registry(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        await self._network.registry_action(str(wanted["host"]), str(wanted["action"]))
        return self._network.status()

    async def _restart(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        host = self._network.host(str(wanted["host"]))
        return {"host": host.name, "lost": self._network.restart(host.name)}

    async def _settle(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if "idle_seconds" in wanted:
            self._network.set_settle_idle(float(wanted["idle_seconds"]))
            return {"settle_idle": self._network.settle_idle}
        return {"transactions": await self._network.settle_now()}

    async def _settle_batch(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if wanted:
            limits = {name: wanted.get(f"{name}_seconds") for name in ("idle", "age")}
            settler = self._network.settler
            settler.set_limits(
                size=None if wanted.get("size") is None else int(wanted["size"]),
                **{name: None if value is None else float(value) for name, value in limits.items()},
            )
            return {"limits": asdict(settler.limits)}
        return {"batches": [asdict(batch) for batch in await self._network.settle_batch()]}

    async def _advance(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return {"offset": self._network.advance(float(wanted["seconds"]))}

    async def _down(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        # Answered first: whoever asks should hear that it was heard.
        asyncio.get_running_loop().call_later(0.05, self._on_down)
        return {"run_id": self._network.run_id}


def _answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler as aiohttp calls one."""

    async def answer(request: web.Request) -> web.Response:
        from aiohttp import web

        wanted = await request.json() if request.can_read_body else {}
        return web.json_response(await handler(wanted))

    return answer
