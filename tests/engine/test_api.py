"""The functions of the package and of the shell: the same engine, the same arguments, the same errors."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

import pytest
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import cli, errors
from opg_magic.session import Session


@pytest.fixture(autouse=True)
def the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("opg_magic.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.session.close_current_session", lambda: None)
    return session


def test_ask_takes_text_or_messages(session: Session):
    answer = opg_magic.ask("Is 561 prime?", max_tokens=200, system="Be short.")
    assert answer.text
    assert answer.verdict.simulated
    said = opg_magic.ask([{"role": "user", "content": "Is 563 prime?"}], stream=False)
    assert said.receipt.document["request"]["stream"] is False
    assert session.ledger.count() == 2
    with pytest.raises(errors.PromptError, match="not both"):
        opg_magic.ask([{"role": "user", "content": "hi"}], system="Be short.")
    with pytest.raises(errors.LimitExceeded):
        opg_magic.ask("hi", max_cost="0")
    assert session.ledger.count() == 2


def test_aask_takes_what_ask_takes_and_several_run_at_once(session: Session):
    assert inspect.signature(opg_magic.aask).parameters == inspect.signature(opg_magic.ask).parameters

    async def three():
        return await asyncio.gather(*(opg_magic.aask(f"Is {n} prime?", max_tokens=50) for n in (3, 9, 15)))

    assert len({answer.receipt.id for answer in asyncio.run(three())}) == 3
    with pytest.raises(TypeError, match="modle"):
        asyncio.run(opg_magic.aask("hi", modle="x"))


def test_agree_asks_several_hosts(session: Session):
    agreed = opg_magic.agree("Is 561 prime?", hosts=3, quorum=2, temperature=0.0)
    assert agreed.claim.passed
    assert len(agreed.answers) == 3
    with pytest.raises(errors.ConfigError, match="names one host"):
        opg_magic.agree("hi", hosts=2, host="0xabcd")
    with pytest.raises(TypeError, match="hots"):
        opg_magic.agree("hi", hosts=2, hots=3)


def test_the_shell_asks_one_host_or_several(
    session: Session, honest_simnet: RunningSimnet, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["ask", "Is 561 prime?", "--settle", "batch", "--stop", "END", "--host", "anna"]) == 0
    told = capsys.readouterr()
    assert told.out.strip()
    assert "SIMULATED" in told.err
    request = session.ledger.last().document["request"]
    assert request["settlement"] == "batch"
    assert '"stop"' in request["body"]
    assert cli.main(["ask", "Is 561 prime?", "--hosts", "3", "--quorum", "2"]) == 0
    assert "hosts" in capsys.readouterr().err
    assert session.ledger.count() == 4
    assert cli.main(["ask", "hi", "--quorum", "2"]) == 2
    assert "give both" in capsys.readouterr().err


@pytest.mark.parametrize(("called", "said"), [("ana", "Did you mean anna?"), ("nobody", "There are: anna,")])
def test_a_host_s_name_that_is_none_is_answered_with_those_that_are(session: Session, called: str, said: str):
    opg_magic.ask("hi", host="anna")
    with pytest.raises(errors.ConfigError, match=f"called '{called}'") as wrong:
        opg_magic.ask("hi", host=called)
    assert said in wrong.value.hint
    assert session.ledger.count() == 1


@pytest.mark.parametrize("word", ["individual", "Individual", "INDIVIDUAL ", " private", "Batch", None, 1, b"private"])
@pytest.mark.parametrize("how", ["ask", "aask", "agree"])
def test_attack_42_no_word_but_two_is_sent_as_settlement(session: Session, how: str, word: Any):
    function = getattr(opg_magic, how) if how != "agree" else partial(opg_magic.agree, hosts=2)
    with pytest.raises(errors.ConfigError, match="private or batch") as refused:
        made = function("Is 561 prime?", settle=word)
        asyncio.run(made)
    assert "Nothing was sent" in str(refused.value)
    assert session.ledger.count() == 0
    assert session.spending().kernel_reserved.amount == 0
