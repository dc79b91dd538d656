"""Whether the user's own ledger holds a receipt that one of the user's own kernels wrote.

Then what that kernel asked counts as asked for its user: the registry, the connection, the chain;
and weights that it ran again as run again.
The receipt is compared by the digest of its content, never by what it says of itself; it must come
from a call that a kernel wrote into this ledger before it was sent, so that one that was merely put
there does not count; and nobody else may be able to write the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from opg_magic.errors import LedgerError
from opg_magic.ledger.pages import LedgerReader
from opg_magic.models import Basis, ClaimName, Evidence, Status, Trust
from opg_magic.receipt.document import Receipt


@dataclass(frozen=True, slots=True)
class Own:
    """What the user's own kernel ``asked``, and when (``at``)."""

    asked: frozenset[ClaimName]
    at: datetime

    @property
    def said(self) -> str:
        """What a report says of it."""
        when = f"{self.at:%Y-%m-%d %H:%M} UTC"
        return f"Your own ledger holds this receipt; your kernel asked at {when}."

    def trust(self, trust: Trust, evidence: Evidence) -> Trust:
        """The trust of a reader whose own kernel asked."""
        asked = trust.asked | self.asked
        registry = trust.registry
        if registry is None and "registry" in self.asked and evidence.registry is not None:
            registry = (evidence.registry.chain_id, evidence.registry.contract)
        return replace(trust, asked=asked, registry=registry)


def own(reader: LedgerReader, receipt_id: str, digest: str) -> Own | None:
    """What this ledger's own kernel asked for the receipt with this id and computed digest; None
    where the ledger does not hold that very receipt, or did not make it."""
    if not reader.exists or not _is_private(reader):
        return None
    try:
        found = next((one for one in _versions(reader, receipt_id) if one[1] == digest), None)
    except LedgerError:
        return None
    if found is None:
        return None
    receipt = found[0]
    verdict, checked = receipt.verdict_at_creation, receipt.document["checked"]
    if verdict is None:
        return None
    asked: set[ClaimName] = {
        claim.name
        for claim in verdict.claims.values()
        if claim.basis is Basis.ASKED and claim.status is Status.PASSED
    }
    # Learnt after the call, by a lookup or a run of the kernel that wrote it down.
    asked |= set(_supplements(receipt))
    return Own(frozenset(asked), datetime.fromisoformat(checked["at"]))


def _versions(reader: LedgerReader, receipt_id: str) -> Iterator[tuple[Receipt, str]]:
    """Each version of the receipt that this ledger's kernels wrote, with its digest."""
    if reader.is_begun(receipt_id):
        for version in reader.versions(receipt_id):
            yield version, version.computed_digest


def _supplements(receipt: Receipt) -> Iterator[ClaimName]:
    document = receipt.document
    if (document["payment"] or {}).get("settled") is not None:
        yield "payment"
    if document["settlement"] is not None:
        yield "settlement"
    if document["agreement"] is not None:
        yield "agreement"
    if document.get("weights") is not None:
        yield "weights"


def _is_private(reader: LedgerReader) -> bool:
    """Whether the file is this user's, and nobody else's to write.  Where there are no such rights
    (Windows), the folder's own are relied on."""
    if not hasattr(os, "geteuid"):
        return True
    try:
        held = reader.path.stat()
    except OSError:
        return False
    return held.st_uid == os.geteuid() and not held.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
