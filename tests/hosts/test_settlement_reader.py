"""The client that finds settlements: events of a real EVM, blobs of honest and of lying aggregators
(attack 24)."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from eth_account import Account
from support.rpc_double import Edit, error, result, rpc_double

from opg_magic.errors import ConfigError, NetworkUnavailable, RpcsDisagree, WrongChain
from opg_magic.models import BatchEvidence
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network import blob_store, relay, relay_log
from opg_magic.network.profiles import OPENGRADIENT, UPTO_PROXY
from opg_magic.network.relay import SettlementReader
from opg_magic.protocol import merkle
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.settlement.blobs import blob_id_of

ADMIN, SENDER, STRANGER = (Secret(bytes([n]) * 32) for n in (0x31, 0x32, 0x33))
SENDER_ADDRESS = Account.from_key(SENDER.reveal()).address


def item(number: int, timestamp: int | None = None) -> merkle.BatchItem:
    word = bytes([number]) * 32
    return merkle.BatchItem(
        word, word[::-1], bytes([number, 1]) * 16, b"sig" + word, timestamp or int(time.time())
    )


class World:
    """A registry chain with its relay, a clock that the test moves, and blobs that the test may
    forge."""

    def __init__(self) -> None:
        self.now = time.time()
        self.chain = Chain(10740, now=lambda: self.now)
        deploy.deploy_registry_chain(self.chain, admin_key=ADMIN)
        for key in (SENDER, STRANGER):
            self.chain.fund(deploy.address_of(key), 10**20)
        self.blobs: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def commit(
        self,
        items: list[merkle.BatchItem],
        *,
        root: bytes | None = None,
        size: int | None = None,
        key: Secret[bytes] = SENDER,
        relay: str = deploy.SETTLEMENT_RELAY,
        blob_id: bytes | None = None,
        blob: bytes | None = None,
    ) -> dict[str, Any]:
        """One batch; what is given is told instead of what is so."""
        blob = merkle.write_dump(items).encode() if blob is None else blob
        named = blob_id_of(blob).encode() if blob_id is None else blob_id
        self.blobs[named.decode("latin-1")] = blob
        contract = deploy.Contract(self.chain, "SettlementRelay", relay)
        true_root = merkle.Tree(i.leaf for i in items).root
        receipt = contract.send(key, "batchSettle", root or true_root, size or len(items), named)
        return {"tx_hash": receipt["transactionHash"].to_0x_hex(), "block": receipt["blockNumber"]}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        blob_id = request.match_info["blob_id"]
        self.fetched.append(blob_id)
        if blob_id not in self.blobs:
            return web.Response(status=404)
        return web.Response(body=self.blobs[blob_id])


@asynccontextmanager
async def aggregator(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/v1/blobs/{blob_id}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


NETWORK = replace(
    OPENGRADIENT,
    settlement_relay=deploy.SETTLEMENT_RELAY,
    settlement_senders=(SENDER_ADDRESS.lower(),),
)


@asynccontextmanager
async def reader(
    world: World,
    *edits: Edit | None,
    blobs: tuple[Callable[[web.Request], Any], ...] | None = None,
    network: Network = NETWORK,
    **options: Any,
) -> AsyncIterator[SettlementReader]:
    async with AsyncExitStack() as stack:
        rpcs = [
            await stack.enter_async_context(rpc_double(world.chain, edit))
            for edit in edits or (None,)
        ]
        stores = [
            await stack.enter_async_context(aggregator(answer))
            for answer in blobs or (world.serve,)
        ]
        made = SettlementReader(
            replace(
                network, registry_rpcs=tuple(r.url for r in rpcs), blob_aggregators=tuple(stores)
            ),
            **options,
        )
        stack.push_async_callback(made.aclose)
        yield made


async def find(
    reader: SettlementReader, wanted: merkle.BatchItem, **bounds: Any
) -> BatchEvidence | None:
    return await reader.find_batch(
        wanted.tee_id,
        wanted.input_hash,
        wanted.output_hash,
        wanted.signature,
        wanted.timestamp,
        **bounds,
    )


def proves(evidence: BatchEvidence, wanted: merkle.BatchItem) -> bool:
    root, leaf, *proof = (
        bytes.fromhex(word[2:]) for word in (evidence.root, evidence.leaf, *evidence.proof)
    )
    return leaf == wanted.leaf and merkle.verify_proof(root, leaf, proof)


@pytest.fixture
def world() -> World:
    return World()


# ------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("size", [1, 2, 3, 20])
async def test_a_batch_is_found_with_the_way_to_its_root(world: World, size: int) -> None:
    items = [item(n) for n in range(1, size + 1)]
    done = world.commit(items)
    async with reader(world) as settlements:
        for wanted in items:
            found = await find(settlements, wanted)
            assert found is not None
            assert proves(found, wanted)
            assert (found.tx_hash, found.block_number) == (done["tx_hash"], done["block"])
            assert (found.relay, found.chain_id, found.sender) == (
                deploy.SETTLEMENT_RELAY,
                10740,
                SENDER_ADDRESS,
            )
            assert (found.batch_size, len(found.rpcs)) == (size, 1)
            assert (
                found.block_hash
                == world.chain.w3.eth.get_block(found.block_number)["hash"].to_0x_hex()
            )
            assert found.block_time.timestamp() == int(world.now)
        assert len(world.fetched) == 1, "a tree that is known is not fetched again"


async def test_hashes_are_taken_as_hex_and_signatures_as_base64(world: World) -> None:
    import base64

    wanted = item(1)
    world.commit([wanted])
    async with reader(world) as settlements:
        found = await settlements.find_batch(
            "0x" + wanted.tee_id.hex(),
            wanted.input_hash.hex(),
            wanted.output_hash.hex().upper(),
            base64.b64encode(wanted.signature).decode(),
            wanted.timestamp,
        )
        assert found is not None
        for wrong in ("0x12", "zz" * 32, b"short"):
            with pytest.raises(ValueError, match=r"32 bytes|hexadecimal"):
                await settlements.find_batch(wrong, bytes(32), bytes(32), b"x", 1)
        with pytest.raises(ValueError, match="base64"):
            await settlements.find_batch(bytes(32), bytes(32), bytes(32), "not base64!", 1)
        with pytest.raises(ValueError, match="timestamp"):
            await settlements.find_batch(bytes(32), bytes(32), bytes(32), b"x", 2**255)


async def test_what_was_not_batched_yet_is_none(world: World) -> None:
    world.commit([item(1), item(2)])
    async with reader(world) as settlements:
        assert await find(settlements, item(3)) is None
        # Another signature is another leaf.
        assert await find(settlements, replace(item(1), signature=b"another")) is None


async def test_a_batch_is_found_among_others_long_before_and_after(world: World) -> None:
    world.commit([item(1, 1)])
    world.now += 5000
    wanted = item(7, int(world.now))
    for number in range(2, 7):
        world.now += 30
        world.commit([item(number)])
    world.now += 30
    done = world.commit([item(9), wanted])
    world.now += 5000
    world.commit([item(10)])
    async with reader(world) as settlements:
        since = datetime.fromtimestamp(wanted.timestamp, UTC)
        found = await find(settlements, wanted, since=since, until=since + timedelta(seconds=900))
        assert found is not None
        assert found.tx_hash == done["tx_hash"]
        # Neither the batch of long before nor that of long after was looked at.
        assert len(world.fetched) == 6
        search = await settlements.search_batch(
            wanted.tee_id,
            wanted.input_hash,
            wanted.output_hash,
            b"none",
            wanted.timestamp,
            until=since,
        )
        assert (search.evidence, search.complete) == (None, True)


async def test_a_search_tells_whether_it_saw_everything_that_was_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit([item(1)])
    later = datetime.fromtimestamp(world.now, UTC) + timedelta(seconds=1000)
    arguments = (bytes(32), bytes(32), bytes(32), b"x", int(world.now))
    async with reader(world) as settlements:
        assert not (await settlements.search_batch(*arguments, until=later)).complete
        assert (await settlements.search_batch(*arguments)).complete
        monkeypatch.setattr(relay_log, "MAX_BLOCKS", 2)
        assert not (await settlements.search_batch(*arguments)).complete


async def test_attack_24_events_of_another_contract_or_another_sender_do_not_count(
    world: World,
) -> None:
    deploy.Contract(world.chain, "SettlementRelay", deploy.FOREIGN_RELAY).place()
    wanted = item(1)
    world.commit([wanted], relay=deploy.FOREIGN_RELAY)
    world.commit([wanted], key=STRANGER)
    async with reader(world) as settlements:
        assert await find(settlements, wanted) is None
        assert world.fetched == [], "no stranger decides what is fetched"
        search = await settlements.search_batch(
            wanted.tee_id, wanted.input_hash, wanted.output_hash, wanted.signature, wanted.timestamp
        )
        assert search.events == 1
        assert deploy.address_of(STRANGER) in search.problems[0]
    async with reader(world, network=replace(NETWORK, settlement_senders=())) as settlements:
        found = await find(settlements, wanted)
        assert found is not None
        assert found.sender == deploy.address_of(STRANGER)


async def test_attack_24_a_root_that_is_not_the_batchs_gives_a_proof_that_does_not_hold(
    world: World,
) -> None:
    wanted = item(1)
    world.commit([wanted, item(2)], root=b"\x77" * 32)
    async with reader(world) as settlements:
        found = await find(settlements, wanted)
        assert found is not None
        assert found.root == "0x" + "77" * 32
        assert not proves(found, wanted)
        # The right one, committed after it, goes before it.
        world.commit([wanted, item(2), item(3)])
        found = await find(settlements, wanted)
        assert found is not None
        assert proves(found, wanted)


async def test_where_no_sender_is_named_a_wrong_root_accuses_nobody(world: World) -> None:
    wanted = item(1)
    world.commit([wanted, item(2)], root=b"\x77" * 32, key=STRANGER)
    async with reader(world, network=replace(NETWORK, settlement_senders=())) as settlements:
        assert await find(settlements, wanted) is None


async def test_a_batch_whose_size_is_told_wrong_is_noted(world: World) -> None:
    wanted = item(1)
    world.commit([wanted, item(2)], size=5)
    async with reader(world) as settlements:
        search = await settlements.search_batch(
            wanted.tee_id, wanted.input_hash, wanted.output_hash, wanted.signature, wanted.timestamp
        )
        assert search.evidence is not None
        assert search.evidence.batch_size == 2
        assert "2 items, not 5" in search.problems[0]


@pytest.mark.parametrize(
    "blob_id",
    [
        b"",
        b"../../../etc/passwd",
        b"http://evil.invalid/v1/blobs/AAAAAAAAAAAAAAAAAA",
        b"A" * 42,
        b"A" * 44,
        b"A" * 42 + b"/",
        b"\xff" * 43,
        b"A" * 42 + b"\n",
        b"A" * 100_000,
    ],
)
async def test_a_blob_id_that_leads_elsewhere_is_not_followed(world: World, blob_id: bytes) -> None:
    wanted = item(1)
    world.commit([wanted], blob_id=blob_id)
    async with reader(world) as settlements:
        assert await find(settlements, wanted) is None
    assert world.fetched == []


# -------------------------------------------------------------------------------------------- blobs


def dump_with(change: Callable[[dict[str, Any]], None]) -> bytes:
    dump = json.loads(merkle.write_dump([item(1), item(2), item(3)]))
    change(dump)
    return json.dumps(dump).encode()


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"not JSON",
        b"[" * 100_000,
        b'{"format":"standard-v1"}',
        dump_with(lambda d: d["tree"].__setitem__(0, "0x" + "00" * 32)),
        dump_with(lambda d: d["values"].pop()),
        dump_with(lambda d: d.update(format="simple-v1")),
        dump_with(lambda d: d["values"][0]["value"].__setitem__(4, -1)),
    ],
)
async def test_a_blob_that_is_no_batch_is_no_evidence(world: World, blob: bytes) -> None:
    wanted = item(1)
    world.commit([item(1), item(2), item(3)], blob=blob)
    async with reader(world) as settlements:
        assert await find(settlements, wanted) is None


async def test_a_lying_aggregator_is_passed_over_where_another_has_the_batch(world: World) -> None:
    wanted = item(1)
    world.commit([wanted, item(2)])

    async def liar(request: web.Request) -> web.Response:
        return web.Response(body=merkle.write_dump([wanted, item(5)]).encode())

    async with reader(world, blobs=(liar, world.serve)) as settlements:
        found = await find(settlements, wanted)
        assert found is not None
        assert proves(found, wanted)


async def test_a_redirect_is_not_followed(world: World) -> None:
    wanted = item(1)
    world.commit([wanted])
    async with aggregator(world.serve) as honest:

        async def elsewhere(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": honest + request.path})

        async with reader(world, blobs=(elsewhere,)) as settlements:
            assert await find(settlements, wanted) is None
    assert world.fetched == []


async def test_a_blob_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_store, "MAX_BLOB_BYTES", 100_000)
    wanted = item(1)
    world.commit([wanted])
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b" " * 10_000)
                sent += 10_000
        except ConnectionError:
            return answer

    async with reader(world, blobs=(endless,)) as settlements:
        search = await settlements.search_batch(
            wanted.tee_id, wanted.input_hash, wanted.output_hash, wanted.signature, wanted.timestamp
        )
    assert search.evidence is None
    assert "longer than 100000 bytes" in search.problems[0]
    assert sent < 20_000_000


async def test_a_compressed_blob_is_not_unpacked(world: World) -> None:
    wanted = item(1)
    world.commit([wanted])

    async def bomb(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=gzip.compress(bytes(10**7)), headers={"Content-Encoding": "gzip"})

    async with reader(world, blobs=(bomb,)) as settlements:
        assert await find(settlements, wanted) is None


async def test_a_slow_aggregator_is_given_up(world: World) -> None:
    import asyncio

    wanted = item(1)
    world.commit([wanted])
    forever = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"{")
        await forever.wait()
        return answer

    async with reader(world, blobs=(slow,), blob_timeout=0.2) as settlements:
        with pytest.raises(NetworkUnavailable, match="did not give the blob"):
            await find(settlements, wanted)
        forever.set()
    async with reader(world, blobs=(slow, world.serve), blob_timeout=2.0) as settlements:
        forever.clear()
        assert await find(settlements, wanted) is not None
        forever.set()


async def test_a_blob_that_is_gone_is_not_the_same_as_an_aggregator_that_is_down(
    world: World,
) -> None:
    wanted = item(1)
    world.commit([wanted])
    world.blobs.clear()

    async def down(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with reader(world) as settlements:
        assert await find(settlements, wanted) is None
    async with reader(world, blobs=(down,)) as settlements:
        with pytest.raises(NetworkUnavailable, match="503"):
            await find(settlements, wanted)


async def test_the_number_of_blobs_of_one_search_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MAX_BLOBS", 3)
    for number in range(1, 7):
        world.commit([item(number)])
    wanted = item(99)
    async with reader(world) as settlements:
        search = await settlements.search_batch(
            wanted.tee_id, wanted.input_hash, wanted.output_hash, wanted.signature, wanted.timestamp
        )
        assert len(world.fetched) == 3
        assert not search.complete
    async with reader(world) as settlements:
        with pytest.raises(NetworkUnavailable, match="not all of 6 batches"):
            await find(settlements, wanted)
        assert await find(settlements, wanted) is None


async def test_attack_24_a_pile_of_others_batches_hides_one_for_a_while_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no sender is named anyone may commit anything: each look goes on behind what the
    earlier ones saw."""
    monkeypatch.setattr(relay, "MAX_BLOBS", 3)
    wanted = item(99)
    for number in range(1, 6):
        world.commit([item(number)], key=STRANGER)
        world.commit(
            [item(number + 100)],
            key=STRANGER,
            blob_id=blob_id_of(bytes([number])).encode(),
            blob=b"junk",
        )
        world.commit([item(number + 50)], key=STRANGER, root=bytes([number]) * 32)
    world.commit([wanted])
    found, looks = None, 0
    async with reader(world, network=replace(NETWORK, settlement_senders=())) as settlements:
        while found is None:
            looks += 1
            assert looks <= 6
            try:
                found = await find(settlements, wanted)
            except NetworkUnavailable as problem:
                assert "looked at" in problem.message
    assert proves(found, wanted)
    assert looks > 1


