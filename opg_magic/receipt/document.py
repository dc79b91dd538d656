"""The receipt: one self-contained JSON document, from which a call can be judged again
(``docs/receipts.md``).

Numbers that come from a chain are decimal strings (JSON numbers are not safe beyond 2^53), bytes
are base64, times are UTC with microseconds.  The digest is SHA-256 over the RFC 8785 form of the
document without ``digest``."""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import secrets as _random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, cast

from opg_magic import __version__
from opg_magic.errors import AnswerWithheld, CallFailed, UnreadableReceipt
from opg_magic.models import (
    AgreementEvidence,
    Answer,
    BatchEvidence,
    ChannelEvidence,
    Charge,
    Cost,
    Evidence,
    IndividualEvidence,
    ModelPrice,
    Money,
    Prompt,
    RequestEvidence,
    SettlementTx,
    Verdict,
    VerdictStatus,
    strict_json,
)
from opg_magic.models.networks import Network, Token
from opg_magic.models.secret import Secret
from opg_magic.receipt.form import MAX_BYTES, canonical_bytes, digest, fault, has_form, parse, short
from opg_magic.receipt.parts import (
    b64,
    clean,
    cleaned,
    clip,
    decimal_of,
    decoded_or_none,
    iso,
    read_agreement,
    read_attestation,
    read_claim,
    read_host,
    read_money,
    read_payment,
    read_registry,
    read_response,
    read_settlement,
    time_of,
    write_agreement,
    write_attestation,
    write_host,
    write_payment,
    write_registry,
    write_response,
    write_settled,
    write_settlement,
    write_verdict,
)
from opg_magic.receipt.question import text_of
from opg_magic.receipt.spendable import HoldsSecret, holds

#: Type and version of the document; a reader refuses any other.
TYPE = "opg-receipt"
VERSION = 1

#: MIME type of a receipt in a notebook's output.
MIME_TYPE = "application/vnd.opg.receipt.v1+json"

#: Longest request body with which a receipt stays under :data:`MAX_BYTES`; refuse longer ones
#: before paying.
MAX_REQUEST_BYTES = 4 * 1024 * 1024

