"""Judging receipts again, as a reader: in a ``.json``, a ``.jsonl``, or a notebook.

Every verdict is recomputed from the evidence; the one in the receipt is history.  What a file says is data: no URL in
it is ever contacted, and a registry is asked only through RPCs that the reader names.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, Protocol

from opg_magic import shown
from opg_magic.errors import MalformedMessage, OpgError, RpcsDisagree, UnreadableReceipt
from opg_magic.models import (
    CLAIM_NAMES,
    AgreementEvidence,
    Authorisation,
    Basis,
    BatchEvidence,
    Claim,
    Evidence,
    IndividualEvidence,
    RegistryEvidence,
    SettlementTx,
    Status,
    Trust,
    Verdict,
    VerdictStatus,
)
from opg_magic.receipts.receipt import (
    MIME_TYPE,
    Receipt,
    normalise_id,
    signature_key,
    signed_prompt,
    source_sha256,
)
from opg_magic.verify.agreement import text_hashes
from opg_magic.verify.policy import Policy
from opg_magic.verify.verdict import decide, judge

#: Longest notebook or ``.jsonl`` file that is read, in bytes.
MAX_FILE_BYTES = 512 * 1024 * 1024

#: ``failed``: something is not as the file says; ``unreadable``; ``incomplete``: not enough to say; ``note``: no harm.
Level = Literal["failed", "unreadable", "incomplete", "note"]

#: What neither the host's signature nor the attestation covers, in any receipt.
RECORDED = (
    "created_at",
    "software",
    "network",
    "notebook",
    "prompt.source_sha256",
    "request.model_requested",
    "response.model",
    "response.usage",
    "response.finish_reason",
    "sent_at",
    "received_at",
    "payment",
    "checked",
)

_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.PENDING: "◌", Status.MISSING: "○", Status.NOT_APPLICABLE: "–"}
_SIGNS = {"failed": "✗", "unreadable": "✗", "incomplete": "○", "note": "·"}
_NOT_PROVEN = (
    "Not proven: which weights the provider ran, whether it honoured every parameter, and whether an answer is true. "
    "Times, cell, model name in the answer, tokens and cost are the author's or the host's word, not signed."
)


class RegistryReader(Protocol):
    """Asks the reader's own RPCs for a host's entry at one block.

    One that also has ``revoked_since(tee_id, block_number) -> str | None`` tells what became of the entry later, in
    words that begin with the reason ("PCR revoked on 2026-05-06 12:00 UTC").
    """

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence: ...


class PaymentReader(Protocol):
    """Asks the reader's own RPCs of the payment chain what became of an authorisation, by its nonce."""

    def settlement_of(self, authorisation: Authorisation) -> SettlementTx: ...


Settlement = BatchEvidence | IndividualEvidence


class SettlementReader(Protocol):
    """Asks the reader's own RPCs for the relay's event in the transaction that a receipt names.

    What comes back is ``recorded`` with all that the chain knows better (block, relay, sender, batch size), and with
    ``committed`` False where there is no event with this root, or of this call, in that transaction.  One that also has
    ``senders`` names who alone may commit.
    """

    def committed(self, recorded: Settlement) -> Settlement: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report beyond the claims; ``where`` says in the file's own terms (``cell 3``, ``line 7``)."""

    level: Level
    code: str
    message: str
    where: str | None = None
    receipt_id: str | None = None


@dataclass(frozen=True)
class Checked:
    """One receipt and the verdict on it now.  ``accepted`` as simulated: see :attr:`Report.exit_code`."""

    receipt: Receipt
    where: str
    verdict: Verdict
    accepted: bool

    @property
    def label(self) -> str:
        return self.verdict.label


