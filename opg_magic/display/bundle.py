"""One MIME bundle for each state of a call: text, Markdown, HTML, and the receipt where there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opg_magic.display import card as cards
from opg_magic.display import html, markdown, plain
from opg_magic.display.card import Card
from opg_magic.display.style import BORDER, FAINT, TONES
from opg_magic.shown import inert

if TYPE_CHECKING:
    from opg_magic.models import Answer
    from opg_magic.receipts.receipt import Receipt

Bundle = dict[str, Any]

#: While it streams, at most this many last characters are shown: a long answer is not sent again ten times a second.
STREAM_WINDOW = 8_000

_BANNER = "✗ Shown because you asked: the text below did not pass"


def answer_bundle(answer: Answer, *, card: Card | None = None, show_text: bool = True) -> Bundle:
    """An answer with its card.  A withheld answer (asked for explicitly) stands under a line that says so."""
    it = card or cards.of_answer(answer)
    return settled_bundle(
        it,
        text=_content(answer) if show_text else None,
        receipt=answer.receipt,
        banner=_BANNER if answer.verdict.withheld and show_text else None,
    )


def _content(answer: Answer) -> str:
    """What is shown of an answer: its text, or the exact signed string of its tool calls."""
    if answer.tool_calls and not answer.text:
        signed = answer.receipt.document["response"]["tool_calls"]
        return str(signed) if signed else json.dumps(list(answer.tool_calls), sort_keys=True)
    return answer.text


def settled_bundle(
    it: Card, *, text: str | None = None, receipt: Receipt | None = None, banner: str | None = None
) -> Bundle:
    """The last state of a display: answer (or none), card, receipt.  Nothing the answer holds can reach the card."""
    bundle: Bundle = {
        "text/plain": _plain(it, text, banner),
        "text/markdown": _markdown(it, text, banner),
        "text/html": _html(it, text, banner),
    }
    if receipt is not None:
        from opg_magic.receipts.receipt import MIME_TYPE

        bundle[MIME_TYPE] = receipt.document
    return bundle


def _plain(it: Card, text: str | None, banner: str | None) -> str:
    parts = [] if text is None else [inert(text), ""]
    if banner:
        parts = [banner, "", *parts]
    if it.receipt_id or text is not None:
        parts.append(plain.rule(it, text))
    return "\n".join([*parts, plain.card(it)])


def _markdown(it: Card, text: str | None, banner: str | None) -> str:
    parts = [] if text is None else [markdown.fenced(text)]
    if banner:
        parts.insert(0, f"**{markdown.plain_markdown(banner)}**\n")
    facts = "".join(f" · {markdown.plain_markdown(fact)}" for fact in it.summary)
    lines = [f"**{markdown.plain_markdown(it.headline)}**{facts}\n"]
    lines += [
        f"- {row.mark} {row.name}: {markdown.plain_markdown(' '.join(p for p in (row.sentence, row.reason) if p))}"
        + (f" ({row.basis})" if row.basis else "")
        for row in it.rows
    ]
    if it.rows:
        lines.append("")
    for note in it.notes:
        code = f" {_code_span(note.code)}" if note.code else ""
        lines.append(f"{markdown.plain_markdown(note.text)}{code}{markdown.plain_markdown(note.after)}\n")
    return "\n".join([*parts, *lines])


def _code_span(code: str) -> str:
    return f"`{' '.join(inert(code).split()).replace('`', 'ˋ')}`"


def _html(it: Card, text: str | None, banner: str | None) -> str:
    parts = []
    if banner:
        parts.append(
            f'<div style="{html.box("bad", simulated=it.simulated)};margin:0 0 8px"><b>{html.text(banner)}</b></div>'
        )
    if text is not None:
        edge = f"border-left:2px dotted {TONES['bad']};padding-left:10px;" if banner else ""
        # overflow: whatever the text contains is painted inside its own box, never over the card.
        parts.append(f'<div style="{edge}margin:0 0 8px;overflow:auto;max-width:100%">{markdown.to_html(text)}</div>')
    parts.append(html.card(it))
    return f'<div style="font-family:inherit">{"".join(parts)}</div>'


# ------------------------------------------------------------------------------------------------------ while it runs


def running_bundle(steps: tuple[tuple[str, str], ...], *, text: str, notes: tuple[str, ...], simulated: bool) -> Bundle:
    """A call under way.  ``steps``: (``done`` | ``now`` | ``next``, words); ``text`` so far, marked as not checked."""
    words = "  →  ".join(f"{label} ✓" if state == "done" else label for state, label in steps)
    flagged = ("SIMULATED", *notes) if simulated else notes
    tail = inert(text[-STREAM_WINDOW:])
    cut = len(text) - STREAM_WINDOW
    before = f"[… {cut:,} characters before]\n" if cut > 0 else ""
    line = " · ".join((words, *flagged))
    shown_html = ""
    if text:
        shown_html = (
            f'<div style="margin:0 0 8px;padding-left:10px;border-left:2px dotted {BORDER};white-space:pre-wrap;'
            f'overflow-wrap:anywhere;overflow:auto;{FAINT}">{html.text(before + tail)}▍</div>'
        )
    marks = {"done": "{} ✓", "now": "<b>{}</b>", "next": "{}"}
    strip = "&ensp;→&ensp;".join(marks[state].format(html.text(label)) for state, label in steps)
    tag = "<b>SIMULATED</b> · " if simulated else ""
    more = "".join(f" · {html.text(note)}" for note in notes)
    style = html.box("quiet", simulated=simulated)
    return {
        "text/plain": f"{before}{tail}\n\n{line}" if text else line,
        "text/markdown": (markdown.fenced(before + tail) if text else "") + markdown.plain_markdown(line),
        "text/html": f'<div style="font-family:inherit">{shown_html}<div style="{style}">'
        f'<span style="{FAINT}">{tag}{strip}{more}</span></div></div>',
    }
