"""A request to ``opg serve``, however spoilt: refused by name, or carried whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzzing import FUZZ, ODD, replaced, spoilt

from opg_magic.endpoint.chat_request import ChatRequest, read_request
from opg_magic.endpoint.refusal import Refusal
from opg_magic.errors import PromptError
from opg_magic.protocol.request_body import build_body
from opg_magic.settings.config import Settings

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
WHOLE: dict[str, Any] = {
    "model": "openai/gpt-5",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "max_tokens": 40,
    "stop": ["END"],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 1,
    "logprobs": False,
    "user": None,
}
SETTINGS = Settings(environ={}, user_file=Path("/nowhere"), project_dir=Path("/nowhere"))


def read(raw: bytes) -> ChatRequest | None:
    """The request, None where it is refused: with a status of the client's, and in JSON."""
    try:
        return read_request(raw, SETTINGS, "sim")
    except Refusal as refused:
        assert refused.status in (400, 404)
        told = refused.document()["error"]
        assert json.loads(json.dumps(told)) == told and told["message"]
        assert len(told["message"]) < 2000
        return None


def sent(asked: ChatRequest) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(build_body(asked.prompt))
    except PromptError:  # refused before anything is signed
        return None
    return found


@FUZZ
@given(spoilt(json.dumps(WHOLE).encode()))
def test_bytes(raw: bytes) -> None:
    asked = read(raw)
    if asked is not None:
        sent(asked)


@FUZZ
@given(replaced(WHOLE))
def test_parts_replaced(whole: Any) -> None:
    asked = read(json.dumps(whole).encode("utf-8", "surrogatepass"))
    if asked is not None:
        sent(asked)


#: Carried by these names; by another; or saying nothing about the answer that is asked for.
CARRIED = ("temperature", "top_p", "seed", "tools", "tool_choice", "response_format")
RENAMED = ("model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream")


@FUZZ
@given(st.dictionaries(st.sampled_from([*WHOLE, "user", "functions", "x"]), ODD, max_size=4))
def test_nothing_is_left_out_in_silence(given: dict[str, Any]) -> None:
    whole = {"model": "openai/gpt-5", "messages": [{"role": "user", "content": "hi"}], **given}
    asked = read(json.dumps(whole).encode("utf-8", "surrogatepass"))
    body = None if asked is None else sent(asked)
    if body is None:
        return
    for name in CARRIED:
        value = whole.get(name)
        nothing = value in (None, [], "auto", "none", {"type": "text"}) or (name, value) == (
            "top_p",
            1,
        )
        assert nothing or body[name] == value, name
    unknown = {*whole} - {*CARRIED, *RENAMED, "stream_options"}
    defaults = {"n": 1, "logprobs": False, "user": None, "functions": None, "x": None}
    assert all(whole[name] in (None, defaults[name]) for name in unknown)


@pytest.mark.parametrize("depth", [60, 100, 100_000])
def test_a_deep_one(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    read(b'{"model": "openai/gpt-5", "messages": ' + nested + b"}")
