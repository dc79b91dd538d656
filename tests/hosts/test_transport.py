"""The channel to a host: pinned TLS (attack 19), whole bodies (attack 9), and no secret anywhere
(attack 28)."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import io
import json
import logging
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.tls_host import (
    Answer,
    Request,
    TlsHost,
    chunk,
    closing_host,
    identity,
    reply,
    stream_head,
    tls_host,
)

from opg_magic.errors import AttestationRefused, ChannelRefused, HostUnavailable, MalformedMessage
from opg_magic.models import CHAT_PATH
from opg_magic.models.secret import Secret
from opg_magic.network.body_reader import MAX_SMALL_BODY
from opg_magic.network.exchange import RawExchange, SendCancelled, SendFailed
from opg_magic.network.tls import parse_endpoint
from opg_magic.network.transport import HostClient, HostPool

PROMPT = b'{"messages": [{"content": "the prompt itself", "role": "user"}], "model": "gpt-5"}'
PAYMENT = Secret("cGF5bWVudC1zaWduYXR1cmUtbmV2ZXItc2hvd24=")
SESSION = "0b7f2c1e-5e55-10ad-beef-0123456789ab"
DATE = "Date: Fri, 20 Nov 2026 22:11:18 GMT"


def delta(text: str) -> bytes:
    body = {
        "choices": [
            {"delta": {"content": text, "role": "assistant"}, "index": 0, "finish_reason": None}
        ]
    }
    return b"data: " + json.dumps({**body, "model": "gpt-5"}).encode() + b"\n\n"


FINAL = (
    b"data: "
    + json.dumps(
        {
            "choices": [{"delta": {}, "index": 0, "finish_reason": "stop"}],
            "model": "gpt-5",
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "tee_signature": base64.b64encode(b"\x01" * 256).decode(),
            "tee_request_hash": "11" * 32,
            "tee_output_hash": "22" * 32,
            "tee_timestamp": 1795212679,
            "tee_id": "0x" + "ab" * 32,
        }
    ).encode()
    + b"\n\n"
)
DONE = b"data: [DONE]\n\n"


def answering(raw: bytes) -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return answer


async def streamed(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(stream_head(f"X-Upto-Session: {SESSION}", DATE, "X-Unknown: kept nowhere"))
    for part in (delta("Hello "), delta("world"), FINAL, DONE):
        writer.write(chunk(part))
        await writer.drain()
    # The body ends some turns of the loop after [DONE]: whoever closes there never sees it.
    for _ in range(20):
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")


@pytest.fixture
async def pool() -> Any:
    pool = HostPool(timeout=10)
    yield pool
    await pool.aclose()


async def send(pool: HostPool, host: Any, **options: Any) -> RawExchange:
    defaults: dict[str, Any] = {
        "headers": {"PAYMENT-SIGNATURE": PAYMENT, "X-SETTLEMENT-TYPE": "private"},
        "stream": True,
        "kind": "chat",
        "timeout": 20,
    }
    return await pool.client(host).send(CHAT_PATH, PROMPT, **{**defaults, **options})


async def everything_refused(pool: HostPool, server: TlsHost, entry: Any) -> None:
    """No request of any kind brings a byte of HTTP to the peer."""
    client = pool.client(entry)
    for ask in (
        lambda: client.health(),
        lambda: client.attestation(b"\x01" * 20),
        lambda: client.probe_terms(CHAT_PATH),
        lambda: send(pool, entry),
    ):
        with pytest.raises(ChannelRefused, match="nothing was sent"):
            await ask()
        with pytest.raises(HostUnavailable):
            client.channel()
    assert bytes(server.received) == b""


# ---------------------------------------------------------------------------------------- attack 19


async def test_attack_19_another_certificate_is_refused_before_a_byte_of_http(
    pool: HostPool, tmp_path: Path
) -> None:
    registered, presented = identity(), identity()
    async with tls_host(presented, streamed, tmp_path) as server:
        await everything_refused(pool, server, server.entry(registered.der))
        assert server.requests == []


async def test_attack_19_another_certificate_of_the_same_key_is_refused(
    pool: HostPool, tmp_path: Path
) -> None:
    registered = identity()
    presented = identity(key=registered.key)
    async with tls_host(presented, streamed, tmp_path) as server:
        await everything_refused(pool, server, server.entry(registered.der))


async def test_attack_19_a_leaf_issued_by_a_registered_ca_certificate_is_refused(
    pool: HostPool, tmp_path: Path
) -> None:
    registered = identity(ca=True)
    leaf = identity(issuer=registered)
    async with tls_host(leaf, streamed, tmp_path) as server:
        entry = server.entry(registered.der)
        await everything_refused(pool, server, entry)
        # It is the exact comparison that refuses it: OpenSSL finds a path to the registered
        # certificate.
        with pytest.raises(ChannelRefused) as refused:
            await pool.client(entry).health()
        assert hashlib.sha256(leaf.der).hexdigest() in refused.value.message
        assert hashlib.sha256(registered.der).hexdigest() in refused.value.message


async def test_attack_19_an_expired_certificate_is_refused(pool: HostPool, tmp_path: Path) -> None:
    expired = identity(begins=timedelta(days=-3), ends=timedelta(days=-1))
    async with tls_host(expired, streamed, tmp_path) as server:
        with pytest.raises(ChannelRefused, match="expired"):
            await send(pool, server.entry(expired.der))
        await everything_refused(pool, server, server.entry(expired.der))
        assert server.connections == 0


async def test_attack_19_a_certificate_not_valid_yet_is_refused(
    pool: HostPool, tmp_path: Path
) -> None:
    early = identity(begins=timedelta(days=1), ends=timedelta(days=3))
    async with tls_host(early, streamed, tmp_path) as server:
        await everything_refused(pool, server, server.entry(early.der))


@pytest.mark.parametrize("certificate", [b"", b"junk", b"\x30\x03\x02\x01\x01"])
async def test_attack_19_a_registered_certificate_that_is_none_is_refused(
    pool: HostPool, certificate: bytes
) -> None:
    with pytest.raises(ChannelRefused):
        pool.client(TlsHost(1).entry(certificate))


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_attack_19_a_redirect_is_refused_before_the_prompt(
    pool: HostPool, tmp_path: Path, status: str
) -> None:
    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as elsewhere:
        target = f"Location: https://127.0.0.1:{elsewhere.port}{CHAT_PATH}"
        async with tls_host(mine, answering(reply(status, b"", target)), tmp_path) as server:
            with pytest.raises(ChannelRefused, match="redirect"):
                await pool.client(server.entry(mine.der)).probe_terms(CHAT_PATH)
            assert b"the prompt itself" not in server.received
            assert elsewhere.connections == 0


async def test_attack_19_a_redirect_of_the_prompt_is_not_followed(
    pool: HostPool, tmp_path: Path
) -> None:
    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as elsewhere:
        target = f"Location: https://127.0.0.1:{elsewhere.port}{CHAT_PATH}"
        async with tls_host(
            mine, answering(reply("307 Temporary Redirect", b"", target)), tmp_path
        ) as server:
            exchange = await send(pool, server.entry(mine.der))
            assert exchange.status == 307
            assert exchange.response.problem is not None
            assert exchange.response.problem.code == "http-status"
            assert elsewhere.connections == 0


async def test_the_registered_certificate_is_accepted_whatever_name_it_bears(
    pool: HostPool, tmp_path: Path
) -> None:
    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as server:
        entry = server.entry(mine.der, endpoint=f"https://localhost:{server.port}")
        exchange = await send(pool, entry)
        assert exchange.status == 200
        channel = pool.client(entry).channel()
        assert channel.certificate_sha256 == hashlib.sha256(mine.der).hexdigest()
        assert channel.tls_version == "TLSv1.3"


async def test_a_host_that_changes_its_certificate_between_connections_is_refused(
    pool: HostPool, tmp_path: Path
) -> None:
    mine, other = identity(), identity()
    async with tls_host(
        mine, answering(reply("200 OK", b"{}", "Connection: close")), tmp_path
    ) as server:
        entry = server.entry(mine.der)
        await pool.client(entry).health()
        port = server.port
    async with tls_host(other, streamed, tmp_path) as swapped:
        moved = replace(entry, endpoint=f"https://127.0.0.1:{swapped.port}")
        with pytest.raises(ChannelRefused):
            await pool.client(moved).health()
        assert (bytes(swapped.received), port) == (b"", server.port)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://host.example",
        "ftp://host.example",
        "host.example",
        "",
        "https://",
        "https://user@host.example",
        "https://user:pass@host.example",
        "https://host.example/path",
        "https://host.example?x=1",
        "https://host.example#x",
        "https://host.example:0",
        "https://host.example:99999",
        "https://host.example:x",
        "https://host .example",
        "https://host.example\r\nX: y",
        "https://host.example\\@evil.example",
        "https://höst.example",
        "https://" + "a" * 600,
    ],
)
def test_an_endpoint_that_is_not_plain_https_is_refused(endpoint: str) -> None:
    with pytest.raises(ChannelRefused):
        parse_endpoint(TlsHost(1).entry(b"", endpoint=endpoint or " "))


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://host.example", "https://host.example"),
        ("https://Host.Example/", "https://host.example"),
        ("https://host.example:443", "https://host.example"),
        ("https://203.0.113.7:8443", "https://203.0.113.7:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_plain_https_endpoint_is_read(endpoint: str, origin: str) -> None:
    assert parse_endpoint(TlsHost(1).entry(b"", endpoint=endpoint)) == origin


# ---------------------------------------------------------------------------------------- exchanges


async def test_a_stream_is_read_to_the_end_of_its_body(pool: HostPool, tmp_path: Path) -> None:
    mine = identity()
    seen: list[tuple[str, int]] = []
    before = datetime.now(UTC)
    async with tls_host(mine, streamed, tmp_path) as server:
        exchange = await send(
            pool, server.entry(mine.der), on_text=lambda text, tokens: seen.append((text, tokens))
        )
    assert exchange.status == 200
    assert exchange.complete
    assert exchange.header_sent
    assert exchange.response.problem is None
    assert exchange.response.text == "Hello world"
    assert exchange.response.frame is not None
    assert exchange.response.raw_size == len(delta("Hello ") + delta("world") + FINAL + DONE)
    assert seen[-1] == ("Hello world", 2)
    assert exchange.session == Secret(SESSION)
    assert exchange.server_date == datetime(2026, 11, 20, 22, 11, 18, tzinfo=UTC)
    assert before <= exchange.sent_at <= exchange.received_at <= datetime.now(UTC)
    assert "x-unknown" not in exchange.headers
    assert server.requests[0].body == PROMPT
    assert server.requests[0].headers["payment-signature"] == PAYMENT.reveal()
    assert server.requests[0].headers["authorization"].startswith("Bearer ")
    assert server.requests[0].headers["x-settlement-type"] == "private"
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_plain_answer_is_read(pool: HostPool, tmp_path: Path) -> None:
    body = json.dumps(
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "Hi"},
                }
            ],
            "model": "gpt-5",
            "tee_signature": base64.b64encode(b"\x01" * 256).decode(),
            "tee_request_hash": "11" * 32,
            "tee_output_hash": "22" * 32,
            "tee_timestamp": 1795212679,
            "tee_id": "0x" + "ab" * 32,
        }
    ).encode()
    mine = identity()
    async with tls_host(mine, answering(reply("200 OK", body)), tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der), stream=False)
    assert exchange.response.problem is None
    assert exchange.response.text == "Hi"
    assert exchange.response.frame == body.decode()
    assert exchange.session is None


async def test_connections_are_kept_and_nagle_is_off(pool: HostPool, tmp_path: Path) -> None:
    options: list[int] = []

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply("200 OK", b"{}"))

    mine = identity()
    async with tls_host(mine, answer, tmp_path) as server:
        client = pool.client(server.entry(mine.der))
        for _ in range(5):
            await client.health()
        for thing in gc.get_objects():
            if (
                isinstance(thing, socket.socket)
                and thing.fileno() >= 0
                and thing.family == socket.AF_INET
            ):
                try:
                    if thing.getpeername()[1] == server.port:
                        options.append(thing.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                except OSError:
                    continue
        assert server.connections == 1
        assert pool.client(server.entry(mine.der)) is client
        assert options
        assert all(options)


async def test_attack_09_a_stream_cut_before_its_end_is_truncated_and_keeps_its_text(
    pool: HostPool, tmp_path: Path
) -> None:
    async def cut(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head(f"X-Upto-Session: {SESSION}") + chunk(delta("Half an ans")))
        await writer.drain()
        writer.transport.abort()
        raise ConnectionError

    mine = identity()
    async with tls_host(mine, cut, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der))
    assert exchange.header_sent
    assert not exchange.complete
    assert exchange.response.text == "Half an ans"
    assert exchange.response.frame is None
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "truncated"
    assert exchange.session == Secret(SESSION)


async def test_attack_09_a_body_shorter_than_its_length_is_truncated(
    pool: HostPool, tmp_path: Path
) -> None:
    async def short(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choices"')
        await writer.drain()
        writer.close()
        raise ConnectionError

    mine = identity()
    async with tls_host(mine, short, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der), stream=False)
    assert not exchange.complete
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "truncated"
    assert exchange.response.raw_size == 10


async def test_attack_22_a_timeout_after_the_payment_left_is_data_and_never_sent_again(
    pool: HostPool, tmp_path: Path
) -> None:
    forever = asyncio.Event()

    async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
        await forever.wait()

    mine = identity()
    async with tls_host(mine, silent, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der), timeout=2.0)
        assert exchange.header_sent
        assert exchange.status is None
        assert exchange.response.problem is not None
        assert exchange.response.problem.code == "timeout"
        assert len(server.requests) == 1


async def test_attack_22_a_connection_closed_without_an_answer_is_not_tried_again(
    pool: HostPool, tmp_path: Path
) -> None:
    async def close(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()
        raise ConnectionError

    mine = identity()
    async with tls_host(mine, close, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der))
        assert exchange.header_sent
        assert exchange.response.problem is not None
        assert exchange.response.problem.code == "truncated"
        assert len(server.requests) == 1
        assert server.connections == 1


async def test_a_host_that_cannot_be_reached_raises_and_says_that_nothing_was_sent(
    pool: HostPool,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        entry = TlsHost(taken.getsockname()[1]).entry(identity().der)
        with pytest.raises(SendFailed, match="Nothing was sent"):
            await send(pool, entry)
        with pytest.raises(HostUnavailable):
            await pool.client(entry).health()


async def test_a_peer_without_tls_raises_and_gets_nothing(pool: HostPool) -> None:
    got = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.read(4096))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    try:
        with pytest.raises(SendFailed):
            await send(pool, TlsHost(server.sockets[0].getsockname()[1]).entry(identity().der))
    finally:
        server.close()
    assert b"prompt" not in got
    assert b"HTTP" not in got


async def test_a_cancelled_exchange_carries_what_came(pool: HostPool, tmp_path: Path) -> None:
    shown = asyncio.Event()

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head(f"X-Upto-Session: {SESSION}") + chunk(delta("So far")))
        await writer.drain()
        await writer.wait_closed()  # until the client closes
        raise ConnectionError

    caught: list[SendCancelled] = []

    async def call(entry: Any) -> None:
        try:
            await send(pool, entry, on_text=lambda text, tokens: shown.set())
        except SendCancelled as cancelled:
            caught.append(cancelled)
            raise

    mine = identity()
    async with tls_host(mine, slow, tmp_path) as server:
        task = asyncio.create_task(call(server.entry(mine.der)))
        await shown.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        await server.ended.wait()  # the connection was closed, not left to the pool
    exchange = caught[0].exchange
    assert exchange.header_sent
    assert exchange.response.text == "So far"
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "interrupted"
    assert exchange.session == Secret(SESSION)


async def test_a_cancelled_connect_says_that_nothing_was_sent(pool: HostPool) -> None:
    connected = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    try:
        entry = TlsHost(server.sockets[0].getsockname()[1]).entry(identity().der)
        task = asyncio.create_task(send(pool, entry))
        await connected.wait()
        task.cancel()
        with pytest.raises(SendCancelled) as cancelled:
            await task
        assert not cancelled.value.exchange.header_sent
    finally:
        server.close()


async def test_a_host_gets_at_most_so_many_requests_at_once_over_kept_connections(
    tmp_path: Path,
) -> None:
    running = most = 0

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        writer.write(reply("200 OK", b"{}"))

    mine = identity()
    async with tls_host(mine, answer, tmp_path) as server:
        client = HostClient(server.entry(mine.der), timeout=10, max_connections=3)
        for _ in range(2):
            await asyncio.gather(*(client.health() for _ in range(9)))
        assert len(server.requests) == 18
        assert most == server.connections == 3
        await client.aclose()


async def test_a_connection_that_the_host_closed_is_not_used_again(tmp_path: Path) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply("200 OK", b"{}"))
        asyncio.get_running_loop().call_later(0.01, writer.close)

    mine = identity()
    async with tls_host(mine, answer, tmp_path) as server:
        client = HostClient(server.entry(mine.der), timeout=10, max_connections=1)
        for made in (1, 2, 3):
            await client.health()
            assert server.connections == made
            await asyncio.sleep(0.1)
        await client.aclose()


async def test_a_host_may_close_tls_in_the_same_packet_as_its_answer(tmp_path: Path) -> None:
    """The TCP connection stays open and silent: only TLS knows that it is over.  The prompt that
    follows must not be written into it."""
    mine = identity()
    stream = stream_head() + b"".join(map(chunk, (delta("hi"), FINAL, DONE))) + b"0\r\n\r\n"
    answers = {b"GET": reply("200 OK", b"{}"), b"POS": stream}
    async with closing_host(mine, tmp_path, answers, PROMPT) as server:
        client = HostClient(server.entry(mine.der), timeout=10, max_connections=1)
        for made in (1, 2):
            await client.health()
            exchange = await client.send(
                CHAT_PATH, PROMPT, headers={}, stream=True, kind="chat", timeout=20
            )
            assert exchange.complete
            assert server.connections == 2 * made
        await client.aclose()


async def test_only_what_cannot_spend_is_asked_again_on_a_new_connection(tmp_path: Path) -> None:
    """A host may close a kept connection in the moment in which it is used."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) in (2, 5):
            raise ConnectionError
        writer.write(reply("200 OK", b"{}"))

    mine = identity()
    async with tls_host(mine, answer, tmp_path) as server:
        client = HostClient(server.entry(mine.der), timeout=10, max_connections=1)
        await client.health()
        await client.health()
        assert [request.line for request in server.requests] == ["GET /health HTTP/1.1"] * 3
        await client.health()
        broken = await client.send(
            CHAT_PATH, PROMPT, headers={}, stream=False, kind="chat", timeout=20
        )
        assert broken.header_sent and not broken.complete
        assert len(server.requests) == 5
        await client.aclose()


