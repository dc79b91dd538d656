"""``opg ask``: unchecked text for a terminal alone, JSON for programs, the cost in words."""

from __future__ import annotations

import gc
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic.call.session import Session
from opg_magic.models import Phase, Progress
from opg_magic.shell import main
from opg_magic.shell.common import in_a_shell
from opg_magic.shell.streaming import Stream


class Terminal(io.StringIO):
    """Keeps what is written and after which step it was."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def this_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    def ask(*words: str, terminal: bool = False, aside: bool = False) -> tuple[int, str, str]:
        gc.collect()  # what tests before left behind speaks up now, and not on this terminal
        out: io.StringIO = Terminal() if terminal else io.StringIO()
        err: io.StringIO = Terminal() if aside else io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = main.main(["ask", *words])
        return code, out.getvalue(), err.getvalue()

    return ask


def test_a_terminal_sees_the_answer_come_once_and_then_its_card(
    session: Session, asked: Any
) -> None:
    code, out, err = asked("What is attestation?", terminal=True)
    assert code == 0
    assert out == session.ledger.last().text + "\n"
    assert err.startswith("Not checked yet:\n")
    assert "checks pass" in err or "simulated" in err.lower()


@pytest.mark.parametrize("words", [["--no-stream"], ["--policy", "strict"]])
def test_what_must_not_show_unchecked_text_does_not(asked: Any, words: list[str]) -> None:
    code, out, err = asked("What is attestation?", *words, terminal=True)
    assert code == 0 and out.strip()
    assert "Not checked yet" not in err


def test_a_pipe_gets_nothing_that_did_not_pass(asked: Any, honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "cut-stream")
    code, out, err = asked("What is attestation?", "--host", "anna")
    assert (code, out) == (1, "")
    assert "Not checked yet" not in err


def test_a_terminal_is_told_that_what_it_saw_did_not_pass(
    asked: Any, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "cut-stream")
    code, out, err = asked("What is attestation?", "--host", "anna", terminal=True)
    assert code == 1 and out.strip()
    assert "The text above did not pass the checks. Do not use it." in err


def test_json_is_one_object_with_checks_and_cost(session: Session, asked: Any) -> None:
    code, out, err = asked("Is 561 prime?", "--json", terminal=True)
    receipt = session.ledger.last()
    found = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert (found["id"], found["text"], found["digest"]) == (
        receipt.id,
        receipt.text,
        receipt.digest,
    )
    assert (found["verdict"], found["simulated"]) == ("SIMULATED", True)
    assert found["checks"]["response"]["status"] == "passed"
    assert found["checks"]["response"]["basis"] == "proven"
    assert found["checks"]["payment"]["status"] == "pending"
    assert int(found["cost"]["cap"]["base_units"]) == 10**17
    assert found["cost"]["amount"]["symbol"].endswith("OPG")
    assert found["model"] == "openai/gpt-5"


def test_json_tells_a_failure_as_well(
    session: Session, asked: Any, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "change-byte")
    code, out, err = asked("Is 561 prime?", "--host", "anna", "--json")
    found = json.loads(out)
    assert (code, err) == (1, "")
    assert found["error"] == "AnswerWithheld"
    assert found["id"] == session.ledger.last().id
    assert found["charge"] in ("claimed", "charged", "not charged", "unknown")
    assert session.ledger.last().text not in out


def test_json_of_an_unknown_model_is_a_usage_error(session: Session, asked: Any) -> None:
    code, out, _ = asked("hi", "--model", "openai/gpt5", "--json")
    assert code == 2
    assert json.loads(out)["error"] == "ArgumentError"
    assert "openai/gpt-5" in json.loads(out)["hint"]
    assert session.ledger.count() == 0


def test_the_cost_is_told_in_words(asked: Any) -> None:
    _, _, err = asked("Is 561 prime?", "--cost")
    assert "Cost: " in err and "claimed" in err
    assert "per million tokens" in err
    assert "opg reconcile" in err


def test_no_command_of_a_notebook_is_named_in_a_shell(
    asked: Any, honest_simnet: RunningSimnet
) -> None:
    said = [asked("Is 561 prime?", "--cost", terminal=True)]
    said.append(asked("hi", "--model", "openai/gpt5"))
    for lie in ("change-byte", "cut-stream", "error-mid-stream"):
        honest_simnet.cheat("anna", lie)
        said.append(asked("Is 561 prime?", "--host", "anna"))
        said.append(asked("Is 561 prime?", "--host", "anna", "--settle", "batch"))
    for _, out, err in said:
        assert "%opg" not in out + err


def test_files_a_template_and_an_alias_go_out_and_the_size_is_said_first(
    session: Session, asked: Any, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(
        '[aliases]\nfast = "openai/gpt-5-mini"\n[templates]\nshort = "Be short.\\n{{cell}}"\n'
    )
    session.settings.reload()
    (tmp_path / "a.csv").write_text("1,2\n")
    code, _, err = asked(
        "Add.", "--model", "@fast", "-t", "short", "--file", str(tmp_path / "a.csv")
    )
    request = json.loads(session.ledger.last().document["request"]["body"])
    assert code == 0
    assert err.startswith("Sent with the prompt: a.csv (4 bytes, about 1 tokens, ")
    assert request["model"] == "gpt-5-mini"
    assert request["messages"] == [
        {"role": "user", "content": "Be short.\nAdd.\n\nFile a.csv (4 bytes):\n```\n1,2\n```"}
    ]


# ------------------------------------------------------------------------- pipes, logs and scripts


def _piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Standard input is a pipe that holds this."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading, encoding="utf-8"))


def _sent(session: Session) -> str:
    prompt: str = session.ledger.last().document["prompt"]["text"]
    return prompt


@pytest.mark.parametrize("words", [[], ["-"]])
def test_a_prompt_can_be_piped_in(
    session: Session, asked: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    _piped(monkeypatch, "Is 561 prime?\n")
    code, out, _ = asked(*words)
    assert code == 0 and out.strip()
    assert _sent(session).strip() == "Is 561 prime?"


def test_piped_text_goes_along_where_it_is_named(
    session: Session, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _piped(monkeypatch, "1,2\n")
    code, _, err = asked("Add.", "--file", "-")
    assert code == 0
    assert err.startswith("Sent with the prompt: standard input (4 bytes, ")
    assert _sent(session) == "Add.\n\nFile standard input (4 bytes):\n```\n1,2\n```"


def test_piped_text_that_nobody_asked_for_is_not_sent_and_that_is_said(
    session: Session, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary of nothing was paid for, without a word."""
    _piped(monkeypatch, "A long report.\n")
    code, _, err = asked("Summarise this.")
    assert (code, _sent(session)) == (0, "Summarise this.")
    assert err.startswith("Standard input is not sent. To send it after the prompt: --file -\n")
    _piped(monkeypatch, "")
    assert "Standard input" not in asked("Is 561 prime?")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "There is no prompt."),
        (["--file", "-"], "Standard input can be the prompt or one file, not both."),
        (["-", "--file", "-"], "Standard input can be the prompt or one file, not both."),
        (["Add.", "--file", "-", "--file", "-"], "Standard input can be the prompt or one file"),
    ],
)
def test_what_says_nothing_to_ask_is_wrong_usage(
    session: Session, asked: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    code, out, err = asked(*words)
    assert (code, out, session.ledger.count()) == (2, "", 0)
    assert told in err


def test_a_private_key_in_a_pipe_is_not_sent(
    session: Session, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _piped(monkeypatch, f"-----BEGIN {'PRIVATE'} KEY-----\nabc\n")
    code, _, err = asked("What is this?", "--file", "-")
    assert (code, session.ledger.count()) == (2, 0)
    assert "standard input holds a private key" in err


def test_a_log_gets_one_line_and_where_the_checks_are(session: Session, asked: Any) -> None:
    """Twenty lines for each call of a job hid what went wrong in it."""
    _, _, err = asked("Is 561 prime?")
    assert "checks pass" in err
    assert err.rstrip().endswith(f"Every check: opg show {session.ledger.last().id}")
    assert "request:" not in err


def test_quiet_prints_the_answer_alone(session: Session, asked: Any) -> None:
    assert asked("Is 561 prime?", "--quiet") == (0, session.ledger.last().text + "\n", "")


def test_quiet_hides_no_failure(asked: Any, honest_simnet: RunningSimnet) -> None:
    honest_simnet.cheat("anna", "change-byte")
    code, out, err = asked("Is 561 prime?", "--host", "anna", "--quiet")
    assert (code, out) == (1, "") and "AnswerWithheld" in err


def test_a_card_is_no_wider_than_its_terminal(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    told = asked("Is 561 prime?", terminal=True, aside=True)[2]
    card = told[told.index("checks pass") :]
    assert "request:" in card
    (command,) = [line for line in card.splitlines() if "opg verify" in line]
    assert command.strip().startswith("opg show ") and command.endswith(" --allow-simulated")
    assert [
        line for line in card.splitlines() if len(line) >= 60 and "opg verify" not in line
    ] == []


# ------------------------------------------------------------------------------------- the stream


def _told(*texts: str, end: str) -> tuple[str, str, bool]:
    out, aside = io.StringIO(), io.StringIO()
    stream = Stream(out, aside)
    for text in texts:
        stream(Progress(Phase.ANSWER, text=text))
    whole = stream.ended(end)
    return out.getvalue(), aside.getvalue(), whole


def test_each_piece_is_printed_once() -> None:
    out, aside = io.StringIO(), io.StringIO()
    stream = Stream(out, aside)
    for text in ("a", "ab", "ab", "abc"):
        stream(Progress(Phase.ANSWER, text=text))
    assert stream.ended("abcd")
    assert (out.getvalue(), aside.getvalue()) == ("abcd\n", "Not checked yet:\n")


def test_an_answer_other_than_what_was_shown_is_printed_anew() -> None:
    out, aside, whole = _told("abc", end="abX")
    assert out == "abc" and not whole
    assert "The answer that passed:" in aside


def test_nothing_that_came_can_move_the_terminal() -> None:
    out, _, _ = _told("a\x1b[2Jb", "a\x1b[2Jb\x07c", end="x")
    assert "\x1b" not in out and "\x07" not in out


def test_without_text_nothing_is_said() -> None:
    out, aside = io.StringIO(), io.StringIO()
    stream = Stream(out, aside)
    stream(Progress(Phase.PAY))
    stream.failed()
    assert out.getvalue() == aside.getvalue() == ""
    assert not stream.ended("all of it")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Run the cell again later.", "Ask again later."),
        ("Set the clock, then run the cell again.", "Set the clock, then ask again."),
        ("opg config x 1. Then run the cell again.", "opg config x 1. Then ask again."),
        ("See: %opg hosts", "See: opg hosts"),
        ("Or use %opg login in a notebook.", "Or use %opg login in a notebook."),
    ],
)
def test_a_shell_is_told_to_ask_again(said: str, heard: str) -> None:
    assert in_a_shell(said) == heard
