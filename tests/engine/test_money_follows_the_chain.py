"""What real gateways do with money: the ledger says what the chain says, and no honest answer
suffers for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call import reconciling
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import (
    Answer,
    Authorisation,
    Charge,
    Prompt,
    SettlementTx,
    Status,
    VerdictStatus,
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "RECONCILE_AFTER", timedelta(0))


def ask(session: Session, text: str = "Is 561 prime?", **more: Any) -> Answer:
    return session.ask(Prompt(text=text, model="openai/gpt-5", **more), CallOptions(host="anna"))


def settle(session: Session, simnet: RunningSimnet) -> None:
    session._engines["sim"][1].route.payments.sessions.clear()
    simnet.settle_now()
    session.reconcile()


def let_deadlines_pass(session: Session) -> None:
    """Reconcile as if the chain's newest block were past every deadline."""
    engine = session._engines["sim"][1]
    engine.route.payments.sessions.clear()
    asked = engine.route.chain.payment_evidence

    async def later(authorisation: Authorisation) -> SettlementTx:
        found = await asked(authorisation)
        return replace(found, status="unspent") if found.status == "open" else found

    engine.route.chain.payment_evidence = later
    session.reconcile()
    del engine.route.chain.payment_evidence


def test_a_charge_is_claimed_until_the_chain_shows_it(
    session: Session, honest_simnet: RunningSimnet
):
    answers = [ask(session, f"Is {n} prime?") for n in (7, 561)]
    frame = session.receipts()
    assert list(frame["charge"]) == ["claimed", "claimed"]
    assert frame["settled_base_units"].isna().all() and frame["settled_opg"].isna().all()
    assert str(answers[0].cost).endswith("(at most 0.1 sim-OPG)") and "claimed" in str(
        answers[0].cost
    )
    settle(session, honest_simnet)
    frame = session.receipts()
    assert list(frame["charge"]) == ["charged", "charged"]
    (settled,) = {session.ledger.released(e) for e in nonces(session, answers)}
    assert (
        frame["settled_base_units"].sum() == settled == session.overview.spending().day_cost.amount
    )
    later = session.show(answers[0].receipt.id)
    assert (later.cost.charge, later.cost.settled.amount) == (
        Charge.CHARGED,
        frame["settled_base_units"][0],
    )
    assert str(later.cost).endswith("sim-OPG settled")
    # The receipt as it was made keeps its words: whoever verified it before still does.
    assert (
        session.ledger.get(answers[0].receipt.id, as_made=True).document["payment"]["charge"]
        == "charged"
    )


def nonces(session: Session, answers: list[Answer]) -> list[int]:
    return [int(a.receipt.document["payment"]["authorisation"]["nonce"]) for a in answers]


def test_an_answer_without_usage_is_not_charged_and_stands(
    session: Session, honest_simnet: RunningSimnet
):
    first = ask(session, "Is 7 prime?")
    honest_simnet.cheat("anna", "no-usage")
    second = ask(session)
    assert (second.cost.amount, second.cost.charge) == (None, Charge.CLAIMED)
    settle(session, honest_simnet)
    assert session.show(first.receipt.id).cost.charge is Charge.CHARGED
    later = session.show(second.receipt.id)
    assert (later.cost.charge, later.cost.settled.amount) == (Charge.NONE, 0)
    assert later.text == second.text
    assert later.verdict.status is not VerdictStatus.FAILED


def test_a_gateway_that_forgot_its_sessions_charges_nothing_and_fails_no_receipt(
    session: Session, honest_simnet: RunningSimnet
):
    answer = ask(session)
    honest_simnet._call(honest_simnet.host("anna").sessions.forget)
    # The session is gone: the next call pays for itself, and nobody pays twice.
    other = ask(session, "Is 7 prime?")
    assert len(session.ledger.open_authorisations()) == 2
    let_deadlines_pass(session)
    frame = session.receipts().set_index("id")
    assert frame.loc[answer.receipt.id, "charge"] == "not charged"
    assert frame.loc[answer.receipt.id, "settled_base_units"] == 0
    later = session.show(answer.receipt.id)
    assert later.text == answer.text
    assert later.verdict.claims["payment"].status is Status.NOT_APPLICABLE
    assert later.verdict.status is not VerdictStatus.FAILED
    assert frame.loc[other.receipt.id, "charge"] == "not charged"


