"""``%%opg NAME --over df`` in a real IPython shell, on the simulated network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.table.running import Run

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
    assert "1 rows ask nothing" in shown
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