@pytest.mark.parametrize(
    "url",
    [
        "http://walrus.example",
        "ftp://127.0.0.1/",
        "file:///etc",
        "https://",
        "https://a.example/?x=1",
        "http://127.0.0.1.evil.example",
        "https://[::1",
    ],
)
def test_an_aggregator_that_must_not_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        SettlementReader(replace(NETWORK, blob_aggregators=(url,)))


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1", "http://walrus.localhost:1"],
)
def test_an_aggregator_on_this_machine_is_asked_by_plain_http(url: str) -> None:
    """By whichever of its names: the same rule as that for a proxy."""
    SettlementReader(replace(NETWORK, blob_aggregators=(url,)))


def test_without_a_relay_there_is_nothing_to_read() -> None:
    with pytest.raises(ConfigError, match="no settlement relay"):
        SettlementReader(OPENGRADIENT)


# --------------------------------------------------------------------------------------------- RPCs


async def test_a_wrong_chain_and_a_missing_relay_are_refused(world: World) -> None:
    def other_chain(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, "0x1") if method == "eth_chainId" else answer

    async with reader(world, other_chain) as settlements:
        with pytest.raises(WrongChain, match="serves chain 1"):
            await find(settlements, item(1))
    empty = replace(NETWORK, settlement_relay="0x" + "12" * 20)
    async with reader(world, network=empty) as settlements:
        with pytest.raises(WrongChain, match="no contract"):
            await find(settlements, item(1))


