"""The receipt card in words: what stands, on what basis, what is not proven.  No markup here.

A card always says who checked and when ("author's kernel, at T"): a saved card is history, and a
reader checks again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from opg_magic.display import words
from opg_magic.models import CLAIM_NAMES, Charge, Status, VerdictStatus

if TYPE_CHECKING:
    from opg_magic.models import Answer, Claim, Cost, Quote, Verdict
    from opg_magic.receipt.document import Receipt

Tone = Literal["ok", "sim", "warn", "bad", "quiet"]


@dataclass(frozen=True, slots=True)
class Row:
    """One claim: its mark, name, sentence, why (where it did not pass), and what the reader relies
    on."""

    mark: str
    name: str
    sentence: str
    reason: str | None
    basis: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence, perhaps with a command to type, perhaps with words after it."""

    text: str
    code: str | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """All that a card says.  ``summary`` are the short facts beside the headline; ``label`` names
    the receipt."""

    tone: Tone
    simulated: bool
    headline: str
    summary: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    notes: tuple[Note, ...] = ()
    expanded: bool = False
    receipt_id: str | None = None


# ------------------------------------------------------------------------------------ settled calls


def settled(
    verdict: Verdict | None,
    receipt: Receipt,
    cost: Cost,
    *,
    streamed: bool = False,
    shown_anyway: bool = False,
) -> Card:
    """The card of a call that ended with a receipt, judged or not.

    ``streamed``: text was on the display before the verdict.  ``shown_anyway``: the reader asked
    for withheld text."""
    if verdict is None:
        unchecked = (
            receipt.document["response"]["problem"] is None
        )  # it came, and could not be judged
        return of_failure(
            receipt, cost, headline="Not checked" if unchecked else "No answer", streamed=streamed
        )
    withheld = verdict.withheld
    headline, tone = _headline(verdict, shown_anyway=shown_anyway)
    summary = [
        *_why(verdict),
        *_who(receipt, simulated=verdict.simulated),
        words.cost(cost, worth=not verdict.simulated),
    ]
    summary.append(_elapsed(receipt))
    summary.append(f"{_count(verdict)}{words.checked_by(receipt.created_at)}")
    notes: list[Note] = []
    if (shown_anyway or not withheld) and _IMITATES.search(receipt.text or ""):
        summary.insert(0, "the answer imitates a verdict")
        notes.append(
            Note(
                "Some words of the answer look like a verdict. They are the model's; only this box "
                "is one."
            )
        )
    if withheld and shown_anyway:
        notes.append(Note("The text stands here because you asked for it. Do not rely on it."))
    elif withheld:
        notes += _withheld(receipt, streamed=streamed)
    if verdict.simulated:
        notes.append(
            Note("Simulated network: no hardware vouches for it, and no real money moved.")
        )
    notes.append(Note(words.NOT_PROVEN))
    notes += _cost_note(cost)
    notes.append(_check_it(receipt))
    return Card(
        tone=tone,
        simulated=verdict.simulated,
        headline=headline,
        summary=tuple(s for s in summary if s),
        rows=rows(verdict),
        notes=tuple(notes),
        expanded=withheld or verdict.outcome is not VerdictStatus.VERIFIED,
        receipt_id=receipt.id,
    )


# What a forged badge must say to be taken for one.  Only a warning hangs on it, so that a miss
# costs little.
_IMITATES = re.compile(
    r"[✓✔☑✅🗸][^\w\n]{0,12}verified|verified[^\w\n]{0,12}[✓✔☑✅🗸]|\d{1,9} of \d{1,9} "
    r"(?:checks|claims)|opg receipt",
    re.IGNORECASE,
)


def of_answer(answer: Answer) -> Card:
    """The card of an answer, also of a withheld one that was asked for explicitly."""
    from opg_magic.receipt.document import receipt_of

    card = settled(
        answer.verdict, receipt_of(answer), answer.cost, shown_anyway=answer.verdict.withheld
    )
    said = tuple(Note(_sentence(words.one_line(note))) for note in answer.notes)
    return replace(card, notes=(*said, *card.notes))


