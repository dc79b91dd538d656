"""How the request was sealed that a relay carried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import SealedEvidence
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import b64, decoded, label


def write(judged: Judged) -> dict[str, Any] | None:
    """Relay, header and key; None for a call on the direct route."""
    sealed = judged.evidence.sealed
    if sealed is None:
        return None
    return {
        "relay": label(sealed.relay),
        "header": sealed.header.hex(),
        "public_key": b64(sealed.public_key),
    }


def read(document: Mapping[str, Any]) -> SealedEvidence | None:
    """The sealing as it is judged."""
    d = document.get("sealed")
    if d is None:
        return None
    return SealedEvidence(d["relay"], bytes.fromhex(d["header"]), decoded(d["public_key"]))
