"""Shapes of types, JSON Schemas and texts: what is sent, what is accepted, what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Annotated, Literal, NewType

import pandas as pd
import pytest
from pydantic import BaseModel, Field, field_validator

from opg_magic import shapes
from opg_magic.errors import ArgumentError, ShapeMismatch
from opg_magic.models import Prompt
from opg_magic.protocol.request_body import build_body
from opg_magic.shapes import misfit


class Film(BaseModel):
    """A film."""

    title: str
    year: int = Field(description="of its first showing")
    tags: list[str] = []


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Touchy(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _touchy(cls, value: str) -> str:
        raise KeyError(value)


@dataclasses.dataclass
class Point:
    x: float
    y: float


def sent(shape: shapes.Shape):
    """The request's own schema; the request itself can be built."""
    form = shape.response_format
    build_body(Prompt(text="x", model="openai/gpt-5", extra={"response_format": form}))
    return form["json_schema"]


# ------------------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (Film, "Film"),
        (Node, "Node"),
        (Point, "Point"),
        (Mood, "Mood"),
        (list[Film], "answer"),
        (Literal["good", "bad"], "answer"),
        (Cat | Dog, "answer"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], "answer"),
        (int | None, "answer"),
        (NewType("Year", int), "answer"),
        ("name, year int", "answer"),
        ("[name, year int]", "answer"),
        (
            {
                "type": "object",
                "title": "My fact!",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "additionalProperties": False,
            },
            "My_fact",
        ),
    ],
)
def test_an_object_is_at_the_top_and_hosts_are_held_to_all_of_it(schema, name):
    made = sent(shapes.resolve(schema))
    assert made["name"] == name
    assert made["schema"]["type"] == "object"
    assert made["strict"] is True


@pytest.mark.parametrize(
    "schema",
    [
        dict[str, int],
        tuple[int, str],
        Annotated[str, Field(min_length=3)],
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "array", "items": {"type": "string", "pattern": "^a"}},
    ],
)
def test_strict_is_left_out_where_providers_would_refuse_it(schema):
    assert "strict" not in sent(shapes.resolve(schema))


def test_tokens_are_not_spent_on_titles_but_on_what_fields_mean():
    made = sent(shapes.resolve(Film))["schema"]
    assert "title" not in made
    assert made["properties"]["title"] == {"type": "string"}
    assert made["properties"]["year"]["description"] == "of its first showing"
    assert made["required"] == ["title", "year", "tags"]


def test_a_json_schema_goes_as_it_is_and_a_copy_of_it():
    mine = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
    shape = shapes.resolve(mine)
    assert sent(shape)["schema"] == mine
    mine["properties"]["a"]["minLength"] = 9
    assert sent(shape)["schema"]["properties"]["a"]["minLength"] == 2
    assert shape.parse('{"a": "xy"}') == {"a": "xy"}


