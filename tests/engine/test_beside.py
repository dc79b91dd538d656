"""Calls that run beside the work: awaited or waited for, stopped, recorded."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from types import SimpleNamespace

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call import beside, kernel
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Phase, Progress, Prompt

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


@pytest.fixture
def slow_anna(honest_simnet: RunningSimnet) -> CallOptions:
    """A call of a host that takes its time."""
    honest_simnet.cheat("anna", "slow")
    return CallOptions(host=honest_simnet.host("anna").tee_id)


def test_the_answer_is_waited_for_or_awaited(session: Session) -> None:
    pending = session.beside(lambda: session.ask(PROMPT))

    async def cell() -> object:
        return await pending

    answer = pending.wait(60)
    assert answer.text
    assert pending.done()
    assert not pending.failed()
    assert asyncio.run(cell()) is answer
    assert repr(answer) in repr(pending)
    assert session.ledger.get(answer.receipt.id)
    pending.stop()
    assert pending.wait() is answer


def test_a_timeout_and_a_cancelled_await_do_not_end_the_call(
    session: Session, slow_anna: CallOptions
) -> None:
    answering = threading.Event()
    pending = session.beside(lambda: session.ask(PROMPT, slow_anna, _when_answering(answering)))
    with pytest.raises(TimeoutError):
        pending.wait(0)
    assert answering.wait(60)

    async def cell() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pending, 0.01)

    asyncio.run(cell())
    assert not pending.done()
    assert "running since" in repr(pending)
    pending.stop()
    with pytest.raises(errors.CallInterrupted):
        pending.wait(60)


def _when_answering(event: threading.Event):
    def observer(progress: Progress) -> None:
        if progress.phase is Phase.ANSWER and progress.text:
            event.set()

    return observer


def test_a_stop_says_what_happened_to_the_money_and_is_recorded(
    session: Session, slow_anna: CallOptions
) -> None:
    answering = threading.Event()
    pending = session.beside(lambda: session.ask(PROMPT, slow_anna, _when_answering(answering)))
    other = session.beside(lambda: "another call")
    assert answering.wait(60)
    pending.stop()
    with pytest.raises(errors.CallInterrupted) as stopped:
        pending.wait(60)
    assert stopped.value.charge is Charge.UNKNOWN
    receipt = session.ledger.get(stopped.value.receipt_id)
    assert receipt.document["response"]["problem"]["code"] == "interrupted"
    assert pending.failed()
    assert "stopped" in repr(pending)
    assert other.wait(60) == "another call"
    assert session.stop_beside() == 0


def test_a_stop_before_the_call_begins_sends_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, go_on = threading.Event(), threading.Event()
    engine = session.engine

    def slow(*arguments):
        found = engine(*arguments)
        opened.set()
        assert go_on.wait(60)
        return found

    monkeypatch.setattr(session, "engine", slow)
    pending = session.beside(lambda: session.ask(PROMPT))
    assert opened.wait(60)
    assert session.stop_beside() == 1
    go_on.set()
    with pytest.raises(errors.CallInterrupted) as stopped:
        pending.wait(60)
    assert stopped.value.charge is Charge.NONE
    assert session.ledger.count() == 0


def test_the_end_of_the_session_stops_and_records_it(
    session: Session, slow_anna: CallOptions
) -> None:
    answering = threading.Event()
    pending = session.beside(lambda: session.ask(PROMPT, slow_anna, _when_answering(answering)))
    assert answering.wait(60)
    session.close()
    with pytest.raises(errors.CallInterrupted) as stopped:
        pending.wait(0)
    assert stopped.value.receipt_id is not None
    assert session.ledger.get(stopped.value.receipt_id)


def test_the_end_of_the_session_records_what_nobody_waits_for_any_more(
    session: Session, slow_anna: CallOptions
) -> None:
    """As of an ``aask`` whose program ends: its own loop is gone, and the prompt is paid for."""
    answering = threading.Event()

    async def program() -> None:
        asking = session.loop().submit(
            session.ask_here(PROMPT, slow_anna, _when_answering(answering))
        )
        await asyncio.to_thread(answering.wait, 60)
        del asking

    asyncio.run(program())
    ledger = session.ledger
    session.close()
    (receipt,) = (ledger.get(row.id) for row in ledger.rows())
    assert receipt.document["response"]["problem"]["code"] == "interrupted"


def test_calls_that_hang_are_given_one_grace_together(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, waits = threading.Event(), []
    for _ in range(3):
        session.beside(hang.wait)
    monkeypatch.setattr(
        beside.PendingCall, "ended", lambda _self, seconds: waits.append(seconds) or False
    )
    now = iter(range(0, 100, 5))
    monkeypatch.setattr(kernel, "time", SimpleNamespace(monotonic=lambda: next(now)))
    session.close()
    hang.set()
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] < 0


def test_a_receipt_names_the_cell_that_began_the_call(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "execution_count", lambda: 3)
    begun = threading.Event()

    def later() -> object:
        assert begun.wait(60)
        return session.ask(PROMPT)

    pending = session.beside(later)
    monkeypatch.setattr(kernel, "execution_count", lambda: 7)
    begun.set()
    assert pending.wait(60).receipt.document["notebook"]["cell"] == 3
    assert session.ask(PROMPT).receipt.document["notebook"]["cell"] == 7


def test_nothing_of_it_stays_in_the_context_of_the_kernel(session: Session) -> None:
    before = dict(contextvars.copy_context())
    session.beside(lambda: None).wait(60)
    assert dict(contextvars.copy_context()) == before


def test_a_limit_is_said_where_the_answer_is_waited_for(session: Session) -> None:
    session.settings.set("max_cost_per_call", "0")
    pending = session.beside(lambda: session.ask(PROMPT))
    with pytest.raises(errors.LimitExceeded):
        pending.wait(60)
    assert session.ledger.count() == 0


def test_whoever_waits_is_shown_the_end_once_more(session: Session) -> None:
    """Between two cells, a notebook that runs without a front end hears nothing."""
    shown: list[str] = []
    go_on = threading.Event()
    waited = session.beside(lambda: go_on.wait(60), lambda: shown.append("waited"))
    with pytest.raises(TimeoutError):
        waited.wait(0)
    assert shown == []
    go_on.set()
    assert waited.wait(60) and waited.wait(60)
    awaited = session.beside(lambda: 1, lambda: shown.append("awaited"))

    async def cell() -> int:
        return await awaited

    assert asyncio.run(cell()) == 1
    assert "1" in repr(awaited)

    def fails() -> None:
        raise errors.PromptError("no")

    failed = session.beside(fails, lambda: shown.append("failed"))
    with pytest.raises(errors.PromptError):
        failed.wait(60)
    assert shown == ["waited", "awaited", "failed"]
