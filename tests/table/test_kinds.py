"""The same table in every kind that people have, and the same attacks on each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.table.frames import frame_of

ASK: dict[str, Any] = {"model": "openai/gpt-5", "max_tokens": 20, "progress": False}
Make = Callable[[dict[str, list[Any]]], Any]


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_current", session)


def polars(columns: dict[str, list[Any]]) -> Any:
    import polars as pl

    return pl.DataFrame(columns, strict=False)


def lazy_polars(columns: dict[str, list[Any]]) -> Any:
    return polars(columns).lazy()


def arrow(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def dask(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(columns), npartitions=1)


KINDS: dict[str, Make] = {
    "pandas": pd.DataFrame,
    "polars": polars,
    "lazy polars": lazy_polars,
    "arrow": arrow,
    "dask": dask,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def cells(found: Any, column: str) -> list[Any]:
    if hasattr(found, "compute"):
        found = found.compute(scheduler="synchronous")
    values = found[column].to_pylist() if hasattr(found, "to_pylist") else found[column].to_list()
    return [
        None if value is None or value is pd.NA or value != value else value for value in values
    ]


@each_kind
def test_columns_of_any_name_are_filled_in_once(session: Session, kind: str) -> None:
    data = KINDS[kind]({
        "class": ["{{my review}}", "b", None],
        "my review": ["{{class}} {{отзыв}}", "}} {{", "c"],
        "отзыв": ["1", "{{2}}", "3"],
    })  # fmt: skip
    found = opg_magic.map(data, "{{class}}|{{ my review }}|{{отзыв}}|{{class}}", **ASK)
    answers, reasons = cells(found, "answer"), cells(found, "answer_error")
    assert [one is None for one in answers] == [False, False, True]
    assert reasons == [None, None, "class is missing in this row"]
    bodies = [json.loads(one.document["request"]["body"]) for one in session.ledger.receipts()]
    sent = {one["messages"][-1]["content"] for one in bodies}
    assert sent == {
        "{{my review}}|{{class}} {{отзыв}}|1|{{my review}}",
        "b|}} {{|{{2}}|b",
    }


@each_kind
@pytest.mark.parametrize(
    ("columns", "prompt", "says"),
    [
        ({"n": ["a"]}, "{{m}}", "There is no column 'm'"),
        ({"n": ["a"], "answer": ["b"]}, "{{n}}", "already has a column 'answer'"),
        ({"n": []}, "{{n}}", "no rows"),
        ({"n": ["a", "b" * 10_000_000]}, "{{n}}", "Row 1, column 'n' holds 10,000,000 characters"),
        ({"n": [["a"], ["b"]]}, "{{n}}", "Row 0, column 'n' holds a (list|ndarray)"),
        ({" n ": ["a"]}, "{{ n }}", "Rename ' n ': a prompt names"),
    ],
)
def test_bad_input_of_each_kind_is_refused_and_named(
    session: Session, kind: str, columns: dict[str, list[Any]], prompt: str, says: str
) -> None:
    if kind == "dask" and "list" in says:
        pytest.skip("Dask makes such a column text itself")
    with pytest.raises(errors.ArgumentError) as refused:
        opg_magic.map(KINDS[kind](columns), prompt, **ASK)
    refused.match(says)
    assert session.ledger.rows() == []


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (lambda: ["a", 1], "[str(one) for one in data]"),
        (lambda: pd.DataFrame({"value": ["a", 1]}), "df['value'].astype(str)"),
        (
            lambda: frame_of_objects(["a", 1]),
            "df.with_columns(pl.col('value').cast(pl.String))",
        ),
    ],
    ids=["list", "pandas", "polars"],
)
def test_mixed_kinds_come_with_code_that_mends_them(data: Callable[[], Any], hint: str) -> None:
    with pytest.raises(errors.ArgumentError, match="Row 1, column 'value' holds a number") as bad:
        opg_magic.map(data(), "{{value}}", **ASK)
    assert hint in str(bad.value.hint)


def frame_of_objects(values: list[Any]) -> Any:
    import polars as pl

    return pl.DataFrame({"value": pl.Series(values, dtype=pl.Object)})


def test_a_series_whose_name_no_prompt_can_give_is_refused() -> None:
    data = pd.Series(["a"], name=("x", "y"))
    with pytest.raises(errors.ArgumentError, match=r"called \('x', 'y'\)"):
        opg_magic.map(data, "{{value}}", **ASK)


@each_kind
def test_a_column_without_any_text_is_one_of_texts(kind: str) -> None:
    """Polars made one of nulls, which goes below no column of texts."""
    if kind == "dask":
        pytest.skip("its columns have their kind from the plan")
    found = frame_of(KINDS[kind]({"n": ["a"]})).extended({"x": [None]})
    made = frame_of(found).extended({"y": ["a"]})
    types = {str(found[name].type if kind == "arrow" else found[name].dtype) for name in ("x",)}
    assert types & {"object", "string", "String"}, types
    assert cells(made, "x") == [None]


class Film(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ([1, None], [1, None]),
        ([{"a": 1}, {"a": None}], [{"a": 1}, {"a": None}]),
        ([["x"], []], [["x"], []]),
        ([1, 2.5], ["1", "2.5"]),
        ([True, 3], ["true", "3"]),
        ([{"a": 1}, {"b": "x"}], ['{"a":1}', '{"b":"x"}']),
        ([2**200, 1], [str(2**200), "1"]),
        ([Film(name="M"), None], ['{"name":"M"}', None]),
    ],
    ids=str,
)
def test_arrow_holds_each_answer_as_it_is_or_as_its_json(
    values: list[Any], meant: list[Any]
) -> None:
    data = arrow({"n": list(range(len(values)))})
    found = frame_of(data).extended({"x": values})
    assert found["x"].to_pylist() == meant
    assert data.column_names == ["n"]


def test_arrow_s_columns_of_one_name_are_told_apart() -> None:
    pa = pytest.importorskip("pyarrow")
    data = pa.Table.from_arrays(
        [pa.array(["x"]), pa.array(["y"]), pa.array(["z"])], ["a", "a", "b"]
    )
    with pytest.raises(errors.ArgumentError, match="several columns 'a'"):
        opg_magic.map(data, "{{a}}", **ASK)
    found = frame_of(data).extended({"x": ["1"]})
    assert found.column_names == ["a", "a", "b", "x"]
    encoded = pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert cells(opg_magic.map(encoded, "{{a}}", **ASK), "answer")[0].startswith("You asked: “x”")


@pytest.mark.parametrize("parts", [1, 2])
def test_dask_keeps_kinds_and_labels_as_they_are(parts: int) -> None:
    dd, pa = pytest.importorskip("dask.dataframe"), pytest.importorskip("pyarrow")
    data = pd.DataFrame(
        {
            "c": pd.Categorical(["x", "y", "x"]),
            "s": pd.array(["a", "b", None], dtype=pd.ArrowDtype(pa.string())),
            "i": pd.array([1, 2, None], dtype="Int64"),
        },
        index=["q", "q", "r"],
    )
    lazy = opg_magic.map(dd.from_pandas(data, npartitions=parts, sort=False), "{{c}} {{s}}", **ASK)
    found = lazy.compute(scheduler="synchronous")
    assert found.index.tolist() == ["q", "q", "r"]
    assert found["answer"].notna().tolist() == [True, True, False]
    assert dict(found.dtypes) == dict(lazy.dtypes)
    assert found["c"].tolist() == ["x", "y", "x"]


def test_dask_s_empty_partitions_and_unknown_divisions_ask_nothing_wrong(session: Session) -> None:
    dd = pytest.importorskip("dask.dataframe")
    data = dd.from_pandas(pd.DataFrame({"n": [1, 2, 3, 4, 5, 6]}), npartitions=3)
    some = data[data["n"] > 4].clear_divisions()
    found = opg_magic.map(some, "Is {{n}} prime?", **ASK).compute(scheduler="synchronous")
    assert (found["n"].tolist(), session.ledger.count()) == ([5, 6], 2)
    with pytest.raises(errors.ArgumentError, match="no rows"):
        opg_magic.map(data[data["n"] > 6], "Is {{n}} prime?", **ASK)
