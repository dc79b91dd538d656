"""Judging receipts again, as a reader: in a ``.json``, a ``.jsonl``, or a notebook.

Every verdict is recomputed from the evidence; the one in the receipt is history.  What a file says
is data: no URL in it is ever contacted, and a registry is asked only through RPCs that the reader
names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opg_magic.audit.agreement import compare_answers
from opg_magic.audit.displays import saved_fault, shown_faults, shown_text_matches
from opg_magic.audit.files import MAX_FILE_BYTES, Place, read_file
from opg_magic.audit.findings import Checked, Finding, Level
from opg_magic.audit.implied import beside_faults
from opg_magic.audit.index import Index
from opg_magic.audit.lookups import (
    Lookups,
    PaymentLookup,
    RegistryLookup,
    Rerun,
    Settlement,
    SettlementLookup,
    Spot,
)
from opg_magic.audit.report import RECORDED, Report
from opg_magic.audit.sources import cell_faults, read_source, shows_again
from opg_magic.cells import grammar
from opg_magic.errors import UnreadableReceipt
from opg_magic.ledger.own import Own
from opg_magic.models import Trust, Verdict, VerdictStatus
from opg_magic.receipt.document import Receipt, normalise_id
from opg_magic.receipt.parts.values import clip
from opg_magic.receipt.question import asked
from opg_magic.receipt.thread import thread_faults
from opg_magic.verify.policy import Policy
from opg_magic.verify.verdict import decide, judge

__all__ = [
    "MAX_FILE_BYTES",
    "RECORDED",
    "Checked",
    "Finding",
    "Level",
    "PaymentLookup",
    "RegistryLookup",
    "Report",
    "Settlement",
    "SettlementLookup",
    "shown_text_matches",
    "verify_path",
]


def verify_path(
    path: str | Path,
    *,
    policy: Policy,
    trust: Trust,
    rpc_reader: RegistryLookup | None = None,
    payment_reader: PaymentLookup | None = None,
    settlement_reader: SettlementLookup | None = None,
    allow_simulated: bool = False,
    receipt: str | None = None,
    own: Callable[[Receipt], Own | None] | None = None,
    rerun: Rerun | None = None,
    receipts: str | Path | None = None,
) -> Report:
    """Check a receipt (``.json``), receipts one a line (``.jsonl``), or a notebook (``.ipynb``).
    ``receipts`` (``.jsonl``) has those that a notebook names by their digests alone.

    ``trust`` is the reader's: pinned roots, allowed PCRs, the relay.  ``rpc_reader``,
    ``payment_reader`` and ``settlement_reader`` ask the reader's own RPCs, so that these claims are
    asked and not merely recorded; without them nothing is contacted.  ``allow_simulated`` accepts
    receipts of a simulated network whose root is in ``trust.simulated_roots`` if all that the
    policy requires passed, be it by the author's word.  ``receipt`` (an id or its beginning) looks
    at that one alone.  ``own`` tells of a receipt what the reader's own kernel asked when it wrote
    it into the reader's own ledger; that counts as asked.  ``rerun`` runs the weights that the
    reader trusts over each answer.

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
        own=own,
        rerun=rerun,
    )
    try:
        found, others = read_file(source, audit, None if receipts is None else Path(receipts))
    except UnreadableReceipt as error:
        found, others = list[Place](), list[Receipt]()
        audit.say("unreadable", "unreadable", str(error.message))
    return audit.report(str(path), found, others)


