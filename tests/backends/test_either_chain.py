"""One suite on two EVMs: the embedded chains, and Foundry's anvil in their place.

What is asked of a chain is asked of both: registry, payment, settlement of data, reconciliation,
the lies about them."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.anvil import AnvilNetwork
from support.simnet import Client, RunningSimnet, chat, client

from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.errors import NetworkUnavailable, OpgError, RpcsDisagree
from opg_magic.models import Authorisation, Charge, Prompt
from opg_magic.network.profiles import OPG_ADDRESS, PERMIT2, REGISTRY_ADDRESS, UPTO_PROXY
from opg_magic.network.registry import RegistryReader
from opg_magic.network.relay import SettlementReader
from opg_magic.protocol import merkle
from opg_magic.settings.config import Settings
from opg_magic.simnet.chain.errors import Reverted
from opg_magic.simnet.cheats.payment import STRANGER
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.network import SimNetwork
from opg_magic.simnet.payment.facilitator import read_payment
from opg_magic.wallet.chain import PaymentChain


@asynccontextmanager
async def payment_chain(net: RunningSimnet, **changes: Any) -> AsyncIterator[PaymentChain]:
    chain = PaymentChain(replace(net.network, **changes))
    try:
        yield chain
    finally:
        await chain.aclose()


@asynccontextmanager
async def settlements(net: RunningSimnet, **changes: Any) -> AsyncIterator[SettlementReader]:
    reader = SettlementReader(replace(net.network, **changes))
    try:
        yield reader
    finally:
        await reader.aclose()


@asynccontextmanager
async def registry(net: RunningSimnet, **changes: Any) -> AsyncIterator[RegistryReader]:
    reader = RegistryReader(replace(net.network, **changes))
    try:
        yield reader
    finally:
        await reader.aclose()


async def in_thread(work: Any, *args: Any) -> Any:
    """What blocks does so elsewhere: the test's own loop serves its HTTP clients."""
    return await asyncio.to_thread(work, *args)


# ---------------------------------------------------------------------------------------- contracts


async def test_contracts_stand_at_their_fixed_addresses(net: RunningSimnet) -> None:
    contracts = deploy.artifacts()["contracts"]
    payment, registry_chain = net.net.payment_chain.w3, net.net.registry_chain.w3
    places = [
        (payment, OPG_ADDRESS, "OPGToken"),
        (payment, PERMIT2, "Permit2"),
        (payment, UPTO_PROXY, "X402UptoPermit2Proxy"),
        (registry_chain, REGISTRY_ADDRESS, "TEERegistry"),
        (registry_chain, deploy.SETTLEMENT_RELAY, "SettlementRelay"),
    ]
    for w3, address, name in places:
        assert (await in_thread(w3.eth.get_code, address)).to_0x_hex() == contracts[name][
            "runtimeBytecode"
        ]
    assert (payment.eth.chain_id, registry_chain.eth.chain_id) == (8453, 10740)


def test_refusals_come_with_the_contracts_own_names(net: RunningSimnet) -> None:
    with pytest.raises(Reverted, match="NotAdmin"):
        net.net.registry.contract.send(net.net.keys.owners["anna"], "setHeartbeatMaxAge", 1)
    with pytest.raises(Reverted, match="UnknownTEE"):
        net.net.registry.contract.read("getTEE", bytes(32))


# ----------------------------------------------------------------------------------------- registry


async def test_the_registry_lists_the_hosts_that_are_active(net: RunningSimnet) -> None:
    async with registry(net) as reader:
        snapshot = await reader.snapshot()
        assert {host.tee_id for host in snapshot.hosts} == {host.tee_id for host in net.hosts}
        for host in net.hosts:
            evidence = snapshot.evidence(host.tee_id)
            assert evidence.active
            assert evidence.pcr_version == host.version
            assert evidence.entry is not None
            assert evidence.entry.tls_certificate == host.certificate.der


