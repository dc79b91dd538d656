"""The receipt card in words: one line (the state, what it rests on, figures), and the checks behind
it by what each rests on.  No markup here.

The words are those of the receipt's own face (:mod:`opg_magic.receipt.face`).  A saved card is
history, so it says who checked and when; a reader checks again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from opg_magic.display import notes, words
from opg_magic.display.notes import Note
from opg_magic.models import CLAIM_NAMES, Basis, Charge, Status, VerdictStatus
from opg_magic.receipt.hop import hop

if TYPE_CHECKING:
    from opg_magic.models import Answer, Claim, Cost, Verdict
    from opg_magic.receipt.document import Receipt

Tone = Literal["ok", "sim", "warn", "bad", "quiet"]

#: Whose kernel a saved card speaks of, and what a shell's card does.
AUTHOR = "the author's kernel"
HERE = "this machine"


@dataclass(frozen=True, slots=True)
class Row:
    """One check: its mark, name, sentence, and why where it did not pass.  ``group`` says what it
    rests on, or how it came out."""

    mark: str
    name: str
    sentence: str
    reason: str | None
    group: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Card:
    """All that a card says.  ``headline`` is the state in words; ``summary`` what it rests on, then
    figures; ``simulated`` brings a tag; ``label`` names the receipt."""

    tone: Tone
    simulated: bool
    headline: str
    summary: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    notes: tuple[Note, ...] = ()
    expanded: bool = False
    receipt_id: str | None = None

    @property
    def line(self) -> tuple[str, ...]:
        """The parts of the line without markup, the tag of a simulated network at its end."""
        tag = (f"[{words.SIMULATED}]",) if self.simulated else ()
        return (self.headline, *self.summary, *tag)


# ------------------------------------------------------------------------------------ settled calls


def settled(
    verdict: Verdict | None,
    receipt: Receipt,
    cost: Cost,
    *,
    streamed: bool = False,
    shown_anyway: bool = False,
    by: str = AUTHOR,
) -> Card:
    """The card of a call that ended with a receipt, judged or not.

    ``streamed``: text was on the display before the verdict.  ``shown_anyway``: the reader asked
    for withheld text.  ``by``: who checked."""
    if verdict is None:
        # An answer came, and could not be judged.
        unchecked = receipt.document["response"]["problem"] is None
        return of_failure(
            receipt, cost, headline="Not checked" if unchecked else "No answer", streamed=streamed
        )
    withheld = verdict.withheld
    headline, tone = _headline(verdict, receipt)
    summary = [
        *_why(verdict, shown_anyway=shown_anyway),
        words.checked_by(receipt.created_at, by),
        *_who(receipt, simulated=verdict.simulated),
        words.cost(cost, worth=not verdict.simulated),
        _elapsed(receipt),
    ]
    said: list[Note] = []
    if (shown_anyway or not withheld) and _IMITATES.search(receipt.text or ""):
        summary.insert(0, "the answer imitates a verdict")
        said.append(
            Note(
                "Some words of the answer look like a verdict. They are the model's; only this box "
                "is one."
            )
        )
    if withheld and shown_anyway:
        said.append(Note("The text stands here because you asked for it. Do not rely on it."))
    elif withheld:
        said += notes.of_withheld(receipt, streamed=streamed)
    said += [Note(hop(receipt).sentence), Note(_not_known(verdict))]
    said += [*notes.of_cost(cost), notes.check_it(receipt)]
    return Card(
        tone=tone,
        simulated=verdict.simulated,
        headline=headline,
        summary=tuple(s for s in summary if s),
        rows=(*rows(verdict, by=by, sealed="sealed" in receipt.document), *_hosts(receipt)),
        notes=tuple(said),
        expanded=withheld or verdict.outcome is not VerdictStatus.VERIFIED,
        receipt_id=receipt.id,
    )


# What a forged badge must say to be taken for one.  Only a warning hangs on it, so that a miss
# costs little.
_IMITATES = re.compile(
    r"[✓✔☑✅🗸][^\w\n]{0,12}verified|verified[^\w\n]{0,12}[✓✔☑✅🗸]|\d{1,9} of \d{1,9} "
    r"(?:checks|claims)|opg receipt|all \d{1,9} checks",
    re.IGNORECASE,
)


def of_answer(answer: Answer, *, by: str = AUTHOR) -> Card:
    """The card of an answer, also of a withheld one that was asked for explicitly."""
    from opg_magic.receipt.document import receipt_of

    card = settled(
        answer.verdict, receipt_of(answer), answer.cost, shown_anyway=answer.verdict.withheld, by=by
    )
    said = tuple(Note(_sentence(words.one_line(note))) for note in answer.notes)
    return replace(card, notes=(*said, *card.notes))


def _not_known(verdict: Verdict) -> str:
    weights = verdict.claims.get("weights")
    re_run = weights is not None and weights.passed and weights.basis is Basis.RE_RUN
    return words.NOT_KNOWN_RE_RUN if re_run else words.NOT_KNOWN


def _headline(verdict: Verdict, receipt: Receipt) -> tuple[str, Tone]:
    status = verdict.status
    if status is VerdictStatus.FAILED:
        return words.FAILED, "bad"
    if verdict.withheld:
        return f"✗ Withheld: policy {verdict.policy} is not met", "bad"
    if status is VerdictStatus.UNVERIFIED:
        return words.UNVERIFIED, "warn"
    if status is VerdictStatus.PARTIAL:
        return words.PARTIAL, "warn"
    good: Tone = "sim" if verdict.simulated else "ok"
    compared = words.compared(receipt.document)
    if compared is not None:
        return compared.headline, good if compared.agrees else "warn"
    statuses = [claim.status.value for claim in verdict.claims.values()]
    return f"✓ {words.counted(statuses)}", good


def _why(verdict: Verdict, *, shown_anyway: bool) -> list[str]:
    why = [words.told(reason, 160) for reason in verdict.because[:1]] or [
        words.told(f"{c.name}: {c.reason or c.sentence}", 160) for c in verdict.failed_claims[:1]
    ]
    if not verdict.withheld:
        return why
    return [words.SHOWN_ANYWAY if shown_anyway else words.WITHHELD, *why]


def _who(receipt: Receipt, *, simulated: bool) -> list[str]:
    request, response, host = (
        receipt.document["request"],
        receipt.document["response"],
        receipt.document["host"],
    )
    model = words.one_line(request["model_sent"] or request["model_requested"], 80)
    if simulated:
        answered = words.simulated_model(response["model"])
        model = model if answered == model else f"{answered} for {model}"
    return [model, f"host {words.short_hash(host['tee_id'])}"] if host else [model]


def _elapsed(receipt: Receipt) -> str:
    evidence = receipt.evidence()
    return words.duration((evidence.received_at - evidence.sent_at).total_seconds())


_RANK = {
    Status.FAILED: 0,
    Status.MISSING: 1,
    Status.PASSED: 2,
    Status.PENDING: 3,
    Status.NOT_APPLICABLE: 4,
}


def ordered(verdict: Verdict) -> list[Claim]:
    """Failed, missing, passed by what they rest on, pending; in the documented order within
    each."""
    place = {name: i for i, name in enumerate(CLAIM_NAMES)}
    bases = {basis: i for i, basis in enumerate(words.HEADINGS)}

    def rank(claim: Claim) -> tuple[int, int, int]:
        by = bases.get(claim.basis.value, 0) if claim.passed and claim.basis is not None else 0
        return _RANK[claim.status], by, place[claim.name]

    return sorted(verdict.claims.values(), key=rank)


def rows(verdict: Verdict, *, by: str = AUTHOR, sealed: bool = False) -> tuple[Row, ...]:
    """One row a check; those that do not apply are left out.  A reason that several share stands in
    the first of them.  ``sealed``: the call took the private route."""
    made: list[Row] = []
    reasons: set[str] = set()
    for claim in ordered(verdict):
        if claim.status is Status.NOT_APPLICABLE:
            continue
        row = _row(claim, verdict.simulated, by, sealed)
        if claim.status in (Status.FAILED, Status.MISSING) and claim.reason:
            if claim.reason in reasons and claim.sentence:
                row = replace(row, reason=None)
            reasons.add(claim.reason)
        made.append(row)
    return tuple(made)


def _hosts(receipt: Receipt) -> list[Row]:
    """Where several were asked: a row a host."""
    compared = words.compared(receipt.document)
    return [
        Row(mark, name, f"{said}.", None, words.HOSTS, "ok" if mark == "✓" else "warn")
        for mark, name, said in (compared.lines if compared is not None else ())
    ]


_ROW_TONES: dict[Status, Tone] = {Status.PASSED: "ok", Status.FAILED: "bad", Status.MISSING: "warn"}


def _row(claim: Claim, simulated: bool, by: str, sealed: bool) -> Row:
    reason = None if claim.passed or not claim.reason else _sentence(words.told(claim.reason))
    told = " until " in f"{claim.sentence} {claim.reason or ''}"
    if claim.status is Status.PENDING and claim.expires is not None and not told:
        reason = f"{reason or ''} Open until {words.clock(claim.expires)}.".strip()
    return Row(
        mark=words.MARKS[claim.status],
        name=claim.name,
        sentence=words.says(claim.name, simulated=simulated, sealed=sealed)
        if claim.passed
        else words.told(claim.sentence),
        reason=reason,
        group=words.group(claim, by),
        tone=_ROW_TONES.get(claim.status, "quiet"),
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else text + "."


# ----------------------------------------------------------------------- calls that ended otherwise


def of_kept(receipt: Receipt, verdict: Verdict | None = None) -> Card:
    """The card of a receipt whose answer is withheld, or has none.  ``verdict``: a newer one than
    its own."""
    verdict = verdict or receipt.verdict_at_creation
    response = receipt.document["response"]
    if response["text"] is None and response["tool_calls"] is None:
        return of_failure(receipt, receipt.cost, verdict=verdict)
    return settled(verdict, receipt, receipt.cost)


def of_failure(
    receipt: Receipt,
    cost: Cost,
    *,
    headline: str = "No answer",
    reason: str | None = None,
    verdict: Verdict | None = None,
    streamed: bool = False,
    hint: str | None = None,
) -> Card:
    """The card of a call with a receipt but without a usable answer: cut short, timed out, refused
    by the host."""
    problem = receipt.document["response"]["problem"]
    return ended(
        headline,
        reason=reason or (problem["message"] if problem else None),
        charge=cost.charge,
        cap=str(cost.cap) if cost.cap is not None else None,
        receipt_id=receipt.id,
        simulated=receipt.simulated or (verdict is not None and verdict.simulated),
        streamed=streamed,
        hint=hint,
        summary=_who(receipt, simulated=receipt.simulated),
        when=words.checked_by(receipt.created_at),
        claims=rows(verdict) if verdict is not None else (),
    )


def ended(
    headline: str,
    *,
    reason: str | None = None,
    charge: Charge | None = None,
    cap: str | None = None,
    receipt_id: str | None = None,
    simulated: bool = False,
    streamed: bool = False,
    hint: str | None = None,
    summary: Sequence[str] = (),
    when: str = "",
    claims: tuple[Row, ...] = (),
    known: bool = True,
) -> Card:
    """The card of a call that ended without a usable answer: stopped, refused, failed on the way.

    ``charge`` None means that no payment was begun, unless ``known`` is False.
    """
    money = (
        {
            None: "nothing was paid",
            Charge.NONE: "not charged",
            Charge.CLAIMED: "claimed by the host",
            Charge.CHARGED: "charged",
            Charge.UNKNOWN: "charge unknown" + (f", at most {cap}" if cap else ""),
        }[charge]
        if known
        else "charge unknown"
    )
    said = notes.of_end(charge, receipt_id, streamed=streamed, hint=hint)
    facts = [words.told(reason, 200) if reason else "", when, money, *summary]
    mark = "✗ " if charge is not None else "– "
    return Card(
        tone="warn" if charge is Charge.UNKNOWN else "quiet",
        simulated=simulated,
        headline=mark + headline,
        summary=tuple(f for f in facts if f),
        rows=claims,
        notes=tuple(said),
        expanded=bool(said),
        receipt_id=receipt_id,
    )
