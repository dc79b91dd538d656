"""Variables as people have them: what goes into a prompt, and what is told instead of printed."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opg_magic.cells import magic_line
from opg_magic.cells.values import as_text, is_column, is_missing
from opg_magic.errors import PromptError

FRAME = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]})


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        np.float64("nan"),
        np.float32("nan"),
        pd.NA,
        pd.NaT,
        np.timedelta64("NaT"),
    ],
    ids=repr,
)
def test_a_missing_value_is_never_printed_as_a_word(value: Any) -> None:
    assert is_missing(value)
    with pytest.raises(PromptError, match=r"x is (NaN|NA|NaT), a missing value") as caught:
        magic_line.fill("Say {{x}}", {"x": value})
    assert "Nothing was sent" in caught.value.message


def test_none_is_missing_too() -> None:
    assert is_missing(None)
    with pytest.raises(PromptError, match="x is a NoneType") as caught:
        as_text("x", None)
    assert "leave it out" in caught.value.hint


@pytest.mark.parametrize("value", [0, 0.0, "", "nan", float("inf"), np.int8(0), FRAME, Decimal(1)])
def test_other_values_are_not_missing(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (FRAME, "a DataFrame of 2 rows and 2 columns"),
        (FRAME["text"], "a Series of 2 rows"),
        (FRAME.iloc[:1], "a DataFrame of 1 row and"),
        (FRAME.index, "RangeIndex of 2 rows"),
        (np.zeros((3, 4)), "an? ndarray of 3 rows and 4 columns"),
    ],
)
def test_a_table_is_never_printed_and_the_hint_says_what_to_write(value: Any, told: str) -> None:
    with pytest.raises(PromptError, match=f"df is (a )?{told}") as caught:
        magic_line.fill("Sum up {{df}}", {"df": value})
    assert "one value" in caught.value.hint
    with pytest.raises(PromptError) as caught:
        as_text("df", value, over=True)
    assert caught.value.hint.startswith("To ask for each row: %%opg answers --over df.")


def test_the_hints_work() -> None:
    for value, kind in (
        (FRAME, "DataFrame"),
        (FRAME["text"], "Series"),
        (np.array(["a"]), "ndarray"),
    ):
        with pytest.raises(PromptError, match=kind) as caught:
            as_text("df", value)
        code = caught.value.hint.partition("text = ")[2].replace('"column"', '"text"')
        assert eval(code, {"df": value}) == "a"
    for value in (np.array(5), np.bool_(True)):
        with pytest.raises(PromptError) as caught:
            as_text("x", value)
        assert eval(caught.value.hint.partition("value = ")[2], {"x": value}) == value


def test_an_array_of_no_dimension_is_no_column() -> None:
    assert not is_column(np.array(5))
    assert is_column(np.array([5]))


def test_no_library_is_imported_to_tell_them_apart() -> None:
    code = (
        "import sys; from opg_magic.cells.values import as_text, is_missing, is_column\n"
        "as_text('n', 3); is_missing(1.0); is_column([])\n"
        "assert not {'numpy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