async def test_attack_05_the_past_stays_what_it_was(net: RunningSimnet) -> None:
    anna = net.host("anna")
    async with registry(net) as reader:
        before = (await reader.snapshot()).block_number
        await in_thread(net.registry, "anna", "disable")
        disabled = (await reader.snapshot()).block_number
        await in_thread(net.registry, "anna", "enable")
        await in_thread(net.registry, "anna", "revoke")
        revoked = (await reader.snapshot()).block_number
        reasons = [
            (await reader.at_block(anna.tee_id, n)).inactive_reason
            for n in (before, disabled, revoked)
        ]
        assert reasons == [None, "disabled", "PCR revoked"]
        # bruno runs the same build, chidi another.
        assert [host.tee_id for host in (await reader.snapshot()).hosts] == [
            net.host("chidi").tee_id
        ]


async def test_two_names_of_one_rpc_agree_at_a_block(net: RunningSimnet) -> None:
    url = net.network.registry_rpcs[0]
    async with registry(net, registry_rpcs=(url, url.replace("127.0.0.1", "localhost"))) as reader:
        assert len((await reader.snapshot()).rpcs) == 2


# ------------------------------------------------------------------------------------------ payment


async def paid(anna: Client, **more: Any) -> tuple[Authorisation, httpx.Response]:
    """One paid call, and what was authorised for it."""
    terms = await anna.terms()
    auth = anna.authorise(terms)
    answer = await anna.pay(chat("Is 561 prime?", **more), header=anna.payment(terms, auth))
    return auth, answer


async def test_a_payment_is_found_with_everything_that_was_signed(net: RunningSimnet) -> None:
    anna = net.host("anna")
    before = await in_thread(net.balance, anna.payment_address)
    async with client(net) as http, payment_chain(net) as chain:
        await chain.check()
        auth, answer = await paid(http)
        assert answer.status_code == 200
        assert (await chain.payment_evidence(auth)).status == "open"
        (tx_hash,) = await in_thread(net.settle_now)
        found = await chain.payment_evidence(auth)
        taken = await in_thread(net.balance, anna.payment_address) - before
        assert found.status == "spent"
        assert found.tx_hash == tx_hash
        assert 0 < taken == found.amount <= auth.cap == found.cap
        assert (found.token, found.payer, found.payee) == (
            OPG_ADDRESS,
            net.payer,
            anna.payment_address,
        )
        assert (found.facilitator, found.nonce) == (net.net.facilitator, auth.nonce)
        assert found.chain_id == 8453
        block = await in_thread(net.net.payment_chain.w3.eth.get_block, found.block_number)
        assert block["hash"].to_0x_hex() == found.block_hash
        assert found.block_time is not None
        assert block["timestamp"] == found.block_time.timestamp()
        assert found.seen_at_block is not None
        assert found.seen_at_block >= found.block_number
        # An authorisation that was never used is none the wiser for it.
        assert (await chain.payment_evidence(replace(auth, nonce=auth.nonce ^ 1))).status == "open"


async def test_web3_reads_the_same_in_that_transaction(net: RunningSimnet) -> None:
    """A peer: web3's own decoding of calldata and log, by the artefacts' ABI."""
    async with client(net) as http, payment_chain(net) as chain:
        auth, _ = await paid(http)
        await in_thread(net.settle_now)
        found = await chain.payment_evidence(auth)
    w3, contracts = net.net.payment_chain.w3, deploy.artifacts()["contracts"]
    proxy = w3.eth.contract(UPTO_PROXY, abi=contracts["X402UptoPermit2Proxy"]["abi"])
    token = w3.eth.contract(OPG_ADDRESS, abi=contracts["OPGToken"]["abi"])
    transaction = await in_thread(w3.eth.get_transaction, found.tx_hash)
    function, arguments = proxy.decode_function_input(transaction["input"])
    assert function.fn_name == "settle"
    assert arguments["permit"]["permitted"] == {"token": found.token, "amount": found.cap}
    assert (arguments["permit"]["nonce"], arguments["permit"]["deadline"]) == (
        found.nonce,
        auth.deadline,
    )
    assert arguments["amount"] == found.amount
    assert arguments["owner"] == found.payer
    assert arguments["witness"]["facilitator"] == found.facilitator == transaction["from"]
    from web3.logs import DISCARD

    receipt = await in_thread(w3.eth.get_transaction_receipt, found.tx_hash)
    (moved,) = token.events.Transfer().process_receipt(receipt, errors=DISCARD)
    assert (moved["args"]["from"], moved["args"]["to"]) == (found.payer, found.payee)
    assert moved["args"]["value"] == found.amount


