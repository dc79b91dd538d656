"""What was asked before is found in the ledger, and only if its answer may be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.receipts import SIM, receipt, verdict
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.saved import saved_answer
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.ledger import index
from opg_magic.models import Evidence, Prompt, Trust, Verdict
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.verify.policy import Policy

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


def test_the_same_request_has_its_recorded_answer(session: Session) -> None:
    assert session.recorded([PROMPT]) == [None]
    first = session.ask(PROMPT)
    other = replace(PROMPT, text="Is 97 prime?")
    found, none = session.recorded([PROMPT, other])
    assert none is None
    assert found is not None
    assert (found.receipt.id, found.text) == (first.receipt.id, first.text)
    second = session.ask(PROMPT)
    (newest,) = session.recorded([replace(PROMPT, stream=False, source="another cell")])
    assert newest is not None
    assert newest.receipt.id == second.receipt.id
    assert session.ledger.count() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"model": "openai/gpt-4.1"},
        {"model": "x-ai/gpt-5"},
        {"temperature": 0.5},
        {"max_tokens": 7},
        {"system": "Be brief."},
        {"stop": ("x",)},
        {"text": PROMPT.text + " "},
        {"extra": {"response_format": {"type": "json_object"}}},
    ],
    ids=str,
)
def test_another_request_has_none(session: Session, change: dict[str, object]) -> None:
    session.ask(PROMPT)
    assert session.recorded([replace(PROMPT, **change)]) == [None]


def test_an_answer_that_was_withheld_or_stopped_is_none(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "foreign-key")
    with pytest.raises(errors.AnswerWithheld):
        session.ask(PROMPT, CallOptions(host=honest_simnet.host("anna").tee_id))
    assert session.ledger.count() == 1
    assert session.recorded([PROMPT]) == [None]


def test_a_stricter_policy_judges_the_recorded_answer_again(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    assert session.ask(PROMPT).verdict.policy == "default"
    (found,) = session.recorded([PROMPT], CallOptions(policy="audit"))
    assert found is not None
    assert found.verdict.policy == "audit"
    honest_simnet.cheat("anna", "unsigned-stream")
    unsigned = replace(PROMPT, text="Is 97 prime?")
    assert session.ask(unsigned, CallOptions(host=honest_simnet.host("anna").tee_id)).text
    assert session.recorded([unsigned], CallOptions(policy="default")) != [None]
    assert session.recorded([unsigned], CallOptions(policy="strict")) == [None]


def test_an_answer_of_another_network_is_none(session: Session) -> None:
    session.ask(PROMPT)
    assert session.recorded([PROMPT], CallOptions(network="opengradient")) == [None]


def test_a_receipt_that_this_ledger_did_not_begin_is_none(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.ask(PROMPT)
    monkeypatch.setattr(session.ledger, "is_begun", lambda _id: False)
    assert session.recorded([PROMPT]) == [None]


def test_without_an_index_the_same_is_found(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.ask(PROMPT)
    last = session.ask(PROMPT)
    monkeypatch.setattr(index, "use", lambda _ledger, _query: None)
    (found,) = session.recorded([PROMPT])
    assert found is not None
    assert found.receipt.id == last.receipt.id


def test_receipts_of_others_do_not_hide_this_users_own(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = session.ask(PROMPT).receipt.id
    for _ in range(6):
        session.ask(PROMPT)
    # As if the others had come from elsewhere: no call of theirs was begun here.
    monkeypatch.setattr(session.ledger, "is_begun", lambda id: id == own)
    (found,) = session.recorded([PROMPT])
    assert found is not None
    assert found.receipt.id == own


@pytest.mark.parametrize(("simulated", "judged"), [(False, 1), (True, 0)])
def test_builds_that_were_pinned_since_are_demanded_of_a_recorded_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch, simulated: bool, judged: int
) -> None:
    pins = ("0x" + "ab" * 32,)
    monkeypatch.setattr(session.settings, "get", _with(session.settings.get, pinned_pcrs=pins))
    trusts: list[Trust] = []

    def judge(_evidence: Evidence, *, policy: Policy, trust: Trust) -> Verdict:
        trusts.append(trust)
        return verdict()

    monkeypatch.setattr("opg_magic.verify.judge", judge)
    kept = receipt(network=SIM if simulated else OPENGRADIENT)
    saved_answer(kept, session.settings, simulated_roots=frozenset())
    assert [trust.pinned_pcrs for trust in trusts] == [frozenset(pins)] * judged


def _with(get: Callable[[str], Any], **changed: object) -> Callable[[str], Any]:
    return lambda key: changed[key] if key in changed else get(key)
