"""Hosts of a table: what each is given, how calls at once share a cap, what a busy, a slow and a
dead host do to it, and what a killed kernel leaves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from aiohttp import web
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.caps import Caps
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt
from opg_magic.network.exchange import retry_after
from opg_magic.network.profiles import SIM_OPG
from opg_magic.simnet.host.conduct import Honest
from opg_magic.table.pace import FIRST_PAUSE, MOST_FAILURES, Pace, best, next_free
from opg_magic.table.tally import Tally

ASK = {"model": "openai/gpt-5", "progress": False}


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_current", session)
    session.settings.set("max_cost_per_kernel", "100")
    session.settings.set("max_cost_per_day", "100")


def data(count: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(count)})


class Watched(Honest):
    """Counts its calls, and answers 429 to some."""

    busy: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.calls = 0

    async def before_answer(self, host, request):
        self.calls += 1
        if self.calls in self.busy:
            return web.Response(status=429, headers={"Retry-After": "0"})
        return None


def authorisations(session: Session) -> set[str]:
    return {
        receipt.document["payment"]["authorisation"]["nonce"]
        for receipt in session.ledger.receipts()
    }


def play(simnet: RunningSimnet, conduct: Honest) -> None:
    async def put() -> None:
        simnet.host("anna").play(conduct)

    simnet.run(put())


def test_a_busy_host_is_asked_again_under_the_same_authorisation(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    conduct = Watched()
    conduct.busy = frozenset({3, 4, 5})
    play(honest_simnet, conduct)
    try:
        found = opg_magic.map(
            data(8), "Is {{n}} prime?", host="anna", max_tokens=20, concurrency=2, **ASK
        )
    finally:
        honest_simnet.reset()
    assert found["answer"].notna().all()
    assert conduct.calls == 8 + 3
    assert len(authorisations(session)) == 1


def test_a_first_call_that_is_refused_as_busy_is_not_signed_for_again(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    conduct = Watched()
    conduct.busy = frozenset({1})
    play(honest_simnet, conduct)
    try:
        found = opg_magic.map(data(1), "Is {{n}} prime?", host="anna", max_tokens=20, **ASK)
    finally:
        honest_simnet.reset()
    assert found["answer_error"].str.contains("429").all()
    assert conduct.calls == 1


def test_calls_at_once_never_risk_more_than_is_left_of_the_cap(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.wallet.upto import UptoSession

    over: list[int] = []
    has_room = UptoSession.has_room

    def watched(self, worst, **given):
        found = has_room(self, worst, **given)
        over.append(sum(self.held.values()) + self.spent - self.authorisation.cap)
        return found

    monkeypatch.setattr(UptoSession, "has_room", watched)
    # The worst that one of these may cost is half of a cap.
    found = opg_magic.map(
        data(8), "Is {{n}} prime?", host="anna", max_tokens=400, concurrency=8, **ASK
    )
    assert found["answer"].notna().all()
    assert over
    assert max(over) <= 0
    # What they really cost fits: the calls waited for one another instead of signing anew.
    assert len(authorisations(session)) == 1


def test_a_host_that_is_down_costs_nothing_and_another_answers(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "gateway-down")
    found = opg_magic.map(data(6), "Is {{n}} prime?", hosts=3, max_tokens=20, **ASK)
    assert found["answer"].notna().all()
    anna = session.simulated_hosts()["anna"]
    assert anna not in {r.document["host"]["tee_id"] for r in session.ledger.receipts()}


KILLED = """
import json, os, sys
import pandas as pd
import opg_magic
from opg_magic.call import session as sessions
from opg_magic.settings import paths
from opg_magic.settings.config import Settings
from opg_magic.table import mapping

state = json.load(sys.stdin)
home = paths.home()
settings = Settings(environ={}, user_file=home / "config.toml", project_dir=home)
sessions._current = sessions.Session(settings, simulator=lambda _: state)
left = 5

class Killed(mapping.Run):
    async def _outcome(self, text):
        global left
        found = await super()._outcome(text)
        left -= 1
        if left == 0:
            os._exit(9)
        return found

mapping.Run = Killed
opg_magic.map(pd.DataFrame({"n": range(12)}), "Is {{n}} prime?", model="openai/gpt-5",
              max_tokens=20, concurrency=2, progress=False)
