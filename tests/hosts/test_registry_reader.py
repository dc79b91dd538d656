"""The registry as read over RPC: the chain first, one block, agreeing RPCs (attacks 4 to 8)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from eth_abi.abi import encode
from eth_utils import keccak
from support.rpc_double import Edit, error, result, rpc_double
from support.tls_host import identity

from opg_magic.errors import (
    ConfigError,
    HostUnavailable,
    NetworkUnavailable,
    RpcsDisagree,
    WrongChain,
)
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network import abi
from opg_magic.network.host_order import order_hosts
from opg_magic.network.profiles import OPENGRADIENT, REGISTRY_ADDRESS
from opg_magic.network.registry import RegistryReader, RegistrySnapshot
from opg_magic.network.rpc import Rpc
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.contracts.deploy import RegistryAdmin, deploy_registry_chain
from opg_magic.simnet.host.nitro import Authority

ADMIN = Secret(b"\x11" * 32)
OWNERS = [Secret(bytes([0x21 + i]) * 32) for i in range(3)]
PAYEE = "0x9deEBB5D1b22e4a6e027977CeAd13893A7E4cC1a"
PCRS = {0: b"\x01" * 48, 1: b"\x02" * 48, 2: b"\x03" * 48}
PCR_HASH = "0x" + keccak(b"".join(PCRS.values())).hex()


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@cache
def authority() -> Authority:
    return Authority.create()


@cache
def signing_key(number: int) -> bytes:
    return (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@cache
def certificate(number: int) -> bytes:
    return identity().der


class World:
    """A registry chain with some hosts on it, and a clock that the test moves."""

    def __init__(self, hosts: int = 2) -> None:
        self.clock = Clock()
        self.chain = Chain(10740, now=self.clock, attestation_roots={authority().root_sha256})
        self.admin: RegistryAdmin = deploy_registry_chain(self.chain, admin_key=ADMIN)
        self.admin.approve_pcr(PCR_HASH, "v1.2")
        self.tee_ids = [self.register(number) for number in range(hosts)]

    def register(self, number: int) -> str:
        document = authority().document(
            pcrs=PCRS,
            timestamp_ms=int(self.clock.now * 1000),
            signing_key_der=signing_key(number),
            tls_certificate_der=certificate(number),
        )
        endpoint = f"https://host{number}.example"
        return self.admin.register(
            OWNERS[number], PAYEE, endpoint, signing_key(number), certificate(number), document
        )


@pytest.fixture
def world() -> Iterator[World]:
    yield World()


class Readers:
    """A reader over doubles of one chain, one for each edit given."""

    def __init__(self, chain: Chain, *edits: Edit | None, timeout: float = 10) -> None:
        self._chain, self._edits, self._timeout = chain, edits, timeout
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> RegistryReader:
        self.doubles = [
            await self._stack.enter_async_context(rpc_double(self._chain, e)) for e in self._edits
        ]
        reader = RegistryReader(network(*(d.url for d in self.doubles)), timeout=self._timeout)
        self._stack.push_async_callback(reader.aclose)
        return reader

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()


def network(*urls: str) -> Network:
    return replace(OPENGRADIENT, registry_rpcs=urls)


def honest(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    return answer


async def test_a_snapshot_lists_the_active_hosts_with_everything(world: World) -> None:
    async with Readers(world.chain, honest) as reader:
        snapshot = await reader.snapshot()
    assert [host.tee_id for host in snapshot.hosts] == world.tee_ids
    host = snapshot.hosts[0]
    assert host.public_key == signing_key(0)
    assert host.tls_certificate == certificate(0)
    assert host.endpoint == "https://host0.example"
    assert host.payment_address == PAYEE
    assert host.pcr_hash == PCR_HASH
    assert host.ohttp_config is None
    block = world.chain.handle(
        {"id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}
    )["result"]
    assert (hex(snapshot.block_number), snapshot.block_hash) == (block["number"], block["hash"])
    assert snapshot.block_time == datetime.fromtimestamp(int(block["timestamp"], 16), UTC)
    assert abs(snapshot.fetched_at - datetime.now(UTC)) < timedelta(minutes=5)
    evidence = snapshot.evidence(world.tee_ids[1])
    assert evidence.active
    assert evidence.inactive_reason is None
    assert evidence.entry == snapshot.hosts[1]
    assert (evidence.pcr_approved, evidence.pcr_version) == (True, "v1.2")
    assert (evidence.chain_id, evidence.contract) == (10740, REGISTRY_ADDRESS)


async def test_rpcs_are_named_by_host_label_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    readers = Readers(world.chain, honest, honest)
    async with readers as reader:
        snapshot = await reader.snapshot()
        ports = [double.url.split(":")[2].split("/")[0] for double in readers.doubles]
    assert snapshot.rpcs == tuple(f"127.0.0.1:{port}" for port in ports)
    assert "an-api-key" not in repr(snapshot)
    assert "an-api-key" not in caplog.text
    with pytest.raises(NetworkUnavailable) as down:
        await RegistryReader(network(readers.doubles[0].url)).snapshot()
    assert "an-api-key" not in str(down.value)
    assert ports[0] in str(down.value)


# ----------------------------------------------------------------------------------- attacks 4 to 6


async def test_attack_04_a_key_that_is_not_listed_is_not_active(world: World) -> None:
    async with Readers(world.chain, honest) as reader:
        stranger = "0x" + "cd" * 32
        for evidence in (
            (await reader.snapshot()).evidence(stranger),
            await reader.at_block(stranger, world.chain.block_number),
        ):
            assert evidence.entry is None
            assert not evidence.active
            assert evidence.inactive_reason == "not listed"


@pytest.mark.parametrize(
    "stranger",
    ["", "zz", "0x" + "ab" * 31, "0x" + "ab" * 33, "0x " + "ab" * 32, "0x" + "\u0661" * 64],
)
async def test_attack_04_what_is_no_id_is_not_listed(world: World, stranger: str) -> None:
    """A receipt of somebody's may name it, and must not end the check of a whole file."""
    async with Readers(world.chain, honest) as reader:
        evidence = await reader.at_block(stranger, world.chain.block_number)
    assert evidence.entry is None and not evidence.active
    assert evidence.inactive_reason == "not listed"


