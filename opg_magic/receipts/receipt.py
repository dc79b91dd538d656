"""The receipt: one self-contained JSON document, from which a call can be judged again (``docs/receipts.md``).

Numbers that come from a chain are decimal strings (JSON numbers are not safe beyond 2^53), bytes are base64, times are
UTC with microseconds.  The digest is SHA-256 over the RFC 8785 form of the document without ``digest``.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import json
import re
import secrets as _random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, Literal, cast

from opg_magic import __version__
from opg_magic.errors import AnswerWithheld, CallFailed, MalformedMessage, UnreadableReceipt
from opg_magic.models import (
    AgreementEvidence,
    AgreementMember,
    Answer,
    AttestationEvidence,
    Authorisation,
    Basis,
    BatchEvidence,
    ChannelEvidence,
    Charge,
    Claim,
    ClaimName,
    Cost,
    Evidence,
    Host,
    IndividualEvidence,
    ModelPrice,
    Money,
    PaymentEvidence,
    Problem,
    Prompt,
    RegistryEvidence,
    RequestEvidence,
    ResponseEvidence,
    SettlementTx,
    Status,
    Verdict,
    VerdictStatus,
)
from opg_magic.networks import Network, Token
from opg_magic.protocol import strict_json
from opg_magic.secret import Secret

#: Type and version of the document; a reader refuses any other.
TYPE = "opg-receipt"
VERSION = 1

#: MIME type of a receipt in a notebook's output.
MIME_TYPE = "application/vnd.opg.receipt.v1+json"

#: Longest receipt that is read or made, in bytes of UTF-8.
MAX_BYTES = 32 * 1024 * 1024

#: Longest request body with which a receipt stays under :data:`MAX_BYTES`; refuse longer ones before paying.
MAX_REQUEST_BYTES = 4 * 1024 * 1024

#: Who computed the verdict that a receipt carries: history, never a current verdict.
CHECKED_BY = "author's kernel"

COST_BASIS = "usage x price / token price: the host's figure, not signed; at most the cap can be taken"

#: What is learnt after a receipt was made, and can be added to it: see :func:`supplemented`.
Supplement = SettlementTx | BatchEvidence | IndividualEvidence | AgreementEvidence
SupplementKind = Literal["payment", "settlement", "agreement"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SAFE = 2**53 - 1


def new_id() -> str:
    """A fresh call id: 50 random bits as 10 characters of Crockford's base32, made before anything is sent."""
    return "".join(_random.choice(_CROCKFORD) for _ in range(10))


def normalise_id(text: str) -> str:
    """An id or prefix of one as a person types it: any case, O for 0, I or L for 1, hyphens ignored."""
    return text.strip().upper().replace("-", "").translate(str.maketrans("OIL", "011"))


