"""RPCs and blob aggregators may close a kept connection in the moment in which it is used: what
only reads is asked once more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.tls_host import reply

from opg_magic.errors import NetworkUnavailable
from opg_magic.network.blob_store import BlobStore
from opg_magic.network.rpc import Rpc

ANSWER = json.dumps({"jsonrpc": "2.0", "id": 0, "result": "0x1"}).encode()


class Forgetful:
    """Answers the first request of each connection, and closes it at the second."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for turn in (1, 2):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
            self.asked.append(head + await reader.readexactly(int(length or b"0")))
            if turn == 1:
                writer.write(self.answer)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def forgetful(answer: bytes) -> AsyncIterator[Forgetful]:
    served = Forgetful(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


async def test_an_rpc_is_asked_once_more_but_a_transaction_never_sent_twice() -> None:
    async with forgetful(reply("200 OK", ANSWER, "Content-Type: application/json")) as server:
        rpc = Rpc(f"http://127.0.0.1:{server.port}", timeout=20)
        assert [await rpc.chain_id() for _ in range(3)] == [1, 1, 1]
        assert len(server.asked) == 5
        with pytest.raises(NetworkUnavailable, match="ServerDisconnected"):
            await rpc.call("eth_sendRawTransaction", ["0x00"])
        assert sum(b"eth_sendRawTransaction" in asked for asked in server.asked) == 1
        await rpc.aclose()


async def test_an_rpc_that_always_closes_is_asked_twice_and_no_more() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    asked: list[bytes] = []
    server = await asyncio.start_server(closes, "127.0.0.1", 0)
    rpc = Rpc(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=20)
    with pytest.raises(NetworkUnavailable, match="unreachable"):
        await rpc.chain_id()
    assert len(asked) == 2
    await rpc.aclose()
    server.close()


async def test_a_blob_aggregator_is_asked_once_more() -> None:
    async with forgetful(reply("200 OK", b"a blob")) as server:
        base = f"http://127.0.0.1:{server.port}"
        store = BlobStore([base], timeout=20, proxy=None)
        assert [await store._blob(base, "b" * 43) for _ in range(3)] == [b"a blob"] * 3
        assert len(server.asked) == 5
        await store.aclose()
