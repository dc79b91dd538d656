"""The settlement claim: hash pair and signature are in batch R, committed in transaction Z, or
settled by themselves.

Attack 24 tries its proofs.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from opg_magic.models import (
    Basis,
    BatchEvidence,
    Claim,
    Evidence,
    IndividualEvidence,
    Problem,
    Trust,
)
from opg_magic.protocol import merkle
from opg_magic.protocol.frame import SignedFields
from opg_magic.verify._claims import (
    basis_of,
    failed,
    fields_of,
    missing,
    not_applicable,
    passed,
    waiting,
)

#: How long after an answer its batch can still come: the facilitator's 15 minutes, and some for the
#: chain.
PENDING = timedelta(minutes=20)

_LAST = datetime.max.replace(tzinfo=UTC)
_NOT_THERE = "The settlement that this call claims is not on the chain."
_OTHER = "The settlement is not this call's."


def check(evidence: Evidence, trust: Trust) -> Claim:
    """The Merkle proof follows from the receipt; that its root was committed is the chain's word,
    asked or recorded.

    Not applicable to a private call.  Facts: ``mode``, ``root``, ``transaction``, ``block_number``,
    ``chain_id``, ``relay``, ``relay_pinned``, ``sender_pinned`` (whether this verifier named them),
    ``batch_size``, ``rpcs``."""
    found = evidence.settlement
    if found is None and evidence.settlement_mode == "private":
        sentence = "The call was private: nothing of it was put on a chain."
        return not_applicable(
            "settlement", sentence, "private", "it was asked to be private", mode="private"
        )
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        return missing(
            "settlement", "Nothing was signed that could be settled.", fields.code, fields.message
        )
    if found is None:
        return waiting(
            "settlement",
            trust,
            _LAST if evidence.received_at > _LAST - PENDING else evidence.received_at + PENDING,
            "Its hashes are not on the chain yet; batches are committed some minutes later.",
            "Its hashes were not seen on the chain in time; the facilitator may have lost them.",
            mode=evidence.settlement_mode,
        )
    facts = _facts(found, trust)
    fault = (
        _proof_fault(found, fields)
        if isinstance(found, BatchEvidence)
        else _event_fault(found, fields)
    )
    if fault is not None:
        return failed("settlement", Basis.PROVEN, *fault, **facts)
    basis = basis_of("settlement", trust)
    fault = _chain_fault(found, fields, trust)
    if fault is not None:
        return failed("settlement", basis, *fault, **facts)
    return passed("settlement", basis, _sentence(found, trust), **facts)


def leaf_of(fields: SignedFields) -> bytes:
    """The 32 bytes that stand for a signed answer in a batch."""
    return merkle.leaf_hash(
        bytes.fromhex(fields.tee_id.removeprefix("0x")),
        fields.request_hash,
        fields.output_hash,
        fields.signature,
        fields.timestamp,
    )


def _proof_fault(found: BatchEvidence, fields: SignedFields) -> tuple[str, str, str] | None:
    leaf = leaf_of(fields)
    told, root = _word(found.leaf), _word(found.root)
    siblings = [_word(sibling) for sibling in found.proof]
    if told is None or root is None or None in siblings:
        return (
            "The Merkle proof is malformed.",
            "format",
            "root, leaf and proof are 32 bytes each, in hex",
        )
    if told != leaf:
        return (
            _OTHER,
            "wrong-leaf",
            f"this call's leaf is 0x{leaf.hex()}, the settlement's is {found.leaf}",
        )
    if not merkle.verify_proof(
        root, leaf, [sibling for sibling in siblings if sibling is not None]
    ):
        return (
            "The Merkle proof does not hold.",
            "wrong-proof",
            "the proof does not lead from the leaf to the root",
        )
    if len(found.proof) > max(found.batch_size - 1, 0).bit_length():
        reason = f"a proof of {len(found.proof)} steps, in a batch of {found.batch_size}"
        return "The Merkle proof does not hold.", "wrong-proof", reason
    return None


def _event_fault(found: IndividualEvidence, fields: SignedFields) -> tuple[str, str, str] | None:
    try:
        signature = base64.b64decode(found.signature, validate=True)
    except ValueError:
        return "The settlement's signature is malformed.", "format", "it is not base64"
    for name, told, signed in (
        ("host", _word(found.tee_id), _word(fields.tee_id)),
        ("request hash", _word(found.input_hash), fields.request_hash),
        ("answer hash", _word(found.output_hash), fields.output_hash),
        ("time", found.timestamp, fields.timestamp),
        ("signature", signature, fields.signature),
    ):
        if told != signed:
            return _OTHER, "wrong-leaf", f"its {name} is not that of this call"
    return None


def _chain_fault(
    found: BatchEvidence | IndividualEvidence, fields: SignedFields, trust: Trust
) -> tuple[str, str, str] | None:
    if not found.committed:
        what = f"root {found.root}" if isinstance(found, BatchEvidence) else "this call"
        return (
            _NOT_THERE,
            "absent",
            f"no event of the relay for {what} in transaction {found.tx_hash}",
        )
    if trust.relay is not None:
        chain_id, relay = trust.relay
        if (found.chain_id, found.relay.lower()) != (chain_id, relay.lower()):
            seen = f"an event of {found.relay} on chain {found.chain_id}"
            reason = f"{seen}, meant is {relay} on {chain_id}"
            return "The settlement is of another contract than the relay.", "wrong-relay", reason
    if trust.relay_senders:
        sender = (found.sender or "").lower()
        if sender not in {address.lower() for address in trust.relay_senders}:
            by = found.sender or "nobody that is known"
            reason = f"sent by {by}, which is not the network's facilitator"
            return "Somebody else than the facilitator committed it.", "wrong-sender", reason
    # No upper bound: a batch that was committed late is committed all the same.
    if found.block_time.timestamp() + trust.skew_seconds < fields.timestamp:
        signed = _moment(fields.timestamp)
        reason = f"committed at {found.block_time:%Y-%m-%d %H:%M:%S} UTC, signed at {signed}"
        return "It is said to have been settled before it was signed.", "too-early", reason
    return None


def _facts(found: BatchEvidence | IndividualEvidence, trust: Trust) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "mode": "batch" if isinstance(found, BatchEvidence) else "individual",
        "transaction": found.tx_hash,
        "block_number": found.block_number,
        "chain_id": found.chain_id,
        "relay": found.relay,
        "relay_pinned": trust.relay is not None,
        "sender_pinned": bool(trust.relay_senders),
        "rpcs": found.rpcs,
    }
    if isinstance(found, BatchEvidence):
        facts |= {"root": found.root, "batch_size": found.batch_size}
    return facts


def _sentence(found: BatchEvidence | IndividualEvidence, trust: Trust) -> str:
    unnamed = "" if trust.relay is not None else "; not compared with a relay that you name"
    where = f"on chain {found.chain_id} in block {found.block_number}"
    if isinstance(found, BatchEvidence):
        others = found.batch_size - 1
        beside = "alone" if not others else f"with {others} other{'' if others == 1 else 's'}"
        return f"Request hash, answer hash and signature were committed {beside} {where}{unnamed}."
    return f"Request hash, answer hash and signature were settled by themselves {where}{unnamed}."


def _word(text: str) -> bytes | None:
    """32 bytes from hex, with or without 0x."""
    digits = text.removeprefix("0x")
    try:
        return bytes.fromhex(digits) if len(digits) == 64 and digits.isalnum() else None
    except ValueError:
        return None


def _moment(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"
