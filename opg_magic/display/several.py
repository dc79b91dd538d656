"""Answers that differ, side by side, with what differs marked; and what is said of them in one
line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opg_magic.display import html, markdown, words
from opg_magic.display.style import BORDER, FAINT
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from opg_magic.display.bundle import Bundle
    from opg_magic.models import Answer

#: Words, each with the white space behind it; lines, for answers of very many words.
_WORDS, _LINES = re.compile(r"\s+|\S+\s*"), re.compile(r"[^\n]*\n|[^\n]+")
#: Steps that a comparison may take at worst: some two seconds.  Words that repeat could make it
#: take hours.
_MOST_WORK = 20_000_000

#: A stretch of text, and whether another answer has it otherwise.
Part = tuple[str, bool]


def comparison_bundle(answers: Sequence[Answer]) -> Bundle:
    """Each different answer once, with the hosts that gave it; what the first does not have, or has
    otherwise, is marked."""
    groups = grouped(answers)
    simulated = any(answer.verdict.simulated for answer in answers)
    first = groups[0][0].text
    others = [groups[-1][0].text, *(first for _ in groups[1:])]
    shown = [
        (_named(group), _parts(group[0].text, other))
        for group, other in zip(groups, others, strict=True)
    ]
    asked = len(answers)
    headline = f"✗ Hosts disagree: {asked} answered, in {len(groups)} different ways"
    tag = f" · [{words.SIMULATED}]" if simulated else ""
    return {
        "text/plain": "\n".join([f"{headline}{tag}", *_plain(shown)]),
        "text/markdown": f"**{markdown.plain_markdown(headline)}**{tag}\n\n"
        + "\n".join(
            f"{markdown.plain_markdown(name)}\n\n{markdown.fenced(_text(parts))}"
            for name, parts in shown
        ),
        "text/html": _html(headline, shown, simulated=simulated),
    }


def grouped(answers: Sequence[Answer]) -> list[list[Answer]]:
    """Answers by their exact text, those of most hosts first."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.text, []).append(answer)
    return sorted(groups.values(), key=len, reverse=True)


def _named(group: list[Answer]) -> str:
    names = []
    for answer in group:
        host = answer.receipt.document["host"]
        who = words.short_hash(host["tee_id"]) if host else "unknown"
        names.append(f"host {who} (%opg show {answer.receipt.id})")
    return ", ".join(names)


def _parts(text: str, other: str) -> list[Part]:
    """The text in stretches, those marked that ``other`` has not in this place."""
    mine_text, theirs_text = inert(text), inert(other)
    mine, theirs = (_WORDS.findall(one) for one in (mine_text, theirs_text))
    if _work(mine, theirs) > _MOST_WORK:
        mine, theirs = (_LINES.findall(one) for one in (mine_text, theirs_text))
        if not 0 < _work(mine, theirs) <= _MOST_WORK:
            return [(mine_text, False)]
    found = []
    for kind, start, end, _, _ in difflib.SequenceMatcher(
        None, mine, theirs, autojunk=False
    ).get_opcodes():
        stretch = "".join(mine[start:end])
        if stretch:
            found.append((stretch, kind != "equal" and bool(stretch.strip())))
    return found


def _work(mine: list[str], theirs: list[str]) -> int:
    """What the matcher may have to do: every pair of equal parts, again for each stretch it
    finds."""
    others = Counter(theirs)
    pairs = sum(number * others[part] for part, number in Counter(mine).items())
    return pairs * min(len(mine), len(theirs))


def _text(parts: list[Part]) -> str:
    return "".join(f"«{stretch}»" if marked else stretch for stretch, marked in parts)


def _plain(shown: list[tuple[str, list[Part]]]) -> list[str]:
    lines = ["  What differs stands between « and »."]
    for name, parts in shown:
        lines += ["", f"  {name}", *(f"    {line}" for line in _text(parts).split("\n"))]
    return lines


def _html(headline: str, shown: list[tuple[str, list[Part]]], *, simulated: bool) -> str:
    width = f"width:{100 // len(shown)}%"
    cell = f"border:1px solid {BORDER};padding:6px 10px;vertical-align:top;text-align:left;{width}"
    heads = "".join(
        f'<th style="{cell}"><span style="font-size:12px;{FAINT}">{html.text(name)}</span></th>'
        for name, _ in shown
    )
    bodies = "".join(
        f'<td style="{cell};white-space:pre-wrap;overflow-wrap:anywhere">'
        + "".join(f"<mark>{html.text(s)}</mark>" if marked else html.text(s) for s, marked in parts)
        + "</td>"
        for _, parts in shown
    )
    table = (
        '<table style="border-collapse:collapse;width:100%;table-layout:fixed;margin:0 0 8px">'
        f"<thead><tr>{heads}</tr></thead><tbody><tr>{bodies}</tr></tbody></table>"
    )
    line = f"<b>{html.text(headline)}</b>{html.tag() if simulated else ''}"
    return (
        f'<div style="font-family:inherit"><div style="overflow:auto;max-width:100%">{table}</div>'
        f'<div style="{html.box("warn")}">{line}</div></div>'
    )
