"""What became of a payment, asked of a real EVM: reconciliation by nonce (attack 22), approval,
wrong chains."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from eth_account import Account
from support.rpc_double import Edit, error, result, rpc_double
from support.signing import sign_when_made

from opg_magic.errors import NetworkUnavailable, RpcsDisagree, WalletError, WrongChain
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.abi import event_topic, function
from opg_magic.network.profiles import OPENGRADIENT, OPG_ADDRESS, PERMIT2, UPTO_PROXY
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.contracts.deploy import MAX_UINT256, deploy_payment_chain, opg
from opg_magic.wallet.chain import PaymentChain
from opg_magic.wallet.keys import Wallet

ADMIN, PAYER, FACILITATOR = (Secret(bytes([n]) * 32) for n in (0x11, 0x12, 0x13))
PAYER_ADDRESS, FACILITATOR_ADDRESS = (
    Account.from_key(k.reveal()).address for k in (PAYER, FACILITATOR)
)
PAYEE = Account.from_key(b"\x15" * 32).address
GRANT = 10**20
CAP = 10**17
NETWORK = replace(OPENGRADIENT, facilitators=(FACILITATOR_ADDRESS,))


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class World:
    """A payment chain on which the payer has approved Permit2, and a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.chain = Chain(8453, now=self.clock)
        deploy_payment_chain(
            self.chain,
            admin_key=ADMIN,
            payer_key=PAYER,
            payer_grant=GRANT,
            facilitator=FACILITATOR_ADDRESS,
        )
        self.wallet = Wallet(PAYER, simulated=False, source="test")

    def authorise(self, nonce: int = 2**200 + 77, **changes: Any) -> Authorisation:
        now = int(self.clock.now)
        auth = Authorisation(
            chain_id=8453,
            payer=PAYER_ADDRESS,
            token=OPG_ADDRESS,
            cap=CAP,
            spender=UPTO_PROXY,
            nonce=nonce,
            deadline=now + 300,
            pay_to=PAYEE,
            facilitator=FACILITATOR_ADDRESS,
            valid_after=now - 600,
        )
        return replace(auth, **changes)

    def calldata(self, auth: Authorisation, amount: int) -> bytes:
        signature = bytes.fromhex(sign_when_made(self.wallet, auth, NETWORK).reveal()[2:])
        permit = ((auth.token, auth.cap), auth.nonce, auth.deadline)
        witness = (auth.pay_to, auth.facilitator, auth.valid_after)
        return function("upto_proxy", "settle").encode(
            permit, amount, auth.payer, witness, signature
        )

    def settle(self, auth: Authorisation, amount: int) -> str:
        receipt = self.chain.transact(FACILITATOR, UPTO_PROXY, self.calldata(auth, amount))
        assert receipt["status"] == 1
        return "0x" + bytes(receipt["transactionHash"]).hex()


@pytest.fixture
def world() -> World:
    return World()


class Doubles:
    def __init__(self, world: World, *edits: Edit | None, network: Network = NETWORK) -> None:
        self._world, self._edits, self._network = world, edits or (None,), network
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> PaymentChain:
        self.doubles = [
            await self._stack.enter_async_context(rpc_double(self._world.chain, e))
            for e in self._edits
        ]
        chain = PaymentChain(
            replace(self._network, payment_rpcs=tuple(d.url for d in self.doubles))
        )
        self._stack.push_async_callback(chain.aclose)
        return chain

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()


@pytest.fixture
async def chain(world: World) -> AsyncIterator[PaymentChain]:
    async with Doubles(world) as chain:
        yield chain


async def test_balance_allowance_and_clock_are_the_chains_own(
    world: World, chain: PaymentChain
) -> None:
    await chain.check()
    assert await chain.balance(PAYER_ADDRESS) == GRANT
    assert await chain.balance(PAYEE) == 0
    assert await chain.allowance(PAYER_ADDRESS) == MAX_UINT256
    assert await chain.allowance(PAYEE) == 0
    assert await chain.gas_balance(PAYEE) == 0
    world.clock.now += 1000
    assert (await chain.clock()).timestamp() == int(world.clock.now)


# --------------------------------------------------------------------------------------- settlement


async def test_an_authorisation_not_used_yet_is_open_until_its_deadline_passed_on_the_chain(
    world: World, chain: PaymentChain
) -> None:
    auth = world.authorise()
    assert (await chain.find_settlement(auth)).status == "open"
    world.clock.now = auth.deadline  # the last second at which Permit2 still accepts it
    assert (await chain.find_settlement(auth)).status == "open"


async def test_attack_22_past_its_deadline_an_unused_authorisation_can_never_be_charged(
    world: World, chain: PaymentChain
) -> None:
    auth = world.authorise()
    world.clock.now = auth.deadline + 2
    found = await chain.find_settlement(auth)
    assert (found.status, found.amount) == ("unspent", None)
    assert (
        world.chain.transact(FACILITATOR, UPTO_PROXY, world.calldata(auth, 1), gas=500_000)[
            "status"
        ]
        == 0
    )


