"""Where the hashes of a call were put on a chain, and the proof that they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import BatchEvidence, IndividualEvidence
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import clip, decoded, iso, label, time_of


def write(judged: Judged) -> dict[str, Any] | None:
    """Where the call's hashes are on a chain, once that is known."""
    found = judged.evidence.settlement
    return None if found is None else settlement_json(found)


def settlement_json(s: BatchEvidence | IndividualEvidence) -> dict[str, Any]:
    """What the relay's chain showed of the call, as JSON data."""
    common = {
        "tx_hash": s.tx_hash.lower(),
        "block_number": str(s.block_number),
        "block_hash": s.block_hash.lower(),
        "block_time": iso(s.block_time),
        "relay": s.relay,
        "chain_id": s.chain_id,
        "blob_id": clip(s.blob_id, 256),
        "sender": s.sender,
        "rpcs": [label(rpc) for rpc in s.rpcs],
        "committed": s.committed,
    }
    if isinstance(s, BatchEvidence):
        return common | {
            "kind": "batch",
            "root": s.root.lower(),
            "leaf": s.leaf.lower(),
            "proof": [sibling.lower() for sibling in s.proof],
            "batch_size": str(s.batch_size),
        }
    return common | {
        "kind": "individual",
        "tee_id": s.tee_id.lower(),
        "input_hash": s.input_hash.lower(),
        "output_hash": s.output_hash.lower(),
        "timestamp": str(s.timestamp),
        "signature": s.signature,
    }


def read(document: Mapping[str, Any]) -> BatchEvidence | IndividualEvidence | None:
    """The proof as it is judged."""
    d = document["settlement"]
    if d is None:
        return None
    fields: dict[str, Any] = {k: v for k, v in d.items() if k != "kind"}
    fields |= {
        "block_number": int(d["block_number"]),
        "block_time": time_of(d["block_time"]),
        "rpcs": tuple(d["rpcs"]),
    }
    if d["kind"] == "batch":
        return BatchEvidence(
            **(fields | {"proof": tuple(d["proof"]), "batch_size": int(d["batch_size"])})
        )
    decoded(d["signature"])
    return IndividualEvidence(**(fields | {"timestamp": int(d["timestamp"])}))
