"""The routes: ``/opg-magic/status``, ``/ledger``, ``/receipt/<id>``, ``/own``, ``/registry``; GET
and JSON alone.

The server's own token, cookie and origin checks come first; a server with an authorizer is asked
for ``read`` on ``opg-magic``."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from opg_magic.errors import ConfigError, LedgerError, NetworkUnavailable, OpgError, RpcsDisagree
from opg_magic.ledger.pages import MAX_PAGE, NoSuchPlace
from opg_magic.server.reading import Busy, NotConfigured, Reading

_TEE_ID = re.compile(r"0x[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_RUN_ID = re.compile(r"[0-9A-Za-z._-]{1,128}")
_RECEIPT = re.compile(r"[0-9A-Z]{10}~sha256:[0-9a-f]{64}")
_STATE_OF_LEDGER = re.compile(r"(?:[0-9a-f]{16})?")
_CURSOR = re.compile(r"[0-9A-Za-z:.+~-]{1,120}")

#: Most receipts of one question of whose they are.
MOST_ASKED = 64

#: Most characters of a search.
MOST_SEARCHED = 500

_STATUS: tuple[tuple[type[OpgError], int, str], ...] = (
    (NotConfigured, 409, "not-configured"),
    (Busy, 429, "busy"),
    (RpcsDisagree, 502, "rpcs-disagree"),
    (NetworkUnavailable, 502, "unavailable"),
    (ConfigError, 500, "settings"),
    (NoSuchPlace, 400, "malformed"),
    (LedgerError, 500, "ledger"),
    (OpgError, 500, "failed"),
)


def _said(answer: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Expected failures as JSON with their own words; anything else is the server's own 500."""

    @wraps(answer)
    async def said(self: Any, *args: Any) -> None:
        try:
            await answer(self, *args)
        except OpgError as problem:
            status, code = next((s, c) for kind, s, c in _STATUS if isinstance(problem, kind))
            self.set_status(status)
            self.finish_json({"code": code, "message": problem.message, "hint": problem.hint})

    return said


class _Handler(APIHandler):
    auth_resource = "opg-magic"

    @property
    def reading(self) -> Reading:
        found = self.settings["opg_magic_reading"]
        assert isinstance(found, Reading)
        return found

    def finish_json(self, value: Any) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(value)

    def argument(self, name: str, form: re.Pattern[str], default: str | None = None) -> str | None:
        """A query argument of exactly that form; 400 otherwise."""
        value: str | None = self.get_query_argument(name, default)
        if value is not None and not form.fullmatch(value):
            raise web.HTTPError(400, f"{name} is malformed")
        return value


class StatusHandler(_Handler):
    """Network, limits, spending of the day, running calls."""

    @web.authenticated
    @authorized
    @_said
    async def get(self) -> None:
        self.finish_json(await self.reading.aside(self.reading.status))


class LedgerHandler(_Handler):
    """A page of the ledger: ``?limit=`` (at most 200), ``&after=``, the cursor of the page before,
    ``&q=``, words that each call must have, and ``&unless=``, the state that is known already."""

    @web.authenticated
    @authorized
    @_said
    async def get(self) -> None:
        limit = int(self.argument("limit", _NUMBER, "100") or 0)
        after = self.argument("after", _CURSOR)
        words = str(self.get_query_argument("q", ""))
        unless = self.argument("unless", _STATE_OF_LEDGER)
        if not 1 <= limit <= MAX_PAGE:
            raise web.HTTPError(400, f"limit must be from 1 to {MAX_PAGE}")
        if len(words) > MOST_SEARCHED:
            raise web.HTTPError(400, f"q must have at most {MOST_SEARCHED} characters")
        self.finish_json(
            await self.reading.aside(
                lambda: self.reading.page(limit=limit, after=after, words=words, unless=unless)
            )
        )


class ReceiptHandler(_Handler):
    """One receipt, by its whole id."""

    @web.authenticated
    @authorized
    @_said
    async def get(self, receipt_id: str) -> None:
        document = await self.reading.aside(lambda: self.reading.receipt(receipt_id))
        if document is None:
            raise web.HTTPError(404, "no such receipt")
        self.finish_json(document)


class OwnHandler(_Handler):
    """Which receipts the user's own kernels wrote: ``?receipt=ID~DIGEST``, as often as needed.

    On a JupyterHub, a guest on somebody else's server is told of none."""

    @web.authenticated
    @authorized
    @_said
    async def get(self) -> None:
        wanted = self.get_query_arguments("receipt")
        if len(wanted) > MOST_ASKED or not all(map(_RECEIPT.fullmatch, wanted)):
            raise web.HTTPError(400, "receipt is malformed, or given too often")
        pairs = (
            [(one[:10], one[11:]) for one in wanted]
            if is_owner(self.current_user, os.environ.get("JUPYTERHUB_USER"))
            else []
        )
        found = await self.reading.aside(lambda: self.reading.own(pairs))
        self.finish_json({"own": found})


def is_owner(user: Any, hub_user: str | None) -> bool:
    """Whether who asks is whose server this is; ``hub_user``: whose it is on a JupyterHub."""
    return hub_user is None or hub_user in (user, getattr(user, "username", None))


class RegistryHandler(_Handler):
    """A host's entry at a block, asked of the user's own RPCs: ``?tee_id=&block=`` and
    ``&chain_id=&run_id=``."""

    @web.authenticated
    @authorized
    @_said
    async def get(self) -> None:
        tee_id = self.argument("tee_id", _TEE_ID)
        block = self.argument("block", _NUMBER)
        chain_id = self.argument("chain_id", _NUMBER)
        run_id = self.argument("run_id", _RUN_ID)
        if tee_id is None or block is None:
            raise web.HTTPError(400, "tee_id and block are needed")
        if any(
            not _is_known(name, values) for name, values in self.request.query_arguments.items()
        ):
            # A URL in the request is never contacted; it is not even overlooked.
            raise web.HTTPError(400, "unknown argument")
        self.finish_json(
            await self.reading.registry(
                tee_id,
                int(block),
                chain_id=int(chain_id) if chain_id is not None else None,
                run_id=run_id,
            )
        )


def _is_known(name: str, values: list[bytes]) -> bool:
    # JupyterLab adds the time, a name of digits without a value, so that no cache answers.
    return name in {"tee_id", "block", "chain_id", "run_id", "token"} or (
        name.isdigit() and not any(values)
    )


def handlers(base_url: str) -> list[tuple[str, type[_Handler]]]:
    """The routes under a server's base URL."""

    def at(*parts: str) -> str:
        return str(url_path_join(base_url, "opg-magic", *parts))

    return [
        (at("status"), StatusHandler),
        (at("ledger"), LedgerHandler),
        (at("receipt", r"([0-9A-Za-z]{10})"), ReceiptHandler),
        (at("own"), OwnHandler),
        (at("registry"), RegistryHandler),
    ]
