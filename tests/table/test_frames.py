"""Frames of each kind, and the accessor that waits for pandas."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from opg_magic.errors import ArgumentError
from opg_magic.network.profiles import SIM_OPG
from opg_magic.receipt.table import FIGURES
from opg_magic.table.frames import frame_of
from opg_magic.table.shown import Shown
from opg_magic.table.tally import Tally
from opg_magic.table.template import template


def added(*values: object) -> dict[str, list[object]]:
    return {"x": list(values)}


def test_a_polars_frame_comes_back_as_one() -> None:
    import polars as pl

    data = pl.DataFrame({"n": ["a", "b"]})
    found = frame_of(data).extended(added("yes", None))
    assert found.to_dict(as_series=False) == {"n": ["a", "b"], "x": ["yes", None]}
    assert data.columns == ["n"]
    assert frame_of(pl.Series("n", [1])).columns == ("n",)
    mixed = frame_of(data).extended(added({"name": "a"}, None))
    assert mixed["x"].to_list() == [{"name": "a"}, None]


class Film(BaseModel):
    name: str


@pytest.mark.parametrize(
    "values",
    [
        [1, {"a": 1}],
        [Film(name="M"), None],
        [{"a": 1}, {"b": "x"}],
        ["x", {"a": 1}],
        [[1], ["x"], None],
        [True, 3, "z"],
        [2**200, 1],
    ],
    ids=str,
)
def test_polars_holds_each_answer_as_it_is(values: list[object]) -> None:
    """Made to fit a column of one kind, some became texts or nothing, and some lost the table."""
    import polars as pl

    data = pl.DataFrame({"n": list(range(len(values)))})
    found = frame_of(data).extended({"x": values})
    assert found["x"].to_list() == values
    assert [type(one) for one in found["x"].to_list()] == [type(one) for one in values]


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "closed"])
def test_a_table_is_not_lost_to_what_shows_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None
) -> None:
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    shown = Shown()
    shown(Tally(1, SIM_OPG))
    shown.end(Tally(1, SIM_OPG))


def test_the_line_of_a_table_has_no_marks_of_a_terminal_in_it() -> None:
    tally = Tally(1, SIM_OPG, ended="host says \x1b]0;title\x07\x1b[2J\rok")
    assert not set(str(tally)) & set("\x1b\x07\r")


def test_a_duplicate_index_aligns_nothing() -> None:
    data = pd.DataFrame({"n": [1, 2, 3]}, index=["a", "a", "b"])
    found = frame_of(data).extended(added("one", "two", "three"))
    assert found["x"].tolist() == ["one", "two", "three"]
    assert found.index.tolist() == ["a", "a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pd.DataFrame({"n": []}),
        [],
        "text",
        None,
    ],
)
def test_what_is_no_table_is_refused(data: object) -> None:
    with pytest.raises(ArgumentError):
        frame_of(data)


def test_a_column_that_stands_twice_is_refused_when_it_is_named() -> None:
    data = pd.DataFrame([[1, 2]], columns=["n", "n"])
    with pytest.raises(ArgumentError, match="several columns 'n'"):
        frame_of(data).column("n")


def test_the_accessor_comes_with_pandas_and_brings_it_for_nobody() -> None:
    code = (
        "import sys, opg_magic; assert 'pandas' not in sys.modules;"
        "import pandas; pandas.DataFrame.opg; pandas.Series.opg;"
        "assert pandas.DataFrame({'n': [1]}).opg.map"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_place_that_is_never_closed_costs_its_length_once() -> None:
    """2,000 spaces took 7 s, 20,000 two hours."""
    with pytest.raises(ArgumentError, match="names no column"):
        template("{{" + " " * 100_000, ("a",))
    assert template("{{ a }} {{b}}", ("a", "b")).columns == ("a", "b")


@given(
    counts=st.lists(st.integers(0, 10**9), min_size=6, max_size=6),
    money=st.lists(st.integers(0, 10**30), min_size=2, max_size=2),
)
def test_every_line_of_figures_has_the_form_that_a_notebook_keeps(
    counts: list[int], money: list[int]
) -> None:
    total, recorded, unfit, answered, failed, ago = counts
    tally = Tally(total, SIM_OPG, recorded, unfit, answered, failed, *money, ended="words")
    tally.begun = time.monotonic() - ago
    assert FIGURES.fullmatch(tally.figures), tally.figures
