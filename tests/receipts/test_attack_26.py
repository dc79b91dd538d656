"""Attack 26: receipts are taken out of the ledger, moved, or the whole is put back to an older
state, by somebody who can write the file and leaves no trace in it.  A head that was kept elsewhere
tells."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.receipts import receipt

from opg_magic.ledger import schema
from opg_magic.ledger.head import head_fault, head_of
from opg_magic.ledger.rescue import rescue
from opg_magic.ledger.store import Ledger
from opg_magic.shell.main import main

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five receipts."""
    made = tmp_path / "ledger.sqlite"
    add(made, 5)
    return made


@pytest.fixture
def check(path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(*more: str) -> tuple[int, str]:
        code = main(["ledger", "check", str(path), *more])
        return code, capsys.readouterr().out

    return run


def add(path: Path, number: int) -> None:
    ledger = Ledger(path)
    for _ in range(number):
        ledger.save(receipt())
    ledger.close()


def without_a_trace(path: Path, *statements: str) -> None:
    """Edit, and put the triggers back, so that nothing in the file tells of it."""
    with sqlite3.connect(path) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        kept = triggers.fetchall()
        assert {name for name, _ in kept} == schema.trigger_names()
        for name, _ in kept:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert db.execute(statement).rowcount == 1, statement
        for _, sql in kept:
            db.execute(sql)
    db.close()


def head_in(text: str) -> str:
    return text.split()[-1]


EDITS = {
    "deleted": ["DELETE FROM receipts WHERE seq = 3"],
    "the first deleted": ["DELETE FROM receipts WHERE seq = 1"],
    "truncated": ["DELETE FROM receipts WHERE seq = 5", "DELETE FROM receipts WHERE seq = 4"],
    "reordered": [
        "UPDATE receipts SET seq = 99 WHERE seq = 2",
        "UPDATE receipts SET seq = 2 WHERE seq = 4",
        "UPDATE receipts SET seq = 4 WHERE seq = 99",
    ],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("grown", [0, 3])
def test_attack_26_rows_deleted_reordered_or_truncated_fail_against_a_saved_head(
    edits: list[str], grown: int, path: Path, check: Check
) -> None:
    code, said = check()
    head = head_in(said)
    assert code == 0 and head.startswith("5-")
    without_a_trace(path, *edits)
    add(path, grown)
    # The file itself shows nothing, which is why a head is kept elsewhere.
    code, said = check()
    assert code == 0 and "is intact" in said
    code, said = check("--head", head)
    assert code == 1 and "✗ The " in said and "is intact" not in said


def test_attack_26_a_whole_ledger_put_back_is_seen_by_the_head_alone(
    path: Path, check: Check, tmp_path: Path
) -> None:
    older = tmp_path / "older.sqlite"
    shutil.copy(path, older)
    add(path, 2)
    head = head_in(check()[1])
    shutil.copy(older, path)
    assert check()[0] == 0
    code, said = check("--head", head)
    assert code == 1
    assert "The head is of 7 receipts; here are 5." in said


def test_attack_26_what_came_since_a_head_changes_nothing_of_it(path: Path, check: Check) -> None:
    head = head_in(check()[1])
    assert check("--head", head)[0] == 0
    add(path, 4)
    code, said = check("--head", head)
    assert code == 0 and head_in(said).startswith("9-")


def test_a_rescued_ledger_has_the_same_head(path: Path, check: Check, tmp_path: Path) -> None:
    rescue(path, tmp_path / "new.sqlite")
    head = head_in(check()[1])
    shutil.copy(tmp_path / "new.sqlite", path)
    assert check("--head", head)[0] == 0


@pytest.mark.parametrize("head", ["", "5", "5-abc", f"05-{'0' * 64}", f"-1-{'0' * 64}"])
def test_what_is_no_head_is_refused(
    head: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "check", str(path), f"--head={head}"]) == 2
    assert "not the head of a ledger" in capsys.readouterr().err


def test_the_head_of_nothing_is_before_every_ledger() -> None:
    assert head_fault(head_of([]), ["sha256:00"]) is None
    assert head_of(["a", "b"]) != head_of(["a\nb"]) != head_of([])