def test_definitions_are_lifted_to_where_references_look_for_them():
    word = {"$defs": {"w": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/w"}}
    shape = shapes.resolve(word)
    assert sent(shape)["schema"]["$defs"] == {"w": {"type": "string"}}
    assert "$defs" not in sent(shape)["schema"]["properties"]["items"]
    assert shape.parse('{"items": ["a"]}') == ["a"]
    with pytest.raises(ShapeMismatch):
        shape.parse('{"items": [1]}')


# --------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("schema", "text", "data"),
    [
        (Film, '{"title": "M", "year": 1931, "tags": []}', Film(title="M", year=1931)),
        (Film, '{"title": "M", "year": 1931}', Film(title="M", year=1931)),
        (Point, '{"x": 1, "y": 2.5}', Point(1, 2.5)),
        (
            Node,
            '{"name": "a", "children": [{"name": "b", "children": []}]}',
            Node(name="a", children=[Node(name="b")]),
        ),
        (Mood, '{"value": "good"}', Mood.GOOD),
        (Literal["good", "bad"], '{"value": "bad"}', "bad"),
        (Literal["good", "bad"], '"bad"', "bad"),
        (list[Film], '{"items": [{"title": "M", "year": 1931}]}', [Film(title="M", year=1931)]),
        (list[int], "[1, 2]", [1, 2]),
        (Cat | Dog, '{"value": {"kind": "dog", "good": true}}', Dog(kind="dog", good=True)),
        (int | None, '{"value": null}', None),
        (
            "name, day date",
            '{"name": "a", "day": "2026-11-26"}',
            {"name": "a", "day": datetime.date(2026, 11, 26)},
        ),
        ("[a int]", '{"items": [{"a": 1}]}', [{"a": 1}]),
        ("a int?", '{"a": null}', {"a": None}),
        ({"type": "array"}, '{"items": [1]}', [1]),
        ({"type": "string"}, '{"value": "a"}', "a"),
        ({"type": "object"}, ' \n{"a": 1}\n', {"a": 1}),
        ({"type": "object"}, '\ufeff{"a": 1}', {"a": 1}),
        ({"type": "object"}, '```json\n{"a": 1}\n```', {"a": 1}),
        ({"type": "object"}, 'Here it is:\n\n```\n{"a": "```"}\n```\nAnything else?', {"a": "```"}),
        ({"type": "object"}, '~~~ json\r\n{"a":\r\n1}\r\n~~~\r\n', {"a": 1}),
        ({"type": "object"}, '```python\nx\n```\n```json\n{"a": 1}\n```', {"a": 1}),
        ({"type": "integer"}, '{"value": 12345678901234567890}', 12345678901234567890),
    ],
)
def test_an_answer_that_fits_becomes_data(schema, text, data):
    assert shapes.resolve(schema).parse(text) == data


@pytest.mark.parametrize(
    ("schema", "text", "why"),
    [
        (Film, "", "empty"),
        (Film, "I cannot say.", "not JSON"),
        (Film, '{"title": "M", "year":', "in the middle"),
        (Film, '{"title": "M"}', "year: missing"),
        (Film, '{"title": "M", "year": "long ago"}', "year: a string, not an integer"),
        (Film, '{"title": "M", "year": 1931, "year": 1932}', "one key twice"),
        (Film, "[]", "object"),
        (Film, '{"title": "M", "year": 1931} {"title": "N", "year": 1}', "not JSON"),
        (Film, '```json\n{"title": "M", "year": 1}\n```\n' * 2, "2 blocks"),
        (list[Film], '[{"title": "M", "year": 1}, {"title": 1, "year": 2}]', r"\[1\].title: "),
        (list[int], '{"items": ["a", "b", "c", "d", "e"]}', "and 2 more"),
        (Literal["good", "bad"], '{"value": "ugly"}', 'value: none of "good", "bad"'),
        (Literal["good", "bad"], '{"value": "good", "sure": true}', "does not fit"),
        (list[float], '{"items": [NaN]}', "NaN"),
        (list[float], '{"items": [-Infinity]}', "Infinity"),
        (list[float], '{"items": [1e999]}', "too large"),
        ("x float", '{"x": "NaN"}', "x: "),
        ("year int", '{"year": "1999"}', "year: "),
        ("ok bool", '{"ok": "yes"}', "ok: "),
        ("name", '{"name": "a", "age": 3}', "age: "),
        ("day date", '{"day": "tomorrow"}', "day: "),
        ({"type": "object", "required": ["a"]}, "{}", "a: missing"),
        (
            {"type": "array", "items": {"type": "integer"}},
            '{"items": [1, "x"]}',
            r"items\[1\]: a string, not an integer",
        ),
        ({"type": "object"}, "[" * 100 + "]" * 100, "deeper"),
        ({"type": "object"}, '{"a": "\\ud800"}', "surrogate"),
        (Touchy, '{"name": "a"}', "could not be read by your type: KeyError"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_where(schema, text, why):
    with pytest.raises(ShapeMismatch, match=why):
        shapes.resolve(schema).parse(text)


@pytest.mark.parametrize(
    ("schema", "text", "said"),
    [
        (Film, '{"year": "x"}', "title: missing; year: a string, not an integer; tags: missing"),
        (Node, '{"name": "a", "children": [{"name": 1}]}',
         "children[0].name: an integer, not a string; children[0].children: missing"),
        ("n int?", '{"n": "x"}', "n: a string, not an integer or null"),
        ("mood good|bad", '{"mood": "ugly"}', 'mood: none of "good", "bad"'),
        ({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}}},
         '{"n": 9}', "n: more than 5"),
        ({"type": "array", "items": {"type": "string", "maxLength": 2}, "minItems": 3},
         '["abc", 1]', "fewer than 3 items; [0]: longer than 2 characters; [1]: an integer, not a "
         "string"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}},
          "$defs": {"a": {"const": 1}}}, '{"a": 2}', "a: not 1"),
        ("name str", '{"name": "a", "שם": 1}', "\u2068שם\u2069: not in the schema"),
    ],
)  # fmt: skip
def test_why_it_does_not_fit_follows_from_schema_and_answer(schema, text, said):
    """A reader of the notebook has neither the type nor the library that found it out."""
    shape = shapes.resolve(schema)
    with pytest.raises(ShapeMismatch) as caught:
        shape.parse(text)
    assert caught.value.message == f"{misfit.DOES_NOT_FIT}: {said}."
    assert misfit.reason(shape.response_format, text) == caught.value.message


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Touchy, '{"name": "a"}'),
        ("day date", '{"day": "tomorrow"}'),
        ({"type": "object", "properties": {"a": {"pattern": "^x"}}}, '{"a": "y"}'),
        # The schema alone says less than was found out: a fault more, which it does not know.
        ({"type": "object", "properties": {"a": {"pattern": "^x"}, "b": {"type": "integer"}}},
         '{"a": "y", "b": "z"}'),
    ],
)  # fmt: skip
def test_a_librarys_words_are_marked_as_such(schema, text):
    with pytest.raises(ShapeMismatch) as caught:
        shapes.resolve(schema).parse(text)
    assert caught.value.message.startswith(misfit.IN_WORDS)


