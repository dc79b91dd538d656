"""``opg map``: tables in files, asked by the engine of ``opg_magic.map``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.shell import main

ASK = ("Is {{n}} prime?", "--model", "openai/gpt-5", "--max-tokens", "20", "--output", "label")
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_current", session)
    monkeypatch.setattr(sessions, "close_current_session", lambda: None)


@pytest.fixture
def opg(capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(*words: object) -> tuple[int, str, str]:
        code = main.main(["map", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def a_csv(folder: Path) -> Path:
    path = folder / "n.csv"
    path.write_bytes(b'id,n,note\r\n007,97,"a, b"\r\n008,,NA\r\n009,91,"two\nlines"\r\n')
    return path


def test_a_csv_comes_back_as_it_was_with_four_columns(
    session: Session, opg: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    code, said, told = opg(a_csv(tmp_path), *ASK, "--out", out)
    assert (code, said) == (0, ""), told
    assert "2 of 2 prompts" in told and "1 without an answer" in told
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["n"], row["note"]) for row in rows] == [
        ("007", "97", "a, b"), ("008", "", "NA"), ("009", "91", "two\nlines"),
    ]  # fmt: skip
    assert rows[0]["label"].startswith("Yes. 97")
    assert (rows[1]["label"], rows[1]["label_error"]) == ("", "n is empty in this row")
    assert session.ledger.get(rows[2]["label_receipt"]).text == rows[2]["label"]
    # Again: nothing is paid, and nothing written over unless that is asked for.
    code, said, told = opg(a_csv(tmp_path), *ASK, "--out", out)
    assert code == 2 and "exists. Nothing was sent" in told
    assert opg(a_csv(tmp_path), *ASK, "--out", out, "--overwrite")[0] == 0
    assert session.ledger.count() == 2


def test_json_lines_keep_their_values_and_what_is_not_there(opg: Shell, tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    rows: list[dict[str, Any]] = [{"n": 97, "tags": ["a"]}, {"n": 4, "x": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, said, _ = opg(path, *ASK)
    found = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [{k: v for k, v in row.items() if "label" not in k} for row in found] == rows
    assert found[0]["label_verdict"] == "SIMULATED"


def test_a_parquet_file_keeps_its_types(opg: Shell, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path, out = tmp_path / "n.parquet", tmp_path / "out.parquet"
    parquet.write_table(pyarrow.table({"n": pyarrow.array([97, None], pyarrow.int16())}), path)
    assert opg(path, *ASK)[0] == 2
    assert opg(path, *ASK, "--out", out)[0] == 0
    table = parquet.read_table(out)
    assert table.schema.field("n").type == pyarrow.int16()
    assert table["label"].to_pylist()[0].startswith("Yes. 97")
    assert table["label_error"].to_pylist() == [None, "n is missing in this row"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "n,m\n1\n", "row 1 (it ends in line 2): 1 cells"),
        ("a.csv", "n,n\n1,2\n", "names the column 'n' twice"),
        ("a.csv", 'n\n"1\n', "line 2"),
        ("a.csv", "m\n1\n", "There is no column 'n'"),
        ("a.csv", "n\n", "no rows"),
        ("a.csv", "n,label\n1,2\n", "already has a column 'label'"),
        ("a.jsonl", '{"n": 1}\n{"n": NaN}\n', "line 2 is not JSON"),
        ("a.jsonl", "[1]\n", "line 1 is not an object"),
        ("a.jsonl", '{"n": "a"}\n{"n": 3}\n', "Row 2, column 'n' holds a number, and row 1 a text"),
        ("a.txt", "n\n1\n", "tables are read and written as"),
    ],
)
def test_bad_input_is_named_by_its_place_and_nothing_is_sent(
    session: Session, opg: Shell, tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    code, said, told = opg(path, *ASK)
    assert (code, said) == (2, "")
    assert says in told and "Nothing was sent" in told
    assert session.ledger.count() == 0


def test_a_dry_run_prints_the_plan_alone(session: Session, opg: Shell, tmp_path: Path) -> None:
    code, said, _ = opg(a_csv(tmp_path), *ASK, "--dry-run", "--out", tmp_path / "x.csv")
    assert code == 0 and "3 rows, 2 different prompts" in said
    assert session.ledger.count() == 0 and not (tmp_path / "x.csv").exists()


def test_a_table_that_ends_early_leaves_what_came_beside_and_goes_on(
    session: Session, opg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.table import mapping

    whole, out = mapping.ask_made, tmp_path / "out.csv"

    def cut(table: Any, *rest: Any) -> Any:
        found = whole(table, *rest)
        table.tally.ended = "stopped"
        return found

    monkeypatch.setattr(mapping, "ask_made", cut)
    code, _, told = opg(a_csv(tmp_path), *ASK, "--out", out)
    assert code == 130 and "out.partial.csv holds what came" in told
    assert not out.exists() and (tmp_path / "out.partial.csv").exists()
    monkeypatch.undo()
    monkeypatch.setattr(sessions, "_current", session)
    monkeypatch.setattr(sessions, "close_current_session", lambda: None)
    assert opg(a_csv(tmp_path), *ASK, "--out", out)[0] == 0
    assert out.exists() and not (tmp_path / "out.partial.csv").exists()
    assert session.ledger.count() == 2
