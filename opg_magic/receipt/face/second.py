"""Form ``card 2`` of a receipt's face, as notebooks of earlier versions hold it: never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.answer import beginnings, rule, signed_text
from opg_magic.receipt.face.figures import (
    IMITATION,
    beside_the_prompt,
    clock,
    command,
    duration,
    escaped,
    model_named,
    money,
    one_line,
    rounded,
    short_hash,
    told,
    unmarked,
)

FORM = "card 2"
FREE = "card in words"

_NOT_PROVEN = (
    "Not proven: which weights the provider ran, whether it honoured every parameter, and whether "
    "the answer is true. "
    "Model name, tokens and cost are the host's word, not signed."
)
_MARKS = {"passed": "✓", "failed": "✗", "pending": "◌", "missing": "○"}
_BASES = ("proven", "asked", "recorded")
_NO_ANSWER = {
    "interrupted": "Stopped by you",
    "host-failure": "The host reports a failure",
    "http-status": "The host reports a failure",
}


@dataclass(frozen=True)
class Card:
    """``code`` of a note is something to type."""

    tone: str
    simulated: bool
    headline: str
    facts: tuple[str, ...]
    notes: tuple[tuple[str, str | None], ...]


def face(receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = ()) -> dict[str, str]:
    """The three texts of a display.  ``show``: with the answer; ``remarks`` are of
    :data:`REMARKS`."""
    card = card_of(receipt, show=show, remarks=remarks)
    return {
        type: start + end
        for (type, start), end in zip(
            beginnings(receipt, show=show, former=True).items(),
            (
                f"{rule(receipt, FORM, show=show)}\n{_plain(card)}",
                _markdown(card),
                _html(card) + "</div>",
            ),
            strict=True,
        )
    }


def card_of(receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = ()) -> Card:
    """The card: what the author's kernel found when it made the receipt."""
    d = receipt.document
    checked, response = d["checked"], d["response"]
    simulated = bool(d["network"]["simulated"] or (checked is not None and checked["simulated"]))
    problem = response["problem"]
    ended = problem is not None and problem["code"] != "unsigned"
    answered = checked is not None and signed_text(receipt) is not None and not ended
    verified = answered and checked["verdict"] == "VERIFIED" and not receipt.withheld
    headline, tone = _headline(receipt, simulated=simulated, show=show, answered=answered)
    facts = []
    if not verified:
        facts.append(_why(checked, problem, answered=answered))
    facts += [
        _model(d),
        _cost(d["payment"], simulated=simulated),
        duration(d["sent_at"], d["received_at"]),
    ]
    facts.append(f"{_count(checked)}author's kernel, {clock(d['created_at'])}")
    notes = [*_rows(checked, verified=verified), *((remark, None) for remark in remarks)]
    notes += _about_the_text(receipt, show=show)
    if simulated:
        notes.append(
            ("Simulated network: no hardware vouches for it, and no real money moved.", None)
        )
    notes += [
        (line, None) for line in (*beside_the_prompt(d["request"]), *_agreement(d["agreement"]))
    ]
    notes.append((_NOT_PROVEN, None))
    notes.append(("Check it yourself:", command(receipt)))
    return Card(tone, simulated, headline, tuple(f for f in facts if f), tuple(notes))


def _headline(receipt: Receipt, *, simulated: bool, show: bool, answered: bool) -> tuple[str, str]:
    checked, problem = receipt.document["checked"], receipt.document["response"]["problem"]
    if not answered:
        # With neither a problem nor a verdict, an answer came and could not be judged.
        unchecked = checked is None and problem is None
        ended = (
            "Not checked"
            if unchecked
            else _NO_ANSWER.get(problem["code"] if problem else "", "No answer")
        )
        text, tone = f"✗ {ended}", "quiet"
    elif checked["verdict"] == "FAILED":
        text, tone = (
            "✗ Failed: shown because you asked" if show else "✗ Failed: answer withheld",
            "bad",
        )
    elif receipt.withheld:
        text, tone = "✗ Withheld: the policy is not met", "bad"
    elif checked["verdict"] == "UNVERIFIED":
        text, tone = "! Not verified", "warn"
    elif checked["verdict"] == "PARTIAL":
        text, tone = "◐ Partly verified", "warn"
    else:
        text, tone = ("all checks pass", "sim") if simulated else ("✓ Verified", "ok")
    return (f"SIMULATED · {text}" if simulated else text), tone


def _why(
    checked: Mapping[str, Any] | None, problem: Mapping[str, Any] | None, *, answered: bool
) -> str:
    if not answered:
        return told(problem["message"], 200) if problem else ""
    if checked is not None and checked["because"]:
        return told(checked["because"][0], 160)
    failed = [c for c in (checked or {"claims": []})["claims"] if c["status"] == "failed"]
    return (
        told(f"{failed[0]['name']}: {failed[0]['reason'] or failed[0]['sentence']}", 160)
        if failed
        else ""
    )


