"""``opg audit-model`` against hosts that are honest, and one that swaps the model for half of the
calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic.audit import model_reference
from opg_magic.call import model_audit
from opg_magic.call.session import Session
from opg_magic.cells.magic_line import LineError
from opg_magic.errors import CallFailed, ConfigError
from opg_magic.notebook.commands import auditing
from opg_magic.shell import main
from opg_magic.simnet.cheats.signing import HalfSwapped

#: Enough for about twelve questions, asked three times or once.
RECORDING, AUDIT = "0.3", "0.1"


@pytest.fixture
def run(session: Session, monkeypatch: Any, capsys: Any) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    monkeypatch.setattr(model_audit, "QUESTIONS", model_audit.QUESTIONS[:12])

    def audit(*words: str) -> tuple[int, str, str]:
        code = main.main(["audit-model", *map(str, words), "--host", "anna"])
        told = capsys.readouterr()
        return code, told.out, told.err

    return audit


@pytest.fixture
def reference(run: Any, tmp_path: Path) -> Path:
    path = tmp_path / "ref.json"
    code, _, said = run("--record", path, "--max-cost", RECORDING)
    assert code == 0, said
    return path


@pytest.mark.parametrize("notebook", ["", "study.ipynb"])
def test_every_answer_of_an_audit_is_asked_for_in_a_notebook_too(
    run: Any, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notebook: str
) -> None:
    """The notebook's own earlier answers came in their place: the reference's, as the audit's."""
    monkeypatch.setenv("JPY_SESSION_NAME", notebook)
    path = tmp_path / "ref.json"
    assert run("--record", path, "--max-cost", RECORDING)[0] == 0
    assert session.ledger.count() == 3 * 12
    assert run("--reference", path, "--max-cost", AUDIT)[0] == 0
    assert session.ledger.count() == 4 * 12


