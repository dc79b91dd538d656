"""What is learnt after a call: the payment on its chain, the settlement on the relay; and several
hosts at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call import reconciling, settlements
from opg_magic.call.rerun import Reruns
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt, Status, VerdictStatus

QUESTION = "What does a TEE protect against?"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "RECONCILE_AFTER", timedelta(0))


def ask(session: Session, text: str = QUESTION, host: str = "anna", **more):
    return session.ask(Prompt(text=text, model="openai/gpt-5", **more), CallOptions(host=host))


def forget_open_sessions(session: Session) -> None:
    session._engines["sim"][1].route.payments.sessions.clear()


def test_a_sessions_sum_is_shared_out_over_its_calls(
    session: Session, honest_simnet: RunningSimnet
):
    answers = [ask(session, f"Is {n} prime?") for n in (7, 561)]
    forget_open_sessions(session)
    honest_simnet.settle_now()
    assert session.reconcile() == 1
    kept = [session.show(a.receipt.id) for a in answers]
    for before, after in zip(answers, kept, strict=True):
        assert after.receipt.supersedes == before.receipt.digest
        settled = after.receipt.evidence().payment.settled
        assert settled.status == "spent"
        assert dict(settled.shared) == {a.receipt.id: a.cost.amount.amount for a in answers}
        assert settled.remainder == 0
        assert settled.amount == sum(a.cost.amount.amount for a in answers)
    assert session.overview.spending().kernel_reserved.amount == settled.amount
    assert session.reconcile() == 0


def test_attack_22_an_unknown_payment_is_settled_by_its_nonce(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "take-and-hang")
    with pytest.raises(errors.CallFailed) as failed:
        session.ask(
            Prompt(text=QUESTION, model="openai/gpt-5"), CallOptions(host="anna", timeout=5.0)
        )
    assert failed.value.charge is Charge.UNKNOWN
    honest_simnet.settle_now()
    assert session.reconcile() == 1
    receipt = session.ledger.get(failed.value.receipt_id)
    settled = receipt.evidence().payment.settled
    assert settled.status == "spent"
    assert settled.amount > 0
    assert session.overview.spending().kernel_reserved.amount == settled.amount


def test_a_batch_is_found_and_proven_after_the_call(session: Session, honest_simnet: RunningSimnet):
    answer = ask(session, settle="batch")
    assert answer.verdict.claims["settlement"].status is Status.PENDING
    assert any("guessed" in note for note in answer.notes)
    honest_simnet.settle_batch()
    (outcome,) = session.settle()
    assert (outcome.receipt_id, outcome.status) == (answer.receipt.id, "settled")
    later = session.show(answer.receipt.id)
    assert later.verdict.claims["settlement"].status is Status.PASSED
    from opg_magic.models import Trust
    from opg_magic.verify import judge

    network = honest_simnet.network
    claim = judge(
        later.receipt.evidence(), trust=Trust(simulated_roots=network.simulated_roots)
    ).claims["settlement"]
    assert claim.status is Status.PASSED
    assert session.settle() == []


def test_a_batch_is_found_by_itself_in_the_background(
    session: Session, honest_simnet: RunningSimnet, monkeypatch
):
    monkeypatch.setattr(settlements, "FIRST_LOOK", 0.05)
    answer = ask(session, settle="batch")
    honest_simnet.settle_batch()
    watching = session._engines["sim"][1].settlements._watching
    (task,) = tuple(watching)

    async def ended(_emit):
        await task

    session.loop().run(ended)
    assert session.ledger.get(answer.receipt.id).document["settlement"] is not None


def test_hosts_of_different_owners_agree(session: Session, honest_simnet: RunningSimnet):
    agreed = session.agree(Prompt(text="Is 561 prime?", model="openai/gpt-5"), hosts=3, quorum=2)
    assert agreed.claim.status is Status.PASSED
    assert len({a.receipt.document["host"]["owner"] for a in agreed.answers}) == 3
    assert agreed.cap.amount == 3 * 10**17
    assert session.ledger.count() == 3
    digests = {m["digest"] for m in agreed.answer.receipt.document["agreement"]["answers"]}
    assert digests == {
        session.ledger.get(a.receipt.id, as_made=True).digest for a in agreed.answers
    }


def test_a_lying_host_is_outvoted(session: Session, honest_simnet: RunningSimnet):
    honest_simnet.cheat("anna", "change-byte")
    agreed = session.agree(Prompt(text="Is 561 prime?", model="openai/gpt-5"), hosts=3, quorum=2)
    assert len(agreed.answers) == 2
    assert [type(f) for f in agreed.failures] == [errors.AnswerWithheld]
    assert agreed.claim.status is Status.PASSED


def test_each_of_several_answers_is_looked_at_again_where_that_is_set(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []

    async def run(_: Reruns, answer, settings, policy):
        looked.append(answer.receipt.id)
        if len(looked) == 1:
            raise errors.AnswerWithheld("these weights do not give this answer")
        return answer

    monkeypatch.setattr(Reruns, "run", run)
    session.settings.set("weights", "always")
    agreed = session.agree(Prompt(text="Is 561 prime?", model="openai/gpt-5"), hosts=3, quorum=2)
    assert len(set(looked)) == 3
    assert [type(f) for f in agreed.failures] == [errors.AnswerWithheld]
    assert looked[0] not in {answer.receipt.id for answer in agreed.answers}


def test_a_stop_before_its_turn_to_be_run_again_says_what_was_charged(session: Session):
    """Several answers are run again one after the other; all of them are paid for by then."""
    answer = session.ask(Prompt(text="Is 561 prime?", model="openai/gpt-5"))
    reruns = Reruns(session.connected().engine.network, session.ledger)

    async def stopped() -> None:
        settings = session.engine_settings(session.connected().engine.network)
        async with reruns._one:
            waiting = asyncio.ensure_future(reruns.run(answer, settings, settings.policy))
            await asyncio.sleep(0)
            waiting.cancel()
            await waiting

    with pytest.raises(errors.CallFailed, match="the answer is recorded") as told:
        asyncio.run(stopped())
    assert told.value.receipt_id == answer.receipt.id
    assert told.value.charge is answer.cost.charge


def test_all_caps_together_are_within_the_limits_or_nothing_is_sent(
    session: Session, honest_simnet: RunningSimnet
):
    session.settings.set("max_cost_per_kernel", "0.25")
    with pytest.raises(errors.LimitExceeded):
        session.agree(Prompt(text=QUESTION, model="openai/gpt-5"), hosts=3)
    assert session.overview.spending().kernel_reserved.amount == 0
    assert session.ledger.count() == 0
    assert honest_simnet.settle_now() == []


@pytest.mark.parametrize(("hosts", "quorum"), [(1, None), (3, 4), (3, 0), (99, None)])
def test_an_agreement_of_nobody_is_refused(session: Session, hosts: int, quorum: int | None):
    with pytest.raises(errors.ConfigError):
        session.agree(Prompt(text=QUESTION, model="openai/gpt-5"), hosts=hosts, quorum=quorum)


def test_more_hosts_than_owners_is_said_before_anything(session: Session):
    with pytest.raises(
        errors.HostUnavailable,
        match=r"wanted, 3 can be used: .+ of 3 owners only\. Nothing was sent\.",
    ):
        session.agree(Prompt(text=QUESTION, model="openai/gpt-5"), hosts=5)
    assert session.overview.spending().kernel_reserved.amount == 0


def test_disagreement_is_no_failure_of_any_host(session: Session, honest_simnet: RunningSimnet):
    honest_simnet.cheat("anna", "change-byte")
    honest_simnet.cheat("bruno", "change-byte")
    with pytest.raises(errors.OpgError) as differ:
        session.agree(Prompt(text=QUESTION, model="openai/gpt-5"), hosts=3, quorum=3)
    assert isinstance(differ.value, errors.HostsDisagree)
    assert len(differ.value.answers) == 1
    assert differ.value.answers[0].verdict.status is not VerdictStatus.FAILED


def test_watching_ends_when_it_was_found_elsewhere_meanwhile(session: Session, monkeypatch):
    monkeypatch.setattr(settlements, "FIRST_LOOK", 0.01)
    ask(session)
    finder = session._engines["sim"][1].settlements
    looks = iter(
        [
            [
                settlements.Outcome("A", "pending", "not yet"),
                settlements.Outcome("B", "settled", "tx"),
            ],
            [],
        ]
    )

    async def look(_ids=None):
        return next(looks)

    monkeypatch.setattr(finder, "look", look)
    assert [(o.receipt_id, o.status) for o in session.settle(watch=True)] == [
        ("A", "settled"),
        ("B", "settled"),
    ]


def test_a_time_that_no_block_has_does_not_end_the_search_for_others(
    session: Session, honest_simnet: RunningSimnet, monkeypatch
):
    from opg_magic.simnet.cheats.signing import StaleTime

    monkeypatch.setattr(StaleTime, "timestamp", lambda _self, _now: 2**200)
    honest_simnet.cheat("anna", "stale-time")
    with pytest.raises(errors.AnswerWithheld) as withheld:
        ask(session, settle="batch")
    answer = ask(session, host=honest_simnet.hosts[1].name, settle="batch")
    honest_simnet.settle_batch()
    outcomes = {o.receipt_id: o.status for o in session.settle()}
    assert outcomes == {withheld.value.receipt_id: "unknown", answer.receipt.id: "settled"}


def test_a_batch_that_never_came_is_over_after_its_time(session: Session, monkeypatch):
    from opg_magic.verify import settlement

    ask(session, settle="batch")
    assert [o.status for o in session.settle()] == ["pending"]
    monkeypatch.setattr(settlement, "PENDING", timedelta(0))
    # Watching ends too: nothing is to be waited for.
    assert [o.status for o in session.settle(watch=True)] == ["expired"]


def test_a_chain_that_does_not_answer_about_earlier_payments_holds_no_cell_back(
    session: Session, monkeypatch
):
    import asyncio

    from opg_magic.call import paying

    monkeypatch.setattr(paying, "RECONCILE_SECONDS", 0.2)
    ask(session)
    engine = session._engines["sim"][1]
    forget_open_sessions(session)

    async def never(_authorisation):
        await asyncio.Event().wait()

    monkeypatch.setattr(engine.route.chain, "payment_evidence", never)
    assert ask(session).cost.charge is Charge.CLAIMED
    assert session.overview.spending().kernel_reserved.amount == 2 * 10**17


def test_a_receipt_that_takes_no_payment_keeps_no_reservation(
    session: Session, honest_simnet: RunningSimnet, monkeypatch
):
    ask(session)
    forget_open_sessions(session)
    honest_simnet.settle_now()

    def refuses(*_args):
        raise errors.LedgerError("not this one")

    monkeypatch.setattr(session.ledger, "supplement", refuses)
    assert session.reconcile() == 1
    assert session.overview.spending().kernel_reserved.amount < 10**17


def test_an_answer_that_fails_by_what_was_learnt_since_is_not_shown_again(
    session: Session, honest_simnet: RunningSimnet
):
    answer = ask(session, settle="batch")
    evidence = answer.receipt.evidence()
    honest_simnet.settle_batch()
    (outcome,) = session.settle()
    assert outcome.status == "settled"
    found = session.ledger.get(answer.receipt.id).evidence().settlement
    other = ask(session, "Is 8 prime?", settle="batch")
    from dataclasses import replace

    session.ledger.supplement(other.receipt.id, replace(found, block_number=found.block_number))
    with pytest.raises(errors.AnswerWithheld, match="no longer passes"):
        session.show(other.receipt.id)
    assert session.show(other.receipt.id, unverified=True).verdict.status is VerdictStatus.FAILED
    assert session.show(answer.receipt.id).verdict.status is not VerdictStatus.FAILED
    assert evidence.settlement is None
