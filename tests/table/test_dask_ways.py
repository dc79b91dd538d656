"""Tables of Dask's: what is shown as they are computed, equal prompts each for itself, and an
asynchronous client.  Clusters are in this process here; processes are in ``test_dask``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from support.slow import Slow

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.table import desk, door

pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")

pytestmark = pytest.mark.xdist_group("dask")

ASK: dict[str, Any] = {"model": "openai/gpt-5", "max_tokens": 20, "host": "anna"}
PRIME = "Is {{n}} prime?"


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_current", session)
    session.settings.set("max_cost_per_kernel", "100")
    session.settings.set("max_cost_per_day", "100")


@pytest.fixture
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as made:
        yield made


def numbers(*those: object, parts: int = 3) -> Any:
    return dd.from_pandas(pd.DataFrame({"n": list(those)}), npartitions=parts)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


# ------------------------------------------------------------------------------------------- shown


def test_one_line_says_how_a_computation_ended(anna: Slow, capsys: Any) -> None:
    opg_magic.map([97], PRIME.replace("n", "value"), progress=False, **ASK)
    lazy = opg_magic.map(numbers(97, 91, 4, 97), PRIME, **ASK)
    assert lines(capsys) == []
    lazy.compute(scheduler="threads")
    (line,) = lines(capsys)
    assert line.startswith("3 of 3 prompts · 1 from the ledger · cost 0.0")
    # Nothing is asked, so nothing is shown.
    lazy.compute(scheduler="threads")
    assert lines(capsys) == []
    opg_magic.map(numbers(3), PRIME, progress=False, **ASK).compute(scheduler="threads")
    assert lines(capsys) == []


def test_the_first_rows_alone_ask_their_partition_alone(anna: Slow, capsys: Any) -> None:
    lazy = opg_magic.map(numbers(1, 2, 3, 4, 5, 6), PRIME, **ASK)
    assert lazy.head(1)["answer"].notna().all()
    assert anna.calls == 2
    assert lines(capsys)[0].startswith("2 of 6 prompts · cost")
    lazy.compute(scheduler="threads")
    assert anna.calls == 6
    assert lines(capsys)[0].startswith("6 of 6 prompts · 2 from the ledger · cost")


def test_a_cluster_s_computation_is_shown_too(client: Any, anna: Slow, capsys: Any) -> None:
    lazy = opg_magic.map(numbers(97, 91, 4, 97), PRIME, **ASK)
    assert lazy.compute()["answer"].notna().all()
    assert [one for one in lines(capsys) if one.startswith("3 of 3 prompts")]


def test_what_a_session_s_end_leaves_unsaid_is_said_then(
    client: Any, anna: Slow, session: Session, capsys: Any
) -> None:
    lazy = opg_magic.map(numbers(1, 2, 3, 4, 5, 6), PRIME, **ASK)
    assert lazy.head(1)["answer"].notna().all()
    session.close()
    assert [one for one in lines(capsys) if one.startswith("2 of 6 prompts · cost")]


def test_a_limit_in_mid_run_keeps_what_came_and_says_why(
    anna: Slow, session: Session, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    class Limited(desk.Run):
        async def _answer(self, asked: Any, prompt: Any) -> Any:
            if anna.calls >= 5:
                raise errors.LimitExceeded("the day's limit is reached", hint="raise it")
            return await super()._answer(asked, prompt)

    lazy = opg_magic.map(numbers(*range(20)), PRIME, concurrency=1, **ASK)
    with monkeypatch.context() as limited:
        limited.setattr(desk, "Run", Limited)
        found = lazy.compute(scheduler="synchronous")
    came = found["answer"].notna().sum()
    assert came == anna.calls == session.ledger.count() < 20
    reasons = set(found["answer_error"].dropna())
    assert reasons == {"not asked: the day's limit is reached"}
    (line,) = lines(capsys)
    assert line.startswith(f"{came} of 20 prompts") and line.endswith("the day's limit is reached")
    assert lazy.compute(scheduler="synchronous")["answer"].notna().all()
    assert anna.calls == session.ledger.count() == 20


def test_what_fails_is_counted_and_said(honest_simnet: Any, anna: Slow, capsys: Any) -> None:
    honest_simnet.cheat("anna", "change-byte")
    lazy = opg_magic.map(numbers(97, 91, parts=1), PRIME, concurrency=1, **ASK)
    lazy.compute(scheduler="synchronous")
    (line,) = lines(capsys)
    assert line.startswith("1 of 2 prompts · 1 failed") and "no host can be used" in line


def test_a_client_that_is_not_the_current_one_reaches_the_desk(
    client: Any, anna: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    lazy = opg_magic.map(numbers(97, 91, parts=1), PRIME, **ASK)
    monkeypatch.setattr(door, "_door", door.Door)  # as a worker elsewhere has it

    def none(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(distributed.Client, "current", none)
    assert client.compute(lazy).result()["answer"].notna().all()


@pytest.mark.parametrize("status", ["connecting", "running"])
async def test_a_cluster_that_is_gone_has_nothing_more_asked(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Where its scheduler had died, 290 more prompts were paid for, and nobody waited for them."""
    distributed = pytest.importorskip("distributed")

    class Away:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return self

        async def put(self, _: object) -> None:
            await asyncio.Event().wait()

        def close(self) -> None: ...

    monkeypatch.setattr(distributed, "Queue", Away)
    monkeypatch.setattr(door, "_SIGN", 0.01)
    monkeypatch.setattr(door, "_LOST", 0.01)
    asked: Future[Any] = Future()
    client: Any = SimpleNamespace(status=status)
    await door._reply(asked, "desk", client, "ticket", 1)
    await asyncio.sleep(0)
    assert asked.cancelled()


