"""An open connection sends a request's head and body together, whatever ends the request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

import httpcore
import pytest

from opg_magic.network.tls import OpenStream


class Nothing:
    """TLS that has nothing to be read."""

    def read(self, _length: int) -> bytes:
        raise ssl.SSLWantReadError


class Wire(httpcore.AsyncNetworkStream):
    def __init__(self, tcp: socket.socket) -> None:
        self.tcp = tcp
        self.did: list[bytes | str] = []

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.did.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.did.append("read")
        return b"answer"

    async def aclose(self) -> None:
        self.did.append("closed")

    def get_extra_info(self, info: str) -> object:
        return self.tcp if info == "socket" else None


@pytest.fixture
def wire() -> Iterator[Wire]:
    ours, theirs = socket.socketpair()
    made = Wire(ours)
    made.peer = theirs
    with ours, theirs:
        yield made


def opened(wire: Wire) -> OpenStream:
    return OpenStream(wire, Nothing())


def test_head_and_body_leave_in_one_piece_once_the_request_has_ended(wire: Wire) -> None:
    async def main() -> None:
        stream = opened(wire)
        await stream.write(b"head ")
        await stream.write(b"body")
        assert wire.did == []
        await stream.write(b"")
        assert wire.did == [b"head body"]
        assert await stream.read(10) == b"answer"
        assert wire.did == [b"head body", "read"]

    asyncio.run(main())


def test_what_is_written_has_left_before_an_answer_is_read(wire: Wire) -> None:
    async def main() -> None:
        stream = opened(wire)
        await stream.write(b"head")
        assert await stream.read(10) == b"answer"
        assert await stream.read(10) == b"answer"

    asyncio.run(main())
    assert wire.did == [b"head", "read", "read"]


def test_a_long_body_waits_for_nothing_and_stays_in_order(wire: Wire) -> None:
    long = b"x" * 100_000

    async def main() -> None:
        stream = opened(wire)
        await stream.write(b"head ")
        await stream.write(long)
        await stream.write(long)
        await stream.write(b"")

    asyncio.run(main())
    assert b"".join(wire.did) == b"head " + long + long


def test_what_was_not_sent_when_it_closed_never_is(wire: Wire) -> None:
    async def main() -> None:
        stream = opened(wire)
        await stream.write(b"head")
        await stream.aclose()
        await stream.write(b"")

    asyncio.run(main())
    assert b"head" not in wire.did


def test_an_idle_connection_with_something_to_read_is_over(wire: Wire) -> None:
    stream = opened(wire)
    assert not stream.get_extra_info("is_readable")
    wire.peer.send(b"unasked")
    assert stream.get_extra_info("is_readable")
    wire.tcp.close()
    assert stream.get_extra_info("is_readable")
