"""Frames of each kind, and the accessor that waits for pandas."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from opg_magic.errors import ArgumentError
from opg_magic.table.frames import frame_of


def added(*values: object) -> dict[str, list[object]]:
    return {"x": list(values)}


def test_a_polars_frame_comes_back_as_one() -> None:
    pl = pytest.importorskip("polars")
    data = pl.DataFrame({"n": ["a", "b"]})
    found = frame_of(data).extended(added("yes", None), overwrite=False)
    assert found.to_dict(as_series=False) == {"n": ["a", "b"], "x": ["yes", None]}
    assert data.columns == ["n"]
    assert frame_of(pl.Series("n", [1])).columns == ("n",)
    mixed = frame_of(data).extended(added({"name": "a"}, None), overwrite=False)
    assert mixed["x"].to_list() == [{"name": "a"}, None]


def test_a_duplicate_index_aligns_nothing() -> None:
    data = pd.DataFrame({"n": [1, 2, 3]}, index=["a", "a", "b"])
    found = frame_of(data).extended(added("one", "two", "three"), overwrite=False)
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