async def test_stopped_calls_give_their_connections_place_back(tmp_path: Path) -> None:
    mute = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.line.startswith("POST"):
            mute.set()
            await writer.wait_closed()
            raise ConnectionError
        writer.write(reply("200 OK", b"{}"))

    mine = identity()
    async with tls_host(mine, answer, tmp_path) as server:
        client = HostClient(server.entry(mine.der), timeout=10, max_connections=1)
        for _ in range(3):
            mute.clear()
            sending = asyncio.create_task(
                client.send(CHAT_PATH, PROMPT, headers={}, stream=True, kind="chat", timeout=20)
            )
            await mute.wait()
            waiting = asyncio.create_task(client.health())
            await asyncio.sleep(0)
            for task in (waiting, sending):
                task.cancel()
                with pytest.raises((asyncio.CancelledError, SendCancelled)):
                    await task
        await client.health()
        await client.aclose()
    assert [request.line.split()[0] for request in server.requests] == ["POST"] * 3 + ["GET"]


async def test_a_broken_display_does_not_lose_the_answer(pool: HostPool, tmp_path: Path) -> None:
    def broken(text: str, tokens: int) -> None:
        raise RuntimeError("the front end is gone")

    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der), on_text=broken)
    assert exchange.response.text == "Hello world"


async def test_an_endless_answer_is_cut_at_its_bound(
    pool: HostPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        while True:
            writer.write(chunk(delta("x" * 50_000)))
            await writer.drain()

    monkeypatch.setattr("opg_magic.network.body_reader.MAX_STREAM_BYTES", 1_000_000)
    mine = identity()
    async with tls_host(mine, endless, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der))
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "too-large"
    assert not exchange.complete
    assert exchange.response.raw_size <= 1_000_000


