"""What a call leaves: its intent, its evidence and its receipt, each put together in one place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from opg_magic.call.state import CallSite, ReadyHost, RunningCall
from opg_magic.models import (
    Authorisation,
    Cost,
    Evidence,
    PaymentEvidence,
    ResponseEvidence,
    Verdict,
)
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret

if TYPE_CHECKING:
    from opg_magic.ledger.records import CallIntent
    from opg_magic.receipt.document import Receipt


def intent_of(
    call: RunningCall,
    ready: ReadyHost,
    network: Network,
    site: CallSite,
    authorisation: Authorisation | None = None,
) -> CallIntent:
    """What the ledger keeps of a call before it is sent.  ``authorisation``: what will cover it;
    None for a call that cannot spend."""
    from opg_magic.ledger.records import CallIntent

    return CallIntent(
        id=call.id,
        created_at=call.created_at,
        network=network,
        kernel_id=site.kernel_id,
        model=call.prompt.model,
        notebook=site.notebook,
        cell=site.cell,
        tee_id=ready.host.tee_id,
        prompt=call.prompt.text,
        authorisation=authorisation,
    )


def evidence_of(
    call: RunningCall,
    ready: ReadyHost,
    network: Network,
    *,
    response: ResponseEvidence,
    sent_at: datetime,
    received_at: datetime,
    payment: PaymentEvidence | None,
) -> Evidence:
    """All that a verdict on the call is made from."""
    return Evidence(
        request=call.request,
        response=response,
        sent_at=sent_at,
        received_at=received_at,
        signing_key=ready.host.public_key,
        host=ready.host,
        attestation=ready.attestation,
        registry=ready.registry,
        channel=ready.channel,
        sealed=ready.sealed,
        payment=payment,
        declared_simulated=network.simulated,
        settlement_mode=call.prompt.settle,
    )


def receipt_of_call(
    call: RunningCall,
    evidence: Evidence,
    network: Network,
    site: CallSite,
    *,
    verdict: Verdict | None,
    cost: Cost,
    secrets: Sequence[Secret[str]],
) -> Receipt:
    """The receipt of the call.  Raises HoldsSecret if one of ``secrets`` stands in it, ValueError
    and others if a value cannot be written down."""
    from opg_magic.receipt.build import build_receipt

    return build_receipt(
        id=call.id,
        created_at=call.created_at,
        network=network,
        prompt=call.prompt,
        evidence=evidence,
        verdict=verdict,
        cost=cost,
        kernel=site.kernel_id,
        notebook=site.notebook,
        cell=site.cell,
        model_sent=call.model_sent,
        secrets=secrets,
    )