async def test_two_rpcs_that_agree_are_both_named(world: World) -> None:
    wanted = item(1)
    world.commit([wanted])
    async with reader(world, None, None) as settlements:
        found = await find(settlements, wanted)
        assert found is not None
        assert len(set(found.rpcs)) == 2


def hides_events(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    return result(answer, []) if method == "eth_getLogs" else answer


def invents_root(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    if method != "eth_getLogs":
        return answer
    return result(
        answer,
        [{**log, "topics": [log["topics"][0], "0x" + "55" * 32]} for log in answer["result"]],
    )


def invents_sender(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    if method != "eth_getTransactionByHash":
        return answer
    return result(answer, {**answer["result"], "from": "0x" + "99" * 20})


def invents_time(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    if method != "eth_getBlockByNumber" or params[0] == "latest" or int(params[0], 16) == 0:
        return answer
    return result(
        answer, {**answer["result"], "timestamp": hex(int(answer["result"]["timestamp"], 16) + 1)}
    )


@pytest.mark.parametrize("lie", [hides_events, invents_root, invents_sender, invents_time])
async def test_attack_06_an_rpc_that_tells_another_story_is_noticed(
    world: World, lie: Edit
) -> None:
    wanted = item(1)
    world.commit([wanted])
    for edits in ((None, lie), (lie, None)):
        async with reader(world, *edits) as settlements:
            with pytest.raises(RpcsDisagree):
                await find(settlements, wanted)


async def test_a_block_that_is_replaced_meanwhile_is_not_used(world: World) -> None:
    wanted = item(1)
    world.commit([wanted])

    def reorganised(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getLogs":
            return answer
        return result(answer, [{**log, "blockHash": "0x" + "ab" * 32} for log in answer["result"]])

    async with reader(world, reorganised) as settlements:
        with pytest.raises(NetworkUnavailable, match="replaced block"):
            await find(settlements, wanted)


async def test_an_rpc_that_takes_small_ranges_only_is_asked_in_small_ones(world: World) -> None:
    wanted = item(1)
    for _ in range(120):
        world.now += 2
        assert world.chain.block_number
    world.commit([wanted])

    def narrow(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getLogs":
            return answer
        span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16)
        return error(answer, "block range too large") if span >= 50 else answer

    def never(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return error(answer, "no") if method == "eth_getLogs" else answer

    async with reader(world, narrow) as settlements:
        assert await find(settlements, wanted) is not None
    async with reader(world, never) as settlements:
        with pytest.raises(NetworkUnavailable, match="answers with an error"):
            await find(settlements, wanted)


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        [],
        [None],
        [{"topics": "x"}],
        [{"topics": [], "address": "0x" + "00" * 20}],
        [
            {
                "topics": ["0x12"],
                "address": deploy.SETTLEMENT_RELAY,
                "transactionHash": "0x" + "11" * 32,
            }
        ],
    ],
)
async def test_nonsense_instead_of_logs_is_an_rpc_that_does_not_answer(
    world: World, nonsense: Any
) -> None:
    def mad(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, nonsense) if method == "eth_getLogs" else answer

    async with reader(world, mad) as settlements:
        if nonsense == []:
            assert await find(settlements, item(1)) is None
        else:
            with pytest.raises(NetworkUnavailable):
                await find(settlements, item(1))


async def test_no_rpc_at_all_is_said(world: World) -> None:
    async with reader(world, lambda *_: web.Response(status=503)) as settlements:
        with pytest.raises(NetworkUnavailable, match="settlements cannot be looked up"):
            await find(settlements, item(1))


# ------------------------------------------------------------------------------------------- single


async def test_a_single_settlement_is_found_for_exactly_its_answer(world: World) -> None:
    """The event alone is made here; the relay itself, and a host that signs, are in
    ``tests/backends``."""
    wanted = item(4)
    emitter = relay_without_checks(world)
    async with reader(world) as settlements:
        assert await settlements.find_individual(*fields(wanted)) is None
        emitter(wanted, b"A" * 43)
        found = await settlements.find_individual(*fields(wanted))
        assert found is not None
        assert (found.tee_id, found.input_hash) == (
            "0x" + wanted.tee_id.hex(),
            "0x" + wanted.input_hash.hex(),
        )
        assert (found.timestamp, found.blob_id, found.sender) == (
            wanted.timestamp,
            "A" * 43,
            SENDER_ADDRESS,
        )
        assert world.fetched == [], "prompt and answer in plain text are not fetched"
        for other in (
            replace(wanted, signature=b"x"),
            replace(wanted, timestamp=wanted.timestamp + 1),
            replace(wanted, output_hash=bytes(32)),
            replace(wanted, tee_id=bytes(32)),
        ):
            assert await settlements.find_individual(*fields(other)) is None


def fields(wanted: merkle.BatchItem) -> tuple[bytes, bytes, bytes, bytes, int]:
    return wanted.tee_id, wanted.input_hash, wanted.output_hash, wanted.signature, wanted.timestamp


def relay_without_checks(world: World) -> Callable[[merkle.BatchItem, bytes], None]:
    """Lets the relay's place log a single settlement without asking anyone: a few instructions that
    log their input."""
    from eth_abi.abi import encode

    from opg_magic.network.abi import event

    topic = event("settlement_relay", "IndividualSettlement").topic
    # calldata: tee id, eth address, then the event's data.  LOG3(data, topic, tee id, address).
    code = bytes.fromhex(
        "6040360360406000" + "37"  # CALLDATACOPY(0, 0x40, size - 0x40)
        "602035600035" + "7f" + topic[2:] + "604036036000" + "a3" + "00"
    )
    world.chain.put_code(deploy.SETTLEMENT_RELAY, code)

    def emit(wanted: merkle.BatchItem, blob_id: bytes) -> None:
        kinds = ("bytes32", "bytes32", "uint256", "bytes", "bytes")
        data = encode(
            kinds,
            (wanted.input_hash, wanted.output_hash, wanted.timestamp, blob_id, wanted.signature),
        )
        head = wanted.tee_id + bytes(12) + bytes.fromhex(UPTO_PROXY[2:])
        assert world.chain.transact(SENDER, deploy.SETTLEMENT_RELAY, head + data)["status"] == 1

    return emit


# ------------------------------------------------------------------------------- named by a receipt


async def test_a_settlement_that_a_receipt_names_is_asked_for_again(world: World) -> None:
    items = [item(n) for n in range(1, 6)]
    world.commit(items)
    async with reader(world, None, None) as settlements:
        found = await find(settlements, items[0])
        assert found is not None
        fetched = len(world.fetched)
        # What the receipt's author may have made up is put right, and no blob is needed for it.
        told = replace(
            found,
            block_hash="0x" + "00" * 32,
            sender=None,
            relay="0x" + "11" * 20,
            rpcs=("their.rpc",),
        )
        told = replace(
            told,
            block_time=found.block_time - timedelta(days=1),
            batch_size=99,
            chain_id=1,
            blob_id="x",
        )
        assert await settlements.committed(told) == found
        assert len(world.fetched) == fetched


@pytest.mark.parametrize(
    "change",
    [
        {"root": "0x" + "aa" * 32},
        {"tx_hash": "0x" + "aa" * 32},
        {"block_number": 1},
        {"block_number": 10**9},
    ],
)
async def test_attack_24_a_settlement_that_is_not_there(
    world: World, change: dict[str, Any]
) -> None:
    wanted = item(1)
    world.commit([wanted, item(2)])
    async with reader(world) as settlements:
        found = await find(settlements, wanted)
        assert found is not None
        told: BatchEvidence = replace(found, **change)
        again = await settlements.committed(told)
        assert again.committed is False and replace(again, committed=True, rpcs=told.rpcs) == told


def any_batch() -> BatchEvidence:
    word, now = "0x" + "bb" * 32, datetime.fromtimestamp(time.time(), UTC)
    return BatchEvidence(
        word, word, (), word, 1, word, now, deploy.SETTLEMENT_RELAY, 10740, "b", 1, None
    )


async def test_attack_24_who_committed_a_named_batch_is_asked_of_the_chain(world: World) -> None:
    wanted = item(1)
    done = world.commit([wanted], key=STRANGER)
    told = replace(
        any_batch(),
        root="0x" + wanted.leaf.hex(),
        leaf="0x" + wanted.leaf.hex(),
        tx_hash=done["tx_hash"],
        block_number=done["block"],
        sender=SENDER_ADDRESS,
    )
    async with reader(world) as settlements:
        again = await settlements.committed(told)
    assert again.committed and again.sender == Account.from_key(STRANGER.reveal()).address


async def test_a_single_settlement_that_a_receipt_names(world: World) -> None:
    emitter = relay_without_checks(world)
    wanted = item(1)
    emitter(wanted, b"A" * 43)
    async with reader(world) as settlements:
        found = await settlements.find_individual(*fields(wanted))
        assert found is not None
        assert await settlements.committed(replace(found, sender=None, blob_id="")) == found
        for change in (
            {"timestamp": 1},
            {"output_hash": "0x" + "00" * 32},
            {"tee_id": "0x" + "00" * 32},
        ):
            assert (await settlements.committed(replace(found, **change))).committed is False


async def test_a_named_settlement_on_the_wrong_chain_or_with_rpcs_that_disagree(
    world: World,
) -> None:
    wanted = item(1)
    world.commit([wanted])

    def hiding(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, []) if method == "eth_getLogs" else answer

    def foreign(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, "0x1") if method == "eth_chainId" else answer

    async with reader(world) as settlements:
        found = await find(settlements, wanted)
    assert found is not None
    async with reader(world, None, hiding) as settlements:
        with pytest.raises(RpcsDisagree):
            await settlements.committed(found)
    async with reader(world, foreign) as other:
        with pytest.raises(WrongChain):
            await other.committed(found)
