"""The strict stream reader: one reading, or a named problem; bounded; text as it comes."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signing import TOOL_CALL, chunk, chunks, signer, sse, stream

from opg_magic.models import ResponseEvidence
from opg_magic.protocol import sse as module
from opg_magic.protocol.sse import StreamReader, read_stream

ANNA = signer()
CHUNKS = chunks(ANNA, pieces=("hé ", "", "wörld 😀", "\n\ndata: x\r\n"))
TEXT = "hé wörld 😀\n\ndata: x\r\n"
RAW = sse(*CHUNKS)
FINAL = CHUNKS[-1]


def code(raw: bytes, *, ended: bool = True) -> str | None:
    reader = StreamReader()
    reader.feed(raw)
    problem = reader.finish(ended).problem
    return None if problem is None else problem.code


def calls(*fragments: dict[str, Any]) -> str | None:
    found = read_stream(sse(*chunks(ANNA, pieces=(), fragments=fragments, output="[]")))
    assert found.problem is None and found.text is None
    return found.tool_calls


def fragment(index: Any = 0, **changes: Any) -> dict[str, Any]:
    return {"index": index, "type": "function", **changes}


# ------------------------------------------------------------------------------------------ reading


def test_a_signed_stream_is_read_whole() -> None:
    found = read_stream(RAW)
    assert found == ResponseEvidence(
        stream=True,
        text=TEXT,
        tool_calls=None,
        finish_reason="stop",
        frame=json.dumps(FINAL),
        raw_sha256=hashlib.sha256(RAW).hexdigest(),
        raw_size=len(RAW),
        model="gpt-5",
        usage={"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16},
    )
    assert read_stream(RAW.decode()) == found


def test_text_comes_out_as_it_arrives() -> None:
    reader = StreamReader()
    first, rest = RAW.split(b"\n", 1)
    assert reader.feed(first) == []
    assert reader.feed(b"\n") == ["hé "]
    assert reader.feed(rest) == ["wörld 😀", "\n\ndata: x\r\n"]
    assert reader.finish().problem is None


@given(st.lists(st.integers(0, len(RAW)), max_size=40))
def test_the_pieces_it_comes_in_do_not_matter(cuts: list[int]) -> None:
    reader, shown = StreamReader(), []
    edges = [0, *sorted(cuts), len(RAW)]
    for start, end in pairwise(edges):
        shown += reader.feed(RAW[start:end])
    assert reader.finish() == read_stream(RAW)
    assert "".join(shown) == TEXT


def test_one_byte_at_a_time() -> None:
    reader, shown = StreamReader(), []
    for byte in RAW:
        shown += reader.feed(bytes([byte]))
    assert reader.finish() == read_stream(RAW) and "".join(shown) == TEXT


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b"\n", b"\r\n"),
        RAW.replace(b"data: {", b"data:{"),
        RAW.replace(b"\n\n", b"\n"),
        b": hello\n\n" + RAW.replace(b"\n\n", b"\n: keep-alive\n\n\n", 3),
        RAW.rstrip(b"\n"),
        RAW + b"\n\r\n\n",
    ],
)
def test_harmless_forms_of_the_same_stream(raw: bytes) -> None:
    found = read_stream(raw)
    assert (found.problem, found.text, found.frame) == (None, TEXT, json.dumps(FINAL))


def test_content_in_parts_and_in_the_final_chunk_is_text_too() -> None:
    parts = chunk(
        {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}, "c"]}
    )
    last = {**FINAL, "choices": [{"index": 0, "delta": {"content": "d"}, "finish_reason": "stop"}]}
    assert read_stream(sse(parts, last)).text == "abcd"


def test_chunks_without_a_choice_carry_no_text() -> None:
    assert read_stream(sse({"status": "searching"}, chunk(), {"choices": []}, *CHUNKS)).text == TEXT


# --------------------------------------------------------------------------------------- tool calls


def test_tool_calls_are_assembled_by_index() -> None:
    assembled = calls(
        fragment(1, id="b", function={"name": "g", "arguments": "{"}),
        fragment(0, id="a", function={"name": "f"}),
        fragment(1, function={"arguments": '"é": 1}'}),
        fragment(0, function={"arguments": ""}),
    )
    assert assembled == (
        '[{"function": {"arguments": "", "name": "f"}, "id": "a", "type": "function"}, '
        '{"function": {"arguments": "{\\"\\u00e9\\": 1}", "name": "g"}, "id": "b", "type": '
        '"function"}]'
    )


def test_a_missing_id_signs_as_null() -> None:
    one = '[{"function": {"arguments": "{}", "name": "f"}, "id": %s, "type": "function"}]'
    assert calls(fragment(function={"name": "f", "arguments": "{}"})) == one % "null"
    assert calls(fragment(id=None, function={"name": "f", "arguments": "{}"})) == one % "null"
    assert calls(fragment(id="", function={"name": "f", "arguments": "{}"})) == one % '""'


def test_calls_without_index_merge() -> None:
    assembled = calls(
        fragment(None, id="a", function={"name": "f", "arguments": "1"}),
        fragment(None, id="b", function={"name": "g", "arguments": "2"}),
    )
    assert (
        assembled
        == '[{"function": {"arguments": "12", "name": "g"}, "id": "b", "type": "function"}]'
    )


def test_a_missing_index_is_zero() -> None:
    assembled = calls(
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        fragment(0, function={"arguments": "2"}),
        fragment(0),
    )
    assert (
        assembled
        == '[{"function": {"arguments": "12", "name": "f"}, "id": "a", "type": "function"}]'
    )


def test_ids_and_names_are_set_when_present_and_arguments_stay_raw() -> None:
    assembled = calls(
        fragment(id="a", function={"name": "f", "arguments": '{"a":1e5,'}),
        fragment(id="", function={"name": "", "arguments": ' "b" :0}'}),
        fragment(id="z", function={"name": "h"}),
    )
    assert assembled == (
        '[{"function": {"arguments": "{\\"a\\":1e5, \\"b\\" :0}", "name": "h"}, "id": "z", "type": '
        '"function"}]'
    )


def test_text_beside_tool_calls_is_not_signed() -> None:
    found = read_stream(stream(ANNA, pieces=("let me see",), fragments=(fragment(0, **TOOL_CALL),)))
    assert (found.text, found.unsigned_text) == (None, "let me see")
    assert found.tool_calls == json.dumps([TOOL_CALL], sort_keys=True)


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        {"index": "0", "id": "a"},
        {"index": True, "id": "a"},
        {"index": 0.0, "id": "a"},
        {"index": 0, "id": 5},
        {"index": 0, "function": "f"},
        {"index": 0, "function": {"name": 1}},
        {"index": 0, "function": {"arguments": {"a": 1}}},
    ],
)
def test_a_malformed_tool_call_is_refused(bad: Any) -> None:
    assert code(sse(chunk({"tool_calls": [bad]}), FINAL)) == "framing"


def test_numbered_and_unnumbered_calls_do_not_mix() -> None:
    assert (
        code(sse(chunk({"tool_calls": [fragment(0, id="a"), fragment(None, id="b")]}), FINAL))
        == "framing"
    )
    assert (
        code(sse(chunk({"tool_calls": [fragment(None, id="a"), fragment(1, id="b")]}), FINAL))
        == "framing"
    )


# ---------------------------------------------------------------------------------- attacks 9 to 11


def test_attack_09_every_cut_is_noticed() -> None:
    whole = len(RAW.rstrip(b"\n"))
    for size in range(whole):
        found = read_stream(RAW[:size])
        assert found.problem is not None, size
        # A cut in the middle of a line leaves a line that is no JSON; elsewhere the stream just
        # ends too early.
        assert found.problem.code in {"truncated", "framing"}, size
    assert read_stream(RAW[:whole]).problem is None


def test_attack_09_a_cut_at_a_line_s_end_is_truncated() -> None:
    lines = RAW.split(b"\n\n")
    for count in range(len(lines) - 1):
        assert code(b"\n\n".join(lines[:count])) == "truncated"


def test_attack_09_a_body_that_broke_off_is_truncated_whatever_was_read() -> None:
    for size in range(0, len(RAW), 7):
        assert code(RAW[:size], ended=False) == "truncated"
    assert code(RAW, ended=False) == "truncated"


def test_attack_09_done_without_a_final_frame_is_truncated() -> None:
    assert code(sse(*CHUNKS[:-1])) == "truncated"
    assert code(sse()) == "truncated"


def test_attack_09_the_partial_text_is_kept_for_whoever_labels_it() -> None:
    assert read_stream(sse(*CHUNKS[:2], done=False)).text == "hé "


@pytest.mark.parametrize(
    "error",
    [
        {"error": "Stream processing failed"},
        {"error": "x", "exception_type": "ValueError"},
        {"error": {"message": "overloaded", "type": "server_error"}},
    ],
)
@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"])
def test_attack_09_the_host_s_own_error_frame_is_a_failure_of_its_own(
    error: dict[str, Any], tail: bytes
) -> None:
    found = read_stream(sse(*CHUNKS[:2], error, done=False) + tail)
    assert found.problem is not None and found.problem.code == "host-failure"
    assert found.frame is None


def test_attack_10_complete_but_unsigned() -> None:
    found = read_stream(stream(ANNA, signed=False))
    assert found.problem is not None and found.problem.code == "unsigned"
    assert (found.text, found.frame) == ("hi there", None)
    stripped = {key: None if key.startswith("tee_") else value for key, value in FINAL.items()}
    assert code(sse(*CHUNKS[:-1], stripped)) == "unsigned"


@pytest.mark.parametrize(
    "raw",
    [
        sse(*CHUNKS, FINAL),
        sse(*CHUNKS, chunk({"content": "more"})),
        sse(*CHUNKS, chunk({})),
        sse(*CHUNKS, {"error": "late"}),
        RAW + b"data: [DONE]\n\n",
        RAW + sse(chunk({"content": "more"}), done=False),
        RAW + b": comment\n",
        RAW + b"x",
        b"data: {not json}\n\n" + RAW,
        b"data: {\n\n" + RAW,
        b"data:\n\n" + RAW,
        b"data: [done]\n\n" + RAW,
        b"data: 5\n\n" + RAW,
        b"data: [1]\n\n" + RAW,
        b"event: message\n" + RAW,
        b"id: 1\n" + RAW,
        b"\xef\xbb\xbf" + RAW,
        b" data: {}\n" + RAW,
        RAW.replace(b"data: ", b"Data: "),
        RAW.replace(b"\n", b"\r"),
        sse({"choices": {}}, *CHUNKS),
        sse({"choices": ["x"]}, *CHUNKS),
        sse({"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]}, *CHUNKS),
        sse({"choices": [{"index": 1, "delta": {"content": "x"}}]}, *CHUNKS),
        sse({"choices": [{"index": False, "delta": {"content": "x"}}]}, *CHUNKS),
        sse({"choices": [{"delta": "x"}]}, *CHUNKS),
        sse(chunk({"content": 5}), *CHUNKS),
        sse(chunk({"content": [{"text": 5}]}), *CHUNKS),
        sse(chunk({"tool_calls": {}}), *CHUNKS),
        sse({"choices": [{"delta": {}, "finish_reason": 1}]}, *CHUNKS),
        sse(chunk({}, "tool_calls"), *CHUNKS),
        sse({"error": "x", "choices": []}, *CHUNKS),
        sse({**FINAL, "error": "x"}),
    ],
)
def test_attack_11_bad_framing(raw: bytes) -> None:
    assert code(raw) == "framing"


@pytest.mark.parametrize(
    "line",
    [
        b'{"choices": [], "choices": []}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": 1e999}',
        b"[" * 9999,
    ],
)
def test_attack_16_a_line_with_two_readings(line: bytes) -> None:
    assert code(b"data: " + line + b"\n\n" + RAW) == "ambiguous-json"
    duplicate = RAW.replace(b'"tee_timestamp"', b'"tee_timestamp": 1, "tee_timestamp"')
    assert code(duplicate) == "ambiguous-json"


# ------------------------------------------------------------------------------------------- bounds


def test_an_endless_line_is_not_kept() -> None:
    reader = StreamReader()
    for _ in range(module.MAX_LINE // 65536 + 2):
        reader.feed(b"x" * 65536)
    found = reader.finish()
    assert found.problem is not None and found.problem.code == "too-large"
    assert len(reader._pending) == 0
    assert found.raw_size == (module.MAX_LINE // 65536 + 2) * 65536


def test_a_line_that_is_too_long_is_refused_however_it_comes() -> None:
    line = sse(chunk({"content": "x" * module.MAX_LINE}), done=False)
    assert code(line + RAW) == "too-large"
    reader = StreamReader()
    for start in range(0, len(line), 1 << 20):
        assert reader.feed(line[start : start + (1 << 20)]) == []
    assert reader.finish().problem is not None


def test_an_endless_stream_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAM_BYTES", 1000)
    reader = StreamReader()
    filler = sse(chunk({"content": "x" * 300}), done=False)
    shown = [reader.feed(filler) for _ in range(10)]
    found = reader.finish()
    assert found.problem is not None and found.problem.code == "too-large"
    assert found.raw_size == 10 * len(filler)
    assert sum(map(len, shown)) == 1000 // len(filler)


def test_too_many_tool_calls_are_refused() -> None:
    many = [fragment(index, id="a") for index in range(module.MAX_TOOL_CALLS + 1)]
    assert code(sse(chunk({"tool_calls": many}), FINAL)) == "framing"


# ------------------------------------------------------------------------------------- never raises


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_any_bytes_give_evidence(pieces: list[bytes], ended: bool) -> None:
    reader = StreamReader()
    for piece in pieces:
        assert isinstance(reader.feed(piece), list)
    found = reader.finish(ended)
    raw = b"".join(pieces)
    assert (found.raw_sha256, found.raw_size) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert found.problem is not None


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_a_changed_byte_never_raises(at: int, value: int) -> None:
    changed = bytearray(RAW)
    changed[at] = value
    found = read_stream(bytes(changed))
    assert found.raw_sha256 == hashlib.sha256(changed).hexdigest()


keys = st.sampled_from(
    [
        "choices",
        "delta",
        "content",
        "tool_calls",
        "index",
        "id",
        "function",
        "error",
        "tee_id",
        "usage",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(values, max_size=3))
def test_any_json_gives_evidence(messages: list[Any]) -> None:
    found = read_stream(sse(*(json.dumps(message) for message in messages), FINAL))
    assert found.problem is None or found.problem.code in {"framing", "host-failure"}