@pytest.mark.parametrize("columns", [("n", "extra"), ("m",)])
def test_a_partition_that_is_not_what_meta_says_is_not_asked(
    anna: Slow, columns: tuple[str, ...]
) -> None:
    def load(number: int) -> pd.DataFrame:
        return pd.DataFrame([[number] * len(columns)], columns=list(columns))

    meta = pd.DataFrame({"n": pd.Series(dtype="int64")})
    data = dd.from_map(load, [1], meta=meta, enforce_metadata=False)
    says = "A partition has the columns 'n', 'extra'; the table has 'n'|no column 'n'"
    with pytest.raises(errors.ArgumentError, match=says):
        opg_magic.map(data, PRIME, **ASK).compute(scheduler="threads")
    assert anna.calls == 0


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_a_table_that_ends_at_a_failure_says_which(
    honest_simnet: Any, anna: Slow, session: Session, scheduler: str
) -> None:
    honest_simnet.cheat("anna", "change-byte")
    data = numbers(*range(400, 440), parts=4)
    lazy = opg_magic.map(data, PRIME, errors="raise", concurrency=1, **ASK)
    with pytest.raises(errors.CallFailed, match="the response check failed"):
        lazy.compute(scheduler=scheduler)
    assert session.ledger.count() == 1


def test_two_computations_at_once_pay_once(client: Any, anna: Slow, session: Session) -> None:
    lazy = opg_magic.map(numbers(*range(12), *range(12)), PRIME, concurrency=2, **ASK)
    anna.free.clear()
    both = [client.compute(lazy), client.compute(lazy[["answer"]])]
    here: list[Any] = []
    beside = threading.Thread(target=lambda: here.append(lazy.compute(scheduler="threads")))
    beside.start()
    while not anna.calls:
        time.sleep(0.02)
    anna.free.set()
    found = [one.result()["answer"] for one in both]
    beside.join()
    assert anna.calls == session.ledger.count() == 12
    for one in (*found, here[0]["answer"]):
        assert one.notna().all() and len(one) == 24


# ----------------------------------------------------------------------- equal prompts, each asked