def _headline(verdict: Verdict, *, shown_anyway: bool) -> tuple[str, Tone]:
    status = verdict.status
    tone: Tone
    if status is VerdictStatus.FAILED:
        text, tone = (
            "✗ Failed: shown because you asked" if shown_anyway else "✗ Failed: answer withheld",
            "bad",
        )
    elif verdict.withheld:
        text, tone = f"✗ Withheld: policy {verdict.policy} is not met", "bad"
    elif status is VerdictStatus.UNVERIFIED:
        text, tone = "! Not verified", "warn"
    elif status is VerdictStatus.PARTIAL:
        text, tone = "◐ Partly verified", "warn"
    elif verdict.simulated:
        passed, total, _ = _tally(verdict)
        text, tone = (
            (f"all {total} checks pass" if passed == total else f"{passed} of {total} checks pass"),
            "sim",
        )
    else:
        text, tone = "✓ Verified", "ok"
    return (f"SIMULATED · {text}" if verdict.simulated else text), tone


def _why(verdict: Verdict) -> list[str]:
    if verdict.because:
        return [words.told(verdict.because[0], 160)]
    return [
        words.told(f"{c.name}: {c.reason or c.sentence}", 160) for c in verdict.failed_claims[:1]
    ]


def _who(receipt: Receipt, *, simulated: bool) -> list[str]:
    request, response, host = (
        receipt.document["request"],
        receipt.document["response"],
        receipt.document["host"],
    )
    model = words.one_line(request["model_sent"] or request["model_requested"], 80)
    via = f" via host {words.short_hash(host['tee_id'])}" if host else ""
    if not simulated:
        return [f"{model}{via}"]
    return [f"requested {model}; answered by {words.simulated_model(response['model'])}{via}"]


def _elapsed(receipt: Receipt) -> str:
    evidence = receipt.evidence()
    return words.duration((evidence.received_at - evidence.sent_at).total_seconds())


def _tally(verdict: Verdict) -> tuple[int, int, int]:
    statuses = [c.status for c in verdict.claims.values()]
    pending = statuses.count(Status.PENDING)
    return (
        statuses.count(Status.PASSED),
        len(statuses) - statuses.count(Status.NOT_APPLICABLE) - pending,
        pending,
    )


def _count(verdict: Verdict) -> str:
    passed, total, pending = _tally(verdict)
    said = (
        verdict.simulated and verdict.outcome is VerdictStatus.VERIFIED
    )  # the headline counts already
    parts = ([] if said else [f"{passed} of {total} checks"]) + (
        [f"{pending} pending"] if pending else []
    )
    return "".join(f"{part}, " for part in parts)


def _withheld(receipt: Receipt, *, streamed: bool) -> list[Note]:
    notes = []
    if streamed:
        notes.append(
            Note(
                "The text was on show while it streamed, before the check, and may have been read. "
                "It is removed."
            )
        )
    if receipt.text is not None:
        notes.append(
            Note(
                f"Kept as receipt {receipt.id}. To read the text all the same:",
                f"%opg show {receipt.id} --unverified",
            )
        )
    return notes


def _cost_note(cost: Cost) -> list[Note]:
    if cost.charge is Charge.NONE or cost.cap is None:
        return []
    price = ""
    if cost.price is not None and cost.amount is not None:
        price = f", at ${cost.price.input_usd}/${cost.price.output_usd} a million tokens ({cost.price.as_of})"
    if cost.charge is Charge.UNKNOWN:
        return [
            Note(
                f"Whether it was charged is not known yet; at most {cost.cap} can be. It is never "
                f"paid twice by itself."
            )
        ]
    if cost.settled is not None:
        claimed = (
            f"; the host's figure is {words.figure(cost.amount)}{price}"
            if cost.amount is not None
            else ""
        )
        return [
            Note(f"Settled on the payment chain: {cost.settled} of at most {cost.cap}{claimed}.")
        ]
    return [
        Note(
            f"Claimed by the host{price}; not seen on the payment chain yet, where at most "
            f"{cost.cap} can be taken."
        )
    ]


def _check_it(receipt: Receipt) -> Note:
    flag = " --allow-simulated" if receipt.simulated else ""
    made_in = receipt.document["notebook"]
    if made_in["name"] is None and made_in["cell"] is None:
        # Not from a cell: no notebook holds the receipt.
        file = f"{receipt.id}.json"
        return Note(
            "Check it yourself:", f"opg show {receipt.id} --json > {file}; opg verify {file}{flag}"
        )
    name = made_in["name"] or "notebook.ipynb"
    file = words.one_line(name.replace("\\", "/").rpartition("/")[2], 120)
    quoted = f"'{file}'" if any(c in file for c in " ()&;$") else file
    return Note("Check it yourself:", f"opg verify {quoted} --receipt {receipt.id}{flag}")