@dataclass(frozen=True)
class Report:
    """What came out of checking one file."""

    path: str
    policy: str
    checked: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    #: Cells or lines that hold no receipt are of no concern when one receipt was asked for.
    only: str | None = None

    def _has(self, level: Level) -> bool:
        return any(f.level == level for f in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all VERIFIED (or accepted as simulated), 1 something FAILED, 2 unreadable, 3 not enough to say."""
        if self._has("failed") or any(c.verdict.status is VerdictStatus.FAILED for c in self.checked):
            return 1
        if self._has("unreadable"):
            return 2
        if not self.checked or self._has("incomplete") or not all(c.accepted for c in self.checked):
            return 3
        return 0

    @property
    def simulated(self) -> bool:
        return any(c.verdict.simulated for c in self.checked)

    @property
    def label(self) -> str:
        """One word for the whole file: the worst that applies; never VERIFIED if anything in it is simulated."""
        code = self.exit_code
        if code == 2:
            return "UNREADABLE"
        if not self.checked:
            return "FAILED" if code == 1 else "NO RECEIPT"
        order = [VerdictStatus.FAILED, VerdictStatus.UNVERIFIED, VerdictStatus.PARTIAL, VerdictStatus.VERIFIED]
        status = VerdictStatus.FAILED if code == 1 else min((c.verdict.status for c in self.checked), key=order.index)
        if code == 3 and status is VerdictStatus.VERIFIED and self._has("incomplete"):
            status = VerdictStatus.PARTIAL
        return Verdict(status, self.simulated, {}, self.policy).label

    @property
    def recorded_claims(self) -> tuple[str, ...]:
        """Names of the claims that, in some receipt, rest on its author's word alone."""
        names = {c.name for one in self.checked for c in one.verdict.claims.values() if c.basis is Basis.RECORDED}
        return tuple(name for name in CLAIM_NAMES if name in names)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data (one object)."""
        return {
            "path": self.path,
            "verdict": self.label,
            "simulated": self.simulated,
            "exit_code": self.exit_code,
            "policy": self.policy,
            "receipts": [_checked_json(c) for c in self.checked],
            "findings": [
                {"level": f.level, "code": f.code, "message": f.message, "where": f.where, "receipt": f.receipt_id}
                for f in self.findings
            ],
            "recorded": list(RECORDED),
            "recorded_claims": list(self.recorded_claims),
        }

    def to_text(self) -> str:
        """The report for a person: every claim in words with what it rests on, then what else was found."""
        count = len(self.checked)
        lines = [f"{self.path}: {self.label} ({count} receipt{'' if count == 1 else 's'}, policy {self.policy})"]
        for one in self.checked:
            lines += ["", *_checked_text(one)]
        if self.findings:
            lines.append("")
        for f in self.findings:
            place = ", ".join(p for p in (f.where, f.receipt_id and f"receipt {f.receipt_id}") if p)
            lines.append(f"{_SIGNS[f.level]} {f'{place}: ' if place else ''}{f.message}")
        recorded = self.recorded_claims
        if recorded:
            lines += ["", f"Recorded by the author and not asked here: {', '.join(recorded)}."]
        if self.checked:
            lines += ["", _NOT_PROVEN]
        return "\n".join(_one_line(line) for line in lines)


def verify_path(
    path: str | Path,
    *,
    policy: Policy,
    trust: Trust,
    rpc_reader: RegistryReader | None = None,
    payment_reader: PaymentReader | None = None,
    settlement_reader: SettlementReader | None = None,
    allow_simulated: bool = False,
    receipt: str | None = None,
    render_html: Callable[[str], str] | None = None,
) -> Report:
    """Check a receipt (``.json``), receipts one a line (``.jsonl``), or a notebook (``.ipynb``).

    ``trust`` is the reader's: pinned roots, allowed PCRs, the relay.  ``rpc_reader``, ``payment_reader`` and
    ``settlement_reader`` ask the reader's own RPCs, so that these claims are asked and not merely recorded; without
    them nothing is contacted.  ``allow_simulated`` accepts receipts of a simulated network whose
    root is in ``trust.simulated_roots`` if all else passed.  ``receipt`` (an id or its beginning) looks at that one
    alone.  ``render_html`` renders an answer's text as the display does; with it the saved HTML is compared too.

    Raises nothing for what a file holds: an unreadable file is a report with exit code 2.
    """
    source = Path(path)
    if trust.now is None:
        trust = replace(trust, now=datetime.now(UTC))
    audit = _Audit(
        policy=policy,
        trust=trust,
        rpc_reader=rpc_reader,
        payment_reader=payment_reader,
        settlement_reader=settlement_reader,
        allow_simulated=allow_simulated,
        only=normalise_id(receipt) if receipt else None,
        render_html=render_html,
    )
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".ipynb": _read_notebook}
    reader = readers.get(source.suffix.lower())
    try:
        if reader is None:
            raise UnreadableReceipt(f"It does not end in {', '.join(readers)}.")
        found = reader(_bytes_of(source), audit)
    except UnreadableReceipt as error:
        found = []
        audit.say("unreadable", "unreadable", str(error.message))
    return audit.report(str(path), found)


def shown_text_matches(
    bundle: Mapping[str, Any], receipt: Receipt, *, render_html: Callable[[str], str] | None = None
) -> bool:
    """Whether a display's MIME bundle shows, as the answer, exactly the text that the receipt holds, or none at all.

    ``text/plain`` as :mod:`opg_magic.shown` defines it; ``text/markdown`` begins with the text in a fenced code block;
    ``text/html`` (compared if ``render_html`` is given) holds the rendered text before anything else that is visible.
    """
    return _shown_fault(bundle, receipt, render_html) is None


# ----------------------------------------------------------------------------------------------------- reading files


@dataclass(frozen=True)
class _Place:
    """Where a receipt stands.  ``cell`` is set in a notebook; ``asks`` if that cell is a ``%%opg`` call."""

    receipt: Receipt
    where: str
    bundle: Mapping[str, Any] | None = None
    cell: str | None = None
    asks: bool = False


class _Index:
    """What all receipts of a file have in common, looked up once for all of them."""

    def __init__(self, receipts: Iterable[Receipt]) -> None:
        #: By the digest of the receipt as it was made.
        self.by_digest: dict[str, Receipt] = {}
        self._signatures: dict[str, dict[str, set[str]]] = {}
        self._transactions: dict[str, dict[str, set[str]]] = {}
        for receipt in receipts:
            call = receipt.original().computed_digest
            self.by_digest[call] = receipt
            key = signature_key(receipt.signature)
            if key is not None:
                self._signatures.setdefault(key, {}).setdefault(call, set()).add(receipt.id)
            paid = _transaction(receipt)
            if paid is not None:
                self._transactions.setdefault(paid[0], {}).setdefault(paid[1], set()).add(receipt.id)

    def signed_elsewhere(self, receipt: Receipt) -> list[str]:
        """Ids of other calls' receipts that bear this one's signature (attack 14)."""
        found = self._signatures.get(signature_key(receipt.signature) or "", {})
        own = receipt.original().computed_digest
        return sorted({id for call, ids in found.items() if call != own for id in ids})

    def paid_elsewhere(self, receipt: Receipt) -> list[str]:
        """Ids of receipts that claim this one's payment transaction under another nonce (attack 23)."""
        paid = _transaction(receipt)
        found = self._transactions.get(paid[0], {}) if paid is not None else {}
        return sorted({id for nonce, ids in found.items() if paid is not None and nonce != paid[1] for id in ids})


@dataclass
class _Audit:
    policy: Policy
    trust: Trust
    rpc_reader: RegistryReader | None
    payment_reader: PaymentReader | None
    settlement_reader: SettlementReader | None
    allow_simulated: bool
    only: str | None
    render_html: Callable[[str], str] | None
    findings: list[Finding] = field(default_factory=list)

    def say(self, level: Level, code: str, message: str, where: str | None = None, id: str | None = None) -> None:
        self.findings.append(Finding(level, code, message, where, id))

    def read(self, text: str | bytes | Mapping[str, Any], where: str) -> Receipt | None:
        try:
            if isinstance(text, (str, bytes)):
                return Receipt.from_json(text)
            return Receipt.from_document(text)
        except UnreadableReceipt as error:
            # Beside the one receipt that was asked for, others are of no concern.
            self.say("note" if self.only else "unreadable", "unreadable", error.message, where)
            return None

    def report(self, path: str, places: list[_Place]) -> Report:
        wanted = [p for p in places if self.only is None or p.receipt.id.startswith(self.only)]
        if self.only is not None and places and not wanted:
            self.say("unreadable", "not-found", f"There is no receipt {self.only} in it.")
        self._duplicates([p for p in places if self.only is None or p in wanted])
        index = _Index(p.receipt for p in places)
        checked = tuple(self._check(p, index) for p in _each_once(self._newest(wanted)))
        for place in wanted:
            self._notebook(place)
        if self.render_html is None and any("text/html" in (p.bundle or {}) for p in wanted):
            self.say("note", "html", "The saved HTML was not compared with the signed texts.")
        if not places and not self.findings:
            self.say("incomplete", "no-receipt", "It holds no receipt, so nothing can be said about it.")
        return Report(path, self.policy.name, checked, tuple(self.findings), self.only)

    # -------------------------------------------------------------------------------------------------- one receipt

    def _check(self, place: _Place, index: _Index) -> Checked:
        receipt = place.receipt
        evidence = receipt.evidence(seen_in=index.signed_elsewhere(receipt), paid_in=index.paid_elsewhere(receipt))
        evidence, trust = self._ask_registry(evidence, place)
        evidence, trust = self._ask_payment(evidence, trust, place)
        evidence, trust = self._ask_settlement(evidence, trust, place)
        trust = self._compare_answers(evidence, trust, place, index)
        if receipt.simulated:
            # Pins are of real builds.  What calls itself simulated gains nothing by it: it is never VERIFIED.
            trust = replace(trust, pinned_pcrs=frozenset())
        verdict = judge(evidence, policy=self.policy, trust=trust)
        self._document(receipt, place.where)
        return Checked(receipt, place.where, verdict, self._accepted(verdict, trust))

    def _document(self, receipt: Receipt, where: str) -> None:
        """What the document says about itself and about what was signed."""
        if not receipt.digest_matches:
            message = "The receipt was altered after it was made: its digest is not that of its content."
            self.say("failed", "altered", message, where, receipt.id)
        elif not receipt.is_faithful:
            message = "More sets this receipt apart from the one that it supersedes than what was learnt later."
            self.say("failed", "altered", message, where, receipt.id)
        prompt, request = receipt.document["prompt"], receipt.document["request"]
        signed = signed_prompt(request["kind"], request["body"])
        if signed is not None and prompt["text"] != signed:
            message = "The prompt that the receipt shows is not the one in the request that was sent."
            self.say("failed", "prompt-altered", message, where, receipt.id)
        if prompt["template"] is not None and not _fills(prompt["template"], prompt["text"]):
            message = "The prompt that was sent cannot have come from the template that the receipt shows."
            self.say("failed", "template-altered", message, where, receipt.id)

    def _ask_registry(self, evidence: Evidence, place: _Place) -> tuple[Evidence, Trust]:
        if self.rpc_reader is None or evidence.host is None or evidence.registry is None:
            return evidence, self.trust
        recorded = evidence.registry
        where, id = place.where, place.receipt.id
        try:
            asked = self.rpc_reader.at_block(evidence.host.tee_id, recorded.block_number)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            trust = replace(self.trust, asked=self.trust.asked | {"registry"})
            return replace(evidence, registry=replace(recorded, disagreement=error.message)), trust
        except OpgError as error:
            # The claim stays what it was: recorded.
            self.say("note", "registry-not-asked", f"The registry could not be asked: {error.message}", where, id)
            return evidence, self.trust
        if asked.block_hash.lower() != recorded.block_hash.lower():
            if evidence.declared_simulated:
                message = "This RPC does not serve the simulated chain of the receipt; the registry stays recorded."
                self.say("note", "other-chain", message, where, id)
                return evidence, self.trust
            message = (
                f"The receipt names block {recorded.block_number} with hash {recorded.block_hash}; "
                f"the chain that was asked has {asked.block_hash} there."
            )
            self.say("failed", "other-block", message, where, id)
            return evidence, self.trust
        if asked.active:
            asked = replace(asked, since=self._revoked_since(evidence.host.tee_id, asked, where, id))
        # What the reader's own RPC was asked about is the registry that this reader means.
        trust = replace(self.trust, registry=self.trust.registry or (asked.chain_id, asked.contract))
        return replace(evidence, registry=asked), _asking(trust, "registry")

    def _revoked_since(self, tee_id: str, asked: RegistryEvidence, where: str, id: str) -> str | None:
        """What became of an entry that was active at its block (attack 5): said, and no fault of the receipt."""
        look = getattr(self.rpc_reader, "revoked_since", None)
        if look is None:
            return None
        try:
            since: str | None = look(tee_id, asked.block_number)
        except OpgError as error:
            self.say(
                "note", "since-not-asked", f"What became of the host later is not known: {error.message}", where, id
            )
            return None
        if since is None:
            return None
        when = f"block {asked.block_number} of {asked.block_time:%Y-%m-%d %H:%M} UTC"
        self.say("note", "since-revoked", f"Since revoked: the host was active at {when}; {since}.", where, id)
        return since

    def _ask_payment(self, evidence: Evidence, trust: Trust, place: _Place) -> tuple[Evidence, Trust]:
        """What the payment chain shows now; where it cannot be asked the claim stays what the author recorded."""
        payment = evidence.payment
        if self.payment_reader is None or payment is None:
            return evidence, trust
        where, id = place.where, place.receipt.id
        try:
            found = self.payment_reader.settlement_of(payment.authorisation)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            return evidence, trust
        except OpgError as error:
            self.say("note", "payment-not-asked", f"The payment could not be asked for: {error.message}", where, id)
            return evidence, trust
        told = payment.settled
        if evidence.declared_simulated and found.status != "spent" and told is not None and told.status == "spent":
            message = "This RPC does not serve the simulated chain of the receipt; the payment stays recorded."
            self.say("note", "other-chain", message, where, id)
            return evidence, trust
        if told is not None and told.status == "spent" and found.status == "spent":
            if (told.tx_hash, told.amount) != (found.tx_hash, found.amount):
                message = (
                    f"The receipt names transaction {told.tx_hash} over {told.amount} base units; "
                    f"the chain that was asked shows {found.tx_hash} over {found.amount}."
                )
                self.say("failed", "other-payment", message, where, id)
            # How the session's sum is shared out is no matter of the chain.
            found = replace(found, shared=told.shared, remainder=told.remainder)
        asked = replace(evidence, payment=replace(payment, settled=found))
        if found.status == "spent" and found.nonce == payment.authorisation.nonce:
            # One transaction may settle several authorisations: what it holds for this one was decoded just now.
            asked = replace(asked, payment_seen_in=())
        return asked, _asking(trust, "payment")

    def _ask_settlement(self, evidence: Evidence, trust: Trust, place: _Place) -> tuple[Evidence, Trust]:
        recorded = evidence.settlement
        if self.settlement_reader is None or recorded is None:
            return evidence, trust
        where, id = place.where, place.receipt.id
        try:
            found = self.settlement_reader.committed(recorded)
        except RpcsDisagree as error:
            self.say("failed", "rpcs-disagree", error.message, where, id)
            return evidence, trust
        except OpgError as error:
            message = f"The settlement could not be asked for: {error.message}"
            self.say("note", "settlement-not-asked", message, where, id)
            return evidence, trust
        if evidence.declared_simulated and not found.committed:
            message = "This RPC does not serve the simulated chain of the receipt; the settlement stays recorded."
            self.say("note", "other-chain", message, where, id)
            return evidence, trust
        if found.committed:
            senders = trust.relay_senders or frozenset(getattr(self.settlement_reader, "senders", ()))
            trust = replace(trust, relay=trust.relay or (found.chain_id, found.relay), relay_senders=senders)
        return replace(evidence, settlement=found), _asking(trust, "settlement")

    def _compare_answers(self, evidence: Evidence, trust: Trust, place: _Place, index: _Index) -> Trust:
        """An agreement whose receipts are all in this file need not be taken on the author's word."""
        agreement = evidence.agreement
        if agreement is None:
            return trust
        for member in agreement.answers:
            other = index.by_digest.get(member.digest)
            if other is None:
                return trust
            if not self._fits(agreement, member.receipt_id, other):
                message = f"The agreement does not tell of receipt {member.receipt_id} what that receipt holds."
                self.say("failed", "agreement-differs", message, place.where, place.receipt.id)
                return trust
        return _asking(trust, "agreement")

    def _fits(self, agreement: AgreementEvidence, id: str, other: Receipt) -> bool:
        member = next(m for m in agreement.answers if m.receipt_id == id)
        evidence = other.evidence()
        host, response = evidence.host, evidence.response
        text = response.text if response.tool_calls is None else response.tool_calls
        told = (member.text_sha256, member.normal_sha256, member.json_sha256)
        same_host = host is not None and (host.tee_id.lower(), host.owner.lower()) == (
            member.tee_id.lower(),
            member.owner.lower(),
        )
        good = judge(evidence, trust=self.trust).status not in (VerdictStatus.FAILED, VerdictStatus.UNVERIFIED)
        counted = member.verdict in (VerdictStatus.VERIFIED.value, VerdictStatus.PARTIAL.value)
        return other.id == id and same_host and told == text_hashes(text) and (good or not counted)

    def _accepted(self, verdict: Verdict, trust: Trust) -> bool:
        if not verdict.simulated:
            return verdict.status is VerdictStatus.VERIFIED
        facts = verdict.claims["attestation"].facts if "attestation" in verdict.claims else {}
        own_root = facts.get("simulated") is True and facts.get("root_sha256") in trust.simulated_roots
        if not (self.allow_simulated and own_root):
            return False
        # A simulated chain does not outlive its run, so its registry can be recorded at best: that alone is excused.
        as_author = decide(verdict.claims, policy=self.policy, trust=replace(trust, reader=False), simulated=True)
        return as_author.status is VerdictStatus.VERIFIED

    # ------------------------------------------------------------------------------------------------ several of them

    def _newest(self, places: list[_Place]) -> list[_Place]:
        """Without receipts of which the file holds a later version as well."""
        superseded = {p.receipt.supersedes for p in places if p.receipt.supersedes and p.receipt.is_faithful}
        kept = []
        for place in places:
            if place.receipt.supersedes is None and place.receipt.digest in superseded:
                message = "A later version of this receipt is there too, and is the one that was checked."
                self.say("note", "later-version", message, place.where, place.receipt.id)
            else:
                kept.append(place)
        return kept

    def _duplicates(self, places: list[_Place]) -> None:
        ids: dict[str, set[str]] = {}
        for p in places:
            # A later version is the same receipt as long as only what was learnt since sets it apart.
            ids.setdefault(p.receipt.id, set()).add(p.receipt.original().computed_digest)
        for id, digests in ids.items():
            if len(digests) > 1:
                self.say("failed", "two-versions", f"There are {len(digests)} different receipts with one id.", id=id)
        for digest, count in Counter(p.receipt.computed_digest for p in places).items():
            same = [p for p in places if p.receipt.computed_digest == digest]
            where = ", ".join(dict.fromkeys(p.where for p in same))
            asking = {p.where for p in same if p.asks}
            id = same[0].receipt.id
            if len(asking) > 1:
                message = f"One call is shown as the answer of {len(asking)} cells."
                self.say("failed", "shown-twice", message, where, id)
            elif count > 1 and same[0].cell is None:
                self.say("incomplete", "twice", f"This receipt is there {count} times; it counts once.", where, id)
            elif len({p.where for p in same}) > 1:
                self.say("note", "shown-again", "This receipt is shown again in another cell.", where, id)

    def _notebook(self, place: _Place) -> None:
        if place.bundle is None:
            return
        fault = _shown_fault(place.bundle, place.receipt, self.render_html)
        if fault is not None:
            self.say("failed", "shown-text", fault, place.where, place.receipt.id)
        if place.asks and place.cell is not None:
            self._cell(place, place.cell)

    def _cell(self, place: _Place, cell: str) -> None:
        line, body = _magic_line(cell), _magic_body(cell)
        d = place.receipt.document
        signed = signed_prompt(d["request"]["kind"], d["request"]["body"])
        if signed is not None:
            fits = _fills(body, signed) if "--vars" in line else body.strip() == signed.strip()
            if not fits:
                message = "The prompt in the cell is not the one that this answer was given to."
                self.say("failed", "prompt-differs", message, place.where, place.receipt.id)
                return
        asked = _option(line, "--model")
        sent = d["request"]["model_sent"]
        if asked and sent and asked.rpartition("/")[2] != sent.rpartition("/")[2]:
            message = f"The cell asks for {asked}; {sent} was asked."
            self.say("failed", "model-differs", message, place.where, place.receipt.id)
        elif d["prompt"]["source_sha256"] not in (None, source_sha256(cell)):
            message = "The cell was changed after the call (its prompt was not)."
            self.say("incomplete", "cell-changed", message, place.where, place.receipt.id)


def _asking(trust: Trust, name: str) -> Trust:
    return replace(trust, asked=trust.asked | {name})


def _transaction(receipt: Receipt) -> tuple[str, str] | None:
    """(transaction, nonce that was signed) of a receipt's payment."""
    payment = receipt.document["payment"]
    settled = (payment or {}).get("settled")
    if settled is None or settled["tx_hash"] is None:
        return None
    return settled["tx_hash"], payment["authorisation"]["nonce"]


def _each_once(places: list[_Place]) -> Iterator[_Place]:
    seen = set()
    for place in places:
        key = (place.receipt.digest, place.receipt.computed_digest)
        if key not in seen:
            seen.add(key)
            yield place


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableReceipt(f"It is longer than {MAX_FILE_BYTES} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableReceipt(f"It cannot be read: {error.strerror or error}.") from None


def _read_json(raw: bytes, audit: _Audit) -> list[_Place]:
    receipt = audit.read(raw, "the file")
    return [] if receipt is None else [_Place(receipt, "the file")]


def _read_jsonl(raw: bytes, audit: _Audit) -> list[_Place]:
    places = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            receipt = audit.read(line, f"line {number}")
            if receipt is not None:
                places.append(_Place(receipt, f"line {number}"))
    return places


def _read_notebook(raw: bytes, audit: _Audit) -> list[_Place]:
    from opg_magic.protocol import strict_json

    try:
        notebook = strict_json.loads(raw)
    except MalformedMessage as error:
        raise UnreadableReceipt(f"It is not readable as JSON: {error.message}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(c, dict) for c in cells):
        raise UnreadableReceipt("It is not a notebook of format 4.")
    places: list[_Place] = []
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") != "code":
            continue
        places += _read_cell(cell, f"cell {number}", audit)
    return places


def _read_cell(cell: Mapping[str, Any], where: str, audit: _Audit) -> list[_Place]:
    source = _joined(cell.get("source"))
    asks = _asks(source)
    outputs = cell.get("outputs")
    places: list[_Place] = []
    beside = False
    for output in outputs if isinstance(outputs, list) else []:
        data = output.get("data") if isinstance(output, dict) else None
        if isinstance(data, dict) and MIME_TYPE in data:
            held = data[MIME_TYPE]
            receipt = audit.read(held if isinstance(held, dict) else _joined(held), where)
            if receipt is not None:
                places.append(_Place(receipt, where, data, source, asks))
        elif isinstance(output, dict) and (data or output.get("output_type") == "stream"):
            beside = True
    if asks and audit.only is None:
        if not places:
            run = bool(outputs) or cell.get("execution_count") is not None
            message = "This %%opg cell has no receipt" + ("." if run else ": it was not run.")
            audit.say("incomplete", "no-receipt", message, where)
        elif beside:
            audit.say("note", "beside", "This cell also shows output that no receipt covers.", where)
    return places


# -------------------------------------------------------------------------------------------------------------- cells


def _joined(value: Any) -> str:
    """Text as notebooks hold it: a string, or a list of lines."""
    if isinstance(value, list):
        return "".join(v for v in value if isinstance(v, str))
    return value if isinstance(value, str) else ""


def _asks(source: str) -> bool:
    """Whether a cell is a ``%%opg`` call: not its help, and not a dry run, which pay nothing."""
    first = source.lstrip().partition("\n")[0]
    if re.match(r"%%opg(\s|$)", first) is None:
        return False
    words = _magic_line(source)
    return not {"--dry-run", "--help", "-h"} & set(words)


def _magic_line(source: str) -> list[str]:
    line = source.lstrip().partition("\n")[0].removeprefix("%%opg")
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _magic_body(source: str) -> str:
    return source.lstrip().replace("\r\n", "\n").partition("\n")[2]


def _option(words: list[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        name, found, value = word.partition("=")
        if name in names:
            return value if found else (words[index + 1] if index + 1 < len(words) else None)
    return None


def _fills(template: str, text: str) -> bool:
    """Whether ``text`` can be ``template`` with each ``{{name}}`` filled in: its fixed parts, in order."""
    parts = re.split(r"\{\{\s*\w+\s*\}\}", template.strip())
    text = text.strip()
    if len(parts) == 1:
        return parts[0] == text
    first, *middle, last = parts
    # A value at either end may bring white space of its own.
    if not text.startswith(first.lstrip()) or not text.endswith(last.rstrip()):
        return False
    position, end = len(first.lstrip()), len(text) - len(last.rstrip())
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end


# ------------------------------------------------------------------------------------------------------- what is shown


def _shown_fault(bundle: Mapping[str, Any], receipt: Receipt, render_html: Callable[[str], str] | None) -> str | None:
    """What the bundle shows that the receipt does not hold, in words; None if all is well."""
    response = receipt.document["response"]
    # What is shown of a tool call is the exact string that was signed.
    signed = response["text"] if response["text"] else (response["tool_calls"] or response["text"])
    plain = _joined(bundle.get("text/plain"))
    if not plain:
        return "The cell shows no plain text of this receipt." if bundle.get("text/plain") is None else _DIFFERS
    if shown.RULE not in plain:
        return "The shown text does not say where the answer ends."
    part = shown.answer_part(plain)
    if part is not None:
        part = _without_banner(part, receipt)
        if signed is None or part != shown.inert(signed):
            return _DIFFERS
    if "text/markdown" in bundle:
        fenced = _fenced_part(_joined(bundle["text/markdown"]), receipt)
        if fenced != part:
            return "The text that the cell shows as Markdown is not the text that was signed."
    if render_html is not None and "text/html" in bundle:
        return _html_fault(_joined(bundle["text/html"]), signed if part is not None else None, render_html)
    return None


_DIFFERS = "The text that the cell shows is not the text that was signed."


def _without_banner(part: str, receipt: Receipt) -> str:
    """A withheld answer, shown on request, stands under a line that says so."""
    if receipt.withheld and part.startswith("✗ "):
        return part.partition("\n\n")[2]
    return part


def _fenced_part(markdown: str, receipt: Receipt) -> str | None:
    """The content of the code block that the Markdown begins with; None if it does not begin with one."""
    if receipt.withheld and markdown.startswith("**"):
        markdown = markdown.partition("\n")[2].lstrip("\n")
    opening = re.match(r"(~{3,})text\n", markdown)
    if opening is None:
        return None
    content, found, _ = markdown[opening.end() :].partition(f"\n{opening[1]}\n")
    return content if found else None


def _html_fault(html: str, signed: str | None, render_html: Callable[[str], str]) -> str | None:
    rendered = render_html(signed) if signed is not None else ""
    before, found, after = html.partition(rendered) if rendered else ("", "", html)
    if rendered and not found:
        return "The text that the cell shows as HTML is not the text that was signed."
    outside = _Outside()
    outside.feed(before)
    outside.close()
    if rendered and outside.words.strip() and not outside.words.strip().startswith("✗ "):
        return "The cell's HTML shows something before the signed text."
    outside.feed(after)
    outside.close()
    if outside.harmful:
        return f"The cell's HTML holds {outside.harmful}, with which other text can be laid over the signed text."
    return None


class _Outside(HTMLParser):
    """Reads the HTML around an answer: its words, and what could hide the answer or lay something over it."""

    _TAGS = frozenset(
        {"div", "span", "b", "code", "details", "summary", "table", "tbody", "thead", "tr", "td", "th", "br", "p", "a"}
    )
    _STYLE = re.compile(
        r"position|transform|display\s*:|visibility|opacity|z-index|url\s*\(|clip|filter|content|animation"
        r"|:\s*-[0-9.]|(?:^|;)\s*(?:max-)?height|font-size\s*:\s*0|color\s*:\s*transparent|text-indent",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words = ""
        self.harmful: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._TAGS:
            self.harmful = f"<{tag}>"
        for name, value in attrs:
            if name not in ("style", "open", "href", "rel", "target", "colspan"):
                self.harmful = f"the attribute {name}"
            elif name == "style" and self._STYLE.search(value or ""):
                self.harmful = "a style of its own"

    def handle_data(self, data: str) -> None:
        self.words += data


# ------------------------------------------------------------------------------------------------------------- output


def _claim_json(claim: Claim) -> dict[str, Any]:
    return {
        "name": claim.name,
        "status": claim.status.value,
        "basis": claim.basis.value if claim.basis else None,
        "sentence": claim.sentence,
        "reason": claim.reason,
        "code": claim.code,
        "expires": claim.expires.isoformat() if claim.expires else None,
    }


def _checked_json(one: Checked) -> dict[str, Any]:
    checked = one.receipt.document["checked"]
    return {
        "id": one.receipt.id,
        "where": one.where,
        "verdict": one.label,
        "simulated": one.verdict.simulated,
        "accepted": one.accepted,
        "because": list(one.verdict.because),
        "claims": {c.name: _claim_json(c) for c in one.verdict.claims.values()},
        "digest": one.receipt.digest,
        "digest_matches": one.receipt.digest_matches,
        "at_creation": {"verdict": one.receipt.label, "by": checked["by"], "at": checked["at"]} if checked else None,
    }


def _checked_text(one: Checked) -> Iterator[str]:
    yield f"receipt {one.receipt.id} ({one.where}): {one.label}"
    for claim in one.verdict.claims.values():
        basis = f" [{claim.basis}]" if claim.basis else ""
        reason = f" ({claim.reason})" if claim.reason else ""
        yield f"  {_MARKS[claim.status]} {claim.name:12} {claim.sentence}{reason}{basis}"
    for reason in one.verdict.because:
        yield f"    {reason}"
    if one.accepted and one.verdict.simulated:
        yield "  Accepted as simulated: under this installation's own root, all else passed. No hardware is behind it."
    checked = one.receipt.document["checked"]
    if checked:
        yield f"  At creation: {one.receipt.label}, by the {checked['by']}, at {checked['at']}"


def _one_line(text: str) -> str:
    return shown.inert(text).replace("\n", " ").replace("\t", " ")