async def test_an_endless_error_or_health_is_cut_at_its_bound(
    pool: HostPool, tmp_path: Path
) -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(b"x" * 50_000))
            await writer.drain()

    mine = identity()
    async with tls_host(mine, endless, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der))
        assert exchange.response.problem is not None
        assert exchange.response.raw_size <= MAX_SMALL_BODY
        with pytest.raises(HostUnavailable, match="exceeds"):
            await pool.client(server.entry(mine.der)).health()


async def test_a_compressed_answer_is_not_opened(pool: HostPool, tmp_path: Path) -> None:
    raw = reply("200 OK", b"\x1f\x8b bomb", "Content-Encoding: gzip")
    mine = identity()
    async with tls_host(mine, answering(raw), tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der), stream=False)
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "framing"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": "Provider down"}', "Provider down"),
        (b'{"detail": "No token", "title": "Unauthorized"}', "No token"),
        (b'{"error": {"message": "bad model"}}', "bad model"),
        (b"<html>", "no reason given"),
        (b'{"error": "a\\u001b[31mb"}', "a [31mb"),
        (b"[" * 100_000, "no reason given"),
    ],
)
async def test_an_http_error_is_data_with_the_hosts_reason(
    pool: HostPool, tmp_path: Path, body: bytes, reason: str
) -> None:
    mine = identity()
    async with tls_host(
        mine, answering(reply("500 Internal Server Error", body)), tmp_path
    ) as server:
        exchange = await send(pool, server.entry(mine.der))
    assert exchange.status == 500
    assert exchange.response.problem is not None
    assert exchange.response.problem.code == "http-status"
    assert exchange.response.problem.message == f"the host answered 500: {reason}"


