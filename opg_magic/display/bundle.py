"""One MIME bundle for each state of a call: text, Markdown, HTML, and the receipt where there is
one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.display import card as cards
from opg_magic.display import html, markdown, plain, words
from opg_magic.display.card import Card
from opg_magic.display.style import BORDER, FAINT
from opg_magic.models import Status
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from opg_magic.models import Answer
    from opg_magic.receipt.document import Receipt

Bundle = dict[str, Any]

#: While it streams, at most this many last characters are shown: a long answer is not sent again
#: ten times a second.
STREAM_WINDOW = 8_000


def answer_bundle(answer: Answer, *, show_text: bool = True) -> Bundle:
    """An answer with its card.  A withheld answer (asked for explicitly) stands under a line that
    says so.

    The card is the receipt's own (:mod:`opg_magic.receipt.face`), which every reader can make anew
    and compare.  Only where there is more to say than the receipt holds, it is a card in words."""
    from opg_magic.receipt.document import receipt_of

    receipt = receipt_of(answer)
    remarks = _remarks(answer.notes)
    if remarks is not None and _says_the_same(answer):
        return receipt_bundle(receipt, show_text=show_text, remarks=remarks)
    return settled_bundle(cards.of_answer(answer), receipt=receipt, show_text=show_text)


def receipt_bundle(
    receipt: Receipt,
    *,
    show_text: bool = False,
    streamed: bool = False,
    remarks: tuple[str, ...] = (),
) -> Bundle:
    """The display of a call that is made of its receipt alone.  ``streamed``: text was on it before
    the verdict."""
    from opg_magic.receipt.document import MIME_TYPE
    from opg_magic.receipt.face import REMARKS, face

    if streamed:
        remarks = (*remarks, REMARKS[2])
    return {**face(receipt, show=show_text, remarks=remarks), MIME_TYPE: receipt.document}


#: How notes begin that the receipt's own card has words for, and which of them.
_KNOWN_NOTES = {
    "the host had closed the open session, ": 0,
    "host ": 1,
    "its hashes go on a public chain, ": 3,
    "out of the ledger: ": 4,
}


def _remarks(notes: tuple[str, ...]) -> tuple[str, ...] | None:
    """The words for these notes on a receipt's own card; None where it has none for one of them."""
    from opg_magic.receipt.face import REMARKS

    said = set()
    for note in notes:
        place = next(
            (place for words, place in _KNOWN_NOTES.items() if note.startswith(words)), None
        )
        if place is None:
            return None
        said.add(REMARKS[place])
    return tuple(remark for remark in REMARKS if remark in said)


#: Claims about what is learnt after a call: the receipt's own card says what was known when it was
#: made.  Of a run of the weights it tells on its own; one that fails withholds the answer.
_LATER = ("payment", "settlement", "agreement", "weights")


_UNKNOWN = Status.NOT_APPLICABLE


def _says_the_same(answer: Answer) -> bool:
    """Whether the verdict is still the one that the receipt records."""
    now, then = answer.verdict, answer.receipt.verdict_at_creation
    return (
        then is not None
        and (now.status, now.withheld, now.simulated)
        == (then.status, then.withheld, then.simulated)
        and all(
            # A claim that its version did not know was not applicable to it.
            claim.status is (then.claims[name].status if name in then.claims else _UNKNOWN)
            for name, claim in now.claims.items()
            if name not in _LATER
        )
    )


def settled_bundle(
    it: Card, *, text: str | None = None, receipt: Receipt | None = None, show_text: bool = False
) -> Bundle:
    """The last state of a display with a card in words: answer (or none), card, receipt.

    ``show_text``: with the receipt's answer; ``text`` is one without receipt.  Nothing it holds can
    reach the card."""
    if receipt is None:
        return {
            "text/plain": _plain(it, text),
            "text/markdown": _markdown(it, text),
            "text/html": _html(it, text),
        }
    from opg_magic.receipt import face
    from opg_magic.receipt.document import MIME_TYPE

    starts, rule = face.free(receipt, show=show_text)
    return {
        "text/plain": f"{starts['text/plain']}{rule}\n{plain.card(it)}",
        "text/markdown": starts["text/markdown"] + _card_markdown(it),
        "text/html": f"{starts['text/html']}{html.card(it)}</div>",
        MIME_TYPE: receipt.document,
    }


