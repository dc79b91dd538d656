"""Limits hold before anything that can spend is sent; a stop says what happened to the money."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Phase, Prompt

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


@pytest.mark.parametrize("key", ["max_cost_per_call", "max_cost_per_kernel", "max_cost_per_day"])
@pytest.mark.parametrize("limit", ["0", "0.09"])
def test_a_limit_below_the_cap_means_not_signing(
    session: Session, honest_simnet: RunningSimnet, key: str, limit: str
):
    session.settings.set(key, limit)
    with pytest.raises(errors.LimitExceeded) as refused:
        session.ask(PROMPT)
    assert "0.1 sim-OPG" in str(refused.value)
    assert f"{limit} sim-OPG" in str(refused.value)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0
    assert honest_simnet.settle_now() == []


def test_a_calls_own_maximum_only_tightens(session: Session):
    with pytest.raises(errors.LimitExceeded):
        session.ask(PROMPT, CallOptions(max_cost=5 * 10**16))
    session.settings.set("max_cost_per_call", "0.05")
    with pytest.raises(errors.LimitExceeded):
        session.ask(PROMPT, CallOptions(max_cost=10**18))


def test_a_lowered_limit_holds_for_an_open_session_too(session: Session):
    session.ask(PROMPT)
    session.settings.set("max_cost_per_call", "0")
    with pytest.raises(errors.LimitExceeded):
        session.ask(PROMPT)
    assert session.ledger.count() == 1


def test_the_day_counts_over_all_kernels(session: Session, honest_simnet: RunningSimnet):
    session.settings.set("max_cost_per_day", "0.15")
    session.ask(PROMPT)
    other = Session(session.settings, simulator=session._simulator)
    try:
        with pytest.raises(errors.LimitExceeded, match="per UTC day"):
            other.ask(PROMPT)
    finally:
        other.close()


def _interrupt_when(phase: Phase, with_text: bool = False):
    done = threading.Event()

    def observer(progress):
        if progress.phase is phase and (progress.text or not with_text) and not done.is_set():
            done.set()
            os.kill(os.getpid(), signal.SIGINT)

    return observer


def test_stop_while_answering_says_unknown_and_is_recorded(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "slow")
    tee_id = honest_simnet.host("anna").tee_id
    with pytest.raises(errors.CallInterrupted) as stopped:
        session.ask(PROMPT, CallOptions(host=tee_id), _interrupt_when(Phase.ANSWER, with_text=True))
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert stopped.value.charge is Charge.UNKNOWN
    receipt = session.ledger.get(stopped.value.receipt_id)
    assert receipt.document["response"]["problem"]["code"] == "interrupted"
    assert len(session.ledger.open_authorisations()) == 1
    # The kernel goes on: the next call is a new authorisation, never the interrupted one paid
    # again.
    honest_simnet.cheat("anna", "off")
    assert session.ask(PROMPT, CallOptions(host=tee_id)).cost.charge is Charge.CLAIMED


def test_stop_before_payment_says_not_charged(session: Session):
    with pytest.raises(errors.CallInterrupted) as stopped:
        session.ask(PROMPT, None, _interrupt_when(Phase.QUOTE))
    assert stopped.value.charge is Charge.NONE
    assert session.overview.spending().kernel_reserved.amount == 0


def test_a_clock_that_is_off_is_refused_before_payment(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    from opg_magic.call import paying

    true_now = paying.utc_now
    session.overview.hosts()
    monkeypatch.setattr(paying, "utc_now", lambda: true_now() + timedelta(seconds=120))
    with pytest.raises(errors.ClockSkew, match=r"1[12]\d s ahead"):
        session.ask(PROMPT)
    assert session.overview.spending().kernel_reserved.amount == 0


def test_too_little_balance_or_allowance_is_said_before_signing(session: Session):
    session.ask(PROMPT)
    engine = session._engines["sim"][1]
    engine.route.payments.sessions.clear()

    async def poor(_address):
        return 10**16

    engine.route.chain.balance = poor
    with pytest.raises(errors.WalletError, match=r"holds 0\.01 sim-OPG"):
        session.ask(PROMPT)
    del engine.route.chain.balance
    engine.route.chain.allowance = poor
    with pytest.raises(errors.WalletError, match="Permit2 may take"):
        session.ask(PROMPT)


def test_a_crash_between_intent_and_end_leaves_a_known_unfinished_call(session: Session):
    session.ask(PROMPT)
    engine = session._engines["sim"][1]
    engine.route.payments.sessions.clear()

    class Crash(BaseException):
        pass

    class Wallet:
        address = session.open_wallet(engine.network).address

        def sign_permit(self, *_):
            raise Crash

    engine.route.payments.wallet = Wallet
    with pytest.raises(Crash):
        session.ask(PROMPT)
    assert len(session.ledger.open_authorisations()) == 2
    (unfinished,) = session.ledger.unfinished(include_running=True)
    assert unfinished.charge is Charge.UNKNOWN
