"""Whatever fails on this machine after a payment was sent: the answer is kept, and nothing says
"not charged"."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import threading
import time

import pytest
from support.simnet import RunningSimnet
from support.waiting import until

from opg_magic import errors
from opg_magic.call import agreement
from opg_magic.call.payment import UptoPayment
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.display.card import of_kept
from opg_magic.models import Charge, Phase, Prompt
from opg_magic.network import background
from opg_magic.receipt.build import build_receipt
from opg_magic.receipt.face import card_of

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Lock:
    """Another program that holds the ledger's write lock."""

    def __init__(self, session: Session) -> None:
        self._db = sqlite3.connect(
            session.ledger.path, isolation_level=None, check_same_thread=False
        )

    def take(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def leave(self) -> None:
        self._db.execute("ROLLBACK")


def _before(session: Session, monkeypatch: pytest.MonkeyPatch, name: str, act) -> None:
    """``act`` happens just before a method of the engine's last step runs."""
    engine = session._engines["sim"][1]._finisher
    method = getattr(engine, name)

    def first(*args, **kwargs):
        act()
        return method(*args, **kwargs)

    monkeypatch.setattr(engine, name, first)


def test_a_locked_ledger_does_not_keep_a_paid_answer_from_its_user(session: Session, monkeypatch):
    session.ask(PROMPT)
    session.ledger._timeout = 0.2
    lock = Lock(session)
    with monkeypatch.context() as while_locked:
        _before(session, while_locked, "_judge_and_save", lock.take)
        answer = session.ask(PROMPT)
    assert answer.text
    assert answer.verdict.simulated
    assert "is locked by another program" in answer.notes[-1]
    aside = session.ledger.path.parent / "unsaved" / f"{answer.receipt.id}.json"
    assert str(aside) in answer.notes[-1]
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    lock.leave()
    # It goes in by itself, and only once.
    assert session.ledger.get(answer.receipt.id).digest == answer.receipt.digest
    assert not aside.exists()
    assert session.ledger.count() == 2
    assert session.ledger.unfinished(include_running=True) == []


def test_where_nothing_can_be_written_the_kernel_holds_the_receipt(session: Session, monkeypatch):
    session.ask(PROMPT)
    session.ledger._timeout = 0.2
    (session.ledger.path.parent / "unsaved").write_text("no folder can be made here")
    lock = Lock(session)
    with monkeypatch.context() as while_locked:
        _before(session, while_locked, "_judge_and_save", lock.take)
        answer = session.ask(PROMPT)
    assert "memory of this kernel" in answer.notes[-1]
    lock.leave()
    assert session.ledger.last().id == answer.receipt.id


def test_a_receipt_that_can_never_be_saved_keeps_no_other_from_it(session: Session, monkeypatch):
    first = session.ask(PROMPT).receipt
    session.ledger._timeout = 0.2
    lock = Lock(session)
    with monkeypatch.context() as while_locked:
        _before(session, while_locked, "_judge_and_save", lock.take)
        answer = session.ask(PROMPT)
    other = json.loads(answer.receipt.to_json()) | {"id": first.id}
    stuck = session.ledger.path.parent / "unsaved" / "0.json"
    stuck.write_text(json.dumps(other))
    lock.leave()
    assert session.ledger.get(answer.receipt.id).digest == answer.receipt.digest
    assert session.ledger.get(first.id).digest == first.digest
    assert stuck.exists()


def test_what_shows_the_spending_may_break(session: Session):
    def broken() -> None:
        raise RuntimeError("the comm is closed")

    session.on_change(broken)
    assert session.ask(PROMPT).text


def test_what_cannot_be_checked_is_kept_and_not_handed_out(session: Session, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("opg_magic.verify.verdict.judge", broken)
        with pytest.raises(errors.CallFailed, match="could not be checked") as failed:
            session.ask(PROMPT)
    assert failed.value.charge is Charge.CLAIMED
    receipt = session.ledger.get(failed.value.receipt_id)
    assert receipt.text
    assert receipt.verdict_at_creation is None
    # It is not said later that nothing came.
    with pytest.raises(errors.CallFailed, match="could not be checked when it came") as shown:
        session.show(receipt.id, unverified=True)
    assert f"opg show {receipt.id} --json" in shown.value.hint
    assert "Not checked" in of_kept(receipt).headline
    assert "Not checked" in card_of(receipt, show=False).state


def test_an_answer_of_which_no_receipt_can_be_made_is_kept_as_it_came(
    session: Session, monkeypatch
):
    def broken(**given):
        if not given.get("secrets"):
            return build_receipt(**given)  # the rehearsal, before anything is paid for
        raise TypeError("a value of another kind")

    with monkeypatch.context() as patched:
        patched.setattr("opg_magic.receipt.build.build_receipt", broken)
        with pytest.raises(
            errors.CallFailed, match="no receipt of the call could be made"
        ) as failed:
            session.ask(PROMPT)
    assert failed.value.charge is Charge.CLAIMED
    (kept,) = (session.ledger.path.parent / "unsaved").glob("*.raw")
    assert str(kept) in failed.value.hint
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    came = json.loads(kept.read_text())
    assert came["text"]
    assert "tee_signature" in came["frame"]
    (call,) = session.ledger.unfinished(include_running=True)
    assert call.call.id == came["call"] == kept.stem
    assert call.charge is Charge.UNKNOWN
    # A later call is not kept from its own.
    assert session.ask(PROMPT).text


def test_a_display_that_breaks_does_not_end_the_call(session: Session):
    def observer(progress):
        if progress.text:
            raise RuntimeError("no display")

    assert session.ask(PROMPT, None, observer).text
    assert session.ledger.count() == 1


def test_a_stop_when_the_answer_has_come_says_charged_and_where_it_is(
    session: Session, monkeypatch
):
    session.ask(PROMPT)

    def stop_and_let_it_be_seen():
        _stop()
        time.sleep(2)

    _before(session, monkeypatch, "_judge_and_save", stop_and_let_it_be_seen)
    with pytest.raises(errors.CallInterrupted) as stopped:
        session.ask(PROMPT)
    assert stopped.value.charge is Charge.CLAIMED
    assert session.ledger.get(stopped.value.receipt_id).text


@pytest.mark.parametrize("how", ["twice", "too slow"])
def test_a_stop_that_does_not_wait_for_the_end_never_says_not_charged(
    session: Session, honest_simnet: RunningSimnet, monkeypatch, how: str
):
    if how == "too slow":
        monkeypatch.setattr(background, "GRACE_SECONDS", 0.05)
    session.overview.hosts()
    honest_simnet.cheat("anna", "slow")
    done, let_go = threading.Event(), threading.Event()

    def hold():
        # Here the first stop has been seen: it is what ended the answer.
        if how == "twice":
            _stop()
        let_go.wait(60)

    _before(session, monkeypatch, "_judge_and_save", hold)

    def observer(progress):
        if progress.phase is Phase.ANSWER and progress.text and not done.is_set():
            done.set()
            _stop()

    with pytest.raises(errors.CallInterrupted) as stopped:
        session.ask(PROMPT, CallOptions(host=honest_simnet.host("anna").tee_id), observer)
    assert stopped.value.charge is Charge.UNKNOWN
    assert session.overview.spending().kernel_reserved.amount > 0
    let_go.set()
    until(session.ledger.count)
    assert session.ledger.last().document["payment"]["charge"] == "unknown"


def test_a_stop_while_several_hosts_answer_says_unknown(
    session: Session, honest_simnet: RunningSimnet
):
    for host in honest_simnet.hosts:
        honest_simnet.cheat(host.name, "slow")
    done = threading.Event()

    def observer(progress):
        if progress.text and not done.is_set():
            done.set()
            _stop()

    with pytest.raises(errors.CallInterrupted) as stopped:
        session.agree(PROMPT, hosts=3, observer=observer)
    assert stopped.value.charge is Charge.UNKNOWN
    assert session.ledger.unfinished(include_running=True) == []
    assert len(session.ledger.open_authorisations()) == 3


def test_a_stop_before_the_first_of_several_is_sent_frees_all(session: Session, monkeypatch):
    session.overview.hosts()
    prepare_several = agreement.prepare_several

    async def stopped_after(*args, **kwargs):
        prepared = await prepare_several(*args, **kwargs)
        asyncio.current_task().cancel()
        return prepared

    monkeypatch.setattr(agreement, "prepare_several", stopped_after)
    with pytest.raises((KeyboardInterrupt, asyncio.CancelledError)):
        session.agree(PROMPT, hosts=3)
    assert session.overview.spending().kernel_reserved.amount == 0
    assert session.ledger.unfinished(include_running=True) == []


@pytest.mark.parametrize("step", ["cost", "keep"])
def test_whatever_fails_after_the_payment_the_error_says_where_the_answer_is(
    session: Session, monkeypatch, step: str
):
    session.ask(PROMPT)

    def broken(*_args, **_given):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(UptoPayment, step, broken)
        with pytest.raises(errors.CallFailed, match="ZeroDivisionError") as failed:
            session.ask(PROMPT)
    assert failed.value.charge is Charge.CLAIMED
    if step == "cost":
        assert failed.value.came["text"]
    else:
        assert session.ledger.get(failed.value.receipt_id).text
    assert session.ask(PROMPT).text


def test_an_unexpected_end_of_one_of_several_calls_hides_no_other(
    session: Session, honest_simnet, monkeypatch
):
    session.overview.hosts()
    anna = honest_simnet.host("anna").tee_id
    engine = session._engines["sim"][1]
    send = engine.send

    async def broken(prepared):
        if prepared.ready.host.tee_id == anna:
            raise ZeroDivisionError
        return await send(prepared)

    monkeypatch.setattr(engine, "send", broken)
    monkeypatch.setattr(session.ledger, "supplement", lambda *_: 1 / 0)
    agreed = session.agree(PROMPT, hosts=3, quorum=2)
    assert len(agreed.answers) == 2
    assert [(type(f), f.charge) for f in agreed.failures] == [(errors.CallFailed, Charge.UNKNOWN)]
    assert all(
        "not in the ledger: ZeroDivisionError" in answer.notes[-1] for answer in agreed.answers
    )
    assert session.ledger.count() == 2
