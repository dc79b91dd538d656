"""The receipt: one self-contained JSON document, from which a call can be judged again
(``docs/receipts.md``).

Numbers that come from a chain are decimal strings (JSON numbers are not safe beyond 2^53), bytes
are base64, times are UTC with microseconds.  The digest is SHA-256 over the RFC 8785 form of the
document without ``digest``."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets as _random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, cast

from opg_magic.errors import (
    AnswerWithheld,
    CallFailed,
    MalformedMessage,
    UnreadableReceipt,
    read_all_the_same,
)
from opg_magic.models import (
    Answer,
    Charge,
    Cost,
    Evidence,
    ModelPrice,
    Money,
    RequestEvidence,
    Verdict,
    VerdictStatus,
    strict_json,
)
from opg_magic.models.networks import Token
from opg_magic.receipt import parts
from opg_magic.receipt.form import MAX_BYTES, canonical_bytes, digest, fault, has_form, parse, short
from opg_magic.receipt.parts.checked import verdict_of
from opg_magic.receipt.parts.payment import read_money
from opg_magic.receipt.parts.values import decimal_of, decoded_or_none, time_of
from opg_magic.receipt.supplements import SupplementKind, with_supplements, without_supplements

#: Type and version of the document; a reader refuses any other.
TYPE = "opg-receipt"
VERSION = 1

#: MIME type of a receipt in a notebook's output.
MIME_TYPE = "application/vnd.opg.receipt.v1+json"

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """A fresh call id: 50 random bits as 10 characters of Crockford's base32, made before anything
    is sent."""
    bits = _random.randbits(50)
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(0, 50, 5))


def normalise_id(text: str) -> str:
    """An id or prefix of one as a person types it: any case, O for 0, I or L for 1, hyphens
    ignored."""
    return text.strip().upper().replace("-", "").translate(str.maketrans("OIL", "011"))


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
        """The call's id: 10 characters of Crockford's base32."""
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
        """Whether the digest that the document states is its own."""
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
        return Receipt(without_supplements(self.document))

    @property
    def is_faithful(self) -> bool:
        """Whether nothing but additions sets this version apart from the receipt that it says it
        supersedes."""
        return self.supersedes is None or self.original().digest == self.supersedes

    @property
    def created_at(self) -> datetime:
        """When the receipt was made, by the author's clock."""
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
        receipt, _, _ = read_whole(document)
        return cls(receipt.document)

    def evidence(self, *, seen_in: Iterable[str] = (), paid_in: Iterable[str] = ()) -> Evidence:
        """All that is judged, rebuilt from the document.

        Looked up by the caller: ``seen_in``, ids of other receipts with the same signature;
        ``paid_in``, of other receipts that claim the same payment transaction under another nonce.
        """
        d = self.document
        request = d["request"]
        return Evidence(
            request=RequestEvidence(
                kind=request["kind"],
                body=request["body"],
                canonical=request["canonical"],
                canonicaliser=request["canonicaliser"],
            ),
            sent_at=time_of(d["sent_at"]),
            received_at=time_of(d["received_at"]),
            signing_key=decoded_or_none(d["signing_key"]),
            signature_seen_in=tuple(seen_in),
            declared_simulated=bool(d["network"]["simulated"]),
            settlement_mode=request["settlement"],
            payment_seen_in=tuple(paid_in),
            **parts.read(d),
        )

    @property
    def verdict_at_creation(self) -> Verdict | None:
        """The verdict of the author's kernel: history.  Judge :meth:`evidence` for a current
        one."""
        return verdict_of(self.document["checked"])

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
                hint=read_all_the_same(self.id),
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


def read_whole(document: Any) -> tuple[Receipt, bytes, Evidence]:
    """A receipt from parsed JSON, as :meth:`Receipt.from_document` reads it, with its canonical
    bytes and its evidence, which reading it makes anyway."""
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
    receipt = Receipt(_copied(document))
    try:
        written = canonical_bytes(receipt.document)
        evidence = receipt.evidence()
        _ = receipt.verdict_at_creation
    except (ValueError, ArithmeticError) as error_:
        raise UnreadableReceipt(
            f"This receipt holds a value that cannot be: {short(str(error_))}"
        ) from None
    if len(written) > MAX_BYTES:
        raise UnreadableReceipt(f"This receipt is longer than {MAX_BYTES} bytes.")
    return receipt, written, evidence


def _copied(value: Any) -> Any:
    """A copy of JSON data, several times as fast as that of anything."""
    if isinstance(value, dict):
        return {k: v if v is None or type(v) is str else _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def supplemented(original: Receipt, parts: Mapping[SupplementKind, Mapping[str, Any]]) -> Receipt:
    """A later version of a receipt: the same document, with what was learnt since, and a digest of
    its own.

    The original is not changed.  ``parts`` are as
    :func:`~opg_magic.receipt.supplements.supplement_json` writes them.  The version names the
    original's digest in ``supersedes``; leaving out the parts gives the original back
    (:meth:`Receipt.original`), so that anyone can see that nothing else differs.  ValueError where
    the original has such a part, or no payment."""
    if original.supersedes is not None:
        raise ValueError("a later version is made from the receipt as it was made")
    return Receipt(with_supplements(original.document, parts)) if parts else original


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
        parsed = strict_json.loads(frame)
    except MalformedMessage:
        return None
    value = parsed.get("tee_signature") if isinstance(parsed, dict) else None
    return value if isinstance(value, str) and value else None


_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]")


def signature_key(signature: str | bytes | None) -> str | None:
    """SHA-256 (hex) of a signature's bytes, to tell whether two receipts bear the same one; None
    without one."""
    if not signature:
        return None
    if isinstance(signature, str):
        # One signature with other padding or junk in between is still the same signature.
        digits = _NOT_BASE64.sub("", signature.partition("=")[0])
        whole = digits[: len(digits) - (len(digits) % 4 == 1)]
        signature = base64.b64decode(whole + "==")
    return hashlib.sha256(signature).hexdigest() if signature else None
