"""The signed fields: exact types and canonical texts (attacks 13 and 15)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.models import Problem
from opg_magic.protocol.frame import SignedFields, carries_signature, read_signed_fields

GOOD: dict[str, Any] = {
    "tee_signature": "AAEC",
    "tee_request_hash": "0a" * 32,
    "tee_output_hash": "0b" * 32,
    "tee_timestamp": 1_790_000_000,
    "tee_id": "0x" + "0c" * 32,
}


def read(**changes: Any) -> SignedFields | Problem:
    return read_signed_fields(
        json.dumps({key: value for key, value in (GOOD | changes).items() if value is not ...})
    )


def test_good_fields_are_read_exactly() -> None:
    expected = SignedFields(
        b"\x0a" * 32, b"\x0b" * 32, 1_790_000_000, "0x" + "0c" * 32, b"\x00\x01\x02"
    )
    assert read(choices=[], model="m") == expected
    assert read(tee_timestamp=0) == SignedFields(
        b"\x0a" * 32, b"\x0b" * 32, 0, "0x" + "0c" * 32, b"\x00\x01\x02"
    )
    assert isinstance(read(tee_timestamp=2**256 - 1), SignedFields)


@pytest.mark.parametrize("bad", [-1, 2**256, "1790000000", 1790000000.0, True, [], {}, None, ...])
def test_attack_13_a_timestamp_that_is_no_uint256(bad: Any) -> None:
    found = read(tee_timestamp=bad)
    assert isinstance(found, Problem) and found.code == "format"


@pytest.mark.parametrize("key", ["tee_request_hash", "tee_output_hash"])
@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0a" * 31,
        "0a" * 33,
        "0x" + "0a" * 32,
        "0A" * 32,
        "0g" * 32,
        " " + "0a" * 32,
        "0a" * 32 + "\n",
        1,
        None,
        ...,
    ],
)
def test_a_hash_that_is_no_hash(key: str, bad: Any) -> None:
    found = read(**{key: bad})
    assert isinstance(found, Problem) and found.code == "format"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0c" * 32,
        "0x" + "0C" * 32,
        "0X" + "0c" * 32,
        "0x" + "0c" * 31,
        "0x" + "0c" * 32 + "\n",
        7,
        None,
        ...,
    ],
)
def test_an_id_that_is_none(bad: Any) -> None:
    found = read(tee_id=bad)
    assert isinstance(found, Problem) and found.code == "format"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "AAE",
        "AAEC=",
        "AAEC====",
        "AA==AA==",
        " AAEC",
        "AAEC\n",
        "AA EC",
        "AA-_",
        "AAF=",
        "AB==",
        "AAéC",
        "A" * 5000,
        5,
        [],
        None,
        ...,
    ],
)
def test_attack_15_base64_with_junk_or_not_canonical(bad: Any) -> None:
    found = read(tee_signature=bad)
    assert isinstance(found, Problem) and found.code == "format"


def test_a_frame_without_any_signed_field_is_unsigned() -> None:
    for frame in ("{}", '{"choices": []}', json.dumps(dict.fromkeys(GOOD))):
        found = read_signed_fields(frame)
        assert isinstance(found, Problem) and found.code == "unsigned"
    assert not carries_signature({"tee_signature": None})
    assert carries_signature({"tee_id": ""})


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"tee_id": 1, "tee_id": 2}', "ambiguous-json"),
        ('{"tee_timestamp": NaN}', "ambiguous-json"),
        ('{"x": "\\ud800"}', "ambiguous-json"),
        ("[]", "format"),
        ("null", "format"),
        ("{", "format"),
        ("", "format"),
    ],
)
def test_attack_16_a_frame_that_cannot_be_read(frame: str, code: str) -> None:
    found = read_signed_fields(frame)
    assert isinstance(found, Problem) and found.code == code


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80)
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), scalars | st.lists(scalars), max_size=5))
def test_any_fields_are_read_or_a_problem(changes: dict[str, Any]) -> None:
    found = read(**changes)
    if isinstance(found, SignedFields):
        assert json.loads(json.dumps(GOOD | changes))["tee_timestamp"] == found.timestamp
    elif all(value is None for value in (GOOD | changes).values()):
        assert found.code == "unsigned"
    else:
        assert found.code in {"format", "ambiguous-json"}


@given(st.text())
def test_any_text_is_read_or_a_problem(frame: str) -> None:
    assert isinstance(read_signed_fields(frame), Problem)