@dataclass
class _Audit(Lookups):
    policy: Policy
    allow_simulated: bool
    only: str | None
    own: Callable[[Receipt], Own | None] | None = None
    #: What was said of a cell with a table's receipts.
    told: set[tuple[str, str]] = field(default_factory=set)

    def read(self, text: str | bytes | Mapping[str, Any] | None, where: str) -> Receipt | None:
        try:
            if isinstance(text, (str, bytes)):
                return Receipt.from_json(text)
            return Receipt.from_document(text)
        except UnreadableReceipt as error:
            # Beside the one receipt that was asked for, others are of no concern.
            self.say("note" if self.only else "unreadable", "unreadable", error.message, where)
            return None

    def report(self, path: str, places: list[Place], others: list[Receipt]) -> Report:
        """``others``: receipts that are not judged, and may bear another's signature."""
        wanted = [p for p in places if self.only is None or p.receipt.id.startswith(self.only)]
        if self.only is not None and places and not wanted:
            self.say("unreadable", "not-found", f"The file holds no receipt {self.only}.")
        self._duplicates(wanted)
        index = Index([*others, *(p.receipt for p in places)])
        judged = [self._check(p, index) for p in _each_once(wanted)]
        checked = self._settled(judged)
        self._threads(wanted, index)
        now = {one.receipt.computed_digest: one for one in judged}
        compared = _compared(places)
        for place in wanted:
            self._notebook(place, now[place.receipt.computed_digest], compared)
        self._beside(places, {p.where for p in wanted})
        if not places and not self.findings:
            self.say(
                "incomplete",
                "no-receipt",
                "The file holds no receipt, so there is nothing to check.",
            )
        return Report(
            path,
            self.policy.name,
            checked,
            tuple(self.findings),
            self.only,
            self.allow_simulated,
        )

    # ---------------------------------------------------------------------------------- one receipt

    def _check(self, place: Place, index: Index) -> Checked:
        receipt = place.receipt
        evidence = receipt.evidence(
            seen_in=index.signed_elsewhere(receipt), paid_in=index.paid_elsewhere(receipt)
        )
        spot = Spot(place.where, receipt.id)
        evidence, trust = self.ask_registry(evidence, spot)
        evidence, trust = self.ask_payment(evidence, trust, spot)
        evidence, trust = self.ask_settlement(evidence, trust, spot)
        evidence, trust = self.run_weights(evidence, trust, spot)
        evidence, trust = compare_answers(self, evidence, trust, index.by_digest, spot)
        if self.own is not None and (mine := self.own(receipt)) is not None:
            trust = mine.trust(trust, evidence)
            self.say("note", "own", mine.said, place.where, receipt.id)
        if receipt.simulated:
            # Pins are of real builds.  What calls itself simulated gains nothing by it: it is never
            # VERIFIED.
            trust = replace(trust, pinned_pcrs=frozenset())
        verdict = judge(evidence, policy=self.policy, trust=trust)
        self._document(receipt, place.where)
        return Checked(receipt, place.where, verdict, *self._accepted(verdict, trust))

    def _document(self, receipt: Receipt, where: str) -> None:
        """What the document says about itself and about what was signed."""
        if not receipt.digest_matches:
            message = (
                "The receipt was altered after it was made: its digest is not that of its content."
            )
            self.say("failed", "altered", message, where, receipt.id)
        elif not receipt.is_faithful:
            message = (
                "This receipt differs from the one that it supersedes in more than what was learnt "
                "later."
            )
            self.say("failed", "altered", message, where, receipt.id)
        prompt, request = receipt.document["prompt"], receipt.document["request"]
        sent = asked(request["kind"], request["body"])
        if sent is not None and sent.prompt is not None and prompt["text"] != sent.prompt:
            message = (
                "The prompt that the receipt shows is not the one in the request that was sent."
            )
            self.say("failed", "prompt-altered", message, where, receipt.id)
        if sent is not None and request["model_sent"] != clip(sent.model, 256):
            message = (
                "The model that the receipt names is not the one in the request that was sent."
            )
            self.say("failed", "model-altered", message, where, receipt.id)
        if prompt["template"] is not None and not grammar.fills(prompt["template"], prompt["text"]):
            message = (
                "The prompt that was sent cannot have come from the template that the receipt "
                "shows."
            )
            self.say("failed", "template-altered", message, where, receipt.id)

    def _accepted(self, verdict: Verdict, trust: Trust) -> tuple[bool, tuple[str, ...]]:
        """Whether it counts as good, and which required claims were excused for that."""
        if not verdict.simulated:
            return verdict.status is VerdictStatus.VERIFIED, ()
        facts = verdict.claims["attestation"].facts if "attestation" in verdict.claims else {}
        own_root = (
            facts.get("simulated") is True and facts.get("root_sha256") in trust.simulated_roots
        )
        if not (self.allow_simulated and own_root):
            return False, ()
        # A simulated chain does not outlive its run, so what it shows can be recorded at best: that
        # alone is excused.
        as_author = decide(
            verdict.claims, policy=self.policy, trust=replace(trust, reader=False), simulated=True
        )
        if as_author.outcome is not VerdictStatus.VERIFIED:
            return False, ()
        return True, tuple(reason.partition(":")[0] for reason in verdict.because)

    # ------------------------------------------------------------------------------ several of them

    def _settled(self, found: list[Checked]) -> tuple[Checked, ...]:
        """Without receipts of which the file holds a later version as well; each was judged, and
        none that failed goes.

        Only the receipt that the later version was made from stands aside, by its own computed
        digest."""
        later = {
            (c.receipt.id, c.receipt.supersedes)
            for c in found
            if c.receipt.supersedes and _is_whole(c.receipt)
        }
        kept = []
        for one in found:
            receipt = one.receipt
            superseded = (
                receipt.supersedes is None and (receipt.id, receipt.computed_digest) in later
            )
            counts = not (superseded and _is_whole(receipt))
            if not counts:
                counts = one.verdict.status is VerdictStatus.FAILED
                message = (
                    "The file also holds a later version of this receipt; "
                    f"{'this one failed, so both count' if counts else 'only that one counts'}."
                )
                self.say("note", "later-version", message, one.where, receipt.id)
            if counts:
                kept.append(one)
        return tuple(kept)

    def _threads(self, places: list[Place], index: Index) -> None:
        """The conversations that receipts continue, against the receipts of their earlier calls."""
        documents = {key: receipt.document for key, receipt in index.by_digest.items()}
        for place in _each_once(places):
            for level, code, message in thread_faults(place.receipt.document, documents):
                self.say(level, code, message, place.where, place.receipt.id)

    def _beside(self, places: list[Place], wanted: set[str]) -> None:
        """What the cells of these places show beside receipts."""
        cells = {p.where: p.cell for p in places if p.cell is not None and p.where in wanted}
        for where, cell in cells.items():
            receipts = {id(p.display): p.receipt for p in places if p.cell is cell}
            in_order = [receipts.get(id(display)) for display in cell.displays]
            for level, code, message in beside_faults(cell, in_order):
                self.say(level, code, message, where)

    def _duplicates(self, places: list[Place]) -> None:
        ids: dict[str, dict[str, list[Place]]] = {}
        for p in places:
            # A later version is the same receipt as long as only what was learnt since sets it
            # apart.
            ids.setdefault(p.receipt.id, {}).setdefault(
                p.receipt.original().computed_digest, []
            ).append(p)
        for id, calls in ids.items():
            if len(calls) > 1:
                where = _listed([p for same in calls.values() for p in same])
                self.say(
                    "failed",
                    "two-versions",
                    f"{len(calls)} different receipts have the same ID.",
                    where,
                    id,
                )
            for same in calls.values():
                asking = {p.where for p in same if p.asks}
                if len(asking) > 1:
                    self.say("note", "shown-again", _again(len(asking)), _listed(same), id)
                else:
                    self._again(same, id)

    def _again(self, places: list[Place], id: str) -> None:
        """Of one call: what is there more than once."""
        by_digest: dict[str, list[Place]] = {}
        for p in places:
            by_digest.setdefault(p.receipt.computed_digest, []).append(p)
        for same in by_digest.values():
            if len(same) > 1 and same[0].cell is None:
                message = f"This receipt appears {len(same)} times; it counts once."
                self.say("incomplete", "twice", message, _listed(same), id)
            elif len({p.where for p in same}) > 1:
                self.say("note", "shown-again", _SHOWN_AGAIN, _listed(same), id)

    def _notebook(
        self, place: Place, now: Checked, compared: Mapping[str, set[str | None]]
    ) -> None:
        if place.cell is None:
            return
        told = saved_fault(place.receipt, now)
        shown = () if place.display is None else shown_faults(place.display, place.receipt)
        for level, code, message in (*shown, *([told] if told else [])):
            self.say(level, code, message, place.where, place.receipt.id)
        names = compared.get(place.receipt.original().computed_digest)
        if names is not None and shows_again(place.cell.source, place.receipt.id, names):
            self.say("note", "shown-again", _SHOWN_AGAIN, place.where, place.receipt.id)
            return
        for level, code, message in cell_faults(place.cell.source, place.receipt, row=place.row):
            # What is no failure is said of a table's cell, not of each row.
            of_cell = place.row and level != "failed"
            if not of_cell:
                self.say(level, code, message, place.where, place.receipt.id)
            elif (place.where, message) not in self.told:
                self.told.add((place.where, message))
                self.say(level, code, message, place.where)