async def test_a_nonce_spent_under_other_terms_is_told_with_those_terms(net: RunningSimnet) -> None:
    async with client(net) as http, payment_chain(net) as chain:
        auth, _ = await paid(http)
        await in_thread(net.settle_now)
        claimed = replace(auth, cap=auth.cap - 1)
        found = await chain.payment_evidence(claimed)
        assert (found.status, found.cap, found.nonce) == ("spent", auth.cap, auth.nonce)
        # For reconciliation it does not count: it is not what was authorised.
        assert (await chain.find_settlement(claimed)).amount is None


@pytest.mark.parametrize(
    "mode", ["settle-too-much", "settle-other-payee", "never-settle", "double-nonce"]
)
async def test_attack_23_lies_about_payments_stand_on_the_chain(
    net: RunningSimnet, mode: str
) -> None:
    async with client(net) as http, payment_chain(net) as chain:
        honest, _ = await paid(http)
        await in_thread(net.settle_now)
        fair = (await chain.payment_evidence(honest)).amount
        assert fair is not None
        await in_thread(net.cheat, "anna", mode)
        auth, _ = await paid(http)
        other, _ = await paid(http)
        await in_thread(net.settle_now)
        found, second = await chain.payment_evidence(auth), await chain.payment_evidence(other)
    if mode == "settle-too-much":
        assert found.amount == min(10 * fair, auth.cap)
    elif mode == "settle-other-payee":
        assert (found.payee, found.amount) == (STRANGER, fair)
    elif mode == "never-settle":
        assert (found.status, found.tx_hash) == ("open", None)
    else:
        # The second call was charged to the first one's authorisation, too.
        assert (found.amount, second.amount) == (2 * fair, fair)


async def test_attack_06_an_rpc_of_another_chain_does_not_agree(net: RunningSimnet) -> None:
    wrong = (net.network.payment_rpcs[0], net.network.registry_rpcs[0])
    async with payment_chain(net, payment_rpcs=wrong) as chain:
        with pytest.raises((NetworkUnavailable, RpcsDisagree), match="serves chain 10740"):
            await chain.check()


async def test_a_payment_signed_for_another_amount_is_refused_by_permit2(
    net: RunningSimnet,
) -> None:
    async with client(net) as http:
        terms = await http.terms()
        auth = http.authorise(terms)
        header = http.payment(terms, auth)
    payment = read_payment(header)
    stretched = replace(payment, authorisation=replace(auth, cap=auth.cap + 1))
    settle = deploy.upto_proxy(net.net.payment_chain)
    signed = (auth.pay_to, auth.facilitator, auth.valid_after)

    def call(of: Any) -> None:
        permit = ((auth.token, of.authorisation.cap), auth.nonce, auth.deadline)
        data = settle.encode("settle", permit, 1, auth.payer, signed, of.signature.reveal())
        net.net.payment_chain.call(UPTO_PROXY, data, sender=net.net.facilitator)

    await in_thread(call, payment)
    with pytest.raises(Reverted):
        await in_thread(call, stretched)


# --------------------------------------------------------------------------------------- settlement


