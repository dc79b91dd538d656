"""A receipt's face: what a display shows of a call, made of its receipt alone.

A reader makes it anew and compares it byte for byte, so nothing in it may depend on version, time,
settings or a library.  It is one of a kind: whoever changes a word or a style here makes another
form (:data:`FORM`), and keeps this one for the notebooks that hold it.
``labextension/src/face.ts`` makes the same bytes; whole notebooks in ``tests/corpus`` hold both
together.

Words of its own it has only constants of this file.  From the receipt come the answer, ids, figures
and times; words of the author's kernel stand on it only where the verdict is not VERIFIED."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from opg_magic.models import BASES, STATUSES, Status, strict_json
from opg_magic.models.plain_text import RULE, fenced, inert
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.question import asked

#: This form, as the line between answer and card names it.
FORM = "card 2"
#: What that line says of a card that cannot be made anew, since it says more than its receipt.
FREE = "card in words"

#: What may have happened on the way to an answer; the receipt does not hold it, so that only these
#: words say it.
REMARKS = (
    "The host had closed the open session, so a new authorisation was signed.",
    "Another host was tried before and was not used.",
    "Text that had streamed before the check is removed; it may have been read.",
    "Its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash.",
)

BANNER = "✗ Shown because you asked: the text below did not pass"

_NOT_PROVEN = (
    "Not proven: which weights the provider ran, whether it honoured every parameter, and whether "
    "the answer is true. "
    "Model name, tokens and cost are the host's word, not signed."
)
# Letter cases are written out: what a flag makes of them differs between languages.
_VERIFIED = "[vV][eE][rR][iI][fF][iI][eE][dD]"
_TICK = "(?:✓|✔|☑|✅|\U0001f5f8)"
_IMITATION = re.compile(
    f"{_TICK}[^A-Za-z0-9_\n]{{0,12}}{_VERIFIED}|{_VERIFIED}[^A-Za-z0-9_\n]{{0,12}}{_TICK}"
    "|[0-9]{1,9} [oO][fF] [0-9]{1,9} (?:[cC][hH][eE][cC][kK][sS]|[cC][lL][aA][iI][mM][sS])"
    "|[oO][pP][gG] [rR][eE][cC][eE][iI][pP][tT]"
)
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


def signed_text(receipt: Receipt) -> str | None:
    """What is shown of an answer: its text, or the exact string of its tool calls."""
    response = receipt.document["response"]
    text: str | None = response["text"] or response["tool_calls"] or response["text"]
    return text


def face(receipt: Receipt, *, show: bool, remarks: tuple[str, ...] = ()) -> dict[str, str]:
    """The three texts of a display.  ``show``: with the answer; ``remarks`` are of
    :data:`REMARKS`."""
    card = card_of(receipt, show=show, remarks=remarks)
    return {
        type: start + end
        for (type, start), end in zip(
            beginnings(receipt, show=show).items(),
            (
                f"{rule(receipt, FORM, show=show)}\n{_plain(card)}",
                _markdown(card),
                _html(card) + "</div>",
            ),
            strict=True,
        )
    }


def beginnings(receipt: Receipt, *, show: bool) -> dict[str, str]:
    """What stands before the card in each text: the answer, under a line that warns of it where it
    was withheld."""
    text = signed_text(receipt) if show else None
    if text is None:
        return {
            "text/plain": "",
            "text/markdown": "",
            "text/html": '<div style="font-family:inherit">',
        }
    plain, markdown, html = f"{inert(text)}\n\n", f"{fenced(text)}\n", answer_html(text)
    if receipt.withheld:
        plain = f"{BANNER}\n\n{plain}"
        markdown = f"**{BANNER}**\n\n{markdown}"
        html = f"<p><b>{BANNER}</b></p>{html}"
    return {
        "text/plain": plain,
        "text/markdown": markdown,
        "text/html": f'<div style="font-family:inherit">{html}',
    }


def rule(receipt: Receipt, form: str, *, show: bool) -> str:
    """The line between answer and card.  It counts the answer, so that a line which imitates it
    betrays itself."""
    text = signed_text(receipt) if show else None
    count = None if text is None else len(inert(text))
    what = (
        "no answer is shown"
        if count is None
        else f"the {count} character{'' if count == 1 else 's'} above are the answer"
    )
    return f"{RULE}{receipt.id} · {what} · {form} ────"


# --------------------------------------------------------------------------------------- the answer


_MONO = (
    "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px"
)
_PRE = f"{_MONO};margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere"
_EMPTY = re.compile(r"[ \t\n]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"#{1,6} ")
_INLINE = re.compile(r"(`[^`]+`|\*\*[^*]+\*\*)")


def answer_html(text: str) -> str:
    """The answer for a page, every character of it in its order; what is only emphasised stays as
    it was written.

    Fenced code and tables stand in a block of their own, headings, bold words and code are set off.
    No more: a Markdown renderer is another program tomorrow, and this must come out the same."""
    shown = inert(text)
    if _EMPTY.match(shown):
        return '<div style="margin:0 0 8px">(an answer without visible text)</div>'
    parts: list[str] = []
    for is_block, lines in _blocks(shown.split("\n")):
        if is_block:
            parts.append(f'<pre style="{_PRE}">{_escaped(chr(10).join(lines))}</pre>')
        else:
            parts.append("<br>\n".join(map(_prose, lines)))
    return f'<div style="margin:0 0 8px;overflow:auto;max-width:100%">{"".join(parts)}</div>'


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines: (whether a block of code or a table, its lines)."""
    fence: str | None = None
    run: list[str] = []
    kind = ""
    for line in lines:
        found = _FENCE.match(line)
        closes = fence is not None and found is not None and found[1].startswith(fence)
        opens = fence is None and found is not None
        now = "code" if fence is not None or opens else "table" if line.startswith("|") else "prose"
        if run and (now != kind or opens):
            yield kind != "prose", run
            run = []
        run.append(line)
        kind = now
        if opens and found is not None:
            fence = found[1]
        elif closes:
            fence = None
            yield True, run
            run = []
    if run:
        yield kind != "prose", run


