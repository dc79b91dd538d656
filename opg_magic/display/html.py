"""The card as HTML: inline styles, ``<details>``, no script, no class, nothing loaded from
anywhere."""

from __future__ import annotations

import re
from html import escape

from opg_magic.display import words
from opg_magic.display.card import Card, Row, Tone
from opg_magic.display.notes import Note
from opg_magic.display.style import BORDER, FAINT, MONO, PLAIN_TONES, TEXT, TINTS, TONES
from opg_magic.models.plain_text import inert

_PLAIN = "background:transparent;border:0"
_CELL = (
    "border:0;background:transparent;vertical-align:top;text-align:left;"
    "white-space:normal;line-height:1.45"
)


def box(tone: Tone) -> str:
    """The style of a card's frame; what went wrong colours its edge."""
    edge = f"{PLAIN_TONES[tone]};border-color:{TONES[tone]}" if tone == "bad" else BORDER
    return (
        f"border:1px solid {edge};border-radius:4px;background:{TINTS[tone]};color:{TEXT};"
        "padding:6px 12px;margin:0;font-size:13px;line-height:1.5;overflow-wrap:anywhere"
    )


def tag() -> str:
    """What stands apart on a card of a simulated network."""
    colour = f"{PLAIN_TONES['sim']};border-color:{TONES['sim']}"
    style = f"border:1px dashed {colour};border-radius:3px;padding:0 6px;font-size:12px"
    return f' <span style="{style};white-space:nowrap">{words.SIMULATED}</span>'


def card(it: Card) -> str:
    """The whole card."""
    style = box(it.tone)
    facts = "".join(f" · {_unbroken(fact)}" for fact in it.summary)
    state = f'<b style="{_ink(it.tone)}">{text(it.headline)}</b>'
    summary = f'{state}<span style="{FAINT}">{facts}</span>{tag() if it.simulated else ""}'
    body = _table(it.rows) + "".join(map(_note, it.notes))
    if not body:
        return f'<div style="{style}">{summary}</div>'
    opened = " open" if it.expanded else ""
    return (
        f'<details{opened} style="{style}"><summary style="cursor:pointer">{summary}</summary>'
        f'<div style="padding:4px 0 2px">{body}</div></details>'
    )


def _ink(tone: Tone) -> str:
    shown = "ok" if tone == "sim" else tone
    return f"color:{PLAIN_TONES[shown]};color:{TONES[shown]}"


def _unbroken(fact: str) -> str:
    """A short fact (a sum, a time) stays on one line."""
    shown = text(fact)
    return shown if len(fact) > 28 else shown.replace(" ", "&nbsp;")


def text(said: str) -> str:
    """Words for HTML: escaped, inert, and free of TeX delimiters."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(inert(said)))


def _table(rows: tuple[Row, ...]) -> str:
    if not rows:
        return ""
    parts, heading = [], ""
    for row in rows:
        if row.group != heading:
            heading = row.group
            cell = f'<td colspan="2" style="{_CELL};padding:6px 0 0;font-size:12px">'
            parts.append(
                f'<tr style="{_PLAIN}">{cell}<span style="{FAINT}">{text(heading)}</span></td></tr>'
            )
        parts.append(_row(row))
    return (
        '<table style="border-collapse:collapse;border:0;width:100%;margin:0 0 '
        '10px;table-layout:auto;font-size:13px">'
        f"<tbody>{''.join(parts)}</tbody></table>"
    )


def _row(row: Row) -> str:
    strong = row.tone == "bad"
    mark = f'<span style="{_ink(row.tone)}">{text(row.mark)}</span>&nbsp;{text(row.name)}'
    sentence = f"<b>{text(row.sentence)}</b>" if strong else text(row.sentence)
    reason = f" {text(row.reason)}" if row.reason else ""
    return (
        f'<tr style="{_PLAIN}">'
        f'<td style="{_CELL};padding:2px 16px 2px '
        f'0;white-space:nowrap">{f"<b>{mark}</b>" if strong else mark}</td>'
        f'<td style="{_CELL};padding:2px 0;width:100%">{sentence}{reason}</td></tr>'
    )


def _note(note: Note) -> str:
    style = f"{MONO};background:transparent;color:inherit;padding:1px 5px;border:1px solid {BORDER}"
    code = f' <code style="{style}">{text(note.code)}</code>' if note.code else ""
    return f'<div style="margin:4px 0 0">{text(note.text)}{code}{text(note.after)}</div>'
