"""What ``opg doctor`` found, as text and as HTML."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from opg_magic.display import html
from opg_magic.display.style import FAINT, MONO, PLAIN_TONES, TONES
from opg_magic.models.diagnosis import State
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from opg_magic.display.card import Tone
    from opg_magic.models.diagnosis import Diagnosis, Finding

_MARKS: dict[State, tuple[str, Tone]] = {
    State.GOOD: ("✓", "ok"),
    State.MEND: ("!", "warn"),
    State.BLOCKS: ("✗", "bad"),
    State.UNKNOWN: ("?", "quiet"),
    State.IDLE: ("–", "quiet"),
}
#: Commands of ``opg`` that a notebook has too.
_IN_A_NOTEBOOK = re.compile(r"opg (login|hosts|reconcile|simnet)\b")
_WIDTH = 100
_FLAG = "--network opengradient"
_REAL = "%opg use opengradient, then %opg doctor"


def headline(it: Diagnosis) -> str:
    """Whether a call can be made, in a sentence."""
    bad = sum(finding.state is State.BLOCKS for finding in it.findings)
    if bad:
        them = "this" if bad == 1 else f"these {bad}"
        return f"No call can be made on {_name(it)} ({it.route} route). Fix {them} first."
    unknown = sum(finding.state is State.UNKNOWN for finding in it.findings)
    if unknown:
        return (
            f"Nothing found that stops a call on {_name(it)} ({it.route} route); "
            f"{unknown} of {len(it.findings)} checks could not tell."
        )
    return f"A call can be made on {_name(it)} ({it.route} route)."


def _name(it: Diagnosis) -> str:
    return "the simulated network" if it.simulated else it.network


def text(it: Diagnosis, *, in_notebook: bool = False) -> str:
    """A line for each finding, and below it the command that mends it."""
    width = max(len(finding.check) for finding in it.findings)
    lines = [headline(it), ""]
    for finding in it.findings:
        first = f"{_MARKS[finding.state][0]} {finding.check:<{width}}  "
        lines += textwrap.wrap(
            " ".join(inert(_said(finding)).split()),
            _WIDTH,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        )
        if finding.mend:
            # Never wrapped: it is to be copied.
            lines.append(" " * len(first) + "→ " + inert(_command(finding.mend, in_notebook)))
    if it.simulated:
        lines += ["", f"The real network: {_REAL if in_notebook else 'opg doctor ' + _FLAG}"]
    return "\n".join(lines)


def bundle(it: Diagnosis) -> dict[str, Any]:
    """The same for a notebook."""
    return {"text/plain": text(it, in_notebook=True), "text/html": _html(it)}


def _said(finding: Finding) -> str:
    """The sentence; a state that the mark alone might not tell is said in words."""
    told = finding.state in (State.UNKNOWN, State.BLOCKS)
    return f"{finding.state.value}: {finding.says}" if told else finding.says


def _command(mend: str, in_notebook: bool) -> str:
    if not in_notebook or mend.startswith("%"):
        return mend
    if _IN_A_NOTEBOOK.match(mend):
        return "%" + mend.partition(" --network ")[0]
    return f"%{mend}" if mend.startswith("pip ") else f"in a shell: {mend}"


def _html(it: Diagnosis) -> str:
    cell = (
        "border:0;background:transparent;vertical-align:top;text-align:left;padding:1px 8px 1px 0"
    )
    rows = []
    for finding in it.findings:
        mark, tone = _MARKS[finding.state]
        ink = f"color:{PLAIN_TONES[tone]};color:{TONES[tone]}"
        mend = (
            f'<br><span style="{MONO}">{html.text(_command(finding.mend, True))}</span>'
            if finding.mend
            else ""
        )
        rows.append(
            '<tr style="background:transparent;border:0">'
            f'<td style="{cell}"><b style="{ink}">{mark}</b></td>'
            f'<td style="{cell};white-space:nowrap">{html.text(finding.check)}</td>'
            f'<td style="{cell};white-space:normal">{html.text(_said(finding))}{mend}</td></tr>'
        )
    tag = html.tag() if it.simulated else ""
    more = f'<div style="{FAINT}">The real network: {_REAL}</div>' if it.simulated else ""
    style = html.box("quiet" if it.ready else "bad")
    return (
        f'<div style="{style}"><b>{html.text(headline(it))}</b>{tag}'
        f'<table style="border:0;margin:4px 0 0;font-size:13px">{"".join(rows)}</table>{more}</div>'
    )