async def test_attack_05_a_host_disabled_at_a_block_is_inactive_there_and_active_before(
    world: World,
) -> None:
    tee_id = world.tee_ids[0]
    before = world.chain.block_number
    world.clock.now += 10
    world.admin.disable(tee_id)
    async with Readers(world.chain, honest) as reader:
        earlier = await reader.at_block(tee_id, before)
        later = await reader.at_block(tee_id, world.chain.block_number)
        snapshot = await reader.snapshot()
    assert earlier.active
    assert (later.active, later.inactive_reason) == (False, "disabled")
    assert later.entry is not None
    assert [host.tee_id for host in snapshot.hosts] == world.tee_ids[1:]


async def test_attack_05_a_measurement_revoked_at_a_block_makes_inactive_there_and_not_before(
    world: World,
) -> None:
    tee_id = world.tee_ids[0]
    before = world.chain.block_number
    world.clock.now += 10
    world.admin.revoke_pcr(PCR_HASH)
    async with Readers(world.chain, honest) as reader:
        assert (await reader.at_block(tee_id, before)).active
        later = await reader.at_block(tee_id, world.chain.block_number)
        assert (later.active, later.inactive_reason, later.pcr_approved) == (
            False,
            "PCR revoked",
            False,
        )
        assert (await reader.snapshot()).hosts == ()


@pytest.mark.parametrize(("age", "active"), [(1799, True), (1800, True), (1801, False)])
async def test_attack_05_a_silent_host_is_inactive_by_the_blocks_own_time(
    world: World, age: int, active: bool
) -> None:
    tee_id = world.tee_ids[0]
    start = world.chain.time
    world.admin.heartbeat(tee_id)
    world.clock.now = start + age
    number = world.chain.block_number
    async with Readers(world.chain, honest) as reader:
        evidence = await reader.at_block(tee_id, number)
    assert evidence.active is active is world.admin.is_active(tee_id, block=number)
    assert evidence.inactive_reason == (None if active else "heartbeat too old")