def test_a_cost_above_the_remainder_is_not_charged_and_the_sums_are_the_chains(
    session: Session, honest_simnet: RunningSimnet
):
    first = ask(session, "Is 7 prime?")
    (open_session,) = honest_simnet.host("anna").sessions.open
    charged = open_session.charged
    open_session.charged = open_session.payment.authorisation.cap - 1
    second = ask(session)
    open_session.charged = charged
    assert second.text
    settle(session, honest_simnet)
    frame = session.receipts()
    assert frame["cost_base_units"].sum() > charged
    assert (
        frame["settled_base_units"].sum()
        == charged
        == session.overview.spending().kernel_cost.amount
    )
    assert session.overview.spending().kernel_reserved.amount == charged
    assert {first.receipt.id, second.receipt.id} == set(frame["id"])


def test_a_call_whose_kernel_died_is_what_the_chain_says(
    session: Session, honest_simnet: RunningSimnet
):
    ask(session)
    engine = session._engines["sim"][1]
    engine.route.payments.sessions.clear()

    class Crash(BaseException):
        pass

    class Dies:
        address = session.open_wallet(engine.network).address

        def sign_permit(self, *_: Any) -> None:
            raise Crash

    engine.route.payments.wallet = Dies
    with pytest.raises(Crash):
        ask(session, "Is 7 prime?")
    assert list(session.receipts()["charge"]) == ["claimed", "unknown"]
    honest_simnet.settle_now()
    let_deadlines_pass(session)
    frame = session.receipts()
    assert list(frame["charge"]) == ["charged", "not charged"]
    assert frame["settled_base_units"][1] == 0


def test_asked_for_by_name_a_payment_of_this_minute_is_looked_up(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reconciling, "RECONCILE_AFTER", timedelta(hours=1))
    ask(session)
    session._engines["sim"][1].route.payments.sessions.clear()
    honest_simnet.settle_now()
    assert session.reconcile() == 1


def test_calls_that_join_in_parallel_share_what_was_settled(
    session: Session, honest_simnet: RunningSimnet
):
    async def all_at_once() -> list[Answer]:
        prompts = [Prompt(text=f"Is {n} prime?", model="openai/gpt-5") for n in (7, 9, 561)]
        return await asyncio.gather(
            *(session.aask(prompt, CallOptions(host="anna")) for prompt in prompts)
        )

    answers = asyncio.run(all_at_once())
    (entry,) = session.ledger.open_authorisations()
    assert set(entry.calls) >= {answer.receipt.id for answer in answers}
    # The host finds too little left for the last of them, as it may where calls run at once.
    (open_session,) = honest_simnet.host("anna").sessions.open
    open_session.charged -= answers[-1].cost.amount.amount
    settle(session, honest_simnet)
    frame = session.receipts()
    assert list(frame["charge"]) == ["charged"] * 3
    taken = session.ledger.released(entry.authorisation.nonce)
    assert frame["settled_base_units"].sum() == taken < frame["cost_base_units"].sum()
    assert (
        session.overview.spending().day_cost.amount
        == session.overview.spending().day_reserved.amount
        == taken
    )


def test_a_refused_authorisation_is_said_to_be_reserved(
    session: Session, honest_simnet: RunningSimnet
):
    """It left this machine and no session came of it: whatever the host answered, its cap counts
    until its deadline."""
    cap = session.quote(
        Prompt(text="Is 7 prime?", model="openai/gpt-5"), CallOptions(host="anna")
    ).cap
    honest_simnet.cheat("anna", "facilitator-down")
    with pytest.raises(errors.HostReportsFailure, match="the host answered 500") as failed:
        ask(session)
    assert f"up to {cap} stays reserved until its deadline" in failed.value.message
    assert session.overview.spending().day_reserved == cap
