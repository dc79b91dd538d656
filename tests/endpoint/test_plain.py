"""Answers in one piece, by the real ``openai`` client."""

from __future__ import annotations

import openai
import pytest
from support.serving import Served

MODEL = "openai/gpt-5"
QUESTION = [{"role": "user", "content": "Is 97 prime?"}]
ANSWER = "Yes. 97 is prime: no number from 2 to 9 divides it."


@pytest.mark.parametrize("route", ["direct", "private"])
def test_an_answer_has_its_verdict_and_its_receipt(serve, route: str) -> None:
    served: Served = serve(route=route)
    raw = served.client().chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    answer = raw.parse()
    receipt = served.receipt()
    assert answer.choices[0].message.content == ANSWER == receipt.text
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert raw.headers["x-opg-verdict"] == "SIMULATED" == answer.opg["verdict"]
    assert raw.headers["x-opg-receipt"] == receipt.id == answer.opg["receipt"]
    assert answer._request_id == receipt.id
    assert answer.opg["digest"] == receipt.digest
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert ("sealed" in receipt.document) == (route == "private")
    assert answer.opg["charge"] == ("claimed" if route == "direct" else "not charged")


def test_models_are_listed_and_found(served: Served) -> None:
    client = served.client()
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed and len(listed) == len(set(listed))
    assert client.models.retrieve(MODEL).owned_by == "openai"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/gpt-0")


@pytest.mark.parametrize("key", ["", "opg", "x" * 41])
def test_nobody_asks_without_the_token(served: Served, key: str) -> None:
    client = openai.OpenAI(base_url=served.url, api_key=key or "-", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="not this endpoint's token"):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
    assert served.receipts() == []


def test_a_program_that_asks_again_gets_another_answer_in_a_notebook_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell's `!opg serve` inherits the notebook's name; the program is not the notebook."""
    monkeypatch.setenv("JPY_SESSION_NAME", "study.ipynb")
    client = served.client()
    first, second = (
        client.chat.completions.create(model=MODEL, messages=QUESTION).opg["receipt"]
        for _ in range(2)
    )
    assert first != second
