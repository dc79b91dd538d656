"""What the claim modules share: making claims, and the signed fields of an exchange."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from opg_magic.models import Basis, Claim, ClaimName, Evidence, Problem, Status, Trust
from opg_magic.protocol.frame import SignedFields, read_signed_fields

#: Problems that leave nothing to judge: no answer was completed and signed.  All others are faults
#: of what came.
NOTHING_SIGNED = frozenset({"unsigned", "host-failure", "http-status", "timeout", "interrupted"})


def passed(name: ClaimName, basis: Basis, sentence: str, **facts: Any) -> Claim:
    """A claim that holds, and what that rests on."""
    return Claim(name, Status.PASSED, basis, sentence, facts=facts)


def failed(
    name: ClaimName, basis: Basis, sentence: str, code: str, reason: str, **facts: Any
) -> Claim:
    """A claim that the evidence contradicts: ``basis`` says whose word shows that."""
    return Claim(name, Status.FAILED, basis, sentence, reason=reason, code=code, facts=facts)


def missing(name: ClaimName, sentence: str, code: str, reason: str, **facts: Any) -> Claim:
    """A claim for which evidence is lacking; nothing speaks against it."""
    return Claim(name, Status.MISSING, None, sentence, reason=reason, code=code, facts=facts)


def not_applicable(name: ClaimName, sentence: str, code: str, reason: str, **facts: Any) -> Claim:
    """A claim about something that this call did not have."""
    return Claim(name, Status.NOT_APPLICABLE, None, sentence, reason=reason, code=code, facts=facts)


def waiting(
    name: ClaimName, trust: Trust, expires: datetime, yet: str, too_late: str, **facts: Any
) -> Claim:
    """Pending until ``expires``; after it (as far as ``trust.now`` tells), missing with the code
    ``expired``."""
    until = f"{expires:%Y-%m-%d %H:%M} UTC"
    if trust.now is not None and trust.now > expires:
        return missing(name, too_late, "expired", f"it could come until {until}", **facts)
    return Claim(
        name, Status.PENDING, None, yet, f"it can come until {until}", "not-yet", expires, facts
    )


def basis_of(name: ClaimName, trust: Trust) -> Basis:
    """``asked`` in the kernel that made the call, or where this verifier asked just now; else the
    author's word."""
    return Basis.ASKED if not trust.reader or name in trust.asked else Basis.RECORDED


def fields_of(evidence: Evidence) -> SignedFields | Problem:
    """The signed fields, or why there are none."""
    response = evidence.response
    if response.frame is not None:
        return read_signed_fields(response.frame)
    return response.problem or Problem("unsigned", "the host did not sign this answer")