#: What is learnt after a receipt was made, and can be added to it: see :func:`supplemented`.
Supplement = SettlementTx | BatchEvidence | IndividualEvidence | AgreementEvidence
SupplementKind = Literal["payment", "settlement", "agreement"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """A fresh call id: 50 random bits as 10 characters of Crockford's base32, made before anything
    is sent."""
    return "".join(_random.choice(_CROCKFORD) for _ in range(10))


def normalise_id(text: str) -> str:
    """An id or prefix of one as a person types it: any case, O for 0, I or L for 1, hyphens
    ignored."""
    return text.strip().upper().replace("-", "").translate(str.maketrans("OIL", "011"))


def source_sha256(source: str) -> str:
    """SHA-256 (hex) of a cell's source, such that the notebook file and the running kernel give the
    same.

    Line ends, empty lines before and after, and the spaces around the magic's own line do not
    count: IPython changes them on the way from the cell to the magic."""
    first, newline, body = source.replace("\r\n", "\n").replace("\r", "\n").lstrip().partition("\n")
    name, _, line = first.strip().partition(" ")
    text = f"{name} {line.strip()}".strip() + newline + body
    return hashlib.sha256(clean(text).rstrip("\n").encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Receipt:
    """One call, whole.  ``document`` is the JSON document with its ``digest``; treat it as
    read-only."""

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
        """Of a later version, the digest of the receipt as it was made (:func:`supplemented`); None
        of that one."""
        return cast("str | None", self.document.get("supersedes"))

    def original(self) -> Receipt:
        """The receipt as it was made: this one without what was added to it later.

        Its digest is computed, so it says what this version's original must have been: compare
        :attr:`supersedes`."""
        if self.supersedes is None:
            return self
        document = {
            key: value
            for key, value in self.document.items()
            if key not in ("digest", "supersedes")
        }
        document |= {"settlement": None, "agreement": None}
        if document["payment"] is not None:
            document["payment"] = {
                key: value for key, value in document["payment"].items() if key != "settled"
            }
        document["digest"] = digest(document)
        return Receipt(document)

    @property
    def is_faithful(self) -> bool:
        """Whether nothing but additions sets this version apart from the receipt that it says it
        supersedes."""
        return self.supersedes is None or self.original().digest == self.supersedes

    @property
    def created_at(self) -> datetime:
        return time_of(self.document["created_at"])

    @property
    def text(self) -> str | None:
        """The answer's text exactly as received, whatever the verdict; None for a tool call or no
        answer."""
        return cast("str | None", self.document["response"]["text"])

    @property
    def simulated(self) -> bool:
        """Whether the receipt says itself that its network was simulated (the attestation decides,
        not this)."""
        return bool(self.document["network"]["simulated"])

    @property
    def withheld(self) -> bool:
        """Whether the author's kernel handed no answer out: it failed, was cut off, or the policy
        withheld it.

        A complete answer that was merely unsigned is no such case: its verdict says what it is
        worth."""
        return withheld(self.document)

    @property
    def label(self) -> str:
        """The verdict at creation, as it may be shown: never a bare VERIFIED of a simulated
        network."""
        verdict = self.verdict_at_creation
        return verdict.label if verdict is not None else "UNCHECKED"

    @property
    def signature(self) -> str | None:
        """The host's signature over the answer as it stands in the signed frame (base64;
        public)."""
        return signature_of(self.document["response"]["frame"])

    def to_json(self) -> str:
        """The document as one line of canonical JSON (RFC 8785), with its digest."""
        return canonical_bytes(self.document).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Receipt:
        """Read a receipt strictly: bounded, no ambiguous JSON, exactly the schema's shape.

        Raises :class:`UnreadableReceipt`.  A wrong digest is not unreadable: see
        :attr:`digest_matches`."""
        return cls.from_document(parse(text))

    @classmethod
    def from_document(cls, document: Any) -> Receipt:
        """A receipt from parsed JSON, checked against the schema.  Raises
        :class:`UnreadableReceipt`."""
        if not isinstance(document, dict):
            raise UnreadableReceipt("This is not a receipt: a JSON object was expected.")
        if document.get("type") != TYPE:
            raise UnreadableReceipt(
                "This is not a receipt of opg_magic (its type is missing or another)."
            )
        if document.get("version") != VERSION:
            raise UnreadableReceipt(
                f"This receipt has version {short(document.get('version'))}; this opg_magic reads "
                f"version {VERSION}.",
                hint="A newer opg_magic may read it.",
            )
        if not has_form(document):
            raise UnreadableReceipt(
                f"This receipt does not have the documented form: {fault(document)}."
            )
        receipt = cls(copy.deepcopy(document))
        try:
            size = len(canonical_bytes(receipt.document))
            receipt.evidence()
            _ = receipt.verdict_at_creation
        except (ValueError, ArithmeticError) as error_:
            raise UnreadableReceipt(
                f"This receipt holds a value that cannot be: {short(str(error_))}"
            ) from None
        if size > MAX_BYTES:
            raise UnreadableReceipt(f"This receipt is longer than {MAX_BYTES} bytes.")
        return receipt

    def evidence(self, *, seen_in: Iterable[str] = (), paid_in: Iterable[str] = ()) -> Evidence:
        """All that is judged, rebuilt from the document.

        Looked up by the caller: ``seen_in``, ids of other receipts with the same signature;
        ``paid_in``, of other receipts that claim the same payment transaction under another nonce.
        """
        d = self.document
        host = read_host(d["host"])
        return Evidence(
            request=RequestEvidence(
                kind=d["request"]["kind"],
                body=d["request"]["body"],
                canonical=d["request"]["canonical"],
                canonicaliser=d["request"]["canonicaliser"],
            ),
            response=read_response(d["response"]),
            sent_at=time_of(d["sent_at"]),
            received_at=time_of(d["received_at"]),
            signing_key=decoded_or_none(d["signing_key"]),
            host=host,
            attestation=read_attestation(d["attestation"]),
            registry=read_registry(d["registry"], host),
            channel=ChannelEvidence(**d["channel"]) if d["channel"] is not None else None,
            payment=read_payment(d["payment"]),
            signature_seen_in=tuple(seen_in),
            declared_simulated=bool(d["network"]["simulated"]),
            settlement_mode=d["request"]["settlement"],
            settlement=read_settlement(d["settlement"]),
            agreement=read_agreement(d["agreement"]),
            payment_seen_in=tuple(paid_in),
        )

    @property
    def verdict_at_creation(self) -> Verdict | None:
        """The verdict of the author's kernel: history.  Judge :meth:`evidence` for a current
        one."""
        checked = self.document["checked"]
        if checked is None:
            return None
        claims = {c["name"]: read_claim(c) for c in checked["claims"]}
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
        """What the call cost by the host's figures, and what the chain shows of it where that was
        learnt since."""
        from opg_magic.receipt.collected import collected

        payment = self.document["payment"]
        if payment is None:
            return Cost(amount=None, cap=None, charge=Charge.NONE)
        price, came = payment["price"], collected(self.document)
        return Cost(
            amount=read_money(payment["cost"]),
            cap=read_money(payment["cap"]),
            usd=decimal_of(payment["cost_usd"]),
            price=None
            if price is None
            else ModelPrice(
                Decimal(price["input_usd"]),
                Decimal(price["output_usd"]),
                as_of=price["as_of"],
                source=price["source"],
            ),
            token_usd=decimal_of(payment["token_usd"]),
            charge=came.charge,
            settled=None
            if came.settled is None
            else Money(came.settled, Token(**payment["token"])),
        )

    def answer(self, *, include_withheld: bool = False) -> Answer:
        """The answer rebuilt, unpaid.

        A withheld one only with ``include_withheld``, else :class:`AnswerWithheld`;
        :class:`CallFailed` if none came."""
        verdict, response = self.verdict_at_creation, self.document["response"]
        problem = response["problem"]
        came = response["text"] is not None or response["tool_calls"] is not None
        if verdict is None and came and problem is None:
            raise CallFailed(
                f"the answer of call {self.id} could not be checked when it came, so it is not "
                f"handed out",
                hint=f"It is in its receipt: opg show {self.id} --json",
                charge=self.cost.charge,
                receipt_id=self.id,
            )
        if verdict is None or not came:
            raise CallFailed(
                f"call {self.id} got no answer" + (f": {problem['message']}" if problem else ""),
                charge=self.cost.charge,
                receipt_id=self.id,
            )
        if self.withheld and not include_withheld:
            raise AnswerWithheld(
                f"the answer of call {self.id} was withheld: {verdict.why or verdict.label}",
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
        return Answer(
            text=self.text or "", verdict=verdict, receipt=self, cost=self.cost, tool_calls=calls
        )


# --------------------------------------------------------------------------------------------- make


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

    ``kernel`` is the kernel's id, ``notebook`` its file name where known, ``cell`` the execution
    count.  A call that got no response has a ``Problem`` in its evidence and no frame; ``verdict``
    is None where nothing was judged. :class:`HoldsSecret` if one of ``secrets`` (session id,
    payment signature) would stand in it: nothing is rewritten.

    Otherwise never fails because of what a host sent: text that is no Unicode and unsigned fields
    that are too long are mended, and a response that would make the receipt longer than
    :data:`MAX_BYTES` is kept by digest with the problem ``too-large``."""
    body = evidence.request.body
    text = (
        prompt.text
        if prompt.messages is None
        else (signed_prompt(evidence.request.kind, body) or prompt.text)
    )
    document: dict[str, Any] = {
        "type": TYPE,
        "version": VERSION,
        "id": id,
        "created_at": iso(created_at),
        "software": software or f"opg_magic {__version__}",
        "network": {
            "name": network.name,
            "simulated": network.simulated,
            "run_id": network.run_id,
            "registry_chain_id": network.registry_chain_id,
            "registry_address": network.registry_address,
            "payment_chain_id": network.payment_chain_id,
        },
        "notebook": {"name": clip(notebook, 1024), "kernel": clip(kernel, 256), "cell": cell},
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
            "model_requested": clip(prompt.model, 256),
            "model_sent": clip(model_sent if model_sent is not None else _model_in(body), 256),
            "stream": prompt.stream,
            "settlement": prompt.settle,
        },
        "response": write_response(evidence.response),
        "sent_at": iso(evidence.sent_at),
        "received_at": iso(evidence.received_at),
        "signing_key": b64(evidence.signing_key),
        "host": write_host(evidence.host),
        "attestation": write_attestation(evidence.attestation, verdict),
        "registry": write_registry(evidence.registry, evidence.host),
        "channel": None
        if evidence.channel is None
        else {
            "certificate_sha256": evidence.channel.certificate_sha256,
            "tls_version": evidence.channel.tls_version,
        },
        "payment": write_payment(evidence.payment, cost),
        "settlement": write_settlement(evidence.settlement),
        "agreement": write_agreement(evidence.agreement),
        "checked": write_verdict(verdict, checked_at or datetime.now(UTC)),
    }
    document = cleaned(document)
    written = canonical_bytes(document)
    if holds(written, secrets):
        raise HoldsSecret
    if len(written) > MAX_BYTES - 256:
        response = document["response"]
        response.update(text=None, tool_calls=None, frame=None, unsigned_text=None)
        response["problem"] = {
            "code": "too-large",
            "message": f"The answer is too long for a receipt (more than {MAX_BYTES} bytes); only "
            f"its digest is kept.",
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
        write_settled(found)
        if isinstance(found, SettlementTx)
        else write_agreement(found)
        if isinstance(found, AgreementEvidence)
        else write_settlement(found)
    )
    return cast(dict[str, Any], written)


def supplemented(original: Receipt, parts: Mapping[SupplementKind, Mapping[str, Any]]) -> Receipt:
    """A later version of a receipt: the same document, with what was learnt since, and a digest of
    its own.

    The original is not changed.  ``parts`` are as :func:`supplement_json` writes them.  The version
    names the original's digest in ``supersedes``; leaving out the parts gives the original back
    (:meth:`Receipt.original`), so that anyone can see that nothing else differs.  ValueError where
    the original has such a part, or no payment."""
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


def receipt_of(answer: Answer) -> Receipt:
    """An answer's receipt as the class that it is; TypeError where an answer was made with
    another."""
    if not isinstance(answer.receipt, Receipt):
        raise TypeError(f"the receipt of {answer!r} is not a Receipt")
    return answer.receipt


def withheld(document: Mapping[str, Any]) -> bool:
    """Whether a receipt's document holds an answer that was not handed out
    (:attr:`Receipt.withheld`)."""
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
    """SHA-256 (hex) of a signature's bytes, to tell whether two receipts bear the same one; None
    without one."""
    if not signature:
        return None
    if isinstance(signature, str):
        text = signature.encode("utf-8", "replace")
        try:
            # Leniently: one signature with other padding or junk in between is still the same
            # signature.
            signature = base64.b64decode(text + b"==")
        except ValueError:
            signature = text
    return hashlib.sha256(signature).hexdigest() if signature else None


def signed_prompt(kind: str, body: str) -> str | None:
    """The prompt in the request's own words: the last user message's text, or a completion's
    ``prompt``.

    This is the part of the body that the host's signature covers; None if there is none or the body
    is not readable."""
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
            return text_of(message.get("content"))
    return None


def _model_in(body: str) -> str | None:
    try:
        parsed = strict_json.loads_leniently(body)
    except ValueError:
        return None
    model = parsed.get("model") if isinstance(parsed, dict) else None
    return model if isinstance(model, str) else None