def _plain(it: Card, text: str | None) -> str:
    parts = [] if text is None else [inert(text), ""]
    if it.receipt_id or text is not None:
        parts.append(plain.rule(it, text))
    return "\n".join([*parts, plain.card(it)])


def _markdown(it: Card, text: str | None) -> str:
    return ("" if text is None else f"{markdown.fenced(text)}\n") + _card_markdown(it)


def _card_markdown(it: Card) -> str:
    """One line, and only what did not pass below it: a Markdown file has room for no more."""
    facts = "".join(f" · {markdown.plain_markdown(fact)}" for fact in it.line[1:])
    lines = [f"**{markdown.plain_markdown(it.headline)}**{facts}\n"]
    unmet = [row for row in it.rows if row.group in words.UNMET.values()]
    lines += [
        f"- {row.mark} {row.name}: "
        f"{markdown.plain_markdown(' '.join(p for p in (row.sentence, row.reason) if p))}"
        for row in unmet
    ]
    if unmet:
        lines.append("")
    for note in it.notes if it.expanded else ():
        code = f" {_code_span(note.code)}" if note.code else ""
        lines.append(
            f"{markdown.plain_markdown(note.text)}{code}{markdown.plain_markdown(note.after)}\n"
        )
    return "\n".join(lines)


def _code_span(code: str) -> str:
    return f"`{' '.join(inert(code).split()).replace('`', 'ˋ')}`"


def _html(it: Card, text: str | None) -> str:
    parts = []
    if text is not None:
        # overflow: whatever the text contains is painted inside its own box, never over the card.
        parts.append(
            f'<div style="margin:0 0 '
            f'8px;overflow:auto;max-width:100%">{markdown.to_html(text)}</div>'
        )
    parts.append(html.card(it))
    return f'<div style="font-family:inherit">{"".join(parts)}</div>'


# ------------------------------------------------------------------------------------ while it runs


def running_bundle(
    steps: tuple[tuple[str, str], ...], *, text: str, notes: tuple[str, ...], simulated: bool
) -> Bundle:
    """A call under way.  ``steps``: (``done`` | ``now`` | ``next``, words); ``text`` so far, marked
    as not checked."""
    plain_strip = "  →  ".join(f"{label} ✓" if state == "done" else label for state, label in steps)
    flagged = (*notes, f"[{words.SIMULATED}]") if simulated else notes
    tail = inert(text[-STREAM_WINDOW:])
    cut = len(text) - STREAM_WINDOW
    before = f"[… {cut:,} characters before]\n" if cut > 0 else ""
    line = " · ".join((plain_strip, *flagged))
    shown_html = ""
    if text:
        shown_html = (
            f'<div style="margin:0 0 8px;padding-left:10px;border-left:2px dotted '
            f"{BORDER};white-space:pre-wrap;"
            f'overflow-wrap:anywhere;overflow:auto;{FAINT}">{html.text(before + tail)}▍</div>'
        )
    marks = {"done": "{} ✓", "now": "<b>{}</b>", "next": "{}"}
    strip = "&ensp;→&ensp;".join(marks[state].format(html.text(label)) for state, label in steps)
    tag = html.tag() if simulated else ""
    more = "".join(f" · {html.text(note)}" for note in notes)
    style = html.box("quiet")
    return {
        "text/plain": f"{before}{tail}\n\n{line}" if text else line,
        "text/markdown": (markdown.fenced(before + tail) if text else "")
        + markdown.plain_markdown(line),
        "text/html": f'<div style="font-family:inherit">{shown_html}<div style="{style}">'
        f'<span style="{FAINT}">{strip}{more}</span>{tag}</div></div>',
    }
