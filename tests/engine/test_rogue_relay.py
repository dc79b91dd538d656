"""Attack 20, on the wire: a relay that redirects, compresses, stalls, drips or never ends.  Every
call ends, shows no text as checked, and gives the token to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.private import PrivateRoute
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt
from opg_magic.models.secret import Secret
from opg_magic.protocol import ohttp
from opg_magic.settings.sign_in import SignIn

TOKEN = "a-token-for-one-relay-alone"
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Rogue:
    """A relay whose answer a test gives; ``seen`` are the headers of what it was sent."""

    answer: Answer | None = None
    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    elsewhere: list[dict[str, str]] = field(default_factory=list)

    async def carry(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append(dict(request.headers))
        assert self.answer is not None
        return await self.answer(request)

    async def other(self, request: web.Request) -> web.Response:
        self.elsewhere.append(dict(request.headers))
        return web.Response()

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/api/v1/chat/ohttp", self.carry)
        app.router.add_route("*", "/elsewhere", self.other)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


@pytest.fixture
def rogue(honest_simnet: RunningSimnet, session: Session) -> Iterator[Rogue]:
    """The session is signed in there."""
    made = Rogue()
    runner = honest_simnet.run(made.start())
    engine = session.engine(CallOptions(route="private"))
    assert isinstance(engine.route, PrivateRoute)
    engine.route._network = replace(engine.network, private_relay=None)
    engine.route._signed_in = lambda: SignIn(made.url, Secret(TOKEN))
    yield made
    honest_simnet.run(runner.cleanup())


def ask(session: Session, *, stream: bool = True, timeout: float = 30.0) -> errors.CallFailed:
    """The failure that a call ends with."""
    with pytest.raises(errors.CallFailed) as caught:
        session.ask(replace(PROMPT, stream=stream), CallOptions(route="private", timeout=timeout))
    receipt = caught.value.receipt
    assert receipt is not None and not receipt.text
    assert caught.value.charge is Charge.NONE
    assert TOKEN not in receipt.to_json() + str(caught.value)
    return caught.value


def problem(failure: errors.CallFailed) -> str:
    assert failure.receipt is not None
    return str(failure.receipt.document["response"]["problem"]["code"])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_attack_20_a_redirect_is_not_followed_and_the_token_goes_nowhere(
    session: Session, rogue: Rogue, status: int
) -> None:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"{rogue.url}/elsewhere"})

    rogue.answer = redirect
    assert f"the relay answered {status}" in ask(session).message
    assert len(rogue.seen) == 1 and rogue.elsewhere == []


def test_a_cookie_is_not_kept(session: Session, rogue: Rogue) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"detail": "no"}, status=429, headers={"Set-Cookie": "tag=1; Path=/"}
        )

    rogue.answer = refuse
    ask(session)
    ask(session)
    assert len(rogue.seen) == 2
    assert not any("Cookie" in headers for headers in rogue.seen)


def test_a_refusal_that_repeats_the_token_is_not_shown(session: Session, rogue: Rogue) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        told = {"detail": f"bad: {request.headers['Authorization']}"}
        return web.json_response(told, status=401)

    rogue.answer = echo
    ask(session)


async def pieces(request: web.Request, kind: str, parts: AsyncIterator[bytes], **head: str) -> (
    web.StreamResponse
):  # fmt: skip
    response = web.StreamResponse(headers={"Content-Type": kind, **head})
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for part in parts:
            await response.write(part)
    except (ConnectionError, asyncio.CancelledError):
        pass
    return response


async def endless(part: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    while True:
        yield part
        await asyncio.sleep(pause)


async def then_silence(part: bytes) -> AsyncIterator[bytes]:
    yield part
    await asyncio.sleep(3600)


@pytest.mark.parametrize("stream", [True, False])
def test_attack_20_a_compressed_answer_is_not_unpacked(
    session: Session, rogue: Rogue, stream: bool
) -> None:
    async def squeezed(_request: web.Request) -> web.StreamResponse:
        kind = ohttp.CHUNKED_TYPE if stream else ohttp.RESPONSE_TYPE
        return web.Response(
            body=b"\x1f\x8b" + bytes(100),
            headers={"Content-Type": kind, "Content-Encoding": "gzip"},
        )

    rogue.answer = squeezed
    assert problem(ask(session, stream=stream)) == "framing"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (ohttp.CHUNKED_TYPE, bytes(range(256)) * 256),
        (ohttp.CHUNKED_TYPE, b"\x80\x01\x00\x00" * 16384),
        (ohttp.RESPONSE_TYPE, bytes(1 << 20)),
        ("application/json", b'{"error": "' + b"x" * 65536),
        ("text/html", b"<p>" * 65536),
    ],
    ids=["chunks", "lengths", "whole", "json", "html"],
)
def test_attack_20_an_answer_without_end_ends_the_call(
    session: Session, rogue: Rogue, kind: str, part: bytes, stream: bool
) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        return await pieces(request, kind, endless(part))

    rogue.answer = never
    assert problem(ask(session, stream=stream)) in ("framing", "too-large", "truncated")


@pytest.mark.parametrize("begun", [b"", b"n" * 20, b"n" * 16 + b"\x41\x00" + b"c" * 40])
@pytest.mark.parametrize("stream", [True, False])
def test_attack_20_an_answer_that_stalls_ends_with_the_calls_time(
    session: Session, rogue: Rogue, begun: bytes, stream: bool
) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        kind = ohttp.CHUNKED_TYPE if stream else ohttp.RESPONSE_TYPE
        return await pieces(request, kind, then_silence(begun))

    rogue.answer = stall
    assert problem(ask(session, stream=stream, timeout=0.5)) == "timeout"


def test_attack_20_an_answer_that_drips_ends_with_the_calls_time(
    session: Session, rogue: Rogue
) -> None:
    """Each byte comes in time, the answer never does."""

    async def drip(request: web.Request) -> web.StreamResponse:
        return await pieces(request, ohttp.RESPONSE_TYPE, endless(b"x", 0.05))

    rogue.answer = drip
    assert problem(ask(session, stream=False, timeout=0.5)) == "timeout"
