"""What a desk has answered since somebody began to compute, and who shows it meanwhile.

Whoever computes waits in Dask's code, so a thread of its own shows the tally.  It goes when all
that was planned is answered, when the computation or its cell has ended, or after a while without
any prompt."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opg_magic.table.rows import Outcome
from opg_magic.table.shown import Shown
from opg_magic.table.tally import Tally

#: Seconds between two looks, and without any prompt after which the line is taken for the last.
_EACH, _IDLE = 0.2, 5.0


@dataclass(slots=True, eq=False)
class _Page:
    """One display: in the cell that began to compute."""

    shown: Shown
    over: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Watch:
    """Counts on the loop's thread; :meth:`ended` and :meth:`end` are for any other.

    ``paid``: where the calls' costs are counted.  ``busy``: whether any prompt is under way.
    ``receipts``: the bundle that stays, of the prompts with these keys.  ``shown`` None: nobody
    looks; without ``live``, what stays is all that is shown."""

    def __init__(
        self,
        total: int,
        paid: Tally,
        busy: Callable[[], bool],
        receipts: Callable[[Any, str], dict[str, Any] | None],
        shown: Callable[[], Shown] | None,
        *,
        live: bool = True,
    ) -> None:
        self._total, self._paid, self._busy, self._receipts = total, paid, busy, receipts
        self._shown, self._live = shown, live
        self._lock = threading.Lock()
        self._page: _Page | None = None
        #: What stands in a display already: asked for once more, it opens no other one.
        self._told: set[bytes] = set()
        self._restart()
        _cells_of_this_shell()
        _open.add(self)

    def _restart(self) -> None:
        self.tally = Tally(self._total, self._paid.token)
        #: How each prompt of this computation came out: the name of its count.
        self._counted: dict[bytes, str] = {}
        self._before = self._paid.spent
        self._asked = self._ending = False

    # ------------------------------------------------------------------------ on the loop's thread

    def begun(self) -> None:
        """A prompt is to be asked."""
        if not self._asked:
            self._asked = True
            self.tally.begun = time.monotonic()
        if not self._ending:
            self.tally.ended = None
        self.tally.over = False
        self._open()

    def count(self, key: bytes, outcome: Outcome) -> None:
        """A prompt has its outcome, the last one where it had one before."""
        if outcome.recorded:
            kind = "recorded" if outcome.good else "unfit"
        else:
            kind = "answered" if outcome.good else "failed"
        was = self._counted.get(key)
        if was is not None and (was == kind or outcome.recorded):
            return
        if was is not None:
            setattr(self.tally, was, getattr(self.tally, was) - 1)
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)
        self._counted[key] = kind
        if key not in self._told:
            self._open()

    @property
    def counts(self) -> bool:
        """Whether a computation has begun, and is not known to have ended."""
        return self._asked or bool(self._counted) or self._busy()

    @property
    def complete(self) -> bool:
        """Whether all that was planned is answered."""
        return len(self._counted) >= self._total

    def _open(self) -> None:
        if self._shown is None or self._page is not None:
            return
        with self._lock:
            if self._page is None:
                self._ending = False
                page = self._page = _Page(self._shown())
                page.thread = threading.Thread(
                    target=self._show, args=(page,), name="opg-table", daemon=True
                )
                page.thread.start()

    # ------------------------------------------------------------------------- on a page's thread

    def _show(self, page: _Page) -> None:
        idle = 0.0
        while not page.over.wait(_EACH):
            if self._live:
                page.shown(self._now())
            idle = 0.0 if self._busy() or (_in_a_cell() and not self._ending) else idle + _EACH
            if idle > _IDLE or (self._ending and self.tally.ended and not self._busy()):
                break
        with self._lock:
            told, tally = dict(self._counted), self._now()
            self._told.update(told)
            self._page = None
            tally.over = True
            if self._ending or page.over.is_set():
                self._restart()
        page.shown.end(tally, lambda: self._receipts(told.keys(), tally.figures))

    def _now(self) -> Tally:
        self.tally.spent = self._paid.spent - self._before
        self.tally.cap = self._paid.cap if self._asked else 0
        return self.tally

    # ------------------------------------------------------------------------------- on any other

    def ended(self, why: str | None = None) -> None:
        """The computation, or the cell that it stands in, has ended; ``why``, where that was early.
        What is under way still goes on, and is shown to its end."""
        self.tally.ended = self.tally.ended or why
        self._ending = True
        if not self._busy():
            self.end()

    def end(self) -> None:
        """Show the last line now."""
        page = self._page
        if page is not None and page.thread is not None:
            page.over.set()
            page.thread.join()
        elif page is None and not self._busy():
            self._restart()


#: The watches of this process, and the shells whose cells they follow.
_open: weakref.WeakSet[Watch] = weakref.WeakSet()
_shells: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _in_a_cell() -> bool:
    shell = _shell()
    return shell is not None and _shells.get(shell, False)


def _cells_of_this_shell() -> None:
    """Hear, from now on, of the cells of the shell that runs here, if one does."""
    shell = _shell()
    if shell is None or shell in _shells:
        return
    _shells[shell] = True  # the cell that maps
    here = weakref.ref(shell)

    def begin(*_: object) -> None:
        _shells[here()] = True

    def end(result: Any = None) -> None:
        _shells[here()] = False
        stopped = isinstance(getattr(result, "error_in_exec", None), KeyboardInterrupt)
        for watch in list(_open):
            watch.ended("stopped" if stopped else None)

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
