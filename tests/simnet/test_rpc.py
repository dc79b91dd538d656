"""A chain's JSON-RPC over HTTP, used as clients use it: with web3.py, sync and async, and with
plain requests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import ContractCustomError, TransactionNotFound

from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPG_ADDRESS, PERMIT2
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.chain.server import MAX_BATCH, MAX_REQUEST_BYTES, RpcServer
from opg_magic.simnet.contracts import deploy

ADMIN = Secret(b"\x21" * 32)
PAYER = Secret(b"\x22" * 32)
FACILITATOR = deploy.address_of(Secret(b"\x23" * 32))
TOKEN_ABI = deploy.artifacts()["contracts"]["OPGToken"]["abi"]


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    chain = Chain(8453)
    deploy.deploy_payment_chain(
        chain, admin_key=ADMIN, payer_key=PAYER, payer_grant=10**20, facilitator=FACILITATOR
    )
    made = RpcServer(chain)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def w3(server: RpcServer) -> AsyncIterator[AsyncWeb3[Any]]:
    made = AsyncWeb3(AsyncHTTPProvider(server.url))
    yield made
    await made.provider.disconnect()


async def post(server: RpcServer, body: Any, **options: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | options.pop("headers", {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(str(server.url), data=data, headers=headers, **options) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(
            text
        ) if answer.content_type == "application/json" else text


async def test_async_web3_reads_one_pinned_block(server: RpcServer, w3: AsyncWeb3[Any]) -> None:
    assert await w3.eth.chain_id == 8453
    token = w3.eth.contract(address=OPG_ADDRESS, abi=TOKEN_ABI)
    payer = deploy.address_of(PAYER)
    block = await w3.eth.get_block("latest")
    await asyncio.to_thread(deploy.opg(server.chain).send, PAYER, "transfer", FACILITATOR, 10**19)
    assert await token.functions.balanceOf(payer).call(block_identifier=block["number"]) == 10**20
    assert await token.functions.balanceOf(payer).call(block_identifier=block["hash"]) == 10**20
    assert await token.functions.balanceOf(payer).call() == 9 * 10**19
    assert (await w3.eth.get_block(block["number"]))["hash"] == block["hash"]
    assert len(await w3.eth.get_code(PERMIT2, block["number"])) > 1000
    assert await w3.eth.get_balance(payer) > 0


async def test_async_web3_builds_signs_sends_and_finds(w3: AsyncWeb3[Any]) -> None:
    token = w3.eth.contract(address=OPG_ADDRESS, abi=TOKEN_ABI)
    payer = deploy.address_of(PAYER)
    transaction = await token.functions.approve(PERMIT2, 5).build_transaction(
        {"from": payer, "nonce": await w3.eth.get_transaction_count(payer)}
    )
    assert {"gas", "maxFeePerGas", "maxPriorityFeePerGas", "chainId"} <= set(transaction)
    raw = Account.sign_transaction(transaction, PAYER.reveal()).raw_transaction
    identity = await w3.eth.send_raw_transaction(raw)
    receipt = await w3.eth.wait_for_transaction_receipt(identity)
    assert receipt["status"] == 1
    assert await token.functions.allowance(payer, PERMIT2).call() == 5
    found = await w3.eth.get_transaction(identity)
    assert (found["from"], found["blockHash"]) == (payer, receipt["blockHash"])
    assert found["input"].to_0x_hex() == transaction["data"]
    assert token.decode_function_input(found["input"])[1] == {"spender": PERMIT2, "value": 5}
    (event,) = token.events.Approval().process_receipt(receipt)
    assert event["args"]["value"] == 5
    with pytest.raises(TransactionNotFound):
        await w3.eth.get_transaction_receipt(b"\0" * 32)


async def test_async_web3_filters_logs_by_topic_and_range(
    server: RpcServer, w3: AsyncWeb3[Any]
) -> None:
    token = w3.eth.contract(address=OPG_ADDRESS, abi=TOKEN_ABI)
    payer = deploy.address_of(PAYER)
    first = await w3.eth.block_number
    for amount in (3, 4):
        await asyncio.to_thread(
            deploy.opg(server.chain).send, PAYER, "transfer", FACILITATOR, amount
        )
    last = await w3.eth.block_number
    mine = await token.events.Transfer.get_logs(from_block=0, argument_filters={"from": payer})
    assert [event["args"]["value"] for event in mine] == [3, 4]
    one = await token.events.Transfer.get_logs(from_block=first + 1, to_block=first + 1)
    assert [event["args"]["value"] for event in one] == [3]
    assert await token.events.Transfer.get_logs(from_block=last + 1, to_block=last + 50) == []
    none = await token.events.Transfer.get_logs(
        from_block=0, argument_filters={"from": FACILITATOR}
    )
    assert none == []


async def test_async_web3_shows_custom_errors(w3: AsyncWeb3[Any]) -> None:
    token = w3.eth.contract(address=OPG_ADDRESS, abi=TOKEN_ABI)
    with pytest.raises(ContractCustomError):
        await token.functions.mint(FACILITATOR, 1).call({"from": FACILITATOR})


async def test_async_web3_batches(w3: AsyncWeb3[Any]) -> None:
    async with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        batch.add(w3.eth.get_code(PERMIT2))
        block, code = await batch.async_execute()
    assert block["number"] > 0
    assert len(code) > 1000


async def test_sync_web3_works_too(server: RpcServer) -> None:
    def use() -> tuple[int, int, str]:
        w3 = Web3(HTTPProvider(server.url))
        token = w3.eth.contract(address=OPG_ADDRESS, abi=TOKEN_ABI)
        return (
            w3.eth.chain_id,
            token.functions.balanceOf(deploy.address_of(PAYER)).call(),
            w3.net.version,
        )

    assert await asyncio.to_thread(use) == (8453, 10**20, "8453")


async def test_a_batch_over_http_keeps_its_order(server: RpcServer) -> None:
    methods = ["eth_chainId", "eth_gasPrice", "eth_nothing"]
    status, answers = await post(server, [{"id": i, "method": m} for i, m in enumerate(methods)])
    assert status == 200
    assert [a["id"] for a in answers] == [0, 1, 2]
    assert answers[0]["result"] == "0x2105"
    assert answers[2]["error"]["code"] == -32601


async def test_bad_requests_are_refused_and_the_server_lives(server: RpcServer) -> None:
    status, answer = await post(server, b"{")
    assert (status, answer["error"]["code"]) == (200, -32700)
    assert (await post(server, b"[" * 100_000))[1]["error"]["code"] == -32700
    assert (await post(server, b"\xff"))[1]["error"]["code"] == -32700
    assert (await post(server, {"method": "eth_chainId"}))[0] == 204
    assert (await post(server, [{"id": 1, "method": "eth_chainId"}] * (MAX_BATCH + 1)))[0] == 413
    assert (await post(server, b" " * (MAX_REQUEST_BYTES + 1)))[0] == 413
    assert (await post(server, {"id": 1, "method": "eth_chainId"}))[1]["result"] == "0x2105"


async def test_a_web_page_cannot_reach_it(server: RpcServer) -> None:
    """A form or fetch without preflight cannot send JSON; a rebound name is not the server's."""
    request = {"id": 1, "method": "eth_chainId"}
    assert (await post(server, request, headers={"Content-Type": "text/plain"}))[0] == 415
    assert (await post(server, request, headers={"Host": "evil.example"}))[0] == 403
    assert (await post(server, request, headers={"Host": "localhost"}))[0] == 200


