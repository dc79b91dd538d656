"""A table of prompts on the simulated network: what is asked, paid, kept and given back."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import pydantic
import pytest
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.network.profiles import SIM_OPG
from opg_magic.table import mapping

MODEL = "openai/gpt-5"
ASK = {"model": MODEL, "max_tokens": 20, "progress": False}


@pytest.fixture(autouse=True)
def current(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(sessions, "_current", session)
    session.settings.set("max_cost_per_kernel", "100")
    session.settings.set("max_cost_per_day", "100")
    return session


def numbers(*those: object) -> pd.DataFrame:
    return pd.DataFrame({"n": list(those), "kept": range(len(those))})


def test_a_frame_comes_back_with_its_index_its_order_and_four_columns(session: Session) -> None:
    data = numbers(97, 91, 97, 4)
    data.index = pd.MultiIndex.from_tuples([("b", 1), ("a", 1), ("b", 1), ("a", 2)])
    found = opg_magic.map(data, "Is {{n}} prime?", output="label", **ASK)
    assert list(found.columns) == [
        "n", "kept", "label", "label_error", "label_verdict", "label_receipt",
    ]  # fmt: skip
    assert found.index.equals(data.index)
    assert list(data.columns) == ["n", "kept"]
    assert found["label"].str.startswith("Yes. 97").tolist() == [True, False, True, False]
    assert found["label_error"].isna().all()
    assert set(found["label_verdict"]) == {"SIMULATED"}
    # Equal prompts are asked once: one receipt for both rows.
    assert found["label_receipt"].iloc[0] == found["label_receipt"].iloc[2]
    assert session.ledger.count() == 3
    for receipt in session.ledger.receipts():
        assert receipt.document["prompt"]["template"] == "Is {{n}} prime?"


def test_lists_and_series_and_no_dedupe(session: Session) -> None:
    found = opg_magic.map(["97", "97"], "Is {{value}} prime?", dedupe=False, **ASK)
    assert session.ledger.count() == 2
    assert found["answer_receipt"].nunique() == 2
    series = pd.Series(["4"], index=["x"], name="n")
    assert opg_magic.map(series, "Is {{n}} prime?", **ASK).index.tolist() == ["x"]
    assert series.opg.map("Is {{n}} prime?", **ASK)["answer"].notna().all()
    assert session.ledger.count() == 3


def test_a_cell_is_never_read_as_a_template(session: Session) -> None:
    data = pd.DataFrame({"a": ["{{b}} {{a}}"], "b": ["secret"]})
    opg_magic.map(data, "Say: {{a}}", **ASK)
    (receipt,) = session.ledger.receipts()
    assert receipt.document["prompt"]["text"] == "Say: {{b}} {{a}}"


def test_missing_cells_have_their_reason_and_cost_nothing(session: Session) -> None:
    data = numbers("97", None, math.nan, "", "4")
    found = opg_magic.map(data, "{{n}}", **ASK)
    assert found["answer"].isna().tolist() == [False, True, True, True, False]
    assert found["answer_error"].tolist()[1:4] == [
        "n is missing in this row", "n is missing in this row", "n is empty in this row",
    ]  # fmt: skip
    assert session.ledger.count() == 2


@pytest.mark.parametrize(
    ("data", "prompt", "says"),
    [
        (numbers(1), "Is {{m}} prime?", "There is no column 'm'"),
        (numbers(1), "Is it prime?", "names no column"),
        (numbers(), "{{n}}", "no rows"),
        (numbers("a", 3), "{{n}}", "Row 1, column 'n' holds a number, and row 0 a text"),
        (numbers("a", ["b"]), "{{n}}", "Row 1, column 'n' holds a list"),
        (numbers("x" * 10_000_000), "{{n}}", "Row 0, column 'n' holds 10,000,000 characters"),
        (numbers(1).assign(answer_error=1), "{{n}}", "already has a column 'answer_error'"),
        (["a\ud800"], "{{value}}", "Row 0, column 'value' holds a lone surrogate"),
        ({"n": [1]}, "{{n}}", "not dict"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    session: Session, data: object, prompt: str, says: str
) -> None:
    with pytest.raises(errors.ArgumentError, match=says):
        opg_magic.map(data, prompt, **ASK)
    assert session.ledger.rows() == []


def test_an_output_that_is_there_is_put_in_place_where_that_is_asked_for() -> None:
    data = numbers(97).assign(label="old")
    found = opg_magic.map(data, "Is {{n}} prime?", output="label", overwrite=True, **ASK)
    assert found["label"].iloc[0].startswith("Yes.")
    assert data["label"].tolist() == ["old"]


def test_run_again_only_what_is_missing_is_paid_for(session: Session) -> None:
    opg_magic.map(numbers(97, 91), "Is {{n}} prime?", **ASK)
    plan = opg_magic.map(numbers(97, 91, 4), "Is {{n}} prime?", dry_run=True, **ASK)
    assert (plan.distinct, plan.recorded, plan.ask) == (3, 2, 1)
    assert "2 answers are in the ledger and cost nothing" in str(plan)
    assert session.ledger.count() == 2
    found = opg_magic.map(numbers(97, 91, 4), "Is {{n}} prime?", **ASK)
    assert found["answer"].notna().all()
    assert session.ledger.count() == 3
    opg_magic.map(numbers(97), "Is {{n}} prime?", fresh=True, **ASK)
    assert session.ledger.count() == 4


def test_one_authorisation_a_host_carries_the_table(session: Session) -> None:
    data = numbers(*range(40))
    opg_magic.map(data, "Is {{n}} prime?", hosts=3, concurrency=12, **ASK)
    assert session.ledger.count() == 40
    used = {
        (r.document["host"]["tee_id"], r.document["payment"]["authorisation"]["nonce"])
        for r in session.ledger.receipts()
    }
    assert len(used) == len({host for host, _ in used}) == 3


def test_a_limit_that_would_break_refuses_the_table_before_it_begins(session: Session) -> None:
    with pytest.raises(errors.LimitExceeded, match=r"max_cost is 0\.25 sim-OPG"):
        opg_magic.map(numbers(*range(9)), "{{n}}", hosts=3, max_cost="0.25", **ASK)
    session.settings.set("max_cost_per_kernel", "0.2")
    with pytest.raises(errors.LimitExceeded, match="max_cost_per_kernel") as refused:
        opg_magic.map(numbers(*range(9)), "{{n}}", hosts=3, **ASK)
    # As the setting takes it: 0.3, not 0.300000000000000000.
    assert "opg config max_cost_per_kernel 0.3. Or" in (refused.value.hint or "")
    assert session.ledger.rows() == []


def test_a_host_that_lies_is_out_and_its_rows_say_why(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "change-byte")
    found = opg_magic.map(numbers(*range(12)), "Is {{n}} prime?", hosts=3, concurrency=3, **ASK)
    bad = found[found["answer"].isna()]
    assert len(bad) == 1
    assert bad["answer_error"].str.contains("the response check failed").all()
    assert bad["answer_verdict"].tolist() == ["SIMULATED · FAILED"]
    assert session.ledger.get(bad["answer_receipt"].iloc[0]).withheld
    with pytest.raises(errors.CallFailed):
        opg_magic.map(numbers(*range(12)), "Is {{n}} odd?", host="anna", errors="raise", **ASK)


def test_a_stop_keeps_what_came_and_the_next_run_pays_for_the_rest(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.table.mapping import Table

    class Interrupted(Table):
        async def ask(self, engine, settings, report=None):
            task = asyncio.current_task()
            begun = 0

            def count(_tally):
                nonlocal begun
                begun += 1
                if begun == 1:
                    task.cancel()

            await super().ask(engine, settings, count)

    monkeypatch.setattr("opg_magic.table.mapping.Table", Interrupted)
    found = opg_magic.map(numbers(*range(30)), "Is {{n}} prime?", concurrency=2, **ASK)
    kept = int(found["answer"].notna().sum())
    assert 0 < kept < 30
    assert (found["answer_error"] == "not asked: stopped").any()
    monkeypatch.undo()
    sessions._current = session
    plan = opg_magic.map(numbers(*range(30)), "Is {{n}} prime?", dry_run=True, **ASK)
    assert plan.recorded == kept


def test_awaited() -> None:
    async def main() -> pd.DataFrame:
        return await opg_magic.amap(numbers(97), "Is {{n}} prime?", **ASK)

    assert asyncio.run(main())["answer"].notna().all()
    assert threading.active_count() > 0


def test_a_schema_makes_data_and_a_misfit_is_kept_and_not_paid_again(session: Session) -> None:
    data = numbers(1, 2)
    found = opg_magic.map(data, "City {{n}}", schema="name, size int", **ASK | {"max_tokens": 200})
    assert {type(one) for one in found["answer"]} == {dict}
    assert set(found["answer"].iloc[0]) == {"name", "size"}
    again = {"max_tokens": 200, "schema": "name, size int", "fresh": False}
    short = opg_magic.map(data, "City {{n}}", **ASK | again | {"max_tokens": 2})
    assert short["answer"].isna().all()
    assert short["answer_error"].notna().all()
    assert short["answer_receipt"].notna().all()
    before = session.ledger.count()
    opg_magic.map(data, "City {{n}}", **ASK | again | {"max_tokens": 2})
    assert session.ledger.count() == before


def test_a_schemas_own_code_may_ask_too(session: Session) -> None:
    """It ran on the loop that its call waited for: the kernel hung, and with it what was paid."""

    class City(pydantic.BaseModel):
        name: str

        @pydantic.field_validator("name")
        @classmethod
        def confirmed(cls, name: str) -> str:
            assert opg_magic.ask(f"Is {name} a city?", max_tokens=3).text
            return name

    found = opg_magic.map(numbers(1, 2, 3), "City {{n}}", schema=City, **ASK | {"max_tokens": 200})
    assert {type(one) for one in found["answer"]} == {City}
    assert session.ledger.count() == 6


def test_a_stop_while_an_answer_is_read_names_its_receipt(session: Session) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class City(pydantic.BaseModel):
        name: str

        @pydantic.field_validator("name")
        @classmethod
        def slow(cls, name: str) -> str:
            reading.set()
            assert go_on.wait(60)
            return name

    more = ASK | {"max_tokens": 200, "schema": City}
    pending = session.beside(lambda: opg_magic.map(numbers(1), "City {{n}}", **more))
    assert reading.wait(60)
    pending.stop()
    found = pending.wait(60)
    go_on.set()
    assert found["answer_error"][0] == "stopped before its answer was read; it is in its receipt"
    assert session.ledger.get(found["answer_receipt"][0])


def test_a_stop_from_outside_gives_back_what_came(session: Session) -> None:
    asked = numbers(*range(300))
    pending = session.beside(lambda: opg_magic.map(asked, "Is {{n}} prime?", **ASK))
    while session.ledger.count() < 3:
        assert not pending.done()
    pending.stop()
    found = pending.wait(60)
    kept = found["answer"].notna().sum()
    assert 3 <= kept < 300
    assert (found["answer_error"] == "not asked: stopped").any()
    # What was under way is recorded, and its row names the receipt.
    assert found["answer_receipt"].notna().sum() == session.ledger.count()


def test_the_private_route_has_no_cap_and_asks_all_the_same(session: Session) -> None:
    ask = {**ASK, "route": "private"}
    plan = opg_magic.map(numbers(97, 91), "Is {{n}} prime?", dry_run=True, **ask)
    assert (plan.authorisations, plan.cap.amount) == (0, 0)
    found = opg_magic.map(numbers(97, 91), "Is {{n}} prime?", **ask)
    assert found["answer"].notna().all()
    assert session.ledger.open_authorisations() == []


def test_a_table_that_was_not_waited_for_does_not_say_that_nothing_was_asked(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opg_magic.network.background import BackgroundLoop, Stopped
    from opg_magic.table.tally import Tally

    def cut(self, make, on_item=None):
        raise Stopped(None, ended=False)

    made = mapping.Table.__init__

    def begun(self, job, session):
        made(self, job, session)
        self.tally = Tally(1, SIM_OPG)

    session.engine(CallOptions())  # made before nothing runs to its end
    monkeypatch.setattr(BackgroundLoop, "run", cut)
    monkeypatch.setattr(mapping.Table, "__init__", begun)
    found = opg_magic.map(numbers(97), "Is {{n}} prime?", **ASK)
    assert found["answer_error"].tolist() == ["stopped; if it was asked, its call is in the ledger"]


def test_a_row_of_blank_cells_asks_nothing(session: Session) -> None:
    frame = pd.DataFrame({"review": ["  ", "", "good"], "note": ["", "kept", ""]})
    alone = opg_magic.map(frame, "Label: {{review}}", model=MODEL, progress=False)
    assert alone["answer_error"].tolist()[:2] == ["review is empty in this row"] * 2
    both = opg_magic.map(frame, "Label: {{review}} {{note}}", model=MODEL, progress=False)
    assert both["answer_error"].tolist()[0] == "review and note are empty in this row"
    assert both["answer"].notna().tolist() == [False, True, True]
    assert session.ledger.count() == 3


def test_a_dry_run_of_a_table_that_is_answered_names_no_model_rather_than_half_a_line(
    session: Session,
) -> None:
    """It said "1 row, 1 different prompt to " and broke off."""
    opg_magic.map(numbers(97), "Is {{n}} prime?", **ASK)
    plan = opg_magic.map(numbers(97), "Is {{n}} prime?", dry_run=True, **ASK)
    assert str(plan).splitlines() == [
        "1 row, 1 different prompt",
        "1 answer is in the ledger and costs nothing",
        "nothing to ask or pay",
    ]


def test_a_dry_run_awaited_pays_nothing(session: Session) -> None:
    """amap() took dry_run, and asked and paid all the same."""
    plan = asyncio.run(opg_magic.amap(numbers(97), "Is {{n}} prime?", dry_run=True, **ASK))
    assert (plan.distinct, plan.ask) == (1, 1)
    assert session.ledger.rows() == []


class _Raises:
    def __ne__(self, other: object) -> bool:
        raise RuntimeError("no")


class _Text(str):
    def __str__(self) -> str:
        return "another text"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"data": pd.DataFrame}, "not type"),
        ({"data": [10**5000]}, "Row 0, column 'value' holds a number that cannot be written"),
        ({"data": [np.float32("inf")]}, "Row 0, column 'value' holds a float32"),
        ({"data": [Decimal("-inf")]}, "Row 0, column 'value' holds a Decimal"),
        ({"data": [_Raises()]}, "Row 0, column 'value' holds a _Raises"),
        ({"max_cost": "9" * 40}, "max_cost must be an amount of OPG"),
        ({"output": "a\ud800"}, "output must be a text in Unicode"),
        ({"dry_run": "no"}, "dry_run must be True or False, not 'no'"),
        ({"dry_run": None}, "dry_run must be True or False, not None"),
        ({"dry_run": pd.NA}, "dry_run must be True or False, not a NAType"),
        ({"progress": pd.Series([1])}, "progress must be True or False, not a Series"),
        ({"tools": True}, "tools must be a list of functions, or of definitions"),
        ({"tools": iter([len])}, "tools must be a list of functions, or of definitions"),
        ({"tools": len}, "tools must be a list of functions, or of definitions"),
    ],
)
def test_odd_values_are_refused_in_one_line(
    session: Session, given: dict[str, object], says: str
) -> None:
    more = ASK | given
    with pytest.raises(errors.ArgumentError, match=re.escape(says)):
        opg_magic.map(more.pop("data", ["97"]), "Is {{value}} prime?", **more)
    assert session.ledger.rows() == []


def test_a_signalling_nan_is_missing_and_a_texts_own_type_decides_nothing(session: Session) -> None:
    data = [Decimal("snan"), None]
    found = opg_magic.map([*data, _Text("97")], "Is {{value}} prime?", **ASK)
    assert found["answer_error"].tolist()[:2] == ["value is missing in this row"] * 2
    (receipt,) = session.ledger.receipts()
    assert receipt.document["prompt"]["text"] == "Is 97 prime?"
