"""The scripted model: deterministic, honest about itself, valid for tools and schemas; and the
relay to a server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.simnet import RunningSimnet, chat, client

from opg_magic.errors import SimnetError
from opg_magic.protocol.reply import read_reply
from opg_magic.protocol.sse import read_stream
from opg_magic.simnet.model.instances import instance
from opg_magic.simnet.model.knowledge import reply_to
from opg_magic.simnet.model.scripted import ScriptedModel, answer
from opg_magic.simnet.model.tokens import split_tokens
from opg_magic.simnet.model.upstream import Upstream


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is 97 prime?", "Yes. 97 is prime: no number from 2 to 9 divides it."),
        ("is 1 prime", "No. 1 is not prime: primes begin at 2."),
        ("Is 0 prime?", "No. 0 is not prime: primes begin at 2."),
        ("Is 2 prime?", "Yes. 2 is prime: no number from 2 to 1 divides it."),
        ("Is 91 a prime number?", "No. 91 is not prime: 91 = 7 × 13."),
        (
            "Is 999999999999999989 prime",
            "Yes. 999999999999999989 is prime: no number from 2 to 999999999 divides it.",
        ),
        (
            "Is 1000036000099 prime?",
            "No. 1000036000099 is not prime: 1000036000099 = 1000003 × 1000033.",
        ),
        ("What is 12 * 13 + 1?", "12 * 13 + 1 = 157"),
        ("2 plus 2", "2 + 2 = 4"),
        ("What is 7 / 2?", "7 / 2 = 3.5"),
        ("What is (1 + 2) × 3?", "(1 + 2) * 3 = 9"),
        ("What is the capital of Kenya?", "The capital of Kenya is Nairobi."),
        ("Repeat: a b", "a b"),
        ("The first 5 primes?", "2, 3, 5, 7, 11."),
    ],
)
def test_known_answers(question: str, expected: str) -> None:
    assert reply_to(question, "") == expected


def test_it_says_what_it_is() -> None:
    for question in (
        "Who are you?",
        "Which model is this?",
        "Are you GPT-5?",
        "What is your name?",
    ):
        assert "scripted model" in reply_to(question, "")
    assert "scripted model" in reply_to("What will the weather be like in ten years?", "")


def test_a_division_by_zero_or_a_huge_power_is_no_arithmetic() -> None:
    assert "scripted model" in reply_to("1 / 0", "")
    assert "scripted model" in reply_to("9 ** 9999999", "")
    assert "scripted model" in reply_to("9**9**9**9", "")


@given(st.text(max_size=300), st.integers(min_value=0, max_value=40))
def test_equal_requests_get_equal_answers(question: str, limit: int) -> None:
    body = chat(question, max_tokens=limit)
    first, second = (
        answer(body, "chat"),
        answer({**body, "temperature": 1.9, "stop": ["a"]}, "chat"),
    )
    assert first == second
    assert len(first.pieces) <= (limit or 4096)
    assert first.usage.completion_tokens == len(first.pieces)


@given(st.text(max_size=200))
def test_tokens_joined_give_the_text_back(text: str) -> None:
    assert "".join(split_tokens(text)) == text


def test_max_tokens_is_honoured_and_zero_runs_on() -> None:
    long = chat("What does a TEE protect against?")
    assert answer({**long, "max_tokens": 3}, "chat").text == "A trusted executi"
    assert len(answer({**long, "max_tokens": 0}, "chat").pieces) > 50


def test_a_system_prompt_is_honoured_lightly() -> None:
    body = chat("What does a TEE protect against?")
    whole = answer(body, "chat").text

    def under(system: str) -> str:
        return answer(
            {**body, "messages": [{"role": "system", "content": system}, *body["messages"]]}, "chat"
        ).text

    assert under("Be brief.") == whole[: whole.index(". ") + 1]
    assert under("Answer in capitals.") == whole.upper()
    assert under("You are a pirate.").startswith("Arr! ")


def test_images_are_dropped_as_observed() -> None:
    parts = [
        {"type": "text", "text": "Is 97 prime?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
    ]
    assert answer({"messages": [{"role": "user", "content": parts}]}, "chat").text.startswith(
        "Yes. 97"
    )


async def test_a_stream_says_the_same_as_the_whole() -> None:
    model = ScriptedModel(0)
    body = chat("What does a TEE protect against?")
    whole = await model.reply(body, "chat")
    steps = [step async for step in model.stream(body, "chat")]
    assert "".join(step.text or "" for step in steps) == whole.text
    assert (steps[-1].finish_reason, steps[-1].usage) == ("stop", whole.usage)
    assert [step.finish_reason for step in steps[:-1]] == [None] * (len(steps) - 1)


def tool(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.mark.parametrize(
    ("question", "called"),
    [
        ("What is the weather in Paris?", "get_weather"),
        ("call get_weather", "get_weather"),
        ("Please use lookupStock for ACME", "lookupStock"),
        ("What stock should I look at?", "lookupStock"),
        ("Is 97 prime?", None),
        ("Get me the list of it all", None),
    ],
)
def test_a_tool_is_called_when_the_prompt_mentions_it(question: str, called: str | None) -> None:
    tools = [tool("get_weather", CITY), tool("lookupStock", {"type": "object", "properties": {}})]
    reply = answer(chat(question, tools=tools), "chat")
    assert [c["function"]["name"] for c in reply.tool_calls] == ([called] if called else [])
    assert reply.finish_reason == ("tool_calls" if called else "stop")


SCHEMAS: list[dict[str, Any]] = [
    CITY,
    {"type": "integer", "minimum": 7, "maximum": 9},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "multipleOf": 5, "minimum": 12},
    {"type": "string", "minLength": 300, "maxLength": 310},
    {"type": "string", "maxLength": 3},
    {"type": "string", "enum": ["red", "green"]},
    {"const": [1, {"a": None}]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {"type": ["null", "boolean"]},
    {"type": "null"},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "allOf": [CITY, {"properties": {"n": {"type": "integer"}}, "required": ["n"]}],
        "type": "object",
    },
    {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}},
        "required": ["tree"],
        "additionalProperties": False,
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "children"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: json.dumps(s)[:40])
@pytest.mark.parametrize("question", ["Is 97 prime?", "What is the weather in Paris?", ""])
def test_an_instance_is_valid_for_its_schema(schema: dict[str, Any], question: str) -> None:
    value = instance(schema, question)
    jsonschema.validate(value, schema)
    assert value == instance(schema, question)


def test_an_instance_takes_what_it_can_from_the_question() -> None:
    assert instance(CITY, "What is the weather in New Delhi?") == {"city": "New Delhi"}
    assert instance({"type": "boolean"}, "Is 97 prime?") is True
    assert instance({"type": "boolean"}, "Is 91 prime?") is False
    assert instance({"enum": ["red", "green"]}, "I like green") == "green"


def test_json_object_gives_an_object() -> None:
    text = answer(chat("Is 97 prime?", response_format={"type": "json_object"}), "chat").text
    assert json.loads(text)["answer"].startswith("Yes.")


# ----------------------------------------------------------------------------------------- upstream


class Server:
    """A tiny OpenAI-compatible server."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.authorisation: str | None = None
        self.broken = ""
        self.url = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.authorisation = request.headers.get("Authorization")
        if self.broken == "500":
            return web.Response(status=500)
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if body.get("tools"):
            call = {
                "index": 0,
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a":1}'},
            }
            message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
        else:
            message = {"role": "assistant", "content": "Hello, world"}
        if not body["stream"]:
            choice = {"index": 0, "message": message, "finish_reason": "length"}
            return web.json_response({"model": "tiny:1b", "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        deltas: list[Any] = (
            [message] if body.get("tools") else [{"content": "Hello, "}, {"content": "world"}]
        )
        for delta in deltas:
            chunk = {
                "model": "tiny:1b",
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            }
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        if self.broken == "mid-stream":
            return response
        last = {"model": "tiny:1b", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        await response.write(f"data: {json.dumps(last)}\n\n".encode())
        await response.write(
            f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode()
        )
        return response

    async def completion(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        return web.json_response({"model": "tiny:1b", "choices": [{"text": " upon a time"}]})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/completions", server.completion)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def relayed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningSimnet]:
    import asyncio

    monkeypatch.setenv("OPG_HOME", str(tmp_path))
    monkeypatch.setenv("OPG_SIMNET_UPSTREAM_KEY", "a-key")
    running = RunningSimnet(model=Upstream(server.url))
    await asyncio.to_thread(running.__enter__)
    yield running
    await asyncio.to_thread(running.__exit__)


async def test_an_upstream_answers_and_the_host_signs(
    relayed: RunningSimnet, server: Server
) -> None:
    body = {"model": "tiny:1b", "messages": [{"role": "user", "content": "x"}], "temperature": 0.0}
    async with client(relayed) as c:
        plain = read_reply((await c.pay(body)).content)
        stream = read_stream((await c.ask({**body, "stream": True})).content)
        tools = {**body, "tools": [tool("f", CITY)]}
        plain_call = read_reply((await c.ask(tools)).content)
        stream_call = read_stream((await c.ask({**tools, "stream": True})).content)
    for evidence in (plain, stream):
        assert evidence.problem is None
        assert (evidence.text, evidence.model, evidence.finish_reason) == (
            "Hello, world",
            "tiny:1b",
            "stop",
        )
        assert dict(evidence.usage or {})["completion_tokens"] == 2
    for evidence in (plain_call, stream_call):
        assert evidence.problem is None
        assert evidence.finish_reason == "tool_calls"
        (call,) = json.loads(evidence.tool_calls or "")
        assert (call["id"], json.loads(call["function"]["arguments"])) == ("c1", {"a": 1})
    assert server.requests[0] == {**body, "stream": False}
    assert server.authorisation == "Bearer a-key"
    assert relayed.net.status()["model"] == server.url


async def test_an_upstream_completes(relayed: RunningSimnet, server: Server) -> None:
    body = {"model": "tiny:1b", "prompt": "Once", "max_tokens": 5, "temperature": 0.0}
    async with client(relayed) as c:
        answer_ = await c.pay(body, "/v1/completions")
    assert read_reply(answer_.content, "completion").text == " upon a time"


async def test_an_upstream_that_is_down_is_http_500_or_an_error_frame(
    relayed: RunningSimnet, server: Server
) -> None:
    server.broken = "500"
    async with client(relayed) as c:
        whole = await c.pay(chat("x"))
        streamed = await c.pay(chat("x", stream=True))
        assert c.host.sessions._by_id[c.session or ""].charged == 0
    assert (whole.status_code, whole.json()) == (500, {"error": "Request processing failed"})
    assert (streamed.status_code, streamed.text) == (
        200,
        'data: {"error": "Stream processing failed"}\n\n',
    )


async def test_an_upstream_that_breaks_off_is_the_recorded_error_frame(
    relayed: RunningSimnet, server: Server
) -> None:
    server.broken = "mid-stream"
    async with client(relayed) as c:
        answer_ = await c.pay(chat("x", stream=True))
        assert c.host.sessions._by_id[c.session or ""].charged == 0
    assert answer_.text.endswith('data: {"error": "Stream processing failed"}\n\n')
    assert "[DONE]" not in answer_.text


def test_an_upstream_needs_a_url() -> None:
    with pytest.raises(SimnetError, match="http"):
        Upstream("localhost:11434")
    assert Upstream("http://127.0.0.1:11434").base == Upstream("http://127.0.0.1:11434/v1/").base
