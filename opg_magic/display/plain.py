"""The card as plain text: a terminal, a diff, a front end that renders nothing."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from opg_magic.display.card import Card
from opg_magic.display.words import MARKS
from opg_magic.models import Status
from opg_magic.models.plain_text import RULE, inert, plural

if TYPE_CHECKING:
    from opg_magic.display.notes import Note
    from opg_magic.models import Cost, Verdict
    from opg_magic.receipt.document import Receipt

__all__ = ["card", "card_lines", "headline", "inert", "rule"]

#: Columns at most, and where nothing is known of the place that shows it.
WIDTH = 118


def rule(it: Card, answer: str | None) -> str:
    """The line between answer and card.  It counts the answer, so that a line which imitates it
    betrays itself."""
    what = (
        "no answer is shown"
        if answer is None
        else f"the {plural(len(inert(answer)), 'character')} above are the answer"
    )
    return f"{RULE}{it.receipt_id or '(none)'} · {what} ────"


def card(it: Card, *, all_rows: bool = False, width: int = WIDTH) -> str:
    """Headline and facts, the claims that did not pass (all of them with ``all_rows``), the
    notes."""
    lines = headline(it, width)
    heading = ""
    for row in it.rows:
        if not all_rows and row.mark == MARKS[Status.PASSED]:
            continue
        if row.group != heading:
            heading = row.group
            lines.append(f"  {heading}")
        words = " ".join(part for part in (row.sentence, row.reason) if part)
        lines += _wrapped(
            f"{row.mark} {row.name}: {words}", first="    ", rest="      ", width=width
        )
    for note in it.notes:
        lines += _note(note, width)
    return "\n".join(lines)


def _note(note: Note, width: int) -> list[str]:
    """A note in lines.  A command that does not fit stands alone, whole: it is to be copied."""
    said = [part for part in (note.text, note.code, note.after) if part]
    whole = _wrapped(" ".join(said), first="  ", rest="    ", width=width)
    if not note.code or len(whole) == 1:
        return whole
    return [
        *_wrapped(note.text, first="  ", rest="    ", width=width),
        f"    {' '.join(inert(note.code).split())}",
        *_wrapped(note.after or "", first="    ", rest="    ", width=width),
    ]


def headline(it: Card, width: int = WIDTH) -> list[str]:
    """What a closed card says, in lines."""
    return _wrapped(" · ".join(it.line), first="", rest="  ", width=width)


def _wrapped(text: str, *, first: str, rest: str, width: int) -> list[str]:
    flat = " ".join(inert(text).split())
    return textwrap.wrap(
        flat,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def card_lines(receipt: Receipt, verdict: Verdict | None, cost: Cost) -> list[str]:
    """The card of a receipt as lines, every claim among them: what the command line prints beside
    an answer."""
    from opg_magic.display.card import HERE, settled

    shown = settled(verdict, receipt, cost, shown_anyway=True, by=HERE)
    return card(shown, all_rows=True).splitlines()
