"""Tables that others open: read back as they were by every reader, and no cell of them is run by a
spreadsheet."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.receipts import NOW, evidence, failed_receipt, receipt, response

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.columns import ALL_COLUMNS
from opg_magic.ledger.export import export
from opg_magic.ledger.formats import FORMATS, excel
from opg_magic.ledger.formats.csv import guarded, unguarded
from opg_magic.ledger.frames import receipts
from opg_magic.ledger.store import Ledger
from opg_magic.models import Cost, Money, Prompt
from opg_magic.network.profiles import SIM_OPG
from opg_magic.shell.main import main

CASES = json.loads((Path(__file__).parents[1] / "corpus" / "guarded.json").read_text("utf-8"))

#: What a model may answer, and what readers of CSV trip over.
TEXTS = [
    *(case["text"] for case in CASES if case["text"]),
    "a\rb",
    "a\nb",
    "a\r\nb",
    "\r",
    'q"uote',
    '"',
    '""',
    "NA",
    "null",
    "None",
    "nan",
    "true",
    "1e5",
    "  lead and trail ",
    "ends with \\",
    "\\n",
    "#comment",
    "x\x00y",
    "\ufeffmark",
    "\x1a",
    "é\u2028z\x85🙂",
    "long " * 20_000,
]

#: Characters at which a spreadsheet may begin a new cell, and those before a formula that count for
#: nothing.
_CELLS = re.compile("[\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029,;|]")
_RUN = re.compile(
    '[ "\x00\xa0\u1680\u2000-\u200f\u202f\u205f\u3000\ufeff]*[=+\\-@＝＋－＠﹢﹣﹦﹫]'
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["text"]))
def test_what_is_guarded(case: dict[str, str]) -> None:
    assert guarded(case["text"]) == case["guarded"]
    assert unguarded(case["guarded"]) == case["text"]


@given(
    st.text(
        st.sampled_from("=+-@＝'\" \t\n\r;,|%ax\x00\x85\u3000\ufeff") | st.characters(), max_size=40
    )
)
def test_a_guard_comes_off_again_and_no_cell_begins_a_formula(text: str) -> None:
    made = guarded(text)
    assert unguarded(made) == text
    assert not any(_RUN.match(cell) for cell in _CELLS.split(made))


# ------------------------------------------------------------------------------------------ reading


def _python(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    return {name: [row[name] for row in rows] for name in rows[0]}


def _pandas(path: Path) -> dict[str, list[Any]]:
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("list")


def _pandas_slow(path: Path) -> dict[str, list[Any]]:
    return pd.read_csv(path, dtype=str, keep_default_na=False, engine="python").to_dict("list")


def _arrow(path: Path) -> dict[str, list[Any]]:
    whole = pyarrow.csv.ParseOptions(newlines_in_values=True)
    texts = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(ALL_COLUMNS, "string"), strings_can_be_null=False
    )
    return pyarrow.csv.read_csv(path, parse_options=whole, convert_options=texts).to_pydict()


def _polars(path: Path) -> dict[str, list[Any]]:
    import polars

    return polars.read_csv(path, infer_schema=False).to_dict(as_series=False)


def _duckdb(path: Path) -> dict[str, list[Any]]:
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT * FROM read_csv('{path}', all_varchar = true)")
    return dict(zip(found.columns, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def _insist_on_nul(read: Callable[[Path], Any]) -> None:
    if read is _pandas and tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        pytest.skip("pandas before 3.1 ends a text at a NUL")


READERS = [_python, _pandas, _pandas_slow, _arrow, _polars, _duckdb]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = Ledger(tmp_path_factory.mktemp("csv") / "ledger.sqlite")
    for text in TEXTS:
        prompt = Prompt(text=text, model=text[:60])
        answer = response(text, model=text[:60])
        made.save(
            receipt(
                prompt=prompt, notebook=text[:60], text=text, evidence=evidence("x", answer=answer)
            )
        )
    made.save(failed_receipt())
    return made


@pytest.mark.parametrize("bom", [False, True], ids=["plain", "excel"])
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__.strip("_"))
def test_every_reader_reads_back_what_was_written(
    ledger: Ledger, tmp_path: Path, read: Callable[[Path], dict[str, list[Any]]], bom: bool
) -> None:
    _insist_on_nul(read)
    path = tmp_path / "out.csv"
    export(ledger, path, excel=bom)
    frame = receipts(ledger, columns="audit")
    back = read(path)
    assert list(back) == list(ALL_COLUMNS)
    for name, kind in ALL_COLUMNS.items():
        known = zip(frame[name].astype("object"), frame[name].notna(), strict=True)
        wanted = [value if there else None for value, there in known]
        # DuckDB takes what is missing for NULL, the others for an empty text.
        found = [value or None for value in back[name]]
        if kind in ("text", "category"):
            assert [value and unguarded(value) for value in found] == [
                value or None for value in wanted
            ], name
        elif kind == "time":
            assert [value and pd.Timestamp(value) for value in found] == wanted
        elif kind == "float":
            assert [value and float(value) for value in found] == wanted
        else:
            assert found == [None if value is None else str(value) for value in wanted], name


def test_all_that_is_there_is_quoted_and_rows_end_alike(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    export(ledger, path)
    raw = path.read_bytes().decode("utf-8")
    # Without its quoted parts (a doubled quote is within one), commas and line ends are all that is
    # left.
    bare = re.sub(r'"(?:[^"]|"")*"', "", raw)
    assert set(bare) == {",", "\r", "\n"}
    assert bare.count("\r\n") == bare.count("\r") == bare.count("\n") == len(TEXTS) + 2


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_a_spreadsheet_told_another_separator_sees_no_formula(
    ledger: Ledger, tmp_path: Path, separator: str
) -> None:
    """Whatever it takes for a row and a cell: quotes are not looked at, as some do after a quoted
    cell has ended."""
    path = tmp_path / "out.csv"
    export(ledger, path, include_withheld=True)
    for row in re.split("[\r\n\v\f\x85\u2028\u2029]", path.read_bytes().decode("utf-8")):
        for cell in row.split(separator):
            assert not _RUN.match(cell), cell[:60]


def test_excel_is_told_that_it_is_utf_8(
    ledger: Ledger, tmp_path: Path, opg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(ledger, tmp_path / "with.csv", excel=True)
    export(ledger, tmp_path / "without.csv")
    assert (tmp_path / "with.csv").read_bytes() == b"\xef\xbb\xbf" + (
        tmp_path / "without.csv"
    ).read_bytes()
    with pytest.raises(ConfigError, match=r"applies only to \.csv"):
        export(ledger, tmp_path / "x.parquet", excel=True)
    assert main(["receipts", "export", str(tmp_path / "none.csv"), "--excel"]) == 0
    assert "0 calls written" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------- excel


def test_a_workbook_holds_the_table(ledger: Ledger, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")
    done = export(ledger, tmp_path / "out.xlsx")
    assert done.cut == 2  # prompt and answer of one
    assert "2 texts cut to the length of an Excel cell" in str(done)
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx")["calls"]
    head, *rows = sheet.iter_rows()
    names = [cell.value for cell in head]
    assert names == [
        f"{name}_utc" if kind == "time" else name for name, kind in ALL_COLUMNS.items()
    ]
    assert len(rows) == len(TEXTS) + 1
    assert not any(cell.data_type == "f" for row in rows for cell in row)
    assert rows[0][0].value.replace(tzinfo=UTC) == NOW.replace(microsecond=123000)
    column = names.index("cost_base_units")
    assert rows[0][column].value == "4100000000000000"
    found = [row[names.index("prompt")].value for row in rows[: len(TEXTS)]]
    # A workbook is XML: openpyxl gives back control characters as they are written in it.
    for text, seen in zip(TEXTS, found, strict=True):
        if len(text) > excel.MAX_TEXT:
            assert len(seen) <= excel.MAX_TEXT
            assert seen.endswith("Excel holds no more)")
        elif not re.search("[\x00-\x08\v\f\x0e-\x1f\r]", text):
            assert seen == text


def test_amounts_beyond_excels_digits_are_exact(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.save(receipt(cost=Cost(amount=Money(2**70 + 1, SIM_OPG), cap=None)))
        export(ledger, tmp_path / "out.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx")["calls"]
    values = dict(zip(*([cell.value for cell in row] for row in sheet.iter_rows()), strict=True))
    assert values["cost_base_units"] == str(2**70 + 1)


def test_without_its_library_a_workbook_is_refused_in_words(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(ConfigError, match=r"pip install xlsxwriter \(the extra excel"):
        export(ledger, tmp_path / "out.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_a_parquet_file_is_refused_in_words_and_the_rest_is_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    """In a process in which PyArrow was never there: pandas makes other columns of text then."""
    script = """