def _prose(line: str) -> str:
    if _HEADING.match(line):
        return f"<b>{_spaced(line)}</b>"
    parts = []
    for number, part in enumerate(_INLINE.split(line)):
        tag = "" if number % 2 == 0 else "code" if part.startswith("`") else "b"
        parts.append(f"<{tag}>{_spaced(part)}</{tag}>" if tag else _spaced(part))
    return "".join(parts)


def _spaced(text: str) -> str:
    """Spaces that a page would swallow are kept."""
    return _escaped(text).replace("\t", "&nbsp;&nbsp;&nbsp; ").replace("  ", "&nbsp; ")


def _escaped(text: str) -> str:
    """Escaped, and the delimiters of TeX set apart so that no typesetter finds any."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(text))


# ----------------------------------------------------------------------------------------- the card

#: So many parts of a request are told on a card.
_MOST_BESIDE = 12


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
        _duration(d["sent_at"], d["received_at"]),
    ]
    facts.append(f"{_count(checked)}author's kernel, {_clock(d['created_at'])}")
    notes = [*_rows(checked, verified=verified), *((remark, None) for remark in remarks)]
    notes += _about_the_text(receipt, show=show)
    if simulated:
        notes.append(
            ("Simulated network: no hardware vouches for it, and no real money moved.", None)
        )
    notes += [
        (line, None) for line in (*_beside_the_prompt(d["request"]), *_agreement(d["agreement"]))
    ]
    notes.append((_NOT_PROVEN, None))
    notes.append(("Check it yourself:", _command(receipt)))
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
        return _told(problem["message"], 200) if problem else ""
    if checked is not None and checked["because"]:
        return _told(checked["because"][0], 160)
    failed = [c for c in (checked or {"claims": []})["claims"] if c["status"] == "failed"]
    return (
        _told(f"{failed[0]['name']}: {failed[0]['reason'] or failed[0]['sentence']}", 160)
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
            words = status if verified or status == "pending" else f"{_told(said, 400)} [{status}]"
            until = (
                f", open until {_clock(claim['expires'])}"
                if status == "pending" and claim["expires"]
                else ""
            )
            yield f"{STATUSES[Status(status)].mark} {claim['name']}: {words}{until}", None
    passed = [(c["basis"], c["name"]) for c in claims if c["status"] == "passed"]
    by = [
        f"{', '.join(name for basis, name in passed if basis == wanted)} ({wanted})"
        for wanted in BASES
        if any(basis == wanted for basis, _ in passed)
    ]
    if by:
        yield f"✓ {'; '.join(by)}", None


def _about_the_text(receipt: Receipt, *, show: bool) -> Iterator[tuple[str, str | None]]:
    text = signed_text(receipt)
    if text is not None and show and _IMITATION.search(text):
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


def _beside_the_prompt(request: Mapping[str, Any]) -> Iterator[str]:
    """What was asked besides the prompt, and what of it nobody signed."""
    found = asked(request["kind"], request["body"], request["canonicaliser"])
    more = [] if found is None else [*found.beside(options=False)]
    yield from (
        f"Asked with {_one_line(what, 60)}: {_one_line(text, 400)}"
        for what, text in more[:_MOST_BESIDE]
    )
    if len(more) > _MOST_BESIDE:
        yield f"Asked with {len(more) - _MOST_BESIDE} more: the receipt has them."


def _agreement(agreement: Mapping[str, Any] | None) -> Iterator[str]:
    if agreement is not None:
        yield (
            f"One of {len(agreement['answers'])} answers to one prompt; "
            f"{agreement['quorum']} of {agreement['asked']} hosts had to agree."
        )


def _model(d: Mapping[str, Any]) -> str:
    named = _parsed(d["request"]["body"]).get("model")
    model = _one_line(named, 80) if isinstance(named, str) else "model not named"
    host = d["host"]
    return f"{model} via host {_one_line(_short_hash(host['tee_id']), 9)}" if host else model


def _cost(payment: Mapping[str, Any] | None, *, simulated: bool) -> str:
    if payment is None or payment["charge"] == "not charged":
        return "not charged"
    most = f", at most {_money(payment['cap'])}" if payment["cap"] else ""
    if payment["charge"] == "unknown":
        return f"charge unknown{most}"
    if payment["cost"] is None:
        return f"{'price' if payment['price'] is None else 'cost'} unknown{most}"
    worth = re.fullmatch(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?", payment["cost_usd"] or "")
    usd = ""
    if worth is not None and not simulated:
        fraction = worth[2] or ""
        usd = f" ≈ ${_rounded(int(worth[1] + fraction), len(fraction))}"
    return f"{_money(payment['cost'])} claimed{usd}{most}"


def _count(checked: Mapping[str, Any] | None) -> str:
    statuses = [] if checked is None else [c["status"] for c in checked["claims"]]
    pending = statuses.count("pending")
    total = len(statuses) - statuses.count("not_applicable") - pending
    if not statuses:
        return ""
    return f"{statuses.count('passed')} of {total} checks, " + (
        f"{pending} pending, " if pending else ""
    )


def _command(receipt: Receipt) -> str:
    flag = " --allow-simulated" if receipt.simulated else ""
    return f"opg verify notebook.ipynb --receipt {receipt.id}{flag}"


# ----------------------------------------------------------------------------------- words, figures


def _parsed(body: str) -> Mapping[str, Any]:
    try:
        parsed = strict_json.loads_leniently(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _one_line(text: str, limit: int) -> str:
    flat = " ".join(inert(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


_HEX = re.compile(r"\b(?:0x)?[0-9a-fA-F]{40,}\b", re.ASCII)


def _told(text: str, limit: int) -> str:
    return _one_line(_HEX.sub(lambda match: f"{match[0][:8]}…{match[0][-6:]}", text), limit)


def _short_hash(value: str) -> str:
    digits = value.removeprefix("0x")
    return digits if len(digits) <= 9 else f"{digits[:4]}…{digits[-4:]}"


def _clock(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"


def _money(money: Mapping[str, Any]) -> str:
    """To two significant digits below one token, to two decimals above.  A symbol says no more than
    a symbol can."""
    token = money["token"]
    symbol = (
        token["symbol"]
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,11}", token["symbol"])
        else "tokens"
    )
    return f"{_rounded(int(money['amount']), token['decimals'])} {symbol}"


def _rounded(amount: int, decimals: int) -> str:
    digits = str(amount)
    places = 2 if len(digits) > decimals else decimals - len(digits) + 2
    if places < decimals:
        unit = 10 ** (decimals - places)
        amount, decimals = (amount + unit // 2) // unit, places
    digits = str(amount).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _duration(sent: str, received: str) -> str:
    from opg_magic.receipt.parts.values import time_of

    passed = time_of(received) - time_of(sent)
    micros = max(0, (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)
    if micros < 949_500:
        return f"{(micros + 500) // 1000} ms"
    tenths = (micros + 50_000) // 100_000
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10} s"
    whole = (micros + 500_000) // 1_000_000
    return f"{whole // 60} min {whole % 60} s"


# ------------------------------------------------------------------------------------- in each form


def _plain(card: Card) -> str:
    lines = [" · ".join((card.headline, *card.facts))]
    lines += [f"  {text} {code}" if code else f"  {text}" for text, code in card.notes]
    return "\n".join(lines)


def _markdown(card: Card) -> str:
    lines = [" · ".join((f"**{_unmarked(card.headline)}**", *map(_unmarked, card.facts))) + "\n"]
    lines += [
        f"- {_unmarked(text)} `{code}`" if code else f"- {_unmarked(text)}"
        for text, code in card.notes
    ]
    return "\n".join(lines) + "\n"


def _unmarked(text: str) -> str:
    """Words as Markdown text without any markup of their own."""
    return re.sub(
        r"[\\`*_{}\[\]()#+\-!|~$<>&:@.]", lambda m: _REFERENCES.get(m[0], "\\" + m[0]), text
    )


# In the middle of a line these need no escape in CommonMark, and reading the source is easier
# without.
_REFERENCES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;", **{c: c for c in ".-:()+!"}}

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
    facts = "".join(f" · {_escaped(fact)}" for fact in card.facts)
    notes = "".join(
        f'<div style="margin:4px 0 0">{_escaped(text)}'
        + (f" <code>{_escaped(code)}</code>" if code else "")
        + "</div>"
        for text, code in card.notes
    )
    return f'<div style="{style}"><b>{_escaped(card.headline)}</b>{facts}{notes}</div>'
