"""One receipt of a report: every claim with what it rests on, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opg_magic.audit.findings import Checked
from opg_magic.models import STATUSES, Claim, Status
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
    for claim in one.verdict.claims.values():
        basis = f" [{claim.basis}]" if claim.basis else ""
        reason = f" ({claim.reason})" if claim.reason else ""
        yield f"  {STATUSES[claim.status].mark} {claim.name:12} {claim.sentence}{reason}{basis}"
    yield f"  {hop(one.receipt).line}"
    # What a claim's own line has said is not said again.
    said = {
        f"{claim.name}: {claim.reason or claim.sentence}" for claim in one.verdict.claims.values()
    }
    for reason in one.verdict.because:
        if reason not in said:
            yield f"    {reason}"
    if one.accepted and one.verdict.simulated:
        yield from _accepted_text(one)
    checked = one.receipt.document["checked"]
    if checked:
        yield f"  At creation: {one.receipt.label}, by the {checked['by']}, at {checked['at']}"


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