def test_a_schema_that_branches_without_end_is_given_up():
    defs = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(40)}
    schema = {"$defs": {**defs, "d40": {"type": "integer"}}, "$ref": "#/$defs/d0"}
    assert misfit.faults(schema, "x") is None
    assert misfit.faults({"$ref": "#"}, "x") is None


@pytest.mark.parametrize("schema", ["[a int]", {"type": "array", "items": {"type": "integer"}}])
def test_a_message_is_short_and_inert_whatever_the_answer_holds(schema):
    evil = "\u202e\x1b[31m" + "x" * 10_000
    bad = {"items": [evil] * 1_000, evil: 1}
    for text in (json.dumps(bad), json.dumps({"items": bad["items"]}), evil):
        with pytest.raises(ShapeMismatch) as caught:
            shapes.resolve(schema).parse(text)
        message = str(caught.value)
        assert len(message) < 1_200
        assert "\x1b" not in message
        assert "\u202e" not in message


def test_unique_rows_are_told_apart_in_one_pass():
    shape = shapes.resolve({"type": "array", "uniqueItems": True})
    rows = [{"a": n, "b": [n]} for n in range(50_000)]
    assert len(shape.parse(json.dumps(rows))) == 50_000
    for text in ("[1, 1.0]", '[{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]', "[[], []]"):
        with pytest.raises(ShapeMismatch, match="two of its items are equal"):
            shape.parse(text)
    assert shape.parse('[1, true, "1", [1], null, false, 0]')
    assert shapes.resolve({"type": "array", "uniqueItems": False}).parse("[1, 1]") == [1, 1]


def test_ten_megabytes_are_read_whole():
    rows = [{"a": n, "b": "x" * 80} for n in range(100_000)]
    text = json.dumps({"items": rows})
    assert len(text) > 10_000_000
    assert len(shapes.resolve("[a int, b]").parse(text)) == 100_000


# ------------------------------------------------------------------------------------------- tables