def signed_of(answer: httpx.Response) -> tuple[str, str, str, str, int]:
    body = answer.json()
    names = ("tee_id", "tee_request_hash", "tee_output_hash", "tee_signature", "tee_timestamp")
    fields: tuple[str, str, str, str, int] = tuple(body[name] for name in names)  # type: ignore[assignment]
    return fields


async def test_a_batched_answer_is_found_and_proven(net: RunningSimnet) -> None:
    async with client(net) as http, settlements(net) as reader:
        http.headers["X-SETTLEMENT-TYPE"] = "batch"
        answers = [await http.ask(chat(f"Is {n} prime?")) for n in (559, 561, 563)]
        assert await reader.find_batch(*signed_of(answers[0])) is None
        (batch,) = await in_thread(net.settle_batch)
        for answer in answers:
            found = await reader.find_batch(*signed_of(answer))
            assert found is not None
            assert (found.tx_hash, found.root, found.blob_id) == (
                batch.tx_hash,
                batch.root,
                batch.blob_id,
            )
            assert (found.batch_size, found.sender) == (3, net.net.settler.address)
            root, leaf, *proof = (
                bytes.fromhex(word[2:]) for word in (found.root, found.leaf, *found.proof)
            )
            assert merkle.verify_proof(root, leaf, proof)
            block = await in_thread(net.net.registry_chain.w3.eth.get_block, found.block_number)
            assert block["hash"].to_0x_hex() == found.block_hash
        await http.ask(chat("Is 565 prime?"))
        assert await reader.find_batch(*signed_of(await http.ask(chat("Is 567 prime?")))) is None


async def test_a_single_settlement_is_found(net: RunningSimnet) -> None:
    async with client(net) as http, settlements(net) as reader:
        answer = await http.ask(chat("Is 561 prime?"))
        tee_id, request, output, signature, when = signed_of(answer)
        words = (bytes.fromhex(tee_id[2:]), bytes.fromhex(request), bytes.fromhex(output))
        raw = base64.b64decode(signature)
        relay = deploy.settlement_relay(net.net.registry_chain)
        # Hosts put no answer on record by itself any more; the contract still can, and old receipts
        # are still read.
        done = await in_thread(
            relay.send,
            net.net.keys.settler,
            "settleIndividual",
            *words,
            when,
            UPTO_PROXY,
            b"A" * 43,
            raw,
        )
        found = await reader.find_individual(*signed_of(answer))
        assert found is not None
        assert found.tx_hash == done["transactionHash"].to_0x_hex()
        assert found.blob_id == "A" * 43
        assert (found.tee_id, found.timestamp) == (
            answer.json()["tee_id"],
            answer.json()["tee_timestamp"],
        )
        assert found.signature == answer.json()["tee_signature"]
        assert found.sender == net.net.settler.address
        assert (
            await reader.find_individual(*signed_of(await http.ask(chat("Is 563 prime?")))) is None
        )


async def test_the_relay_refuses_a_signature_that_does_not_hold(
    net: RunningSimnet, chain_backend: str
) -> None:
    async with client(net) as http, settlements(net) as reader:
        answer = await http.ask(chat("Is 561 prime?"))
        tee_id, request, output, signature, when = signed_of(answer)
        raw = base64.b64decode(signature)
        if chain_backend == "anvil":
            await in_thread(net.net.stub.refuse, raw)  # type: ignore[attr-defined]
        else:
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        words = (bytes.fromhex(tee_id[2:]), bytes.fromhex(request), bytes.fromhex(output))
        arguments = (*words, when, UPTO_PROXY, b"A" * 43, raw)
        relay = deploy.settlement_relay(net.net.registry_chain)
        with pytest.raises(Reverted, match="SignatureInvalid"):
            await in_thread(relay.send, net.net.keys.settler, "settleIndividual", *arguments)
        assert await reader.find_individual(*signed_of(answer)) is None


