"""A host's ``upto`` sessions: one authorisation and one settlement cover many calls (protocol section 3).

Pure bookkeeping with the time given in.  The session id is a spending secret and lives here only, in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from opg_magic.models import Authorisation
from opg_magic.secret import Secret

#: Seconds between the last answer's end and the signed deadline: the host waits about 100 s idle, then must have its
#: settlement mined 6 s before the deadline.  With 300 s this leaves 165 s to answer in.
SETTLEMENT_SECONDS = 135

#: A session is left alone this long after its last charge: hosts close it at about 100 s, by their own clock.
IDLE_SECONDS = 85

#: A call without a time-out of its own joins a session that has at least this long left.
MIN_WINDOW_SECONDS = 45


@dataclass(slots=True)
class UptoSession:
    """One open session: what was signed, when, and what was spent from it by the host's own figures."""

    tee_id: str
    path: str
    session_id: Secret[str]
    authorisation: Authorisation
    last_used: datetime
    spent: int = 0
    calls: int = 0

    @property
    def answer_by(self) -> datetime:
        """The moment by which the last answer must have ended for its settlement to be mined in time."""
        deadline = datetime.fromtimestamp(self.authorisation.deadline, tz=self.last_used.tzinfo)
        return deadline - timedelta(seconds=SETTLEMENT_SECONDS)

    def window(self, now: datetime) -> float:
        """Seconds that a call started now may take; 0 if the session should not be used any more."""
        if (now - self.last_used).total_seconds() > IDLE_SECONDS:
            return 0.0
        return max(0.0, (self.answer_by - now).total_seconds())

    def carries(self, now: datetime, *, timeout: float, timeout_is_users: bool, worst_cost: int | None) -> bool:
        """Whether a call may start now: it must end in time, and its worst cost fit into what is left of the cap."""
        left = self.window(now)
        if left < (timeout if timeout_is_users else min(timeout, MIN_WINDOW_SECONDS)):
            return False
        remaining = self.authorisation.cap - self.spent
        return remaining > 0 and (worst_cost is None or worst_cost <= remaining)


class UptoSessions:
    """The open sessions of one kernel, one for each host and path (a session is bound to both)."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], UptoSession] = {}

    def get(self, tee_id: str, path: str) -> UptoSession | None:
        return self._open.get((tee_id, path))

    def put(self, session: UptoSession) -> None:
        self._open[(session.tee_id, session.path)] = session

    def drop(self, session: UptoSession) -> None:
        """Forget a session; a newer one of the same host and path stays."""
        key = (session.tee_id, session.path)
        if self._open.get(key) is session:
            del self._open[key]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(tuple(self._open.values()))

    def clear(self) -> None:
        self._open.clear()
