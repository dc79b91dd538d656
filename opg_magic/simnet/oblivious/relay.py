"""The relay: carries sealed requests to hosts for those who have signed in, and sealed answers
back.

It sees who asks, which host, how long a request is and how long its answer takes; of the text it
sees ciphertext.  Its errors are JSON with ``detail`` or ``error``, outside any seal."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opg_magic.protocol import ohttp
from opg_magic.simnet.host.unsealing import SEALED_PATH
from opg_magic.simnet.oblivious.accounts import Accounts, Refused
from opg_magic.simnet.oblivious.bending import Carrying
from opg_magic.simnet.oblivious.sign_in import SignInPage

if TYPE_CHECKING:
    from aiohttp import ClientSession, Fingerprint, web

    from opg_magic.simnet.host.host import Host

#: Where clients bring sealed requests, as the official SDK does.
RELAY_PATH = "/api/v1/chat/ohttp"
MAX_REQUEST = 8 * 1024 * 1024


class Relay:
    """Listens on loopback.  ``hosts`` gives those that it carries to.

    ``carrying`` is how it treats what it carries: honestly, or as one of
    :mod:`~opg_magic.simnet.oblivious.bending`."""

    def __init__(
        self,
        hosts: Callable[[], Sequence[Host]],
        *,
        on_activity: Callable[[], None] = lambda: None,
        registry: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``registry``: what a sign-in proposes of the host registry."""
        self.accounts = Accounts()
        self.sign_in = SignInPage(
            self.accounts, lambda: {"chat_api_base_url": self.url, **registry()}
        )
        #: The account of this installation's own clients.
        self.own = self.accounts.open("own")
        self.carrying = Carrying()
        self.url = ""
        self._hosts = hosts
        self._on_activity = on_activity
        self._runner: web.AppRunner | None = None
        self._http: ClientSession | None = None
        self._pins: dict[bytes, Fingerprint] = {}

    async def start(self) -> str:
        """Listen on a free port; the base URL."""
        import aiohttp
        from aiohttp import web

        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_post(RELAY_PATH, self._carry)
        self.sign_in.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._http = aiohttp.ClientSession(auto_decompress=False)
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening.  Harmless when not started."""
        if self._http is not None:
            await self._http.close()
            self._http = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _carry(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        self._on_activity()
        try:
            self.accounts.admit(request.headers.get("Authorization", ""))
            if request.content_type != ohttp.REQUEST_TYPE:
                raise Refused(415, f"Expected {ohttp.REQUEST_TYPE}")
            host = self._meant(request.headers.get("X-TEE-ID", ""))
            if not self.carrying.up:
                raise Refused(503, "The relay cannot reach that host")
            return await self._forward(request, host)
        except Refused as refused:
            return web.json_response({"detail": refused.detail}, status=refused.status)

    def _meant(self, tee_id: str) -> Host:
        wanted = tee_id.lower().removeprefix("0x")
        for host in self._hosts():
            if host.tee_id.removeprefix("0x") == wanted:
                return host
        raise Refused(404, "No such host")

    async def _forward(self, request: web.Request, host: Host) -> web.StreamResponse:
        import aiohttp

        assert self._http is not None
        others = [other for other in self._hosts() if other is not host]
        wire, target = self.carrying.request(await request.read(), host, others)
        pin = self._pin(target.certificate.der)
        try:
            async with self._http.post(
                target.endpoint + SEALED_PATH,
                data=wire,
                headers={"Content-Type": ohttp.REQUEST_TYPE},
                ssl=pin,
            ) as answer:
                if answer.status != 200:
                    raise Refused(502, "The host did not take the request")
                return await self._back(request, answer)
        except (aiohttp.ClientConnectionError, aiohttp.ServerFingerprintMismatch):
            raise Refused(503, "The relay cannot reach that host") from None

    def _pin(self, certificate: bytes) -> Fingerprint:
        """The certificate that a host must present.  One object each: a connection is used again
        only under the same one."""
        import aiohttp

        digest = hashlib.sha256(certificate).digest()
        return self._pins.setdefault(digest, aiohttp.Fingerprint(digest))

    async def _back(self, request: web.Request, answer: Any) -> web.StreamResponse:
        from aiohttp import ClientPayloadError, web

        told = answer.headers.get("Content-Type", ohttp.RESPONSE_TYPE)
        if self.carrying.bends:
            kind, body = self.carrying.answer(told, await answer.read())
            return web.Response(body=body, headers={"Content-Type": kind})
        response = web.StreamResponse(headers={"Content-Type": told})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for part in answer.content.iter_any():
                await response.write(part)
        except (ClientPayloadError, ConnectionError, asyncio.IncompleteReadError):
            # The host broke off, or the caller left.
            if request.transport is not None:
                request.transport.close()
            return response
        with suppress(ConnectionError):
            await response.write_eof()
        return response
