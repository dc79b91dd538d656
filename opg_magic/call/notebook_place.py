"""Where a call is made: the notebook and the cell, as IPython and its front end tell them."""

from __future__ import annotations

import os
import sys
from typing import Any


def notebook_name() -> str | None:
    """The open notebook's file name (no folder: a path would tell strangers about this machine),
    where known."""
    for known in (os.environ.get("JPY_SESSION_NAME"), _from_user_namespace("__vsc_ipynb_file__")):
        if known:
            return _writable(known.replace("\\", "/").rpartition("/")[2])
    return None


def _writable(name: str) -> str:
    """A byte of a file's name that is not UTF-8 comes as a lone surrogate, which no ledger and no
    receipt can hold."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")


def execution_count() -> int | None:
    """The number of the running cell, or of the last one that ran, where there is an IPython
    shell."""
    shell = _shell()
    if shell is None:
        return None
    # What Out[n] will say: newer IPythons raise the shell's own count before the cell runs, older
    # ones after it.
    count = int(shell.displayhook.prompt_count)
    if count == shell.execution_count:
        # Older: between two cells it is the next one's.  Inputs are listed, after an empty one, as
        # their cells begin.
        count = min(count, len(shell.history_manager.input_hist_parsed) - 1)
    return max(0, count)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _from_user_namespace(name: str) -> str | None:
    shell = _shell()
    value = None if shell is None else shell.user_ns.get(name)
    return value if isinstance(value, str) else None
