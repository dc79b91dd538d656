"""The dashboard: figures follow calls, inputs filter and open, and nothing in it can be written by
a host."""

from __future__ import annotations

import gc
import importlib.util
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import states
from support.inspecting import inspect

from opg_magic.call.overview import Budget, HostRow
from opg_magic.errors import LedgerError, NetworkUnavailable
from opg_magic.ledger.records import LedgerRow
from opg_magic.ledger.row_cells import table_cells
from opg_magic.models import Money, VerdictStatus
from opg_magic.network.profiles import OBSERVED_CAP, OPG
from opg_magic.notebook import dashboard as module
from opg_magic.notebook.dashboard import build, dashboard, share
from opg_magic.notebook.hosts_table import hosts_html


class Session:
    """A session with three receipts and a sum that the test moves."""

    def __init__(self) -> None:
        self.reserved = 4 * 10**17
        self.running = 0
        self.listeners: list[Callable[[], None]] = []
        self.known_hosts: tuple[HostRow, ...] = ()
        self.unreachable = False
        self.unreadable = False
        self.ended = False
        self.is_up = True
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
            "opengradient",
        )

    def hosts(self) -> list[HostRow]:
        if self.unreachable:
            raise NetworkUnavailable("registry unreachable <b>now</b>")
        return [HostRow(states.HOST, True, "good", None, None, "anna")]

    def ledger_calls(self) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [
            table_cells(LedgerRow(id, now, answer.receipt.document)) | {"token": "OPG"}
            for id, answer in self.answers.items()
        ]

    def ledger_state(self) -> str | None:
        if self.unreadable:
            raise LedgerError("The ledger cannot be read.")
        return None if self.ended else " ".join(self.answers)

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


#: The one picture, which stands for its words.
PICTURE = re.compile(
    r'<div role="img" aria-label="([^"<>]*)" style="width:720px;max-width:100%;margin:2px 0 6px;'
    r'color:[^"<>]*"><svg [^>]*>.*?</svg></div>'
)


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
    seen = inspect(PICTURE.sub(r"[\1] ", html))
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


def test_it_shows_what_other_kernels_and_shells_did(session: Session) -> None:
    """Nobody tells this kernel of it: the dashboard looks, and reads only what changed."""
    around = Later()
    box = build(session, around=around)
    assert [seconds for seconds, _ in around.waiting] == [module.AROUND]
    session.reserved = 9 * 10**17
    around.pass_time()
    assert "0.4 OPG of 1 OPG, 40%" in words(box)  # the ledger is the same
    session.answers["CCCC000003"] = states.answer(id="CCCC000003")
    around.pass_time()
    assert "3 receipts" in words(box)
    assert "0.9 OPG of 1 OPG, 90%" in words(box)
    session.unreadable = True
    around.pass_time()
    assert "3 receipts" in words(box)
    session.unreadable, session.is_up = False, False
    session.reserved = 5 * 10**17
    session.answers["DDDD000004"] = states.answer(id="DDDD000004")
    around.pass_time()  # it starts no network by itself
    session.ended, session.is_up = True, True
    around.pass_time()
    assert "0.9 OPG of 1 OPG, 90%" in words(box)
    assert len(around.waiting) == 1
    box.close_all()
    around.pass_time()
    assert around.waiting == []


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
    assert "27e3…6328not asked yet1 FAILED, 1 VERIFIED" in words(box)
    box._opg_dashboard._ask_hosts.click()
    assert "✓ usable anna27e3…6328activegood1 FAILED, 1 VERIFIED" in words(box)
    session.unreachable = True
    box._opg_dashboard._ask_hosts.click()
    assert "registry unreachable <b>now</b>" in words(box)


def test_a_ledger_without_calls_and_hosts_says_so(session: Session) -> None:
    session.answers = {}
    shown = words(dashboard(session))
    assert "Not asked yet." in shown
    assert "No call has cost anything yet." in shown


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


def test_spending_is_drawn_and_stands_below_as_a_table(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    shown = words(dashboard(session))
    day = f"{datetime.now(UTC):%d %b}"
    assert f"[Cost by day: {day} 0.0082 OPG. By model: openai/gpt-5 0.0082 OPG.]" in shown
    assert "modelcallscostopenai/gpt-520.0082 OPG" in shown
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    shown = words(dashboard(session))
    assert "For a chart: %pip install matplotlib" in shown
    assert "modelcallscostopenai/gpt-520.0082 OPG" in shown


def test_the_picture_is_drawn_again_only_for_other_sums(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(module, "spending_html", lambda known: drawn.append(known) or "")
    later = Later()
    build(session, clock=lambda: 100.0, later=later)
    session.changed()
    later.pass_time()
    assert len(drawn) == 1
    session.answers["CCCC000003"] = states.answer(id="CCCC000003")
    session.changed()
    later.pass_time()
    assert [known.total("openai/gpt-5").amount for known in drawn] == [82 * 10**14, 123 * 10**14]


def test_share_of_a_limit() -> None:
    assert share(Money(1, OPG), Money(4, OPG)) == 0.25
    assert share(Money(9, OPG), Money(4, OPG)) == 1.0
    assert share(Money(0, OPG), Money(0, OPG)) == 1.0


def test_only_the_dashboard_needs_widgets() -> None:
    folder = Path(module.__file__).parent
    users = [f.name for f in folder.glob("*.py") if "import ipywidgets" in f.read_text("utf-8")]
    assert users == ["dashboard.py"]
    assert VerdictStatus.VERIFIED.value in module._VERDICTS
