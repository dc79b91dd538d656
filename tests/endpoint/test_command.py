"""``opg serve``: what it shows, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from pathlib import Path

import openai
import pytest
from support.simnet import RunningSimnet
from support.waiting import until

from opg_magic.call.session import Session
from opg_magic.models import Charge
from opg_magic.shell import main

QUESTION = [{"role": "user", "content": "Is 97 prime?"}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def this_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("signal.signal", lambda *_: before)


class Run:
    """``opg serve`` on this thread, used by another until it interrupts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
        self.out = Terminal() if terminal else io.StringIO()
        self.err = io.StringIO()
        monkeypatch.setattr(sys, "stdout", self.out)
        monkeypatch.setattr(sys, "stderr", self.err)

    def serve(self, use, *words: str) -> int:
        problems: list[BaseException] = []

        def using() -> None:
            try:
                until(lambda: "OPENAI_API_KEY" in self.out.getvalue())
                use()
            except BaseException as problem:
                problems.append(problem)
            finally:
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=using)
        thread.start()
        code = main.main(["serve", "--port", "0", *words])
        thread.join()
        if problems:
            raise problems[0]
        return code

    def told(self, name: str) -> str:
        found = re.search(rf"^  export {name}=(.+)$", self.out.getvalue(), re.MULTILINE)
        assert found is not None
        return found[1]


def test_the_lines_that_it_shows_are_all_a_client_needs(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch, terminal=True)

    def use() -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", run.told("OPENAI_BASE_URL"))
        monkeypatch.setenv("OPENAI_API_KEY", run.told("OPENAI_API_KEY"))
        client = openai.OpenAI()
        client.chat.completions.create(model="gpt-5", messages=QUESTION)

    assert run.serve(use) == 0
    token = run.told("OPENAI_API_KEY")
    assert len(token) > 40
    assert (run.out.getvalue() + run.err.getvalue()).count(token) == 1
    assert f"receipt {session.ledger.last().id}" in run.err.getvalue()
    assert run.err.getvalue().endswith("Stopped.\n")


def test_a_token_file_is_named_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, file = Run(monkeypatch, terminal=False), tmp_path / "token"
    assert run.serve(lambda: None, "--token-file", str(file)) == 0
    assert run.told("OPENAI_API_KEY") == f'"$(cat {file})"'
    assert file.read_text().strip() not in run.out.getvalue() + run.err.getvalue()


def test_a_new_token_is_not_written_where_it_would_stay(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch, terminal=False)
    assert main.main(["serve", "--port", "0"]) == 2
    assert "--token-file" in run.err.getvalue() and run.out.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bind", "0.0.0.0"], "not a loopback address"),
        (["--port", "70000"], "--port must be from 0 to 65535"),
        (["--max-cost", "much"], "--max-cost must be"),
        (["--timeout", "nan"], "timeout must be"),
    ],
)
def test_what_it_cannot_do_is_said_before_it_listens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str
) -> None:
    run = Run(monkeypatch, terminal=False)
    assert main.main(["serve", "--token-file", str(tmp_path / "token"), *words]) == 2
    assert said in run.err.getvalue()


def test_a_port_that_is_taken_is_named(
    served, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = Run(monkeypatch, terminal=False)
    port = served.url.rpartition(":")[2].removesuffix("/v1")
    words = ["serve", "--token-file", str(tmp_path / "token"), "--port", port]
    assert main.main(words) == 2
    assert f"port {port}" in run.err.getvalue() and "--port 0" in run.err.getvalue()


def test_ctrl_c_stops_a_call_and_records_it(
    session: Session,
    honest_simnet: RunningSimnet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    honest_simnet.cheat_everywhere("slow")
    run, file = Run(monkeypatch, terminal=False), tmp_path / "token"
    ended: list[BaseException] = []
    begun = threading.Event()

    def ask() -> None:
        client = openai.OpenAI(
            base_url=run.told("OPENAI_BASE_URL"), api_key=file.read_text().strip()
        )
        try:
            for _ in client.chat.completions.create(model="gpt-5", messages=QUESTION, stream=True):
                begun.set()
        except openai.APIError as problem:
            ended.append(problem)

    asking = threading.Thread(target=ask)

    def use() -> None:
        asking.start()
        assert begun.wait(60)

    assert run.serve(use, "--token-file", str(file)) == 0
    asking.join(30)
    assert session.ledger.last().cost.charge is Charge.UNKNOWN
    (problem,) = ended
    assert isinstance(problem, openai.APIError) and "was stopped" in str(problem)
