"""Figures and foreign words on a receipt's face.

Every form of it uses them, so none may change: a new form brings its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import Any

from opg_magic.models.plain_text import inert
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.question import asked

#: What may have happened on the way to an answer; the receipt does not hold it, so that only these
#: words say it.
REMARKS = (
    "The host had closed the open session, so a new authorisation was signed.",
    "Another host was tried before and was not used.",
    "Text that had streamed before the check is removed; it may have been read.",
    "Its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash.",
    "Out of the author's ledger: this notebook had asked the same, so nothing was sent or paid.",
)

# Letter cases are written out: what a flag makes of them differs between languages.
_VERIFIED = "[vV][eE][rR][iI][fF][iI][eE][dD]"
_TICK = "(?:✓|✔|☑|✅|\U0001f5f8)"
IMITATION = re.compile(
    f"{_TICK}[^A-Za-z0-9_\n]{{0,12}}{_VERIFIED}|{_VERIFIED}[^A-Za-z0-9_\n]{{0,12}}{_TICK}"
    "|[0-9]{1,9} [oO][fF] [0-9]{1,9} (?:[cC][hH][eE][cC][kK][sS]|[cC][lL][aA][iI][mM][sS])"
    "|[oO][pP][gG] [rR][eE][cC][eE][iI][pP][tT]"
)

#: So many parts of a request are told on a card.
_MOST_BESIDE = 12


def model_named(request: Mapping[str, Any]) -> str:
    """The model that a request names, for a line; a request that can be read in two ways names
    none."""
    found = asked(request["kind"], request["body"], request["canonicaliser"])
    if found is None or found.model is None:
        return "model not named"
    return one_line(found.model, 80)


def one_line(text: str, limit: int) -> str:
    flat = " ".join(inert(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


_HEX = re.compile(r"\b(?:0x)?[0-9a-fA-F]{40,}\b", re.ASCII)


def told(text: str, limit: int) -> str:
    return one_line(_HEX.sub(lambda match: f"{match[0][:8]}…{match[0][-6:]}", text), limit)


def short_hash(value: str) -> str:
    digits = value.removeprefix("0x")
    return digits if len(digits) <= 9 else f"{digits[:4]}…{digits[-4:]}"


def clock(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"


def money(money: Mapping[str, Any]) -> str:
    """To two significant digits below one token, to two decimals above.  A symbol says no more than
    a symbol can."""
    token = money["token"]
    symbol = (
        token["symbol"]
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,11}", token["symbol"])
        else "tokens"
    )
    return f"{rounded(int(money['amount']), token['decimals'])} {symbol}"


def rounded(amount: int, decimals: int) -> str:
    digits = str(amount)
    places = 2 if len(digits) > decimals else decimals - len(digits) + 2
    if places < decimals:
        unit = 10 ** (decimals - places)
        amount, decimals = (amount + unit // 2) // unit, places
    digits = str(amount).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def duration(sent: str, received: str) -> str:
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


def beside_the_prompt(request: Mapping[str, Any]) -> Iterator[str]:
    """What was asked besides the prompt, and what of it nobody signed."""
    found = asked(request["kind"], request["body"], request["canonicaliser"])
    yield from _told_beside([] if found is None else [*found.beside(options=False)])


def _told_beside(more: list[tuple[str, str]]) -> Iterator[str]:
    yield from (
        f"Asked with {one_line(what, 60)}: {one_line(text, 400)}"
        for what, text in more[:_MOST_BESIDE]
    )
    if len(more) > _MOST_BESIDE:
        yield f"Asked with {len(more) - _MOST_BESIDE} more: the receipt has them."


def sent_again(document: Mapping[str, Any]) -> Iterator[str]:
    """As :func:`beside_the_prompt`; of a conversation's earlier messages, how many there are and
    which share of the input."""
    request, thread = document["request"], document.get("thread")
    found = asked(request["kind"], request["body"], request["canonicaliser"])
    count = sum(one["messages"] for one in thread["earlier"]) if thread else 0
    if found is None or thread is None or not count:
        yield from beside_the_prompt(request)
        return
    before = [turn for turn in found.before if turn.role != "system"]
    prompt = [] if found.prompt is None else [len(found.prompt)]
    lengths = [*(len(turn.text) for turn in before), *prompt]
    lengths += [len(turn.text) for turn in found.after]
    again, whole = sum(lengths[:count]), sum(lengths) + sum(map(len, found.system))
    share = (200 * again + whole) // (2 * whole) if whole else 0
    messages = "message" if count == 1 else "messages"
    name = "this conversation" if thread["name"] is None else f"chat {thread['name']}"
    yield (
        f"Sent again: {count} earlier {messages} of {name}, about {share} % of the input "
        "(estimated by length)."
    )
    systems = tuple(turn for turn in found.before if turn.role == "system")
    later = found.after[max(0, count - len(before) - len(prompt)) :]
    shown = replace(found, before=(*systems, *before[count:]), after=later)
    yield from _told_beside([*shown.beside(options=False)])


def command(receipt: Receipt) -> str:
    flag = " --allow-simulated" if receipt.simulated else ""
    return f"opg verify notebook.ipynb --receipt {receipt.id}{flag}"


def escaped(text: str) -> str:
    """Escaped, and the delimiters of TeX set apart so that no typesetter finds any."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(text))


def unmarked(text: str) -> str:
    """Words as Markdown text without any markup of their own."""
    return re.sub(
        r"[\\`*_{}\[\]()#+\-!|~$<>&:@.]", lambda m: _REFERENCES.get(m[0], "\\" + m[0]), text
    )


# In the middle of a line these need no escape in CommonMark, and reading the source is easier
# without.
_REFERENCES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;", **{c: c for c in ".-:()+!"}}