"""


def test_a_killed_kernel_loses_nothing_that_was_paid_for(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=json.dumps(honest_simnet.net.state),
        env=os.environ,
        text=True,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == 9, killed.stderr
    kept = session.ledger.count()
    assert kept >= 5
    ask = {"max_tokens": 20, **ASK}
    plan = opg_magic.map(data(12), "Is {{n}} prime?", dry_run=True, **ask)
    assert plan.recorded == kept
    found = opg_magic.map(data(12), "Is {{n}} prime?", **ask)
    assert found["answer"].notna().all()
    assert session.ledger.count() == 12


def test_a_host_begins_with_one_call_and_gets_its_share_once_its_session_is_open() -> None:
    pace = Pace(most=8)
    assert pace.is_free(0.0)
    pace.running = 1
    assert not pace.is_free(0.0)
    pace.answered(0.2)
    assert pace.is_free(0.0)
    assert pace.limit == 8


def test_a_host_whose_session_is_open_gets_its_share_at_once_beside_the_others() -> None:
    one, other = Pace(most=8), Pace(most=8)
    one.open()
    other.open()
    for _ in range(6):
        chosen = best([one, other], now=0.0)
        assert chosen is not None
        chosen.running += 1
    assert (one.running, other.running) == (3, 3)
    other.answered(0.2)
    other.open()  # again: nothing is forgotten
    assert other.wait < one.wait


class Gate(Honest):
    """Answers nobody until as many calls as are wanted are there."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.there = 0
        self.all = asyncio.Event()

    async def before_answer(self, host, request):
        self.there += 1
        if self.there >= self.wanted:
            self.all.set()
        await self.all.wait()


def test_a_table_begins_with_all_its_calls_where_a_session_is_open(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    ask = ASK | {"max_tokens": 20, "hosts": 1, "host": "anna", "concurrency": 4}
    assert opg_magic.map(data(1), "Is -{{n}} prime?", **ask)["answer"].notna().all()
    play(honest_simnet, Gate(4))
    try:
        found = opg_magic.map(data(4), "Is {{n}} prime?", timeout=20, **ask)
    finally:
        play(honest_simnet, Honest())
    assert found["answer"].notna().all(), found["answer_error"].tolist()


def test_a_slow_host_gets_fewer_calls() -> None:
    fast, slow = Pace(most=32), Pace(most=32)
    fast.answered(0.1)
    slow.answered(1.0)
    given = {id(fast): 0, id(slow): 0}
    for _ in range(22):
        chosen = best([slow, fast], now=0.0)
        assert chosen is not None
        chosen.running += 1
        given[id(chosen)] += 1
    assert (given[id(fast)], given[id(slow)]) == (20, 2)


def test_failures_halve_pause_and_end_a_host_and_one_answer_forgives_them() -> None:
    pace = Pace(most=8)
    pace.answered(0.1)
    pace.failed(10.0, "down")
    pace.failed(10.0, "down")  # together with the first: one sign
    assert pace.limit == 4
    assert not pace.is_free(10.0)
    assert next_free([pace], 10.0) == 2 * FIRST_PAUSE
    pace.answered(0.1)
    assert pace.failures == 0
    for now in range(MOST_FAILURES):
        pace.failed(1000.0 * (now + 1), "down")
    assert pace.out == "down"
    assert best([pace], 1e9) is None


def test_a_host_is_left_alone_as_long_as_it_asks() -> None:
    pace = Pace(most=8)
    pace.answered(0.1)
    pace.failed(10.0, "busy", after=7.0)
    assert not pace.is_free(16.9)
    assert pace.is_free(17.0)
    assert pace.failures == 0  # busy is no fault


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("-3", None), ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0)],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}) == seconds


def test_caps_count_each_authorisation_once_and_refuse_before_the_next() -> None:
    caps = Caps(10)
    caps.take(1, 6, SIM_OPG)
    caps.take(1, 6, SIM_OPG)
    assert caps.total == 6
    with pytest.raises(errors.LimitExceeded, match="would exceed max_cost"):
        caps.take(2, 5, SIM_OPG)
    caps.give_back(1)
    caps.take(2, 5, SIM_OPG)
    assert caps.total == 5


