"""The freshness claim: signed between sending and receiving, and in no other receipt.

The signed time is the enclave's own.  That it fell inside the call is the word of whoever wrote the
times down, unless blocks that this verifier asked about lie before and after it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from opg_magic.models import Basis, Claim, Evidence, Problem, Trust
from opg_magic.protocol.frame import SignedFields
from opg_magic.verify._claims import basis_of, failed, fields_of, missing, passed

#: The chain's own bounds for an acceptable signature time, inclusive, in seconds.
MAX_AGE_SECONDS = 3600
MAX_AHEAD_SECONDS = 300

_LAST_SECOND = 253_402_300_799  # of the year 9999
_TIME = "%Y-%m-%d %H:%M:%S"


def check(evidence: Evidence, trust: Trust) -> Claim:
    """``sent − skew ≤ T ≤ received + skew`` and, at receipt, at most 3600 s old and 300 s ahead;
    bounds inclusive.

    Never counted from "now".  The chain counts whole seconds, so receipt is taken in whole seconds
    for its bounds. For a reader it is recorded, or asked where a registry block before and a
    payment block after the signed time were. Facts: ``timestamp``, ``skew_seconds``, and, where
    they were asked, ``between`` (the two blocks' times, ISO 8601)."""
    # What contradicts the receipt's own times follows from the receipt.
    basis = Basis.PROVEN if trust.reader else Basis.ASKED
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        return missing(
            "freshness",
            "Nothing signed says when the answer was made.",
            fields.code,
            fields.message,
        )
    facts: dict[str, Any] = {"timestamp": fields.timestamp, "skew_seconds": trust.skew_seconds}
    if evidence.signature_seen_in:
        others = ", ".join(evidence.signature_seen_in[:3])
        return failed(
            "freshness",
            basis,
            "This is an old answer, shown again.",
            "replayed",
            f"same signature in {others}",
            **facts,
        )
    fault = _time_fault(evidence, fields, trust.skew_seconds)
    if fault is not None:
        return failed(
            "freshness",
            basis,
            "The answer was not signed during this call.",
            "stale-time",
            fault,
            **facts,
        )
    when = datetime.fromtimestamp(fields.timestamp, UTC)
    if basis_of("freshness", trust) is Basis.ASKED:
        sentence = f"The host signed it during the call, at {when:%H:%M:%S} UTC, and only for it."
        return passed("freshness", Basis.ASKED, sentence, **facts)
    said = f"The signed time, {when:{_TIME}} UTC, is proven"
    between = _bounds(evidence, trust, fields)
    if between is None:
        sentence = f"{said}; that it fell inside the call is the author's word."
        return passed("freshness", Basis.RECORDED, sentence, **facts)
    first, last = between
    facts["between"] = (first.isoformat(), last.isoformat())
    sentence = (
        f"{said}; registry block ({first:{_TIME}} UTC) and payment block ({last:{_TIME}} UTC) "
        f"bound the call."
    )
    return passed("freshness", Basis.ASKED, sentence, **facts)


def _bounds(
    evidence: Evidence, trust: Trust, fields: SignedFields
) -> tuple[datetime, datetime] | None:
    """Times of the registry's block before and the payment's block after signing, if this verifier
    asked about both."""
    if not {"registry", "payment"} <= trust.asked:
        return None
    registry = evidence.registry
    settled = evidence.payment.settled if evidence.payment is not None else None
    if (
        registry is None
        or settled is None
        or settled.status != "spent"
        or settled.block_time is None
    ):
        return None
    signed = fields.timestamp
    if not registry.block_time.timestamp() <= signed <= settled.block_time.timestamp():
        return None
    return registry.block_time, settled.block_time


def _time_fault(evidence: Evidence, fields: SignedFields, skew: float) -> str | None:
    signed, sent, received = (
        fields.timestamp,
        evidence.sent_at.timestamp(),
        evidence.received_at.timestamp(),
    )
    if signed > _LAST_SECOND:
        return "signed at a time beyond the year 9999"
    if signed < sent - skew:
        return f"signed {sent - signed:.0f} s before sending; {skew:g} s are allowed"
    if signed > received + skew:
        return f"signed {signed - received:.0f} s after receiving; {skew:g} s are allowed"
    received = math.floor(received)
    if received - signed > MAX_AGE_SECONDS:
        return (
            f"signed {received - signed} s before receiving; the chain allows {MAX_AGE_SECONDS} s"
        )
    if signed - received > MAX_AHEAD_SECONDS:
        return (
            f"signed {signed - received} s after receiving; the chain allows {MAX_AHEAD_SECONDS} s"
        )
    return None
