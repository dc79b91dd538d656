"""The short form of a schema: what it says, and what it refuses."""

from __future__ import annotations

import pytest

from opg_magic.errors import ArgumentError
from opg_magic.shapes import short

TEXT = {"type": "string"}


def properties(text: str) -> dict[str, object]:
    found = short.parse(text).schema()["properties"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", {"name": TEXT}),
        ("name, year int", {"name": TEXT, "year": {"type": "integer"}}),
        ("tags list[str]", {"tags": {"type": "array", "items": TEXT}}),
        ("tags list", {"tags": {"type": "array", "items": TEXT}}),
        (
            "m list[list[float]]",
            {"m": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}},
        ),
        ("label good|bad", {"label": {"type": "string", "enum": ["good", "bad"]}}),
        ("label very good | bad", {"label": {"type": "string", "enum": ["very good", "bad"]}}),
        (
            "ls list[a|b]",
            {"ls": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}},
        ),
        ("year int?", {"year": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        ("note?", {"note": {"anyOf": [TEXT, {"type": "null"}]}}),
        ("day date", {"day": {"type": "string", "format": "date"}}),
        ("at datetime", {"at": {"type": "string", "format": "date-time"}}),
        ("ok bool: is it so", {"ok": {"type": "boolean", "description": "is it so"}}),
        (
            "a: first, second\nb int: third,",
            {
                "a": {"type": "string", "description": "first, second"},
                "b": {"type": "integer", "description": "third"},
            },
        ),
        ("  größe   float ", {"größe": {"type": "number"}}),
        (
            "title, type, list, str int",
            {"title": TEXT, "type": TEXT, "list": TEXT, "str": {"type": "integer"}},
        ),
    ],
)
def test_a_field_is_a_name_a_type_and_what_it_means(text, expected):
    assert properties(text) == expected


def test_every_field_is_asked_for_and_no_other_allowed():
    made = short.parse("name, year int?").schema()
    assert made["required"] == ["name", "year"]
    assert made["additionalProperties"] is False


def test_brackets_make_rows():
    assert short.parse("[name, tags list[str]]").rows
    assert not short.parse("name, tags list[str]").rows


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("[]", "empty"),
        ("a,,b", "empty"),
        ("a,", "empty"),
        ("a int, a", "twice"),
        ("year itn", "did you mean int"),
        ("year int|null", "type int"),
        ("label good|good", "repeated"),
        ("label good|", "empty or a repeated"),
        ("(a) int", "does not begin"),
        ("'a' int", "does not begin"),
        ("a" * 65, "does not begin"),
        (", ".join(f"f{n}" for n in range(101)), "at most 100"),
        ("tags list[str", "unknown type"),
        ("a\x1b[31m", "does not begin"),
    ],
)
def test_what_cannot_be_read_is_named_before_anything_is_sent(text, why):
    with pytest.raises(ArgumentError, match=why) as caught:
        short.parse(text)
    assert "Nothing was sent" in caught.value.message
    assert "\x1b" not in str(caught.value)
