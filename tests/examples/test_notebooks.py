"""Both example notebooks, top to bottom in a fresh kernel: what should fail fails, as it says, and
nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.weights import smollm2

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import weights as scripts_weights  # noqa: E402
from run_notebook import RECEIPT_MIME, NotebookWentWrong, environment, run  # noqa: E402

pytestmark = [pytest.mark.kernel, pytest.mark.simnet, pytest.mark.xdist_group("examples")]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home of its own, with a simulated network that the first cell starts and that is stopped
    here."""
    scratch = tmp_path_factory.mktemp("examples")
    made = environment(scratch / "home", scratch)
    yield made
    subprocess.run(
        [sys.executable, "-m", "opg_magic.shell.main", "simnet", "down"],
        env=made,
        check=False,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.fixture(scope="module")
def executed(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    notebooks = {}
    shutil.copy(ROOT / "examples" / "reviews.csv", folder)
    for name in ("quickstart", "catch_a_lying_host", "label_a_column"):
        run(
            ROOT / "examples" / f"{name}.ipynb",
            folder / f"{name}.ipynb",
            cwd=folder,
            env=env,
            say=print,
        )
        notebooks[name] = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    return notebooks | {"folder": folder}


def cell(notebook: Any, cell_id: str) -> Any:
    (found,) = [c for c in notebook.cells if c.id == cell_id]
    return found


def text_of(found: Any) -> str:
    """All that a cell shows, as plain text."""
    parts = []
    for output in found.outputs:
        parts.append(
            output.text
            if output.output_type == "stream"
            else output.get("data", {}).get("text/plain", "")
        )
    return "\n".join(parts)


def test_quickstart_cells_carry_whole_receipts(executed: dict[str, Any]) -> None:
    first = cell(executed["quickstart"], "first-answer")
    (output,) = [output for output in first.outputs if output.output_type == "display_data"]
    receipt = output.data[RECEIPT_MIME]
    assert receipt["id"] in output.data["text/plain"]
    assert "[simulated network]" in output.data["text/plain"]


def test_quickstart_shows_an_answer_as_data(executed: dict[str, Any]) -> None:
    assert text_of(cell(executed["quickstart"], "schema-data")).startswith("{'continent': '")


def test_quickstart_export_is_verified_by_the_command(executed: dict[str, Any]) -> None:
    assert "FAILED" not in text_of(cell(executed["quickstart"], "verify"))
    assert len((executed["folder"] / "receipts.jsonl").read_text().splitlines()) >= 6


def test_saved_quickstart_is_verified_as_a_notebook(
    executed: dict[str, Any], env: dict[str, str]
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "opg_magic.shell.main",
            "verify",
            "quickstart.ipynb",
            "--allow-simulated",
        ],
        cwd=executed["folder"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_edited_notebook_is_not_verified(
    executed: dict[str, Any], env: dict[str, str], tmp_path: Path
) -> None:
    """The reader's command notices a word that was changed in the text of a saved answer."""
    text = (executed["folder"] / "quickstart.ipynb").read_text()
    assert "Kenya is Nairobi" in text
    (tmp_path / "edited.ipynb").write_text(text.replace("Kenya is Nairobi", "Kenya is Mombasa"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "opg_magic.shell.main",
            "verify",
            "edited.ipynb",
            "--allow-simulated",
        ],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr


def test_lesson_names_the_claim_that_caught_each_lie(executed: dict[str, Any]) -> None:
    (output,) = cell(executed["catch_a_lying_host"], "table").outputs
    rows = output.data["text/html"].split("<tr")
    for lie, claim in (
        ("changes a byte", "response"),
        ("signs another request", "request"),
        ("cuts the stream", "response"),
        ("foreign key", "signature"),
        ("debug mode", "refused before paying"),
        ("another TLS certificate", "refused before paying"),
        ("thousand OPG", "refused before paying"),
        ("to a stranger", "refused before paying"),
    ):
        (row,) = [row for row in rows if lie in row]
        assert f"<td>{claim}</td>" in row, row


def test_a_column_is_labelled_stopped_and_gone_on_with(executed: dict[str, Any]) -> None:
    labels = executed["label_a_column"]
    assert "200 rows, 196 different prompts" in text_of(cell(labels, "plan"))
    assert "17 of 17 prompts" in text_of(cell(labels, "part"))
    assert "17 from the ledger" in text_of(cell(labels, "whole"))
    assert "review is missing in this row" in text_of(cell(labels, "failed"))
    assert "labels agree with the stars" in text_of(cell(labels, "good"))
    assert any("image/png" in o.get("data", {}) for o in cell(labels, "chart").outputs)
    assert "196 from the ledger · cost 0" in text_of(cell(labels, "again"))
    assert text_of(cell(labels, "same")) == "np.True_"
    assert "196 receipts written" in text_of(cell(labels, "export"))
    assert "0 altered" in text_of(cell(labels, "export"))


def test_lesson_ends_green(executed: dict[str, Any]) -> None:
    after = cell(executed["catch_a_lying_host"], "green")
    assert "[simulated network]" in text_of(after)
    assert not [output for output in after.outputs if output.output_type == "error"]


def test_lesson_says_truly_that_a_script_has_no_weights(executed: dict[str, Any]) -> None:
    lesson = executed["catch_a_lying_host"]
    assert "No weights were run again." in text_of(cell(lesson, "brain-again"))
    assert "Nothing can be swapped here" in text_of(cell(lesson, "brain-swap"))
    assert text_of(cell(lesson, "brain-caught")) == ""


def test_lesson_catches_a_cheaper_model(tmp_path: Path) -> None:
    """Its fourth part with a real model, and what that part needs of the rest."""
    found = smollm2()
    home = tmp_path / "home"
    scripts_weights.into(home)
    env = environment(home, tmp_path / "scratch") | {"OPG_SIMNET_MODEL": str(found)}
    lesson = nbformat.read(ROOT / "examples" / "catch_a_lying_host.ipynb", as_version=4)
    needed = ("load", "imports", "hosts", "attempt", "table")
    lesson.cells = [c for c in lesson.cells if c.id.startswith("brain") or c.id in needed]
    lesson.cells.append(nbformat.v4.new_code_cell("%opg simnet down"))
    nbformat.write(lesson, tmp_path / "lesson.ipynb")
    run(tmp_path / "lesson.ipynb", tmp_path / "out.ipynb", cwd=tmp_path, env=env, say=print)
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "tokens are the model's first choice" in text_of(cell(done, "brain-again"))
    assert "SIMULATED" in text_of(cell(done, "brain-swap"))  # every other check passed
    assert "AnswerWithheld → weights → claimed" in text_of(cell(done, "brain-caught"))


def test_runner_holds_a_notebook_to_its_tags(env: dict[str, str], tmp_path: Path) -> None:
    """A cell that should fail and does not, or fails otherwise, is an error of the run."""
    for tags, source, complaint in (
        (["raises-exception"], "1 + 1", "should have failed"),
        (["raises-exception", "expect-KeyError"], "1 / 0", "not with KeyError"),
        ([], "1 / 0", "ZeroDivisionError"),
        ([], "!opg no-such-command\n!true", "!opg ended with 2"),
        (["raises-exception"], "!true\n!true", "should have failed"),
    ):
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source, metadata={"tags": tags})]
        )
        nbformat.write(notebook, tmp_path / "tagged.ipynb")
        with pytest.raises(NotebookWentWrong, match=complaint):
            run(
                tmp_path / "tagged.ipynb",
                tmp_path / "out.ipynb",
                cwd=tmp_path,
                env=env,
                say=lambda line: None,
            )
        assert (tmp_path / "out.ipynb").exists()
