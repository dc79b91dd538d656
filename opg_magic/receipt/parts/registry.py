"""What the registry said of the host at one block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import Host, RegistryEvidence
from opg_magic.receipt.parts.host import entry_json, entry_of
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import clip, iso, label, time_of


def write(judged: Judged) -> dict[str, Any] | None:
    """The entry at one block, as the author's kernel read it."""
    r = judged.evidence.registry
    return None if r is None else _written(r, judged.evidence.host)


def _written(r: RegistryEvidence, host: Host | None) -> dict[str, Any]:
    return {
        "chain_id": r.chain_id,
        "contract": r.contract,
        "block_number": str(r.block_number),
        "block_hash": r.block_hash,
        "block_time": iso(r.block_time),
        # The entry is nearly always the host itself: said once.
        "entry": None if r.entry is None else "host" if r.entry == host else entry_json(r.entry),
        "active": r.active,
        "inactive_reason": clip(r.inactive_reason, 256),
        "pcr_approved": r.pcr_approved,
        "pcr_version": clip(r.pcr_version, 256),
        "rpcs": [label(rpc) for rpc in r.rpcs],
        **({} if r.disagreement is None else {"disagreement": clip(r.disagreement, 1024)}),
        **({} if r.since is None else {"since": clip(r.since, 256)}),
    }


def registry_json(evidence: RegistryEvidence) -> dict[str, Any]:
    """What the registry said, in the form that a receipt's ``registry`` has; the entry always in
    full."""
    return _written(evidence, None)


def read(document: Mapping[str, Any]) -> RegistryEvidence | None:
    """The entry as it is judged; ValueError where it names a host that is not there."""
    d = document["registry"]
    if d is None:
        return None
    if d["entry"] == "host" and document["host"] is None:
        raise ValueError("the registry's entry names a host that is not there")
    entry = document["host"] if d["entry"] == "host" else d["entry"]
    return RegistryEvidence(
        chain_id=d["chain_id"],
        contract=d["contract"],
        block_number=int(d["block_number"]),
        block_hash=d["block_hash"],
        block_time=time_of(d["block_time"]),
        entry=None if entry is None else entry_of(entry),
        active=d["active"],
        pcr_approved=d["pcr_approved"],
        pcr_version=d["pcr_version"],
        rpcs=tuple(d["rpcs"]),
        inactive_reason=d["inactive_reason"],
        disagreement=d.get("disagreement"),
        since=d.get("since"),
    )