async def test_cookies_are_not_kept(pool: HostPool, tmp_path: Path) -> None:
    mine = identity()
    raw = reply("200 OK", b"{}", "Set-Cookie: who=you; Path=/")
    async with tls_host(mine, answering(raw), tmp_path) as server:
        for _ in range(2):
            await pool.client(server.entry(mine.der)).health()
        assert "cookie" not in server.requests[1].headers


# ----------------------------------------------------------------------- attestation, health, terms


async def test_the_attestation_is_asked_for_with_the_nonce_and_decoded(
    pool: HostPool, tmp_path: Path
) -> None:
    mine = identity()
    raw = reply("200 OK", base64.encodebytes(b"document" * 50))
    async with tls_host(mine, answering(raw), tmp_path) as server:
        assert (
            await pool.client(server.entry(mine.der)).attestation(b"\xab" * 20) == b"document" * 50
        )
        assert server.requests[0].line == f"GET /enclave/attestation?nonce={'ab' * 20} HTTP/1.1"


async def test_no_attestation_offered_is_none_and_a_broken_one_is_refused(
    pool: HostPool, tmp_path: Path
) -> None:
    mine = identity()
    async with tls_host(mine, answering(reply("404 Not Found")), tmp_path) as server:
        assert await pool.client(server.entry(mine.der)).attestation(b"\xab" * 20) is None
    for body in (b"not base64!", b"", b"AAA"):
        async with tls_host(mine, answering(reply("200 OK", body)), tmp_path) as server:
            with pytest.raises(AttestationRefused):
                await pool.client(server.entry(mine.der)).attestation(b"\xab" * 20)