@pytest.mark.parametrize(
    ("mode", "found_at_all"),
    [
        ("batch-omit-leaf", False),
        ("batch-foreign-relay", False),
        ("batch-other-sender", False),
        ("never-settle", False),
        ("batch-wrong-root", True),
    ],
)
async def test_attack_24_a_lie_about_a_batch_never_gives_a_proof(
    net: RunningSimnet, mode: str, found_at_all: bool
) -> None:
    async with client(net) as http, settlements(net) as reader:
        http.headers["X-SETTLEMENT-TYPE"] = "batch"
        await in_thread(net.cheat, "anna", mode)
        answer = await http.pay(chat("Is 561 prime?"))
        await in_thread(net.settle_batch)
        found = await reader.find_batch(*signed_of(answer))
        assert (found is not None) is found_at_all
        if found is not None:
            root, leaf, *proof = (
                bytes.fromhex(word[2:]) for word in (found.root, found.leaf, *found.proof)
            )
            assert not merkle.verify_proof(root, leaf, proof)


async def test_a_search_that_ended_says_until_when(net: RunningSimnet) -> None:
    async with settlements(net) as reader:
        now = datetime.now(UTC)
        nothing = (bytes(32), bytes(32), bytes(32), b"x", int(time.time()))
        assert (await reader.search_batch(*nothing, until=now - timedelta(seconds=30))).complete
        assert not (
            await reader.search_batch(*nothing, until=now + timedelta(seconds=900))
        ).complete


# ------------------------------------------------------------------------------------------- engine


@pytest.fixture
def session(net: RunningSimnet, home: Path) -> Iterator[Session]:
    settings = Settings(environ={}, user_file=home / "config.toml", project_dir=home)
    made = Session(settings, simulator=lambda _known: net.net.state)
    yield made
    made.close()


def test_a_cell_is_answered_paid_and_kept(session: Session, net: RunningSimnet) -> None:
    before = net.balance(net.payer)
    answer = session.ask(Prompt(text="Is 561 prime?", model="openai/gpt-5"))
    assert (answer.verdict.status, answer.verdict.simulated) == ("SIMULATED", True)
    assert answer.cost.amount is not None
    assert len(net.settle_now()) == 1
    assert before - net.balance(net.payer) == answer.cost.amount.amount


def test_attack_22_what_was_taken_for_no_answer_is_found_by_its_nonce(
    session: Session, net: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opg_magic.call.reconciling.RECONCILE_AFTER", timedelta(0))
    net.cheat("anna", "take-and-hang")
    host = net.host("anna").tee_id
    with pytest.raises(OpgError) as stopped:
        session.ask(
            Prompt(text="Is 561 prime?", model="openai/gpt-5"), CallOptions(host=host, timeout=5.0)
        )
    assert stopped.value.charge is Charge.UNKNOWN
    assert session.overview.spending().kernel_reserved.amount == 10**17
    assert session.reconcile() == 0
    before = net.balance(net.payer)
    net.cheat("anna", "off")
    assert len(net.settle_now()) == 1
    assert session.reconcile() == 1
    assert session.overview.spending().kernel_reserved.amount == before - net.balance(net.payer) > 0


# ---------------------------------------------------------------------------------------- deadlines


@pytest.fixture
def own_network(chain_backend: str, home: Path) -> Iterator[RunningSimnet]:
    """A network of the test's own, whose payment clock it may move."""
    with RunningSimnet(made_by=AnvilNetwork if chain_backend == "anvil" else SimNetwork) as running:
        yield running


async def test_attack_23_past_its_deadline_an_authorisation_that_nobody_used_is_unspent(
    own_network: RunningSimnet,
) -> None:
    net = own_network
    await in_thread(net.cheat, "anna", "never-settle")
    async with client(net) as http, payment_chain(net) as chain:
        auth, _ = await paid(http)
        assert (await chain.payment_evidence(auth)).status == "open"
        await in_thread(net.advance, 330.0)
        assert (await chain.payment_evidence(auth)).status == "unspent"
        assert await in_thread(net.settle_now) == []