def forging(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    """Replaces the first host's certificate in the list of hosts; the block's hash stays the honest
    one."""
    if method == "eth_call" and params[0]["data"].startswith(
        "0x" + abi.function("registry", "getActiveTEEs").selector.hex()
    ):
        ask = abi.function("registry", "getActiveTEEs")
        (entries,) = ask.decode(bytes.fromhex(answer["result"][2:]))
        forged = (*entries[0][:4], b"forged", *entries[0][5:])
        return result(answer, "0x" + encode(ask.outputs, [(forged, *entries[1:])]).hex())
    return answer


async def test_attack_06_an_rpc_that_forges_the_registry_is_noticed(world: World) -> None:
    async with Readers(world.chain, honest, forging) as reader:
        with pytest.raises(RpcsDisagree, match="disagree on the hosts"):
            await reader.snapshot()


async def test_attack_06_an_rpc_with_another_block_hash_is_noticed(world: World) -> None:
    def other_hash(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getBlockByNumber":
            return result(answer, {**answer["result"], "hash": "0x" + "ee" * 32})
        return answer

    async with Readers(world.chain, honest, other_hash) as reader:
        with pytest.raises(RpcsDisagree, match="ee" * 32):
            await reader.snapshot()
        with pytest.raises(RpcsDisagree):
            await reader.at_block(world.tee_ids[0], world.chain.block_number)


async def test_attack_06_a_forged_approval_is_noticed(world: World) -> None:
    world.clock.now += 10
    world.admin.revoke_pcr(PCR_HASH)
    ask = abi.function("registry", "pcrRecords")

    def approving(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_call" and params[0]["data"].startswith("0x" + ask.selector.hex()):
            return result(answer, "0x" + encode(ask.outputs, (True, 0, 1, "v1.2")).hex())
        return answer

    async with Readers(world.chain, approving, honest) as reader:
        with pytest.raises(RpcsDisagree):
            await reader.at_block(world.tee_ids[0], world.chain.block_number)


async def test_attack_06_a_single_rpc_is_said_to_be_single(world: World) -> None:
    def down(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return web.Response(status=503)

    async with Readers(world.chain, honest, down) as reader:
        assert len((await reader.snapshot()).rpcs) == 1
        assert len((await reader.at_block(world.tee_ids[0], world.chain.block_number)).rpcs) == 1
    async with Readers(world.chain, honest, honest) as reader:
        assert len((await reader.snapshot()).rpcs) == 2


async def test_attack_06_an_rpc_that_hides_newer_blocks_is_noticed(world: World) -> None:
    old = world.chain.block_number
    world.clock.now += 1000

    def behind(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return world.chain.handle({"id": 1, "method": method, "params": [hex(old), False]})
        return answer

    async with Readers(world.chain, honest, behind) as reader:
        with pytest.raises(RpcsDisagree, match=f"ends at block {old} "):
            await reader.snapshot()


async def test_two_rpcs_a_block_apart_agree_on_the_older_block(world: World) -> None:
    old = world.chain.block_number
    world.clock.now += 4

    def behind(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return world.chain.handle({"id": 1, "method": method, "params": [hex(old), False]})
        return answer

    async with Readers(world.chain, honest, behind) as reader:
        snapshot = await reader.snapshot()
    assert (snapshot.block_number, len(snapshot.rpcs)) == (old, 2)


async def test_a_block_replaced_while_it_is_read_is_not_used(world: World) -> None:
    seen: list[str] = []

    def reorganised(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0] != "latest":
            seen.append(params[0])
            return result(answer, {**answer["result"], "hash": "0x" + f"{len(seen):02x}" * 32})
        return answer

    async with Readers(world.chain, reorganised) as reader:
        with pytest.raises(NetworkUnavailable, match="replaced block"):
            await reader.snapshot()
    assert len(seen) == 1


# ---------------------------------------------------------------------------------- attacks 7 and 8


async def test_attack_07_an_rpc_that_is_down_is_registry_unreachable() -> None:
    reader = RegistryReader(network("http://127.0.0.1:1/"))
    with pytest.raises(NetworkUnavailable, match="registry unreachable") as down:
        await reader.snapshot()
    assert "Nothing was sent" in str(down.value)
    with pytest.raises(NetworkUnavailable, match="registry unreachable"):
        await reader.at_block("0x" + "ab" * 32, 1)
    await reader.aclose()


async def test_attack_07_without_an_rpc_the_registry_is_unreachable() -> None:
    with pytest.raises(NetworkUnavailable, match="no RPC is configured"):
        await RegistryReader(network()).snapshot()


async def test_attack_07_an_rpc_that_never_answers_is_unreachable(world: World) -> None:
    never = asyncio.Event()

    def silent(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        async def wait() -> dict[str, Any]:
            await never.wait()
            return answer

        return wait()

    async with Readers(world.chain, silent, timeout=0.3) as reader:
        with pytest.raises(NetworkUnavailable, match=r"registry unreachable.*no answer within"):
            await reader.snapshot()
        never.set()


@pytest.mark.parametrize(
    "answer",
    [
        web.Response,
        lambda: web.Response(text="<html>"),
        lambda: web.json_response([]),
        lambda: web.json_response({"jsonrpc": "2.0", "id": 1}),
        lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "result": 10740}),
        lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "result": "10740"}),
        lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"number": "0x1"}}),
        lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "error": "no"}),
        lambda: web.Response(status=429),
        lambda: web.Response(text="[" * 100_000, content_type="application/json"),
        lambda: web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_attack_07_an_rpc_that_speaks_nonsense_is_unreachable(
    world: World, answer: Any
) -> None:
    async with Readers(world.chain, lambda method, params, honest: answer()) as reader:
        with pytest.raises(NetworkUnavailable, match="registry unreachable"):
            await reader.snapshot()


