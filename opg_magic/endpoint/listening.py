"""The endpoint from its start to its end: listening on loopback, on the session's own loop."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from opg_magic.call.session import Session
from opg_magic.endpoint.app import Application, Manner
from opg_magic.endpoint.guard import Guard, loopback_address
from opg_magic.endpoint.token import Token
from opg_magic.errors import ConfigError

#: Seconds that a connection may take to close at the end.
_CLOSING = 1.0
#: For what is not HTTP.  aiohttp quotes it, and it may hold the token of a client.
_SILENT = logging.Logger(__name__)
_SILENT.addHandler(logging.NullHandler())


class Endpoint:
    """Made anywhere; started, waited for and stopped on the session's loop."""

    def __init__(
        self, session: Session, manner: Manner, token: Token, *, bind: str, port: int
    ) -> None:
        """``port`` 0 is any free one.  Raises ConfigError if ``bind`` is not a loopback address."""
        self._address = loopback_address(bind)
        self._port = port
        self._token = token
        self._app = Application(session, manner)
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self) -> None:
        """Listen.  Raises ConfigError if the port is taken."""
        runner = web.AppRunner(
            self._app.made(),
            access_log=None,
            logger=_SILENT,
            # A packed body is refused by its header, not unpacked.
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=_CLOSING,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, self._port).start()
        except OSError as problem:
            await runner.cleanup()
            raise ConfigError(
                f"Cannot listen on port {self._port}: {problem.strerror}.",
                hint="Use another port: opg serve --port 0 takes any that is free.",
            ) from None
        self._runner = runner
        port = int(runner.addresses[0][1])
        self._app.guard = Guard(self._token.secret, self._address, port)
        shown = f"[{self._address}]" if ":" in self._address else self._address
        self.base_url = f"http://{shown}:{port}/v1"

    async def stop(self) -> None:
        """Stop listening and stop all calls; returns once what came of them is recorded."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in tuple(runner.sites):
            await site.stop()
        await self._app.calls.stop()
        await runner.cleanup()

    async def wait(self) -> None:
        """Serve until cancelled; then stop."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()
