"""A relay ends kept connections whenever it likes: the next request goes out on a new one, and one
that may have arrived is never written twice."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.signing import sealed_call
from support.tls_host import Request, TlsHost, closing_host, identity, reply, tls_host

from opg_magic.models.secret import Secret
from opg_magic.network.exchange import RawExchange, RelayUnavailable
from opg_magic.network.ohttp_relay import RelayClient
from opg_magic.protocol import ohttp

#: Outside the seal, as a relay's own errors are.  The exchange is complete all the same.
SAID = reply("200 OK", b"{}", "Content-Type: application/json")
BODY = b'{"model": "gpt-5"}'


@pytest.fixture
def relay_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    mine = identity(ca=True)
    mine.context(tmp_path)
    pem = tmp_path / f"{mine.certificate.serial_number}.pem"
    monkeypatch.setattr("certifi.where", lambda: str(pem))
    return mine


@pytest.fixture
async def clients() -> AsyncIterator[list[RelayClient]]:
    made: list[RelayClient] = []
    yield made
    for client in made:
        await client.aclose()


def client_of(server: TlsHost, clients: list[RelayClient]) -> RelayClient:
    clients.append(RelayClient(f"https://127.0.0.1:{server.port}"))
    return clients[-1]


async def send(client: RelayClient) -> RawExchange:
    host = sealed_call().host
    assert host is not None
    return await client.send(
        host,
        BODY,
        token=Secret("a-token-of-a-relay"),
        stream=False,
        kind="chat",
        on_text=None,
        timeout=20,
    )


def sealed_as(wire: bytes) -> Any:
    seal = ohttp.seal_request
    return lambda key, body: replace(seal(key, body), wire=wire)


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()


@pytest.mark.parametrize("end", [asyncio.StreamWriter.close, _reset])
async def test_a_connection_that_ended_while_idle(end, relay_identity, clients, tmp_path) -> None:
    closing: list[asyncio.StreamWriter] = []

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SAID)
        closing.append(writer)

    async with tls_host(relay_identity, answer, tmp_path) as server:
        client = client_of(server, clients)
        for made in (1, 2, 3):
            assert (await send(client)).status == 200
            assert server.connections == made == len(server.requests)
            end(closing[-1])
            for _ in range(20):  # until the end has left: it need not go far
                await asyncio.sleep(0)


async def test_tls_that_ended_in_the_packet_of_the_answer(
    relay_identity, clients, tmp_path, monkeypatch
) -> None:
    """TCP stays open and silent: only TLS knows that the connection is over."""
    monkeypatch.setattr(ohttp, "seal_request", sealed_as(b"sealed"))
    async with closing_host(relay_identity, tmp_path, {b"POS": SAID}, b"sealed") as server:
        client = client_of(server, clients)
        for made in (1, 2, 3):
            assert (await send(client)).status == 200
            assert server.connections == made


async def test_a_connection_that_is_still_open_is_kept(relay_identity, clients, tmp_path) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SAID)

    async with tls_host(relay_identity, answer, tmp_path) as server:
        client = client_of(server, clients)
        for asked in (1, 2, 3):
            assert (await send(client)).status == 200
            assert len(server.requests) == asked
        assert server.connections == 1


async def test_what_may_have_arrived_is_not_sent_again(relay_identity, clients, tmp_path) -> None:
    """The relay ends a kept connection in the moment in which it is used: it may have carried the
    request, and have paid for it."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            raise ConnectionError
        writer.write(SAID)

    async with tls_host(relay_identity, answer, tmp_path) as server:
        client = client_of(server, clients)
        await send(client)
        broken = await send(client)
        assert broken.header_sent and broken.status is None
        assert broken.response.problem is not None
        assert broken.response.problem.code == "truncated"
        assert (len(server.requests), server.connections) == (2, 1)
        assert (await send(client)).status == 200


async def test_a_relay_with_a_certificate_of_nobody_gets_nothing(clients, tmp_path) -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(SAID)

    async with tls_host(identity(), answer, tmp_path) as server:
        with pytest.raises(RelayUnavailable, match="Nothing was sent"):
            await send(client_of(server, clients))
        assert bytes(server.received) == b""
