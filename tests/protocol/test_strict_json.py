"""JSON with exactly one reading."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.errors import MalformedMessage
from opg_magic.models.strict_json import MAX_DEPTH, dumps_python, loads


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "\\u0061": 2}',
        '[{"b": {"a": 1, "a": 1}}]',
        "NaN",
        '{"a": Infinity}',
        "[-Infinity]",
        "1e999",
        '"\\ud800"',
        '{"\\uDC00": 1}',
        '"\\udc00\\ud800"',
        '"\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_attack_16_text_with_two_readings_is_ambiguous(text: str | bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        loads(text)
    assert caught.value.code == "ambiguous-json"


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", "[1,]", '{"a": 01}', "{} {}", "\ufeff{}", '"a\nb"', b"\x00", "9" * 9999],
)
def test_what_is_no_json_is_malformed(text: str | bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        loads(text)
    assert caught.value.code == "not-json"


def test_the_deepest_nesting_allowed_parses() -> None:
    value: Any = loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert loads("[" + ",".join(["[]"] * 500) + "]") == [[]] * 500


def test_brackets_inside_text_are_not_nesting() -> None:
    for text in ("[" * 500, '\\"[' * 500, "{\\\\" * 500):
        assert loads(json.dumps({"a": text})) == {"a": text}


@pytest.mark.parametrize(
    "text", ["[" * 10**6, '{"a":' * 10**6, '["' + '\\"[' * 10**6, "]" * 10**6 + "[" * 10**6]
)
def test_no_nesting_overflows_the_stack_even_where_the_recursion_limit_was_raised(
    text: str,
) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(MalformedMessage):
            loads(text)
    finally:
        sys.setrecursionlimit(limit)


def test_a_surrogate_pair_is_one_character() -> None:
    assert loads('"\\ud83d\\ude00"') == "😀"
    assert loads('"\\\\ud800"') == "\\ud800"


def test_numbers_keep_their_type() -> None:
    assert [type(value) for value in loads("[0, 0.0, -0.0, 1e2]")] == [int, float, float, float]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_what_python_writes_is_read_back(value: Any) -> None:
    assert loads(dumps_python(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.text() | st.binary())
def test_any_input_parses_or_is_malformed(text: str | bytes) -> None:
    try:
        loads(text)
    except MalformedMessage as error:
        assert error.code in {"ambiguous-json", "not-json"}
