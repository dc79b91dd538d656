"""``/v1/responses``, by the real ``openai`` client."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel
from support.serving import Served
from support.simnet import RunningSimnet

from opg_magic.simnet.host.conduct import Honest

MODEL = "openai/gpt-5"
QUESTION = "Is 97 prime?"
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def behave(simnet: RunningSimnet, honest: Honest) -> None:
    """All hosts answer so, word after word."""
    honest.pause = 0.02  # type: ignore[misc]  # of this instance alone
    for host in simnet.hosts:
        host.cheat = honest


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
    behave(honest_simnet, Honest())
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
