"""An answer's text, as a reader of data takes it: the JSON in it, the code in it.  Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from opg_magic.errors import MalformedMessage, ShapeMismatch
from opg_magic.models import strict_json

#: No part can take what the one before it left: an answer's line costs its length once.
_FENCE = re.compile(r"[ ]{0,3}(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`]*")


#: Why an answer is not the JSON that was asked for.
EMPTY = "The answer is empty; JSON was asked for."
CUT = "The answer ends in the middle of its JSON; a higher max_tokens may help."
NO_JSON = "The answer is not JSON."


class Block(NamedTuple):
    """A fenced block of code, and what language its fence names."""

    language: str
    code: str


class Json(NamedTuple):
    """A JSON text, and its value."""

    text: str
    value: Any


def json_in(text: str) -> Json:
    """Return the JSON that an answer is, or that its one code block is.

    Raises :class:`ShapeMismatch` where there is none, more than one, or one that two readers would
    read differently (a name twice, NaN)."""
    plain = text.removeprefix("\ufeff").strip()
    if not plain:
        raise ShapeMismatch(EMPTY)
    try:
        return Json(plain, strict_json.loads(plain))
    except MalformedMessage as problem:
        first = problem
    found: list[Json] = []
    for block in blocks(plain):
        if block.language.lower() not in ("", "json"):
            continue
        try:
            found.append(Json(block.code, strict_json.loads(block.code)))
        except MalformedMessage as problem:
            first = problem
    if len(found) > 1:
        raise ShapeMismatch(f"The answer has {len(found)} blocks of JSON; one was asked for.")
    if not found:
        raise ShapeMismatch(_why(first, plain))
    return found[0]


def _why(problem: MalformedMessage, text: str) -> str:
    if problem.code == strict_json.AMBIGUOUS:
        return f"The answer is {problem.message}."
    # Cut by max_tokens: what is there begins as JSON does.
    if text[0] in "[{" and text[-1] not in "]}":
        return CUT
    return NO_JSON


def blocks(text: str) -> list[Block]:
    """The fenced code blocks of a Markdown text, in order; one that is not closed ends with it."""
    found: list[Block] = []
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line.rstrip("\r"))
        if not fence and match is not None:
            fence, language, lines = match[1], match[2], []
        elif fence and _closes(line, fence):
            found.append(Block(language, "\n".join(lines)))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        found.append(Block(language, "\n".join(lines)))
    return found


def _closes(line: str, fence: str) -> bool:
    plain = line.strip()
    return (
        len(plain) >= len(fence)
        and set(plain) == {fence[0]}
        and len(line) - len(line.lstrip(" ")) <= 3
    )


def code_in(text: str) -> str:
    """Return the code of an answer: its code blocks one after the other, or all of it if it has
    none."""
    found = code_blocks(text)
    return "\n\n".join(found) if found else text


def code_blocks(text: str) -> list[str]:
    """Return the code of an answer's fenced blocks, in order."""
    return [block.code for block in blocks(text)]
