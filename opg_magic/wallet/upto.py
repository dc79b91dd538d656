"""A host's payment sessions: one authorisation and one settlement pay for many calls.

Pure bookkeeping; callers pass the time.  The session ID is a spending secret and is kept only here,
in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from opg_magic.models import Authorisation
from opg_magic.models.secret import Secret

#: Seconds between two looks of a host at which of its sessions are idle.
LOOK_SECONDS = 25

#: Seconds from the start of a settlement until it is mined.  Hosts want it 6 s before the deadline,
#: and it takes a moment.
MINED_SECONDS = 10

#: A call without a timeout of its own joins, or opens, a session that leaves it at least this long.
MIN_WINDOW_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Timing:
    """When a payment session may be used, from how long its host leaves it idle (seconds, by the
    host's own clock)."""

    idle: float = 100.0

    @property
    def settlement(self) -> float:
        """From the last answer's end to the signed deadline: a session still in use then is never
        settled."""
        return self.idle + LOOK_SECONDS + MINED_SECONDS

    @property
    def join_within(self) -> float:
        """A session is left alone this long after its last charge: by then its host may be closing
        it."""
        return self.idle * 0.85

    def answer_by(self, deadline: datetime) -> datetime:
        """The moment by which the last answer must have ended for its settlement to be mined in
        time."""
        return deadline - timedelta(seconds=self.settlement)


@dataclass(slots=True, eq=False)
class UptoSession:
    """One open session: what was signed, when, and what was spent from it by the host's own
    figures."""

    tee_id: str
    path: str
    session_id: Secret[str]
    authorisation: Authorisation
    last_used: datetime
    timing: Timing = Timing()
    spent: int = 0
    calls: int = 0
    #: The dearest call so far, in base units: what one of unknown length is counted with, twice.
    dearest: int = 0
    #: What calls that are under way may still cost, by call.
    held: dict[int, int] = field(default_factory=dict)

    @property
    def answer_by(self) -> datetime:
        """The moment by which the last answer must have ended."""
        return self.timing.answer_by(
            datetime.fromtimestamp(self.authorisation.deadline, tz=self.last_used.tzinfo)
        )

    def window(self, now: datetime) -> float:
        """Seconds that a call started now may take; 0 if the session should not be used any
        more."""
        if (now - self.last_used).total_seconds() > self.timing.join_within:
            return 0.0
        return max(0.0, (self.answer_by - now).total_seconds())

    def carries(
        self, now: datetime, *, timeout: float, timeout_is_users: bool, worst_cost: int | None
    ) -> bool:
        """Return whether a call may start now, if no other were under way: it must end in time, and
        its worst cost (base units) must fit into what is left of the cap."""
        left = self.window(now)
        if left < least_window(timeout, timeout_is_users=timeout_is_users):
            return False
        return self.needs(worst_cost) <= self.authorisation.cap - self.spent

    def needs(self, worst_cost: int | None) -> int:
        """Return what a call is counted with until its cost is known, in base units: its worst
        cost, or where that is not known twice what the dearest call came to."""
        return max(1, 2 * self.dearest if worst_cost is None else worst_cost)

    def has_room(self, worst_cost: int | None, *, call: int | None = None, more: int = 0) -> bool:
        """Return whether the call (None: one that is not counted yet), and so many ``more``, fit
        beside those under way; a host does not charge what exceeds the cap."""
        others = sum(amount for other, amount in self.held.items() if other != call)
        wanted = self.needs(worst_cost) * (1 + more)
        return wanted + others <= self.authorisation.cap - self.spent

    def is_ending(self, worst_cost: int | None, *, call: int) -> bool:
        """Return whether the calls that are under way beside this one, twice more, are about all
        that still fits.  Opening the next session takes as long as a call and a little: by then
        this one is full."""
        others = [amount for other, amount in self.held.items() if other != call]
        room = self.authorisation.cap - self.spent - sum(others)
        return bool(others) and room < 2 * (len(others) + 1) * self.needs(worst_cost)

    def charged(self, amount: int, at: datetime) -> None:
        """Count a call that has ended, and what it cost (base units)."""
        self.spent += amount
        self.calls += 1
        self.dearest = max(self.dearest, amount)
        self.last_used = at


def least_window(timeout: float, *, timeout_is_users: bool) -> float:
    """Return the seconds that a call must be given: all that its user asked for, or else
    :data:`MIN_WINDOW_SECONDS` of what the settings say."""
    return timeout if timeout_is_users else min(timeout, MIN_WINDOW_SECONDS)


class UptoSessions:
    """The open sessions of one kernel.  A session is bound to a host and a path; both may have a
    next one beside it while it is used up."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], tuple[UptoSession, ...]] = {}

    def of(self, tee_id: str, path: str) -> tuple[UptoSession, ...]:
        """Return the open sessions of this host and path, the oldest first."""
        return self._open.get((tee_id, path), ())

    def put(self, session: UptoSession) -> None:
        """Keep a session, in place of the older ones of the same host and path that no call
        uses."""
        used = tuple(one for one in self.of(session.tee_id, session.path) if one.held)
        self._open[(session.tee_id, session.path)] = (*used, session)

    def drop(self, session: UptoSession) -> None:
        """Forget a session; the others of the same host and path stay."""
        left = [one for one in self.of(session.tee_id, session.path) if one is not session]
        self._open[(session.tee_id, session.path)] = tuple(left)

    def __iter__(self) -> Iterator[UptoSession]:
        return (one for sessions in tuple(self._open.values()) for one in sessions)

    def clear(self) -> None:
        """Forget all sessions."""
        self._open.clear()
