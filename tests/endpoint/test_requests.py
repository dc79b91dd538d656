"""A request becomes a prompt whole, or is refused by the name of what cannot be carried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opg_magic.endpoint.chat_request import ChatRequest, read_request
from opg_magic.endpoint.refusal import Refusal
from opg_magic.protocol.request_body import build_body
from opg_magic.settings.config import Settings

MODEL = "openai/gpt-5"
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)


def read(settings: Settings, **body: Any) -> ChatRequest:
    whole = {"model": MODEL, "messages": [USER], **body}
    return read_request(json.dumps(whole).encode(), settings, "sim")


def sent(asked: ChatRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build_body(asked.prompt))
    return found


def test_everything_that_the_protocol_carries_is_sent(settings: Settings) -> None:
    asked = read(
        settings,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        max_tokens=40,
        stop=["END"],
        tools=[TOOL],
        tool_choice="required",
        response_format=SCHEMA,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert sent(asked) == {
        "model": "gpt-5",
        "messages": [USER],
        "temperature": 0.5,
        "max_tokens": 40,
        "stop": ["END"],
        "tools": [TOOL],
        "tool_choice": "required",
        "response_format": SCHEMA,
        "top_p": 0.9,
        "seed": 7,
        "stream": True,
    }
    assert asked.include_usage and asked.has_tools
    # A host may ignore these, and its signature would not show it: so the client is told.
    assert asked.unsigned == ("seed", "tool_choice", "top_p")


@pytest.mark.parametrize(
    ("given", "carried"),
    [
        ({"max_completion_tokens": 9}, {"max_tokens": 9}),
        ({"max_completion_tokens": 9, "max_tokens": 9}, {"max_tokens": 9}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": []}, {}),
        ({"top_p": 1}, {}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        # What a client writes without meaning anything by it.
        ({"n": 1, "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0.0}, {}),
        ({"user": None, "logit_bias": {}, "store": False, "parallel_tool_calls": True}, {}),
        ({"service_tier": "auto", "modalities": ["text"], "metadata": {}, "functions": None}, {}),
    ],
)
def test_other_words_for_the_same_and_defaults(
    settings: Settings, given: dict[str, Any], carried: dict[str, Any]
) -> None:
    expected = {"model": "gpt-5", "messages": [USER], "temperature": 0.0, **carried}
    assert sent(read(settings, **given)) == expected


def test_all_roles_and_forms_of_messages(settings: Settings) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": parts},
        {"role": "user", "content": parts[:1]},
        # As the openai client writes an answer that is sent back.
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "tool_calls": [{**CALL, "index": 0}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": parts},
    ]
    assert sent(read(settings, messages=messages))["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "system", "content": "ab"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": parts},
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"n": 2}, {"n": True}, {"logprobs": True}, {"top_logprobs": 3}, {"logit_bias": {"5": 1}},
        {"presence_penalty": 0.1}, {"frequency_penalty": -1}, {"user": "me"}, {"store": True},
        {"metadata": {"a": "b"}}, {"parallel_tool_calls": False}, {"reasoning_effort": "low"},
        {"service_tier": "flex"}, {"modalities": ["audio"]}, {"audio": {"voice": "x"}},
        {"functions": [{}]}, {"function_call": "auto"}, {"web_search_options": {}},
        {"prediction": {}}, {"verbosity": "low"}, {"extra": 1}, {"best_of": 1},
        {"settle": "batch"}, {"host": "0x00"},
    ],
    ids=lambda given: next(iter(given)),
)  # fmt: skip
def test_what_is_not_carried_is_refused_by_name(settings: Settings, given: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(settings, **given)
    (name,) = given
    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameter")
    assert refused.value.param == name and name in refused.value.message


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{**USER, "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "x", "cache_control": {"a": 1}}],
                    }
                ]
            },
            "messages[0].content[0].cache_control",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "extra": 1}]}]},
            "messages[0].tool_calls[0].extra",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": None}]}]},
            "messages[0].tool_calls[0].id",
        ),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": True}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": 7}, "stop"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": {"type": "function"}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": " "}}]}, "tools"),
        # A provider would refuse these, when the payment is signed.
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]},
            "tools[0].function.strict",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 7}}},
            "response_format.json_schema.schema",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
        ),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(
    settings: Settings, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refusal) as refused:
        read(settings, **given)
    assert refused.value.status == 400
    assert refused.value.param == param and param in refused.value.message


@pytest.mark.parametrize(
    "raw",
    [b"", b"hi", b"[]", b'{"model": "a", "model": "b"}', b'{"temperature": NaN}', b'"\xff"',
     b"[" * 5000],
    ids=["empty", "words", "list", "twice", "nan", "bytes", "deep"],
)  # fmt: skip
def test_what_cannot_be_read_in_one_way_is_refused(settings: Settings, raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_request(raw, settings, "sim")
    assert refused.value.status == 400


def test_an_unknown_model_is_not_found_and_near_ones_are_named(settings: Settings) -> None:
    with pytest.raises(Refusal, match=r"gpt-5") as refused:
        read(settings, model="gpt-55")
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
    assert read(settings, model="gpt-5").prompt.model == "gpt-5"