import sys
from pathlib import Path
class NoPyArrow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPyArrow())
from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.export import export
from opg_magic.ledger.store import Ledger
ledger, out = Ledger(Path(sys.argv[1])), Path(sys.argv[2])
for name in ("out.csv", "out.jsonl", "out.xlsx"):
    print(export(ledger, out / name).written)
try:
    export(ledger, out / "out.parquet")
except ConfigError as error:
    print(error)
"""
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", script, str(ledger.path), str(out)]
    *written, refusal = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split("\n", 3)
    table = str(len(receipts(ledger)))
    assert (written[0], written[2]) == (table, table)
    assert "pip install pyarrow (the extra parquet" in refusal
    assert sorted(path.name for path in out.iterdir()) == ["out.csv", "out.jsonl", "out.xlsx"]
    with_it = tmp_path / "with-it.csv"
    export(ledger, with_it)
    assert with_it.read_bytes() == (out / "out.csv").read_bytes()


def test_the_line_for_other_readers_in_the_documentation_works(
    ledger: Ledger, tmp_path: Path
) -> None:
    """docs/receipts.md: how pandas reads the file, and how one writes a DataFrame of one's own to
    Excel."""
    _insist_on_nul(_pandas)
    path = tmp_path / "all.csv"
    export(ledger, path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    answers = table["answer"].map(unguarded)
    assert list(answers[: len(TEXTS)]) == TEXTS
    pytest.importorskip("openpyxl")
    frame = receipts(ledger)[["time", "id", "verdict"]]
    frame.assign(time=frame["time"].dt.tz_localize(None)).to_excel(io.BytesIO(), index=False)


# --------------------------------------------------------------------------------- every format


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_writes_what_it_says_for_the_owner_alone(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"calls{suffix.upper()}"
    done = export(ledger, path)
    assert done.written == ledger.count() and not done.damaged
    unit = FORMATS[suffix].unit
    assert str(done).startswith(f"{done.written} {unit}s written to {path}.")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size > 0 and FORMATS[suffix].summary
    # One that fails in the middle leaves the file that was there, and nothing beside it.
    before = path.read_bytes()

    def half(_self: object, _calls: object, path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(FORMATS[suffix]), "write", half)
    with pytest.raises(LedgerError, match="cannot be written: No space left"):
        export(ledger, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_can_hold_nothing(tmp_path: Path, suffix: str) -> None:
    with Ledger(tmp_path / "home" / "ledger.sqlite") as empty:
        assert export(empty, tmp_path / f"none{suffix}").written == 0
    assert (tmp_path / f"none{suffix}").is_file()