@pytest.mark.parametrize(
    ("body", "price"),
    [
        (b'{"status": "OK", "price_feed": {"price_usd": 0.1}, "version": "1.0.0"}', Decimal("0.1")),
        (b'{"status": "OK", "price_feed": {"price_usd": 2}}', Decimal(2)),
        (b'{"status": "OK", "price_feed": {"price_usd": 0}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": -1.5}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": NaN}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": 1e999}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": 1e-300}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": "0.1"}}', None),
        (b'{"status": "OK", "price_feed": {"price_usd": true}}', None),
        (b'{"status": "OK", "price_feed": null}', None),
        (b'{"status": "OK"}', None),
        (b"[]", None),
        (b"junk", None),
        (b"[" * 100_000, None),
    ],
)
async def test_health_gives_a_price_only_if_it_is_one(
    pool: HostPool, tmp_path: Path, body: bytes, price: Decimal | None
) -> None:
    mine = identity()
    async with tls_host(mine, answering(reply("200 OK", body, DATE)), tmp_path) as server:
        health = await pool.client(server.entry(mine.der)).health()
    assert health.price_usd == price
    assert health.server_date == datetime(2026, 11, 20, 22, 11, 18, tzinfo=UTC)


@pytest.mark.parametrize("date", ["", "Date: yesterday", "Date: Fri, 99 Nov 2026 22:11:18 GMT"])
async def test_a_date_that_is_none_is_none(pool: HostPool, tmp_path: Path, date: str) -> None:
    mine = identity()
    headers = [date] if date else []
    async with tls_host(mine, answering(reply("200 OK", b"{}", *headers)), tmp_path) as server:
        assert (await pool.client(server.entry(mine.der)).health()).server_date is None


