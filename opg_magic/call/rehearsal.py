"""A receipt before the call: whatever could not be written down afterwards ends the call before it
costs anything.

The document is built from the very call, host and network; only the answer, the authorisation's
numbers and the verdict are placeholders.  It must have the published form, come back from its own
bytes, and say of the request what was meant."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.evidence import evidence_of, receipt_of_call
from opg_magic.models import (
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
    from opg_magic.call.state import CallSite, ReadyHost, RunningCall
    from opg_magic.models.networks import Network

_NOTHING = hashlib.sha256(b"").hexdigest()


def rehearse(
    call: RunningCall,
    ready: ReadyHost,
    network: Network,
    payment: PaymentEvidence | None,
    site: CallSite,
) -> bytes:
    """Make the receipt that this call would leave, read it again, and return its bytes: what is
    public of the call.

    ``payment`` has the form of the call's, and its numbers do not matter.  Raises
    :class:`opg_magic.errors.ConfigError` if the call itself, its notebook or the settings are why
    no receipt can be made, :class:`opg_magic.errors.HostUnavailable` if the host's entry is."""
    evidence = evidence_of(
        call,
        ready,
        network,
        response=ResponseEvidence(call.prompt.stream, "", None, "stop", "{}", _NOTHING, 0),
        sent_at=call.created_at,
        received_at=call.created_at,
        payment=payment,
    )
    made = _made(call, evidence, network, ready, site)
    if isinstance(made, bytes):
        return made
    bare = replace(
        evidence,
        host=None,
        signing_key=None,
        attestation=None,
        registry=None,
        channel=None,
        sealed=None,
    )
    if isinstance(_made(call, bare, network, None, site), bytes):
        raise errors.HostUnavailable(
            f"no receipt could be made of a call to host {ready.host.short_id} ({made}), so it was "
            f"not asked"
        )
    raise errors.ConfigError(
        f"no receipt of this call could be made: {made}",
        hint="Nothing was sent: whatever is paid for leaves a receipt.",
    )


def _made(
    call: RunningCall,
    evidence: Evidence,
    network: Network,
    ready: ReadyHost | None,
    site: CallSite,
) -> bytes | str:
    """The receipt's bytes, or why it cannot be made, in a few words."""
    from opg_magic.receipt.document import read_whole
    from opg_magic.receipt.form import states_its_digest
    from opg_magic.receipt.secret_scan import HoldsSecret
    from opg_magic.verify import request

    if call.prompt.settle not in SETTLEMENTS:
        # A receipt may state another: older ones do.
        return "its settlement is none that may be asked for"
    key = environment.secret("OPG_PRIVATE_KEY")
    one = Money(1, network.token)
    cost = Cost(
        one,
        one,
        price=call.price,
        token_usd=None if ready is None else ready.token_usd,
        charge=Charge.UNKNOWN,
    )
    try:
        made = receipt_of_call(
            call,
            evidence,
            network,
            site,
            verdict=Verdict(VerdictStatus.UNVERIFIED, network.simulated, {}, call.policy.name),
            cost=cost,
            secrets=() if key is None else (key,),
        )
        read, written, kept = read_whole(made.document)
        if not states_its_digest(read.document, written) or kept.request != evidence.request:
            return "it would not say what was sent"
        claim = request.check(kept, Trust())
    except HoldsSecret:
        return "your wallet's private key stands in it"
    except errors.OpgError as problem:
        return problem.message
    except Exception as problem:
        return f"{type(problem).__name__} in one of its values"
    return (claim.reason or claim.sentence) if claim.status is Status.FAILED else written
