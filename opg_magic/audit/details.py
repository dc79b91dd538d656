"""One receipt of a report: every claim with what it rests on, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from opg_magic.audit.findings import Checked
from opg_magic.models import BASES, STATUSES, Basis, Claim, Status
from opg_magic.receipt.face.third import NOT_KNOWN, NOT_KNOWN_RE_RUN, OPEN, UNMET
from opg_magic.receipt.hop import hop
from opg_magic.receipt.question import Asked, asked


def _claim_json(claim: Claim) -> dict[str, Any]:
    return {
        "name": claim.name,
        "status": claim.status.value,
        "basis": claim.basis.value if claim.basis else None,
        "sentence": claim.sentence,
        "reason": claim.reason,
        "code": claim.code,
        "expires": claim.expires.isoformat() if claim.expires else None,
    }


def checked_json(one: Checked) -> dict[str, Any]:
    """As JSON data."""
    checked = one.receipt.document["checked"]
    return {
        "id": one.receipt.id,
        "where": one.where,
        "verdict": one.label,
        "simulated": one.verdict.simulated,
        "accepted": one.accepted,
        "failed_when_made": one.failed_when_made,
        "excused": list(one.excused),
        "because": list(one.verdict.because),
        "asked": found.to_json() if (found := _asked(one)) is not None else None,
        "claims": {c.name: _claim_json(c) for c in one.verdict.claims.values()},
        "behind_the_enclave": hop(one.receipt).to_json(),
        "digest": one.receipt.digest,
        "digest_matches": one.receipt.digest_matches,
        "at_creation": {"verdict": one.receipt.label, "by": checked["by"], "at": checked["at"]}
        if checked
        else None,
    }


def checked_text(one: Checked) -> Iterator[str]:
    """As lines for a person."""
    made = ", failed when made" if one.failed_when_made else ""
    yield f"receipt {one.receipt.id} ({one.where}): {one.label}{made}"
    if (found := _asked(one)) is not None:
        yield from (f"  {line}" for line in found.lines())
    for heading, claims in _groups(one):
        yield f"  {heading}"
        yield from (f"    {_claim_line(claim)}" for claim in claims)
    # What a claim's own line has said is not said again.
    said = {
        f"{claim.name}: {claim.reason or claim.sentence}" for claim in one.verdict.claims.values()
    }
    lacking = [reason for reason in one.verdict.because if reason not in said]
    if lacking:
        yield f"  Not enough for policy {one.verdict.policy}"
        yield from (f"    ○ {reason}" for reason in lacking)
    if one.accepted and one.verdict.simulated:
        yield from _accepted_text(one)
    yield f"  {hop(one.receipt).line}"
    yield f"  {not_known(one.verdict.claims.values())}"
    checked = one.receipt.document["checked"]
    if checked:
        yield f"  At creation: {one.receipt.label}, by the {checked['by']}, at {checked['at']}"


#: Who asked, where it was not the receipt's author.
_WHO = {Basis.ASKED: "your kernel or RPC", Basis.RE_RUN: "this machine"}


def _groups(one: Checked) -> Iterator[tuple[str, list[Claim]]]:
    """The claims as a card groups them: what did not pass, what did by what it rests on, what is
    open; and what does not apply."""
    claims = list(one.verdict.claims.values())
    by_status = {status: [c for c in claims if c.status is status] for status in Status}
    groups = [(heading, by_status[Status(status)]) for status, heading in UNMET.items()]
    passed = by_status[Status.PASSED]
    groups += [
        (words.heading.format(_WHO.get(basis, "")), [c for c in passed if c.basis is basis])
        for basis, words in BASES.items()
    ]
    groups += [
        ("Passed", [c for c in passed if c.basis is None]),
        (OPEN, by_status[Status.PENDING]),
        ("Not applicable", by_status[Status.NOT_APPLICABLE]),
    ]
    return ((heading, found) for heading, found in groups if found)


def _claim_line(claim: Claim) -> str:
    # Why a check does not apply, its sentence says.
    told = claim.reason and claim.status is not Status.NOT_APPLICABLE
    reason = f" ({claim.reason})" if told else ""
    return f"{STATUSES[claim.status].mark} {claim.name:12} {claim.sentence}{reason}"


def not_known(claims: Iterable[Claim]) -> str:
    """What no check says, as a card has it."""
    re_run = any(c.passed and c.basis is Basis.RE_RUN for c in claims)
    return NOT_KNOWN_RE_RUN if re_run else NOT_KNOWN


def _accepted_text(one: Checked) -> Iterator[str]:
    """What ``--allow-simulated`` excused, and what nobody asked for: exactly."""
    yield (
        "  Accepted as simulated, under this installation's own root. No hardware is behind it, "
        "and no money moved."
    )
    if one.excused:
        names = ", ".join(one.excused)
        yield (
            "  Excused, as the author's word alone (a simulated chain does not outlive its run): "
            f"{names}."
        )
    lacking = [
        c for c in one.verdict.claims.values() if c.status in (Status.PENDING, Status.MISSING)
    ]
    if lacking:
        told = ", ".join(f"{claim.name} ({claim.status})" for claim in lacking)
        yield f"  Not required by policy {one.verdict.policy}, and not passed: {told}."


def _asked(one: Checked) -> Asked | None:
    """What the host was asked, by the rules that its signature fits."""
    request, claim = one.receipt.document["request"], one.verdict.claims.get("request")
    matched = claim.facts.get("canonicaliser") if claim is not None else None
    return asked(request["kind"], request["body"], str(matched or request["canonicaliser"]))
