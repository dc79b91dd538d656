"""What is read out of the transaction that settled a payment, and what is not believed of it
(attack 23)."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from support.rpc_double import Edit, result, rpc_double
from support.signing import sign_when_made

from opg_magic.errors import NetworkUnavailable, RpcsDisagree
from opg_magic.models import Authorisation
from opg_magic.models.secret import Secret
from opg_magic.network.abi import event_topic, function
from opg_magic.network.profiles import OPENGRADIENT, OPG_ADDRESS, UPTO_PROXY
from opg_magic.simnet.chain.chain import Chain
from opg_magic.simnet.contracts.deploy import Contract, deploy_payment_chain, permit2, upto_proxy
from opg_magic.wallet.chain import PaymentChain
from opg_magic.wallet.keys import Wallet
from opg_magic.wallet.settle_call import MAX_BUNDLED, settle_calls

ADMIN, PAYER, FACILITATOR = (Secret(bytes([n]) * 32) for n in (0x41, 0x42, 0x43))
PAYER_ADDRESS, FACILITATOR_ADDRESS = (
    Account.from_key(k.reveal()).address for k in (PAYER, FACILITATOR)
)
PAYEE = Account.from_key(b"\x45" * 32).address
STRANGER = "0x00000000000000000000000000000000DeaDBeef"
CAP = 10**17
SETTLE = function("upto_proxy", "settle")


@pytest.fixture
def chain() -> Chain:
    made = Chain(8453)
    deploy_payment_chain(
        made, admin_key=ADMIN, payer_key=PAYER, payer_grant=10**20, facilitator=FACILITATOR_ADDRESS
    )
    return made


def authorise(**changes: Any) -> Authorisation:
    now = int(time.time())
    auth = Authorisation(
        chain_id=8453,
        payer=PAYER_ADDRESS,
        token=OPG_ADDRESS,
        cap=CAP,
        spender=UPTO_PROXY,
        nonce=secrets.randbits(256),
        deadline=now + 300,
        pay_to=PAYEE,
        facilitator=FACILITATOR_ADDRESS,
        valid_after=now - 600,
    )
    return replace(auth, **changes)


def calldata(auth: Authorisation, amount: int, signature: bytes | None = None) -> bytes:
    signed = sign_when_made(Wallet(PAYER, simulated=False, source="test"), auth, OPENGRADIENT)
    return SETTLE.encode(
        ((auth.token, auth.cap), auth.nonce, auth.deadline),
        amount,
        auth.payer,
        (auth.pay_to, auth.facilitator, auth.valid_after),
        bytes.fromhex(signed.reveal()[2:]) if signature is None else signature,
    )


@asynccontextmanager
async def reading(chain: Chain, *edits: Edit | None) -> AsyncIterator[PaymentChain]:
    async with AsyncExitStack() as stack:
        doubles = [
            await stack.enter_async_context(rpc_double(chain, edit)) for edit in edits or (None,)
        ]
        made = PaymentChain(replace(OPENGRADIENT, payment_rpcs=tuple(d.url for d in doubles)))
        stack.push_async_callback(made.aclose)
        yield made


async def test_the_figures_are_those_of_calldata_and_log(chain: Chain) -> None:
    auth = authorise()
    receipt = chain.transact(FACILITATOR, UPTO_PROXY, calldata(auth, 12_345))
    async with reading(chain, None, None) as payments:
        found = await payments.payment_evidence(auth)
    assert (found.status, found.amount, found.cap, found.nonce) == (
        "spent",
        12_345,
        CAP,
        auth.nonce,
    )
    assert (found.token, found.payer, found.payee) == (OPG_ADDRESS, PAYER_ADDRESS, PAYEE)
    assert found.facilitator == FACILITATOR_ADDRESS
    assert found.tx_hash == receipt["transactionHash"].to_0x_hex()
    assert (found.block_number, found.block_hash) == (
        receipt["blockNumber"],
        receipt["blockHash"].to_0x_hex(),
    )
    assert len(found.rpcs) == 2
    assert (found.shared, found.remainder) == ((), 0)


async def test_attack_23_a_crooked_proxys_payee_is_the_one_in_the_log(chain: Chain) -> None:
    Contract(chain, "CrookedProxy", UPTO_PROXY).place()
    auth = authorise()
    chain.transact(FACILITATOR, UPTO_PROXY, calldata(auth, 50))
    upto_proxy(chain).place()
    async with reading(chain) as payments:
        found = await payments.payment_evidence(auth)
    assert (found.payee, found.amount) == (STRANGER, 50)


async def test_a_nonce_that_its_owner_gave_up_is_spent_by_no_payment(chain: Chain) -> None:
    """``invalidateUnorderedNonces`` sets the bit, too: there is nothing to be shown then."""
    auth = authorise()
    permit2(chain).send(
        PAYER, "invalidateUnorderedNonces", auth.nonce >> 8, 1 << (auth.nonce & 0xFF)
    )
    async with reading(chain) as payments:
        found = await payments.payment_evidence(auth)
    assert (found.status, found.amount, found.tx_hash) == ("spent", None, None)


def told_receipts(change: Any) -> Edit:
    def edit(method: str, params: list[Any], answer: dict[str, Any]) -> Any:
        if method != "eth_getTransactionReceipt":
            return answer
        return result(answer, change(answer["result"]))

    return edit


def with_payee(receipt: dict[str, Any]) -> dict[str, Any]:
    def log(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["topics"][0] != event_topic("erc20", "Transfer"):
            return entry
        return {**entry, "topics": [*entry["topics"][:2], "0x" + "77".rjust(64, "0")]}

    return {**receipt, "logs": [log(entry) for entry in receipt["logs"]]}


async def test_attack_06_an_rpc_that_names_another_payee_is_noticed(chain: Chain) -> None:
    auth = authorise()
    chain.transact(FACILITATOR, UPTO_PROXY, calldata(auth, 50))
    async with reading(chain, None, told_receipts(with_payee)) as payments:
        with pytest.raises(RpcsDisagree):
            await payments.payment_evidence(auth)


async def test_a_receipt_of_another_block_than_the_chains_is_not_used(chain: Chain) -> None:
    auth = authorise()
    chain.transact(FACILITATOR, UPTO_PROXY, calldata(auth, 50))
    async with reading(
        chain, told_receipts(lambda r: {**r, "blockHash": "0x" + "ab" * 32})
    ) as payments:
        with pytest.raises(NetworkUnavailable, match="replaced block"):
            await payments.payment_evidence(auth)


# ----------------------------------------------------------------------------------------- calldata


def test_calls_inside_another_call_are_read(chain: Chain) -> None:
    first, second = authorise(), authorise()
    bundle = b"\x12\x34\x56\x78" + bytes(64) + calldata(first, 1) + bytes(28) + calldata(second, 2)
    assert [(terms.nonce, terms.amount) for terms in settle_calls(bundle)] == [
        (first.nonce, 1),
        (second.nonce, 2),
    ]
    assert [terms.settles(second) for terms in settle_calls(bundle)] == [False, True]


def test_what_was_signed_is_told_from_what_has_its_nonce() -> None:
    auth = authorise()
    (terms,) = settle_calls(calldata(auth, 7))
    assert terms.settles(auth)
    for change in (
        {"cap": CAP + 1},
        {"token": STRANGER},
        {"pay_to": STRANGER},
        {"facilitator": STRANGER},
        {"deadline": auth.deadline + 1},
        {"valid_after": auth.valid_after + 1},
    ):
        assert not terms.settles(replace(auth, **change))
        assert terms.spends(replace(auth, **change))
    for change in ({"nonce": auth.nonce ^ 1}, {"payer": STRANGER}):
        assert not terms.spends(replace(auth, **change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SETTLE.selector,
        SETTLE.selector[:3],
        SETTLE.selector * 50_000,
        SETTLE.selector + b"\xff" * 1000,
        (SETTLE.selector + b"\xff" * 28) * 4000,
    ],
)
def test_calldata_that_is_none_gives_nothing(data: bytes) -> None:
    assert settle_calls(data) == []


def test_the_number_of_calls_read_out_of_one_transaction_is_bounded() -> None:
    one = calldata(authorise(), 1, b"s" * 65)
    assert len(settle_calls(one * (MAX_BUNDLED + 50))) == MAX_BUNDLED