@pytest.mark.parametrize(
    "junk", ["0x", "0x00", "0x" + "ff" * 64, "0x" + "00" * 31 + "20" + "ff" * 32]
)
async def test_attack_07_a_list_of_hosts_in_no_known_form_is_not_used(
    world: World, junk: str
) -> None:
    ask = abi.function("registry", "getActiveTEEs")

    def garbled(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_call" and params[0]["data"].startswith("0x" + ask.selector.hex()):
            return result(answer, junk)
        return answer

    async with Readers(world.chain, garbled) as reader:
        with pytest.raises(NetworkUnavailable, match="unknown form"):
            await reader.snapshot()


async def test_attack_08_another_chain_is_refused_before_the_registry_is_read(world: World) -> None:
    def base(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, hex(8453)) if method == "eth_chainId" else answer

    readers = Readers(world.chain, honest, base)
    async with readers as reader:
        with pytest.raises(WrongChain, match=r"serves chain 8453; .* chain 10740"):
            await reader.snapshot()
        with pytest.raises(WrongChain):
            await reader.at_block(world.tee_ids[0], 1)
        assert "eth_call" not in readers.doubles[0].asked + readers.doubles[1].asked


async def test_attack_08_no_code_at_the_registrys_address_is_refused() -> None:
    readers = Readers(Chain(10740), honest)
    async with readers as reader:
        with pytest.raises(WrongChain, match="no contract at the registry's address"):
            await reader.snapshot()
        assert "eth_call" not in readers.doubles[0].asked


# ---------------------------------------------------------------------------------- older contracts


def without_ohttp(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    """Answers as a registry of before ``ohttpConfig``, which knows neither ``pcrRecords`` nor
    ``heartbeatMaxAge``."""
    if method != "eth_call" or "result" not in answer:
        return answer
    selector = params[0]["data"][:10]
    for name in ("getActiveTEEs", "getTEE"):
        new, old = abi.function("registry", name), abi.function("registry_without_ohttp", name)
        if selector == "0x" + new.selector.hex():
            (value,) = new.decode(bytes.fromhex(answer["result"][2:]))
            shorter = (
                [tuple(e[:10]) for e in value] if name == "getActiveTEEs" else tuple(value[:10])
            )
            return result(answer, "0x" + encode(old.outputs, [shorter]).hex())
    return error(answer, "execution reverted")


async def test_the_older_tuple_without_ohttp_is_read(world: World) -> None:
    async with Readers(world.chain, honest) as reader:
        new = await reader.snapshot()
    async with Readers(world.chain, without_ohttp) as reader:
        old = await reader.snapshot()
        one = await reader.at_block(world.tee_ids[1], world.chain.block_number)
    assert old.hosts == new.hosts
    assert old.pcrs == {}
    assert one.active
    assert (one.entry, one.pcr_approved) == (new.hosts[1], None)


async def test_an_empty_list_is_read_under_either_tuple() -> None:
    for edit in (honest, without_ohttp):
        async with Readers(World(hosts=0).chain, edit) as reader:
            snapshot = await reader.snapshot()
            assert snapshot.hosts == ()
            with pytest.raises(NetworkUnavailable, match="no host is active"):
                order_hosts(snapshot)


async def test_an_ohttp_key_is_kept(world: World) -> None:
    ask = abi.function("registry", "getActiveTEEs")
    config = (1, 32, 1, 3, b"k" * 32, b"c" * 41, 7)

    def configured(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_call" and params[0]["data"].startswith("0x" + ask.selector.hex()):
            (entries,) = ask.decode(bytes.fromhex(answer["result"][2:]))
            return result(
                answer, "0x" + encode(ask.outputs, [[(*e[:10], config) for e in entries]]).hex()
            )
        return answer

    async with Readers(world.chain, configured) as reader:
        host = (await reader.snapshot()).hosts[0]
    assert host.ohttp_config is not None
    assert host.ohttp_config["kemId"] == 32
    assert host.ohttp_config["publicKey"] == b"k" * 32


def test_the_abi_agrees_with_the_documented_tuples() -> None:
    ohttp = "(uint8,uint16,uint16,uint16,bytes,bytes,uint256)"
    entry = "address,address,string,bytes,bytes,bytes32,uint8,bool,uint256,uint256"
    assert abi.function("registry", "getActiveTEEs").outputs == (f"({entry},{ohttp})[]",)
    assert abi.function("registry_without_ohttp", "getActiveTEEs").outputs == (f"({entry})[]",)
    assert abi.function("registry", "pcrRecords").outputs == ("bool", "uint8", "uint256", "string")
    assert abi.function("permit2", "nonceBitmap").inputs == ("address", "uint256")
    assert (
        abi.event_topic("erc20", "Transfer")
        == "0x" + keccak(text="Transfer(address,address,uint256)").hex()
    )


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "file:///etc/passwd", "//x", "http://", "http://h:port"]
)
def test_an_rpc_url_that_is_none_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Rpc(url, timeout=1)
    assert "passwd" not in str(refused.value)


async def test_an_rpcs_credentials_are_never_shown() -> None:
    rpc = Rpc("https://me:password@rpc.example:8443/v2/an-api-key", timeout=1)
    assert rpc.label == "rpc.example:8443"
    assert repr(rpc) == "<Rpc rpc.example:8443>"


# ------------------------------------------------------------------------------------------- choice


@pytest.fixture
async def snapshot(world: World) -> RegistrySnapshot:
    async with Readers(world.chain, honest) as reader:
        return await reader.snapshot()


async def test_every_active_host_is_tried_in_an_order_by_chance(snapshot: RegistrySnapshot) -> None:
    firsts = {order_hosts(snapshot, rng=random.Random(seed))[0].tee_id for seed in range(20)}
    assert firsts == {host.tee_id for host in snapshot.hosts}


async def test_a_wanted_host_is_found_by_the_beginning_of_its_id(
    snapshot: RegistrySnapshot,
) -> None:
    host = snapshot.hosts[1]
    for wanted in (
        host.tee_id,
        host.tee_id[:12],
        host.tee_id[2:12].upper(),
        "0x" + host.tee_id[2:8].upper(),
    ):
        assert order_hosts(snapshot, wanted=wanted) == [host]


async def test_a_prefix_of_several_hosts_names_them_all(snapshot: RegistrySnapshot) -> None:
    twins = tuple(replace(snapshot.hosts[0], tee_id="0xabcd" + str(i) * 60) for i in range(2))
    twin = replace(snapshot, hosts=twins)
    with pytest.raises(ConfigError) as ambiguous:
        order_hosts(twin, wanted="abcd")
    assert all(host.tee_id in ambiguous.value.message for host in twins)


@pytest.mark.parametrize("wanted", ["", "ab", "0x12", "xyzw", "ab" * 33, "../../etc"])
async def test_a_prefix_that_is_none_is_refused(snapshot: RegistrySnapshot, wanted: str) -> None:
    with pytest.raises(ConfigError):
        order_hosts(snapshot, wanted=wanted)


async def test_a_prefix_of_no_host_is_refused(snapshot: RegistrySnapshot) -> None:
    absent = next(
        f"{n:04x}"
        for n in range(3)
        if not any(h.tee_id.startswith(f"0x{n:04x}") for h in snapshot.hosts)
    )
    with pytest.raises(ConfigError, match="No active host"):
        order_hosts(snapshot, wanted=absent)


async def test_a_wanted_host_that_is_listed_but_not_active_says_why(
    snapshot: RegistrySnapshot,
) -> None:
    disabled = replace(snapshot.hosts[0], enabled=False)
    with pytest.raises(HostUnavailable, match="disabled"):
        order_hosts(replace(snapshot, hosts=(disabled,)), wanted=disabled.tee_id)
    with pytest.raises(NetworkUnavailable):
        order_hosts(replace(snapshot, hosts=(disabled,)))


# ---------------------------------------------------------------------------------- what came later


def day(world: World) -> str:
    return f"{datetime.fromtimestamp(world.chain.time, UTC):%Y-%m-%d %H:%M} UTC"


async def test_attack_05_what_was_revoked_since_is_told_with_its_time(world: World) -> None:
    tee_id, before = world.tee_ids[0], world.chain.block_number
    async with Readers(world.chain, honest, honest) as reader:
        assert await reader.revoked_since(tee_id, before) is None
        for _ in range(5):
            world.clock.now += 60
            world.admin.heartbeat(tee_id)
        assert await reader.revoked_since(tee_id, before) is None
        world.clock.now += 60
        world.admin.revoke_pcr(PCR_HASH)
        revoked = day(world)
        for number in range(2, 6):
            world.clock.now += 3600
            world.admin.approve_pcr("0x" + bytes([number] * 32).hex(), "other")
        assert await reader.revoked_since(tee_id, before) == f"PCR revoked on {revoked}"


async def test_attack_05_a_host_that_was_disabled_since(world: World) -> None:
    tee_id, before = world.tee_ids[0], world.chain.block_number
    world.clock.now += 60
    world.admin.disable(tee_id)
    async with Readers(world.chain, honest) as reader:
        assert await reader.revoked_since(tee_id, before) == f"disabled on {day(world)}"
        assert await reader.revoked_since(world.tee_ids[1], before) is None


async def test_a_host_that_only_fell_silent_is_not_revoked(world: World) -> None:
    tee_id, before = world.tee_ids[0], world.chain.block_number
    world.clock.now += 100_000
    world.admin.approve_pcr("0x" + "05" * 32, "other")
    async with Readers(world.chain, honest) as reader:
        now = await reader.at_block(tee_id, world.chain.block_number)
        assert now.inactive_reason == "heartbeat too old"
        assert await reader.revoked_since(tee_id, before) is None


async def test_an_rpc_without_old_states_tells_by_when(world: World) -> None:
    tee_id, before = world.tee_ids[0], world.chain.block_number
    for number in range(2, 5):
        world.clock.now += 60
        world.admin.approve_pcr("0x" + bytes([number] * 32).hex(), "other")
    world.admin.disable(tee_id)
    head = world.chain.block_number

    def pruned(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return (
            error("missing trie node")
            if method == "eth_call" and params[1] != hex(head)
            else answer
        )

    async with Readers(world.chain, pruned) as reader:
        assert await reader.revoked_since(tee_id, before) == f"disabled by {day(world)}"