def test_a_table_has_the_columns_of_its_schema_and_a_row_for_each():
    shape = shapes.resolve(Film, format="df")
    assert list(sent(shape)["schema"]["properties"]) == ["items"]
    films = shape.parse('{"items": [{"title": "M", "year": 1931}]}')
    assert films.to_dict("records") == [{"title": "M", "year": 1931, "tags": []}]
    empty = shape.parse('{"items": []}')
    assert isinstance(empty, pd.DataFrame)
    assert list(empty) == ["title", "year", "tags"]


@pytest.mark.parametrize("schema", [list[Film], "[title, year int]", "title, year int"])
def test_rows_are_not_asked_for_twice(schema):
    shape = shapes.resolve(schema, format="df")
    items = sent(shape)["schema"]["properties"]["items"]
    assert items["type"] == "array"
    assert items["items"].get("type") != "array"
    assert list(shape.parse('{"items": [{"title": "M", "year": 1}]}'))[:2] == ["title", "year"]


def test_a_number_that_is_missing_does_not_make_floats_of_the_others():
    shape = shapes.resolve("n int?, m int?", format="df")
    big = 2**62 + 1
    found = shape.parse(json.dumps({"items": [{"n": big, "m": 2**70}, {"n": None, "m": None}]}))
    assert found["n"].tolist() == [big, pd.NA]
    assert found["m"].iloc[0] == 2**70


def test_a_shape_is_resolved_once_for_one_format():
    shape = shapes.resolve("n int", format="df")
    assert shapes.wanted(shape, "df") is shape
    assert shapes.wanted(shape, None) is shape
    with pytest.raises(ArgumentError, match="another format"):
        shapes.wanted(shapes.resolve("n int"), "df")


def test_single_values_are_a_column():
    assert shapes.resolve(list[int], format="df").parse("[1, 2]")["value"].tolist() == [1, 2]
    mine = {"type": "object", "properties": {"a": {}}}
    found = shapes.resolve(mine, format="df").parse('{"items": [{"a": 1}, {"b": 2}]}')
    assert list(found) == ["a", "b"]


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (lambda: 1, "not a function"),
        (3, "not 3"),
        (None, "not None"),
        (True, "not True"),
        (b"name", "not a bytes"),
        (Film(title="M", year=1), "give the class itself"),
        (Point(1, 2), "give the class itself"),
        (type("Lock", (), {}), "Lock cannot be a schema"),
        (list["Nowhere"], "cannot be a schema"),  # noqa: F821
        ({}, "empty"),
        ({1: 2}, "keys are texts"),
        ({"type": "strin"}, "type: 'strin'"),
        ({"properties": []}, "properties"),
        ({"type": "string", "pattern": "("}, "pattern"),
        ({"patternProperties": {"(": {}}}, "pattern"),
        ({"$ref": "#"}, "back to itself|points to its top"),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}, "back to itself"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}}, "PointerToNowhere"),
        (
            {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}},
            "nothing is fetched",
        ),
        ({"type": "object", "$id": "http://example.org/a"}, r"\$id"),
        ({"type": "array", "items": {"$ref": "#"}}, "points to its top"),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, "response_format"),
        ("{", "not JSON"),
        ('{"type": "object", "type": "array"}', "one key twice"),
        ("missing.json", "Cannot read missing.json"),
    ],
)
def test_a_bad_schema_is_refused_before_anything_is_sent(schema, why):
    with pytest.raises(ArgumentError, match=why) as caught:
        shapes.resolve(schema)
    assert "Nothing was sent" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_schema_may_stand_in_a_file(tmp_path):
    file = tmp_path / "film.json"
    file.write_text('\ufeff{"type": "object", "required": ["a"]}', encoding="utf-8")
    for given in (file, str(file)):
        assert shapes.resolve(given).parse('{"a": 1}') == {"a": 1}
    file.write_text("[1]")
    with pytest.raises(ArgumentError, match=r"film\.json is not a JSON object"):
        shapes.resolve(file)
    file.write_bytes(b" " * 200_001)
    with pytest.raises(ArgumentError, match="200,000 bytes"):
        shapes.resolve(file)


# ---------------------------------------------------------------------------------------- on a line


