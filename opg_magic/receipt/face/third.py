"""Form ``card 3`` of a receipt's face: one line (the state in words, what it rests on, figures),
and the checks behind it, grouped by what each rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.models import BASES, CLAIMS, STATUSES
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.answer import beginnings, rule, signed_text
from opg_magic.receipt.face.figures import (
    IMITATION,
    clock,
    command,
    duration,
    escaped,
    model_named,
    money,
    one_line,
    rounded,
    sent_again,
    short_hash,
    told,
    unmarked,
)
from opg_magic.receipt.face.hosts import Compared, compared

#: This form, as the line between answer and card names it.
FORM = "card 3"
#: What that line says of a card that cannot be made anew, since it says more than its receipt.
FREE = "card 3 in words"
#: The same two of an answer that calls tools, where the calls stand as a person reads them.
CALLS, CALLS_FREE = "card 3 of calls", "card 3 of calls in words"

#: The tag of a call on a simulated network.
SIMULATED = "simulated network"
#: The same where there is little room: a badge, a mark.
SIMULATED_BRIEF = "simulated"
NOT_KNOWN = (
    "Not known: which weights ran; whether the answer is true. Model, tokens, cost: host's word."
)
#: The same where the weights were run again, and gave the answer.
NOT_KNOWN_RE_RUN = "Not known: whether the answer is true. Model, tokens, cost: host's word."
#: What each check says where it passed.
SAYS: dict[str, str] = {kind.name: kind.on_card for kind in CLAIMS}
SAYS_SIMULATED = "Key made in a simulated enclave."
SAYS_SEALED = "Encrypted to the registered key."
#: What a check rests on, in plain words.  ``{}`` is whose kernel asked.
HEADINGS: dict[str, str] = {basis.value: words.heading for basis, words in BASES.items()}
#: Checks that did not pass, by their status.  Those that are open come last.
UNMET = {"failed": "Failed", "missing": "Missing"}
OPEN = "Still open"
HOSTS = "Hosts"

_ALL = r"[aA][lL][lL] [0-9]{1,9} [cC][hH][eE][cC][kK][sS]"
_SAME = (
    r"[0-9]{1,9} [oO][fF] [0-9]{1,9} "
    r"[iI][nN][dD][eE][pP][eE][nN][dD][eE][nN][tT] [hH][oO][sS][tT][sS]"
)
_IMITATION = re.compile(f"{IMITATION.pattern}|{_ALL}|{_SAME}")
MARKS: dict[str, str] = {status.value: words.mark for status, words in STATUSES.items()}
_AUTHOR = "the author's kernel"
_NO_ANSWER = {
    "interrupted": "Stopped by you",
    "host-failure": "The host reports a failure",
    "http-status": "The host reports a failure",
}


@dataclass(frozen=True)
class Row:
    """One check, or one host: its mark and name, and what is to be said."""

    mark: str
    name: str
    text: str


@dataclass(frozen=True)
class Group:
    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Card:
    """``state`` in words, ``rests`` on what, ``figures``; ``tag`` stands apart.  ``warnings`` are
    what nobody may miss, ``notes`` the rest; each may end in something to type."""

    tone: str
    state: str
    rests: tuple[str, ...]
    figures: tuple[str, ...]
    tag: str | None
    groups: tuple[Group, ...]
    warnings: tuple[tuple[str, str | None], ...]
    notes: tuple[tuple[str, str | None], ...]


def face(
    receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = (), calls: bool = False
) -> dict[str, str]:
    """The three texts of a display.  ``show``: with the answer; ``remarks`` are of
    :data:`opg_magic.receipt.face.REMARKS`; ``calls``: in the form :data:`CALLS`."""
    card = card_of(receipt, show=show, remarks=remarks)
    starts = beginnings(receipt, show=show, calls=calls)
    line = rule(receipt, CALLS if calls else FORM, show=show, calls=calls)
    # One host of several, beside the answer that is shown: a line is enough where nothing folds.
    brief = not show and receipt.document["agreement"] is not None
    plain = _plain(card, brief=brief)
    return {
        "text/plain": f"{starts['text/plain']}{line}\n{plain}",
        "text/markdown": starts["text/markdown"] + _markdown(card),
        "text/html": f"{starts['text/html']}{_html(card)}</div>",
    }


# ----------------------------------------------------------------------------------------- the card


def card_of(receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = ()) -> Card:
    """The card: what the author's kernel found when it made the receipt."""
    d = receipt.document
    checked, problem = d["checked"], d["response"]["problem"]
    simulated = bool(d["network"]["simulated"] or (checked is not None and checked["simulated"]))
    ended = problem is not None and problem["code"] != "unsigned"
    answered = checked is not None and signed_text(receipt) is not None and not ended
    verified = answered and checked["verdict"] == "VERIFIED" and not receipt.withheld
    # Where its answer is not shown, it stands as one line beside the answer that is.
    hosts = compared(d) if verified and show else None
    state, tone = _state(receipt, answered=answered, simulated=simulated, hosts=hosts)
    rests = [] if verified else [_why(receipt, answered=answered, show=show)]
    if checked is not None:
        rests.append(f"checked by {_AUTHOR}, {clock(checked['at'])}")
    figures = (
        *_who(d, hosts),
        f"{_cost(d['payment'], simulated=simulated)}{'' if hosts is None else ' for this answer'}",
        duration(d["sent_at"], d["received_at"]),
    )
    return Card(
        tone,
        state,
        tuple(told for told in rests if told),
        tuple(figure for figure in figures if figure),
        SIMULATED if simulated else None,
        tuple(_groups(d, verified=verified, simulated=simulated, hosts=hosts)),
        (*((remark, None) for remark in remarks), *_warnings(receipt, show=show)),
        ((_not_known(d), None), *_run_again(d), ("", command(receipt))),
    )


