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


#: Drawn as nothing, or as no more than space: fillers, joiners, variation selectors, tags, an empty
#: Braille cell, spaces of other widths, private characters.  Written out, so that every Python and
#: every browser names the same (``scripts/vocabulary.py``).
UNSEEN = (
    (0x09, 0x0A), (0xA0, 0xA0), (0xAD, 0xAD), (0x034F, 0x034F), (0x0600, 0x0605), (0x06DD, 0x06DD),
    (0x070F, 0x070F), (0x0890, 0x0891), (0x08E2, 0x08E2), (0x115F, 0x1160), (0x1680, 0x1680),
    (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x202F, 0x202F), (0x205F, 0x206F),
    (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xE000, 0xF8FF), (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF), (0x110BD, 0x110BD),
    (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0x10FFFF),
)  # fmt: skip
#: Blocks of letters that are written from right to left.
LEFTWARD = (
    (0x0590, 0x08FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFE), (0x10800, 0x10FFF), (0x1E800, 0x1EFFF),
)  # fmt: skip
_BLANK, _LEFTWARD = (
    re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + "]")
    for ranges in (UNSEEN, LEFTWARD)
)
_SPACES = re.compile(" {8,}")
#: First strong isolate, and its end: what stands between changes the order of nothing around it.
ISOLATE, END = "\u2068", "\u2069"


def seen(text: str) -> str:
    """One line of ``text`` for somebody who must see all of it: what is drawn as nothing has a
    name, and spaces that would push its end out of sight are counted."""
    named = _BLANK.sub(lambda one: f"⟦U+{ord(one[0]):04X}⟧", inert(text))
    return _SPACES.sub(lambda spaces: f"⟦{len(spaces[0]):,} spaces⟧", named)


def isolated(text: str) -> str:
    """Inert foreign text for a line of ours: letters that run from right to left (Hebrew, Arabic)
    keep their order among themselves, and change that of nothing beside them."""
    return f"{ISOLATE}{text}{END}" if _LEFTWARD.search(text) else text


def cut(text: str, most: int) -> str:
    """The first ``most`` characters of ``text``, with the end of each isolate that they begin."""
    kept = text[:most]
    return kept + END * (kept.count(ISOLATE) - kept.count(END))


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
    return block(inert(text))


def block(shown: str) -> str:
    """The same of text that is inert, and may hold isolates of ours."""
    fence = "~" * max(3, max((len(run) + 1 for run in re.findall("~+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}\n"


def plural(count: int, noun: str) -> str:
    """``1 token``, ``2 tokens``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
