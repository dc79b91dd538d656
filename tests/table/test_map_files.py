"""``opg map``: tables in files, asked by the engine of ``opg_magic.map``."""

from __future__ import annotations

import csv
import json
import sys
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
    assert "2 of 2 prompts" in told and "1 asks nothing: a cell is empty" in told
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
        ("a.jsonl", '{"n": 1e999}\n', "line 1 is not JSON: 1e999 is not a number"),
        ("a.jsonl", '{"n": {"x": 1}}\n', "Row 1, column 'n' holds a dict"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "\ufeff\r\n", "a.csv is empty"),
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


def test_a_line_nested_too_deeply_is_named(tmp_path: Path) -> None:
    from opg_magic.errors import ConfigError
    from opg_magic.table import files

    path = tmp_path / "a.jsonl"
    path.write_text('{"n": ' + "[" * 200_000 + "\n")
    # As in a shell: the simulated network's EVM raises this for the whole process.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        with pytest.raises(ConfigError, match="line 1 is nested too deeply"):
            files.read(path)
    finally:
        sys.setrecursionlimit(before)


def test_what_only_bytes_show_stays(opg: Shell, tmp_path: Path) -> None:
    path, out = tmp_path / "n.csv", tmp_path / "out.csv"
    path.write_bytes(b'\xef\xbb\xbf,n,note\r\n0,97,"a\rb"\r\n1,,2024-01-02\r\n')
    assert opg(path, *ASK, "--out", out)[0] == 0
    lines = out.read_bytes().split(b"\r\n")
    assert lines[0].startswith(b"\xef\xbb\xbf,n,note,label,")
    assert lines[1].startswith(b'0,97,"a\rb",') and lines[2].startswith(b"1,,2024-01-02,,")
    assert lines[3:] == [b""]


def test_a_json_line_keeps_its_numbers_and_escapes(opg: Shell, tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    path.write_text('{"n": 97, "x": 1.10, "big": 0.10000000000000000001, "u": "\\u00e9"}\n{ }\n')
    code, said, _ = opg(path, *ASK)
    first, second = said.splitlines()
    assert code == 0
    assert first.startswith(path.read_text().splitlines()[0][:-1] + ', "label": ')
    assert json.loads(second)["label_error"] == "n is missing in this row"


def test_a_place_that_cannot_be_written_is_found_before_anything_is_paid(
    session: Session, opg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os
    import shutil
    from types import SimpleNamespace

    path = a_csv(tmp_path)
    # The very name is too long: only an attempt shows it.
    for out in (tmp_path / "none" / "a.csv", tmp_path / f"{'a' * 250}.csv"):
        code, _, told = opg(path, *ASK, "--out", out)
        assert code == 2 and "cannot be written" in told and "Nothing was sent" in told
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in opg(path, *ASK, "--overwrite", "--out", tmp_path / "folder.csv")[2]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    code, _, told = opg(path, *ASK, "--out", tmp_path / "out.csv")
    assert code == 2 and os.strerror(errno.ENOSPC) in told
    assert session.ledger.count() == 0
    assert {one.name for one in tmp_path.iterdir()} <= {"n.csv", "folder.csv", "home"}


def test_the_input_is_written_over_only_when_that_is_said(
    session: Session, opg: Shell, tmp_path: Path
) -> None:
    path = a_csv(tmp_path)
    before = path.read_bytes()
    code, _, told = opg(path, *ASK, "--out", path)
    assert code == 2 and "is the table itself" in told
    # What a stopped run left is the table here: a second stop would take its place.
    partial = path.rename(tmp_path / "labels.partial.csv")
    code, _, told = opg(partial, *ASK, "--out", tmp_path / "labels.csv")
    assert code == 2 and "A stop would write over" in told
    assert partial.read_bytes() == before and session.ledger.count() == 0
    link = tmp_path / "link.csv"
    link.symlink_to(partial)
    assert opg(partial, *ASK, "--out", link, "--overwrite")[0] == 0
    assert link.is_symlink() and b"label_receipt" in partial.read_bytes()


def test_a_full_disk_under_standard_output_costs_no_answer(
    session: Session, opg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.shell import map

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map, "_print", full)
    code, _, told = opg(a_csv(tmp_path), *ASK)
    assert code == 1 and "Standard output cannot be written: No space left" in told
    monkeypatch.undo()
    monkeypatch.setattr(sessions, "_current", session)
    monkeypatch.setattr(sessions, "close_current_session", lambda: None)
    assert opg(a_csv(tmp_path), *ASK)[0] == 0 and session.ledger.count() == 2


def test_a_stop_after_the_calls_does_not_say_that_nothing_was_sent(
    opg: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.table.files import TableFile
    from opg_magic.table.mapping import Table

    out = tmp_path / "out.csv"
    out.write_text("before")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Table, "result", stopped)
    code, _, told = opg(a_csv(tmp_path), *ASK, "--out", out, "--overwrite")
    assert code == 130 and "The ledger keeps what came" in told
    monkeypatch.setattr(TableFile, "refuse_unwritable", stopped)
    code, _, told = opg(a_csv(tmp_path), *ASK, "--out", out, "--overwrite")
    assert code == 130 and "stopped before anything was sent" in told
    assert out.read_text() == "before"


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.models.networks import Token
    from opg_magic.table import shown
    from opg_magic.table.tally import Tally

    now = [100.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    tally, line = Tally(9, Token("OPG", "0x", 18, 1)), shown.Shown()
    for second in range(0, 130, 10):
        now[0] = 100.0 + second
        line(tally)
    assert capsys.readouterr().err.count("0 of 9 prompts") == 2


def test_a_time_beyond_pythons_and_a_key_that_is_no_text_are_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    from opg_magic.errors import ConfigError
    from opg_magic.table import files

    late = pyarrow.array([253_402_300_800 * 10**6], pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"n": late}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"a\.parquet cannot be read as Parquet"):
        files.read(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n{"\\ud800": 1}\n')
    with pytest.raises(ConfigError, match="line 2 has a key with a lone surrogate"):
        files.read(tmp_path / "a.jsonl")