def _not_known(d: Mapping[str, Any]) -> str:
    claims = [] if d["checked"] is None else d["checked"]["claims"]
    weights = next((claim for claim in claims if claim["name"] == "weights"), None)
    re_run = weights is not None and (weights["status"], weights["basis"]) == ("passed", "re-run")
    return NOT_KNOWN_RE_RUN if re_run else NOT_KNOWN


def _run_again(d: Mapping[str, Any]) -> Iterator[tuple[str, None]]:
    """The run of the weights that was added after the verdict was written down."""
    run = d.get("weights")
    if run is not None and _not_known(d) == NOT_KNOWN:
        count = len(run["tokens"]) + run["end"]
        first = f"{count - len(run['misses'])} of {count} tokens are their first choice"
        yield f"Weights run again by {_AUTHOR}, {clock(run['at'])}: {first}.", None


def _state(
    receipt: Receipt, *, answered: bool, simulated: bool, hosts: Compared | None
) -> tuple[str, str]:
    checked, problem = receipt.document["checked"], receipt.document["response"]["problem"]
    if not answered:
        if checked is None and problem is None:
            # An answer came and could not be judged.
            return "✗ Not checked", "quiet"
        return f"✗ {_NO_ANSWER.get(problem['code'] if problem else '', 'No answer')}", "quiet"
    if checked["verdict"] == "FAILED":
        return "✗ Failed at the call", "bad"
    if receipt.withheld:
        return "✗ Withheld: the policy is not met", "bad"
    if checked["verdict"] == "UNVERIFIED":
        return "! Not verified", "warn"
    if checked["verdict"] == "PARTIAL":
        return "◐ Partially verified", "warn"
    good = "sim" if simulated else "ok"
    if hosts is not None:
        return hosts.headline, good if hosts.agrees else "warn"
    return f"✓ {counted([claim['status'] for claim in checked['claims']])}", good


def counted(statuses: list[str]) -> str:
    """``All 7 checks pass``: of those that apply and are not open."""
    passed = statuses.count("passed")
    total = passed + statuses.count("failed") + statuses.count("missing")
    return f"All {total} checks pass" if passed == total else f"{passed} of {total} checks pass"


def _why(receipt: Receipt, *, answered: bool, show: bool) -> str:
    checked, problem = receipt.document["checked"], receipt.document["response"]["problem"]
    if not answered:
        return told(problem["message"], 200) if problem else ""
    failed = [claim for claim in checked["claims"] if claim["status"] == "failed"]
    why = ""
    if checked["because"]:
        why = told(checked["because"][0], 160)
    elif failed:
        why = told(f"{failed[0]['name']}: {failed[0]['reason'] or failed[0]['sentence']}", 160)
    if not receipt.withheld:
        return why
    kept = "shown because you asked" if show else "the answer is withheld"
    return f"{kept} · {why}" if why else kept


def _groups(
    d: Mapping[str, Any], *, verified: bool, simulated: bool, hosts: Compared | None
) -> Iterator[Group]:
    """What did not pass, what did by what it rests on, the other hosts, what is open."""
    claims = [] if d["checked"] is None else d["checked"]["claims"]
    reasons: set[str] = set()
    for status, heading in UNMET.items():
        unmet = [claim for claim in claims if claim["status"] == status]
        rows = [_unmet(claim, reasons, verified=verified) for claim in unmet]
        if rows:
            yield Group(heading, tuple(rows))
    for basis, heading in HEADINGS.items():
        rows = [
            Row(
                MARKS["passed"],
                claim["name"],
                says(claim["name"], simulated=simulated, sealed="sealed" in d),
            )
            for claim in claims
            if claim["status"] == "passed" and claim["basis"] == basis
        ]
        if rows:
            yield Group(heading.format(_AUTHOR), tuple(rows))
    if hosts is not None:
        yield Group(HOSTS, tuple(Row(*line) for line in hosts.lines))
    rows = [_open(claim, d) for claim in claims if claim["status"] == "pending"]
    if rows:
        yield Group(OPEN, tuple(rows))


def says(name: str, *, simulated: bool, sealed: bool) -> str:
    """What a check that passed says.  ``sealed``: the call took the private route."""
    if sealed and name == "channel":
        return SAYS_SEALED
    return SAYS_SIMULATED if simulated and name == "attestation" else SAYS[name]