def source_sha256(source: str) -> str:
    """SHA-256 (hex) of a cell's source, such that the notebook file and the running kernel give the same.

    Line ends, empty lines before and after, and the spaces around the magic's own line do not count: IPython changes
    them on the way from the cell to the magic.
    """
    first, newline, body = source.replace("\r\n", "\n").replace("\r", "\n").lstrip().partition("\n")
    name, _, line = first.strip().partition(" ")
    text = f"{name} {line.strip()}".strip() + newline + body
    return hashlib.sha256(_clean(text).rstrip("\n").encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Receipt:
    """One call, whole.  ``document`` is the JSON document with its ``digest``; treat it as read-only."""

    document: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Receipt {self.id} {self.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipt) and self.document == other.document

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def id(self) -> str:
        return cast(str, self.document["id"])

    @property
    def digest(self) -> str:
        """The digest that the document states; :attr:`digest_matches` says whether it is right."""
        return cast(str, self.document["digest"])

    @cached_property
    def computed_digest(self) -> str:
        """The digest of the document as it is now."""
        return digest(self.document)

    @property
    def digest_matches(self) -> bool:
        return self.digest == self.computed_digest

    @property
    def supersedes(self) -> str | None:
        """Of a later version, the digest of the receipt as it was made (:func:`supplemented`); None of that one."""
        return cast("str | None", self.document.get("supersedes"))

    def original(self) -> Receipt:
        """The receipt as it was made: this one without what was added to it later.

        Its digest is computed, so it says what this version's original must have been: compare :attr:`supersedes`.
        """
        if self.supersedes is None:
            return self
        document = {key: value for key, value in self.document.items() if key not in ("digest", "supersedes")}
        document |= {"settlement": None, "agreement": None}
        if document["payment"] is not None:
            document["payment"] = {key: value for key, value in document["payment"].items() if key != "settled"}
        document["digest"] = digest(document)
        return Receipt(document)

    @property
    def is_faithful(self) -> bool:
        """Whether nothing but additions sets this version apart from the receipt that it says it supersedes."""
        return self.supersedes is None or self.original().digest == self.supersedes

    @property
    def created_at(self) -> datetime:
        return _time(self.document["created_at"])

    @property
    def text(self) -> str | None:
        """The answer's text exactly as received, whatever the verdict; None for a tool call or no answer."""
        return cast("str | None", self.document["response"]["text"])

    @property
    def simulated(self) -> bool:
        """Whether the receipt says itself that its network was simulated (the attestation decides, not this)."""
        return bool(self.document["network"]["simulated"])

    @property
    def withheld(self) -> bool:
        """Whether the author's kernel handed no answer out: it failed, was cut off, or the policy withheld it.

        A complete answer that was merely unsigned is no such case: its verdict says what it is worth.
        """
        return withheld(self.document)

    @property
    def label(self) -> str:
        """The verdict at creation, as it may be shown: never a bare VERIFIED of a simulated network."""
        verdict = self.verdict_at_creation
        return verdict.label if verdict is not None else "UNCHECKED"

    @property
    def signature(self) -> str | None:
        """The host's signature over the answer as it stands in the signed frame (base64; public)."""
        return signature_of(self.document["response"]["frame"])

    def to_json(self) -> str:
        """The document as one line of canonical JSON (RFC 8785), with its digest."""
        return canonical_bytes(self.document).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Receipt:
        """Read a receipt strictly: bounded, no ambiguous JSON, exactly the schema's shape.

        Raises :class:`UnreadableReceipt`.  A wrong digest is not unreadable: see :attr:`digest_matches`.
        """
        return cls.from_document(_parse(text))

    @classmethod
    def from_document(cls, document: Any) -> Receipt:
        """A receipt from parsed JSON, checked against the schema.  Raises :class:`UnreadableReceipt`."""
        if not isinstance(document, dict):
            raise UnreadableReceipt("This is not a receipt: a JSON object was expected.")
        if document.get("type") != TYPE:
            raise UnreadableReceipt("This is not a receipt of opg_magic (its type is missing or another).")
        if document.get("version") != VERSION:
            raise UnreadableReceipt(
                f"This receipt has version {_short(document.get('version'))}; this opg_magic reads version {VERSION}.",
                hint="A newer opg_magic may read it.",
            )
        if not _has_form(document):
            raise UnreadableReceipt(f"This receipt does not have the documented form: {_fault(document)}.")
        receipt = cls(copy.deepcopy(document))
        try:
            size = len(canonical_bytes(receipt.document))
            receipt.evidence()
            _ = receipt.verdict_at_creation
        except (ValueError, ArithmeticError, KeyError, TypeError) as error_:
            raise UnreadableReceipt(f"This receipt holds a value that cannot be: {_short(str(error_))}") from None
        if size > MAX_BYTES:
            raise UnreadableReceipt(f"This receipt is longer than {MAX_BYTES} bytes.")
        return receipt

    def evidence(self, *, seen_in: Iterable[str] = (), paid_in: Iterable[str] = ()) -> Evidence:
        """All that is judged, rebuilt from the document.

        Looked up by the caller: ``seen_in``, ids of other receipts with the same signature; ``paid_in``, of other
        receipts that claim the same payment transaction under another nonce.
        """
        d = self.document
        host = _read_host(d["host"])
        return Evidence(
            request=RequestEvidence(
                kind=d["request"]["kind"],
                body=d["request"]["body"],
                canonical=d["request"]["canonical"],
                canonicaliser=d["request"]["canonicaliser"],
            ),
            response=_read_response(d["response"]),
            sent_at=_time(d["sent_at"]),
            received_at=_time(d["received_at"]),
            signing_key=_bytes_or_none(d["signing_key"]),
            host=host,
            attestation=_read_attestation(d["attestation"]),
            registry=_read_registry(d["registry"], host),
            channel=ChannelEvidence(**d["channel"]) if d["channel"] is not None else None,
            payment=_read_payment(d["payment"]),
            signature_seen_in=tuple(seen_in),
            declared_simulated=bool(d["network"]["simulated"]),
            settlement_mode=d["request"]["settlement"],
            settlement=_read_settlement(d["settlement"]),
            agreement=_read_agreement(d["agreement"]),
            payment_seen_in=tuple(paid_in),
        )

    @property
    def verdict_at_creation(self) -> Verdict | None:
        """The verdict of the author's kernel: history.  Judge :meth:`evidence` for a current one."""
        checked = self.document["checked"]
        if checked is None:
            return None
        claims = {c["name"]: _read_claim(c) for c in checked["claims"]}
        return Verdict(
            status=VerdictStatus(checked["verdict"]),
            simulated=checked["simulated"],
            claims=claims,
            policy=checked["policy"],
            because=tuple(checked["because"]),
            withheld=checked["withheld"],
        )

    @property
    def cost(self) -> Cost:
        """What the call cost by the host's figures, as known when the receipt was made."""
        payment = self.document["payment"]
        if payment is None:
            return Cost(amount=None, cap=None, charge=Charge.NONE)
        price = payment["price"]
        return Cost(
            amount=_read_money(payment["cost"]),
            cap=_read_money(payment["cap"]),
            usd=_decimal(payment["cost_usd"]),
            price=None
            if price is None
            else ModelPrice(
                Decimal(price["input_usd"]), Decimal(price["output_usd"]), as_of=price["as_of"], source=price["source"]
            ),
            token_usd=_decimal(payment["token_usd"]),
            charge=Charge(payment["charge"]),
        )

    def answer(self, *, include_withheld: bool = False) -> Answer:
        """The answer rebuilt, unpaid.

        A withheld one only with ``include_withheld``, else :class:`AnswerWithheld`; :class:`CallFailed` if none came.
        """
        verdict, response = self.verdict_at_creation, self.document["response"]
        if verdict is None or (response["text"] is None and response["tool_calls"] is None):
            problem = response["problem"]
            raise CallFailed(
                f"call {self.id} got no answer" + (f": {problem['message']}" if problem else ""),
                charge=self.cost.charge,
                receipt_id=self.id,
            )
        if self.withheld and not include_withheld:
            raise AnswerWithheld(
                f"the answer of call {self.id} was withheld: {'; '.join(verdict.because) or verdict.label}",
                hint=f"To read the text all the same: %opg show {self.id} --unverified",
                verdict=verdict,
                charge=self.cost.charge,
                receipt_id=self.id,
            )
        calls: Any = []
        if response["tool_calls"]:
            with contextlib.suppress(ValueError):
                calls = strict_json.loads_leniently(response["tool_calls"])
        calls = tuple(c for c in calls if isinstance(c, dict)) if isinstance(calls, list) else ()
        return Answer(text=self.text or "", verdict=verdict, receipt=self, cost=self.cost, tool_calls=calls)


# ---------------------------------------------------------------------------------------------------------------- make


def build_receipt(
    *,
    id: str,
    created_at: datetime,
    network: Network,
    prompt: Prompt,
    evidence: Evidence,
    verdict: Verdict | None,
    cost: Cost | None = None,
    kernel: str | None = None,
    notebook: str | None = None,
    cell: int | None = None,
    model_sent: str | None = None,
    checked_at: datetime | None = None,
    software: str | None = None,
    secrets: Iterable[Secret[str]] = (),
) -> Receipt:
    """The receipt of one call, also of one that failed or was withheld.

    ``kernel`` is the kernel's id, ``notebook`` its file name where known, ``cell`` the execution count.  A call that
    got no response has a ``Problem`` in its evidence and no frame; ``verdict`` is None where nothing was judged.
    ``secrets`` (session id, payment signature) are taken out wherever a host echoed one of them.

    Never fails because of what a host sent: text that is no Unicode and unsigned fields that are too long are mended,
    and a response that would make the receipt longer than :data:`MAX_BYTES` is kept by digest with the problem
    ``too-large``.
    """
    body = evidence.request.body
    text = prompt.text if prompt.messages is None else (signed_prompt(evidence.request.kind, body) or prompt.text)
    document: dict[str, Any] = {
        "type": TYPE,
        "version": VERSION,
        "id": id,
        "created_at": _iso(created_at),
        "software": software or f"opg_magic {__version__}",
        "network": {
            "name": network.name,
            "simulated": network.simulated,
            "run_id": network.run_id,
            "registry_chain_id": network.registry_chain_id,
            "registry_address": network.registry_address,
            "payment_chain_id": network.payment_chain_id,
        },
        "notebook": {"name": _clip(notebook, 1024), "kernel": _clip(kernel, 256), "cell": cell},
        "prompt": {
            "text": text,
            "template": prompt.template,
            "variables": list(prompt.variables),
            "source_sha256": source_sha256(prompt.source) if prompt.source is not None else None,
        },
        "request": {
            "kind": evidence.request.kind,
            "body": body,
            "canonical": evidence.request.canonical,
            "canonicaliser": evidence.request.canonicaliser,
            "model_requested": _clip(prompt.model, 256),
            "model_sent": _clip(model_sent if model_sent is not None else _model_in(body), 256),
            "stream": prompt.stream,
            "settlement": prompt.settle,
        },
        "response": _write_response(evidence.response),
        "sent_at": _iso(evidence.sent_at),
        "received_at": _iso(evidence.received_at),
        "signing_key": _b64(evidence.signing_key),
        "host": _write_host(evidence.host),
        "attestation": _write_attestation(evidence.attestation, verdict),
        "registry": _write_registry(evidence.registry, evidence.host),
        "channel": None
        if evidence.channel is None
        else {
            "certificate_sha256": evidence.channel.certificate_sha256,
            "tls_version": evidence.channel.tls_version,
        },
        "payment": _write_payment(evidence.payment, cost),
        "settlement": _write_settlement(evidence.settlement),
        "agreement": _write_agreement(evidence.agreement),
        "checked": _write_verdict(verdict, checked_at or datetime.now(UTC)),
    }
    document = _scrub(document, [s.reveal() for s in secrets if s])
    if len(canonical_bytes(document)) > MAX_BYTES - 256:
        response = document["response"]
        response.update(text=None, tool_calls=None, frame=None, unsigned_text=None)
        response["problem"] = {
            "code": "too-large",
            "message": f"The answer is too long for a receipt (more than {MAX_BYTES} bytes); only its digest is kept.",
        }
    document["digest"] = digest(document)
    return Receipt(document)


def supplement_kind(found: Supplement) -> SupplementKind:
    """Which part of a receipt a supplement belongs to."""
    if isinstance(found, SettlementTx):
        return "payment"
    return "agreement" if isinstance(found, AgreementEvidence) else "settlement"


def supplement_json(found: Supplement) -> dict[str, Any]:
    """A supplement as it stands in a receipt's document."""
    written = (
        _write_settled(found)
        if isinstance(found, SettlementTx)
        else _write_agreement(found)
        if isinstance(found, AgreementEvidence)
        else _write_settlement(found)
    )
    return cast(dict[str, Any], written)


def supplemented(original: Receipt, parts: Mapping[SupplementKind, Mapping[str, Any]]) -> Receipt:
    """A later version of a receipt: the same document, with what was learnt since, and a digest of its own.

    The original is not changed.  ``parts`` are as :func:`supplement_json` writes them.  The version names the
    original's digest in ``supersedes``; leaving out the parts gives the original back (:meth:`Receipt.original`), so
    that anyone can see that nothing else differs.  ValueError where the original has such a part, or no payment.
    """
    if original.supersedes is not None:
        raise ValueError("a later version is made from the receipt as it was made")
    if not parts:
        return original
    document = copy.deepcopy(original.document)
    for kind, part in parts.items():
        if kind == "payment":
            if document["payment"] is None or "settled" in document["payment"]:
                raise ValueError("the receipt has no payment that something could be added to")
            document["payment"]["settled"] = copy.deepcopy(dict(part))
        else:
            if document[kind] is not None:
                raise ValueError(f"the receipt says already what its {kind} is")
            document[kind] = copy.deepcopy(dict(part))
    document["supersedes"] = original.digest
    document["digest"] = digest(document)
    return Receipt(document)


def digest(document: Mapping[str, Any]) -> str:
    """``sha256:`` and the hex digest over the RFC 8785 bytes of ``document`` without its ``digest``."""
    body = {k: v for k, v in document.items() if k != "digest"}
    return "sha256:" + hashlib.sha256(canonical_bytes(body)).hexdigest()


def canonical_bytes(document: Any) -> bytes:
    """RFC 8785 (JSON Canonicalization Scheme) bytes."""
    if _is_plain(document):
        # What a receipt is made of has one JSON form but for order and white space: the C encoder writes the same bytes
        # as the library, in a twentieth of the time (a property test compares them).
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8")
    import rfc8785

    return rfc8785.dumps(document)


def _is_plain(value: Any) -> bool:
    """Only text, exact integers, true, false, null, lists, and objects whose keys sort alike in ASCII and UTF-16."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-_SAFE <= value <= _SAFE)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _is_plain(part) for key, part in value.items())
    return kind is list and all(map(_is_plain, value))


def withheld(document: Mapping[str, Any]) -> bool:
    """Whether a receipt's document holds an answer that was not handed out (:attr:`Receipt.withheld`)."""
    checked, problem = document["checked"], document["response"]["problem"]
    if checked is None or checked["withheld"] or checked["verdict"] == VerdictStatus.FAILED.value:
        return True
    return problem is not None and problem["code"] != "unsigned"


def signature_of(frame: str | None) -> str | None:
    """The ``tee_signature`` in a signed frame as it stands there, or None.  Judges nothing."""
    if not frame:
        return None
    try:
        parsed = strict_json.loads_leniently(frame)
    except ValueError:
        return None
    value = parsed.get("tee_signature") if isinstance(parsed, dict) else None
    return value if isinstance(value, str) and value else None


def signature_key(signature: str | bytes | None) -> str | None:
    """SHA-256 (hex) of a signature's bytes, to tell whether two receipts bear the same one; None without one."""
    if not signature:
        return None
    if isinstance(signature, str):
        text = signature.encode("utf-8", "replace")
        try:
            # Leniently: one signature with other padding or junk in between is still the same signature.
            signature = base64.b64decode(text + b"==")
        except ValueError:
            signature = text
    return hashlib.sha256(signature).hexdigest() if signature else None


def signed_prompt(kind: str, body: str) -> str | None:
    """The prompt in the request's own words: the last user message's text, or a completion's ``prompt``.

    This is the part of the body that the host's signature covers; None if there is none or the body is not readable.
    """
    try:
        parsed = strict_json.loads_leniently(body)
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    if kind == "completion":
        value = parsed.get("prompt")
        return value if isinstance(value, str) else None
    messages = parsed.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text_of(message.get("content"))
    return None


def _text_of(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") == "text"]
        return "".join(p for p in parts if isinstance(p, str))
    return None


def _model_in(body: str) -> str | None:
    try:
        parsed = strict_json.loads_leniently(body)
    except ValueError:
        return None
    model = parsed.get("model") if isinstance(parsed, dict) else None
    return model if isinstance(model, str) else None


# ------------------------------------------------------------------------------------------- writing and reading parts


def _iso(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a receipt's times must be aware")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _b64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 that is not canonical")
    return raw


def _bytes_or_none(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _clip(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else text[: length - 1] + "…"


def _clean(text: str) -> str:
    """Lone surrogates have no UTF-8 form and so can neither be hashed nor signed: U+FFFD stands for them."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _scrub(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        text = _clean(value)
        for secret in secrets:
            text = text.replace(secret, "<secret>")
        return text
    if isinstance(value, dict):
        return {_scrub(k, secrets): _scrub(v, secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrub(v, secrets) for v in value]
    return value


def _write_response(r: ResponseEvidence) -> dict[str, Any]:
    return {
        "stream": r.stream,
        "text": r.text,
        "tool_calls": r.tool_calls,
        "finish_reason": _clip(r.finish_reason, 64),
        "frame": r.frame,
        "raw_sha256": r.raw_sha256,
        "raw_size": r.raw_size,
        "model": _clip(r.model, 256),
        # The host's word; figures that JSON cannot carry exactly are left out (the frame holds them all).
        "usage": None
        if r.usage is None
        else {str(k)[:64]: v for k, v in list(r.usage.items())[:32] if type(v) is int and 0 <= v <= _SAFE},
        "problem": None
        if r.problem is None
        else {"code": _clip(r.problem.code, 64), "message": _clip(r.problem.message, 4096)},
        "unsigned_text": r.unsigned_text,
    }


def _read_response(d: Mapping[str, Any]) -> ResponseEvidence:
    return ResponseEvidence(
        **{k: d[k] for k in d if k not in ("usage", "problem")},
        usage=dict(d["usage"]) if d["usage"] is not None else None,
        problem=Problem(**d["problem"]) if d["problem"] is not None else None,
    )


def _write_host(host: Host | None) -> dict[str, Any] | None:
    if host is None:
        return None
    return {
        "tee_id": host.tee_id,
        "owner": host.owner,
        "payment_address": host.payment_address,
        "endpoint": host.endpoint,
        "public_key": _b64(host.public_key),
        "tls_certificate": _b64(host.tls_certificate),
        "pcr_hash": host.pcr_hash,
        "tee_type": host.tee_type,
        "enabled": host.enabled,
        "registered_at": str(host.registered_at),
        "last_heartbeat_at": str(host.last_heartbeat_at),
        "ohttp_config": None if host.ohttp_config is None else _pack(dict(host.ohttp_config)),
    }


def _read_host(d: Mapping[str, Any] | None) -> Host | None:
    if d is None:
        return None
    return Host(
        tee_id=d["tee_id"],
        owner=d["owner"],
        payment_address=d["payment_address"],
        endpoint=d["endpoint"],
        public_key=_bytes(d["public_key"]),
        tls_certificate=_bytes(d["tls_certificate"]),
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
        return {"base64": _b64(value)}
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
            return _bytes(value["base64"])
        if set(value) == {"int"}:
            return int(value["int"])
        return {k: _unpack(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    return value


def _write_attestation(a: AttestationEvidence | None, verdict: Verdict | None) -> dict[str, Any] | None:
    if a is None:
        return None
    claim = verdict.claims.get("attestation") if verdict is not None else None
    root = claim.facts.get("root_sha256") if claim is not None else None
    return {
        "document": _b64(a.document),
        "nonce": a.nonce.hex() if a.nonce is not None else None,
        "fetched_at": _iso(a.fetched_at),
        "root_sha256": root if isinstance(root, str) else None,
    }


def _read_attestation(d: Mapping[str, Any] | None) -> AttestationEvidence | None:
    if d is None:
        return None
    nonce = bytes.fromhex(d["nonce"]) if d["nonce"] is not None else None
    return AttestationEvidence(document=_bytes(d["document"]), nonce=nonce, fetched_at=_time(d["fetched_at"]))


def _write_registry(r: RegistryEvidence | None, host: Host | None) -> dict[str, Any] | None:
    if r is None:
        return None
    return {
        "chain_id": r.chain_id,
        "contract": r.contract,
        "block_number": str(r.block_number),
        "block_hash": r.block_hash,
        "block_time": _iso(r.block_time),
        # The entry is nearly always the host itself: said once.
        "entry": "host" if r.entry is not None and r.entry == host else _write_host(r.entry),
        "active": r.active,
        "inactive_reason": _clip(r.inactive_reason, 256),
        "pcr_approved": r.pcr_approved,
        "pcr_version": _clip(r.pcr_version, 256),
        "rpcs": [_label(rpc) for rpc in r.rpcs],
        **({} if r.disagreement is None else {"disagreement": _clip(r.disagreement, 1024)}),
        **({} if r.since is None else {"since": _clip(r.since, 256)}),
    }


def registry_json(evidence: RegistryEvidence) -> dict[str, Any]:
    """What the registry said, in the form that a receipt's ``registry`` has; the entry always in full."""
    written = _write_registry(evidence, None)
    assert written is not None
    return written


def _label(rpc: str) -> str:
    """A URL may carry an API key: only host and port of it are kept."""
    if "/" not in rpc and "@" not in rpc:
        return rpc
    from urllib.parse import urlsplit

    parts = urlsplit(rpc if "//" in rpc else f"//{rpc}")
    return parts.netloc.rpartition("@")[2] or "unnamed"


def _read_registry(d: Mapping[str, Any] | None, host: Host | None) -> RegistryEvidence | None:
    if d is None:
        return None
    if d["entry"] == "host" and host is None:
        raise ValueError("the registry's entry names a host that is not there")
    return RegistryEvidence(
        chain_id=d["chain_id"],
        contract=d["contract"],
        block_number=int(d["block_number"]),
        block_hash=d["block_hash"],
        block_time=_time(d["block_time"]),
        entry=host if d["entry"] == "host" else _read_host(d["entry"]),
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
    return None if money is None else {"amount": str(money.amount), "token": _write_token(money.token)}


def _read_money(d: Mapping[str, Any] | None) -> Money | None:
    return None if d is None else Money(int(d["amount"]), Token(**d["token"]))


def _write_payment(p: PaymentEvidence | None, cost: Cost | None) -> dict[str, Any] | None:
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
            "source": _clip(price.source, 1024),
        },
        "basis": COST_BASIS,
        **({} if p.settled is None else {"settled": _write_settled(p.settled)}),
    }


def _read_payment(d: Mapping[str, Any] | None) -> PaymentEvidence | None:
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
        estimate=_read_money(d["estimate"]),
        settled=_read_settled(d.get("settled")),
    )


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


_SETTLED_NUMBERS = ("block_number", "amount", "cap", "nonce", "seen_at_block")


def _write_settled(s: SettlementTx) -> dict[str, Any]:
    return {
        "status": s.status,
        "chain_id": s.chain_id,
        "tx_hash": _lower(s.tx_hash),
        "block_hash": _lower(s.block_hash),
        "block_time": _iso(s.block_time) if s.block_time is not None else None,
        "token": s.token,
        "payer": s.payer,
        "payee": s.payee,
        "facilitator": s.facilitator,
        **{name: _digits(getattr(s, name)) for name in _SETTLED_NUMBERS},
        "rpcs": [_label(rpc) for rpc in s.rpcs],
        "shared": [{"receipt": receipt, "amount": str(amount)} for receipt, amount in s.shared],
        "remainder": str(s.remainder),
    }


def _read_settled(d: Mapping[str, Any] | None) -> SettlementTx | None:
    if d is None:
        return None
    fields: dict[str, Any] = {k: _number(v) if k in _SETTLED_NUMBERS else v for k, v in d.items()}
    fields |= {
        "block_time": _time(d["block_time"]) if d["block_time"] is not None else None,
        "rpcs": tuple(d["rpcs"]),
        "shared": tuple((one["receipt"], int(one["amount"])) for one in d["shared"]),
        "remainder": int(d["remainder"]),
    }
    return SettlementTx(**fields)


def _write_settlement(s: BatchEvidence | IndividualEvidence | None) -> dict[str, Any] | None:
    if s is None:
        return None
    common = {
        "tx_hash": s.tx_hash.lower(),
        "block_number": str(s.block_number),
        "block_hash": s.block_hash.lower(),
        "block_time": _iso(s.block_time),
        "relay": s.relay,
        "chain_id": s.chain_id,
        "blob_id": _clip(s.blob_id, 256),
        "sender": s.sender,
        "rpcs": [_label(rpc) for rpc in s.rpcs],
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


def _read_settlement(d: Mapping[str, Any] | None) -> BatchEvidence | IndividualEvidence | None:
    if d is None:
        return None
    fields: dict[str, Any] = {k: v for k, v in d.items() if k != "kind"}
    fields |= {"block_number": int(d["block_number"]), "block_time": _time(d["block_time"]), "rpcs": tuple(d["rpcs"])}
    if d["kind"] == "batch":
        return BatchEvidence(**(fields | {"proof": tuple(d["proof"]), "batch_size": int(d["batch_size"])}))
    _bytes(d["signature"])
    return IndividualEvidence(**(fields | {"timestamp": int(d["timestamp"])}))


def _write_agreement(a: AgreementEvidence | None) -> dict[str, Any] | None:
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


def _read_agreement(d: Mapping[str, Any] | None) -> AgreementEvidence | None:
    if d is None:
        return None
    answers = [{("receipt_id" if k == "receipt" else k): v for k, v in member.items()} for member in d["answers"]]
    return AgreementEvidence(d["asked"], d["quorum"], d["group"], tuple(AgreementMember(**m) for m in answers))


def _write_verdict(verdict: Verdict | None, at: datetime) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "at": _iso(at),
        "by": CHECKED_BY,
        "verdict": verdict.status.value,
        "simulated": verdict.simulated,
        "policy": verdict.policy,
        "withheld": verdict.withheld,
        "because": [_clip(b, 4096) for b in verdict.because],
        "claims": [
            {
                "name": c.name,
                "status": c.status.value,
                "basis": c.basis.value if c.basis is not None else None,
                "sentence": _clip(c.sentence, 4096),
                "reason": _clip(c.reason, 4096),
                "code": _clip(c.code, 64),
                "expires": _iso(c.expires) if c.expires is not None else None,
            }
            for c in verdict.claims.values()
        ],
    }


def _read_claim(d: Mapping[str, Any]) -> Claim:
    return Claim(
        name=cast(ClaimName, d["name"]),
        status=Status(d["status"]),
        basis=Basis(d["basis"]) if d["basis"] is not None else None,
        sentence=d["sentence"],
        reason=d["reason"],
        code=d["code"],
        expires=_time(d["expires"]) if d["expires"] is not None else None,
    )


# -------------------------------------------------------------------------------------------------------------- schema


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of receipts, version 1."""
    from importlib.resources import files

    text = files("opg_magic.receipts").joinpath("schema/receipt-v1.json").read_text(encoding="utf-8")
    return cast(dict[str, Any], json.loads(text))


def _has_form(document: Any) -> bool:
    """Whether the schema holds, by the compiled validator: the other one takes longer than all of the cryptography."""
    try:
        return bool(_compiled().is_valid(document))
    except (ValueError, OverflowError, TypeError):
        # A number that it has no type for: no figure of a receipt is that large.
        return False


def _fault(document: Any) -> str:
    """Where and how a document that does not have the form differs from it."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(document))
    if error is None:
        return "a value that cannot be"
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    return f"{_problem(error)} at {where or 'top'}"


@cache
def _compiled() -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(schema())


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_: Any, rule: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        # In JSON Schema (ECMA 262) `$` is the end; in Python it is also the place before a last line feed.
        if isinstance(instance, str) and not re.search(rule.replace("$", r"\Z"), instance):
            yield ValidationError(f"does not match {rule}")

    strict = validators.extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return strict(schema())


def _parse(text: str | bytes) -> Any:
    if len(text) > MAX_BYTES:
        raise UnreadableReceipt(f"This receipt is longer than {MAX_BYTES} bytes.")
    try:
        return strict_json.loads(text)
    except MalformedMessage as error:
        raise UnreadableReceipt(f"This receipt is not readable as JSON: {error.message}") from None


def _problem(error: Any) -> str:
    if error.validator == "required":
        return _short(error.message)
    if error.validator == "additionalProperties":
        return "an unknown key"
    return f"the rule {error.validator!r} does not hold for {_short(error.instance)}"


def _short(value: Any) -> str:
    text = re.sub(r"[^\x20-\x7e]", "?", str(value))
    return text if len(text) <= 80 else text[:77] + "..."
