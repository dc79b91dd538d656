"""One event loop on a background thread; the main thread only waits, so a kernel's interrupt is
seen at once."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
P = TypeVar("P")

log = logging.getLogger(__name__)

#: Seconds that a cancelled call may take to write down what happened.  The ledger waits less long
#: for a lock.
GRACE_SECONDS = 12.0

#: Seconds between two looks of the waiting thread whether it was stopped.
WAKE_SECONDS = 0.2


class Stopped(Exception):
    """The user's interrupt ended the wait.

    ``ended``: the coroutine has ended, raising ``outcome`` or returning ``result`` (it may already
    have been done).  If not ``ended``, it did not end within the grace time, or a second interrupt
    cut that short: it goes on, and its result is not known here."""

    def __init__(
        self, outcome: BaseException | None, *, ended: bool = True, result: Any = None
    ) -> None:
        super().__init__("stopped")
        self.outcome = outcome
        self.ended = ended
        self.result = result


@dataclass(frozen=True, slots=True)
class _Item(Generic[P]):
    value: P


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    result: T | None
    problem: BaseException | None


class _StopAsked:
    """Stands in an inbox for a user's interrupt."""


class Stopper:
    """Stops what one thread waits for, from another thread, as an interrupt stops it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._inbox: queue.SimpleQueue[Any] | None = None

    def stop(self) -> None:
        """Stop what is waited for now, else what will be waited for next."""
        with self._lock:
            self._asked = True
            if self._inbox is not None:
                self._inbox.put(_StopAsked())

    @contextlib.contextmanager
    def watching(self, inbox: queue.SimpleQueue[Any]) -> Iterator[None]:
        with self._lock:
            self._inbox = inbox
            if self._asked:
                inbox.put(_StopAsked())
        try:
            yield
        finally:
            with self._lock:
                self._inbox = None


#: Stops this context's waits, where it is not the kernel's interrupt that does.
stopper: contextvars.ContextVar[Stopper | None] = contextvars.ContextVar("stopper", default=None)


class BackgroundLoop:
    """A daemon thread that runs one asyncio loop until :meth:`close`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="opg_magic", daemon=True)
        self._thread.start()

    def run(
        self,
        make: Callable[[Callable[[P], None]], Coroutine[Any, Any, T]],
        on_item: Callable[[P], None] | None = None,
    ) -> T:
        """Run ``make(emit)`` to its end; hand emitted items to ``on_item`` on the calling thread,
        of a pile the newest of each phase.

        An ``on_item`` that fails is not called again: whoever watches must not lose what is being
        paid for. ``KeyboardInterrupt`` cancels the coroutine, lets it write down what happened, and
        raises :class:`Stopped`."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("the loop's own thread would wait for itself for ever")
        inbox: queue.SimpleQueue[_Item[P] | _Ended[T]] = queue.SimpleQueue()
        task: list[asyncio.Task[None]] = []

        async def body() -> None:
            # Whatever ends the coroutine goes through the inbox: let into a task, a
            # KeyboardInterrupt stops the loop.
            try:
                ended: _Ended[T] = _Ended(await make(lambda item: inbox.put(_Item(item))), None)
            except BaseException as problem:
                ended = _Ended(None, problem)
            inbox.put(ended)

        def begin() -> None:
            task.append(self.loop.create_task(body()))
            task[0].add_done_callback(never_begun)

        def never_begun(body: asyncio.Task[None]) -> None:
            # Cancelled before its first step, a task runs none of its code.
            if body.cancelled():
                inbox.put(_Ended(None, asyncio.CancelledError()))

        try:
            self.loop.call_soon_threadsafe(begin)
            stops = stopper.get()
            with contextlib.nullcontext() if stops is None else stops.watching(inbox):
                ended = _drain(inbox, on_item)
        except KeyboardInterrupt:
            self.loop.call_soon_threadsafe(lambda: [t.cancel() for t in task])
            raise _wait_for_end(inbox) from None
        if ended.problem is not None:
            try:
                raise ended.problem
            finally:
                del ended  # no cycle between the exception's traceback and this frame
        return ended.result  # type: ignore[return-value]

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run on the background loop and await the outcome on the caller's own loop."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))

    def stop_all(self, seconds: float) -> None:
        """Cancel all that runs, whoever waits for it or does not any more, and give it at most so
        long to write down what happened."""

        async def stopped() -> None:
            running = asyncio.all_tasks() - {asyncio.current_task()}
            for one in running:
                # Once: it may be writing down what happened.
                if not one.cancelling():
                    one.cancel()
            if running:
                await asyncio.wait(running)

        if self.loop.is_closed() or not self._thread.is_alive():
            return
        ended = asyncio.run_coroutine_threadsafe(stopped(), self.loop)
        with contextlib.suppress(KeyboardInterrupt, TimeoutError):
            ended.result(max(0.0, seconds))

    def close(self) -> None:
        """Stop the loop and its thread.  Harmless when called twice."""
        if self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self.loop.close()


def _drain(inbox: queue.SimpleQueue[Any], on_item: Callable[[Any], None] | None) -> _Ended[Any]:
    def hand_over(item: _Item[Any] | None) -> None:
        nonlocal on_item
        if item is None or on_item is None:
            return
        try:
            on_item(item.value)
        except Exception:
            on_item = None
            log.warning("what shows a running call failed; the call goes on without", exc_info=True)

    while True:
        newest: _Item[Any] | None = None
        ended: _Ended[Any] | None = None
        entry = _next(inbox)
        while entry is not None:
            if isinstance(entry, _StopAsked):
                raise KeyboardInterrupt
            if isinstance(entry, _Ended):
                ended = entry
                break
            if newest is not None and _phase(newest) != _phase(entry):
                hand_over(newest)
            newest = entry
            entry = None if inbox.empty() else inbox.get()
        hand_over(newest)
        if ended is not None:
            return ended


def _phase(item: _Item[Any]) -> object:
    return getattr(item.value, "phase", None)


def _next(inbox: queue.SimpleQueue[Any]) -> Any:
    """The next entry, waking now and then: a stop that comes just before the wait, or to another
    thread, does not end the wait."""
    while True:
        with contextlib.suppress(queue.Empty):
            return inbox.get(timeout=WAKE_SECONDS)


def _wait_for_end(inbox: queue.SimpleQueue[Any]) -> Stopped:
    """How the cancelled coroutine ended, as far as that is known within the grace time or until
    another interrupt."""
    end = time.monotonic() + GRACE_SECONDS
    try:
        while (left := end - time.monotonic()) > 0:
            entry = inbox.get(timeout=left)
            if isinstance(entry, _Ended):
                return Stopped(entry.problem, result=entry.result)
    except (queue.Empty, KeyboardInterrupt):
        pass
    return Stopped(None, ended=False)
