"""Answers as they come: their last piece leaves only once they have passed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from support.serving import Served, behave
from support.simnet import RunningSimnet

from opg_magic.models import VerdictStatus
from opg_magic.simnet.cheats import modes
from opg_magic.simnet.host.conduct import Honest

MODEL = "openai/gpt-5"
QUESTION = [{"role": "user", "content": "Is 97 prime?"}]
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def streamed(served: Served, **more: Any) -> tuple[httpx.Response, str, bool]:
    """The response with all of its body that came, and whether that was the whole."""
    body, whole = "", True
    request = {"model": MODEL, "messages": QUESTION, "stream": True, **more}
    with served.raw() as client, client.stream("POST", "/chat/completions", json=request) as got:
        try:
            for part in got.iter_text():
                body += part
        except httpx.RemoteProtocolError:
            whole = False
    return got, body, whole


def events(body: str) -> list[Any]:
    """The events of a stream, parsed; ``[DONE]`` as it is."""
    data = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def text_of(chunks: list[Any]) -> str:
    choices = [one["choices"] for one in chunks if one != "[DONE]" and one.get("choices")]
    return "".join(choice[0]["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize("route", ["direct", "private"])
def test_pieces_pass_and_the_end_says_what_it_is_worth(
    serve, honest_simnet: RunningSimnet, route: str
) -> None:
    served: Served = serve(route=route)
    behave(honest_simnet, Honest(), pause=0.02)
    response, body, whole = streamed(served)
    *pieces, end, done = events(body)
    receipt = served.receipt()
    assert whole and done == "[DONE]"
    assert len(pieces) > 3
    assert text_of(pieces) == ANSWER
    assert pieces[0]["choices"][0]["delta"]["role"] == "assistant"
    assert {piece["choices"][0]["finish_reason"] for piece in pieces} == {None}
    assert end["choices"][0]["finish_reason"] == "stop"
    assert end["opg"]["receipt"] == receipt.id and end["opg"]["verdict"] == "SIMULATED"
    assert len({one["id"] for one in (*pieces, end)}) == 1
    # Known at the end alone: not in the headers, but in a comment, and in the last chunk.
    assert "x-opg-receipt" not in response.headers
    assert f': x-opg-verdict="SIMULATED" x-opg-receipt="{receipt.id}"' in body


def test_the_real_client_reads_it_with_its_usage(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, Honest(), pause=0.02)
    stream = served.client().chat.completions.create(
        model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == ANSWER
    assert [bool(c.usage) for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 5
    assert chunks[-2].opg["receipt"] == served.receipt().id


def test_what_comes_at_once_has_its_verdict_in_the_headers(serve) -> None:
    served: Served = serve(strict=True)
    response, body, _ = streamed(served)
    assert response.headers["x-opg-receipt"] == served.receipt().id
    assert response.headers["x-opg-verdict"] == "SIMULATED"
    assert text_of(events(body)) == ANSWER


#: One of each kind; tests/verify and tests/simnet have them all.
LIES = [
    "change-byte", "sign-other-request", "foreign-key", "unsigned-stream", "cut-stream",
    "quiet-cut", "error-mid-stream", "text-after-final", "corrupt-line",
]  # fmt: skip


@pytest.mark.parametrize(
    ("route", "lie"),
    [*(("direct", lie) for lie in LIES), ("private", "foreign-key"), ("private", "quiet-cut")],
)
def test_a_lying_hosts_answer_never_gets_its_last_byte_out(
    serve, honest_simnet: RunningSimnet, route: str, lie: str
) -> None:
    served: Served = serve(route=route)
    behave(honest_simnet, modes.make(lie), pause=0.02)
    response, body, whole = streamed(served)
    chunks = events(body)
    receipt = served.receipt()
    came = receipt.text or ""
    assert receipt.verdict_at_creation.outcome is not VerdictStatus.VERIFIED
    assert "[DONE]" not in chunks
    assert not any(
        choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", ())
    )
    released = text_of(chunks)
    assert len(released) < len(came) or not came
    if response.status_code == 200:
        # Something had left: the error ends the stream, which is cut off besides.
        assert released and not whole
        error = chunks[-1]["error"]
    else:
        assert not released
        error = json.loads(body)["error"]
        assert response.headers["x-opg-receipt"] == receipt.id
    assert error["opg"]["receipt"] == receipt.id
    assert error["code"] in {"answer_withheld", "answer_unverified", "host_failure", "call_failed"}


def test_the_real_client_raises_where_the_verdict_fails(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, modes.make("foreign-key"), pause=0.02)
    seen = ""
    with pytest.raises(openai.APIError, match="the signature check failed") as failed:
        for chunk in served.client().chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True
        ):
            seen += chunk.choices[0].delta.content or ""
    assert seen and ANSWER.startswith(seen) and seen != ANSWER
    assert failed.value.body["opg"]["receipt"] == served.receipt().id


def test_strict_releases_nothing_of_a_lie(serve, honest_simnet: RunningSimnet) -> None:
    served: Served = serve(strict=True)
    behave(honest_simnet, modes.make("foreign-key"), pause=0.02)
    with pytest.raises(openai.InternalServerError) as failed:
        served.client().chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    assert failed.value.status_code == 502
    assert failed.value.response.headers["x-opg-verdict"] == "SIMULATED FAILED"
    # The client did not ask again by itself: that would have been paid for.
    assert failed.value.response.headers["x-opg-receipt"] == served.receipt().id


class BesideTools(Honest):
    """Says something beside its tool call, which no signature covers."""

    async def events(self, events):
        said = False
        async for event in super().events(events):
            if not said:
                said = True
                delta = {"role": "assistant", "content": "I will look it up."}
                choice = {"index": 0, "delta": delta, "finish_reason": None}
                yield f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
            yield event


@pytest.mark.parametrize("stream", [True, False])
def test_tool_calls_come_whole_and_checked(
    served: Served, honest_simnet: RunningSimnet, stream: bool
) -> None:
    behave(honest_simnet, BesideTools() if stream else Honest(), pause=0.02)
    client = served.client()
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    made = client.chat.completions.create(
        model=MODEL, messages=asked, tools=[WEATHER], stream=stream
    )
    if stream:
        first, end = list(made)
        message, reason = first.choices[0].delta, end.choices[0].finish_reason
    else:
        message, reason = made.choices[0].message, made.choices[0].finish_reason
    (call,) = message.tool_calls
    assert message.content is None and reason == "tool_calls"
    assert call.function.name == "get_weather" and call.id
    assert isinstance(json.loads(call.function.arguments), dict)
    told = client.chat.completions.create(
        model=MODEL,
        messages=[
            *asked,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {
                            "name": call.function.name,
                            "arguments": call.function.arguments,
                        },
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "18 °C"},
        ],
        tools=[WEATHER],
    )
    assert told.choices[0].message.content == "The tool answered: 18 °C"
    assert len(served.receipts()) == 2
