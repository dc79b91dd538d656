"""Calls of several hosts to one prompt, and a registry that lists them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from support import signing
from support.signed_receipts import signed

from opg_magic.errors import OpgError
from opg_magic.models import AgreementMember, Evidence, RegistryEvidence, VerdictStatus
from opg_magic.receipt.document import Receipt
from opg_magic.verify import agreement


class Listed:
    """A reader's RPC that lists the hosts of these receipts."""

    def __init__(self, *receipts: Receipt, change: dict[str, Any] | None = None) -> None:
        self.entries = {one.evidence().host.tee_id: one.evidence().host for one in receipts} | (
            change or {}
        )  # type: ignore[union-attr]
        self.known = receipts[0].evidence().registry

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence:
        found = self.entries[tee_id]
        if isinstance(found, OpgError):
            raise found
        assert self.known is not None and block_number == self.known.block_number
        return replace(self.known, entry=found, active=found is not None)


def by(name: str) -> Receipt:
    signer = signing.signer(name)

    def change(evidence: Evidence) -> Evidence:
        body = json.loads(evidence.request.body)
        own = signing.evidence(
            signing.stream(signer, body, pieces=("hi", " there")), body, by=signer
        )
        entry = replace(signing.host(signer), owner="0x" + name.encode().hex().rjust(40, "0"))
        entry = replace(entry, tls_certificate=own.host.tls_certificate if own.host else b"")
        return replace(
            own,
            host=entry,
            registry=signing.registry(entry),
            payment=evidence.payment,
            declared_simulated=True,
        )

    return signed(change=change)


def told(one: Receipt) -> AgreementMember:
    evidence = one.evidence()
    return agreement.member_of(
        receipt_id=one.id,
        digest=one.digest,
        host=evidence.host,
        text=evidence.response.text,
        verdict=VerdictStatus.VERIFIED,
    )