async def test_it_listens_on_loopback_only_and_lets_the_port_go(server: RpcServer) -> None:
    assert server.url is not None
    assert server.url.startswith("http://127.0.0.1:")
    port = int(server.url.rsplit(":", 1)[1])
    await server.stop()
    await server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert await server.start(port) == f"http://127.0.0.1:{port}"


async def test_the_event_loop_is_free_while_the_chain_works(
    server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    handle = server.chain.handle

    def slow(request: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return handle(request)

    monkeypatch.setattr(server.chain, "handle", slow)
    running = asyncio.create_task(post(server, {"id": 1, "method": "eth_chainId"}))
    await asyncio.to_thread(begun.wait, 30)
    assert not running.done()  # and yet this line runs
    go_on.set()
    assert (await running)[1]["result"] == "0x2105"


async def test_head_and_body_leave_in_one_piece(server: RpcServer) -> None:
    """A small answer split over two packets waits for the peer's delayed acknowledgement."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(str(server.url).rsplit(":", 1)[1])
    )
    body = b'{"id":1,"method":"eth_chainId"}'
    head = (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n"
    )
    writer.write((head % len(body)).encode() + body)
    piece = await reader.read(65536)
    writer.close()
    await writer.wait_closed()
    assert piece.endswith(b'{"jsonrpc":"2.0","id":1,"result":"0x2105"}')
