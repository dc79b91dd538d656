"""Hosts that lie behind their signature: every other check passes, the run of the weights does not.

Attacks 31 to 35, each over a whole simulated network whose hosts run a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.simnet import RunningSimnet, isolated_home
from support.weights import smollm2

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Answer, Basis, Prompt, Status
from opg_magic.settings.config import Settings
from opg_magic.simnet.model.local import LocalModel, examine
from opg_magic.weights import fetch, store

QUESTION = "Write three facts about honey bees."


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimnet]:
    weights = smollm2()
    with isolated_home(tmp_path_factory.mktemp("weights-home")):
        made = RunningSimnet(model=LocalModel(examine(weights)), answers=("--model", str(weights)))
        with made:
            yield made


@pytest.fixture
def session(
    running: RunningSimnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    store.trust(fetch.SMOLLM2.model, smollm2())
    settings = Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)
    made = Session(settings, simulator=lambda _known: running.net.state)
    made.settings.set("weights", "always")
    yield made
    made.close()
    running.cheat("anna", "off")


def ask(session: Session, *, stream: bool = True, temperature: float = 0.0) -> Answer:
    anna = next(h["tee_id"] for h in session._simulator(None)["hosts"] if h["name"] == "anna")
    prompt = Prompt(
        text=QUESTION,
        model=fetch.SMOLLM2.model,
        stream=stream,
        temperature=temperature,
        max_tokens=64,
    )
    return session.ask(prompt, CallOptions(host=anna))


@pytest.mark.parametrize(("stream", "temperature"), [(True, 0.0), (False, 0.0), (True, 0.7)])
def test_an_honest_host_passes(session: Session, stream: bool, temperature: float) -> None:
    answer = ask(session, stream=stream, temperature=temperature)
    found = answer.verdict.claims["weights"]
    assert (found.status, found.basis) == (Status.PASSED, Basis.RE_RUN), found.reason
    assert answer.verdict.simulated and "weights" in answer.receipt.document


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("other-model", id="attack_31"),
        pytest.param("coarser-model", id="attack_32"),
        pytest.param("hidden-prompt", id="attack_33"),
        pytest.param("other-temperature", id="attack_34"),
        pytest.param("edit-before-signing", id="attack_35"),
    ],
)
def test_a_lie_behind_the_signature_fails_weights_alone(
    session: Session, running: RunningSimnet, mode: str
) -> None:
    running.cheat("anna", mode)
    with pytest.raises(errors.AnswerWithheld) as withheld:
        ask(session)
    verdict = withheld.value.verdict
    assert verdict is not None
    assert [claim.name for claim in verdict.failed_claims] == ["weights"]
    assert all(verdict.claims[name].passed for name in ("request", "response", "signature"))
    session.settings.set("weights", "ask")
    # Nothing else sees it.
    assert ask(session).verdict.outcome.value == "VERIFIED"


def test_of_several_hosts_the_one_with_other_weights_is_left_out(
    session: Session, running: RunningSimnet
) -> None:
    running.cheat("anna", "coarser-model")
    prompt = Prompt(text=QUESTION, model=fetch.SMOLLM2.model, max_tokens=48)
    agreed = session.agree(prompt, hosts=3, quorum=2)
    assert [type(problem) for problem in agreed.failures] == [errors.AnswerWithheld]
    assert agreed.claim.status is Status.PASSED
    for answer in agreed.answers:
        found = answer.verdict.claims["weights"]
        assert (found.status, found.basis) == (Status.PASSED, Basis.RE_RUN), found.reason
    # The comparison names the receipts as they were made, whatever was added to them since.
    named = {m["digest"] for m in agreed.answer.receipt.document["agreement"]["answers"]}
    assert named == {
        session.ledger.get(one.receipt.id, as_made=True).digest for one in agreed.answers
    }


def test_a_scripted_model_has_no_other_weights(honest_simnet: RunningSimnet) -> None:
    from opg_magic.simnet.model.interface import ModelDown

    with pytest.raises(ModelDown):
        honest_simnet.run(honest_simnet.net._model.swapped("another"))
