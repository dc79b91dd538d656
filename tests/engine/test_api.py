"""The functions of the package and of the shell: the same engine, the same arguments, the same
errors."""

from __future__ import annotations

import asyncio
import inspect
import re
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.shell import main


@pytest.fixture(autouse=True)
def the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
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
    assert (
        inspect.signature(opg_magic.aask).parameters == inspect.signature(opg_magic.ask).parameters
    )

    async def three():
        return await asyncio.gather(
            *(opg_magic.aask(f"Is {n} prime?", max_tokens=50) for n in (3, 9, 15))
        )

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
    assert (
        main.main(["ask", "Is 561 prime?", "--settle", "batch", "--stop", "END", "--host", "anna"])
        == 0
    )
    told = capsys.readouterr()
    assert told.out.strip()
    assert "[simulated network]" in told.err
    request = session.ledger.last().document["request"]
    assert request["settlement"] == "batch"
    assert '"stop"' in request["body"]
    assert main.main(["ask", "Is 561 prime?", "--hosts", "3", "--quorum", "2"]) == 0
    assert "hosts" in capsys.readouterr().err
    assert session.ledger.count() == 4
    assert main.main(["ask", "hi", "--quorum", "2"]) == 2
    assert "--quorum needs --hosts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("called", "said"), [("ana", "Did you mean anna?"), ("nobody", "There are: anna,")]
)
def test_a_host_s_name_that_is_none_is_answered_with_those_that_are(
    session: Session, called: str, said: str
):
    opg_magic.ask("hi", host="anna")
    with pytest.raises(errors.ConfigError, match=f"called '{called}'") as wrong:
        opg_magic.ask("hi", host=called)
    assert said in wrong.value.hint
    assert session.ledger.count() == 1


@pytest.mark.parametrize(
    "word", ["individual", "Individual", "INDIVIDUAL ", " private", "Batch", None, 1, b"private"]
)
@pytest.mark.parametrize("how", ["ask", "aask", "agree"])
def test_attack_29_and_42_no_word_but_two_is_sent_as_settlement(
    session: Session, how: str, word: Any
) -> None:
    function = getattr(opg_magic, how) if how != "agree" else partial(opg_magic.agree, hosts=2)
    with pytest.raises(errors.ConfigError, match="private or batch") as refused:
        made = function("Is 561 prime?", settle=word)
        asyncio.run(made)
    assert "Nothing was sent" in str(refused.value)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


def test_what_an_error_offers_to_show_can_be_shown(
    session: Session, honest_simnet: RunningSimnet, capsys: pytest.CaptureFixture[str]
):
    honest_simnet.cheat("anna", "change-byte")
    assert main.main(["ask", "Is 561 prime?", "--host", "anna"]) == 1
    told = capsys.readouterr().err
    (receipt,) = session.ledger.receipts()
    offered = set(re.findall(r"opg (show .*?)\.?$", told, re.MULTILINE))
    assert offered == {f"show {receipt.id} --unverified"}
    assert main.main(["show", receipt.id, "--unverified"]) == 0
    assert receipt.text in capsys.readouterr().out
    # Without the flag: what there is to see, and once more how.
    assert main.main(["show", receipt.id]) == 1
    shown = capsys.readouterr()
    assert "the answer is withheld" in shown.out and receipt.text not in shown.out
    assert f"opg show {receipt.id} --unverified" in shown.err
    assert "Kept as receipt" not in shown.err
    honest_simnet.cheat("anna", "error-mid-stream")
    assert main.main(["ask", "Is 561 prime?", "--host", "anna"]) == 1
    (offered_now,) = re.findall(r"opg (show .*?)\.?$", capsys.readouterr().err, re.MULTILINE)
    assert main.main(offered_now.split()) == 1
    shown = capsys.readouterr()
    assert "the host reports failure" in shown.out
    assert "Kept as receipt" not in shown.err


