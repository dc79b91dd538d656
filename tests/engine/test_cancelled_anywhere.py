"""A call that is cancelled at any of its awaits loses no record of a payment, frees no reservation
that can be used, and says of the money no less than is true."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Answer, Charge, Prompt

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


class CancelledAt:
    """Awaits a coroutine, and cancels it at its ``step``-th suspension, and at those after it,
    ``times`` in all."""

    def __init__(self, work: Coroutine[Any, Any, Answer], step: int, times: int) -> None:
        self._work = work
        self._left = step
        self._last = 1 - times

    def __await__(self) -> Generator[Any, Any, Answer]:
        problem: BaseException | None = None
        while True:
            try:
                waiting = self._work.send(None) if problem is None else self._work.throw(problem)
            except StopIteration as end:
                return end.value
            problem = None
            self._left -= 1
            if self._last <= self._left <= 0:
                if waiting is not None:
                    waiting._asyncio_future_blocking = False
                    waiting.cancel()
                problem = asyncio.CancelledError()
                continue
            try:
                yield waiting
            except BaseException as raised:
                problem = raised


@pytest.mark.parametrize("times", [1, 3])
def test_a_call_may_be_cancelled_at_any_await(session: Session, tmp_path: Path, times: int):
    (tmp_path / "config.toml").write_text('max_cost_per_kernel = "100"\nmax_cost_per_day = "100"\n')
    session.settings.reload()
    session.ask(PROMPT)
    engine = session._engines["sim"][1]
    cap = 10**17
    seen = set()
    for step in range(1, 200):
        engine.route.payments.sessions.clear()
        reserved = session.overview.spending().kernel_reserved.amount
        count = session.ledger.count()

        async def run(_emit, step=step):
            work = engine.ask(PROMPT, CallOptions(), session.engine_settings(engine.network))
            return await CancelledAt(work, step, times)

        charge: Charge | None = Charge.NONE
        try:
            session.loop().run(run)
        except asyncio.CancelledError:
            pass
        except errors.CallFailed as stopped:
            charge = stopped.charge
        else:
            charge = Charge.CLAIMED
        seen.add(charge)
        more = session.overview.spending().kernel_reserved.amount - reserved
        assert (more, session.ledger.count() - count) == (
            (0, 0) if charge is Charge.NONE else (cap, 1)
        ), step
        assert session.ledger.unfinished(include_running=True) == []
        if charge is Charge.CLAIMED:
            break
    assert seen == {Charge.NONE, Charge.UNKNOWN, Charge.CLAIMED}
