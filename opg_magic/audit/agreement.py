"""What an agreement says of other hosts, against their receipts in the file and the registry that a
reader asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from opg_magic.audit.lookups import Lookups, NotAnswered, Spot, asked_live
from opg_magic.models import AgreementMember, Evidence, Trust, VerdictStatus
from opg_magic.receipt.document import Receipt
from opg_magic.verify.agreement import COUNTED, text_hashes
from opg_magic.verify.verdict import judge


def compare_answers(
    audit: Lookups, evidence: Evidence, trust: Trust, by_digest: Mapping[str, Receipt], spot: Spot
) -> tuple[Evidence, Trust]:
    """``asked`` where all the answers are in the file and the registry that was asked names the
    same owners.

    Else it stays on its author's word.  An owner that the registry contradicts fails the claim
    (attack 40)."""
    agreement = evidence.agreement
    if agreement is None:
        return evidence, trust
    whole = True
    for member in agreement.answers:
        other = by_digest.get(member.digest)
        if other is None:
            whole = False
        elif not _fits(member, other, audit.trust):
            message = (
                f"The agreement does not tell of receipt {member.receipt_id} what that receipt "
                "holds."
            )
            audit.say("failed", "agreement-differs", message, *spot)
            return evidence, trust
    registry = evidence.registry
    if "registry" not in trust.asked or registry is None or registry.disagreement is not None:
        return evidence, trust
    try:
        for member in agreement.answers:
            fault = _owner_fault(audit, member, registry.block_number, spot)
            if fault is not None:
                return replace(evidence, agreement_contradicted=fault), trust
    except NotAnswered:
        return evidence, trust
    return evidence, asked_live(trust, "agreement") if whole else trust


def _fits(member: AgreementMember, other: Receipt, trust: Trust) -> bool:
    """Whether that receipt holds what the agreement tells of it."""
    evidence = other.evidence()
    host, response = evidence.host, evidence.response
    text = response.text if response.tool_calls is None else response.tool_calls
    told = (member.text_sha256, member.normal_sha256, member.json_sha256)
    same_host = host is not None and (host.tee_id.lower(), host.owner.lower()) == (
        member.tee_id.lower(),
        member.owner.lower(),
    )
    good = judge(evidence, trust=trust).status not in (
        VerdictStatus.FAILED,
        VerdictStatus.UNVERIFIED,
    )
    return (
        other.id == member.receipt_id
        and same_host
        and told == text_hashes(text)
        and (good or member.verdict not in COUNTED)
    )


def _owner_fault(audit: Lookups, member: AgreementMember, block: int, spot: Spot) -> str | None:
    """What the registry says otherwise of a counted host's owner at that block, in words."""
    if member.verdict not in COUNTED:
        return None
    entry = audit.look_up(
        lambda: audit.entry_at(member.tee_id, block),
        f"The registry could not be asked about host {member.tee_id}",
        "registry-not-asked",
        spot,
    )
    if entry is None or entry.tee_id.lower() != member.tee_id.lower():
        return f"the registry that was asked does not list host {member.tee_id} at block {block}"
    if entry.owner.lower() != member.owner.lower():
        return (
            f"the owner of host {member.tee_id} is {entry.owner} by the registry that was asked, "
            f"not {member.owner}"
        )
    return None
