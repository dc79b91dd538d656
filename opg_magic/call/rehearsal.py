"""A receipt before the call: whatever could not be written down afterwards ends the call before it
costs anything.

The document is built from the very call, host and network; only the answer, the authorisation's
numbers and the verdict are placeholders.  It must have the published form, come back from its own
bytes, and say of the request what was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.models import (
    Authorisation,
    Charge,
    Cost,
    Evidence,
    Money,
    PaymentEvidence,
    ResponseEvidence,
    Status,
    Trust,
    Verdict,
    VerdictStatus,
)
from opg_magic.models.arguments import SETTLEMENTS
from opg_magic.settings import environment

if TYPE_CHECKING:
    from opg_magic.call.state import ReadyHost, RunningCall, Where
    from opg_magic.models import ModelPrice
    from opg_magic.models.networks import Network

_NOBODY = "0x" + "0" * 40
_NOTHING = hashlib.sha256(b"").hexdigest()


def rehearse(
    call: RunningCall,
    ready: ReadyHost,
    network: Network,
    price: ModelPrice | None,
    where: Callable[[], Where],
) -> bytes:
    """Make the receipt that this call would leave, read it again, and return its bytes: what is
    public of the call.

    Raises :class:`opg_magic.errors.ConfigError` if the call itself, its notebook or the settings
    are why it cannot be made, :class:`opg_magic.errors.HostUnavailable` if what this host is listed
    with is."""
    evidence = _evidence(call, ready, network)
    why = _made(call, evidence, network, price, ready, where())
    if isinstance(why, bytes):
        return why
    bare = replace(
        evidence, host=None, signing_key=None, attestation=None, registry=None, channel=None
    )
    if isinstance(_made(call, bare, network, price, None, where()), bytes):
        raise errors.HostUnavailable(
            f"no receipt could be made of a call to host {ready.host.short_id} ({why}), so it was "
            f"not asked"
        )
    raise errors.ConfigError(
        f"no receipt of this call could be made: {why}",
        hint="Nothing was sent: whatever is paid for leaves a receipt.",
    )


def _evidence(call: RunningCall, ready: ReadyHost, network: Network) -> Evidence:
    chain, token = network.payment_chain_id, network.token
    nobody = Authorisation(chain, _NOBODY, token.address, 1, _NOBODY, 0, 1, _NOBODY, _NOBODY, 0)
    return Evidence(
        request=call.request,
        response=ResponseEvidence(call.prompt.stream, "", None, "stop", "{}", _NOTHING, 0),
        sent_at=call.created_at,
        received_at=call.created_at,
        signing_key=ready.host.public_key,
        host=ready.host,
        attestation=ready.attestation,
        registry=ready.registry,
        channel=ready.channel,
        payment=PaymentEvidence(f"eip155:{chain}", nobody, token, True, Charge.UNKNOWN),
        declared_simulated=network.simulated,
        settlement_mode=call.prompt.settle,
    )


def _made(
    call: RunningCall,
    evidence: Evidence,
    network: Network,
    price: ModelPrice | None,
    ready: ReadyHost | None,
    where: Where,
) -> bytes | str:
    """The receipt's bytes, or why it cannot be made, in a few words."""
    from opg_magic.receipt.build import build_receipt
    from opg_magic.receipt.document import Receipt
    from opg_magic.receipt.form import canonical_bytes
    from opg_magic.receipt.spendable import HoldsSecret
    from opg_magic.verify import request

    if call.prompt.settle not in SETTLEMENTS:
        return "its settlement is none that may be asked for"  # a receipt may state another: older ones do
    key = environment.secret("OPG_PRIVATE_KEY")
    one = Money(1, network.token)
    cost = Cost(
        one,
        one,
        price=price,
        token_usd=None if ready is None else ready.token_usd,
        charge=Charge.UNKNOWN,
    )
    try:
        made = build_receipt(
            id=call.id,
            created_at=call.created_at,
            network=network,
            prompt=call.prompt,
            evidence=evidence,
            verdict=Verdict(VerdictStatus.UNVERIFIED, network.simulated, {}, call.policy.name),
            cost=cost,
            kernel=where.kernel_id,
            notebook=where.notebook,
            cell=where.cell,
            model_sent=call.model_sent,
            secrets=() if key is None else (key,),
        )
        read = Receipt.from_document(made.document)
        kept = read.evidence()
        if not read.digest_matches or kept.request != evidence.request:
            return "it would not say what was sent"
        claim = request.check(kept, Trust())
    except HoldsSecret:
        return "your wallet's private key stands in it"
    except errors.OpgError as problem:
        return problem.message
    except Exception as problem:
        return f"{type(problem).__name__} in one of its values"
    return (
        claim.reason or claim.sentence
        if claim.status is Status.FAILED
        else canonical_bytes(made.document)
    )
