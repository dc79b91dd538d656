"""One display, kept up to date while a call runs, at most ten times a second, and settled once."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from opg_magic.display import words
from opg_magic.display.bundle import Bundle, running_bundle
from opg_magic.models import Phase, Progress
from opg_magic.models.plain_text import plural

if TYPE_CHECKING:
    from opg_magic.models import Money

#: Seconds between two updates.
INTERVAL = 0.1

#: Seconds that no call lasts.
LONGEST = 900

_STEPS: tuple[tuple[Phase, str], ...] = (
    (Phase.QUOTE, "quote"),
    (Phase.PAY, "pay"),
    (Phase.ANSWER, "answer"),
    (Phase.CHECK, "check"),
    (Phase.DONE, "done"),
)
_ORDER = [phase for phase, _ in _STEPS]


class Publish(Protocol):
    """Shows a bundle: first as a new display, then (``update``) in its place; ``running``: more
    will follow."""

    def __call__(self, bundle: Bundle, *, update: bool, running: bool) -> None: ...


#: Calls back after so many seconds; what it returns is called to call it off.
Later = Callable[[float, Callable[[], None]], Callable[[], None]]


def timer(seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
    """Calls ``callback`` once, on a thread of its own; what is returned calls it off."""
    timer = threading.Timer(seconds, callback)
    timer.daemon = True
    timer.start()
    return timer.cancel


class LiveDisplay:
    """Takes the :class:`Progress` of one call, from any thread, and shows it.

    ``announcement`` stands there while the call runs.  ``show_text`` False keeps unverified text
    off the display (policies strict and audit).  ``first_and_last`` shows no state in between (a
    terminal prints every update).  ``clock`` is monotonic seconds; ``later`` a timer."""

    def __init__(
        self,
        publish: Publish,
        *,
        model: str,
        announcement: str | None = None,
        simulated: bool = False,
        show_text: bool = True,
        first_and_last: bool = False,
        clock: Callable[[], float] = time.monotonic,
        later: Later = timer,
        started: datetime | None = None,
    ) -> None:
        self._publish = publish
        self._model = words.one_line(model, 80)
        self._announcement = announcement and words.one_line(announcement, 300)
        self._simulated = simulated
        self._show_text = show_text
        self._quiet_between = first_and_last
        self._clock = clock
        self._later = later
        self._started = started or datetime.now(UTC)
        # Output belongs to the cell that began the call, whichever thread reports its progress.
        self._context = contextvars.copy_context()
        self._lock = threading.RLock()
        self._progress = Progress(Phase.QUOTE)
        self._cap: Money | None = None
        self._shown_at: float | None = None
        self._call_off: Callable[[], None] | None = None
        self._settled = False
        self._last: Bundle | None = None
        self.text_was_shown = False

    def start(self) -> None:
        """Show the first state."""
        with self._lock:
            self._show(update=False)

    def update(self, progress: Progress) -> None:
        """One step of the call; shown at once, or as soon as the last one has stood for
        :data:`INTERVAL`."""
        with self._lock:
            if self._settled:
                return
            self._progress = progress
            self._cap = progress.cap or self._cap
            if self._quiet_between or self._call_off is not None:
                return
            wait = 0.0 if self._shown_at is None else self._shown_at + INTERVAL - self._clock()
            if wait <= 0:
                self._show(update=True)
            else:
                self._call_off = self._later(wait, self._catch_up)

    def settle(self, bundle: Bundle) -> None:
        """Show the last state; whatever comes later is dropped."""
        with self._lock:
            if self._settled:
                return
            self._settled = True
            if self._call_off is not None:
                self._call_off()
                self._call_off = None
            self._last = bundle
            self._publish(bundle, update=True, running=False)

    def again(self) -> None:
        """Show the last state once more."""
        if self._last is not None:
            self._publish(self._last, update=True, running=False)

    def _catch_up(self) -> None:
        with self._lock:
            self._call_off = None
            if not self._settled:
                self._context.run(self._show, update=True)

    def _show(self, *, update: bool) -> None:
        text = self._progress.text if self._show_text else ""
        self.text_was_shown = self.text_was_shown or bool(text)
        self._shown_at = self._clock()
        bundle = running_bundle(
            self._steps(), text=text, notes=self._notes(text), simulated=self._simulated
        )
        self._publish(bundle, update=update, running=True)

    def _steps(self) -> tuple[tuple[str, str], ...]:
        now = _ORDER.index(self._progress.phase)
        return tuple(
            (
                "done" if place < now else "now" if place == now else "next",
                self._label(phase, label, place <= now),
            )
            for place, (phase, label) in enumerate(_STEPS)
        )

    def _label(self, phase: Phase, label: str, reached: bool) -> str:
        if phase is Phase.PAY and reached and self._cap is not None:
            return f"pay ≤ {self._cap}"
        if phase is Phase.ANSWER and self._progress.phase is phase and self._progress.tokens:
            return f"answering, {plural(self._progress.tokens, 'token')}"
        return label

    def _notes(self, text: str) -> tuple[str, ...]:
        host = self._progress.host
        notes = [f"{self._model} via host {host.short_id}" if host is not None else self._model]
        if self._announcement:
            notes.append(self._announcement)
        if self._progress.note:
            notes.append(words.one_line(self._progress.note, 160))
        notes.append(
            "not checked yet"
            if text
            else "no text before the check"
            if not self._show_text
            else "running"
        )
        # A kernel that dies leaves this state behind: it must not look as if something still ran.
        notes.append(f"begun {words.clock(self._started)}; how it ended: %opg receipts")
        return tuple(notes)


def ipython_publisher(shell: Any, *, beside: bool = False) -> Publish:
    """Publishes into the running cell under one ``display_id``.

    A file does not keep that id; while the call runs it stands in the metadata too, so that a page
    that is loaded anew meanwhile finds the display again.

    An ``ipywidgets.Output`` takes new displays in and no updates of them: there, only the end is
    shown.

    ``beside``: the cell ends before the call does.  Updates then go out as of whichever cell runs
    (nbclient hears no other) and find their place by the id.  The metadata say until when (in Unix
    seconds) it may run: a page sees a free kernel, and must not take the call for lost."""
    import secrets

    display_id = "opg-" + secrets.token_hex(8)
    mark: dict[str, Any] = {"display": display_id}
    if beside:
        mark["beside"] = int(time.time()) + LONGEST
    in_widget = _is_taken_in(shell)

    def publish(bundle: Bundle, *, update: bool, running: bool) -> None:
        if in_widget:
            if not running:
                shell.display_pub.publish(data=bundle, metadata={})
            return
        context = contextvars.Context() if beside and update else contextvars.copy_context()
        context.run(
            shell.display_pub.publish,
            data=bundle,
            metadata={"opg": mark} if running else {},
            transient={"display_id": display_id},
            update=update,
        )

    return publish


def _is_taken_in(shell: Any) -> bool:
    """Whether an ``ipywidgets.Output`` takes in what the running cell displays."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    kernel = getattr(shell, "kernel", None)
    if module is None or kernel is None:
        return False
    parent = kernel.get_parent().get("header", {}).get("msg_id")
    # Version 8 keeps its widgets in the module, version 7 in the class.
    widgets = getattr(module, "_instances", None) or getattr(module.Widget, "widgets", {})
    return bool(parent) and any(
        getattr(widget, "msg_id", None) == parent for widget in list(widgets.values())
    )