NO_ARGUMENT = [
    ({"kind": "Chat"}, "kind"),
    ({"stream": 0}, "stream"),
    ({"temperature": float("nan")}, "temperature"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_cost": float("nan")}, "max_cost"),
    ({"model": float("nan")}, "model"),
    ({"host": b"anna"}, "host"),
    ({"stop": [None]}, "stop"),
    ({"tools": {"a": 1}}, "tools"),
    ({"tools": np.array([1, 2])}, "tools"),
    ({"response_format": "json"}, "response_format"),
    ({"timeout": "5"}, "timeout"),
    ({"policy": "Strict"}, "policy"),
]


@pytest.mark.parametrize(("given", "name"), NO_ARGUMENT, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("how", ["ask", "aask", "agree"])
def test_attack_42_what_cannot_be_meant_is_refused_before_anything_is_sent(
    session: Session, how: str, given: dict[str, Any], name: str
):
    function = getattr(opg_magic, how) if how != "agree" else partial(opg_magic.agree, hosts=2)
    with pytest.raises(errors.ArgumentError, match=f"^{name} must be .*Nothing was sent.$"):
        asyncio.run(function("Is 561 prime?", **given))
    assert session.ledger.count() == 0
    assert session._engines == {}


@pytest.mark.parametrize(
    "prompt", [None, float("nan"), b"hi", 5, pd.Series(["hi"]), ["hi"], {"role": "user"}], ids=str
)
def test_no_prompt_but_a_text_or_messages(session: Session, prompt: Any):
    with pytest.raises(
        errors.ArgumentError, match=r"^prompt must be a text or a list of chat messages"
    ):
        opg_magic.ask(prompt)
    assert session._engines == {}


@pytest.mark.parametrize(
    ("hosts", "quorum"),
    [
        (None, None),
        (2.0, None),
        (True, None),
        ("2", None),
        (float("nan"), None),
        (2, 1.5),
        (2, True),
        (17, None),
        pytest.param(10**5000, None, id="beyond"),
        pytest.param(2, 10**5000, id="quorum-beyond"),
    ],
)
def test_hosts_and_quorum_are_whole_numbers(session: Session, hosts: Any, quorum: Any):
    with pytest.raises(errors.ConfigError, match=r"must be a whole number|--hosts must be 2 to"):
        opg_magic.agree("hi", hosts=hosts, quorum=quorum)
    assert session._engines == {}


def test_numpy_scalars_are_welcome(session: Session):
    answer = opg_magic.ask(
        np.str_("Is 561 prime?"),
        stream=np.bool_(False),
        max_tokens=np.int64(50),
        temperature=np.float32(0.5),
    )
    request = session.ledger.get(answer.receipt.id).document["request"]
    assert request["stream"] is False
    agreed = opg_magic.agree("Is 561 prime?", hosts=np.int64(2), quorum=np.int8(2))
    assert len(agreed.answers) == 2
    assert type(agreed.claim.facts.get("asked", 2)) is int


@pytest.mark.parametrize(
    "given",
    [{"since": b"2026"}, {"until": float("nan")}, {"since": pd.NaT}, {"host": 5}, {"verdict": 1},
     {"model": b"gpt-5"}, {"notebook": float("nan")}, {"include_withheld": "no"},
     {"kernel": "\ud800"}, {"since": np.array([1, 2])}, {"until": np.timedelta64(5, "s")}],
    ids=str,
)  # fmt: skip
def test_receipts_names_the_filter_that_cannot_be_meant(session: Session, given: dict[str, Any]):
    (name,) = given
    with pytest.raises(errors.ArgumentError, match=f"^{name} must be"):
        session.receipts(**given)


def test_receipts_takes_times_of_pandas_and_numpy(session: Session):
    for moment in (
        pd.Timestamp("2026-11-20"),
        np.datetime64("2026-11-20"),
        np.datetime64("2026-11-20T10:00"),
    ):
        assert len(session.receipts(since=moment)) == 0


def test_receipts_takes_the_last_day_that_there_is(session: Session):
    assert len(session.receipts(until="9999-12-31")) == 0


@pytest.mark.parametrize(
    "given",
    [{"since": "x" * 10_000}, {"verdict": "x" * 10_000}],
    ids=lambda given: next(iter(given)),
)
def test_a_long_filter_is_not_repeated_whole(session: Session, given: dict[str, Any]):
    with pytest.raises(errors.ConfigError) as refused:
        session.receipts(**given)
    assert len(refused.value.message) < 200


def test_the_shell_refuses_what_cannot_be_meant_too(
    session: Session, capsys: pytest.CaptureFixture[str]
):
    for flags, name in (
        (["--temperature", "nan"], "temperature"),
        (["--timeout", "-1"], "timeout"),
        (["--max-tokens", "0"], "max_tokens"),
        (["--stop", ""], "stop"),
        (["--model", " "], "model"),
        (["--max-cost", "nan"], "max_cost"),
        (["--host", ""], "host"),
    ):
        assert main.main(["ask", "hi", *flags]) == 2
        assert capsys.readouterr().err.startswith(f"ArgumentError: {name} must be ")
    assert session._engines == {}


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (float("nan"), "not nan.*\n.*missing"),
        (np.float64("nan"), "not nan.*\n.*missing"),
        (None, "not None.*\n.*missing"),
        (pd.NA, "missing"),
        (pd.Series(["a"]), "not a Series.*\nOne call takes one text"),
        (pd.DataFrame({"a": ["a"]}), "not a DataFrame.*\nOne call takes one text"),
        (["a", "b"], "a text or a list of chat messages"),
    ],
    ids=["nan", "NumPy's nan", "None", "NA", "Series", "DataFrame", "texts"],
)
def test_a_loop_over_a_table_gets_one_line_for_a_missing_value(
    session: Session, prompt: Any, told: str
):
    with pytest.raises(errors.ArgumentError) as caught:
        opg_magic.ask(prompt)
    assert re.search(told, str(caught.value))
    assert "\n" not in caught.value.message
    rendered = caught.value._render_traceback_()
    assert len(rendered) == 1
    assert rendered[0].startswith("ArgumentError: ")
    assert len(rendered[0].splitlines()) <= 2
    assert session.ledger.count() == 0
