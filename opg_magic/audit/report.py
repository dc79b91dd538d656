"""What came out of checking a file: findings, verdicts, and both of them as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from opg_magic.models import (
    CLAIM_NAMES,
    STATUSES,
    Basis,
    Claim,
    Status,
    Verdict,
    VerdictStatus,
    plain_text,
)
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.question import Asked, asked

#: ``failed``: something is not as the file says; ``unreadable``; ``incomplete``: not enough to say;
#: ``note``: no harm.
Level = Literal["failed", "unreadable", "incomplete", "note"]

#: What neither the host's signature nor the attestation covers, in any receipt.
RECORDED = (
    "created_at",
    "software",
    "network",
    "notebook",
    "prompt.source_sha256",
    "request.model_requested",
    "response.model",
    "response.usage",
    "response.finish_reason",
    "sent_at",
    "received_at",
    "payment",
    "checked",
)

_SIGNS = {"failed": "✗", "unreadable": "✗", "incomplete": "○", "note": "·"}
_NOT_PROVEN = (
    "Not proven: which weights the provider ran, whether it honoured every parameter, and whether "
    "an answer is true. Times, cell, model name in the answer, tokens and cost are the author's or "
    "the host's word, not signed."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report beyond the claims; ``where`` says in the file's own terms (``cell 3``,
    ``line 7``)."""

    level: Level
    code: str
    message: str
    where: str | None = None
    receipt_id: str | None = None


@dataclass(frozen=True)
class Checked:
    """One receipt and the verdict on it now.  ``accepted`` as simulated: see
    :attr:`Report.exit_code`.

    ``excused``: required claims that were accepted although they rest on the author's word alone.
    """

    receipt: Receipt
    where: str
    verdict: Verdict
    accepted: bool
    excused: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.verdict.label


@dataclass(frozen=True)
class Report:
    """What came out of checking one file."""

    path: str
    policy: str
    checked: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    #: Cells or lines that hold no receipt are of no concern when one receipt was asked for.
    only: str | None = None

    def _has(self, level: Level) -> bool:
        return any(f.level == level for f in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all VERIFIED (or accepted as simulated), 1 something FAILED, 2 unreadable, 3 not enough
        to say."""
        if self._has("failed") or any(
            c.verdict.status is VerdictStatus.FAILED for c in self.checked
        ):
            return 1
        if self._has("unreadable"):
            return 2
        if not self.checked or self._has("incomplete") or not all(c.accepted for c in self.checked):
            return 3
        return 0

    @property
    def simulated(self) -> bool:
        return any(c.verdict.simulated for c in self.checked)

    @property
    def label(self) -> str:
        """One word for the whole file: the worst that applies; never VERIFIED if anything in it is
        simulated."""
        code = self.exit_code
        if code == 2:
            return "UNREADABLE"
        if not self.checked:
            return "FAILED" if code == 1 else "NO RECEIPT"
        outcomes = (c.verdict.outcome for c in self.checked)
        status = VerdictStatus.FAILED if code == 1 else max(outcomes, key=list(VerdictStatus).index)
        if code == 3 and status is VerdictStatus.VERIFIED and self._has("incomplete"):
            status = VerdictStatus.PARTIAL
        return Verdict(status, self.simulated, {}, self.policy).label

    @property
    def recorded_claims(self) -> tuple[str, ...]:
        """Names of the claims that, in some receipt, rest on its author's word alone."""
        names = {
            c.name
            for one in self.checked
            for c in one.verdict.claims.values()
            if c.basis is Basis.RECORDED
        }
        return tuple(name for name in CLAIM_NAMES if name in names)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data (one object)."""
        return {
            "path": self.path,
            "verdict": self.label,
            "simulated": self.simulated,
            "exit_code": self.exit_code,
            "policy": self.policy,
            "receipts": [_checked_json(c) for c in self.checked],
            "findings": [
                {
                    "level": f.level,
                    "code": f.code,
                    "message": f.message,
                    "where": f.where,
                    "receipt": f.receipt_id,
                }
                for f in self.findings
            ],
            "recorded": list(RECORDED),
            "recorded_claims": list(self.recorded_claims),
        }

    def to_text(self) -> str:
        """The report for a person: every claim in words with what it rests on, then what else was
        found."""
        count = len(self.checked)
        lines = [
            f"{self.path}: {self.label} ({count} receipt{'' if count == 1 else 's'}, policy "
            f"{self.policy})"
        ]
        for one in self.checked:
            lines += ["", *_checked_text(one)]
        if self.findings:
            lines.append("")
        for f in self.findings:
            place = ", ".join(p for p in (f.where, f.receipt_id and f"receipt {f.receipt_id}") if p)
            lines.append(f"{_SIGNS[f.level]} {f'{place}: ' if place else ''}{f.message}")
        recorded = self.recorded_claims
        if recorded:
            lines += ["", f"Recorded by the author and not asked here: {', '.join(recorded)}."]
        if self.checked:
            lines += ["", _NOT_PROVEN]
        return "\n".join(_one_line(line) for line in lines)


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


def _checked_json(one: Checked) -> dict[str, Any]:
    checked = one.receipt.document["checked"]
    return {
        "id": one.receipt.id,
        "where": one.where,
        "verdict": one.label,
        "simulated": one.verdict.simulated,
        "accepted": one.accepted,
        "excused": list(one.excused),
        "because": list(one.verdict.because),
        "asked": found.to_json() if (found := _asked(one)) is not None else None,
        "claims": {c.name: _claim_json(c) for c in one.verdict.claims.values()},
        "digest": one.receipt.digest,
        "digest_matches": one.receipt.digest_matches,
        "at_creation": {"verdict": one.receipt.label, "by": checked["by"], "at": checked["at"]}
        if checked
        else None,
    }


def _checked_text(one: Checked) -> Iterator[str]:
    yield f"receipt {one.receipt.id} ({one.where}): {one.label}"
    if (found := _asked(one)) is not None:
        yield from (f"  {line}" for line in found.lines())
    for claim in one.verdict.claims.values():
        basis = f" [{claim.basis}]" if claim.basis else ""
        reason = f" ({claim.reason})" if claim.reason else ""
        yield f"  {STATUSES[claim.status].mark} {claim.name:12} {claim.sentence}{reason}{basis}"
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


def _one_line(text: str) -> str:
    return plain_text.inert(text).replace("\n", " ").replace("\t", " ")
