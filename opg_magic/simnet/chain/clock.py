"""A chain's clock that tests can move."""

from __future__ import annotations

import time

from opg_magic.errors import SimnetError


class Clock:
    """The machine's time in Unix seconds, and what :meth:`advance` added to it."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Move ahead, so that a deadline passes.  Raises SimnetError for a step back."""
        if seconds < 0:
            raise SimnetError("time does not run backwards")
        self.offset += seconds
