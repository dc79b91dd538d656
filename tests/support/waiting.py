"""Waiting for what comes by itself, for as long as a slow machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Return when the condition holds, or when the time is over: what then is the case, the test
    asserts."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