def _rows(checked: Mapping[str, Any] | None, *, verified: bool) -> Iterator[tuple[str, str | None]]:
    """Failed and missing claims first, then pending ones, then the names of those that passed, by
    what they rest on."""
    claims = [] if checked is None else checked["claims"]
    for status in ("failed", "missing", "pending"):
        for claim in claims:
            if claim["status"] != status:
                continue
            said = " ".join(p for p in (claim["sentence"], claim["reason"]) if p)
            words = status if verified or status == "pending" else f"{told(said, 400)} [{status}]"
            until = (
                f", open until {clock(claim['expires'])}"
                if status == "pending" and claim["expires"]
                else ""
            )
            yield f"{_MARKS[status]} {claim['name']}: {words}{until}", None
    passed = [(c["basis"], c["name"]) for c in claims if c["status"] == "passed"]
    by = [
        f"{', '.join(name for basis, name in passed if basis == wanted)} ({wanted})"
        for wanted in _BASES
        if any(basis == wanted for basis, _ in passed)
    ]
    if by:
        yield f"✓ {'; '.join(by)}", None


def _about_the_text(receipt: Receipt, *, show: bool) -> Iterator[tuple[str, str | None]]:
    text = signed_text(receipt)
    if text is not None and show and IMITATION.search(text):
        yield (
            "Some words of the answer look like a verdict. They are the model's; only this box is "
            "one.",
            None,
        )
    if not receipt.withheld:
        return
    if text is not None and show:
        yield "The text stands here because you asked for it. Do not rely on it.", None
        return
    if text is not None:
        yield (
            f"Kept as receipt {receipt.id}. To read the text all the same:",
            f"%opg show {receipt.id} --unverified",
        )


def _agreement(agreement: Mapping[str, Any] | None) -> Iterator[str]:
    if agreement is not None:
        yield (
            f"One of {len(agreement['answers'])} answers to one prompt; "
            f"{agreement['quorum']} of {agreement['asked']} hosts had to agree."
        )


def _model(d: Mapping[str, Any]) -> str:
    model = model_named(d["request"])
    host = d["host"]
    return f"{model} via host {one_line(short_hash(host['tee_id']), 9)}" if host else model


def _cost(payment: Mapping[str, Any] | None, *, simulated: bool) -> str:
    if payment is None or payment["charge"] == "not charged":
        return "not charged"
    most = f", at most {money(payment['cap'])}" if payment["cap"] else ""
    if payment["charge"] == "unknown":
        return f"charge unknown{most}"
    if payment["cost"] is None:
        return f"{'price' if payment['price'] is None else 'cost'} unknown{most}"
    worth = re.fullmatch(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?", payment["cost_usd"] or "")
    usd = ""
    if worth is not None and not simulated:
        fraction = worth[2] or ""
        usd = f" ≈ ${rounded(int(worth[1] + fraction), len(fraction))}"
    return f"{money(payment['cost'])} claimed{usd}{most}"


def _count(checked: Mapping[str, Any] | None) -> str:
    statuses = [] if checked is None else [c["status"] for c in checked["claims"]]
    pending = statuses.count("pending")
    total = len(statuses) - statuses.count("not_applicable") - pending
    if not statuses:
        return ""
    return f"{statuses.count('passed')} of {total} checks, " + (
        f"{pending} pending, " if pending else ""
    )


def _plain(card: Card) -> str:
    lines = [" · ".join((card.headline, *card.facts))]
    lines += [f"  {text} {code}" if code else f"  {text}" for text, code in card.notes]
    return "\n".join(lines)


def _markdown(card: Card) -> str:
    lines = [" · ".join((f"**{unmarked(card.headline)}**", *map(unmarked, card.facts))) + "\n"]
    lines += [
        f"- {unmarked(text)} `{code}`" if code else f"- {unmarked(text)}"
        for text, code in card.notes
    ]
    return "\n".join(lines) + "\n"


_TONES = {
    "ok": "#2e8b3a",
    "sim": "#1976d2",
    "warn": "#c77700",
    "bad": "#d32f2f",
    "quiet": "#808080",
}


def _html(card: Card) -> str:
    edge = "dashed" if card.simulated else "solid"
    style = (
        f"border-left:4px {edge} {_TONES[card.tone]};background:rgba(128,128,128,.08);padding:7px "
        f"14px;font-size:13px;"
        "line-height:1.5;overflow-wrap:anywhere"
    )
    facts = "".join(f" · {escaped(fact)}" for fact in card.facts)
    notes = "".join(
        f'<div style="margin:4px 0 0">{escaped(text)}'
        + (f" <code>{escaped(code)}</code>" if code else "")
        + "</div>"
        for text, code in card.notes
    )
    return f'<div style="{style}"><b>{escaped(card.headline)}</b>{facts}{notes}</div>'
