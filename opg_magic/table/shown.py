"""Where a running table stands, for whoever waits: a line in a terminal; in a notebook one widget,
and one line that stays; in a file a line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from opg_magic.table.tally import Tally

#: Seconds between two lines where they are kept, as in a log.
_EACH = 60.0


class Shown:
    """Shows a tally as it changes.  Nothing that fails here ends what is being paid for."""

    def __init__(self) -> None:
        self._line: Any = None
        self._bar: Any = None
        self._in_kernel = _in_kernel()
        self._told = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        """Show it as it is now."""
        # Standard error may be closed, or none at all.
        with suppress(Exception):
            if self._in_kernel:
                self._in_notebook(tally)
            elif sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[2K{tally}")
                sys.stderr.flush()
            elif time.monotonic() - self._told >= _EACH:
                self._told = time.monotonic()
                sys.stderr.write(f"{tally}\n")
                sys.stderr.flush()

    def _in_notebook(self, tally: Tally) -> None:
        import ipywidgets
        from IPython.display import display

        text = {"text/plain": str(tally)}
        if self._line is None:
            self._bar = ipywidgets.IntProgress(value=0, max=max(1, tally.total))
            self._bar.layout.width = "100%"
            display(self._bar)
            self._line = display(text, raw=True, display_id=True)
            return
        self._bar.value = tally.done
        self._bar.bar_style = "warning" if tally.failed else ""
        self._line.update(text, raw=True)

    def end(self, tally: Tally | None) -> None:
        """The last line stays, and the widget goes."""
        if tally is None:
            return
        if self._in_kernel or _is_terminal():
            self(tally)
        with suppress(Exception):
            if self._bar is not None:
                self._bar.close()
            if not self._in_kernel:
                sys.stderr.write("\n" if sys.stderr.isatty() else f"{tally}\n")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False


def _in_kernel() -> bool:
    shell = sys.modules.get("IPython")
    ip = shell.get_ipython() if shell is not None else None
    return ip is not None and getattr(ip, "kernel", None) is not None