@pytest.mark.parametrize("amount", [1, 12_345, CAP])
async def test_attack_22_a_spent_authorisation_is_found_with_its_amount(
    world: World, chain: PaymentChain, amount: int
) -> None:
    auth = world.authorise()
    world.clock.now += 30
    tx_hash = world.settle(auth, amount)
    at = int(world.clock.now)
    for later in (0, 100, 4000):
        world.clock.now = at + later
        found = await chain.find_settlement(auth)
        assert (found.status, found.amount, found.tx_hash) == ("spent", amount, tx_hash)
        assert (found.payee, found.token) == (PAYEE, OPG_ADDRESS)
        assert found.block_time is not None
        assert found.block_time.timestamp() == at


async def test_a_settlement_is_found_among_many_blocks_and_others_of_the_same_payer(
    world: World, chain: PaymentChain
) -> None:
    for step in range(150):
        world.clock.now += 3
        assert world.chain.block_number > step
    auths = [world.authorise(nonce=n) for n in (5, 6, 5 + 256, 2**256 - 1)]
    hashes = []
    for number, auth in enumerate(auths):
        world.clock.now += 20
        hashes.append(world.settle(auth, 100 + number))
    for _ in range(150):
        world.clock.now += 3
        assert world.chain.block_number
    for number, auth in enumerate(auths):
        found = await chain.find_settlement(auth)
        assert (found.status, found.amount, found.tx_hash) == (
            "spent",
            100 + number,
            hashes[number],
        )
    assert (await chain.find_settlement(world.authorise(nonce=7))).status == "open"


async def test_the_search_for_a_settlement_is_bounded(world: World) -> None:
    for _ in range(300):
        world.clock.now += 3
        assert world.chain.block_number
    auth = world.authorise()
    world.settle(auth, 7)
    doubles = Doubles(world)
    async with doubles as chain:
        assert (await chain.find_settlement(auth)).amount == 7
        assert doubles.doubles[0].asked.count("eth_getBlockByNumber") < 30
        assert doubles.doubles[0].asked.count("eth_getLogs") == 1


async def test_an_rpc_that_takes_small_ranges_of_logs_only_finds_a_settlement_too(
    world: World,
) -> None:
    """Public endpoints allow anything from 10 blocks on."""
    auth = world.authorise()
    for _ in range(60):
        world.clock.now += 3
        assert world.chain.block_number
    world.settle(auth, 7)

    def narrow(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getLogs":
            return answer
        span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16)
        return error(answer, "block range too large") if span >= 20 else answer

    async with Doubles(world, narrow) as chain:
        found = await chain.find_settlement(auth)
    assert (found.status, found.amount) == ("spent", 7)


