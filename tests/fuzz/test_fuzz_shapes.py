"""Schemas of strangers' notebooks, and answers of strangers' hosts: whatever they are, data or the
documented error comes of them, in no long time."""

from __future__ import annotations

import json
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from support.fuzzing import FUZZ, ODD, replaced, spoilt

from opg_magic import shapes
from opg_magic.errors import ArgumentError, ShapeMismatch
from opg_magic.shapes.reader import NOTHING, agrees, on_line


class Film(BaseModel):
    title: str
    year: int
    tags: list[Literal["old", "new"]] = []


DATA = {"items": [{"title": "M", "year": 1931, "tags": ["old"]}]}
SCHEMA: dict[str, Any] = {
    "title": "Film",
    "type": "array",
    "items": {"anyOf": [{"$ref": "#/$defs/film"}, {"type": "null"}]},
    "$defs": {
        "film": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
            "required": ["title", "year"],
            "additionalProperties": False,
        }
    },
}
SHORT = "[title, year int?, tags list[str]: what it is, label good|bad]"
READERS = [
    shapes.resolve(list[Film]),
    shapes.resolve(Film, format="df"),
    shapes.resolve("[title, year int, tags list[old|new]]"),
    shapes.resolve({"type": "array", "items": {"type": "object", "required": ["title"]}}),
    shapes.wanted(None, "json"),
    shapes.wanted(None, "code"),
]
FENCED = f"Here:\n```json\n{json.dumps(DATA)}\n```\n"


@FUZZ
@given(spoilt(json.dumps(DATA).encode(), FENCED.encode()), replaced(DATA), st.booleans())
def test_answers_as_data(raw: bytes, value: Any, sound: bool) -> None:
    text = json.dumps(value) if sound else raw.decode("utf-8", "replace")
    for shape in READERS:
        try:
            shape.parse(text)
        except ShapeMismatch as problem:
            assert len(problem.message) <= 1_200
            assert "\n" not in problem.message and "\x1b" not in problem.message


@FUZZ
@given(spoilt(SHORT.encode(), json.dumps(SCHEMA).encode()), replaced(SCHEMA), st.booleans())
def test_schemas_on_a_line(raw: bytes, value: Any, sound: bool) -> None:
    words = json.dumps(value) if sound else raw.decode("utf-8", "replace")
    for format in (None, "df"):
        found = on_line(words, format)
        try:
            asked = shapes.resolve(words, format=format).response_format
        except ArgumentError:
            continue
        # What a kernel sends of these words, every reader makes of them.
        assert found.elsewhere is not None or agrees(found, asked)


@FUZZ
@given(ODD)
def test_schemas_of_any_value(value: Any) -> None:
    try:
        shapes.resolve({"type": "object", "properties": value})
        shapes.resolve(value)
    except ArgumentError as problem:
        assert "Nothing was sent" in problem.message


def test_a_schema_on_a_line_is_bounded() -> None:
    for words in (
        "a, " * 100_000 + "b",
        "a " + "list[" * 50_000 + "]" * 50_000,
        "[" * 100_000,
        "{" * 100_000,
        "a|" * 100_000,
        "a " + "b|" * 90_000 + "b",
        "a" + " " * 199_000 + "b",
        "x" * 1_000_000,
        '{"anyOf":[' * 30 + "{}" + "]}" * 30 + " " * 300_000,
    ):
        assert on_line(words, None) == NOTHING
        try:
            shapes.resolve(words)
        except ArgumentError as problem:
            assert len(str(problem)) < 600
        else:
            raise AssertionError(words[:40])
