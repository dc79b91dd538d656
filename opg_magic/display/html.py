"""The card as HTML: inline styles, ``<details>``, no script, no class, nothing loaded from
anywhere."""

from __future__ import annotations

import re
from html import escape

from opg_magic.display.card import Card, Note, Row, Tone
from opg_magic.display.style import BORDER, FAINT, MONO, PLAIN_TONES, TEXT, TINTS, TONES
from opg_magic.models.plain_text import inert

_CELL = "border:0;background:transparent;vertical-align:top;text-align:left;white-space:normal;line-height:1.45"


def box(tone: Tone, *, simulated: bool) -> str:
    """The style of a card's frame: the edge says the tone, dashed where it is simulated."""
    edge = "dashed" if simulated else "solid"
    return (
        f"border:0;border-left:4px {edge} {PLAIN_TONES[tone]};border-left-color:{TONES[tone]};"
        f"background:{TINTS[tone]};color:{TEXT};"
        "padding:7px 14px;margin:0;font-size:13px;line-height:1.5;overflow-wrap:anywhere"
    )


def card(it: Card) -> str:
    """The whole card."""
    style = box(it.tone, simulated=it.simulated)
    facts = "".join(f" · {_unbroken(fact)}" for fact in it.summary)
    summary = f'<b>{text(it.headline)}</b><span style="{FAINT}">{facts}</span>'
    body = _table(it.rows) + "".join(map(_note, it.notes))
    if not body:
        return f'<div style="{style}">{summary}</div>'
    state = " open" if it.expanded else ""
    return (
        f'<details{state} style="{style}"><summary style="cursor:pointer">{summary}</summary>'
        f'<div style="padding:8px 0 2px">{body}</div></details>'
    )


def _unbroken(fact: str) -> str:
    """A short fact (a sum, a time) stays on one line."""
    shown = text(fact)
    return shown if len(fact) > 28 else shown.replace(" ", "&nbsp;")


def text(words: str) -> str:
    """Words for HTML: escaped, inert, and free of TeX delimiters."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(inert(words)))


def _table(rows: tuple[Row, ...]) -> str:
    if not rows:
        return ""
    return (
        '<table style="border-collapse:collapse;border:0;width:100%;margin:0 0 '
        '10px;table-layout:auto;font-size:13px">'
        f"<tbody>{''.join(map(_row, rows))}</tbody></table>"
    )


def _row(row: Row) -> str:
    strong = row.tone == "bad"
    colour = f"color:{PLAIN_TONES[row.tone]};color:{TONES[row.tone]}"
    mark = f'<span style="{colour}">{text(row.mark)}</span>&nbsp;{text(row.name)}'
    sentence = f"<b>{text(row.sentence)}</b>" if strong else text(row.sentence)
    reason = f" {text(row.reason)}" if row.reason else ""
    return (
        '<tr style="background:transparent;border:0">'
        f'<td style="{_CELL};padding:2px 16px 2px '
        f'0;white-space:nowrap">{f"<b>{mark}</b>" if strong else mark}</td>'
        f'<td style="{_CELL};padding:2px 0;width:100%">{sentence}{reason}</td>'
        f'<td style="{_CELL};padding:2px 0 2px 16px;white-space:nowrap;text-align:right">'
        f'<span style="{FAINT}">{text(row.basis)}</span></td></tr>'
    )


def _note(note: Note) -> str:
    style = f"{MONO};background:transparent;color:inherit;padding:1px 5px;border:1px solid {BORDER}"
    code = f' <code style="{style}">{text(note.code)}</code>' if note.code else ""
    return f'<div style="margin:4px 0 0">{text(note.text)}{code}{text(note.after)}</div>'
