"""A call with a schema: what is sent, what comes of it, and what an answer that does not fit
leaves behind."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import opg_magic
from opg_magic import errors, shapes
from opg_magic.call.session import Session
from opg_magic.models import Charge, VerdictStatus
from opg_magic.shell import main


class Fact(BaseModel):
    number: int
    sure: bool


#: The scripted model keeps to no pattern: it stands for hosts that do not keep to a schema.
NEVER = {
    "type": "object",
    "properties": {"word": {"type": "string", "pattern": "^z{9}$"}},
    "required": ["word"],
}


@pytest.fixture(autouse=True)
def the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    return session


def request(answer: Any) -> dict[str, Any]:
    found = json.loads(answer.receipt.evidence().request.body)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("more", [{}, {"stream": False}, {"route": "private"}])
def test_data_comes_with_the_answer_by_every_way(relay, session: Session, more):
    answer = opg_magic.ask("Is 561 prime?", schema=Fact, **more)
    assert isinstance(answer.data, Fact)
    assert answer.data.number == 561
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert request(answer)["response_format"] == shapes.resolve(Fact).response_format
    assert answer.json()["number"] == 561
    assert session.ledger.get(answer.receipt.id).text == answer.text


def test_data_is_what_the_schema_makes_of_it():
    assert opg_magic.ask("Is 7 prime?").data is None
    assert opg_magic.ask("It was bad.", schema=Literal["good", "bad"]).data == "bad"
    assert opg_magic.ask("Is 7 prime?", schema="n int, note?").data["n"] == 7
    rows = opg_magic.ask("Is 7 prime?", schema="[n int]").data
    assert [row["n"] for row in rows] == [7]
    table = opg_magic.ask("Is 7 prime?", schema=Fact, format="df").data
    assert isinstance(table, pd.DataFrame)
    assert list(table) == ["number", "sure"]
    assert opg_magic.ask("Is 7 prime?", format="json").data["answer"]


def test_several_hosts_and_awaited_calls_have_data_too():
    agreed = opg_magic.agree("Is 561 prime?", hosts=3, schema=Fact)
    assert agreed.data == agreed.answer.data == Fact(number=561, sure=agreed.data.sure)

    async def two():
        return await asyncio.gather(
            *(opg_magic.aask(f"Is {n} prime?", schema=Fact) for n in (7, 9))
        )

    assert [answer.data.number for answer in asyncio.run(two())] == [7, 9]


def test_an_answer_that_does_not_fit_is_kept_and_told(session: Session):
    with pytest.raises(errors.ShapeMismatch, match=r"word: .* does not match") as caught:
        opg_magic.ask("Say a word.", schema=NEVER)
    problem = caught.value
    kept = session.ledger.get(problem.receipt_id)
    assert kept == problem.receipt == problem.answer.receipt
    assert problem.answer.text == kept.text
    assert problem.verdict.outcome is VerdictStatus.VERIFIED
    assert problem.charge is Charge.CLAIMED
    assert problem.cost.amount.amount > 0
    assert session.show(problem.receipt_id).text == kept.text
    with pytest.raises(errors.ShapeMismatch):
        opg_magic.agree("Say a word.", hosts=3, schema=NEVER)
    assert session.ledger.count() == 4


def test_an_answer_out_of_the_ledger_is_held_to_the_schema_too(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JPY_SESSION_NAME", "labels.ipynb")
    first = opg_magic.ask("Is 561 prime?", schema=Fact)
    again = opg_magic.ask("Is 561 prime?", schema=Fact)
    assert again.repeated and again.receipt.id == first.receipt.id
    assert again.data == first.data
    with pytest.raises(errors.ShapeMismatch) as caught:
        opg_magic.ask("Say a word.", schema=NEVER)
    assert caught.value.hint is None
    with pytest.raises(errors.ShapeMismatch, match="--fresh") as again_caught:
        opg_magic.ask("Say a word.", schema=NEVER)
    assert again_caught.value.receipt_id == caught.value.receipt_id
    assert session.ledger.count() == 2


def test_a_call_of_a_tool_has_no_data_yet():
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    answer = opg_magic.ask("Use get_weather.", tools=[tool], schema=Fact)
    assert answer.tool_calls
    assert answer.data is None


@pytest.mark.parametrize(
    "given",
    [
        {"schema": "year itn"},
        {"schema": {"type": "strin"}},
        {"schema": 3},
        {"schema": Fact, "response_format": {"type": "json_object"}},
        {"schema": Fact, "kind": "completion"},
        {"schema": Fact, "format": "xml"},
        {"schema": Fact, "format": "code"},
        {"format": "df"},
    ],
)
def test_a_bad_schema_is_refused_before_anything_is_signed(session: Session, given):
    with pytest.raises(errors.ArgumentError, match="Nothing was sent"):
        opg_magic.ask("hi", **given)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


# --------------------------------------------------------------------------------------- the shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch):
    def run(*words: str, terminal: bool = False) -> tuple[int, str, str]:
        gc.collect()
        out, err = io.StringIO(), io.StringIO()
        out.isatty = lambda: terminal  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return main.main(["ask", *words]), out.getvalue(), err.getvalue()

    return run


def test_the_shell_prints_data_in_the_form_that_is_asked_for(shell, session: Session, tmp_path):
    schema = "n int, day date"
    code, out, _ = shell("Is 7 prime?", "--schema", schema)
    assert (code, out) == (0, session.ledger.last().text + "\n")
    assert json.loads(shell("Is 7 prime?", "--schema", schema, "-f", "json")[1]) == {
        "n": 7,
        "day": "2026-04-01",
    }
    assert shell("Is 7 prime?", "--schema", schema, "-f", "df")[1].splitlines() == [
        "n  day",
        "7  2026-04-01",
    ]
    for more in (["-f", "df"], ["--hosts", "3", "-f", "df"]):
        found = json.loads(shell("Is 7 prime?", "--schema", schema, "--json", *more)[1])
        assert found["data"] == [{"n": 7, "day": "2026-04-01"}]
    file = tmp_path / "fact.json"
    file.write_text(json.dumps(Fact.model_json_schema()))
    found = json.loads(shell("Is 7 prime?", "--schema", str(file), "--json")[1])
    assert found["data"]["number"] == 7
    assert json.loads(shell("Is 7 prime?", "--json")[1])["data"] is None


def test_the_shell_says_what_does_not_fit_and_loses_nothing(shell, session: Session, tmp_path):
    file = tmp_path / "never.json"
    file.write_text(json.dumps(NEVER))
    code, out, err = shell("Say a word.", "--schema", str(file))
    kept = session.ledger.last()
    assert (code, out) == (1, "")
    assert kept.text in err
    assert "does not fit the schema" in err
    assert kept.id in err
    code, out, err = shell("Say a word.", "--schema", str(file), terminal=True)
    kept = session.ledger.last()
    assert (code, out) == (1, kept.text + "\n")
    assert kept.text not in err  # it stands on the terminal already
    assert kept.id in err
    code, out, _ = shell("Say a word.", "--schema", str(file), "--json")
    found = json.loads(out)
    assert (code, found["error"], found["id"]) == (1, "ShapeMismatch", session.ledger.last().id)
    assert found["text"] == session.ledger.last().text


@pytest.mark.parametrize("words", [["Fact"], ["year itn"], ["nowhere.json"]])
def test_the_shell_refuses_a_bad_schema_as_a_usage_error(shell, session: Session, words):
    code, out, err = shell("hi", "--schema", *words)
    assert (code, out) == (2, "")
    assert "Nothing was sent" in err
    assert session.ledger.count() == 0
