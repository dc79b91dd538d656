"""What is learnt after a receipt was made, and how a later version of the receipt holds it.

The receipt as it was made is never changed: a later version is the same document with one part
more, a digest of its own, and ``supersedes``, which names the digest of the first."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from opg_magic.models import (
    AgreementEvidence,
    BatchEvidence,
    IndividualEvidence,
    SettlementTx,
    WeightsEvidence,
)
from opg_magic.receipt.form import digest
from opg_magic.receipt.parts.agreement import agreement_json
from opg_magic.receipt.parts.payment import settled_json
from opg_magic.receipt.parts.settlement import settlement_json
from opg_magic.receipt.parts.weights import weights_json

Supplement = SettlementTx | BatchEvidence | IndividualEvidence | AgreementEvidence | WeightsEvidence
SupplementKind = Literal["payment", "settlement", "agreement", "weights"]


def supplement_kind(found: Supplement) -> SupplementKind:
    """Which part of a receipt a supplement belongs to."""
    if isinstance(found, SettlementTx):
        return "payment"
    if isinstance(found, WeightsEvidence):
        return "weights"
    return "agreement" if isinstance(found, AgreementEvidence) else "settlement"


def supplement_json(found: Supplement) -> dict[str, Any]:
    """A supplement as it stands in a receipt's document."""
    if isinstance(found, SettlementTx):
        return settled_json(found)
    if isinstance(found, AgreementEvidence):
        return agreement_json(found)
    if isinstance(found, WeightsEvidence):
        return weights_json(found)
    return settlement_json(found)


def with_supplements(
    original: Mapping[str, Any], parts: Mapping[SupplementKind, Mapping[str, Any]]
) -> dict[str, Any]:
    """The document of a later version; ``parts`` are as :func:`supplement_json` writes them.

    ValueError where the original has such a part, or no payment."""
    document = copy.deepcopy(dict(original))
    for kind, part in parts.items():
        if kind == "payment":
            if document["payment"] is None or "settled" in document["payment"]:
                raise ValueError("the receipt has no payment that something could be added to")
            document["payment"]["settled"] = copy.deepcopy(dict(part))
        else:
            if document.get(kind) is not None:
                raise ValueError(f"the receipt says already what its {kind} is")
            document[kind] = copy.deepcopy(dict(part))
    document["supersedes"] = original["digest"]
    document["digest"] = digest(document)
    return document


def without_supplements(later: Mapping[str, Any]) -> dict[str, Any]:
    """The document that a later version must have been made from, with its computed digest."""
    document = {k: v for k, v in later.items() if k not in ("digest", "supersedes", "weights")}
    document |= {"settlement": None, "agreement": None}
    if document["payment"] is not None:
        document["payment"] = {k: v for k, v in document["payment"].items() if k != "settled"}
    document["digest"] = digest(document)
    return document