async def test_logs_of_another_contract_are_no_candidates_but_a_fault_of_the_rpc(
    world: World,
) -> None:
    auth = world.authorise()
    world.settle(auth, 7)

    def stray(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getLogs":
            return answer
        return result(answer, [{**log, "address": PAYEE} for log in answer["result"]])

    async with Doubles(world, stray) as chain:
        with pytest.raises(NetworkUnavailable, match="another contract"):
            await chain.find_settlement(auth)


@pytest.mark.parametrize(
    "change",
    [{"payer": ""}, {"payer": "0x12"}, {"payer": "0x" + "zz" * 20}, {"nonce": 2**256}],
    ids=str,
)
async def test_what_no_authorisation_can_say_was_never_paid(
    world: World, chain: PaymentChain, change: dict[str, Any]
) -> None:
    """A receipt of somebody's may say it, and must not end the check of a whole file."""
    assert (await chain.payment_evidence(world.authorise(**change))).status == "unspent"


async def test_a_nonce_spent_by_another_authorisation_is_spent_without_an_amount(
    world: World, chain: PaymentChain
) -> None:
    used = world.authorise(nonce=9)
    world.settle(used, 50)
    found = await chain.find_settlement(replace(used, cap=CAP - 1))
    assert (found.status, found.amount, found.tx_hash) == ("spent", None, None)


async def test_a_settlement_of_nothing_is_found(world: World, chain: PaymentChain) -> None:
    auth = world.authorise()
    receipt = world.chain.transact(FACILITATOR, UPTO_PROXY, world.calldata(auth, 0), gas=500_000)
    found = await chain.find_settlement(auth)
    if receipt["status"] == 1:
        assert (found.status, found.amount) == ("spent", 0)
    else:
        assert found.status == "open"


async def test_the_amount_is_what_was_moved_not_what_was_asked_for(world: World) -> None:
    auth = world.authorise()
    world.settle(auth, 50)

    def short(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getTransactionReceipt":
            return answer
        logs = [
            {**log, "data": "0x" + (49).to_bytes(32, "big").hex()}
            if log["topics"][0] == event_topic("erc20", "Transfer")
            else log
            for log in answer["result"]["logs"]
        ]
        return result(answer, {**answer["result"], "logs": logs})

    async with Doubles(world, short) as chain:
        assert (await chain.find_settlement(auth)).amount == 49


async def test_an_authorisation_of_another_chain_is_refused(
    world: World, chain: PaymentChain
) -> None:
    with pytest.raises(WrongChain, match=r"chain 1;.* chain 8453"):
        await chain.find_settlement(replace(world.authorise(), chain_id=1))


# ------------------------------------------------------------------------------------- several RPCs


def hiding(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    """Says that no nonce was ever spent."""
    bitmap = "0x" + function("permit2", "nonceBitmap").selector.hex()
    if method == "eth_call" and params[0]["data"].startswith(bitmap):
        return result(answer, "0x" + "00" * 32)
    return answer


def down(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
    return web.Response(status=503)


async def test_an_rpc_that_hides_a_charge_is_noticed(world: World) -> None:
    auth = world.authorise()
    world.settle(auth, 50)
    async with Doubles(world, None, hiding) as chain:
        assert (await chain.find_settlement(auth)).status == "open"
        world.clock.now = auth.deadline + 10
        with pytest.raises(RpcsDisagree):
            await chain.find_settlement(auth)


async def test_an_rpc_that_names_another_amount_is_noticed(world: World) -> None:
    auth = world.authorise()
    world.settle(auth, 50)

    def more(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getTransactionReceipt":
            logs = [
                {**log, "data": "0x" + (51).to_bytes(32, "big").hex()}
                for log in answer["result"]["logs"]
            ]
            return result(answer, {**answer["result"], "logs": logs})
        return answer

    async with Doubles(world, None, more) as chain:
        with pytest.raises(RpcsDisagree):
            await chain.find_settlement(auth)


async def test_an_rpc_that_is_down_is_left_out_and_the_rest_is_named(world: World) -> None:
    auth = world.authorise()
    world.settle(auth, 50)
    async with Doubles(world, down, None) as chain:
        found = await chain.find_settlement(auth)
        assert (found.amount, len(found.rpcs)) == (50, 1)
        assert await chain.balance(PAYEE) == 50
    async with Doubles(world, down) as chain:
        for ask in (
            chain.check,
            chain.clock,
            lambda: chain.balance(PAYEE),
            lambda: chain.find_settlement(auth),
        ):
            with pytest.raises(NetworkUnavailable, match="payment chain unreachable") as refused:
                await ask()
            assert "an-api-key" not in str(refused.value)


async def test_attack_08_another_chain_or_no_contract_is_refused(world: World) -> None:
    def ethereum(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, "0x1") if method == "eth_chainId" else answer

    auth = world.authorise()
    async with Doubles(world, ethereum) as chain:
        for ask in (
            chain.check,
            chain.clock,
            lambda: chain.balance(PAYEE),
            lambda: chain.find_settlement(auth),
        ):
            with pytest.raises(WrongChain, match=r"serves chain 1; .* chain 8453"):
                await ask()
    for address in (OPG_ADDRESS, PERMIT2, UPTO_PROXY):

        def missing(
            method: str, params: list[Any], answer: dict[str, Any], gone: str = address
        ) -> Any:
            return result(answer, "0x") if method == "eth_getCode" and params[0] == gone else answer

        async with Doubles(world, missing) as chain:
            with pytest.raises(WrongChain, match=address):
                await chain.check()


# ------------------------------------------------------------------------------------------ approve


async def test_approve_allows_exactly_what_was_asked_for(world: World, chain: PaymentChain) -> None:
    approval = await chain.approve(world.wallet, 3 * CAP)
    assert approval.allowance == 3 * CAP == await chain.allowance(PAYER_ADDRESS)
    assert approval.block_number <= world.chain.block_number
    await chain.approve(world.wallet, 0)
    assert await chain.allowance(PAYER_ADDRESS) == 0
    assert opg(world.chain).read("balanceOf", PAYER_ADDRESS) == GRANT


async def test_approve_without_coin_for_gas_says_so_and_sends_nothing(world: World) -> None:
    poor = Wallet(Secret(b"\x31" * 32), simulated=False, source="test")
    doubles = Doubles(world)
    async with doubles as chain:
        with pytest.raises(WalletError) as refused:
            await chain.approve(poor, CAP)
        assert (
            poor.address in refused.value.message or "refused by the chain" in refused.value.message
        )
        assert "eth_sendRawTransaction" not in doubles.doubles[0].asked


async def test_an_approval_that_is_never_mined_ends_in_an_error_and_is_sent_once(
    world: World,
) -> None:
    def pending(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        return result(answer, None) if method == "eth_getTransactionReceipt" else answer

    doubles = Doubles(world, pending, None)
    async with doubles as chain:
        with pytest.raises(WalletError, match="not mined after"):
            await chain.approve(world.wallet, CAP, timeout=0.2)
        sent = [d.asked.count("eth_sendRawTransaction") for d in doubles.doubles]
        assert sent == [1, 0]


async def test_an_approval_that_is_reverted_is_an_error(world: World) -> None:
    def reverted(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method == "eth_getTransactionReceipt":
            return result(answer, {**answer["result"], "status": "0x0"})
        return answer

    async with Doubles(world, reverted) as chain:
        with pytest.raises(WalletError, match="was reverted"):
            await chain.approve(world.wallet, CAP)