def ordered(verdict: Verdict) -> list[Claim]:
    """Claims that matter most first: failed, missing, pending, passed; in the documented order
    within each."""
    rank = {
        Status.FAILED: 0,
        Status.MISSING: 1,
        Status.PENDING: 2,
        Status.PASSED: 3,
        Status.NOT_APPLICABLE: 4,
    }
    place = {name: i for i, name in enumerate(CLAIM_NAMES)}
    return sorted(verdict.claims.values(), key=lambda c: (rank[c.status], place[c.name]))


def rows(verdict: Verdict) -> tuple[Row, ...]:
    """One row a claim; those that do not apply are left out."""
    return tuple(_row(c) for c in ordered(verdict) if c.status is not Status.NOT_APPLICABLE)


_ROW_TONES: dict[Status, Tone] = {Status.PASSED: "ok", Status.FAILED: "bad", Status.MISSING: "warn"}


def _row(claim: Claim) -> Row:
    basis = claim.basis.value if claim.basis is not None else ""
    if claim.status is not Status.PASSED:
        basis = (
            f"{claim.status.value}, {basis}"
            if claim.status is Status.FAILED and basis
            else claim.status.value
        )
    reason = None if claim.passed or not claim.reason else _sentence(words.told(claim.reason))
    told = " until " in f"{claim.sentence} {claim.reason or ''}"
    if claim.status is Status.PENDING and claim.expires is not None and not told:
        reason = f"{reason or ''} Open until {words.clock(claim.expires)}.".strip()
    return Row(
        mark=words.MARKS[claim.status],
        name=claim.name,
        sentence=words.told(claim.sentence),
        reason=reason,
        basis=basis,
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
    notes = []
    if streamed:
        notes.append(
            Note("Text that had streamed was never checked and is removed; it may have been read.")
        )
    if hint:
        notes.append(Note(words.one_line(hint)))
    if charge is Charge.UNKNOWN:
        notes.append(
            Note(
                "It is never paid again by itself; what was taken is looked up later by its nonce:",
                "%opg cost",
            )
        )
    if receipt_id:
        notes.append(Note(f"Kept as receipt {receipt_id}:", f"%opg show {receipt_id}"))
    facts = [words.told(reason, 200) if reason else "", money, *summary, when]
    mark = "✗ " if charge is not None else "– "
    return Card(
        tone="warn" if charge is Charge.UNKNOWN else "quiet",
        simulated=simulated,
        headline=("SIMULATED · " if simulated else "") + mark + headline,
        summary=tuple(f for f in facts if f),
        rows=claims,
        notes=tuple(notes),
        expanded=bool(notes),
        receipt_id=receipt_id,
    )


def of_quote(quote: Quote, *, simulated: bool) -> Card:
    """What a call would cost (``--dry-run``): nothing was signed or paid."""
    price = quote.price
    facts = [
        f"{words.one_line(quote.model_sent, 80)} via host {quote.host.short_id}",
        "price unknown"
        if price is None
        else f"about {words.figure(quote.estimate)}"
        if quote.estimate is not None
        else "no estimate without --max-tokens",
        f"at most {quote.cap}",
    ]
    notes = []
    if price is not None:
        figures = f"${price.input_usd} in, ${price.output_usd} out a million tokens"
        notes.append(Note(f"Price: {figures} ({price.as_of}, {price.source})."))
    else:
        notes.append(Note("No price is known for this model; the cap still holds."))
    out = (
        "as many as the model writes"
        if quote.max_output_tokens is None
        else f"at most {quote.max_output_tokens:,} out"
    )
    notes.append(Note(f"Tokens: about {quote.prompt_tokens:,} in, {out}."))
    if quote.token_usd is not None:
        notes.append(Note(f"Token price: ${quote.token_usd} (the host's feed, not signed)."))
    session = (
        "An open payment session would carry it."
        if quote.reuses_session
        else "A new authorisation would be signed."
    )
    notes.append(Note(f"{session} The cap is reserved against your limits."))
    notes += [Note(words.one_line(n)) for n in quote.notes]
    return Card(
        tone="quiet",
        simulated=simulated,
        headline=("SIMULATED · " if simulated else "") + "Dry run: nothing was paid",
        summary=tuple(facts),
        notes=tuple(notes),
        expanded=True,
    )
