"""Where a running table stands, for whoever waits: a line in a terminal, or now and then one in a
file; in a notebook a widget and its line in one output, which in the end holds the receipts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opg_magic.table.tally import Tally

#: Seconds between two lines where they are kept, as in a log.
_EACH = 60.0
#: Gives the MIME bundle that stays; None where there is no receipt.
Receipts = Callable[[], "dict[str, Any] | None"]


class Shown:
    """Shows a tally as it changes.  Nothing that fails here ends what is being paid for."""

    def __init__(self) -> None:
        self._output: Any = None
        self._box: Any = None
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

        if self._output is None:
            bar = ipywidgets.IntProgress(value=0, max=max(1, tally.total))
            bar.layout.width = "100%"
            self._box = ipywidgets.VBox([bar, ipywidgets.Label()])
            # A kernel that dies leaves this behind: it must not look as if something still ran.
            told = {"text/plain": f"{tally.total:,} prompts; how they ended: %opg receipts"}
            view: dict[str, Any] = getattr(self._box, "_repr_mimebundle_", dict)() or {}
            self._output = display({**view, **told}, raw=True, display_id=True)
        bar, line = self._box.children
        bar.value = tally.done
        bar.bar_style = "warning" if tally.failed else ""
        line.value = str(tally)

    def end(self, tally: Tally | None, receipts: Receipts | None = None) -> None:
        """The widget goes, and the last line and the receipts take its place."""
        if tally is None:
            return
        if not self._in_kernel:
            with suppress(Exception):
                if sys.stderr.isatty():
                    self(tally)
                    sys.stderr.write("\n")
                else:
                    sys.stderr.write(f"{tally}\n")
            return
        self(tally)
        stays = None
        with suppress(Exception):
            stays = receipts() if receipts is not None else None
        with suppress(Exception):
            self._last(stays or {"text/plain": str(tally)})
        with suppress(Exception):
            self._box.close()

    def _last(self, bundle: dict[str, Any]) -> None:
        if self._output is not None:
            self._output.update(bundle, raw=True)
            return
        from IPython.display import display

        display(bundle, raw=True)


def _in_kernel() -> bool:
    shell = sys.modules.get("IPython")
    ip = shell.get_ipython() if shell is not None else None
    return ip is not None and getattr(ip, "kernel", None) is not None