@pytest.mark.parametrize("over_the_wire", [False, True])
def test_each_of_equal_rows_is_asked_and_none_of_them_twice(
    client: Any,
    anna: Slow,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    over_the_wire: bool,
) -> None:
    if over_the_wire:
        monkeypatch.setattr(door, "_door", door.Door)
    lazy = opg_magic.map(numbers(97, 97, 91, 97, 4, 97), PRIME, dedupe=False, **ASK)
    # A partition that is computed alone is the one that it is.
    last = lazy.partitions[2].compute()
    assert anna.calls == 2
    found = lazy.compute()
    assert anna.calls == session.ledger.count() == 6
    assert found["answer_receipt"].nunique() == 6
    assert found["answer_receipt"].tolist()[4:] == last["answer_receipt"].tolist()
    pd.testing.assert_frame_equal(lazy.compute(), found)
    assert anna.calls == 6


@pytest.mark.parametrize("dedupe", [True, False])
def test_parts_that_dask_joins_are_asked_as_they_were_planned(
    anna: Slow, tmp_path: Path, dedupe: bool
) -> None:
    """Of some columns of a Parquet file, Dask reads several parts as one.  Most of their rows were
    taken for others than the planned ones, and not asked."""
    wide = {f"other{number}": 1.5 for number in range(40)}
    data = pd.DataFrame({"n": [number % 3 for number in range(12)], **wide})
    dd.from_pandas(data, npartitions=6, sort=False).to_parquet(tmp_path / "in")
    some = dd.read_parquet(tmp_path / "in")[["n"]]
    lazy = opg_magic.map(some, PRIME, dedupe=dedupe, **ASK)
    # Which parts Dask joins depends on what is computed of them.
    for one in (lazy.partitions[[4, 1]], lazy, lazy[["answer"]], lazy[lazy["n"] > 0]):
        found = one.compute(scheduler="synchronous")
        assert found["answer"].notna().all(), found
    assert len(lazy.compute(scheduler="synchronous")) == 12
    assert anna.calls == (3 if dedupe else 12)


def test_equal_rows_share_what_is_on_record_before(anna: Slow, session: Session) -> None:
    opg_magic.map(["Is 97 prime?"], "{{value}}", progress=False, **ASK)
    data = numbers(97, 97, 91, 91, parts=2)
    plan = opg_magic.map(data, PRIME, dedupe=False, dry_run=True, **ASK)
    assert (plan.distinct, plan.recorded, plan.ask) == (4, 2, 2)
    found = opg_magic.map(data, PRIME, dedupe=False, **ASK).compute(scheduler="threads")
    assert found["answer_receipt"].nunique() == 3
    assert anna.calls == session.ledger.count() == 3


# -------------------------------------------------------------------------- an asynchronous client


async def test_an_asynchronous_client_computes_what_amap_planned(
    anna: Slow, session: Session, capsys: Any
) -> None:
    distributed = pytest.importorskip("distributed")
    async with distributed.Client(
        asynchronous=True,
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address=":0",
    ) as client:
        data = numbers(97, 91, 97)
        with pytest.raises(errors.ArgumentError, match="asynchronous Client") as refused:
            opg_magic.map(data, PRIME, **ASK)
        assert "await opg_magic.amap" in str(refused.value.hint)
        plan = await opg_magic.amap(data, PRIME, dry_run=True, **ASK)
        assert (plan.rows, plan.ask, anna.calls) == (3, 2, 0)
        lazy = await opg_magic.amap(data, PRIME, **ASK)
        assert anna.calls == 0
        found = await client.compute(lazy)
        assert found["answer"].notna().all()
        assert anna.calls == session.ledger.count() == 2
        with pytest.raises(errors.ArgumentError, match="no column 'm'"):
            await opg_magic.amap(data, "{{m}}", **ASK)


async def test_amap_without_a_client_maps_lazily_too(anna: Slow) -> None:
    lazy = await opg_magic.amap(numbers(97, 91), PRIME, **ASK)
    assert anna.calls == 0
    assert lazy.compute(scheduler="threads")["answer"].notna().all()
