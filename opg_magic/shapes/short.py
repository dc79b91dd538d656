"""The short form of a schema: ``name, year int, tags list[str]``.

A field is a name, a type (left out: ``str``), a ``?`` if it may be missing, and after a colon what
it means.  Types: ``str``, ``int``, ``float``, ``bool``, ``date``, ``datetime``, ``list[T]``, or the
words to choose from: ``good|bad|mixed``.  In brackets, the fields are those of a row, and the
answer is a list of rows.  Fields stand between commas, or one on each line.

A reader of a notebook makes the same request of the same words
(labextension/src/cells/shapes.ts), so what is made here rests on no library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from opg_magic.errors import ArgumentError

#: Each type by its word, as JSON Schema.
TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}
MOST_FIELDS, MOST_LISTS = 100, 8
#: The same white space in every language.
_SPACE = " \t\r\n"
_NAME = re.compile(r"[^\x00-\x20\x7f,:|?\[\]{}()\"'`\\]{1,64}")
_LIST = re.compile(r"list[ \t]*(?:\[([^\n]*)\])?")


@dataclass(frozen=True, slots=True)
class Field:
    """One field.  ``kind`` is a word of :data:`TYPES`, or the words to choose from; ``lists`` how
    many lists are around it."""

    name: str
    kind: str | tuple[str, ...]
    lists: int = 0
    optional: bool = False
    about: str | None = None

    def schema(self) -> dict[str, Any]:
        """The field as JSON Schema."""
        made: dict[str, Any] = (
            dict(TYPES[self.kind])
            if isinstance(self.kind, str)
            else {"type": "string", "enum": list(self.kind)}
        )
        for _ in range(self.lists):
            made = {"type": "array", "items": made}
        if self.optional:
            made = {"anyOf": [made, {"type": "null"}]}
        return made if self.about is None else {**made, "description": self.about}


@dataclass(frozen=True, slots=True)
class Short:
    """The fields, and whether they are those of a row."""

    fields: tuple[Field, ...]
    rows: bool

    def schema(self) -> dict[str, Any]:
        """One object, or one row, as JSON Schema."""
        return {
            "type": "object",
            "properties": {field.name: field.schema() for field in self.fields},
            "required": [field.name for field in self.fields],
            "additionalProperties": False,
        }


def parse(text: str) -> Short:
    """Read the short form.  Raises :class:`ArgumentError`, naming the field that is at fault."""
    inner = text.strip(_SPACE)
    rows = inner.startswith("[") and inner.endswith("]")
    if rows:
        inner = inner[1:-1].strip(_SPACE)
    parts = [part.strip(_SPACE) for part in _parts(inner)]
    if "\n" in inner:
        parts = [part.removesuffix(",").rstrip(_SPACE) for part in parts if part]
    if not inner or not all(parts):
        _refuse(text, "a field is empty")
    if len(parts) > MOST_FIELDS:
        _refuse(text, f"it has {len(parts)} fields; at most {MOST_FIELDS} are allowed")
    fields = tuple(_field(text, part) for part in parts)
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        _refuse(text, f"the field {twice} appears twice")
    return Short(fields, rows)


def _parts(text: str) -> list[str]:
    """One field on each line; where there is one line, between the commas outside brackets."""
    if "\n" in text:
        return text.split("\n")
    parts, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _field(whole: str, text: str) -> Field:
    head, _, about = text.partition(":")
    head = head.strip(_SPACE)
    match = _NAME.match(head)
    if match is None or head[match.end() : match.end() + 1] not in ("", " ", "\t", "?"):
        _refuse(whole, f"{_cut(text)!r} does not begin with a field's name")
    kind = head[match.end() :].strip(_SPACE)
    optional = kind.endswith("?")
    kind = kind.removesuffix("?").strip(_SPACE)
    lists = 0
    while (listed := _LIST.fullmatch(kind)) is not None:
        lists += 1
        if lists > MOST_LISTS:
            _refuse(whole, f"{match[0]} has lists within more than {MOST_LISTS} others")
        kind = (listed[1] or "str").strip(_SPACE)
    found: str | tuple[str, ...] = kind or "str"
    if "|" in kind:
        found = tuple(word.strip(_SPACE) for word in kind.split("|"))
        if not all(found) or len(set(found)) < len(found):
            _refuse(whole, f"the choices {_cut(kind)!r} have an empty or a repeated word")
        typed = next((word for word in found if word in TYPES), None)
        if typed is not None:
            _refuse(whole, f"{_cut(kind)!r} mixes words with the type {typed}")
    elif found not in TYPES:
        near = get_close_matches(kind, [*TYPES, "list"], n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        _refuse(whole, f"{match[0]} has the unknown type {_cut(kind)!r}{meant}")
    return Field(match[0], found, lists, optional, about.strip(_SPACE) or None)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _refuse(text: str, why: str) -> NoReturn:
    raise ArgumentError(
        f"The schema {_cut(text)!r} cannot be read: {why}{'' if why.endswith('?') else '.'} "
        "Nothing was sent.",
        hint='Short form: "name, year int, tags list[str], label good|bad, note str?"; '
        "in [brackets] for rows.",
    )
