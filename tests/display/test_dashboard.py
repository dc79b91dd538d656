"""The dashboard: figures follow calls, inputs filter and open, and nothing in it can be written by
a host."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from support import states
from support.inspecting import inspect

from opg_magic.call.overview import Budget, HostRow
from opg_magic.errors import LedgerError, NetworkUnavailable
from opg_magic.ledger.frames import COLUMNS
from opg_magic.models import Money, VerdictStatus
from opg_magic.network.profiles import OBSERVED_CAP, OPG
from opg_magic.notebook import dashboard as module
from opg_magic.notebook.dashboard import build, dashboard, hosts_html, share


class Session:
    """A session with three receipts and a sum that the test moves."""

    def __init__(self) -> None:
        self.reserved = 4 * 10**17
        self.running = 0
        self.listeners: list[Callable[[], None]] = []
        self.known_hosts: tuple[HostRow, ...] = ()
        self.unreachable = False
        self.answers = {
            "AAAA000001": states.answer(id="AAAA000001"),
            "BBBB000002": states.failed(id="BBBB000002", text="withheld words"),
        }
        self.ledger = SimpleNamespace(get=self._get)

    def _get(self, id: str) -> Any:
        if id not in self.answers:
            raise LedgerError(f"No receipt {id} is in the ledger.")
        return self.answers[id].receipt

    @property
    def overview(self) -> Session:
        return self

    def spending(self) -> Budget:
        def opg(amount: int) -> Money:
            return Money(amount, OPG)

        return Budget(
            opg(OBSERVED_CAP),
            opg(10**18),
            opg(0),
            opg(self.reserved),
            opg(0),
            opg(1),
            opg(1),
            self.running,
        )

    def hosts(self) -> list[HostRow]:
        if self.unreachable:
            raise NetworkUnavailable("registry unreachable <b>now</b>")
        return [HostRow(states.HOST, True, "good", None, None, "anna")]

    def receipts(self, verdict: str | None = None) -> pd.DataFrame:
        rows = [
            {
                "id": id,
                "verdict": answer.verdict.label,
                "model": "gpt-5",
                "host": "27e3…6328",
                "notebook": "study.ipynb",
            }
            for id, answer in self.answers.items()
            if verdict is None or answer.verdict.label == verdict
        ]
        return pd.DataFrame(
            [dict.fromkeys(COLUMNS) | {"time": pd.Timestamp(states.NOW)} | row for row in rows]
        )

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def changed(self) -> None:
        for listener in list(self.listeners):
            listener()


class Later:
    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        self.waiting.append((seconds, callback))
        return lambda: None

    def pass_time(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, callback in waiting:
            callback()


@pytest.fixture
def session() -> Session:
    return Session()


def words(widget: Any) -> str:
    """All that the dashboard shows as HTML, as visible words."""
    found = ""
    for child in getattr(widget, "children", ()):
        found += words(child)
    if type(widget).__name__ == "HTML":
        seen = inspect_table(widget.value)
        found += seen + "\n"
    return found


def inspect_table(html: str) -> str:
    seen = inspect(html.replace("<tr><th", "<tr><th"))
    assert seen.wrong == []
    return seen.text


def test_it_says_what_it_is_and_how_it_acts(session: Session) -> None:
    shown = words(dashboard(session))
    assert "Buttons and filters act when the kernel is free" in shown
    assert "%opg hosts, %opg cost, %opg receipts" in shown
    assert "0.4 OPG of 1 OPG, 40%" in shown
    assert "0 OPG of 0 OPG, nothing is allowed" in shown
    assert "2 receipts" in shown


def test_what_is_over_a_limit_is_said_to_be(session: Session) -> None:
    session.reserved = 3 * 10**18  # the limit was lowered since
    shown = words(dashboard(session))
    assert "3 OPG of 1 OPG, 300%" in shown


def test_figures_follow_while_a_call_runs_and_never_on_its_thread(session: Session) -> None:
    later = Later()
    box = build(session, clock=lambda: 100.0, later=later)
    session.reserved, session.running = 9 * 10**17, 1
    session.changed()
    session.changed()
    assert "40%" in words(box)
    assert [seconds for seconds, _ in later.waiting] == [module.INTERVAL]
    later.pass_time()
    assert "0.9 OPG of 1 OPG, 90%" in words(box)
    assert "1 call running" in words(box)
    session.changed()
    assert len(later.waiting) == 1


def test_receipts_are_filtered_and_opened(session: Session) -> None:
    box = dashboard(session)
    me = box._opg_dashboard
    me._verdict.value = "FAILED"
    assert [id for _, id in me._list.options] == ["", "BBBB000002"]
    me._verdict.value = ""
    me._words.value = "aaaa"
    assert [id for _, id in me._list.options] == ["", "AAAA000001"]
    me._list.value = "AAAA000001"
    assert "sealed part" in words(box)
    assert "✓ All 7 checks pass" in words(box)


def test_a_withheld_answer_stays_withheld(session: Session) -> None:
    box = dashboard(session)
    box._opg_dashboard._list.value = "BBBB000002"
    assert "✗ Failed at the call" in words(box)
    assert "withheld words" not in words(box)


def test_hosts_are_asked_on_request_and_a_failure_is_said(session: Session) -> None:
    box = dashboard(session)
    assert "Not asked yet." in words(box)
    box._opg_dashboard._ask_hosts.click()
    assert "✓ usable anna" in words(box)
    session.unreachable = True
    box._opg_dashboard._ask_hosts.click()
    assert "registry unreachable <b>now</b>" in words(box)


def test_a_dashboard_that_is_gone_is_not_told_any_more(session: Session) -> None:
    box = dashboard(session)
    assert len(session.listeners) == 1
    box.close_all()
    del box
    gc.collect()
    session.changed()
    assert session.listeners == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (HostRow(states.HOST, True, "good", None, None, "anna"), "✓ usable"),
        (HostRow(states.HOST, False, "good", "heartbeat too old", None, None), "✗ not used"),
        (HostRow(states.HOST, True, "refused", "debug PCRs", None, None), "✗ not used"),
        (HostRow(states.HOST, True, "good", None, "the answer failed", None), "✗ not used"),
        (HostRow(states.HOST, True, "unreachable", "it answers 502", None, None), "✗ not used"),
        (HostRow(states.HOST, True, "none offered", None, None, None), "○ unproven"),
    ],
)
def test_a_host_s_state_is_said_in_words(row: HostRow, says: str) -> None:
    assert says in inspect(hosts_html([row])).text


def test_attack_27_words_of_a_host_are_inert_here_too() -> None:
    row = HostRow(
        states.HOST,
        False,
        "<script>",
        "<img src=x onerror=alert(1)>\x1b[2J",
        "</td></table>",
        "<b>x",
    )
    seen = inspect(hosts_html([row]))
    assert seen.wrong == []
    assert "\x1b" not in seen.text


def test_share_of_a_limit() -> None:
    assert share(Money(1, OPG), Money(4, OPG)) == 0.25
    assert share(Money(9, OPG), Money(4, OPG)) == 1.0
    assert share(Money(0, OPG), Money(0, OPG)) == 1.0


def test_only_the_dashboard_needs_widgets() -> None:
    folder = Path(module.__file__).parent
    users = [f.name for f in folder.glob("*.py") if "import ipywidgets" in f.read_text("utf-8")]
    assert users == ["dashboard.py"]
    assert VerdictStatus.VERIFIED.value in module._VERDICTS
