"""A request for a response becomes a chat request whole, or is refused by the name of what that
cannot say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opg_magic.endpoint.refusal import Refusal
from opg_magic.endpoint.response_request import ResponseRequest, read_response_request
from opg_magic.protocol.request_body import build_body
from opg_magic.settings.config import Settings

MODEL = "openai/gpt-5"
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
CHAT_TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object"}, "strict": True},
}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)


def read(settings: Settings, **body: Any) -> ResponseRequest:
    whole = {"model": MODEL, "input": "hi", **body}
    return read_response_request(json.dumps(whole).encode(), settings, "sim")


def sent(asked: ResponseRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build_body(asked.prompt))
    return found


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "look", "arguments": "{}", **more}


def output(name: str, said: Any = "42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": said}


def chat_call(name: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def test_everything_that_a_chat_request_can_say_is_sent(settings: Settings) -> None:
    asked = read(
        settings,
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=40,
        tools=[TOOL],
        tool_choice={"type": "function", "name": "look"},
        text={"format": SCHEMA},
        stream=True,
        metadata={"a": "b"},
    )
    assert sent(asked) == {
        "model": "gpt-5",
        "messages": [{"role": "system", "content": "Be brief."}, USER],
        "temperature": 0.5,
        "max_tokens": 40,
        "tools": [CHAT_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
        },
        "top_p": 0.9,
        "stream": True,
    }
    assert asked.stream and asked.has_tools and asked.prompt.text == "hi"
    assert asked.unsigned == ("tool_choice", "top_p") and asked.unsent == ("metadata",)
    assert asked.told["tools"] == [TOOL] and asked.told["text"] == {"format": SCHEMA}


@pytest.mark.parametrize(
    ("given", "carried"),
    [
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [CHAT_TOOL]}),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            {"tools": [CHAT_TOOL], "tool_choice": "required"},
        ),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        (
            {"tools": [{**TOOL, "description": None, "defer_loading": False}]},
            {"tools": [CHAT_TOOL]},
        ),
        # What a client writes without meaning anything by it.
        ({"store": True, "top_p": 1, "background": False, "truncation": "disabled"}, {}),
        ({"store": False, "parallel_tool_calls": True, "service_tier": "auto"}, {}),
        ({"include": [], "reasoning": {"effort": None}, "top_logprobs": 0, "user": None}, {}),
        ({"stream_options": {"include_obfuscation": False}, "previous_response_id": None}, {}),
    ],
)
def test_other_words_for_the_same_and_defaults(
    settings: Settings, given: dict[str, Any], carried: dict[str, Any]
) -> None:
    expected = {"model": "gpt-5", "messages": [USER], "temperature": 0.0, **carried}
    asked = read(settings, **given)
    assert sent(asked) == expected and asked.unsent == ()


def test_what_no_answer_depends_on_is_accepted_and_named(settings: Settings) -> None:
    asked = read(
        settings,
        include=["reasoning.encrypted_content"],
        reasoning={"summary": "auto"},
        prompt_cache_key="thread 7",
        client_metadata={"turn": "1"},
    )
    assert sent(asked) == sent(read(settings))
    assert asked.unsent == ("client_metadata", "include", "prompt_cache_key", "reasoning.summary")


def test_a_conversation_is_sent_as_messages(settings: Settings) -> None:
    texts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    said = {"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}
    given = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "system", "content": texts},
        {"role": "user", "content": texts[:1]},
        # As the openai client writes what it sends back.
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
         "content": [said], "phase": None},
        call("c1", id="fc_1", status="completed", namespace=None),
        call("c2"),
        output("c2", [{"type": "input_text", "text": "4"}, {"type": "input_text", "text": "2"}]),
        output("c1"),
        call("c3"),
        output("c3", ""),
        {"role": "user", "content": texts},
    ]  # fmt: skip
    assert sent(read(settings, input=given, instructions="You help."))["messages"] == [
        {"role": "system", "content": "You help."},
        {"role": "system", "content": "be brief"},
        {"role": "system", "content": "ab"},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [chat_call("c1"), chat_call("c2")],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c2"},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "", "tool_calls": [chat_call("c3")]},
        {"role": "tool", "content": "", "tool_call_id": "c3"},
        {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}},
        {"background": True}, {"truncation": "auto"}, {"top_logprobs": 3}, {"user": "me"},
        {"parallel_tool_calls": False}, {"service_tier": "flex"}, {"max_tool_calls": 1},
        {"safety_identifier": "me"}, {"context_management": [{}]}, {"moderation": {"model": "m"}},
        {"messages": [USER]}, {"max_tokens": 5}, {"seed": 7}, {"stop": "x"}, {"extra": 1},
        {"response_format": {"type": "json_object"}}, {"frequency_penalty": 1},
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
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {**SCHEMA, "x": 1}}}, "text.format.x"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "tools[1].web_search"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].mcp"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].item_reference"),
        ({"input": [USER, {"type": "reasoning", "summary": []}]}, "input[1].reasoning"),
        ({"input": [{**USER, "name": "Ann"}]}, "input[0].name"),
        ({"input": [{**USER, "tool_calls": [{}]}]}, "input[0].tool_calls"),
        (
            {"input": [{"role": "assistant", "content": "x", "phase": "commentary"}]},
            "input[0].phase",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].input_image",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].input_file",
        ),
        (
            {"input": [call("c"), output("c", [{"type": "input_image", "file_id": "f"}])]},
            "input[1].output[0].input_image",
        ),
        ({"input": [call("c", namespace="n"), output("c")]}, "input[0].namespace"),
    ],
)
def test_a_part_that_is_not_carried_is_refused_by_its_place(
    settings: Settings, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refusal) as refused:
        read(settings, **given)
    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameter")
    assert refused.value.param == param and param in refused.value.message


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        ({"input": [call("c")]}, "input[0]"),
        ({"input": [call("c"), USER, output("c")]}, "input[0]"),
        ({"input": [output("c")]}, "input[0].call_id"),
        ({"input": [call("c"), call("c"), output("c")]}, "input[1].call_id"),
        ({"input": [call("c", arguments={}), output("c")]}, "input[0].arguments"),
        ({"input": [call("c"), output("c", None)]}, "input[1].output"),
        ({"instructions": ["be brief"]}, "instructions"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"text": "json"}, "text"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"text": {"format": {**SCHEMA, "name": ""}}}, "text.format"),
        ({"text": {"format": {**SCHEMA, "schema": []}}}, "text.format.schema"),
        ({"text": {"format": {**SCHEMA, "strict": "yes"}}}, "text.format.strict"),
        ({"tools": {}}, "tools"),
        ({"tools": ["look"]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "look"}}]}, "tools[0].name"),
        ({"tools": [{**TOOL, "parameters": "x"}]}, "tools[0].parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"include": "reasoning.encrypted_content"}, "include"),
        ({"reasoning": "low"}, "reasoning"),
        ({"prompt_cache_key": 5}, "prompt_cache_key"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(
    settings: Settings, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refusal) as refused:
        read(settings, **given)
    assert (refused.value.status, refused.value.code) == (400, "invalid_value")
    assert refused.value.param == param and param in refused.value.message


def test_an_unknown_model_is_not_found_whatever_else_is_wrong(settings: Settings) -> None:
    with pytest.raises(Refusal, match=r"gpt-5") as refused:
        read(settings, model="gpt-55", input=5)
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
