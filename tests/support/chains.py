"""What chains and other hosts show of a signed call, made here: payment, batch, individual
settlement, agreement."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from support import signing

from opg_magic.models import (
    AgreementEvidence,
    AgreementMember,
    Authorisation,
    BatchEvidence,
    Charge,
    Evidence,
    IndividualEvidence,
    PaymentEvidence,
    SettlementTx,
    VerdictStatus,
)
from opg_magic.network.profiles import OBSERVED_CAP, REGISTRY_CHAIN_ID, SIM_OPG, UPTO_PROXY
from opg_magic.protocol import merkle
from opg_magic.protocol.frame import SignedFields
from opg_magic.receipt.document import Receipt
from opg_magic.verify import agreement as agreements
from opg_magic.verify._claims import fields_of
from opg_magic.verify.settlement import leaf_of

RELAY = "0x" + "e1" * 20
FACILITATOR = "0x" + "fa" * 20
PAYEE = "0x" + "22" * 20
PAYER = "0x" + "0a" * 20
TX = "0x" + "77" * 32
BLOCK = "0x" + "88" * 32
DEADLINE = signing.SIGNED + 299


def authorisation(**changes: Any) -> Authorisation:
    """An authorisation that was signed just before the call of :mod:`support.signing`."""
    made = Authorisation(
        chain_id=SIM_OPG.chain_id,
        payer=PAYER,
        token=SIM_OPG.address,
        cap=OBSERVED_CAP,
        spender=UPTO_PROXY,
        nonce=2**255 + 7,
        deadline=DEADLINE,
        pay_to=PAYEE,
        facilitator=FACILITATOR,
        valid_after=signing.SIGNED - 600,
    )
    return replace(made, **changes)


def payment(**changes: Any) -> PaymentEvidence:
    made = PaymentEvidence(
        "eip155:8453", authorisation(), SIM_OPG, first_call=True, charge=Charge.CHARGED
    )
    return replace(made, **changes)


def settled(evidence: Evidence | None = None, **changes: Any) -> SettlementTx:
    """The transaction that settled the evidence's authorisation, as the payment chain shows it."""
    auth = (
        evidence.payment.authorisation
        if evidence is not None and evidence.payment is not None
        else authorisation()
    )
    shares = sum(share for _, share in changes.get("shared", ()))
    made = SettlementTx(
        status="spent",
        chain_id=auth.chain_id,
        tx_hash=TX,
        block_number=91,
        block_hash=BLOCK,
        block_time=datetime.fromtimestamp(auth.deadline, UTC) - timedelta(seconds=60),
        token=auth.token,
        payer=auth.payer,
        payee=auth.pay_to,
        facilitator=auth.facilitator,
        amount=shares or 4_100_000_000_000_000,
        cap=auth.cap,
        nonce=auth.nonce,
        seen_at_block=99,
        rpcs=("pay.example",),
    )
    return replace(made, **changes)


def signed_fields(evidence: Evidence) -> SignedFields:
    fields = fields_of(evidence)
    assert isinstance(fields, SignedFields)
    return fields


def batch(evidence: Evidence, others: int = 19, **changes: Any) -> BatchEvidence:
    """A committed batch with the call's leaf among others, and its proof."""
    leaf = leaf_of(signed_fields(evidence))
    tree = merkle.Tree([leaf, *(merkle.keccak256(bytes([n])) for n in range(others))])
    made = BatchEvidence(
        root="0x" + tree.root.hex(),
        leaf="0x" + leaf.hex(),
        proof=tuple("0x" + sibling.hex() for sibling in tree.proof(leaf)),
        tx_hash=TX,
        block_number=1300,
        block_hash=BLOCK,
        block_time=evidence.received_at + timedelta(minutes=5),
        relay=RELAY,
        chain_id=REGISTRY_CHAIN_ID,
        blob_id="aBlobId",
        batch_size=others + 1,
        sender=FACILITATOR,
        rpcs=("registry.example",),
    )
    return replace(made, **changes)


def individual(evidence: Evidence, **changes: Any) -> IndividualEvidence:
    """The relay's event for this call alone."""
    fields = signed_fields(evidence)
    made = IndividualEvidence(
        tx_hash=TX,
        block_number=1300,
        block_hash=BLOCK,
        block_time=evidence.received_at + timedelta(seconds=5),
        relay=RELAY,
        chain_id=REGISTRY_CHAIN_ID,
        tee_id=fields.tee_id,
        input_hash="0x" + fields.request_hash.hex(),
        output_hash="0x" + fields.output_hash.hex(),
        timestamp=fields.timestamp,
        signature=base64.b64encode(fields.signature).decode(),
        blob_id="aBlobId",
        sender=FACILITATOR,
        rpcs=("registry.example",),
    )
    return replace(made, **changes)


def member(
    name: str,
    text: str | None = "hi there",
    owner: str | None = None,
    verdict: VerdictStatus = VerdictStatus.VERIFIED,
) -> AgreementMember:
    """The answer of the host with that signer's key; its owner is its own unless named."""
    host = signing.host(
        signing.signer(name), owner=owner or "0x" + name.encode().hex().rjust(40, "0")
    )
    number = sum(name.encode()) % 10
    return agreements.member_of(
        receipt_id=f"{number}" * 10,
        digest="sha256:" + f"{number}" * 64,
        host=host,
        text=text,
        verdict=verdict,
    )


def agreed(
    members: Iterable[AgreementMember], quorum: int = 2, asked: int | None = None
) -> AgreementEvidence:
    answers = tuple(members)
    return AgreementEvidence(
        asked=asked or len(answers), quorum=quorum, group="GR0VP00001", answers=answers
    )


def agreement(one: Receipt) -> AgreementEvidence:
    """The receipt's own answer, and the same by another host."""
    evidence = one.evidence()
    own = agreements.member_of(
        receipt_id=one.id,
        digest=one.digest,
        host=evidence.host,
        text=evidence.response.text,
        verdict=VerdictStatus.VERIFIED,
    )
    return agreed([own, member("boris", evidence.response.text)])