def terms_header() -> str:
    return base64.b64encode(
        b'{"x402Version":2,"accepts":[{"scheme":"upto"}],"resource":{}}'
    ).decode()


@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/completions"])
async def test_terms_are_asked_for_without_the_prompt(
    pool: HostPool, tmp_path: Path, path: str
) -> None:
    mine = identity()
    raw = reply("402 Payment Required", b"{}", f"PAYMENT-REQUIRED: {terms_header()}", DATE)
    async with tls_host(mine, answering(raw), tmp_path) as server:
        terms, date = await pool.client(server.entry(mine.der)).probe_terms(path)
        sent = json.loads(server.requests[0].body)
    assert terms.accepts == ({"scheme": "upto"},)
    assert date == datetime(2026, 11, 20, 22, 11, 18, tzinfo=UTC)
    assert ("messages" in sent) != ("prompt" in sent)
    assert "payment-signature" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (reply("200 OK", b"{}"), HostUnavailable),
        (reply("402 Payment Required", b"{}"), HostUnavailable),
        (reply("402 Payment Required", b"{}", "PAYMENT-REQUIRED: junk!"), MalformedMessage),
    ],
)
async def test_anything_but_a_402_with_terms_is_refused(
    pool: HostPool, tmp_path: Path, raw: bytes, error: type[Exception]
) -> None:
    mine = identity()
    async with tls_host(mine, answering(raw), tmp_path) as server:
        with pytest.raises(error):
            await pool.client(server.entry(mine.der)).probe_terms(CHAT_PATH)


