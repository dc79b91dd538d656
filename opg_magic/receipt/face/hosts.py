"""Several hosts on the face of one receipt: what its comparison says, a line a host.

It tells what the author's kernel wrote down; whether that holds is the claim ``agreement``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.models import AgreementEvidence, AgreementMember
from opg_magic.receipt.face.figures import one_line, short_hash
from opg_magic.receipt.parts import agreement as part
from opg_magic.verify.agreement import COUNTED, independent

#: Ways to be the same, the strictest first.
_WAYS: tuple[tuple[Callable[[AgreementMember], str | None], str], ...] = (
    (lambda member: member.text_sha256, "the same answer"),
    (lambda member: member.normal_sha256, "the same but for white space"),
    (lambda member: member.json_sha256, "the same JSON"),
)
#: So many hosts have a line; the others are counted.
_MOST_LINES = 16


@dataclass(frozen=True)
class Compared:
    """``lines`` are mark, name and words of each host."""

    agrees: bool
    headline: str
    lines: tuple[tuple[str, str, str], ...]


def compared(d: Mapping[str, Any]) -> Compared | None:
    """The comparison that a receipt holds; None where one host was asked, or it does not name this
    receipt."""
    agreement = part.read(d)
    answers = () if agreement is None else agreement.answers
    own = next((one for one in answers if one.receipt_id == d["id"]), None)
    if agreement is None or own is None:
        return None
    lines = _lines(answers, own)
    most = 0
    for key, _ in _WAYS:
        same = [one for one in answers if key(own) is not None and key(one) == key(own)]
        most = max(most, independent(one for one in same if one.verdict in COUNTED))
        if most >= agreement.quorum:
            return Compared(True, _says_the_same(most, agreement), lines)
    must = f"{most} of {agreement.asked} gave this answer, {agreement.quorum} must"
    return Compared(False, f"! Hosts disagree: {must}", lines)


def _says_the_same(count: int, agreement: AgreementEvidence) -> str:
    return f"✓ {count} of {agreement.asked} independent hosts say the same"


def _lines(
    answers: tuple[AgreementMember, ...], own: AgreementMember
) -> tuple[tuple[str, str, str], ...]:
    lines = []
    for one in answers[:_MOST_LINES]:
        how = (words for key, words in _WAYS if key(own) is not None and key(one) == key(own))
        way = next(how, None)
        counts = one.verdict in COUNTED
        mark = "✓" if counts and way is not None else "✗"
        said = f"{way or 'another answer'}{'' if counts else f', {one.verdict.lower()}'}"
        name = f"host {one_line(short_hash(one.tee_id), 9)}"
        lines.append((mark, name, f"{said} (receipt {one.receipt_id})"))
    if len(answers) > _MOST_LINES:
        lines.append(("·", f"{len(answers) - _MOST_LINES} more", "see the receipt"))
    return tuple(lines)
