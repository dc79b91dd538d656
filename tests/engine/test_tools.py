"""Tools: what a host signed is what runs, once it was checked and confirmed; each round has a
receipt, and together they are one thread."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from support.signed_receipts import jsonl, verify
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call import tools as calling
from opg_magic.call.session import Session
from opg_magic.models import Trust
from opg_magic.receipt.calls import call_text
from opg_magic.receipt.thread import thread_of
from opg_magic.shapes.functions import DoesNotFit, tools_of

RAN: list[tuple[Any, ...]] = []


def weather(city: str, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """The weather in a city."""
    RAN.append((city, unit))
    return {"city": city, "degrees": 21, "unit": unit}


def broken_weather(city: str) -> str:
    RAN.append((city,))
    raise RuntimeError("no such station")


@pytest.fixture(autouse=True)
def the_session(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    RAN.clear()
    monkeypatch.setattr("opg_magic.call.session.current_session", lambda: session)
    monkeypatch.setattr("opg_magic.call.session.close_current_session", lambda: None)
    return session


def ask(*tools: Any, prompt: str = "What is the weather in Graz?", **more: Any) -> Any:
    return opg_magic.ask(prompt, tools=list(tools), **more)


def receipts(session: Session) -> list[Any]:
    return [session.ledger.get(id) for id in opg_magic.receipts()["id"]]


def sent(receipt: Any) -> dict[str, Any]:
    found = json.loads(receipt.evidence().request.body)
    assert isinstance(found, dict)
    return found


def test_what_was_signed_is_run_and_each_round_has_a_receipt(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []
    monkeypatch.setattr(calling, "ask_the_user", lambda calls: asked.append(calls) or True)
    answer = ask(weather)
    assert len(RAN) == 1
    first, second = receipts(session)
    assert answer.receipt.id == second.id
    (call,) = first.answer().tool_calls
    assert asked == [['weather(city="Graz", unit="C")']]
    assert json.loads(call["function"]["arguments"])["city"] == RAN[0][0]
    assert sent(first)["tools"] == sent(second)["tools"]
    assert sent(second)["messages"] == [
        {"role": "user", "content": "What is the weather in Graz?"},
        {"role": "assistant", "content": "", "tool_calls": [dict(call)]},
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": json.dumps({"city": RAN[0][0], "degrees": 21, "unit": RAN[0][1]}),
        },
    ]
    thread = thread_of(second.document)
    assert thread is not None
    assert [(one.receipt_id, one.digest) for one in thread.earlier] == [(first.id, first.digest)]
    trust = Trust(simulated_roots=session.simulated_roots(), reader=True)
    report = verify(jsonl(tmp_path, first, second), trust=trust, allow_simulated=True)
    assert not report.findings, report.to_text()
    table = opg_magic.receipts(columns="audit")
    assert table["thread"].astype(str).tolist() == [first.id, first.id]
    assert second.document["prompt"]["text"] == "What is the weather in Graz?"


def test_messages_of_the_callers_own_are_no_receipts(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "ask_the_user", lambda _calls: True)
    opg_magic.ask(
        [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello. How can I help?"},
            {"role": "user", "content": "What is the weather in Graz?"},
        ],
        tools=[weather],
    )
    made = receipts(session)
    assert len(made) == 2
    trust = Trust(simulated_roots=session.simulated_roots(), reader=True)
    report = verify(jsonl(tmp_path, *made), trust=trust, allow_simulated=True)
    assert not report.findings, report.to_text()


def test_where_nobody_can_be_asked_nothing_runs(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "_somebody_is_there", lambda: False)
    with pytest.raises(errors.ToolsStopped, match="nobody could be asked") as stopped:
        ask(weather)
    assert not RAN
    assert "tools_confirm=False" in str(stopped.value)
    assert stopped.value.answer is not None
    assert stopped.value.receipt_id == stopped.value.answer.receipt.id
    assert session.ledger.count() == 1


@pytest.mark.parametrize("said", ["", "n", "no", "yeah"])
def test_only_a_yes_runs_anything(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    questions: list[str] = []
    monkeypatch.setattr(calling, "_somebody_is_there", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: questions.append(text) or said)
    with pytest.raises(errors.ToolsStopped):
        ask(weather)
    assert not RAN
    assert "weather(" in questions[0]


def test_what_would_run_is_shown_whole_and_on_one_line() -> None:
    """White space pushed what follows 400 characters out of sight, and a line forged another."""
    (tool,) = tools_of([weather])
    city = "Graz" + " " * 600 + "\nRun it? [y/N] \x1b[2J; rm -rf"
    padded = "{" + "\n " * 600 + json.dumps({"city": city})[1:]
    call = calling.Wanted("1", "weather", padded, tool, tool.read(padded))
    shown = json.dumps(city).replace(" " * 600, "⟦600 spaces⟧")
    assert str(call) == f"weather(city={shown})"
    forged = calling.Wanted("1", "f\n  weather", "{}", problem="there is no such tool")
    assert str(forged) == "f weather({}): not run, there is no such tool"


def test_a_call_too_long_to_be_shown_is_not_run_after_a_yes(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "MOST_SHOWN", 5)
    monkeypatch.setattr(calling, "_somebody_is_there", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _text: "y")
    with pytest.raises(errors.ToolsStopped, match="too long to be shown"):
        ask(weather)
    assert not RAN
    assert session.ledger.count() == 1


@pytest.mark.parametrize(
    "cities",
    [
        # Each mark is shown by its name, of eight characters: what follows was cut off.
        ["\u202e" * 1300 + "; rm -rf"],
        # Each call is short enough; a terminal shows the last of them.
        ["rm -rf", *(["Graz" * 100] * 30)],
    ],
)
def test_what_nobody_can_see_whole_is_not_run_after_a_yes(cities: list[str]) -> None:
    (tool,) = tools_of([weather])
    texts = [json.dumps({"city": city}, ensure_ascii=False) for city in cities]
    calls = [calling.Wanted(str(n), "weather", t, tool, tool.read(t)) for n, t in enumerate(texts)]
    answer = opg_magic.ask("What is 2 + 2?")
    with pytest.raises(errors.ToolsStopped, match="too long to be shown"):
        calling._confirm(calls, lambda _shown: True, answer)


@pytest.mark.parametrize(
    ("city", "says"),
    [
        ("Graz" + " " * 300 + "; and all", "Graz⟦300 spaces⟧; and all"),
        ("Graz\U000e0061", "Graz⟦U+E0061⟧"),
        ("Graz\u200b", "Graz⟦U+200B⟧"),
        ("Gr\u00adaz", "Gr⟦U+00AD⟧az"),
        ("Graz\u3164", "Graz⟦U+3164⟧"),
        ("Graz\u2800", "Graz⟦U+2800⟧"),
        ("Graz\u00a0", "Graz⟦U+00A0⟧"),
        ("Graz\ufe0f", "Graz⟦U+FE0F⟧"),
        ("Linz an der Donau, Österreich ☂", "Linz an der Donau, Österreich ☂"),
    ],
)
def test_what_is_drawn_as_nothing_is_named_before_a_yes(city: str, says: str) -> None:
    arguments = json.dumps({"city": city}, ensure_ascii=False)
    tool = tools_of([weather])[0]
    call = calling.Wanted("1", "weather", arguments, tool, tool.read(arguments))
    assert str(call) == f'weather(city="{says}")'


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"city":"Paris","days":3}', 'weather(city="Paris", days=3)'),
        ('{"days": 1.10, "at": [true, null, {"a b": 1e2}]}',
         'weather(days=1.10, at=[True, None, {"a b": 1e2}])'),
        ('{"city": "\\u00dc\\n\\u202e\\"), rm("}', 'weather(city="Ü\\n⟦U+202E⟧\\"), rm(")'),
        # A city that imitates the name of a mark.
        ('{"city": "⟦U+202E⟧"}', 'weather(city="\\u27e6U+202E⟧")'),
        ("{}", "weather()"),
        # What has no such form stays the JSON that it is.
        ('{"a b": true, "c": null}', 'weather({"a b": true, "c": null})'),
        ('{"c": 1, "c": 2}', 'weather({"c": 1, "c": 2})'),
        ("[1]", "weather([1])"),
        ("not JSON", "weather(not JSON)"),
    ],
)  # fmt: skip
def test_a_call_reads_as_python_writes_it(arguments: str, says: str) -> None:
    assert call_text("weather", arguments) == says


def test_letters_from_right_to_left_move_nothing_beside_them() -> None:
    """In Hebrew or Arabic the arguments after it changed places with it on the screen."""
    said = call_text("send", json.dumps({"to": "שלום", "n": 12, "text": "سلام 3"}))
    assert said == 'send(to="\u2068שלום\u2069", n=12, text="\u2068سلام 3\u2069")'
    closing = call_text("send", json.dumps({"to": "\u2069, to=שלום\u2068"}, ensure_ascii=False))
    assert closing == 'send(to="\u2068⟦U+2069⟧, to=שלום⟦U+2068⟧\u2069")'
    (tool,) = tools_of([weather])
    with pytest.raises(DoesNotFit) as refused:
        tool.read(json.dumps({"city": "Graz", "עיר": 1}))
    assert str(refused.value) == "the arguments do not fit: \u2068עיר\u2069: not in the schema"
    long = calling.Wanted("1", "f", json.dumps({"x": "ש" * 200}), problem="there is no such tool")
    assert str(long).count("\u2068") == str(long).count("\u2069") == 1


def test_why_a_call_is_not_run_forges_no_line() -> None:
    (tool,) = tools_of([weather])
    with pytest.raises(DoesNotFit) as refused:
        tool.read(json.dumps({"city": "Graz", "x\n  weather({})": 1}))
    call = calling.Wanted("1", "weather", "{}", problem=str(refused.value))
    assert "\n" not in str(call)


def test_what_was_typed_before_the_question_answers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pty = pytest.importorskip("pty")
    keyboard, terminal = pty.openpty()
    with os.fdopen(keyboard, "wb", buffering=0) as typed, os.fdopen(terminal) as stdin:

        def asked(_question: str) -> str:
            typed.write(b"n\n")
            return stdin.readline()

        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr("builtins.input", asked)
        monkeypatch.setattr(calling, "_somebody_is_there", lambda: True)
        typed.write(b"y\n")
        assert not calling.ask_the_user(["weather({})"])
        monkeypatch.setattr(calling, "_forget_typed", lambda: None)
        typed.write(b"y\n")
        assert calling.ask_the_user(["weather({})"])


def test_a_front_end_that_takes_no_input_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_text: str) -> str:
        raise NotImplementedError("raw_input was called, but this frontend does not support it")

    monkeypatch.setattr(calling, "_somebody_is_there", lambda: True)
    monkeypatch.setattr("builtins.input", none)
    with pytest.raises(calling._NobodyThere):
        calling.ask_the_user(["f()"])


def test_an_error_of_a_function_goes_back_as_text(session: Session) -> None:
    ask(broken_weather, tools_confirm=False)
    assert len(RAN) == 1
    result = sent(receipts(session)[1])["messages"][-1]
    assert result["content"] == "Error: RuntimeError: no such station"


def test_nothing_runs_of_an_answer_that_failed(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "change-byte")
    with pytest.raises(errors.AnswerWithheld):
        ask(weather, tools_confirm=False, host=honest_simnet.host("anna").tee_id)
    assert not RAN


def test_nothing_runs_of_an_answer_that_nobody_signed(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    honest_simnet.cheat("anna", "unsigned-stream")
    with pytest.raises(errors.CallFailed):
        ask(weather, tools_confirm=False, host=honest_simnet.host("anna").tee_id)
    assert not RAN


def test_a_tool_that_is_not_there_or_does_not_fit_never_runs(session: Session) -> None:
    answer = opg_magic.ask(
        "What is the weather in Graz?", tools=[dict(tools_of([weather])[0].definition)]
    )
    (none,) = calling.wanted(answer, tools_of([broken_weather]))
    assert (none.tool, none.read, none.problem) == (None, None, "there is no such tool")
    assert calling._result(none) == "Error: there is no such tool"

    def other(town: int) -> str:
        RAN.append((town,))
        return "x"

    other.__name__ = "weather"
    (unfit,) = calling.wanted(answer, tools_of([other]))
    assert unfit.read is None
    assert "do not fit" in str(unfit.problem)
    assert calling._result(unfit).startswith("Error: the arguments do not fit")
    assert not RAN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"city": 1}',
        '{"city": "a", "x": 1}',
        "{}",
        '{"city": "a", "city": "b"}',
        '{"city": "a", "unit": "K"}',
    ],
)
def test_arguments_are_read_strictly(text: str) -> None:
    with pytest.raises(DoesNotFit):
        tools_of([weather])[0].read(text)


def test_the_model_is_told_signature_hints_and_docstring() -> None:
    (tool,) = tools_of([weather])
    assert tool.definition == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "city": {"title": "City", "type": "string"},
                    "unit": {"enum": ["C", "F"], "title": "Unit", "type": "string"},
                },
                "required": ["city"],
            },
        },
    }
    assert tool.read('{"city": "Graz"}') == {"city": "Graz"}


def test_what_is_no_tool_is_refused_before_anything_is_sent(session: Session) -> None:
    async def later() -> None: ...

    def many(*_cities: str) -> None: ...

    def odd(_what: object, at: session.__class__ = None) -> None: ...  # type: ignore[name-defined]

    for bad in (later, many, lambda x: x, odd):
        with pytest.raises(errors.ArgumentError, match="cannot be a tool"):
            ask(bad)
    with pytest.raises(errors.ArgumentError, match="two tools"):
        ask(weather, weather)
    with pytest.raises(errors.ArgumentError, match="not both"):
        ask(weather, {"type": "function"})
    with pytest.raises(errors.ArgumentError, match="runs no functions"):
        asyncio.run(opg_magic.aask("x", tools=[weather]))
    with pytest.raises(errors.ArgumentError, match="max_rounds"):
        ask(weather, max_rounds=0)
    assert session.ledger.count() == 0


def test_the_rounds_have_an_end(session: Session) -> None:
    with pytest.raises(errors.ToolsStopped, match="after round 1"):
        ask(weather, tools_confirm=False, max_rounds=1)
    assert not RAN
    assert session.ledger.count() == 1


def test_a_chat_goes_on_from_the_last_round(session: Session) -> None:
    answer = ask(weather, tools_confirm=False, chat="plans")
    later = opg_magic.ask("Thank you.", chat="plans")
    roles = [message["role"] for message in sent(later.receipt)["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [one.messages for one in thread_of(later.receipt.document).earlier] == [2, 2]  # type: ignore[union-attr]
    assert session.ledger.chats() == {"plans": later.receipt.id}
    assert thread_of(answer.receipt.document).name == "plans"  # type: ignore[union-attr]


def test_a_cell_runs_rounds_and_its_notebook_is_verified(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corpus.notebooks import cell, notebook, output
    from IPython.core.interactiveshell import InteractiveShell
    from support.fake_session import Screen

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shell.display_pub = screen = Screen(shell=shell)
        shell.run_line_magic("load_ext", "opg_magic")
        shell.user_ns["weather"] = weather
        source = "%%opg out --tools weather --tools-confirm never\nWhat is the weather in Graz?"
        shell.run_cell(source).raise_error()
        assert len(RAN) == 1
        assert shell.user_ns["out"].receipt.id == receipts(session)[1].id
        displays = {one.id or id(one): one.data for one in screen.all}
        path = tmp_path / "n.ipynb"
        path.write_text(json.dumps(notebook(cell(source, *map(output, displays.values())))))
        trust = Trust(simulated_roots=session.simulated_roots(), reader=True)
        report = verify(path, trust=trust, allow_simulated=True)
        assert len(report.checked) == 2
        shown = next(iter(displays.values()))
        assert shown["text/plain"].startswith('weather(city="Graz", unit="C")\n\n')
        assert "<summary><small>As signed</small></summary>" in shown["text/html"]
        assert not [one for one in report.findings if one.level != "note"], report.to_text()
        for wrong in (
            "--tools nothing",
            "--tools weather,",
            "--tools weather --hosts 2",
            "--max-rounds 2",
            "--tools weather --format json",
            "--tools weather --max-rounds 0",
        ):
            assert shell.run_cell(f"%%opg {wrong}\nhi").error_in_exec is not None
        assert session.ledger.count() == 2
        shell.user_ns["broken_weather"] = broken_weather
        both = "%%opg --tools weather, broken_weather --tools-confirm never\nHow is the weather?"
        shell.run_cell(both).raise_error()
        offered = sent(receipts(session)[2])["tools"]
        assert [one["function"]["name"] for one in offered] == ["weather", "broken_weather"]
    finally:
        shell.run_line_magic("unload_ext", "opg_magic")
        InteractiveShell.clear_instance()
