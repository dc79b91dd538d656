"""The attestation document of the host's enclave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import AttestationEvidence
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import b64, decoded, iso, time_of


def write(judged: Judged) -> dict[str, Any] | None:
    """The document, and the root that the author's kernel found it to chain to."""
    a, verdict = judged.evidence.attestation, judged.verdict
    if a is None:
        return None
    claim = verdict.claims.get("attestation") if verdict is not None else None
    root = claim.facts.get("root_sha256") if claim is not None else None
    return {
        "document": b64(a.document),
        "nonce": a.nonce.hex() if a.nonce is not None else None,
        "fetched_at": iso(a.fetched_at),
        "root_sha256": root if isinstance(root, str) else None,
    }


def read(document: Mapping[str, Any]) -> AttestationEvidence | None:
    """The document as it is judged: the root that the author found counts for nothing."""
    d = document["attestation"]
    if d is None:
        return None
    nonce = bytes.fromhex(d["nonce"]) if d["nonce"] is not None else None
    return AttestationEvidence(
        document=decoded(d["document"]), nonce=nonce, fetched_at=time_of(d["fetched_at"])
    )