def test_one_word_on_a_line_names_a_python_object():
    space = {"Film": Film, "mine": {"type": "object"}, "words": "name, year int", "own": "own"}
    for words in ("Film", "{Film}", " { Film } "):
        assert shapes.resolve_words(words, namespace=space).read is not None
        assert shapes.variable(words) == "Film"
    assert shapes.resolve_words("words", namespace=space).columns == ("name", "year")
    assert shapes.variable("list[Film]") == "Film"
    films = shapes.resolve_words("list[Film]", namespace=space)
    assert films.response_format == shapes.resolve(list[Film]).response_format
    assert shapes.resolve_words("list[mine]", namespace=space).parse('[{"a": 1}]') == [{"a": 1}]
    for known in (None, space):
        assert shapes.resolve_words("int", namespace=known).parse('{"value": 5}') == 5
        assert shapes.resolve_words("list[str]", namespace=known).parse('["a"]') == ["a"]
    with pytest.raises(ArgumentError, match=r"list\[words\] needs a type"):
        shapes.resolve_words("list[words]", namespace=space)
    for written in ("name str", "name, year", '{"type": "object"}', "film.json", "[name]"):
        assert shapes.variable(written) is None
    with pytest.raises(ArgumentError, match="Filn is not defined") as caught:
        shapes.resolve_words("Filn", namespace=space)
    assert "Film" in str(caught.value)
    with pytest.raises(ArgumentError, match="own must be"):
        shapes.resolve_words("own", namespace=space)
    with pytest.raises(ArgumentError, match="there is no nothing"):
        shapes.resolve_words("Film.nothing", namespace=space)
    with pytest.raises(ArgumentError, match="which a shell does not have"):
        shapes.resolve_words("Film")


@pytest.mark.parametrize(
    ("schema", "format", "more", "why"),
    [
        (None, "table", {}, "format must be"),
        (None, "df", {}, "needs a schema"),
        (Film, "code", {}, "no schema"),
        (Film, None, {"kind": "completion"}, "completion"),
    ],
)
def test_what_does_not_go_together_is_refused(schema, format, more, why):
    with pytest.raises(ArgumentError, match=why):
        shapes.wanted(schema, format, **more)


def test_a_format_alone_is_a_shape_too():
    assert shapes.wanted(None, None) is None
    assert shapes.wanted(None, "text").parse("x") is None
    assert shapes.wanted(None, "json").response_format == {"type": "json_object"}
    assert shapes.wanted(None, "json").parse('```\n{"a": 1}\n```') == {"a": 1}
    code = shapes.wanted(None, "code")
    assert code.response_format is None
    assert (
        code.parse("Try this:\n\n```python\nprint(1)\n```\nand\n```\nls\n```") == "print(1)\n\nls"
    )
    assert code.parse("print(1)") == "print(1)"
    assert code.parse("````\n```\nx\n```\n````") == "```\nx\n```"


@pytest.mark.parametrize("line", ["~" * 200_000 + "`", "```" + "~" * 200_000 + "`", "`" * 200_000])
def test_a_line_of_marks_costs_its_length_once(line: str) -> None:
    """It was tried at every place by every part of the pattern: 8,000 marks held a kernel for a
    quarter of an hour."""
    assert shapes.code_blocks(f"{line}\nx") in ([], ["x"])


LOOPS = """
import sys
sys.setrecursionlimit(10**7)
from opg_magic.errors import ArgumentError
from opg_magic.shapes import resolve
for schema in (
    {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
    {"$defs": {"x": {"allOf": [{"$ref": "#/$defs/x"}]}}, "items": {"$ref": "#/$defs/x"}},
    {"$defs": {"x": {"not": {"$ref": "#/$defs/y"}}, "y": {"anyOf": [{}, {"$ref": "#/$defs/x"}]}},
     "type": "object", "properties": {"a": {"$ref": "#/$defs/y"}}},
):
    try:
        resolve(schema)
    except ArgumentError as refused:
        assert "back to itself" in str(refused), refused
    else:
        raise AssertionError(schema)
resolve({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
         "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}})
"""


def test_a_reference_to_itself_ends_no_process_whose_recursion_limit_was_raised() -> None:
    """Some libraries raise it for the whole process."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", LOOPS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]
