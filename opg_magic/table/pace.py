"""How many calls each host gets: more while it answers, half where it fails or is busy, none where
it lies.  Pure bookkeeping; callers pass the time (seconds, monotonic)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Failures in a row after which a host gets no more of this table.
MOST_FAILURES = 5
#: Seconds that a host is left alone for, at most, whatever it asks for; and at first.
LONGEST_PAUSE, FIRST_PAUSE = 120.0, 0.5
#: Seconds that a call is taken to last at a host that has not answered this table yet.
_AT_FIRST = 1.0
#: How much the newest answer counts in a host's usual time.
_NEWEST = 0.2


@dataclass(slots=True)
class Pace:
    """One host's share.  ``limit`` is how many calls it may have at once, ``seconds`` its usual
    time for one, ``until`` when it may be asked again, ``out`` why it is asked no more."""

    most: int
    limit: float = 1.0
    running: int = 0
    seconds: float = 0.0
    failures: int = 0
    until: float = 0.0
    opened: bool = False
    out: str | None = None

    def is_free(self, now: float) -> bool:
        """Return whether it may be given a call now."""
        return self.out is None and now >= self.until and self.running < max(1, int(self.limit))

    @property
    def wait(self) -> float:
        """How long one more call would take there, about: a slow host gets fewer."""
        return (self.running + 1) * self.seconds / max(1.0, self.limit)

    def open(self, seconds: float = _AT_FIRST) -> None:
        """Its payment session is open: from now on calls share it."""
        if not self.opened:
            self.opened, self.seconds, self.limit = True, seconds, float(self.most)

    def answered(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self.failures = 0
        if not self.opened:
            self.open(seconds)
            return
        self.seconds += _NEWEST * (seconds - self.seconds)
        self.limit = min(float(self.most), self.limit + 1.0 / max(1.0, self.limit))

    def failed(self, now: float, why: str, *, after: float | None = None) -> None:
        """Count a failure: half as many calls, after a pause that doubles, or of ``after`` seconds
        where the host named them."""
        if now >= self.until:  # calls that fail together are one sign
            self.limit = max(1.0, self.limit / 2)
        if after is None:
            self.failures += 1
            after = FIRST_PAUSE * 2 ** (self.failures - 1)
        self.until = max(self.until, now + min(after, LONGEST_PAUSE))
        if self.failures >= MOST_FAILURES:
            self.out = why


def best(paces: Iterable[Pace], now: float) -> Pace | None:
    """Return the host that is likely to answer first, None if none may be asked now."""
    return min((one for one in paces if one.is_free(now)), key=lambda one: one.wait, default=None)


def next_free(paces: Iterable[Pace], now: float) -> float | None:
    """Return the seconds until a paused host may be asked, None if none is paused."""
    waits = [one.until - now for one in paces if one.out is None and one.until > now]
    return min(waits, default=None)