def test_a_call_that_is_stopped_while_it_waits_for_its_turn_gives_its_reservation_back(
    session: Session,
) -> None:
    from opg_magic.call.state import CallOptions
    from opg_magic.models import Prompt

    engine = session.engine(CallOptions())
    settings = session.engine_settings(engine.network)

    async def main() -> None:
        call = engine.start(
            Prompt(text="Is 97 prime?", model=ASK["model"]), CallOptions(), settings
        )
        call.slot = asyncio.Semaphore(0)
        snapshot = await engine.hosts.snapshot(settings)
        host = engine.hosts.in_order(snapshot)[0]
        ready = await engine.hosts.check(host, snapshot, settings, policy=call.policy)
        task = asyncio.ensure_future(engine.ask_host(call, ready, settings))
        while not session.ledger.open_authorisations():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not call.spendable_left

    session.run(main())
    assert session.ledger.open_authorisations() == []
    (row,) = session.ledger.rows()
    assert row.document is None


def test_what_fails_unexpectedly_ends_the_table_and_loses_no_answer_under_way(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.table import running

    fitted, seen = running.fitted, 0

    def failing(answer, shape):
        nonlocal seen
        seen += 1
        if seen == 2:
            raise RuntimeError("a bug, or a user's own type")
        return fitted(answer, shape)

    monkeypatch.setattr(running, "fitted", failing)
    found = opg_magic.map(data(12), "Is {{n}} prime?", max_tokens=20, concurrency=4, **ASK)
    kept = {receipt.id for receipt in session.ledger.receipts()}
    shown = set(found["answer_receipt"].dropna())
    assert len(shown) == len(kept) - 1  # of the one that failed, the ledger has the receipt
    assert found["answer_error"].str.contains(r"failed here \(RuntimeError\)").any()
    assert found["answer_error"].str.startswith("not asked: ").any()


def test_a_registry_that_cannot_be_asked_for_another_host_leaves_the_others_at_work(
    session: Session,
) -> None:
    """It raised out of a worker, and ended the table with calls under way."""
    from opg_magic.table.running import Run

    engine = session.engine(CallOptions())
    settings = session.engine_settings(engine.network)

    async def down(_settings: object) -> object:
        raise errors.NetworkUnavailable("no RPC answers")

    async def run() -> str | None:
        (first, second) = (await engine.hosts.snapshot(settings)).hosts[:2]
        made = Run(
            engine,
            CallOptions(),
            settings,
            (first, second),
            concurrency=1,
            caps=Caps(),
            tally=Tally(1, SIM_OPG),
            make=lambda text: Prompt(text=text, model="openai/gpt-5"),
            shape=None,
            done=lambda number, outcome: None,
        )
        engine.hosts.snapshot = down
        engine.hosts.skip(first, "it lied")
        asked = await made._free_host()
        return None if asked is None else asked.host.tee_id if asked.host is second else "first"

    try:
        assert session.run(run()) not in (None, "first")
    finally:
        del engine.hosts.snapshot


class Slow(Honest):
    """Takes longer for its first answer than a late call has left."""

    quick = False

    async def before_answer(self, host, request):
        await asyncio.sleep(0.0 if self.quick else 1.5)
        self.quick = True


def test_a_prompt_whose_turn_comes_too_late_is_not_sent_to_be_cut_off(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had waited for another call until its payment had seconds left, was sent and charged, and
    timed out."""
    from opg_magic.call.payment import UptoPayment

    left, late = UptoPayment.seconds_left, [True]

    def short_at_first(self):
        return 0.7 if late and late.pop() else left(self)

    monkeypatch.setattr(UptoPayment, "seconds_left", short_at_first)
    play(honest_simnet, Slow())
    try:
        found = opg_magic.map(data(2), "Is {{n}} prime?", max_tokens=20, host="anna", **ASK)
    finally:
        honest_simnet.reset()
    assert not late
    assert found["answer"].notna().all()
    assert session.ledger.count() == 2
    assert len(authorisations(session)) == 1


def test_a_table_for_one_host_takes_no_answer_of_another_out_of_the_ledger(
    session: Session,
) -> None:
    ask = {"max_tokens": 20, **ASK}
    opg_magic.map(data(1), "Is {{n}} prime?", host="anna", **ask)
    assert opg_magic.map(data(1), "Is {{n}} prime?", host="anna", dry_run=True, **ask).ask == 0
    assert opg_magic.map(data(1), "Is {{n}} prime?", host="bruno", dry_run=True, **ask).ask == 1
    assert opg_magic.map(data(1), "Is {{n}} prime?", dry_run=True, **ask).ask == 0
