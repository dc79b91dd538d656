"""The answers of several hosts to one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import AgreementEvidence, AgreementMember
from opg_magic.receipt.parts.interface import Judged


def write(judged: Judged) -> dict[str, Any] | None:
    """The answers that were compared, where several hosts were asked."""
    found = judged.evidence.agreement
    return None if found is None else agreement_json(found)


def agreement_json(a: AgreementEvidence) -> dict[str, Any]:
    """The answers that were compared, as JSON data."""
    return {
        "asked": a.asked,
        "quorum": a.quorum,
        "group": a.group,
        "answers": [
            {
                "receipt": m.receipt_id,
                "digest": m.digest,
                "tee_id": m.tee_id,
                "owner": m.owner,
                "text_sha256": m.text_sha256,
                "normal_sha256": m.normal_sha256,
                "json_sha256": m.json_sha256,
                "verdict": m.verdict,
            }
            for m in a.answers
        ],
    }


def read(document: Mapping[str, Any]) -> AgreementEvidence | None:
    """The answers as they are judged."""
    d = document["agreement"]
    if d is None:
        return None
    answers = [
        {("receipt_id" if k == "receipt" else k): v for k, v in member.items()}
        for member in d["answers"]
    ]
    return AgreementEvidence(
        d["asked"], d["quorum"], d["group"], tuple(AgreementMember(**m) for m in answers)
    )
