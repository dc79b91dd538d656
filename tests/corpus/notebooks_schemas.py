"""Cells that ask for data: the line's ``--schema`` and ``--format`` must be what was signed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from corpus.notebooks import NotebookCase
from corpus.notebooks_cells import REQUEST_DIFFERS, under
from support.signed_receipts import PROMPT

from opg_magic import shapes
from opg_magic.errors import ArgumentError
from opg_magic.shapes import sent

NOTE = "2: note from-variables"

#: Short forms of every kind; what is left and right of a type; what none is.
SHORT = (
    "name str",
    "name, year int",
    "[name, year int]",
    " [ name , year   int ] ",
    "tags list[str], m list[list[float]], ls list",
    "label good|bad|very good, ls list[a|b]?",
    "year int?, note?, on date?, at datetime, ok bool, x float",
    "ok bool: is it so?, x: a [b] c",
    "title, type, list, größe, \U0001f600 int",
)
NO_SHORT = ("a,,b", "year itn", "a, a", "l good|good", "l a|int", "(a) int", "tags list[str", "")

OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
WRITTEN: tuple[dict[str, Any], ...] = (
    OBJECT,
    {**OBJECT, "title": "My fact! Ünd"},
    {**OBJECT, "title": "!!"},
    {**OBJECT, "required": []},
    {**OBJECT, "properties": {"a": {"type": "string", "format": "phone"}}},
    {**OBJECT, "properties": {"a": {"type": ["string", "null"], "minLength": 3}}},
    {"type": "object"},
    {"type": "string"},
    {"type": "number", "minimum": 1.0, "maximum": 12345678901234567890},
    {"enum": ["a", 1, None, True]},
    {"anyOf": [OBJECT, {"type": "null"}]},
    {"type": "array", "items": OBJECT},
    {"type": "array"},
    {"type": "array", "items": {"$ref": "#/$defs/w"}, "$defs": {"w": {"type": "string"}}},
    {"oneOf": [{"$ref": "#/definitions/w"}], "definitions": {"w": {"const": {"$ref": "#"}}}},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"],
     "additionalProperties": False},
)  # fmt: skip


#: What no kernel sends, for it is no JSON Schema; a line may say it, and a forger sign it.
ODD: tuple[dict[str, Any], ...] = (
    {"type": "array", "format": ["a"]},
    {"type": "array", "items": {"type": "null", "format": {}}},
    {"oneOf": {}, "definitions": [True]},
    {"type": "object", "properties": [1], "additionalProperties": False},
    {"type": "object", "properties": None, "$defs": None, "anyOf": None},
    {**OBJECT, "required": [{}]},
    {**OBJECT, "required": "a"},
    {**OBJECT, "required": None},
    {**OBJECT, "anyOf": {"a": 1}},
)


def _cell(*words: str) -> str:
    return f"%%opg hi {shlex.join(words)}\n{PROMPT}"


def schemas() -> Iterator[NotebookCase]:
    """What the line makes is what was signed: written out, it is compared to the last key."""
    for words in (*SHORT, *(json.dumps(schema) for schema in WRITTEN)):
        for more in ((), ("-f", "df"), ("--format=json",)):
            form = dict(more and [("format", more[-1].removeprefix("--format="))])
            try:
                asked = shapes.resolve(words, **form).response_format
            except ArgumentError:
                continue
            source, title = _cell("--schema", words, *more), f"{words} {' '.join(more)}"
            signed = {"response_format": asked}
            yield under(f"a schema {title}", source, cell=source, asked=signed)
    yield from _others()
    yield from _from_elsewhere()


def _others() -> Iterator[NotebookCase]:
    asked = {"response_format": shapes.resolve("name, year int").response_format}
    rows = {"response_format": shapes.resolve("[name, year int]").response_format}
    plain = {"response_format": {"type": "json_object"}}
    none: dict[str, Any] = {}
    for title, words, signed in (
        ("another field", ("--schema", "name, year float"), asked),
        ("the fields in another order", ("--schema", "year int, name"), asked),
        ("rows, where one object was signed", ("--schema", "[name, year int]"), asked),
        ("a table, where one object was signed", ("--schema", "name, year int", "-f", "df"), asked),
        ("an object, where rows were signed", ("--schema", "name, year int"), rows),
        ("a schema that was not signed", ("--schema", "name, year int"), none),
        ("a type that was not signed", ("--schema", "Film"), none),
        ("a type, where no schema was signed", ("--schema", "Film"), plain),
        ("a file that was not signed", ("--schema", "film.json"), none),
        ("any JSON, where a schema was signed", ("-f", "json"), asked),
        ("any JSON that was not signed", ("-f", "json"), none),
        ("a schema, where any JSON was signed", ("--schema", "name, year int"), plain),
        ("a schema, where the line has none", ("-f", "text"), asked),
        *((f"what is no schema: {words!r}", ("--schema", words), asked) for words in NO_SHORT[:-1]),
        ("a schema that is no JSON", ("--schema", '{"type": '), asked),
        ("a schema with a key twice", ("--schema", '{"type": "object", "type": "object"}'), asked),
        ("a schema that points to its top", ("--schema", '{"anyOf": [{"$ref": "#"}]}'), asked),
    ):
        source = _cell(*words)
        elsewhere = (NOTE,) if words[-1] in ("Film", "film.json") else ()
        yield under(title, source, REQUEST_DIFFERS, *elsewhere, cell=source, asked=signed)
    for schema in ODD:
        forged = sent.of_json_schema(schema, as_rows=False).response_format
        source = _cell("--schema", json.dumps(schema))
        yield under(
            f"an odd schema {schema}", source, cell=source, asked={"response_format": forged}
        )
    source = _cell("-f", "json")
    yield under("any JSON", source, cell=source, asked=plain)
    for form in ("text", "markdown", "code"):
        source = _cell("-f", form)
        yield under(f"an answer as {form}", source, cell=source, asked=none)


def _from_elsewhere() -> Iterator[NotebookCase]:
    asked = {"response_format": shapes.resolve(list[int]).response_format}
    for words in (
        "Film",
        "shapes.Film",
        "{Film}",
        "list[ Film ]",
        "int",
        "größe",
        "data/film.json",
        "c:\\My film.JSON",
    ):
        for more in ((), ("-f", "df")):
            source, title = _cell("--schema", words, *more), f"{words} {' '.join(more)}"
            yield under(f"a schema elsewhere: {title}", source, NOTE, passes=True, cell=source,
                        asked=asked)  # fmt: skip