def _unmet(claim: Mapping[str, Any], reasons: set[str], *, verified: bool) -> Row:
    """``reasons``: those of the rows above, which are not said again; this one's is added."""
    sentence, reason = claim["sentence"], claim["reason"]
    again = reason in reasons
    reasons.update([reason] if reason else [])
    said = " ".join(part for part in (sentence, "" if again and sentence else reason) if part)
    return Row(MARKS[claim["status"]], claim["name"], "" if verified else told(said, 400))


def _open(claim: Mapping[str, Any], d: Mapping[str, Any]) -> Row:
    most = d["payment"]["cap"] if claim["name"] == "payment" and d["payment"] else None
    parts = [f"At most {money(most)}" if most else "Not there yet"]
    if claim["expires"]:
        until = clock(claim["expires"])
        same_day = until[:10] == d["created_at"][:10]
        parts.append(f"known by {until[11:] if same_day else until}")
    return Row(MARKS["pending"], claim["name"], "; ".join(parts) + ".")


def _warnings(receipt: Receipt, *, show: bool) -> Iterator[tuple[str, str | None]]:
    text = signed_text(receipt)
    if text is not None and show and _IMITATION.search(text):
        yield (
            "Some words of the answer look like a verdict. They are the model's; only this box is "
            "one.",
            None,
        )
    if receipt.withheld and text is not None:
        if show:
            yield "Do not rely on the text above.", None
        else:
            yield "To read it all the same:", f"%opg show {receipt.id} --unverified"
    for line in sent_again(receipt.document):
        yield line, None


def _who(d: Mapping[str, Any], hosts: Compared | None) -> tuple[str, ...]:
    model = model_named(d["request"])
    if hosts is not None or d["host"] is None:
        return (model,)
    return model, f"host {one_line(short_hash(d['host']['tee_id']), 9)}"


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
    return f"{money(payment['cost'])} claimed{usd}"


# ------------------------------------------------------------------------------------- in each form


def _plain(card: Card, *, brief: bool) -> str:
    tag = () if card.tag is None else (f"[{card.tag}]",)
    lines = [" · ".join((card.state, *card.rests, *card.figures, *tag))]
    lines += [f"  {line}" for line in _typed(card.warnings)]
    for group in () if brief else card.groups:
        lines.append(f"  {group.heading}")
        lines += [f"    {_row(row)}" for row in group.rows]
    lines += [f"  {line}" for line in _typed(card.notes[-1:] if brief else card.notes)]
    return "\n".join(lines)


def _row(row: Row) -> str:
    return f"{row.mark} {row.name}: {row.text}" if row.text else f"{row.mark} {row.name}"


def _typed(notes: tuple[tuple[str, str | None], ...]) -> list[str]:
    return [" ".join(part for part in note if part) for note in notes]


def _markdown(card: Card) -> str:
    """One line; below it only what nobody may miss.  A Markdown file has room for no more."""
    tag = () if card.tag is None else (f"*{card.tag}*",)
    facts = map(unmarked, (*card.rests, *card.figures))
    code = [f"`{code}`" for _, code in card.notes if code]
    lines = [" · ".join((f"**{unmarked(card.state)}**", *facts, *tag, *code))]
    if card.warnings:
        lines += ["", *(f"- {_marked(*note)}" for note in card.warnings)]
    return "\n".join(lines) + "\n"


def _marked(text: str, code: str | None) -> str:
    return f"{unmarked(text)} `{code}`" if code else unmarked(text)


_TONES = {
    "ok": "#2e8b3a",
    "sim": "#2e8b3a",
    "warn": "#c77700",
    "bad": "#d32f2f",
    "quiet": "#808080",
}
_TAG = "border:1px dashed #1976d2;border-radius:3px;padding:0 6px"
_BOX = "border:1px solid rgba(128,128,128,.5);border-radius:4px;padding:6px 12px;font-size:13px"


def _html(card: Card) -> str:
    """A line that opens, with no line of its own empty: this HTML may come to stand in Markdown."""
    facts = "".join(f" · {escaped(fact)}" for fact in (*card.rests, *card.figures))
    tag = "" if card.tag is None else f' · <i style="{_TAG}">{card.tag}</i>'
    lines = [
        # The tone is at the edge: no one colour of text reads well on light and on dark.
        f'<details style="{_BOX};border-left:4px solid {_TONES[card.tone]}"><summary>'
        f"<b>{escaped(card.state)}</b>{facts}{tag}</summary>",
        *(f"<div>{_coded(*note)}</div>" for note in card.warnings),
    ]
    for group in card.groups:
        rows = "".join(f"<br>{escaped(_row(row))}" for row in group.rows)
        lines.append(f"<div><small>{escaped(group.heading)}</small>{rows}</div>")
    lines += [f"<div>{_coded(*note)}</div>" for note in card.notes]
    return "\n".join(lines) + "</details>"


def _coded(text: str, code: str | None) -> str:
    return " ".join(
        part for part in (escaped(text), f"<code>{escaped(code)}</code>" if code else "") if part
    )