def _listed(places: list[Place]) -> str:
    return ", ".join(dict.fromkeys(p.where for p in places))


def _again(cells: int) -> str:
    return f"The same answer again: one call, and {cells} cells show it."


_SHOWN_AGAIN = "This receipt is shown again in another cell."


def _compared(places: list[Place]) -> dict[str, set[str | None]]:
    """Of each call that stands in its own cell, to the letter: the names that its answer was
    given."""
    found: dict[str, set[str | None]] = {}
    for place in places:
        if place.cell is not None and place.asks:
            line = read_source(place.cell.source).line
            if line is not None and all(
                level == "note"
                for level, *_ in cell_faults(place.cell.source, place.receipt, row=place.row)
            ):
                # A table's name shows the table, not one of its receipts.
                name = None if place.row else line.name
                found.setdefault(place.receipt.original().computed_digest, set()).add(name)
    return found


def _each_once(places: list[Place]) -> Iterator[Place]:
    """Each copy once.  One whose stated digest is not its own is not a copy of anything."""
    seen = set()
    for place in places:
        digest = place.receipt.computed_digest
        if digest not in seen or not place.receipt.digest_matches:
            yield place
        if place.receipt.digest_matches:
            seen.add(digest)


def _is_whole(receipt: Receipt) -> bool:
    return receipt.digest_matches and receipt.is_faithful