def test_an_honest_host_passes_and_the_reference_is_not_its_own_audit(
    run: Any, reference: Path, session: Session
) -> None:
    recorded = session.ledger.count()
    assert recorded == 3 * 12
    code, out, err = run("--reference", reference, "--max-cost", AUDIT)
    assert code == 0, err
    assert session.ledger.count() == recorded + 12  # paid again: nothing of the reference counted
    assert "No difference seen (p = 1)" in out and "would be missed" in out
    assert "not a proof" in out
    # Once more: the audit's own receipts count, and nothing is paid.
    code, _, err = run("--reference", reference, "--max-cost", AUDIT)
    assert code == 0 and session.ledger.count() == recorded + 12
    assert "12 answers come from receipts" in err
    code, _, _ = run("--reference", reference, "--max-cost", AUDIT, "--fresh")
    assert code == 0 and session.ledger.count() == recorded + 24


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_swapped_for_half_of_the_calls_is_noticed(
    seed: int,
    run: Any,
    reference: Path,
    honest_simnet: RunningSimnet,
    session: Session,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(HalfSwapped, "seed", seed)
    honest_simnet.cheat("anna", "half-swapped")
    code, out, _ = run("--reference", reference, "--max-cost", AUDIT)
    assert code == 1
    assert "SIMULATED · Differs from the reference: p " in out
    assert session.ledger.last().label == "SIMULATED"  # no signature shows it


def test_a_stopped_run_goes_on_and_pays_nothing_twice(
    run: Any, reference: Path, session: Session, monkeypatch: Any
) -> None:
    ask, before, left = session.ask, session.ledger.count(), [5]

    def stops(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise CallFailed("stopped")
        return ask(*arguments)

    monkeypatch.setattr(session, "ask", stops)
    assert run("--reference", reference, "--max-cost", AUDIT)[0] == 3  # neither 0 nor 1
    assert session.ledger.count() == before + 5
    monkeypatch.setattr(session, "ask", ask)
    code, _, err = run("--reference", reference, "--max-cost", AUDIT)
    assert code == 0 and "5 answers come from receipts" in err
    assert session.ledger.count() == before + 12


def test_the_cost_is_said_first_and_nothing_is_paid_without_a_cap(
    run: Any, session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "ref.json"
    code, out, err = run("--record", path, "--dry-run")
    assert code == 0 and "nothing was paid" in out and "36 calls, at most" in err
    code, _, err = run("--record", path)
    assert code == 2 and "--max-cost is missing" in err
    code, _, err = run("--record", path, "--max-cost", "0.0000001")
    assert code == 2 and "cannot tell any two models apart" in err
    path.write_text("mine")
    assert run("--record", path, "--max-cost", RECORDING)[0] == 2
    assert path.read_text() == "mine"
    assert session.ledger.count() == 0


def test_json_holds_what_the_lines_say(run: Any, reference: Path, session: Session) -> None:
    code, out, _ = run("--reference", reference, "--max-cost", AUDIT, "--json")
    told = json.loads(out)
    assert code == 0 and told["result"] == "no-difference-seen" and told["basis"] == "asked"
    assert (told["p"], told["agree"], told["questions"]) == (1, 12, 12)
    assert told["said"][0].startswith("SIMULATED · No difference seen (p = 1)")
    held = {row.id for row in session.ledger.rows()}
    assert {one for given in told["receipts"] for one in given} <= held
    assert isinstance(told["most"]["amount"], int)
    code, out, _ = run("--reference", reference, "--dry-run", "--json")
    assert code == 0 and json.loads(out)["result"] == "dry-run"


class _Kernel:
    """What a command sees of a notebook's kernel."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.results: list[Any] = []

    def session(self) -> Session:
        return self._session

    def result(self, value: Any) -> None:
        self.results.append(value)


def test_a_notebook_audits_as_the_shell_does(
    run: Any, reference: Path, session: Session, honest_simnet: RunningSimnet, capsys: Any
) -> None:
    kernel: Any = _Kernel(session)
    words = ["--reference", str(reference), "--max-cost", AUDIT, "--host", "anna"]
    auditing.audit_model(kernel, words)
    said = capsys.readouterr().out
    assert "12 questions to" in said and "No difference seen (p = 1)" in said
    assert not kernel.results[-1].differs
    honest_simnet.cheat("anna", "half-swapped")
    auditing.audit_model(kernel, [*words, "--fresh"])
    assert "SIMULATED · Differs from the reference: p " in capsys.readouterr().out
    assert kernel.results[-1].differs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required"),
        (["--record", "a.json", "--reference", "b.json"], "not allowed"),
        (["--recrod", "a.json"], "required"),
        (["--record", "a.json", "--cap", "1"], "unrecognized"),
    ],
)
def test_a_line_that_cannot_be_read_is_one_sentence(
    session: Session, words: list[str], said: str
) -> None:
    kernel: Any = _Kernel(session)
    with pytest.raises(LineError, match=said):
        auditing.audit_model(kernel, words)
    assert session.ledger.count() == 0


def _document(**changes: Any) -> dict[str, Any]:
    given = tuple(
        tuple(model_reference.Given("a", f"R{number}-{turn}") for turn in range(3))
        for number in range(12)
    )
    made = model_reference.Reference("openai/gpt-5", "sim", "2026-11-25T00:00:00Z", given)
    return {**json.loads(made.to_json()), **changes}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a reference"),
        ("[]", "not a reference"),
        ('{"type": 1, "type": 2}', "not a reference"),
        (json.dumps(_document(questions=[])), "not a reference"),
        (json.dumps(_document(questions=_document()["questions"][1:])), "not a reference"),
        (json.dumps(_document(version=2)), "another version"),
        (json.dumps(_document(battery_digest="sha256:00")), "another battery"),
        (json.dumps(_document(model="openai/gpt-4o")), "openai/gpt-4o"),
        (json.dumps(_document(network="opengradient")), "opengradient"),
    ],
)
def test_a_bad_reference_is_refused_before_anything_is_paid(
    run: Any, session: Session, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "ref.json"
    path.write_text(text)
    code, _, err = run("openai/gpt-5", "--reference", path, "--max-cost", AUDIT)
    assert code == 2 and said in err
    assert session.ledger.count() == 0


def test_a_reference_that_never_ends_is_read_up_to_its_bound() -> None:
    with pytest.raises(ConfigError, match="not a reference"):
        model_reference.load(Path("/dev/zero"), model="openai/gpt-5", network="sim")


def test_a_good_reference_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ref.json"
    path.write_text(json.dumps(_document()))
    found = model_reference.load(path, model="openai/gpt-5", network="sim")
    assert json.loads(found.to_json()) == _document()
    assert len(found.receipts) == 36
