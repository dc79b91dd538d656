"""What the simulated network puts on record of its answers: batches, single settlements, blobs, and
lies about them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.simnet import RunningSimnet, chat, client

from opg_magic.network import profiles, simnet_client
from opg_magic.network.profiles import UPTO_PROXY
from opg_magic.protocol import merkle
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.settlement.blobs import BlobStore
from opg_magic.simnet.settlement.relay import UNSIGNED, Batch, BatchLimits, Settler

#: Collected until someone asks: these tests flush by themselves.
PATIENT = BatchLimits(size=1000, idle=3600.0, age=3600.0)


@pytest.fixture(autouse=True)
def patient(honest_simnet: RunningSimnet) -> Iterator[None]:
    """Nothing is committed on its own, and nothing is left of what another test collected."""
    settler = honest_simnet.net.settler
    before = settler.limits
    settler.limits = BatchLimits(PATIENT.size, PATIENT.idle, PATIENT.age)
    honest_simnet.run(settler.flush())
    yield
    honest_simnet.run(settler.flush())
    settler.limits = before


async def ask(
    simnet: RunningSimnet, kind: str | None, *, cheat: str = "off", **more: Any
) -> httpx.Response:
    simnet.cheat("anna", cheat)
    async with client(simnet) as anna:
        if kind is None:
            del anna.headers["X-SETTLEMENT-TYPE"]
        else:
            anna.headers["X-SETTLEMENT-TYPE"] = kind
        return await anna.pay(chat("Is 561 prime?", **more))


def item_of(answer: httpx.Response) -> merkle.BatchItem:
    """What a client knows of an answer: enough to know its leaf."""
    import base64

    if "data: [DONE]" in answer.text:
        signed = json.loads(re.findall(r"^data: (\{.*)$", answer.text, re.MULTILINE)[-1])
    else:
        signed = answer.json()
    return merkle.BatchItem(
        bytes.fromhex(signed["tee_id"][2:]),
        bytes.fromhex(signed["tee_request_hash"]),
        bytes.fromhex(signed["tee_output_hash"]),
        base64.b64decode(signed["tee_signature"]),
        signed["tee_timestamp"],
    )


def events(simnet: RunningSimnet, tx_hash: str) -> list[dict[str, Any]]:
    answer = simnet.net.registry_chain.handle(
        {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [tx_hash]}
    )
    logs: list[dict[str, Any]] = answer["result"]["logs"]
    return logs


# ------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize(
    ("kind", "collected"), [("batch", 1), (None, 1), ("whatever", 1), ("private", 0)]
)
async def test_an_answer_is_collected_unless_its_caller_says_private(
    honest_simnet: RunningSimnet, kind: str | None, collected: int
) -> None:
    answer = await ask(honest_simnet, kind)
    assert answer.status_code == 200
    assert not any(name.lower().startswith("x-settlement") for name in answer.headers)
    assert honest_simnet.net.settler.waiting == collected


@pytest.mark.parametrize("stream", [True, False])
async def test_a_batch_holds_the_answers_leaf_under_the_root_that_the_relay_logs(
    honest_simnet: RunningSimnet, stream: bool
) -> None:
    answers = [await ask(honest_simnet, "batch", stream=stream) for _ in range(3)]
    (batch,) = honest_simnet.run(honest_simnet.net.settle_batch())
    assert batch.relay == deploy.SETTLEMENT_RELAY
    blob = honest_simnet.net.blobs.get(batch.blob_id)
    assert blob is not None
    dump = merkle.read_dump(blob)
    assert set(dump.items) == {item_of(answer) for answer in answers}
    (log,) = events(honest_simnet, batch.tx_hash)
    assert log["address"] == deploy.SETTLEMENT_RELAY.lower()
    assert log["topics"][1] == batch.root == "0x" + dump.root.hex()
    assert batch.blob_id.encode().hex() in log["data"]
    assert int(log["data"][2:66], 16) == batch.size == 3


async def test_an_unsigned_answer_is_recorded_with_a_placeholder(
    honest_simnet: RunningSimnet,
) -> None:
    await ask(honest_simnet, "batch", cheat="unsigned-stream", stream=True)
    (batch,) = honest_simnet.run(honest_simnet.net.settle_batch())
    (item,) = merkle.read_dump(honest_simnet.net.blobs.get(batch.blob_id) or b"").items
    assert item.signature == UNSIGNED


async def test_what_was_not_charged_is_not_put_on_record(honest_simnet: RunningSimnet) -> None:
    for cheat in ("http-500", "error-mid-stream"):
        await ask(honest_simnet, "batch", cheat=cheat, stream=True)
    assert honest_simnet.net.settler.waiting == 0
    assert honest_simnet.run(honest_simnet.net.settle_batch()) == []


async def test_anyone_may_commit_a_batch_as_on_the_real_relay(honest_simnet: RunningSimnet) -> None:
    chain = honest_simnet.net.registry_chain
    receipt = deploy.settlement_relay(chain).send(
        honest_simnet.net.keys.admin, "batchSettle", bytes(32), 7, b"not even a blob"
    )
    assert receipt["status"] == 1


@pytest.mark.parametrize("limit", ["size", "idle", "age"])
async def test_a_batch_is_committed_when_a_limit_is_reached(
    honest_simnet: RunningSimnet, limit: str
) -> None:
    limits = {
        "size": BatchLimits(size=2, idle=3600, age=3600),
        "idle": BatchLimits(size=100, idle=0.01, age=3600),
        "age": BatchLimits(size=100, idle=3600, age=0.01),
    }[limit]
    net = honest_simnet.net
    key = net.keys.owners["bruno"]
    done: list[Batch] = []

    async def collect() -> list[Batch]:
        committed = asyncio.Event()

        def on_batch(batch: Batch) -> None:
            done.append(batch)
            committed.set()

        settler = Settler(net.registry_chain, key, BlobStore(), limits=limits, on_batch=on_batch)
        for number in range(2):
            settler.add(merkle.BatchItem(bytes([number]) * 32, bytes(32), bytes(32), b"x", 1))
        await asyncio.wait_for(committed.wait(), 30)
        await settler.close()
        return done

    (batch,) = honest_simnet.run(collect())
    assert batch.size == 2


async def test_limits_are_set_and_a_batch_asked_for_through_the_control_address(
    honest_simnet: RunningSimnet,
) -> None:
    state = honest_simnet.net.state
    loop = asyncio.get_running_loop()

    def control(body: dict[str, Any] | None = None) -> Any:
        return loop.run_in_executor(
            None, simnet_client.control, state, "POST", "/settle_batch", body
        )

    set_to = await control({"size": 5, "idle_seconds": 60, "age_seconds": 90})
    assert set_to == {"limits": {"size": 5, "idle": 60.0, "age": 90.0}}
    await ask(honest_simnet, "batch")
    assert honest_simnet.net.status()["batch"] == {
        "size": 5,
        "idle": 60.0,
        "age": 90.0,
        "waiting": 1,
    }
    (batch,) = (await control())["batches"]
    assert batch["size"] == 1
    assert honest_simnet.net.status()["batch"]["waiting"] == 0


def test_the_state_names_relay_sender_and_blob_store(simnet: RunningSimnet) -> None:
    state, network = simnet.net.state, simnet.network
    assert network.settlement_relay == state["settlement_relay"] == deploy.SETTLEMENT_RELAY
    assert network.settlement_senders == (state["settlement_sender"],)
    assert network.blob_aggregators == (state["blob_store"],)
    assert state["settlement_sender"] not in {state["facilitator"], state["payer"]}
    assert profiles.of_state(state) == network


# ------------------------------------------------------------------------------------------- single


@pytest.mark.parametrize("word", ["individual", "Individual", "never heard of", None])
@pytest.mark.parametrize("stream", [False, True])
async def test_attack_42_a_word_that_is_not_known_means_a_batch_and_publishes_no_text(
    honest_simnet: RunningSimnet, word: str | None, stream: bool
) -> None:
    net = honest_simnet.net
    answer = await ask(honest_simnet, word, stream=stream)
    assert not any(name.lower().startswith("x-settlement") for name in answer.headers)
    assert net.settler.waiting == 1
    assert not any(b"Is 561 prime?" in content for content, _ in net.blobs._blobs.values())
    honest_simnet.settle_batch()


async def test_the_relay_refuses_times_beyond_the_chains_bounds(
    honest_simnet: RunningSimnet,
) -> None:
    net = honest_simnet.net
    relay, anna = deploy.settlement_relay(net.registry_chain), honest_simnet.host("anna")
    from opg_magic.protocol import canonical
    from opg_magic.simnet.chain.errors import Reverted

    def settle(shift: int) -> int:
        at = net.registry_chain.time + shift
        signature = anna.signer.sign(canonical.signed_digest(bytes(32), bytes(32), at))
        tee_id = bytes.fromhex(anna.tee_id[2:])
        arguments = (tee_id, bytes(32), bytes(32), at, UPTO_PROXY, b"blob", signature)
        return int(relay.send(net.keys.settler, "settleIndividual", *arguments)["status"])

    # A few seconds from either bound: the chain's clock goes on meanwhile.
    assert settle(-3590) == settle(300) == 1
    for shift in (-3605, 320):
        with pytest.raises(Reverted, match="TimestampOutOfBounds"):
            settle(shift)


# ------------------------------------------------------------------------------------------- cheats


async def test_attack_24_lies_about_batches_are_on_the_chain(honest_simnet: RunningSimnet) -> None:
    net = honest_simnet.net
    made: dict[str, tuple[Batch, bytes]] = {}
    for mode in (
        "batch-omit-leaf",
        "batch-wrong-root",
        "batch-foreign-relay",
        "batch-other-sender",
    ):
        answer = await ask(honest_simnet, "batch", cheat=mode)
        (batch,) = honest_simnet.run(net.settle_batch())
        made[mode] = (batch, item_of(answer).leaf)
    dumps = {
        mode: merkle.read_dump(net.blobs.get(batch.blob_id) or b"")
        for mode, (batch, _) in made.items()
    }
    holds = {
        mode: made[mode][1] in {item.leaf for item in dump.items} for mode, dump in dumps.items()
    }
    rooted = {mode: "0x" + dump.root.hex() == made[mode][0].root for mode, dump in dumps.items()}
    assert [mode for mode, there in holds.items() if not there] == ["batch-omit-leaf"]
    assert [mode for mode, same in rooted.items() if not same] == ["batch-wrong-root"]
    assert [m for m, (b, _) in made.items() if b.relay != deploy.SETTLEMENT_RELAY] == [
        "batch-foreign-relay"
    ]
    assert [m for m, (b, _) in made.items() if b.sender != net.settler.address] == [
        "batch-other-sender"
    ]
    for batch, _ in made.values():
        (log,) = events(honest_simnet, batch.tx_hash)
        assert log["address"] == batch.relay.lower()


async def test_never_settle_puts_nothing_on_any_chain(honest_simnet: RunningSimnet) -> None:
    net = honest_simnet.net
    payee = honest_simnet.host("anna").payment_address
    honest_simnet.settle_now()
    before = honest_simnet.balance(payee)
    await ask(honest_simnet, "batch", cheat="never-settle")
    assert net.settler.waiting == 0
    assert honest_simnet.settle_now() == []
    assert honest_simnet.balance(payee) == before


async def test_attack_23_settle_too_much_takes_more_than_was_used_and_no_more_than_was_signed(
    honest_simnet: RunningSimnet,
) -> None:
    payee = honest_simnet.host("anna").payment_address

    async def taken(cheat: str) -> int:
        honest_simnet.settle_now()
        before = honest_simnet.balance(payee)
        await ask(honest_simnet, "private", cheat=cheat)
        honest_simnet.settle_now()
        return honest_simnet.balance(payee) - before

    honest, greedy = await taken("off"), await taken("settle-too-much")
    assert 0 < honest < greedy == min(10 * honest, 10**17)


async def test_attack_23_settle_other_payee_pays_a_stranger_and_leaves_the_proxy_as_it_was(
    honest_simnet: RunningSimnet,
) -> None:
    from opg_magic.simnet.cheats.payment import STRANGER

    payee = honest_simnet.host("anna").payment_address
    honest_simnet.settle_now()
    before = honest_simnet.balance(STRANGER), honest_simnet.balance(payee)
    await ask(honest_simnet, "private", cheat="settle-other-payee")
    assert len(honest_simnet.settle_now()) == 1
    assert honest_simnet.balance(STRANGER) > before[0]
    assert honest_simnet.balance(payee) == before[1]
    code = honest_simnet.net.payment_chain.w3.eth.get_code(
        deploy.upto_proxy(honest_simnet.net.payment_chain).address
    )
    assert (
        code.to_0x_hex()
        == deploy.artifacts()["contracts"]["X402UptoPermit2Proxy"]["runtimeBytecode"]
    )


async def test_attack_23_double_nonce_charges_one_call_to_two_authorisations(
    honest_simnet: RunningSimnet,
) -> None:
    payee = honest_simnet.host("anna").payment_address
    honest_simnet.settle_now()
    before = honest_simnet.balance(payee)
    honest_simnet.cheat("anna", "double-nonce")
    async with client(honest_simnet) as anna:
        for _ in range(2):
            assert (await anna.pay(chat("Is 561 prime?"))).status_code == 200
        assert (await anna.ask(chat("Is 561 prime?"))).status_code == 402
    assert len(honest_simnet.settle_now()) == 2
    # The same question costs the same twice: three charges for two calls.
    assert (honest_simnet.balance(payee) - before) % 3 == 0
    assert honest_simnet.balance(payee) > before


# -------------------------------------------------------------------------------------------- blobs


async def test_the_blob_store_has_walrus_two_routes(honest_simnet: RunningSimnet) -> None:
    url = honest_simnet.net.blobs.url or ""
    async with httpx.AsyncClient(base_url=url) as http:
        stored = (await http.put("/v1/blobs", params={"epochs": 3}, content=b"some blob")).json()
        blob_id = stored["newlyCreated"]["blobObject"]["blobId"]
        assert re.fullmatch("[A-Za-z0-9_-]{43}", blob_id)
        again = (await http.put("/v1/blobs", params={"epochs": 5}, content=b"some blob")).json()
        assert again["alreadyCertified"]["blobId"] == blob_id
        got = await http.get(f"/v1/blobs/{blob_id}")
        assert (got.status_code, got.content) == (200, b"some blob")
        assert (await http.get("/v1/blobs/" + "A" * 43)).status_code == 404
        for epochs in ("0", "-1", "x", "54", "1e3"):
            assert (
                await http.put("/v1/blobs", params={"epochs": epochs}, content=b"x")
            ).status_code == 400
        foreign = await http.get(f"/v1/blobs/{blob_id}", headers={"Host": "walrus.example"})
        assert foreign.status_code == 403


def test_blobs_last_for_their_epochs() -> None:
    store = BlobStore()
    short, long = store.put(b"short", 1), store.put(b"long", 10)
    assert store.get(short) == b"short"
    store.advance(1)
    assert store.get(short) is None
    assert store.get(long) == b"long"
    store.advance(9)
    assert store.get(long) is None
