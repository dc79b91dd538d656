"""Run All again: what a notebook asked before is shown out of the ledger, and nothing is paid."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


@pytest.fixture(autouse=True)
def in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "study.ipynb")


def test_the_recorded_answer_comes_with_its_own_receipt(session: Session) -> None:
    first = session.ask(PROMPT)
    spent = session.overview.spending()
    again = session.ask(replace(PROMPT, source="%%opg moved\nto another cell"))
    awaited = asyncio.run(session.aask(PROMPT))
    assert not first.repeated
    assert again.repeated and awaited.repeated
    assert {again.receipt.id, awaited.receipt.id} == {first.receipt.id}
    assert again.text == first.text
    assert session.ledger.count() == 1
    assert session.overview.spending() == spent
    assert "out of the ledger" in again.notes[0]


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        (PROMPT, CallOptions(fresh=True)),
        (replace(PROMPT, temperature=0.7), None),
        (replace(PROMPT, settle="batch"), None),
        (replace(PROMPT, max_tokens=9), None),
        (PROMPT, CallOptions(route="private")),
    ],
    ids=["fresh", "sampled", "published", "shorter", "route"],
)
def test_what_is_not_the_same_is_paid_for(
    session: Session, prompt: Prompt, options: CallOptions | None
) -> None:
    session.ask(replace(prompt, settle="private", max_tokens=None))
    assert not session.ask(prompt, options).repeated
    assert session.ledger.count() == 2


def test_a_named_host_is_asked_unless_it_gave_the_answer(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    anna, bruno = (CallOptions(host=name) for name in ("anna", "bruno"))
    session.ask(PROMPT, anna)
    assert session.ask(PROMPT, anna).repeated
    assert session.ask(PROMPT, CallOptions(host=honest_simnet.host("anna").tee_id[:8])).repeated
    assert not session.ask(PROMPT, bruno).repeated


@pytest.mark.parametrize("name", ["other.ipynb", ""])
def test_another_notebook_pays(
    session: Session, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    session.ask(PROMPT)
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    assert not session.ask(PROMPT).repeated


def test_the_setting_says_what_a_repetition_is(session: Session) -> None:
    sampled = replace(PROMPT, temperature=0.7)
    session.ask(sampled)
    session.settings.set("on_repeat", "ask-ledger-sampled")
    assert session.ask(sampled).repeated
    session.settings.set("on_repeat", "pay")
    assert not session.ask(sampled).repeated


def test_an_answer_that_was_withheld_is_asked_for_again(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "foreign-key")
    with pytest.raises(errors.AnswerWithheld):
        session.ask(PROMPT, CallOptions(host="anna"))
    honest_simnet.cheat("anna", "off")
    assert not session.ask(PROMPT).repeated


def test_a_repetition_costs_nothing_even_where_nothing_may_be_spent(session: Session) -> None:
    session.ask(PROMPT)
    session.settings.set("max_cost_per_call", "0")
    assert session.ask(PROMPT).repeated
