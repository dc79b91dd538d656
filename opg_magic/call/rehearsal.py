"""A receipt before the call: whatever could not be written down afterwards ends the call before it
costs anything.

The document is built from the very call, host and network; only the answer, the authorisation's
numbers and the verdict are placeholders.  It must have the published form, come back from its own
bytes, and say of the request what was meant.

What a host brings is the same in each of its calls until it is looked at again, and the largest
part of a receipt: it is rehearsed with the first of them."""

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


class Rehearsals:
    """Of the calls of one kernel on one network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        #: By host, what it brought to the last call that was rehearsed whole, and that receipt.
        self._whole: dict[str, tuple[tuple[object, ...], bytes]] = {}

    def rehearse(
        self,
        call: RunningCall,
        ready: ReadyHost,
        payment: PaymentEvidence | None,
        site: CallSite,
    ) -> bytes:
        """Make the receipt that this call would leave, read it again, and return bytes that hold
        what is public of the call.

        ``payment`` has the form of the call's, and its numbers do not matter.  Raises
        :class:`opg_magic.errors.ConfigError` if the call itself, its notebook or the settings are
        why no receipt can be made, :class:`opg_magic.errors.HostUnavailable` if the host's entry
        is."""
        from opg_magic.receipt.form import MAX_BYTES

        evidence = _evidence(call, ready, self._network, payment)
        brought = (
            evidence.host,
            evidence.signing_key,
            evidence.attestation,
            evidence.registry,
            evidence.channel,
            evidence.sealed,
            ready.token_usd,
        )
        before, whole = self._whole.get(ready.host.tee_id, ((), b""))
        if before == brought:
            rest = _made(call, _bare(evidence), self._network, None, site)
            if isinstance(rest, bytes) and len(rest) + len(whole) <= MAX_BYTES:
                return whole + rest
        made = _made(call, evidence, self._network, ready, site)
        if isinstance(made, bytes):
            self._whole[ready.host.tee_id] = brought, made
            return made
        if isinstance(_made(call, _bare(evidence), self._network, None, site), bytes):
            raise errors.HostUnavailable(
                f"no receipt could be made of a call to host {ready.host.short_id} ({made}), so it "
                "was not asked"
            )
        raise errors.ConfigError(
            f"no receipt of this call could be made: {made}",
            hint="Nothing was sent: whatever is paid for leaves a receipt.",
        )


def _evidence(
    call: RunningCall, ready: ReadyHost, network: Network, payment: PaymentEvidence | None
) -> Evidence:
    return evidence_of(
        call,
        ready,
        network,
        response=ResponseEvidence(call.prompt.stream, "", None, "stop", "{}", _NOTHING, 0),
        sent_at=call.created_at,
        received_at=call.created_at,
        payment=payment,
    )


def _bare(evidence: Evidence) -> Evidence:
    """The same without what the host brings."""
    return replace(
        evidence,
        host=None,
        signing_key=None,
        attestation=None,
        registry=None,
        channel=None,
        sealed=None,
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
