"""Tables of Dask's: planned whole, asked by the client's process, on every scheduler; a worker that
is killed loses nothing and has nothing paid twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.simnet import RunningSimnet
from support.slow import Slow

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.table import door

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")

pytestmark = pytest.mark.xdist_group("dask")

ASK: dict[str, Any] = {"model": "openai/gpt-5", "max_tokens": 20}
ADDED = ["answer", "answer_error", "answer_verdict", "answer_receipt"]


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_current", session)
    session.settings.set("max_cost_per_kernel", "100")
    session.settings.set("max_cost_per_day", "100")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as made:
        yield made


def numbers(*those: object, parts: int = 3) -> Any:
    index = pd.Index(range(10, 10 + len(those)), name="row")
    return dd.from_pandas(pd.DataFrame({"n": list(those)}, index=index), npartitions=parts)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_a_frame_is_planned_now_and_asked_when_it_is_computed(
    session: Session, anna: Slow, scheduler: str
) -> None:
    data = numbers(97, 91, 97, 4, 97, 91)
    lazy = data.opg.map("Is {{n}} prime?", host="anna", **ASK)
    assert (anna.calls, session.ledger.rows()) == (0, [])
    assert lazy.divisions == data.divisions
    assert list(lazy.columns) == ["n", *ADDED]
    found = lazy.compute(scheduler=scheduler)
    # Over three partitions, equal prompts were asked once.
    assert (anna.calls, session.ledger.count()) == (3, 3)
    assert found["answer"].str.startswith("Yes").tolist() == [True, False, True, False, True, False]
    assert dict(found.dtypes) == dict(lazy.dtypes)
    assert found.index.equals(data.compute().index)
    again = lazy.compute(scheduler=scheduler)
    pd.testing.assert_frame_equal(found, again)
    assert anna.calls == 3


def test_the_plan_is_of_the_whole_and_a_limit_refuses_it_before_it_begins(
    session: Session, anna: Slow
) -> None:
    data = numbers(97, 91, 97, 4, None, 97)
    opg_magic.map(["Is 4 prime?"], "{{value}}", host="anna", progress=False, **ASK)
    plan = opg_magic.map(data.astype(object), "Is {{n}} prime?", dry_run=True, host="anna", **ASK)
    assert (plan.rows, plan.missing, plan.distinct) == (6, 1, 3)
    with pytest.raises(errors.LimitExceeded, match=r"max_cost is 0\.001"):
        opg_magic.map(data, "Is {{n}} prime?", host="anna", max_cost="0.001", **ASK)
    assert anna.calls == 1


@pytest.mark.parametrize(
    ("data", "prompt", "says"),
    [
        ([1, 2], "{{m}}", "There is no column 'm'"),
        (["a", ["b"]], "{{n}}", r"Partition 1: Row 11, column 'n' holds a list"),
        (["a", 3], "{{n}}", "Partition 1: Row 11, column 'n' holds a number, and row 10 of "
         "partition 0 a text"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_sent(
    session: Session, data: list[object], prompt: str, says: str
) -> None:
    with (
        dask.config.set({"dataframe.convert-string": False}),
        pytest.raises(errors.ArgumentError, match=says),
    ):
        opg_magic.map(numbers(*data, parts=2), prompt, **ASK)
    assert session.ledger.rows() == []


def test_rows_that_were_not_planned_are_not_asked(session: Session, anna: Slow) -> None:
    rows = [1, 2]

    def load(_: int) -> pd.DataFrame:
        return pd.DataFrame({"n": list(rows)})

    data = dd.from_map(load, [0], meta=pd.DataFrame({"n": pd.Series(dtype="int64")}))
    lazy = opg_magic.map(data, "Is {{n}} prime?", host="anna", **ASK)
    rows[1] = 3
    found = lazy.compute(scheduler="threads")
    assert anna.calls == 1
    assert found["answer"].isna().tolist() == [False, True]
    assert "planned no such row" in found["answer_error"].iloc[1]


def test_a_failure_that_may_have_been_paid_is_not_asked_again(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "change-byte")
    lazy = opg_magic.map(numbers(97), "Is {{n}} prime?", host="anna", fresh=True, **ASK)
    first = lazy.compute(scheduler="threads")
    assert "failed" in first["answer_error"].iloc[0]
    pd.testing.assert_frame_equal(first, lazy.compute(scheduler="threads"))
    assert session.ledger.count() == 1


def test_a_worker_killed_in_mid_run_loses_nothing_and_has_nothing_paid_twice(
    session: Session, anna: Slow, cluster: Any, tmp_path: Path
) -> None:
    from distributed import Client

    with Client(cluster) as client:
        data = numbers(*range(40), *range(40), parts=8)
        lazy = opg_magic.map(data, "Is {{n}} prime?", host="anna", concurrency=4, **ASK)
        anna.first = 5
        anna.free.clear()
        computed = client.compute(lazy)
        while anna.calls <= anna.first:
            assert computed.status == "pending"
            time.sleep(0.02)
        # Some answers have come, a call is with the host, and both workers wait.
        busy = {address: keys for address, keys in client.processing().items() if keys}
        pid = client.run(os.getpid, workers=[next(iter(busy))])
        os.kill(next(iter(pid.values())), signal.SIGKILL)
        anna.free.set()
        found = computed.result()
        assert found["answer"].notna().all(), found["answer_error"].dropna().tolist()
        assert len(found) == 80
        assert found["answer_receipt"].nunique() == 40
        assert (anna.calls, session.ledger.count()) == (40, 40)
        # Again, on the cluster: nothing is asked.
        pd.testing.assert_frame_equal(found, lazy.compute())
        assert anna.calls == 40
        # Kept, and written, as text.
        lazy.persist().to_parquet(tmp_path / "out")
        assert dd.read_parquet(tmp_path / "out").compute()["answer"].notna().all()
        assert anna.calls == 40


def let_what_is_under_way_end(session: Session, anna: Slow) -> None:
    (desk,) = (one for one in door._desks.values() if one._session is session)
    while not all(flight.begun for flight in list(desk._flights.values())):
        time.sleep(0.02)
    anna.free.set()
    while not desk.done():
        time.sleep(0.02)


def test_what_was_stopped_on_a_cluster_is_not_asked(
    session: Session, anna: Slow, cluster: Any
) -> None:
    from distributed import Client

    with Client(cluster) as client:
        data = numbers(*range(100, 160), parts=2)
        lazy = opg_magic.map(data, "Is {{n}} prime?", host="anna", concurrency=2, **ASK)
        anna.free.clear()
        computed = client.compute(lazy)
        while not anna.calls:
            time.sleep(0.02)
        computed.cancel()
        # The workers say that nobody waits any more: what is with the host goes on.
        let_what_is_under_way_end(session, anna)
        assert 0 < session.ledger.count() == anna.calls <= 4
        assert lazy.compute()["answer"].notna().all()
        assert anna.calls == 60


@pytest.mark.parametrize("dedupe", [True, False])
def test_an_interrupt_asks_nothing_more(session: Session, anna: Slow, dedupe: bool) -> None:
    data = numbers(*range(200, 260), parts=2)
    ask = {"host": "anna", "concurrency": 2, "dedupe": dedupe, **ASK}
    lazy = opg_magic.map(data, "Is {{n}} prime?", **ask)
    anna.free.clear()

    def interrupt() -> None:
        while not anna.calls:
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    beside = threading.Thread(target=interrupt)
    beside.start()
    with pytest.raises(KeyboardInterrupt):
        lazy.compute(scheduler="threads")
    beside.join()
    let_what_is_under_way_end(session, anna)
    assert 0 < session.ledger.count() == anna.calls <= 4


def test_a_limit_holds_over_all_parts_and_may_be_raised(session: Session, anna: Slow) -> None:
    data = numbers(*range(300, 330))
    lazy = opg_magic.map(data, "Is {{n}} prime?", host="anna", max_cost="0.1", **ASK)
    session.settings.set("max_cost_per_kernel", "0.05")
    found = lazy.compute(scheduler="threads")
    assert found["answer"].isna().all()
    assert found["answer_error"].str.contains("not asked").all()
    assert (anna.calls, session.ledger.rows()) == (0, [])
    session.settings.set("max_cost_per_kernel", "100")
    assert lazy.compute(scheduler="threads")["answer"].notna().all()
    assert len({
        one.document["payment"]["authorisation"]["nonce"] for one in session.ledger.receipts()
    }) == 1  # fmt: skip


def test_other_processes_without_a_client_say_what_to_do() -> None:
    with pytest.raises(errors.ConfigError, match="cannot reach the one that called map"):
        # What another process has of it: the door, without the desk.
        door.Door("of a desk elsewhere").ask(["Is 97 prime?"], [b""])


def test_a_task_of_dasks_is_no_table() -> None:
    with pytest.raises(errors.ArgumentError, match="not Delayed"):
        opg_magic.map(dask.delayed(list)("a"), "{{value}}", **ASK)
