"""The endpoint as a web application: what is asked at which path, and how a call is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from opg_magic.call.naming import ALIAS, default_model
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.endpoint.calls import Calls, Repeats, paid_nothing
from opg_magic.endpoint.chat_reply import ChatReply
from opg_magic.endpoint.chat_request import Asked, read_request
from opg_magic.endpoint.event_stream import EventStream
from opg_magic.endpoint.failures import broken, refusal_of
from opg_magic.endpoint.guard import Guard
from opg_magic.endpoint.refusal import Refusal
from opg_magic.endpoint.replies import Reply
from opg_magic.endpoint.response_reply import ResponseReply
from opg_magic.endpoint.response_request import read_response_request
from opg_magic.errors import OpgError
from opg_magic.models import Answer
from opg_magic.models.networks import SIM
from opg_magic.models.plain_text import inert
from opg_magic.settings import prices
from opg_magic.settings.config import Settings

_log = logging.getLogger(__name__)

#: Larger than any request of which a receipt can be made.
MAX_REQUEST = 8 * 1024 * 1024
#: Seconds in which a request's body must have come.
_BODY_SECONDS = 30.0

#: What is refused before it is read.
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are made and told of.

    ``strict``: nothing of an answer leaves before its verdict.  ``words`` makes a message fit for a
    shell; ``say`` takes one line for each call, without prompt or answer."""

    options: CallOptions
    strict: bool
    words: Callable[[str], str]
    say: Callable[[str], None]


class Application:
    """Answers requests on the session's own loop."""

    def __init__(self, session: Session, manner: Manner) -> None:
        self._session = session
        self._manner = manner
        self._repeats = Repeats()
        self.calls = Calls(session, manner.options, manner.words)
        #: Nobody is let in before it is set.
        self.guard: Guard | None = None

    def made(self) -> web.Application:
        """The application, for a runner with ``handler_cancellation``."""
        app = web.Application(client_max_size=MAX_REQUEST, middlewares=[self._guarded])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._response)
        app.router.add_route("*", "/v1/responses/{kept:.+}", _not_kept)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        refused = self.guard.refuse(request.headers) if self.guard else Refusal(503, "Not ready.")
        if refused is not None:
            return _refused(refused)
        try:
            return await handler(request)
        except Refusal as refusal:
            refusal.message = self._manner.words(refusal.message)
            return _refused(refusal)
        except OpgError as problem:
            return _refused(refusal_of(problem, self._manner.words))
        except ConnectionError:
            # The client has gone: this is written to nobody, and aiohttp logs nothing of it.
            return web.Response(status=499)
        except web.HTTPException as problem:
            said = f"{request.method} {request.path[:80]}: {problem.reason}."
            code = _CODES.get(problem.status)
            return _refused(Refusal(problem.status, said, code=code))
        except Exception as problem:
            _log.warning("a request could not be answered", exc_info=True)
            return _refused(broken(problem))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        asked = read_request(body, *self._known)
        return await self._answered(request, body, asked, ChatReply(asked))

    async def _response(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        asked = read_response_request(body, *self._known)
        return await self._answered(request, body, asked, ResponseReply(asked))

    @property
    def _known(self) -> tuple[Settings, str | None]:
        return self._session.settings, self._manner.options.network

    async def _answered(
        self, request: web.Request, body: bytes, asked: Asked, reply: Reply
    ) -> web.StreamResponse:
        name = self._repeats.begin(body, request.headers)
        # Text beside a tool call is not signed: whether there will be one is known at the end.
        held = self._manner.strict or asked.has_tools
        stream = EventStream(request, reply, held=held)
        call = self.calls.start(asked.prompt, stream.see if asked.stream else None)
        delivered = False
        try:
            if asked.stream:
                response = await self._streamed(asked, call, stream)
            else:
                response = await self._whole(asked, call, reply)
            delivered = not stream.has_failed
            if stream.has_failed:
                self._repeats.failed(name)
            return response
        except Refusal as refusal:
            self._tell(asked, f"{refusal.status} {refusal.code}", refusal.opg.get("receipt"))
            self._repeats.failed(name)
            raise
        finally:
            if not call.done():
                await self.calls.end(call)
                self._tell(asked, "stopped: the client has gone", None)
            if delivered or paid_nothing(call):
                self._repeats.over(name)

    async def _whole(self, asked: Asked, call: asyncio.Task[Answer], reply: Reply) -> web.Response:
        answer = await self.calls.answer(call)
        self._tell(asked, f"{answer.verdict.label}  {answer.cost}", answer.receipt.id)
        return web.json_response(reply.whole(answer), headers=reply.headers(answer))

    async def _streamed(
        self, asked: Asked, call: asyncio.Task[Answer], stream: EventStream
    ) -> web.StreamResponse:
        await stream.follow(call)
        try:
            answer = await self.calls.answer(call)
            # Before it is written: a client that is gone by then has paid for it all the same.
            self._tell(asked, f"{answer.verdict.label}  {answer.cost}", answer.receipt.id)
            return await stream.finish(answer)
        except Refusal as refusal:
            if not stream.has_begun:
                raise
            self._tell(asked, f"{refusal.status} {refusal.code}", refusal.opg.get("receipt"))
            return await stream.fail(refusal)

    def _tell(self, asked: Asked, what: str, receipt: str | None) -> None:
        kept = f"  receipt {receipt}" if receipt else ""
        model = inert(asked.prompt.model)
        self._manner.say(f"{datetime.now().astimezone():%H:%M:%S}  {model}  {what}{kept}")

    # ---------------------------------------------------------------------------------- models

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [*map(_model, self._names())]})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if name not in self._names():
            raise Refusal(
                404, f"No model is called {name[:80]!r}.", code="model_not_found", param="model"
            )
        return web.json_response(_model(name))

    def _names(self) -> tuple[str, ...]:
        """The models of the network's list, the default first, and the user's aliases."""
        settings = self._session.settings
        network = self._manner.options.network or settings.get("network")
        listed = prices.load(settings.get("prices_file"), simulated=network == SIM).models
        aliases = (ALIAS + name for name in settings.get("aliases"))
        return tuple(dict.fromkeys((default_model(settings, network), *listed, *aliases)))


async def _body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise Refusal(415, "The Content-Type must be application/json. Nothing was sent.")
    packed = request.headers.get("Content-Encoding", "identity")
    if packed.lower() != "identity":
        raise Refusal(415, f"Content-Encoding {packed[:80]!r} is not read here. Nothing was sent.")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Refusal(408, "The request did not come in time. Nothing was sent.") from None
    except web.RequestPayloadError:
        raise Refusal(400, "The request's body cannot be read. Nothing was sent.") from None


async def _not_kept(request: web.Request) -> web.StreamResponse:
    raise Refusal(
        404,
        "opg serve keeps no responses: there is none to fetch, delete, cancel or count. Each call "
        "has a receipt: opg receipts list.",
        code="not_found",
    )


def _refused(refusal: Refusal) -> web.Response:
    return web.json_response(
        refusal.document(), status=refusal.status, headers=refusal.all_headers()
    )


def _model(name: str) -> dict[str, object]:
    owner, slash, _ = name.partition("/")
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": owner if slash else "opg_magic",
    }
