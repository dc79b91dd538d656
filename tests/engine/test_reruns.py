"""Weights run again after a call: only if wanted, kept in the receipt, withheld if they differ."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.runs import NAT, run_over

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.display.bundle import answer_bundle
from opg_magic.models import Basis, Evidence, Prompt, Status
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face import face

FAR = [(3, 9, 5 * NAT)]


class Checker:
    """Weights that are said to give or not to give every answer."""

    def __init__(self, misses: Any = (), not_run: tuple[str, str] | None = None) -> None:
        self.misses, self.not_run = misses, not_run
        self.seen: list[Evidence] = []
        self.closed = False

    def run(self, evidence: Evidence) -> Evidence:
        self.seen.append(evidence)
        if self.not_run is not None:
            return replace(evidence, weights_not_run=self.not_run)
        return replace(evidence, weights=run_over(evidence, self.misses))

    def close(self) -> None:
        self.closed = True


def engine_with(session: Session, checker: Any) -> None:
    session.connected().engine.reruns._checker = checker


def ask(session: Session) -> Any:
    return session.ask(Prompt(text="What does a TEE protect against?", model="openai/gpt-5"))


def test_nothing_is_run_unless_it_is_wanted(session: Session) -> None:
    checker = Checker()
    engine_with(session, checker)
    answer = ask(session)
    assert checker.seen == []
    assert "weights" not in answer.verdict.claims  # as the receipt has it
    assert "weights" not in answer.receipt.document


def test_always_runs_and_keeps_the_figures(session: Session) -> None:
    session.settings.set("weights", "always")
    checker = Checker()
    engine_with(session, checker)
    answer = ask(session)
    found = answer.verdict.claims["weights"]
    assert (found.status, found.basis) == (Status.PASSED, Basis.RE_RUN)
    kept = session.ledger.get(answer.receipt.id)
    assert kept.document["weights"]["tokens"] and kept.is_faithful and kept.digest_matches
    assert "weights" not in session.ledger.get(answer.receipt.id, as_made=True).document
    assert Receipt.from_json(kept.to_json()).evidence().weights == checker_run(checker)
    assert session.show(answer.receipt.id).verdict.claims["weights"].passed


def test_the_card_of_an_answer_whose_weights_were_run_again_is_its_receipts_own(
    session: Session,
) -> None:
    """A reader can make it anew; it was saved as a card that says more than its receipt."""
    session.settings.set("weights", "always")
    engine_with(session, Checker())
    answer = ask(session)
    bundle = answer_bundle(answer)
    receipt = session.ledger.get(answer.receipt.id)
    assert bundle["text/html"] == face(receipt, show=True)["text/html"]
    run = receipt.document["weights"]
    count = len(run["tokens"]) + run["end"]
    assert f"{count} of {count} tokens are their first choice." in bundle["text/plain"]


def checker_run(checker: Checker) -> Any:
    return run_over(checker.seen[0], checker.misses)


def test_an_answer_of_other_weights_is_withheld_and_kept(session: Session) -> None:
    session.settings.set("weights", "always")
    engine_with(session, Checker(FAR))
    with pytest.raises(errors.AnswerWithheld) as withheld:
        ask(session)
    verdict = withheld.value.verdict
    assert verdict is not None and [c.name for c in verdict.failed_claims] == ["weights"]
    assert withheld.value.charge is not None
    with pytest.raises(errors.AnswerWithheld):
        session.show(str(withheld.value.receipt_id))
    assert session.show(str(withheld.value.receipt_id), unverified=True).text


def test_weights_that_are_required_and_not_here(session: Session) -> None:
    session.settings.set("required_claims", "weights")
    engine_with(session, Checker(not_run=("not-run-here", "the weights are not on this machine")))
    answer = ask(session)
    assert answer.verdict.outcome.value == "PARTIAL"
    assert "not on this machine" in answer.verdict.why
    session.settings.set("policy", "strict")
    with pytest.raises(errors.CallFailed):
        ask(session)


def test_a_saved_answer_is_run_by_command(session: Session) -> None:
    answer = ask(session)
    engine_with(session, Checker())
    assert session.verify(weights=True).verdict.claims["weights"].basis is Basis.RE_RUN
    assert "weights" in session.ledger.get(answer.receipt.id).document
    engine_with(session, Checker(FAR))
    with pytest.raises(errors.AnswerWithheld):
        session.verify(answer.receipt.id, weights=True)


def test_a_stop_ends_the_child_and_says_that_the_answer_is_kept(session: Session) -> None:
    import threading

    begun, ended = threading.Event(), threading.Event()

    class Slow(Checker):
        def run(self, evidence: Evidence) -> Evidence:
            begun.set()
            ended.wait(60)
            return super().run(evidence)

        def close(self) -> None:
            super().close()
            ended.set()

    answer = ask(session)
    slow = Slow()
    engine_with(session, slow)
    reruns = session.connected().engine.reruns
    settings = session.engine_settings(session.network)

    async def stopped() -> None:
        task = asyncio.ensure_future(reruns.run(answer, settings, settings.policy))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await task

    with pytest.raises(errors.CallFailed, match="the answer is recorded") as error:
        session.run(stopped())
    assert slow.closed and error.value.receipt_id == answer.receipt.id


@pytest.mark.parametrize(
    ("text", "share"),
    [("ask", 0.0), ("always", 1.0), ("sample 0.25", 0.25), ("sample 1", 1.0)],
)
def test_the_setting_says_how_often(session: Session, text: str, share: float) -> None:
    session.settings.set("weights", text)
    assert session.engine_settings(session.network).weights == share


@pytest.mark.parametrize("text", ["never", "sample", "sample 2", "sample nan", "always 1", ""])
def test_other_words_are_refused(session: Session, text: str) -> None:
    with pytest.raises(errors.ConfigError, match="sample"):
        session.settings.set("weights", text)
