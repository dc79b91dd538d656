"""The card as HTML: inline styles, ``<details>``, no script, no class, nothing loaded from anywhere."""

from __future__ import annotations

import re
from html import escape

from opg_magic.display.card import Card, Note, Row
from opg_magic.display.style import BORDER, FAINT, INSET, MONO, PANEL, TEXT, TONES
from opg_magic.shown import inert

_CELL = (
    "border:0;background:transparent;vertical-align:top;text-align:left;white-space:normal;max-width:none;line-height:1.45"
)


def card(it: Card) -> str:
    """The whole card."""
    edge = "dashed" if it.simulated else "solid"
    tone = TONES[it.tone]
    facts = "".join(f" · {text(fact)}" for fact in it.summary)
    summary = f'<b style="color:{tone}">{text(it.headline)}</b><span style="{FAINT}">{facts}</span>'
    body = _table(it.rows) + "".join(map(_note, it.notes))
    box = (
        f"border:0;border-left:3px {edge} {tone};background:{PANEL};color:{TEXT};padding:7px 12px;margin:0;"
        "font-size:13px;line-height:1.5;overflow-wrap:anywhere"
    )
    if not body:
        return f'<div style="{box}">{summary}</div>'
    state = " open" if it.expanded else ""
    return (
        f'<details{state} style="{box}"><summary style="cursor:pointer">{summary}</summary>'
        f'<div style="padding:8px 0 2px">{body}</div></details>'
    )


def text(words: str) -> str:
    """Words for HTML: escaped, inert, and free of TeX delimiters."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", escape(inert(words)))


def _table(rows: tuple[Row, ...]) -> str:
    if not rows:
        return ""
    return (
        '<table style="border-collapse:collapse;border:0;width:100%;margin:0 0 10px;table-layout:auto;font-size:13px">'
        f"<tbody>{''.join(map(_row, rows))}</tbody></table>"
    )


def _row(row: Row) -> str:
    strong = row.tone == "bad"
    passed = row.tone == "ok"
    name = f"{text(row.mark)}&nbsp;{text(row.name)}"
    sentence = f"<b>{text(row.sentence)}</b>" if strong else text(row.sentence)
    reason = f" {text(row.reason)}" if row.reason else ""
    colour = "" if passed or strong else f";{FAINT}"
    return (
        '<tr style="background:transparent;border:0">'
        f'<td style="{_CELL};padding:2px 16px 2px 0;white-space:nowrap;color:{TONES[row.tone]}">'
        f"{f'<b>{name}</b>' if strong else name}</td>"
        f'<td style="{_CELL};padding:2px 0;width:100%{colour}">{sentence}{reason}</td>'
        f'<td style="{_CELL};padding:2px 0 2px 16px;white-space:nowrap;text-align:right;{FAINT}">'
        f"{text(row.basis)}</td></tr>"
    )


def _note(note: Note) -> str:
    style = f"{MONO};background:{INSET};color:inherit;padding:1px 5px;border:1px solid {BORDER}"
    code = f' <code style="{style}">{text(note.code)}</code>' if note.code else ""
    return f'<div style="margin:4px 0 0;{FAINT}">{text(note.text)}{code}{text(note.after)}</div>'
