"""One display, updated in place: at most ten times a second, settled once, no unchecked text where
a policy says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from support import states
from support.inspecting import inspect

from opg_magic.models import Money, Phase, Progress
from opg_magic.network.profiles import OBSERVED_CAP, OPG
from opg_magic.notebook.live import INTERVAL, LiveDisplay, ipython_publisher


class World:
    """A clock that only the test moves, and a timer on it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.shown: list[tuple[float, bool, dict[str, Any]]] = []

    def clock(self) -> float:
        return self.now

    def later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        entry = (self.now + seconds, callback)
        self.waiting.append(entry)
        return lambda: self.waiting.remove(entry)

    def publish(self, bundle: dict[str, Any], *, update: bool, running: bool) -> None:
        self.shown.append((self.now, update, bundle))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [entry for entry in self.waiting if entry[0] <= self.now + 1e-9]
        for entry in due:
            self.waiting.remove(entry)
            entry[1]()

    def display(self, **options: Any) -> LiveDisplay:
        live = LiveDisplay(
            self.publish, model="openai/gpt-5", clock=self.clock, later=self.later, **options
        )
        live.start()
        return live

    @property
    def plain(self) -> list[str]:
        return [bundle["text/plain"] for _, _, bundle in self.shown]


@pytest.fixture
def world() -> World:
    return World()


def text(words: str, tokens: int = 1) -> Progress:
    return Progress(
        Phase.ANSWER, text=words, tokens=tokens, host=states.HOST, cap=Money(OBSERVED_CAP, OPG)
    )


def test_first_state_is_new_and_all_others_are_updates(world: World) -> None:
    live = world.display()
    world.pass_time(1)
    live.update(text("a"))
    live.settle({"text/plain": "end"})
    assert [update for _, update, _ in world.shown] == [False, True, True]


def test_at_most_ten_updates_a_second_and_none_is_lost(world: World) -> None:
    live = world.display()
    for i in range(1, 301):
        world.pass_time(0.01)
        live.update(text("x" * i, i))
    times = [time for time, _, _ in world.shown]
    assert all(later - earlier >= INTERVAL - 1e-6 for earlier, later in pairwise(times))
    assert 25 <= len(times) <= 32
    world.pass_time(1)
    assert "x" * 300 in world.plain[-1]


def test_a_held_back_state_comes_by_itself(world: World) -> None:
    """A host that thinks for long after its first token: the display must not stay at the phase
    before."""
    live = world.display()
    live.update(Progress(Phase.PAY))
    live.update(text("first"))
    assert len(world.shown) == 1
    world.pass_time(INTERVAL)
    assert "first" in world.plain[-1]
    assert world.waiting == []


def test_nothing_comes_after_the_last_state(world: World) -> None:
    live = world.display()
    live.update(text("late"))
    live.settle({"text/plain": "end"})
    world.pass_time(5)
    live.update(text("later"))
    live.settle({"text/plain": "second end"})
    assert world.plain[-1] == "end"
    assert len(world.shown) == 2


def test_a_terminal_sees_first_and_last_only(world: World) -> None:
    live = world.display(first_and_last=True)
    for i in range(50):
        world.pass_time(1)
        live.update(text("x" * i))
    live.settle({"text/plain": "end"})
    assert len(world.shown) == 2
    assert not live.text_was_shown


def test_no_text_before_the_verdict_where_the_policy_withholds(world: World) -> None:
    live = world.display(show_text=False)
    world.pass_time(1)
    live.update(text("not to be read"))
    assert "not to be read" not in str(world.shown)
    assert "no text before the check" in world.plain[-1]
    assert not live.text_was_shown


def test_running_state_says_what_is_so(world: World) -> None:
    live = world.display(simulated=True, started=states.NOW)
    world.pass_time(1)
    live.update(text("partial", 38))
    shown = world.shown[-1][2]
    for mime in ("text/plain", "text/html"):
        words = shown[mime] if mime == "text/plain" else inspect(shown[mime]).text
        for phrase in (
            "simulated network",
            "not checked yet",
            "answering, 38 tokens",
            "pay ≤ 0.1 OPG",
            "27e3…6328",
        ):
            assert phrase in words
        assert "begun 2026-11-20 22:10:40 UTC; how it ended: %opg receipts" in words
    assert inspect(shown["text/html"]).wrong == []
    assert live.text_was_shown


def test_a_long_answer_is_not_sent_again_and_again(world: World) -> None:
    live = world.display()
    world.pass_time(1)
    live.update(text("a" * 1_000_000 + "the end"))
    shown = world.shown[-1][2]
    assert "the end" in shown["text/plain"]
    assert "characters before]" in shown["text/plain"]
    assert len(str(shown)) < 60_000


def test_the_cap_stays_known_when_a_later_step_does_not_name_it(world: World) -> None:
    live = world.display()
    world.pass_time(1)
    live.update(text("a"))
    world.pass_time(1)
    live.update(Progress(Phase.CHECK))
    assert "pay ≤ 0.1 OPG ✓" in world.plain[-1]


def test_the_display_is_found_again_only_while_it_runs() -> None:
    """A page loaded anew in mid-call knows the display by what the file holds; a settled one says
    nothing of it."""
    sent: list[dict[str, Any]] = []
    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=lambda **said: sent.append(said)))
    live = LiveDisplay(ipython_publisher(shell), model="openai/gpt-5")
    live.start()
    live.settle({"text/plain": "done"})
    first, last = sent
    assert first["metadata"] == {"opg": {"display": first["transient"]["display_id"]}}
    assert last["metadata"] == {}
    assert last["transient"] == first["transient"]


def test_a_call_beside_the_work_says_how_long_it_may_run() -> None:
    """A page sees a free kernel meanwhile, and takes no such call for lost."""
    sent: list[dict[str, Any]] = []
    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=lambda **said: sent.append(said)))
    begun = time.time()
    live = LiveDisplay(ipython_publisher(shell, beside=True), model="openai/gpt-5")
    live.start()
    live.settle({"text/plain": "done"})
    first, last = sent
    assert first["metadata"]["opg"].keys() == {"display", "beside"}
    assert first["metadata"]["opg"]["beside"] >= int(begun) + 600
    assert last["metadata"] == {}


class Shell:
    """As much of IPython's shell as a publisher needs."""

    def __init__(self, parent: str) -> None:
        from types import SimpleNamespace

        self.published: list[dict[str, Any]] = []
        self.display_pub = SimpleNamespace(publish=lambda **given: self.published.append(given))
        self.kernel = SimpleNamespace(get_parent=lambda: {"header": {"msg_id": parent}})


def test_in_an_output_widget_the_end_is_shown_as_a_new_display() -> None:
    """It takes no updates in, so a first state would stand there for ever."""
    ipywidgets = pytest.importorskip("ipywidgets")
    out = ipywidgets.Output()
    out.msg_id = "the-cell"
    try:
        shell = Shell("the-cell")
        publish = ipython_publisher(shell)
        publish({"text/plain": "running"}, update=False, running=True)
        publish({"text/plain": "running"}, update=True, running=True)
        publish({"text/plain": "the end"}, update=True, running=False)
        assert shell.published == [{"data": {"text/plain": "the end"}, "metadata": {}}]
        beside = Shell("another-cell")
        ipython_publisher(beside)({"text/plain": "running"}, update=False, running=True)
        assert len(beside.published) == 1
    finally:
        out.msg_id = ""
        out.close()
