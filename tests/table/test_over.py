"""``%%opg NAME --over df`` in a real IPython shell, on the simulated network."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.slow import Slow

from opg_magic.audit.judgement import verify_path
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.errors import CallInterrupted
from opg_magic.models import Trust
from opg_magic.receipt import table
from opg_magic.receipt.table import MIME_TYPE
from opg_magic.table import door
from opg_magic.table.running import Run
from opg_magic.verify import DEFAULT

LINE = "labels --over data --output prime --model openai/gpt-5 --max-tokens 20"


@pytest.fixture
def shell(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setattr(sessions, "_current", session)
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "opg_magic")
    made.user_ns["data"] = pd.DataFrame({"n": [97, 91, None]}, index=list("abb")).astype("Int64")
    monkeypatch.setattr(sessions, "close_current_session", lambda: None)
    yield made
    made.run_line_magic("unload_ext", "opg_magic")
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, line: str = LINE, body: str = "Is {{n}} prime?\n"):
    return shell.run_cell(f"%%opg {line}\n{body}")


def test_the_cell_puts_the_table_into_its_variable(
    shell: InteractiveShell, session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(shell).success
    labels = shell.user_ns["labels"]
    assert labels.index.tolist() == ["a", "b", "b"]
    assert labels["prime"].notna().tolist() == [True, True, False]
    assert labels["prime_error"].iloc[2] == "n is missing in this row"
    # The receipts know their cell, as any other cell's do.
    (one, *_) = session.ledger.receipts()
    assert one.document["prompt"]["source_sha256"] is not None
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("2 of 2 prompts · cost 0.00")
    assert run(shell).success
    assert "2 from the ledger" in capfd.readouterr().err
    assert session.ledger.count() == 2


def test_a_dry_run_shows_the_plan_and_signs_nothing(
    shell: InteractiveShell, session: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(shell, f"{LINE} --dry-run").success
    assert "labels" not in shell.user_ns
    shown = capfd.readouterr().out
    assert "3 rows, 2 different prompts to openai/gpt-5" in shown
    assert "1 row asks nothing" in shown and "to ask of 1 host (" in shown
    assert "1 authorisation of up to 0.1 sim-OPG together" in shown
    assert session.ledger.rows() == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x --over nothing", "there is no such variable"),
        ("x --output y", "--output needs --over"),
        ("x --over data --hosts 0", "hosts must be a whole number from 1 to 16"),
        ("x --over data --bg", "--bg does not go with --over"),
        ("x --over data --chat plans", "--chat does not go with --over"),
        ("x --over data --quorum 0", "--quorum does not go with --over"),
        ("x --over data --tools f", "--tools does not go with --over"),
        ("x --over data --max-cost 0.05", "max_cost is 0.05"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    shell: InteractiveShell, session: Session, capfd: pytest.CaptureFixture[str], line: str, says
) -> None:
    assert not run(shell, line + " --model openai/gpt-5").success
    assert says in "".join(capfd.readouterr())
    assert session.ledger.rows() == []


def test_a_table_that_ends_early_fails_its_cell_and_keeps_what_came(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    class One(Run):
        def __init__(self, *given, concurrency, **more):
            super().__init__(*given, concurrency=1, **more)

        async def _answer(self, asked, prompt):
            if "91" in prompt.text:
                self._end("the chain is away")
            return await super()._answer(asked, prompt)

    monkeypatch.setattr("opg_magic.table.mapping.Run", One)
    shell.user_ns["data"] = pd.DataFrame({"n": [97, 91, *range(30)]})
    result = run(shell)
    assert "ended early: the chain is away" in str(result.error_in_exec)
    labels = shell.user_ns["labels"]
    assert labels["prime"].notna().any()
    assert "not asked: the chain is away" in labels["prime_error"].tolist()


@pytest.fixture
def outputs(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """What the running cell leaves in a notebook's file, in a kernel: displays, each as it was
    updated last."""
    kept: dict[str, dict] = {}

    def publish(data, metadata=None, *, transient=None, update=False, **more) -> None:
        place = (transient or {}).get("display_id", str(len(kept)))
        assert update == (place in kept)
        kept[place] = {
            "output_type": "display_data",
            "data": json.loads(json.dumps(data)),
            "metadata": metadata or {},
        }

    monkeypatch.setattr("opg_magic.table.shown._in_kernel", lambda: True)
    monkeypatch.setattr(shell.display_pub, "publish", publish)
    return kept


def saved(folder: Path, source: str, outputs: dict) -> Path:
    cell = {"cell_type": "code", "source": source, "outputs": [*outputs.values()], "metadata": {}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    path = folder / "study.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def checked(session: Session, path: Path, **more):
    trust = Trust(simulated_roots=session.simulated_roots(), reader=True)
    return verify_path(path, policy=DEFAULT, trust=trust, allow_simulated=True, **more)


@pytest.mark.parametrize("quiet", ["", " --quiet"])
def test_the_receipts_of_the_rows_travel_in_the_cell(
    shell: InteractiveShell, session: Session, outputs: dict, tmp_path: Path, quiet: str
) -> None:
    body = "Is {{n}} prime?\n"
    assert run(shell, LINE + quiet).success
    # One output: the widget is gone, and neither it nor a line is left to vouch for.
    (only,) = outputs.values()
    assert set(only["data"]) == {"text/plain", MIME_TYPE}
    text = only["data"]["text/plain"]
    assert "3 rows · 2 of 2 prompts · cost 0.00" in text
    assert "Receipts in this cell: 2 · 2 verified" in text
    path = saved(tmp_path, f"%%opg {LINE}{quiet}\n{body}", outputs)
    report = checked(session, path)
    assert report.exit_code == 0, report.to_text()
    ids = shell.user_ns["labels"]["prime_receipt"].dropna().tolist()
    assert [one.receipt.id for one in report.checked] == ids
    (note,) = [one.message for one in report.findings if one.code == "from-variables"]
    assert note == "Not in the cell; from variables, files or settings: table data, n."

    altered = saved(tmp_path, f"%%opg {LINE}{quiet}\nIs {{{{n}}}} odd?\n", outputs)
    report = checked(session, altered)
    assert report.exit_code == 1
    assert [one.code for one in report.findings].count("prompt-differs") == 2


def test_too_many_receipts_are_named_and_found_in_an_export(
    shell: InteractiveShell,
    session: Session,
    outputs: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "LIMIT", 1000)
    assert run(shell).success
    (only,) = outputs.values()
    assert "They are in the author's ledger" in only["data"]["text/plain"]
    path = saved(tmp_path, f"%%opg {LINE}\nIs {{{{n}}}} prime?\n", outputs)
    assert checked(session, path).exit_code == 3
    export = tmp_path / "receipts.jsonl"
    lines = [one.to_json() + "\n" for one in session.ledger.receipts()]
    export.write_text("".join(lines), encoding="utf-8")
    report = checked(session, path, receipts=export)
    assert report.exit_code == 0, report.to_text()
    assert len(report.checked) == 2


def test_python_s_map_leaves_its_receipts_too(
    shell: InteractiveShell, session: Session, outputs: dict, tmp_path: Path
) -> None:
    code = (
        "import opg_magic\n"
        "labels = opg_magic.map(data, 'Is {{n}} prime?', model='openai/gpt-5', max_tokens=20)"
    )
    assert shell.run_cell(code).success
    report = checked(session, saved(tmp_path, code, outputs))
    assert (report.exit_code, len(report.checked)) == (3, 2)
    assert {one.code for one in report.findings} == {"table", "not-the-call"}


def test_a_table_whose_receipts_cannot_be_read_keeps_its_line(
    shell: InteractiveShell, session: Session, outputs: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(type(session.ledger), "digests", broken)
    assert run(shell).success
    (only,) = outputs.values()
    assert list(only["data"]) == ["text/plain"]
    assert only["data"]["text/plain"].startswith("2 of 2 prompts")
    assert shell.user_ns["labels"]["prime"].notna().any()


# ------------------------------------------------------------------------------------ Dask's tables


def in_parts(shell: InteractiveShell, count: int = 2) -> None:
    dd = pytest.importorskip("dask.dataframe")
    data = pd.DataFrame({"n": [97, 91, None, 97], "kept": 1}, index=list("abbc")).astype("Int64")
    shell.user_ns["data"] = dd.from_pandas(data, npartitions=count, sort=False)


@pytest.mark.parametrize("quiet", ["", " --quiet"])
def test_a_dask_table_is_asked_in_its_cell_where_its_receipts_stay(
    shell: InteractiveShell, session: Session, outputs: dict, tmp_path: Path, quiet: str
) -> None:
    in_parts(shell)
    body = "Is {{n}} prime?\n"
    assert run(shell, LINE + quiet, body).success
    (only,) = outputs.values()
    assert set(only["data"]) == {"text/plain", MIME_TYPE}
    text = only["data"]["text/plain"]
    assert "4 rows · 2 of 2 prompts · cost 0.00" in text
    assert "Receipts in this cell: 2 · 2 verified" in text
    report = checked(session, saved(tmp_path, f"%%opg {LINE}{quiet}\n{body}", outputs))
    assert report.exit_code == 0, report.to_text()
    # Lazy, and paid: computing it asks nothing and leaves nothing in its cell.
    assert shell.run_cell("found = labels.compute(scheduler='threads')").success
    found = shell.user_ns["found"]
    assert found.index.tolist() == ["a", "b", "b", "c"]
    assert found["prime"].notna().tolist() == [True, True, False, True]
    assert [one.receipt.id for one in report.checked] == found["prime_receipt"].dropna().unique(
    ).tolist()  # fmt: skip
    assert session.ledger.count() == 2 and len(outputs) == 1


def test_a_dask_table_that_ends_early_fails_its_cell_and_asks_no_more(
    shell: InteractiveShell, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends(Run):
        async def _answer(self, asked, prompt):
            self._end("the chain is away")
            return await super()._answer(asked, prompt)

    in_parts(shell, 1)
    monkeypatch.setattr("opg_magic.table.desk.Run", Ends)
    result = run(shell)
    assert "ended early: the chain is away" in str(result.error_in_exec)
    asked = session.ledger.count()
    monkeypatch.undo()
    found = shell.user_ns["labels"].compute(scheduler="synchronous")
    assert session.ledger.count() == asked
    assert found["prime"].notna().sum() + found["prime_error"].notna().sum() == 4


def test_a_stop_ends_a_dask_table_and_keeps_what_is_paid_for(
    shell: InteractiveShell, session: Session, anna: Slow, outputs: dict
) -> None:
    dask, dd = pytest.importorskip("dask"), pytest.importorskip("dask.dataframe")
    shell.user_ns["data"] = dd.from_pandas(pd.DataFrame({"n": range(100, 160)}), npartitions=1)
    anna.first = 1
    anna.free.clear()

    def interrupt() -> None:
        while not any(desk.watch.tally.answered for desk in list(door._desks.values())):
            time.sleep(0.02)
        (desk,) = (one for one in door._desks.values() if one._session is session)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        while not desk._stopped:
            time.sleep(0.02)
        anna.free.set()

    beside = threading.Thread(target=interrupt)
    beside.start()
    with dask.config.set(scheduler="threads"):
        result = run(shell, f"{LINE} --host anna")
    beside.join()
    assert isinstance(result.error_in_exec, CallInterrupted)
    asked = anna.calls
    assert 1 < asked < 60
    (only,) = outputs.values()
    assert f"{asked} of 60 prompts" in only["data"]["text/plain"]
    assert f"Receipts in this cell: {asked} · {asked} verified" in only["data"]["text/plain"]
    found = shell.user_ns["labels"].compute(scheduler="threads")
    assert anna.calls == asked == found["prime"].notna().sum()
    reasons = found["prime_error"].dropna()
    assert len(reasons) == 60 - asked and reasons.str.contains("stopped").all()
    assert run(shell, f"{LINE} --host anna").success
    again = shell.user_ns["labels"].compute(scheduler="threads")
    assert again["prime"].notna().sum() == anna.calls == session.ledger.count() == 60


def test_python_s_map_of_a_dask_table_leaves_its_receipts_where_it_is_computed(
    shell: InteractiveShell, session: Session, outputs: dict, tmp_path: Path
) -> None:
    in_parts(shell)
    ask = "lazy = opg_magic.map(data, 'Is {{n}} prime?', model='openai/gpt-5', max_tokens=20)"
    assert shell.run_cell(f"import opg_magic\n{ask}").success
    assert not outputs
    compute = "found = lazy.compute(scheduler='threads')"
    assert shell.run_cell(compute).success
    assert shell.run_cell(compute).success
    (only,) = outputs.values()
    assert "2 of 2 prompts" in only["data"]["text/plain"]
    report = checked(session, saved(tmp_path, compute, outputs))
    assert (report.exit_code, len(report.checked)) == (3, 2)
    assert {one.code for one in report.findings} == {"table", "not-the-call"}
