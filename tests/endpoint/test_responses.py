"""``/v1/responses``, by the real ``openai`` client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel
from support.serving import Served, behave
from support.simnet import RunningSimnet

from opg_magic.simnet.cheats import modes
from opg_magic.simnet.host.conduct import Honest

MODEL = "openai/gpt-5"
QUESTION = "Is 97 prime?"
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.mark.parametrize("route", ["direct", "private"])
def test_an_answer_has_its_verdict_and_its_receipt(serve, route: str) -> None:
    served: Served = serve(route=route)
    raw = served.client().responses.with_raw_response.create(
        model=MODEL,
        input=QUESTION,
        instructions="Be brief.",
        max_output_tokens=40,
        metadata={"study": "7"},
    )
    answer = raw.parse()
    receipt = served.receipt()
    assert answer.output_text == "Yes." == receipt.text
    assert (answer.status, answer.model, answer.store) == ("completed", MODEL, False)
    assert (answer.instructions, answer.max_output_tokens) == ("Be brief.", 40)
    assert answer.metadata == {"study": "7"}
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert raw.headers["x-opg-verdict"] == "SIMULATED" == answer.opg["verdict"]
    assert raw.headers["x-opg-receipt"] == receipt.id == answer.opg["receipt"]
    assert answer._request_id == receipt.id
    sent = json.loads(receipt.document["request"]["body"])
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]
    assert sent["max_tokens"] == 40


def test_a_stream_has_every_event_in_its_order(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, Honest(), pause=0.02)
    events = list(served.client().responses.create(model=MODEL, input=QUESTION, stream=True))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas > 3
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    last = events[-1].response
    assert text == ANSWER == last.output_text
    assert last.opg["receipt"] == served.receipt().id and last.id == events[0].response.id
    assert last.usage.output_tokens > 5
    assert events[0].response.status == "in_progress" and events[0].response.output == []


class Prime(BaseModel):
    number: int
    prime: bool


def test_a_class_is_parsed(served: Served) -> None:
    parsed = served.client().responses.parse(model=MODEL, input=QUESTION, text_format=Prime)
    assert isinstance(parsed.output_parsed, Prime)
    with served.client().responses.stream(model=MODEL, input=QUESTION, text_format=Prime) as stream:
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Prime)
    form = json.loads(served.receipts()[0].document["request"]["body"])["response_format"]
    assert form["json_schema"]["name"] == "Prime" and form["json_schema"]["strict"] is True


@pytest.mark.parametrize("stream", [True, False])
def test_functions_are_called_and_answered(served: Served, stream: bool) -> None:
    client = served.client()
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    made = client.responses.create(model=MODEL, input=asked, tools=[WEATHER], stream=stream)
    if stream:
        events = list(made)
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
        made = events[-1].response
        assert events[3].delta == events[4].arguments == made.output[0].arguments
    (call,) = made.output
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert json.loads(call.arguments)["city"] == "Paris" and made.output_text == ""
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"}
    again = client.responses.create(
        model=MODEL, input=[*asked, *made.output, told], tools=[WEATHER], store=True
    )
    assert again.output_text == "The tool answered: 18 °C"
    # What is sent back of an answer is what the client has of it.
    more = [*asked, *made.output, told, *again.output, {"role": "user", "content": QUESTION}]
    assert client.responses.create(model=MODEL, input=more).output_text == ANSWER
    assert len(served.receipts()) == 3


class TellsLength(Honest):
    """Says why it ended.  Hosts of April 2026 say "stop" here, too."""

    async def events(self, events):
        async for event in super().events(events):
            yield event.replace(b'"finish_reason": "stop"', b'"finish_reason": "length"').replace(
                b'"finish_reason":"stop"', b'"finish_reason":"length"'
            )


def test_an_answer_that_was_cut_short_is_incomplete(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, TellsLength(), pause=0.02)
    events = list(
        served.client().responses.create(
            model=MODEL, input=QUESTION, max_output_tokens=3, stream=True
        )
    )
    assert [event.type for event in events[-2:]] == [
        "response.output_item.done",
        "response.incomplete",
    ]
    last = events[-1].response
    assert (last.status, last.output[0].status) == ("incomplete", "incomplete")
    assert last.incomplete_details.reason == "max_output_tokens"
    assert ANSWER.startswith(last.output_text) and last.output_text != ANSWER


def refused(served: Served, **more: Any) -> openai.APIStatusError:
    """The error of the real client, which may try again as often as it likes."""
    with pytest.raises(openai.APIStatusError) as caught:
        served.client(max_retries=2).responses.create(model=MODEL, **{"input": QUESTION, **more})
    return caught.value


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}], "stream": True}, "tools[0].web_search"),
        ({"background": True}, "background"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
    ],
)
def test_a_refusal_names_the_parameter_and_costs_nothing(
    served: Served, more: dict[str, Any], param: str
) -> None:
    problem = refused(served, **more)
    assert isinstance(problem, openai.BadRequestError) and problem.param == param
    assert served.receipts() == [] and served.session.ledger.count() == 0


def test_a_call_over_the_limit_is_not_signed(serve) -> None:
    served: Served = serve(max_cost=1)
    problem = refused(served, stream=True)
    assert (problem.status_code, problem.code) == (402, "limit_exceeded")
    assert served.session.ledger.count() == 0


def test_nothing_is_kept_and_that_is_said(served: Served) -> None:
    client = served.client()
    made = client.responses.create(model=MODEL, input=QUESTION, store=True)
    assert made.store is False
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError, match="keeps no responses"):
            ask(made.id)


def test_a_withheld_answer_names_its_receipt_and_is_not_asked_for_again(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, modes.make("change-byte"), pause=0.02)
    withheld = refused(served)
    receipt = served.receipt()
    assert (withheld.status_code, withheld.code) == (502, "answer_withheld")
    assert withheld.response.headers["x-opg-receipt"] == receipt.id
    assert withheld.body["opg"]["receipt"] == receipt.id
    assert receipt.text not in withheld.response.text


@pytest.mark.parametrize("lie", ["foreign-key", "change-byte", "unsigned-stream", "quiet-cut"])
def test_a_lying_hosts_stream_ends_as_failed_and_cut_off(
    served: Served, honest_simnet: RunningSimnet, lie: str
) -> None:
    behave(honest_simnet, modes.make(lie), pause=0.02)
    body, whole = "", True
    request = {"model": MODEL, "input": QUESTION, "stream": True}
    with served.raw() as client, client.stream("POST", "/responses", json=request) as got:
        try:
            for part in got.iter_text():
                body += part
        except httpx.RemoteProtocolError:
            whole = False
    events = [json.loads(one[6:]) for one in body.split("\n") if one.startswith("data: ")]
    kinds = [event["type"] for event in events]
    receipt = served.receipt()
    assert got.status_code == 200 and not whole
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-2:] == ["response.failed", "error"]
    assert not {"response.completed", "response.output_text.done"} & set(kinds)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    text = "".join(event.get("delta", "") for event in events)
    assert text and len(text) < len(receipt.text or "")
    assert events[-2]["response"]["status"] == "failed" and not events[-2]["response"]["output"]
    assert events[-1]["error"]["opg"]["receipt"] == receipt.id


def test_the_real_client_raises_where_the_verdict_fails(
    served: Served, honest_simnet: RunningSimnet
) -> None:
    behave(honest_simnet, modes.make("foreign-key"), pause=0.02)
    kinds = []
    with (
        pytest.raises(openai.APIError, match="the signature check failed") as failed,
        served.client().responses.stream(model=MODEL, input=QUESTION) as stream,
    ):
        kinds.extend(event.type for event in stream)
    assert failed.value.body["opg"]["receipt"] == served.receipt().id
    assert "response.completed" not in kinds


def test_strict_releases_nothing_of_a_lie(serve, honest_simnet: RunningSimnet) -> None:
    served: Served = serve(strict=True)
    behave(honest_simnet, modes.make("foreign-key"), pause=0.02)
    failed = refused(served, stream=True)
    assert failed.status_code == 502
    assert failed.response.headers["x-opg-receipt"] == served.receipt().id


def test_a_client_that_repeats_what_failed_pays_once(
    served: Served, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opg_magic.endpoint.calls.QUIET_SECONDS", 1e9)
    behave(honest_simnet, modes.make("change-byte"), pause=0.02)
    request = {"model": MODEL, "input": QUESTION}
    with served.raw() as client:
        statuses = [client.post("/responses", json=request).status_code for _ in range(3)]
    assert statuses == [502, 409, 409]
    assert len(served.receipts()) == 1


def test_nobody_asks_without_the_token(served: Served) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="x" * 41, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.responses.create(model=MODEL, input=QUESTION)
    assert served.receipts() == []
