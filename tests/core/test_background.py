"""The main thread only waits; its interrupt cancels the call and lets it write down what
happened."""

import asyncio
import contextvars
import os
import signal
import threading

import pytest

from opg_magic.models import Phase, Progress
from opg_magic.network.background import BackgroundLoop, Stopped, Stopper, stopper


@pytest.fixture
def background():
    loop = BackgroundLoop()
    yield loop
    loop.close()
    loop.close()


def test_the_result_and_the_last_item_arrive_on_the_calling_thread(background):
    seen = []

    async def work(emit):
        for number in range(100):
            emit(number)
        return "done"

    assert (
        background.run(work, lambda item: seen.append((item, threading.current_thread()))) == "done"
    )
    assert seen[-1] == (99, threading.current_thread())


def test_the_loop_does_not_wait_for_itself(background):
    async def nothing():
        pass

    async def work(_emit):
        with pytest.raises(RuntimeError, match="wait for itself"):
            background.run(lambda _emit: nothing())
        return "done"

    assert background.run(work) == "done"


def test_of_a_pile_the_newest_of_each_phase_arrives(background):
    """A terminal shows an answer that comes all at once, and what the call does after it."""
    steps = [Progress(phase, tokens=n) for phase in list(Phase)[:3] for n in range(3)]

    async def work(emit):
        for step in steps:
            emit(step)
        piled.set()

    piled, seen = threading.Event(), []
    background.run(work, lambda step: (piled.wait(60), seen.append(step)))
    assert [step for step in seen if step.tokens == 2] == steps[2::3]


def test_a_failure_is_raised_on_the_calling_thread(background):
    async def work(_emit):
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        background.run(work)


def test_an_interrupt_cancels_and_brings_back_what_the_call_says(background):
    started = threading.Event()

    async def work(_emit):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError("written down") from None

    def interrupt():
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped) as stopped:
        background.run(work)
    thread.join()
    assert isinstance(stopped.value.outcome, LookupError)

    async def next_one(_emit):
        return 1

    assert background.run(next_one) == 1


def test_a_keyboard_interrupt_inside_the_coroutine_leaves_the_loop_alive(background):
    async def work(_emit):
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, Stopped)):
        background.run(work)

    async def next_one(_emit):
        return 2

    assert background.run(next_one) == 2


async def test_submit_is_awaited_on_the_callers_loop(background):
    async def work():
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert await background.submit(work()) == "opg_magic"


def test_a_stop_that_another_thread_was_told_of_is_seen_at_once(background):
    """The system may tell any thread; the waiting one then sleeps on, and must look by itself."""

    async def work(_emit):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(20)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with pytest.raises(Stopped) as stopped:
            background.run(work)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert isinstance(stopped.value.outcome, asyncio.CancelledError)


def test_what_is_stopped_before_its_first_step_has_ended(background, monkeypatch):
    """Its task is cancelled before it runs any of its own code."""
    monkeypatch.setattr("opg_magic.network.background.GRACE_SECONDS", 30)
    ready, held = threading.Event(), threading.Event()
    background.loop.call_soon_threadsafe(lambda: (held.set(), ready.wait(60)))
    assert held.wait(60)
    stops, ran = Stopper(), []
    stops.stop()

    async def work(_emit):
        ran.append(1)

    context = contextvars.copy_context()
    context.run(stopper.set, stops)
    threading.Timer(0.1, ready.set).start()
    with pytest.raises(Stopped) as stopped:
        context.run(background.run, work)
    assert stopped.value.ended
    assert ran == []
    assert isinstance(stopped.value.outcome, asyncio.CancelledError)
