"""How the text of a cell is read: newlines, the magics at its head, the words of a line, the fields
of a template.

The one reading of the magic, of completion and of ``opg verify``; its twin in the browser is
``labextension/src/cells/grammar.ts``.  One file of cases holds both: ``tests/grammar/cases.json``.
Characters are listed, never left to a language's own idea of white space or of a word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Magics that run the cell below their line as it stands: a call under one of them is still that
#: call.
WRAPPERS = ("time", "timeit", "capture")

#: All white space (``str.isspace``); inside a class of a regular expression.
SPACE = (
    "\\t\\n\\x0b\\x0c\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a"
    "\\u2028\\u2029\\u202f\\u205f\\u3000"
)
_BLANK = re.compile(f"[{SPACE}]*")
#: Where Python's ``splitlines``, and so IPython, ends a line, and no editor does.
_ODD_ENDS = re.compile("[\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029]")
_BLANK_LINES = re.compile(r"(?:[ \t]*\n)*[ \t]*")
#: With options alone, and the name that ``%%capture`` fills: other words would be read and compared
#: with nothing.
_OPTIONS = "(?: +(?:-[-A-Za-z0-9]+|[0-9]+))*"
_WRAPPER = re.compile(
    f"%%(?:(?P<name>time|timeit){_OPTIONS}|(?P<capture>capture){_OPTIONS}(?: "
    f"+[A-Za-z_][A-Za-z0-9_]*{_OPTIONS})?)"
)
_OPG = re.compile(r"%%opg(?: (.*))?")
#: More magics above one cell than anyone stacks.
_MOST_WRAPPERS = 8


def newlines(text: str) -> str:
    """``text`` with every line ended by a line feed alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def normal(text: str) -> str:
    """What is compared of a prompt: its line ends alike, without the spaces and empty lines at
    either end."""
    return newlines(text).strip(" \t\n")


def is_blank(text: str) -> bool:
    """Whether it is nothing but white space."""
    return _BLANK.fullmatch(text) is not None


# ----------------------------------------------------------------------------------------- the head


@dataclass(frozen=True, slots=True)
class Head:
    """A cell whose first line is ``%%opg``, perhaps under :data:`WRAPPERS`: the line's rest, and
    the text below it."""

    wrappers: tuple[str, ...]
    line: str
    body: str


def head(source: str) -> Head | None:
    """The head of a ``%%opg`` cell; None if the cell is none to the letter.

    Empty lines and spaces before a magic, and any line end, are as good as none: IPython overlooks
    them.  All else that it would put up with (a prompt pasted along, another kind of space or of
    line end) is refused here, so that what a reader sees and what was run cannot be two things."""
    text = newlines(source)
    wrappers: list[str] = []
    while len(wrappers) <= _MOST_WRAPPERS:
        start = _BLANK_LINES.match(text)
        line, ended, text = text[start.end() if start else 0 :].partition("\n")
        if _ODD_ENDS.search(line):
            return None
        line = line.rstrip(" \t")
        opg = _OPG.fullmatch(line)
        if opg is not None:
            return Head(tuple(wrappers), (opg[1] or "").strip(" \t"), text)
        wrapper = _WRAPPER.fullmatch(line)
        if wrapper is None or not ended:
            return None
        wrappers.append(wrapper["name"] or wrapper["capture"])
    return None


#: What nobody sees: controls, marks that combine, formats, fillers.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x9f\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
#: ``%%opg``, or three letters that may look so, perhaps after a prompt of IPython's or Python's.
_LIKE_OPG = re.compile(
    r"(?:In ?\[[0-9 ]*\]: ?|>>> ?|\.\.\.:? ?)?[%\uff05\ufe6a\u066a]{2}"
    r"(?:[oO0]|[^\x00-\x7f])(?:[pP]|[^\x00-\x7f])(?:[gG]|[^\x00-\x7f])(?![0-9A-Za-z_]|[^\x00-\x7f])"
)
_SPACES = re.compile(f"[{SPACE}]")


def reads_like_a_call(source: str) -> bool:
    """Whether a reader may take a cell for a ``%%opg`` call: below comments, other magics and what
    nobody sees."""
    for line in _ODD_ENDS.sub("\n", newlines(source)).split("\n"):
        seen = _UNSEEN.sub("", _SPACES.sub(" ", line)).strip(" ")
        if _LIKE_OPG.match(seen):
            return True
        if seen and seen[0] not in "#%":
            return False
    return False


# ----------------------------------------------------------------------------------------- the line


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line: where it stands, and what it says without its quotes."""

    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a line.  ``comment``: where one begins.  ``is_open``: the last word lacks its
    closing quote, or what its backslash is for."""

    words: tuple[Word, ...]
    comment: int | None
    is_open: bool

    @property
    def values(self) -> list[str]:
        return [word.value for word in self.words]


def words(line: str) -> Words:
    """The words of a line, as a shell splits them; a ``#`` that begins a word outside quotes begins
    a comment."""
    found: list[Word] = []
    place = 0
    while place < len(line):
        if line[place] in " \t\r\n":
            place += 1
        elif line[place] == "#":
            return Words(tuple(found), place, is_open=False)
        else:
            word, is_open = _word(line, place)
            found.append(word)
            if is_open:
                return Words(tuple(found), None, is_open=True)
            place = word.end
    return Words(tuple(found), None, is_open=False)


def _word(line: str, start: int) -> tuple[Word, bool]:
    value: list[str] = []
    quote, place = "", start
    while place < len(line):
        char = line[place]
        if char == "\\" and quote != "'":
            if place + 1 == len(line):
                return Word(start, len(line), "".join(value)), True
            place += 1
            following = line[place]
            value.append(following if not quote or following in '"\\' else char + following)
        elif quote:
            if char == quote:
                quote = ""
            else:
                value.append(char)
        elif char in " \t\r\n":
            break
        elif char in "'\"":
            quote = char
        else:
            value.append(char)
        place += 1
    return Word(start, place, "".join(value)), bool(quote)


# ------------------------------------------------------------------------------------- the template


def cut(template: str) -> tuple[list[str], list[str]]:
    """A template as its fixed parts and what stands between double braces, between two parts
    each."""
    fixed, names = [], []
    place = 0
    while (opens := template.find("{{", place)) >= 0 and (
        closes := template.find("}}", opens + 2)
    ) >= 0:
        fixed.append(template[place:opens])
        names.append(template[opens + 2 : closes])
        place = closes + 2
    return [*fixed, template[place:]], names


def fills(template: str, text: str) -> bool:
    """Whether ``text`` can be ``template`` with each ``{{name}}`` filled in: its fixed parts, in
    order."""
    return follows(cut(normal(template))[0], text)


def follows(parts: Sequence[str], text: str) -> bool:
    """Whether ``text`` is these parts in their order, with anything between two of them: the first
    begins it, the last ends it."""
    first, *rest = parts
    if not rest:
        return first == normal(text)
    *middle, last = rest
    # A value at either end may bring white space of its own, or be nothing else.
    first, last = first.lstrip(" \t\n"), last.rstrip(" \t\n")
    text = newlines(text)
    text = text.lstrip(" \t\n") if first else text
    text = text.rstrip(" \t\n") if last else text
    if not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end


__all__ = ["SPACE", "WRAPPERS", "Head", "Word", "Words", "cut", "fills", "follows", "head",
           "is_blank", "newlines", "normal", "reads_like_a_call", "words"]  # fmt: skip
