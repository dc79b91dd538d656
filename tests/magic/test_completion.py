"""Completion by Tab: flags, models, hosts, commands; from what is known, never from the network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support import states
from support.fake_session import FakeSession

from opg_magic.call.overview import HostRow
from opg_magic.notebook import completion
from opg_magic.notebook.commands import COMMANDS


def offered(text: str) -> list[str] | None:
    found = completion.candidates(text, len(text), COMMANDS)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%opg --mo", ["--model"]),
        ("%%opg name --max-", ["--max-tokens", "--max-cost", "--max-rounds"]),
        ("%%opg --policy s", ["strict"]),
        ("%%opg --policy=s", ["--policy=strict"]),
        ("%%opg --network ", ["sim", "opengradient"]),
        ("%%opg --settle ", ["private", "batch"]),
        ("%%opg --model=openai/o", ["--model=openai/o3", "--model=openai/o4-mini"]),
        ("%%opg --system ", []),
        ('%%opg --system "say" --mo', ["--model"]),
        ("%%time\n%%opg --mo", ["--model"]),
        ("\n  %%opg --model=x --mo", []),
        ("%opg re", ["receipts", "reconcile"]),
        ("x = %opg wal", ["wallet"]),
        ("%opg config tim", ["timeout"]),
        ("%opg config policy ", ["default", "strict", "audit"]),
        ("%opg use ", ["sim", "opengradient"]),
        ("%opg show --u", ["--unverified"]),
    ],
)
def test_what_could_stand_there(text: str, expected: list[str]) -> None:
    assert offered(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "--mo",
        "print('%%opg --mo",
        "%%opgx --mo",
        "%%opg x\n--mo",
        "%%opg",
        "a\n%%opg --mo",
        "%%opg\u200b --mo",
        "%%opg # --mo",
        "%%opg --stop '--mo",
    ],
)
def test_not_our_line_not_our_words(text: str) -> None:
    assert offered(text) is None


def test_in_a_list_the_functions_of_the_notebook_are_offered(shell: InteractiveShell) -> None:
    """After each comma, with or without a space, and none of them twice."""
    shell.run_cell("def weather(city: str): ...\ndef water(): ...\nclass Weather: ...")
    shell.run_cell("same = weather\nfrom json import dumps\n_weather = water")
    for text, expected in {
        "%%opg --tools ": ["weather", "water", "dumps"],
        "%%opg --tools wea": ["weather"],
        "%%opg --tools=wea": ["--tools=weather"],
        "%%opg --tools weather,": ["weather,water", "weather,dumps"],
        "%%opg --tools weather, ": ["water", "dumps"],
        "%%opg --tools weather , w": ["water"],
        "%%opg --tools=weather, w": ["water"],
        "%%opg --tools weather, water, ": ["dumps"],
        "%%opg --tools weather --tools-c": ["--tools-confirm"],
        "%%opg a --system weather, w": [],
    }.items():
        assert offered(text) == expected, text


def test_a_flag_given_once_is_not_offered_again_but_stop_is() -> None:
    flags = offered("%%opg --model openai/o3 --stop x --")
    assert flags is not None
    assert "--model" not in flags
    assert "--stop" in flags


def test_hosts_are_those_last_read(monkeypatch: pytest.MonkeyPatch, session: FakeSession) -> None:
    import opg_magic.call.session

    monkeypatch.setattr(opg_magic.call.session, "_current", None)
    assert offered("%%opg --host 0x2") == []
    session.overview.known_hosts = (HostRow(states.HOST, True, "good", None, None, "honest-anna"),)
    monkeypatch.setattr(opg_magic.call.session, "_current", session)
    assert offered("%%opg --host 0x2") == [states.HOST.tee_id]
    assert offered("%opg simnet cheat h") == ["honest-anna"]


def test_tab_asks_nobody(monkeypatch: pytest.MonkeyPatch, session: FakeSession) -> None:
    import opg_magic.call.session

    def forbidden(*_: object) -> None:
        raise AssertionError("a Tab went to the session")

    monkeypatch.setattr(opg_magic.call.session, "_current", session)
    for name in ("hosts", "models", "status", "ask"):
        monkeypatch.setattr(type(session), name, forbidden)
    for text in ("%%opg --host ", "%%opg --model ", "%opg ", "%opg use "):
        assert offered(text) is not None


def test_the_model_of_the_simulated_network_is_offered_there_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from opg_magic.notebook import completion

    own = "huggingfacetb/smollm2-135m-instruct"
    assert own in completion._models()
    for network, there in (("sim", True), ("opengradient", False)):
        session = SimpleNamespace(settings={"network": network})
        monkeypatch.setattr(completion, "_session", lambda session=session: session)
        assert (own in completion._models()) is there


def test_it_works_through_ipython_s_completer(shell: InteractiveShell) -> None:
    text = "%%opg --model openai/gpt-5."
    with provisionalcompleter():
        found = list(shell.Completer.completions(text, len(text)))
    assert [c.text for c in found][:2] == ["openai/gpt-5.2", "openai/gpt-5.4"]
    assert text[found[0].start : found[0].end] == "openai/gpt-5."
