"""A chat: the ledger holds it, the request sends it again, and each receipt names the others."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.signed_receipts import jsonl, redigested, verify
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.cells.magic_line import LineError
from opg_magic.ledger.stored import deflate
from opg_magic.models import Trust, VerdictStatus
from opg_magic.receipt.document import Receipt
from opg_magic.receipt.form import canonical_bytes
from opg_magic.receipt.thread import thread_of
from opg_magic.settings.config import Settings
from opg_magic.shell import main


@pytest.fixture(autouse=True)
def the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    return session


def messages(answer: Any) -> list[dict[str, Any]]:
    found = json.loads(answer.receipt.evidence().request.body)["messages"]
    assert isinstance(found, list)
    return found


def findings(path: Path, session: Session) -> list[tuple[str, str]]:
    trust = Trust(simulated_roots=session.simulated_roots(), reader=True)
    report = verify(path, trust=trust, allow_simulated=True)
    return [(one.level, one.code) for one in report.findings if one.code.startswith("thread")]


def test_each_request_sends_what_was_said_before_and_names_its_receipts(
    session: Session, tmp_path: Path
) -> None:
    one = opg_magic.ask("Is 97 prime?", chat="plans", system="Be brief.")
    two = opg_magic.ask("And 98?", chat="plans")
    three = opg_magic.ask("And 99?", chat="plans", stream=False)
    assert messages(three) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is 97 prime?"},
        {"role": "assistant", "content": one.text},
        {"role": "user", "content": "And 98?"},
        {"role": "assistant", "content": two.text},
        {"role": "user", "content": "And 99?"},
    ]
    thread = thread_of(three.receipt.document)
    assert thread is not None
    assert thread.name == "plans"
    assert [(e.receipt_id, e.digest, e.messages) for e in thread.earlier] == [
        (one.receipt.id, one.receipt.digest, 2),
        (two.receipt.id, two.receipt.digest, 2),
    ]
    assert three.verdict.outcome is VerdictStatus.VERIFIED
    whole = jsonl(tmp_path, one.receipt, two.receipt, three.receipt)
    report = verify(whole)
    assert report.to_json()["summary"]["threads"] == {"plans": 3}
    assert "Threads  " in report.to_text()
    assert "plans (3)" in report.to_text()
    assert findings(whole, session) == []
    assert (
        findings(jsonl(tmp_path, two.receipt, three.receipt), session)
        == [("note", "thread-missing")] * 2
    )


def test_nothing_is_remembered_unless_it_is_asked_for(session: Session) -> None:
    opg_magic.ask("Is 97 prime?", chat="plans")
    alone = opg_magic.ask("And 98?")
    assert messages(alone) == [{"role": "user", "content": "And 98?"}]
    assert "thread" not in alone.receipt.document


def test_a_chat_goes_on_in_another_kernel(
    session: Session, honest_simnet: RunningSimnet, tmp_path: Path
) -> None:
    first = opg_magic.ask("Is 97 prime?", chat="plans")
    settings = Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)
    other = Session(settings, simulator=lambda _known: honest_simnet.net.state)
    try:
        (line,) = other.chats.lines()
        assert (line.name, line.calls, line.last) == ("plans", 1, first.receipt.id)
        assert [one.id for one in other.chats.receipts("plans")] == [first.receipt.id]
    finally:
        other.close()


def test_a_fork_goes_on_by_itself_and_what_is_forgotten_is_not_sent_again(
    session: Session,
) -> None:
    opg_magic.ask("Is 97 prime?", chat="plans")
    session.chats.fork("plans", "other")
    branch = opg_magic.ask("And 98?", chat="other")
    trunk = opg_magic.ask("And 99?", chat="plans")
    assert len(messages(branch)) == len(messages(trunk)) == 3
    assert [(one.name, one.calls) for one in session.chats.lines()] == [("plans", 2), ("other", 2)]
    with pytest.raises(errors.ConfigError, match="There is a chat other already"):
        session.chats.fork("plans", "other")
    session.chats.forget("other")
    assert len(messages(opg_magic.ask("And 100?", chat="other"))) == 1
    assert not session.chats.forget("nobody")
    with pytest.raises(errors.LedgerError, match="no chat nobody"):
        session.chats.fork("nobody", "new")
    assert session.ledger.get(branch.receipt.id) == branch.receipt


def test_an_answer_that_was_withheld_does_not_go_on(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    first = opg_magic.ask("Is 97 prime?", chat="plans")
    honest_simnet.cheat("anna", "foreign-key")
    with pytest.raises(errors.AnswerWithheld):
        opg_magic.ask("And 98?", chat="plans", host=honest_simnet.host("anna").tee_id)
    again = opg_magic.ask("And 99?", chat="plans", host=honest_simnet.host("bruno").tee_id)
    assert [m["content"] for m in messages(again)] == ["Is 97 prime?", first.text, "And 99?"]


@pytest.mark.parametrize(
    ("more", "problem", "words"),
    [
        ({"system": "Be long."}, errors.PromptError, "another system message"),
        ({"chat": "no name"}, errors.ConfigError, "A chat's name has letters"),
        ({"kind": "completion"}, errors.PromptError, "continued with one text"),
        ({"prompt": [{"role": "user", "content": "hi"}]}, errors.PromptError, "with one text"),
        ({"network": "opengradient"}, errors.ConfigError, "is of the network sim"),
    ],
)
def test_what_a_chat_does_not_take_is_refused_before_anything_is_sent(
    session: Session, more: dict[str, Any], problem: type[Exception], words: str
) -> None:
    opg_magic.ask("Is 97 prime?", chat="plans")
    with pytest.raises(problem, match=words):
        opg_magic.ask(**{"prompt": "And 98?", "chat": "plans", **more})
    assert session.ledger.count() == 1
    for refused in (opg_magic.map, opg_magic.agree):
        with pytest.raises(errors.ArgumentError, match="continues no chat"):
            refused(["x"], "{{value}}", chat="p") if refused is opg_magic.map else refused(
                "x", hosts=2, chat="p"
            )


def test_a_receipt_that_was_altered_is_found_by_its_thread(
    session: Session, tmp_path: Path
) -> None:
    one = opg_magic.ask("Is 97 prime?", chat="plans").receipt
    two = opg_magic.ask("And 98?", chat="plans").receipt
    document = {**one.document, "notebook": {**one.document["notebook"], "name": "other.ipynb"}}
    altered = Receipt(redigested(document))
    assert findings(jsonl(tmp_path, altered, two), session) == [("failed", "thread-differs")]


def test_a_chat_that_was_altered_in_the_ledger_is_not_sent(session: Session) -> None:
    one = opg_magic.ask("Is 97 prime?", chat="plans").receipt
    opg_magic.ask("And 98?", chat="plans")
    response = {**one.document["response"], "finish_reason": "length"}
    document, _ = deflate(redigested({**one.document, "response": response}))
    with sqlite3.connect(session.ledger.path) as db:
        db.execute("DROP TRIGGER receipts_no_update")
        db.execute(
            "UPDATE receipts SET document = ?, digest = ? WHERE id = ?",
            (canonical_bytes(document).decode(), document["digest"], one.id),
        )
    with pytest.raises(errors.LedgerError, match="was altered in the ledger"):
        opg_magic.ask("And 99?", chat="plans")


def test_the_table_for_an_audit_has_the_thread(session: Session) -> None:
    opg_magic.ask("Is 97 prime?", chat="plans")
    opg_magic.ask("And 98?")
    frame = opg_magic.receipts(columns="audit")
    assert frame["thread"].astype(object).where(frame["thread"].notna(), None).tolist() == [
        "plans",
        None,
    ]


def test_the_card_says_what_was_sent_again(session: Session) -> None:
    from opg_magic.display.bundle import answer_bundle

    opg_magic.ask("Is 97 prime?", chat="plans")
    card = answer_bundle(opg_magic.ask("And 98?", chat="plans"))["text/plain"]
    assert "Sent again: 2 earlier messages of chat plans, about " in card
    assert "before the prompt" not in card


def test_the_commands_of_a_chat(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from opg_magic.notebook.commands import COMMANDS

    class Kernel:
        def session(self) -> Session:
            return session

    def run(*words: str) -> Any:
        return COMMANDS["chat"].run(Kernel(), list(words))  # type: ignore[arg-type]

    first = opg_magic.ask("Is 97 prime?", chat="plans", system="Be brief.")
    second = opg_magic.ask("And 98?", chat="plans")
    assert run().loc["plans", ["answers", "prompt", "id"]].tolist() == [
        2,
        "And 98?",
        second.receipt.id,
    ]
    assert run().loc["plans", "last"].microsecond == 0
    run("show", "plans")
    shown = capsys.readouterr().out
    lines = [line.split(" · ")[0] for line in shown.splitlines()]
    assert lines == [
        "system: Be brief.",
        "user: Is 97 prime?",
        f"assistant: {first.text}",
        f"    [{first.receipt.id}",
        "user: And 98?",
        f"assistant: {second.text}",
        f"    [{second.receipt.id}",
    ]
    assert "2 messages sent again" in shown
    path = tmp_path / "plans.jsonl"
    run("export", "plans", str(path))
    assert "2 receipts in " in capsys.readouterr().out
    assert findings(path, session) == []
    assert len(path.read_text("utf-8").splitlines()) == 2
    with pytest.raises(errors.ConfigError, match="cannot be written"):
        run("export", "plans", str(path))
    run("fork", "plans", "other")
    run("forget", "plans")
    assert list(session.ledger.chats()) == ["other"]
    for wrong in (("shwo",), ("show",), ("fork", "other"), ("list", "more")):
        with pytest.raises(LineError):
            run(*wrong)


def test_a_dry_run_says_what_is_sent_again(session: Session) -> None:
    from opg_magic.cells.magic_line import parse
    from opg_magic.notebook import cell

    shown: list[dict[str, Any]] = []
    kernel: Any = SimpleNamespace(display=shown.append)
    line = parse("--chat plans --dry-run")

    def dry_run() -> str:
        prompt, _ = cell._prompt(kernel, session, line, "And 98?", "", None)
        cell._show_quote(kernel, session, line, prompt, None)
        return str(shown[-1]["text/plain"])

    assert "sent again" not in dry_run()
    opg_magic.ask("Is 97 prime?", chat="plans")
    assert "2 earlier messages of chat plans sent again." in dry_run()
    assert session.ledger.count() == 1


def test_run_all_of_a_chat_that_begins_anew_costs_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opg_magic.call.repeating.notebook_name", lambda: "n.ipynb")
    monkeypatch.setattr("opg_magic.call.kernel.notebook_name", lambda: "n.ipynb")
    texts = ("Is 97 prime?", "And 98?", "And 99?")

    def run_all() -> list[str]:
        session.chats.forget("plans")
        return [opg_magic.ask(text, chat="plans").receipt.id for text in texts]

    first = run_all()
    assert run_all() == first
    assert session.ledger.count() == 3
    # Another chat with the same words is its own: its receipts say its name.
    assert opg_magic.ask(texts[0], chat="others").receipt.id not in first


def test_a_conversation_in_the_shell(
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def opg(*words: str, said: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        code = main.main(list(words))
        return code, *capsys.readouterr()

    code, out, err = opg("chat", "plans", "--system", "Be brief.", said="Is 97 prime?\n\nAnd 98?")
    assert code == 0, err
    first, second = session.chats.receipts("plans")
    assert out == f"{first.text}\n{second.text}\n"
    assert f"[{second.id} · " in err
    assert "2 messages sent again]" in err
    assert opg("chat", "list")[1].startswith("plans\t2\t")
    assert f"user: And 98?\nassistant: {second.text}" in opg("chat", "show", "plans")[1]
    path = tmp_path / "plans.jsonl"
    assert opg("chat", "fork", "plans", "other")[0] == 0
    assert opg("chat", "export", "other", str(path))[0] == 0
    assert findings(path, session) == []
    assert opg("chat", "forget", "plans")[1].startswith("Nothing of plans is sent again.")
    assert opg("chat", "forget", "plans")[1] == "There is no chat plans.\n"
    assert list(session.ledger.chats()) == ["other"]
    assert opg("ask", "And 99?", "--chat", "other")[0] == 0
    assert len(session.chats.receipts("other")) == 3
    for wrong in (("show",), ("no name",), ("shwo", "plans"), ("show", "nobody")):
        assert opg("chat", *wrong)[0] in (1, 2)


def test_at_a_terminal_a_failed_call_does_not_end_the_conversation(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(_asking: str) -> str:
        line = lines.pop(0)
        if line is None:
            raise EOFError
        return line

    lines = ["Is 97 prime?", "x" * 5_000_000, "And 98?", None]
    monkeypatch.setattr("opg_magic.shell.chat._at_a_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", typed)
    assert main.main(["chat", "plans", "--no-stream"]) == 0
    assert len(session.chats.receipts("plans")) == 2
    assert "Nothing was sent." in capsys.readouterr().err
