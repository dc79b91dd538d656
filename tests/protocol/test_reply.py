"""Whole JSON answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signing import COMPLETION, TOOL_CALL, reply, signer

from opg_magic.protocol import reply as module
from opg_magic.protocol.reply import is_tool_call_text, read_reply

ANNA = signer()


def code(raw: bytes | str, **options: Any) -> str | None:
    problem = read_reply(raw, **options).problem
    return None if problem is None else problem.code


def with_choice(**changes: Any) -> str:
    message = json.loads(reply(ANNA))
    message["choices"][0] |= changes
    return json.dumps(message)


def test_a_chat_answer_is_read_whole() -> None:
    raw = reply(ANNA, text="hé")
    found = read_reply(raw)
    assert (found.text, found.tool_calls, found.finish_reason, found.problem) == (
        "hé",
        None,
        "stop",
        None,
    )
    assert (found.stream, found.frame, found.model, found.raw_size) == (
        False,
        raw,
        "gpt-5",
        len(raw.encode()),
    )
    assert found.usage == {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    assert read_reply(raw.encode()) == found


def test_a_completion_is_its_text() -> None:
    found = read_reply(reply(ANNA, COMPLETION, kind="completion"), "completion")
    assert (found.text, found.problem) == ("hi there", None)
    assert code(reply(ANNA), kind="completion") == "framing"


def test_tool_calls_are_kept_as_the_host_dumps_them() -> None:
    call = {
        "type": "function",
        "id": "é",
        "function": {"name": "f", "arguments": '{"a": 1}'},
        "own": 0.0,
    }
    found = read_reply(reply(ANNA, tool_calls=[call], shown="beside"))
    assert found.tool_calls == (
        '[{"function": {"arguments": "{\\"a\\": 1}", "name": "f"}, "id": "\\u00e9", "own": 0.0, '
        '"type": "function"}]'
    )
    assert (found.text, found.unsigned_text, found.problem) == (None, "beside", None)


def test_content_in_parts_is_joined_with_nothing_between() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": " b"}]
    assert read_reply(with_choice(message={"content": parts})).text == "a b"
    assert read_reply(with_choice(message={"content": None})).text == ""
    assert read_reply(with_choice(message={"content": "x", "tool_calls": []})).text == "x"
    assert read_reply(with_choice(message={"content": "x", "tool_calls": None})).text == "x"


def test_attack_10_an_unsigned_answer() -> None:
    found = read_reply(reply(ANNA, signed=False))
    assert found.problem is not None and found.problem.code == "unsigned"
    assert (found.text, found.frame) == ("hi there", None)


@pytest.mark.parametrize(
    "error", ['{"error": "Request processing failed"}', '{"error": {"message": "x"}, "a": 1}']
)
def test_the_host_s_own_failure(error: str) -> None:
    assert code(error) == "host-failure"


def test_attack_09_a_body_that_broke_off() -> None:
    assert code(reply(ANNA), ended=False) == "truncated"
    assert code("", ended=False) == "truncated"


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "[]",
        "null",
        "<html>",
        "{}",
        '{"choices": []}',
        '{"choices": {}}',
        '{"choices": [1]}',
        '{"choices": [{}, {}]}',
        '{"choices": [{}]}',
        '{"choices": [{"index": 1, "message": {"content": ""}}]}',
        '{"choices": [{"message": "x"}]}',
        '{"choices": [{"message": {"content": 5}}]}',
        '{"choices": [{"message": {"content": [5]}}]}',
        '{"choices": [{"message": {"content": "", "tool_calls": {}}}]}',
        '{"choices": [{"message": {"content": "", "tool_calls": ["x"]}}]}',
        '{"choices": [{"message": {"content": "", "tool_calls": [{}]}}]}',
        '{"choices": [{"message": {"content": ""}, "finish_reason": 1}]}',
        '{"choices": [{"message": {"content": ""}}], "error": "x"}',
        reply(ANNA)[:-1],
        reply(ANNA) + "x",
    ],
)
def test_attack_11_a_body_of_another_form(raw: str) -> None:
    assert code(raw) == "framing"


@pytest.mark.parametrize(
    "raw", ['{"a": 1, "a": 1}', '{"a": NaN}', '"\\ud800"', b'"\xff"', '"\ud800"', "[" * 9999]
)
def test_attack_16_a_body_with_two_readings(raw: str | bytes) -> None:
    assert code(raw) == "ambiguous-json"


def test_a_body_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 100)
    assert code(reply(ANNA)) == "too-large"


def test_usage_keeps_whole_numbers_only() -> None:
    usage = {"a": 1, "b": -1, "c": 1.5, "d": True, "e": "1", "f": 2**63, "g": 0}
    assert read_reply(reply(ANNA, extra={"usage": usage})).usage == {"a": 1, "g": 0}
    assert read_reply(reply(ANNA, extra={"usage": 5, "model": 5})).usage is None
    assert read_reply(reply(ANNA, extra={"usage": 5, "model": 5})).model is None


def test_what_is_a_rendering_of_tool_calls() -> None:
    assert is_tool_call_text(json.dumps([TOOL_CALL], sort_keys=True))
    assert not is_tool_call_text(json.dumps([TOOL_CALL], sort_keys=True, separators=(",", ":")))
    for text in (
        "",
        "[]",
        "[{}]",
        "[{",
        '[{"function": 1}]',
        '[{"function": {}}, 1]',
        '[{"function": {}, "function": {}}]',
    ):
        assert not is_tool_call_text(text)


@given(st.binary() | st.text(), st.sampled_from(["chat", "completion"]))
def test_any_bytes_give_evidence(raw: bytes | str, kind: Any) -> None:
    assert read_reply(raw, kind).problem is not None