# ---------------------------------------------------------------------------------------- attack 28


@pytest.fixture
def logged() -> Any:
    """Everything that any logger says at DEBUG."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    names = [
        "",
        "httpx",
        "httpcore",
        "httpcore.http11",
        "httpcore.connection",
        "opg_magic",
        "asyncio",
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield out
    logging.getLogger().removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def no_secret_in(text: str) -> None:
    assert PAYMENT.reveal() not in text
    assert SESSION not in text


async def test_attack_28_no_secret_is_logged_at_debug(
    pool: HostPool, tmp_path: Path, logged: io.StringIO
) -> None:
    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as server:
        first = await send(pool, server.entry(mine.der))
        assert first.session is not None
        await send(pool, server.entry(mine.der), headers={"X-Upto-Session": first.session})
        assert server.requests[1].headers["x-upto-session"] == SESSION
    no_secret_in(logged.getvalue())
    assert CHAT_PATH in logged.getvalue()  # our own line is there, so the capture works


async def test_others_still_get_their_logs_of_httpcore(
    pool: HostPool, tmp_path: Path, logged: io.StringIO
) -> None:
    import httpx

    mine = identity()
    async with tls_host(
        mine, answering(reply("200 OK", b"{}", "X-Other: theirs")), tmp_path
    ) as server:
        await pool.client(server.entry(mine.der)).health()
        assert "X-Other" not in logged.getvalue()
        async with httpx.AsyncClient(verify=False) as other:
            await other.get(f"https://127.0.0.1:{server.port}/")
        assert "X-Other" in logged.getvalue()


async def test_attack_28_no_secret_in_what_is_returned(pool: HostPool, tmp_path: Path) -> None:
    """Not even where the host sends it back in a header or in its error."""

    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        error = json.dumps(
            {"error": f"bad {request.headers['payment-signature']} {SESSION}"}
        ).encode()
        server = f"Server: {request.headers['payment-signature']} {SESSION}"
        writer.write(reply("500 Oops", error, server, f"X-Upto-Session: {SESSION}"))

    mine = identity()
    async with tls_host(mine, echo, tmp_path) as server:
        exchange = await send(pool, server.entry(mine.der))
        no_secret_in(repr(exchange) + str(exchange) + repr(pool.client(server.entry(mine.der))))
        assert exchange.headers["server"] == "<secret> <secret>"


async def raised(call: Callable[[], Any]) -> BaseException:
    try:
        await call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def whole_traceback(error: BaseException) -> str:
    """The traceback with the locals of every frame, of all errors that hang on this one."""
    shown, seen = [], set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        pending += [one.__cause__, one.__context__]
        shown += traceback.TracebackException.from_exception(one, capture_locals=True).format(
            chain=False
        )
        shown.append(repr(one))
    return "".join(shown)


async def test_attack_28_no_secret_in_tracebacks_with_locals(
    pool: HostPool, tmp_path: Path
) -> None:
    mine, other = identity(), identity()

    async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head(f"X-Upto-Session: {SESSION}") + chunk(delta("a")))
        await writer.drain()
        await asyncio.Event().wait()

    async with tls_host(other, streamed, tmp_path) as server:
        refused = await raised(lambda: send(pool, server.entry(mine.der)))
    assert isinstance(refused, ChannelRefused)
    unreachable = await raised(lambda: send(pool, server.entry(mine.der)))
    assert isinstance(unreachable, SendFailed)
    broken = await raised(
        lambda: send(
            pool,
            server.entry(mine.der),
            headers={"PAYMENT-SIGNATURE": Secret(PAYMENT.reveal() + "\r\nX: y")},
        )
    )
    assert isinstance(broken, MalformedMessage)
    async with tls_host(mine, silent, tmp_path) as server:
        shown = asyncio.Event()
        task = asyncio.create_task(
            send(pool, server.entry(mine.der), on_text=lambda *_: shown.set())
        )
        await shown.wait()
        task.cancel()
        cancelled = await raised(lambda: task)
    assert isinstance(cancelled, SendCancelled)
    for error in (refused, unreachable, broken, cancelled):
        text = whole_traceback(error)
        no_secret_in(text)
        assert "httpcore" not in text.replace("import httpcore", "")


async def test_attack_28_a_verbose_traceback_of_ipython_holds_no_secret(
    pool: HostPool, tmp_path: Path
) -> None:
    from IPython.core.ultratb import VerboseTB

    mine, other = identity(), identity()
    async with tls_host(other, streamed, tmp_path) as server:
        try:
            await send(pool, server.entry(mine.der))
        except ChannelRefused:
            shown = VerboseTB().text(*sys.exc_info())
    assert "send" in shown
    no_secret_in(shown)


@pytest.mark.parametrize("where", ["carrying.server_date", "body_reader.BodyReader.evidence"])
async def test_attack_28_an_error_that_nobody_expects_shows_no_secret(
    pool: HostPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    from IPython.core.ultratb import VerboseTB

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"opg_magic.network.{where}", broken)
    mine = identity()
    async with tls_host(mine, streamed, tmp_path) as server:
        error = await raised(lambda: send(pool, server.entry(mine.der)))
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None
    # Without this test's own frames: the server that they hold was told the secret.
    error.__traceback__ = error.__traceback__.tb_next.tb_next
    shown = VerboseTB().text(type(error), error, error.__traceback__) + whole_traceback(error)
    assert "_raw" in shown
    no_secret_in(shown)
