"""What a notebook shows of an answer as text: how foreign text is made harmless, and where the
answer ends.

Shared by who writes it (``display``) and who reads it again (``receipts.showing``).  Pure and
light.

``text/plain`` of a settled call is ``inert(text)``, an empty line, a line that begins with
:data:`RULE`, and the card. An answer that was not shown (``--quiet``, or withheld) has the rule's
line first."""

from __future__ import annotations

import re

#: Begins the line that separates the answer from its card in ``text/plain``.
RULE = "──── opg receipt "

# C0 without newline and tab, DEL, C1; then what reorders or breaks lines unseen: bidirectional
# embeddings, overrides, isolates and marks, line and paragraph separator, byte order mark; lone
# surrogates, which no file can hold.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def inert(text: str) -> str:
    """``text`` with control characters made visible: a terminal or a browser obeys none of what is
    left.

    Newline and tab stay.  C0 controls become their Unicode pictures (ESC is ``␛``), the rest
    ``⟦U+202E⟧``.  Text without such characters comes back unchanged."""
    return _ACTIVE.sub(_visible, text)


# Printable, and drawn as nothing: fillers, joiners, variation selectors, an empty Braille cell.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SPACES = re.compile(" {8,}")


def seen(text: str) -> str:
    """One line of ``text`` for somebody who must see all of it: what is drawn as nothing has a
    name, and spaces that would push its end out of sight are counted."""
    named = "".join(
        one if one.isprintable() and not _BLANK.match(one) else f"⟦U+{ord(one):04X}⟧"
        for one in inert(text)
    )
    return _SPACES.sub(lambda spaces: f"⟦{len(spaces[0]):,} spaces⟧", named)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟦U+{code:04X}⟧"


def answer_part(plain: str) -> str | None:
    """The part of a settled ``text/plain`` that stands for the answer, as shown; None if no answer
    is shown.

    The last rule counts: what stands before it is the answer, whatever it imitates.
    """
    if plain.startswith(RULE) and f"\n\n{RULE}" not in plain:
        return None
    shown, found, _ = plain.rpartition(f"\n\n{RULE}")
    return shown if found else None


def shows(plain: str, signed_text: str) -> bool:
    """Whether a settled ``text/plain`` shows exactly ``signed_text`` as its answer."""
    return answer_part(plain) == inert(signed_text)


def fenced(text: str) -> str:
    """Text as a Markdown code block that it cannot close: the fence is longer than any run of it in
    the text.

    Front ends that prefer ``text/markdown`` render HTML and TeX in it, so that only a code block is
    inert and faithful."""
    shown = inert(text)
    fence = "~" * max(3, max((len(run) + 1 for run in re.findall("~+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}\n"
