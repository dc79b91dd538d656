"""The agreement claim: n of m independent hosts gave the same answer (attack 30).

Independent are hosts with different keys and different owners: one host, or one owner, counts once
however often it answers.  That hosts differ is nobody's fault: the claim is then missing, never
failed.

Three ways to be the same, the strictest that reaches the quorum is told: the exact text; the text
in Unicode form NFC with every run of white space as one space and none at the ends (upper and lower
case still differ); JSON by value."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Literal

from opg_magic.errors import MalformedMessage
from opg_magic.models import (
    AgreementEvidence,
    AgreementMember,
    Basis,
    Claim,
    Evidence,
    Host,
    Problem,
    Trust,
    VerdictStatus,
    strict_json,
)
from opg_magic.verify._claims import basis_of, failed, fields_of, missing, not_applicable, passed

Way = Literal["exact", "normalised", "json"]

#: Most hosts that are asked at once.
MAX_MEMBERS = 64

_WAYS: tuple[tuple[Way, str, Callable[[AgreementMember], str | None]], ...] = (
    ("exact", "the same answer, byte for byte", lambda member: member.text_sha256),
    ("normalised", "the same answer, but for white space", lambda member: member.normal_sha256),
    ("json", "the same answer, as JSON by value", lambda member: member.json_sha256),
)
#: An answer counts if its own receipt was at least PARTIAL.
COUNTED = frozenset({VerdictStatus.VERIFIED.value, VerdictStatus.PARTIAL.value})


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Whether this answer is that of ``quorum`` independent hosts.

    Facts: ``way`` (``exact``, ``normalised``, ``json``), ``agree`` (independent hosts that gave
    this answer), ``asked``, ``quorum``, ``group``, ``groups`` (receipt ids by answer, under that
    way), ``not_counted`` (receipt ids)."""
    agreement = evidence.agreement
    if agreement is None:
        return not_applicable(
            "agreement", "One host was asked.", "one-host", "only this host was asked"
        )
    facts: dict[str, Any] = {
        "asked": agreement.asked,
        "quorum": agreement.quorum,
        "group": agreement.group,
    }
    fault = _fault(evidence, agreement)
    if fault is not None:
        return failed(
            "agreement",
            Basis.PROVEN,
            "The comparison with other hosts is not this answer's.",
            *fault,
            **facts,
        )
    if evidence.agreement_contradicted is not None:
        sentence = "The hosts that were compared are not those of the registry that was asked."
        reason = evidence.agreement_contradicted
        return failed(
            "agreement", basis_of("registry", trust), sentence, "other-owner", reason, **facts
        )
    own = _own(evidence, agreement)
    counted = [member for member in agreement.answers if member.verdict in COUNTED]
    facts["not_counted"] = tuple(
        m.receipt_id for m in agreement.answers if m.verdict not in COUNTED
    )
    most, outvoted = 0, False
    for way, words, key in _WAYS:
        groups = _groups(counted, key)
        votes = {answer: independent(members) for answer, members in groups.items()}
        mine = votes.get(key(own) or "", 0)
        if mine >= agreement.quorum:
            facts |= {"way": way, "agree": mine, "groups": _named(groups)}
            sentence = f"{mine} of {agreement.asked} independent hosts gave {words}."
            return passed("agreement", basis_of("agreement", trust), sentence, **facts)
        most = max(most, mine)
        outvoted = outvoted or any(count >= agreement.quorum for count in votes.values())
    groups = _groups(counted, lambda member: member.normal_sha256)
    facts |= {"way": "normalised", "agree": most, "groups": _named(groups)}
    reason = f"{most} of {agreement.asked} gave this answer, {agreement.quorum} must"
    if outvoted:
        return missing(
            "agreement", "The other hosts agree on another answer.", "outvoted", reason, **facts
        )
    return missing("agreement", "The hosts disagree.", "hosts-disagree", reason, **facts)


def member_of(
    *, receipt_id: str, digest: str, host: Host | None, text: str | None, verdict: VerdictStatus
) -> AgreementMember:
    """One answer as an agreement keeps it.  ``text`` is what was signed (of a tool call its
    string), None for none."""
    exact, normal, by_value = text_hashes(text)
    return AgreementMember(
        receipt_id=receipt_id,
        digest=digest,
        tee_id=host.tee_id if host is not None else "",
        owner=host.owner if host is not None else "",
        text_sha256=exact,
        normal_sha256=normal,
        json_sha256=by_value,
        verdict=verdict.value,
    )


def text_hashes(text: str | None) -> tuple[str | None, str | None, str | None]:
    """SHA-256 of the exact text, of the normalised text, and of its RFC 8785 form where it is
    JSON."""
    if text is None:
        return None, None, None
    return _sha256(text), _sha256(normalise(text)), _json_sha256(text)


def normalise(text: str) -> str:
    """Unicode form NFC; every run of white space is one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def independent(members: Iterable[AgreementMember]) -> int:
    """How many independent hosts these are: what shares a host or an owner, even by way of a third,
    counts once."""
    groups: list[set[tuple[str, str]]] = []
    for member in members:
        names = {("host", member.tee_id.lower()), ("owner", member.owner.lower())}
        touching = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(names.union(*touching))
    return len(groups)


def _fault(evidence: Evidence, agreement: AgreementEvidence) -> tuple[str, str] | None:
    """(code, reason): the evidence contradicts itself, or is about another answer."""
    answers = agreement.answers
    if not 1 <= len(answers) <= agreement.asked <= MAX_MEMBERS:
        return "format", f"{len(answers)} answers of {agreement.asked} hosts"
    if not 1 <= agreement.quorum <= agreement.asked:
        return "format", f"a quorum of {agreement.quorum} of {agreement.asked}"
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        return "not-ours", f"this answer is not signed: {fields.message}"
    text = (
        evidence.response.text
        if evidence.response.tool_calls is None
        else evidence.response.tool_calls
    )
    own = [m for m in answers if m.tee_id.lower() == fields.tee_id.lower()]
    if not own:
        return "not-ours", "the host of this answer is not among those that were compared"
    if text_hashes(text) not in [(m.text_sha256, m.normal_sha256, m.json_sha256) for m in own]:
        return "not-ours", "the answer that was compared is not this one"
    return None


def _own(evidence: Evidence, agreement: AgreementEvidence) -> AgreementMember:
    fields = fields_of(evidence)
    text = (
        evidence.response.text
        if evidence.response.tool_calls is None
        else evidence.response.tool_calls
    )
    exact = text_hashes(text)[0]
    return next(
        member
        for member in agreement.answers
        if not isinstance(fields, Problem)
        and member.tee_id.lower() == fields.tee_id.lower()
        and member.text_sha256 == exact
    )


def _groups(
    members: Iterable[AgreementMember], key: Callable[[AgreementMember], str | None]
) -> dict[str, list[AgreementMember]]:
    groups: dict[str, list[AgreementMember]] = {}
    for member in members:
        answer = key(member)
        if answer is not None:
            groups.setdefault(answer, []).append(member)
    return groups


def _named(groups: dict[str, list[AgreementMember]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(member.receipt_id for member in members) for members in groups.values())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _json_sha256(text: str) -> str | None:
    import rfc8785

    try:
        return hashlib.sha256(rfc8785.dumps(strict_json.loads(text))).hexdigest()
    except (MalformedMessage, rfc8785.CanonicalizationError):
        # Not JSON, or with numbers that have no exact form (RFC 8785 numbers are doubles).
        return None
