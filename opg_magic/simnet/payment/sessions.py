"""A host's ``upto`` sessions: what one authorisation has paid for so far, and when its sum is
collected.

As the real software does it: sessions live in memory, every 25 seconds the idle ones are looked
for, and each is settled once, whatever comes of it.  One that is kept busy up to its deadline is
therefore never paid.  A remainder is not reserved for a call that is under way, and a cost above it
is not charged, though the answer is given."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from opg_magic.models.secret import Secret
from opg_magic.simnet.payment.facilitator import PaymentInvalid, SignedPayment
from opg_magic.simnet.payment.terms import Rhythm

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Session:
    """What one authorisation has paid for, bound to a method and a path.  ``id`` is a spending
    secret."""

    id: Secret[str]
    payment: SignedPayment
    method: str
    path: str
    last_charge: float
    charged: int = 0
    #: Set once no further charge is taken: settled, or tried to.
    closed: bool = False
    transaction: str | None = None
    #: Why nothing was collected, in the facilitator's word.
    failure: str | None = field(default=None)

    @property
    def remaining(self) -> int:
        """What may still be charged, in base units."""
        return self.payment.authorisation.cap - self.charged


class Sessions:
    """``settle`` collects a session's sum; it gives the transaction's hash, None where the host
    wants nothing.

    ``rhythm`` says when; ``clock`` is the payment chain's.
    """

    def __init__(
        self,
        settle: Callable[[SignedPayment, int], Awaitable[str | None]],
        *,
        rhythm: Callable[[], Rhythm],
        clock: Callable[[], float] = time.time,
        on_settled: Callable[[Session], None] = lambda _: None,
    ) -> None:
        self._settle_payment = settle
        self._rhythm = rhythm
        self._clock = clock
        self._on_settled = on_settled
        self._by_id: dict[str, Session] = {}
        self._by_payment: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, payment: SignedPayment, method: str, path: str) -> Session | None:
        """The session of this very header, or a new one.  None if it takes no more, or is for
        another path."""
        known = self._by_payment.get(payment.key)
        if known is not None:
            return known if self._usable(known, method, path) else None
        session = Session(Secret(str(uuid.uuid4())), payment, method, path, self._clock())
        self._by_id[session.id.reveal()] = self._by_payment[payment.key] = session
        self._look_later()
        return session

    def resume(self, session_id: str, method: str, path: str) -> Session | None:
        """The open session of that id, if it may be used for this method and path."""
        session = self._by_id.get(session_id)
        return session if session is not None and self._usable(session, method, path) else None

    def charge(self, session: Session, cost: int) -> bool:
        """Add ``cost`` base units.  False, and nothing charged, if it is above the remainder or the
        session closed."""
        if session.closed or cost > session.remaining:
            return False
        session.charged += cost
        session.last_charge = self._clock()
        return True

    async def settle_all(self) -> list[str]:
        """Settle every open session now; the hashes of the transactions."""
        return [
            tx
            for tx in [await self._settle(s) for s in list(self._by_id.values())]
            if tx is not None
        ]

    def look_again(self) -> None:
        """Look now, after the clock or the rhythm was changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._look()

    def forget(self) -> int:
        """Lose all sessions, as a restart does: what was charged and not settled is never
        collected.  How many."""
        lost = len(self.open)
        for session in self._by_id.values():
            session.closed = True
        self._by_id.clear()
        self._by_payment.clear()
        return lost

    async def close(self) -> None:
        """Stop looking, and wait for settlements under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> list[Session]:
        """The sessions that are not settled yet."""
        return [session for session in self._by_id.values() if not session.closed]

    @property
    def open_count(self) -> int:
        """How many sessions are not settled yet."""
        return len(self.open)

    # --------------------------------------------------------------------------------------- inside

    def _usable(self, session: Session, method: str, path: str) -> bool:
        bound = session.method == method and session.path == path
        return bound and not session.closed and session.remaining > 0 and not self._ends(session)

    def _ends(self, session: Session) -> bool:
        """Whether such a host takes no more calls on it, because its deadline comes near."""
        margin = self._rhythm().stops_before
        return (
            margin is not None and self._clock() >= session.payment.authorisation.deadline - margin
        )

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._rhythm().look, self._look)

    def _look(self) -> None:
        """Settle what is idle; go on looking while a session is open."""
        self._timer = None
        now, idle = self._clock(), self._rhythm().idle
        for session in self.open:
            if now - session.last_charge >= idle or self._ends(session):
                self._start(session)
        if self.open:
            self._look_later()

    def _start(self, session: Session) -> None:
        async def settle() -> None:
            await self._settle(session)

        task = asyncio.get_running_loop().create_task(settle())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, session: Session) -> str | None:
        if session.closed:
            return None
        session.closed = True
        if session.charged == 0:
            return None
        try:
            session.transaction = await self._settle_payment(session.payment, session.charged)
        except Exception as error:
            # The money stays with the payer: a host's loss.  Real hosts log it as settled, and do
            # not try again.  No signature, no id in the log.
            session.failure = (
                error.reason if isinstance(error, PaymentInvalid) else type(error).__name__
            )
            log.warning("%d base units are not collected: %s", session.charged, session.failure)
            return None
        if session.transaction is not None:
            self._on_settled(session)
        return session.transaction
