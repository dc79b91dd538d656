"""A call that runs beside the work: what a cell with ``--bg`` gives at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from opg_magic.call.state import CallSite
from opg_magic.network.background import Stopper, stopper

T = TypeVar("T")

#: Where the call of this context was begun, if not in the cell that runs now.
site: contextvars.ContextVar[CallSite | None] = contextvars.ContextVar("site", default=None)


class Beside(Protocol):
    """What runs beside the work.  ``ended`` waits so long for what was stopped."""

    def stop(self) -> None: ...
    def done(self) -> bool: ...
    def ended(self, seconds: float) -> bool: ...


class PendingCall(Generic[T]):
    """A call that runs while the kernel does other things.

    Wait for its answer with ``name.wait()``, or ``await name``.  Its display fills in by itself."""

    def __init__(
        self, call: Callable[[], T], where: CallSite, again: Callable[[], None] = lambda: None
    ) -> None:
        """Run ``call``, which blocks, on a thread of its own, as of ``where``.

        ``again`` shows how it ended once more, to whoever waits for it: between two cells, a
        notebook that runs without a front end hears nothing."""
        self.started_at = datetime.now(UTC)
        self._stopper = Stopper()
        self._future: Future[T] = Future()
        self._again = again
        # It cannot be cancelled by whoever awaits it: stop() lets it write down what happened.
        self._future.set_running_or_notify_cancel()
        context = contextvars.copy_context()
        context.run(site.set, where)
        context.run(stopper.set, self._stopper)
        self._thread = threading.Thread(
            target=context.run, args=(self._run, call), name="opg-beside", daemon=True
        )
        self._thread.start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._future.set_result(call())
        except BaseException as problem:
            self._future.set_exception(problem)

    def wait(self, timeout: float | None = None) -> T:
        """Return the answer as soon as it is there and checked.  Raises what the call raises.

        ``timeout`` in seconds; then TimeoutError.  Neither that nor an interrupt ends the call:
        :meth:`stop` does."""
        try:
            return self._future.result(timeout)
        finally:
            self._show_again()

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        try:
            return await asyncio.wrap_future(self._future)
        finally:
            self._show_again()

    def _show_again(self) -> None:
        """Once, after the end."""
        if self.done():
            again, self._again = self._again, lambda: None
            again()

    def done(self) -> bool:
        """Return whether the call has ended, with an answer or without."""
        return self._future.done()

    def failed(self) -> bool:
        """Return whether the call has ended without an answer that may be used."""
        return self.done() and self._future.exception() is not None

    def stop(self) -> None:
        """Stop the call, as an interrupt stops one in the foreground: what was already sent may be
        charged, and :meth:`wait` then says so.  Harmless if it has ended."""
        self._stopper.stop()

    def ended(self, seconds: float) -> bool:
        """Wait for at most so long until a stopped call is recorded; return whether it has
        ended."""
        with suppress(KeyboardInterrupt):
            self._thread.join(max(0.0, seconds))
        return self.done()

    def __repr__(self) -> str:
        if not self.done():
            return f"<call running since {self.started_at:%H:%M:%S} UTC; wait() gives its answer>"
        problem = self._future.exception()
        return repr(self._future.result()) if problem is None else f"<no answer: {problem}>"


__all__ = ["Beside", "PendingCall", "site"]
