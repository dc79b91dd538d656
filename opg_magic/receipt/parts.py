"""The parts of a receipt's document: how each kind of evidence is written into it, and read
back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from opg_magic.models import (
    AgreementEvidence,
    AgreementMember,
    AttestationEvidence,
    Authorisation,
    Basis,
    BatchEvidence,
    Charge,
    Claim,
    ClaimName,
    Cost,
    Host,
    IndividualEvidence,
    Money,
    PaymentEvidence,
    Problem,
    RegistryEvidence,
    ResponseEvidence,
    SettlementTx,
    Status,
    Verdict,
)
from opg_magic.models.networks import Token
from opg_magic.receipt.form import SAFE

#: Who computed the verdict that a receipt carries: history, never a current verdict.
CHECKED_BY = "author's kernel"

COST_BASIS = (
    "usage x price / token price: the host's figure, not signed; at most the cap can be taken"
)


def iso(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a receipt's times must be aware")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def b64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def decoded(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 that is not canonical")
    return raw


def decoded_or_none(text: str | None) -> bytes | None:
    return None if text is None else decoded(text)


def decimal_of(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def clip(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else text[: length - 1] + "…"


def clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form and so can neither be hashed nor signed: U+FFFD stands for
    them."""
    return (
        text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    )


def cleaned(value: Any) -> Any:
    """A document whose values are all text that UTF-8 can hold; its keys are ours."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {k if k.isascii() else clean(k): cleaned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [cleaned(v) for v in value]
    return value


def write_response(r: ResponseEvidence) -> dict[str, Any]:
    return {
        "stream": r.stream,
        "text": r.text,
        "tool_calls": r.tool_calls,
        "finish_reason": clip(r.finish_reason, 64),
        "frame": r.frame,
        "raw_sha256": r.raw_sha256,
        "raw_size": r.raw_size,
        "model": clip(r.model, 256),
        # The host's word; figures that JSON cannot carry exactly are left out (the frame holds them
        # all).
        "usage": None
        if r.usage is None
        else {
            str(k)[:64]: v
            for k, v in list(r.usage.items())[:32]
            if type(v) is int and 0 <= v <= SAFE
        },
        "problem": None
        if r.problem is None
        else {"code": clip(r.problem.code, 64), "message": clip(r.problem.message, 4096)},
        "unsigned_text": r.unsigned_text,
    }


def read_response(d: Mapping[str, Any]) -> ResponseEvidence:
    return ResponseEvidence(
        **{k: d[k] for k in d if k not in ("usage", "problem")},
        usage=dict(d["usage"]) if d["usage"] is not None else None,
        problem=Problem(**d["problem"]) if d["problem"] is not None else None,
    )


def write_host(host: Host | None) -> dict[str, Any] | None:
    if host is None:
        return None
    return {
        "tee_id": host.tee_id,
        "owner": host.owner,
        "payment_address": host.payment_address,
        "endpoint": host.endpoint,
        "public_key": b64(host.public_key),
        "tls_certificate": b64(host.tls_certificate),
        "pcr_hash": host.pcr_hash,
        "tee_type": host.tee_type,
        "enabled": host.enabled,
        "registered_at": str(host.registered_at),
        "last_heartbeat_at": str(host.last_heartbeat_at),
        "ohttp_config": None if host.ohttp_config is None else _pack(dict(host.ohttp_config)),
    }


def read_host(d: Mapping[str, Any] | None) -> Host | None:
    if d is None:
        return None
    return Host(
        tee_id=d["tee_id"],
        owner=d["owner"],
        payment_address=d["payment_address"],
        endpoint=d["endpoint"],
        public_key=decoded(d["public_key"]),
        tls_certificate=decoded(d["tls_certificate"]),
        pcr_hash=d["pcr_hash"],
        tee_type=d["tee_type"],
        enabled=d["enabled"],
        registered_at=int(d["registered_at"]),
        last_heartbeat_at=int(d["last_heartbeat_at"]),
        ohttp_config=None if d["ohttp_config"] is None else _unpack(d["ohttp_config"]),
    )


def _pack(value: Any) -> Any:
    """Registry values as JSON: bytes as ``{"base64": ...}``, integers as ``{"int": "..."}``."""
    if isinstance(value, bytes):
        return {"base64": b64(value)}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, Mapping):
        return {str(k): _pack(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(v) for v in value]
    raise TypeError(f"{type(value).__name__} in a registry entry")


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return decoded(value["base64"])
        if set(value) == {"int"}:
            return int(value["int"])
        return {k: _unpack(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    return value


def write_attestation(
    a: AttestationEvidence | None, verdict: Verdict | None
) -> dict[str, Any] | None:
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


def read_attestation(d: Mapping[str, Any] | None) -> AttestationEvidence | None:
    if d is None:
        return None
    nonce = bytes.fromhex(d["nonce"]) if d["nonce"] is not None else None
    return AttestationEvidence(
        document=decoded(d["document"]), nonce=nonce, fetched_at=time_of(d["fetched_at"])
    )


def write_registry(r: RegistryEvidence | None, host: Host | None) -> dict[str, Any] | None:
    if r is None:
        return None
    return {
        "chain_id": r.chain_id,
        "contract": r.contract,
        "block_number": str(r.block_number),
        "block_hash": r.block_hash,
        "block_time": iso(r.block_time),
        # The entry is nearly always the host itself: said once.
        "entry": "host" if r.entry is not None and r.entry == host else write_host(r.entry),
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
    written = write_registry(evidence, None)
    assert written is not None
    return written


def label(rpc: str) -> str:
    """A URL may carry an API key: only host and port of it are kept."""
    if "/" not in rpc and "@" not in rpc:
        return rpc
    from urllib.parse import urlsplit

    parts = urlsplit(rpc if "//" in rpc else f"//{rpc}")
    return parts.netloc.rpartition("@")[2] or "unnamed"


def read_registry(d: Mapping[str, Any] | None, host: Host | None) -> RegistryEvidence | None:
    if d is None:
        return None
    if d["entry"] == "host" and host is None:
        raise ValueError("the registry's entry names a host that is not there")
    return RegistryEvidence(
        chain_id=d["chain_id"],
        contract=d["contract"],
        block_number=int(d["block_number"]),
        block_hash=d["block_hash"],
        block_time=time_of(d["block_time"]),
        entry=host if d["entry"] == "host" else read_host(d["entry"]),
        active=d["active"],
        pcr_approved=d["pcr_approved"],
        pcr_version=d["pcr_version"],
        rpcs=tuple(d["rpcs"]),
        inactive_reason=d["inactive_reason"],
        disagreement=d.get("disagreement"),
        since=d.get("since"),
    )


def _write_token(token: Token) -> dict[str, Any]:
    return {
        "symbol": token.symbol,
        "address": token.address,
        "decimals": token.decimals,
        "chain_id": token.chain_id,
    }


def _write_money(money: Money | None) -> dict[str, Any] | None:
    return (
        None if money is None else {"amount": str(money.amount), "token": _write_token(money.token)}
    )


def read_money(d: Mapping[str, Any] | None) -> Money | None:
    return None if d is None else Money(int(d["amount"]), Token(**d["token"]))


def write_payment(p: PaymentEvidence | None, cost: Cost | None) -> dict[str, Any] | None:
    if p is None:
        return None
    a = p.authorisation
    cost = cost or Cost(amount=None, cap=None, charge=p.charge)
    price = cost.price
    return {
        "network": p.network,
        # Never the signature: it can be spent.
        "authorisation": {
            "chain_id": a.chain_id,
            "payer": a.payer,
            "token": a.token,
            "cap": str(a.cap),
            "spender": a.spender,
            "nonce": str(a.nonce),
            "deadline": str(a.deadline),
            "pay_to": a.pay_to,
            "facilitator": a.facilitator,
            "valid_after": str(a.valid_after),
        },
        "token": _write_token(p.token),
        "first_call": p.first_call,
        "charge": p.charge.value,
        "cap": _write_money(Money(a.cap, p.token)),
        "estimate": _write_money(p.estimate),
        "cost": _write_money(cost.amount),
        "cost_usd": _plain(cost.usd),
        "token_usd": _plain(cost.token_usd),
        "price": None
        if price is None
        else {
            "input_usd": _plain(price.input_usd),
            "output_usd": _plain(price.output_usd),
            "as_of": price.as_of,
            "source": clip(price.source, 1024),
        },
        "basis": COST_BASIS,
        **({} if p.settled is None else {"settled": write_settled(p.settled)}),
    }


def read_payment(d: Mapping[str, Any] | None) -> PaymentEvidence | None:
    if d is None:
        return None
    a = d["authorisation"]
    numbers = ("cap", "nonce", "deadline", "valid_after")
    fields: dict[str, Any] = {k: int(v) if k in numbers else v for k, v in a.items()}
    return PaymentEvidence(
        network=d["network"],
        authorisation=Authorisation(**fields),
        token=Token(**d["token"]),
        first_call=d["first_call"],
        charge=Charge(d["charge"]),
        estimate=read_money(d["estimate"]),
        settled=_read_settled(d.get("settled")),
    )


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


_SETTLED_NUMBERS = ("block_number", "amount", "cap", "nonce", "seen_at_block")


def write_settled(s: SettlementTx) -> dict[str, Any]:
    return {
        "status": s.status,
        "chain_id": s.chain_id,
        "tx_hash": _lower(s.tx_hash),
        "block_hash": _lower(s.block_hash),
        "block_time": iso(s.block_time) if s.block_time is not None else None,
        "token": s.token,
        "payer": s.payer,
        "payee": s.payee,
        "facilitator": s.facilitator,
        **{name: _digits(getattr(s, name)) for name in _SETTLED_NUMBERS},
        "rpcs": [label(rpc) for rpc in s.rpcs],
        "shared": [{"receipt": receipt, "amount": str(amount)} for receipt, amount in s.shared],
        "remainder": str(s.remainder),
    }


def _read_settled(d: Mapping[str, Any] | None) -> SettlementTx | None:
    if d is None:
        return None
    fields: dict[str, Any] = {k: _number(v) if k in _SETTLED_NUMBERS else v for k, v in d.items()}
    fields |= {
        "block_time": time_of(d["block_time"]) if d["block_time"] is not None else None,
        "rpcs": tuple(d["rpcs"]),
        "shared": tuple((one["receipt"], int(one["amount"])) for one in d["shared"]),
        "remainder": int(d["remainder"]),
    }
    return SettlementTx(**fields)


def write_settlement(s: BatchEvidence | IndividualEvidence | None) -> dict[str, Any] | None:
    if s is None:
        return None
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


def read_settlement(d: Mapping[str, Any] | None) -> BatchEvidence | IndividualEvidence | None:
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


def write_agreement(a: AgreementEvidence | None) -> dict[str, Any] | None:
    if a is None:
        return None
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


def read_agreement(d: Mapping[str, Any] | None) -> AgreementEvidence | None:
    if d is None:
        return None
    answers = [
        {("receipt_id" if k == "receipt" else k): v for k, v in member.items()}
        for member in d["answers"]
    ]
    return AgreementEvidence(
        d["asked"], d["quorum"], d["group"], tuple(AgreementMember(**m) for m in answers)
    )


def write_verdict(verdict: Verdict | None, at: datetime) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "at": iso(at),
        "by": CHECKED_BY,
        "verdict": verdict.outcome.value,
        "simulated": verdict.simulated,
        "policy": verdict.policy,
        "withheld": verdict.withheld,
        "because": [clip(b, 4096) for b in verdict.because],
        "claims": [
            {
                "name": c.name,
                "status": c.status.value,
                "basis": c.basis.value if c.basis is not None else None,
                "sentence": clip(c.sentence, 4096),
                "reason": clip(c.reason, 4096),
                "code": clip(c.code, 64),
                "expires": iso(c.expires) if c.expires is not None else None,
            }
            for c in verdict.claims.values()
        ],
    }


def read_claim(d: Mapping[str, Any]) -> Claim:
    return Claim(
        name=cast(ClaimName, d["name"]),
        status=Status(d["status"]),
        basis=Basis(d["basis"]) if d["basis"] is not None else None,
        sentence=d["sentence"],
        reason=d["reason"],
        code=d["code"],
        expires=time_of(d["expires"]) if d["expires"] is not None else None,
    )
