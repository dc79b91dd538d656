"""The desk: asks the prompts of a table whose rows are worked on elsewhere.

Keys, limits and ledger stay in this process.  Whoever works on a part of the table hands its
prompts in and gets their outcomes.  Equal prompts share one call, whoever asks, unless each has a
place of its own; only prompts that were planned are asked, and each once: what may have been paid
for is never asked again here."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.caps import Caps
from opg_magic.network.background import GRACE_SECONDS
from opg_magic.receipt.table import Counts
from opg_magic.table.parts import PLACE_BYTES
from opg_magic.table.rows import Outcome
from opg_magic.table.running import Run, outcome_of
from opg_magic.table.shown import Shown
from opg_magic.table.taken_along import taken_along
from opg_magic.table.tally import Tally
from opg_magic.table.watch import Watch

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.table.mapping import Job
    from opg_magic.table.plan import Plan
    from opg_magic.table.question import Question

log = logging.getLogger(__name__)

_STOPPED = Outcome(error="not asked: stopped; map the table again for the rest")


@dataclass(slots=True, eq=False)
class _Flight:
    """One prompt on its way.  ``wanted``: how many wait for it; ``begun``: it may be sent now."""

    key: bytes
    text: str
    outcome: asyncio.Future[Outcome]
    wanted: int = 0
    begun: bool = False
    task: asyncio.Task[None] | None = field(default=None)


class Desk:
    """Answers for one planned table, as long as the session lives.  ``keys``: what was planned, key
    and place; ``recorded``: the keys of what the ledger held then.  ``shown`` shows how it goes,
    without ``live`` how it went.  With ``once`` every outcome is the last."""

    def __init__(
        self,
        job: Job,
        session: Session,
        planned: Plan,
        question: Question,
        keys: Iterable[bytes],
        recorded: Collection[bytes] = (),
        shown: Callable[[], Shown] | None = None,
        *,
        live: bool = True,
        once: bool = False,
    ) -> None:
        self.id, self.pid = secrets.token_hex(16), os.getpid()
        self._job, self._session, self._planned = job, session, planned
        self._question = question
        #: What came of each planned prompt: the id of its receipt, why it failed, or nothing yet.
        self._known: dict[bytes, str | Outcome | None] = dict.fromkeys(keys)
        #: Each asked for itself, an answer to an equal prompt is no answer to this one: but for
        #: those that were there before.
        self._recorded_before = None if question.dedupe else frozenset(recorded)
        self._once = once
        self._first_failure: Outcome | None = None
        self._flights: dict[bytes, _Flight] = {}
        self._lookups: set[asyncio.Task[None]] = set()  # kept, or they may be collected
        #: Over all parts and runs: max_cost is for the whole table.
        self._caps = Caps(job.max_cost, planned=planned.authorisations)
        self._tally = Tally(planned.distinct, planned.token, to_ask=planned.ask)
        self.watch = Watch(
            planned.distinct,
            self._tally,
            lambda: not self.done(),
            self._receipts,
            shown,
            live=live,
        )
        self._calls = max(1, min(job.concurrency, planned.ask))
        self._room = asyncio.Semaphore(self._calls + max(2, self._calls // 2))
        self._run: Run | None = None
        self._starting = asyncio.Lock()
        self._stopped = False

    def submit(self, texts: Sequence[str], places: Sequence[bytes]) -> Future[list[Outcome]]:
        """Return what will come of these prompts at these places, in their order.

        Cancelled, those that nobody else waits for and that were not sent are not asked."""
        return asyncio.run_coroutine_threadsafe(
            self._outcomes(texts, places), self._session.loop().loop
        )

    async def _outcomes(self, texts: Sequence[str], places: Sequence[bytes]) -> list[Outcome]:
        keys = await asyncio.to_thread(
            lambda: [
                self._question.key(text) + place for text, place in zip(texts, places, strict=True)
            ]
        )
        self._session.counted(+1)
        self._session.attend(self)
        mine, new = self._joined(keys, texts)
        if new:
            lookup = asyncio.create_task(self._begin(new))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)
        try:
            if mine:
                await asyncio.wait({flight.outcome for flight in mine})
            # Handed out once their receipts are on the disk.
            await self._session.ledger.on_disk()
            if self.watch.complete:
                await asyncio.to_thread(self.watch.end)
            return [flight.outcome.result() for flight in mine]
        finally:
            for flight in mine:
                self._leave(flight)
            self._session.counted(-1)

    def _joined(
        self, keys: Sequence[bytes], texts: Sequence[str]
    ) -> tuple[list[_Flight], list[_Flight]]:
        """A flight for each prompt, and which of them are new."""
        mine: list[_Flight] = []
        new: list[_Flight] = []
        for key, text in zip(keys, texts, strict=True):
            flight = self._flights.get(key)
            if flight is None:
                made: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
                flight = self._flights[key] = _Flight(key, text, made)
                new.append(flight)
            flight.wanted += 1
            mine.append(flight)
        return mine, new

    def _leave(self, flight: _Flight) -> None:
        flight.wanted -= 1
        if flight.wanted or flight.begun or flight.outcome.done():
            return
        # Whoever wants it from now on begins it anew.
        self._end(flight, _STOPPED)
        if flight.task is not None:
            flight.task.cancel()

    def _end(self, flight: _Flight, outcome: Outcome) -> None:
        if not flight.outcome.done():
            flight.outcome.set_result(outcome)
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    # -------------------------------------------------------------------------------------- asking

    async def _begin(self, flights: Sequence[_Flight]) -> None:
        """Answer what is known already, and ask the rest."""
        left = list(flights)
        try:
            known = await asyncio.to_thread(self._recorded, [flight.key for flight in flights])
            left = [one for one, outcome in zip(flights, known, strict=True) if outcome is None]
            # These are answered, whether others can be asked or not.
            for flight, outcome in zip(flights, known, strict=True):
                if outcome is not None and not flight.outcome.done():
                    if flight.key in self._known:
                        self.watch.count(flight.key, outcome)
                    self._end(flight, outcome)
            run = await self._running() if left else None
        except BaseException as problem:
            for flight in left:
                self._end(flight, _not_asked(problem))
            if not isinstance(problem, Exception):
                raise
            return
        for flight in left:
            if run is not None and not flight.outcome.done():
                flight.task = asyncio.create_task(self._ask(flight, run))

    def _recorded(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        """What is known of each prompt, None where it is to be asked.  Reads the ledger."""
        found: dict[bytes, Outcome] = {}
        unasked: list[bytes] = []
        for key in dict.fromkeys(keys):
            known = self._known.get(key, _UNPLANNED)
            if isinstance(known, str):
                found[key] = self._of_receipt(known)
            elif known is not None:
                found[key] = known
            else:
                unasked.append(key)
        if unasked and not self._job.fresh:
            found |= self._in_the_ledger(unasked)
        return [found.get(key) for key in keys]

    def _in_the_ledger(self, keys: Sequence[bytes]) -> dict[bytes, Outcome]:
        found: dict[bytes, Outcome] = {}
        prompts = [key if self._question.dedupe else key[:-PLACE_BYTES] for key in keys]
        if self._recorded_before is not None:
            prompts = [one for one in prompts if one in self._recorded_before]
        different = list(dict.fromkeys(prompts))
        answers = self._question.recorded(different, self._session, self._job.options)
        answered = {
            prompt: outcome_of(answer, self._job.shape, recorded=True)
            for prompt, answer in zip(different, answers, strict=True)
            if answer is not None
        }
        for key in keys:
            outcome = answered.get(key if self._question.dedupe else key[:-PLACE_BYTES])
            if outcome is not None:
                found[key] = outcome
                self._known[key] = outcome.receipt if outcome.good else outcome
        return found

    def _of_receipt(self, id: str) -> Outcome:
        """The answer that this desk was given before."""
        try:
            return outcome_of(self._session.show(id), self._job.shape, recorded=True)
        except errors.OpgError as problem:
            return Outcome(error=problem.message, receipt=id)

    async def _running(self) -> Run:
        """The run that asks: another one where a limit, or the hosts, ended it."""
        async with self._starting:
            if self._stopped:
                raise asyncio.CancelledError
            if self._run is None or (self._run.ended is not None and not self._ends_at(self._run)):
                if not self._planned.hosts:
                    raise errors.ArgumentError(
                        "its answer was in the ledger when map() planned the table; map it again"
                    )
                self._first_failure = None
                if self._run is not None:
                    self._session.settings.reread_limits()
                engine = await asyncio.to_thread(self._session.engine, self._job.options)
                self._run = Run(
                    engine,
                    self._session.by_id(self._job.options),
                    self._session.engine_settings(engine.network),
                    self._planned.hosts,
                    concurrency=self._calls,
                    tally=self._tally,
                    make=self._question.prompt,
                    shape=self._job.shape,
                    done=lambda _number, _outcome: None,
                    end_at_failure=self._question.end_at_failure,
                    caps=self._caps,
                )
            return self._run

    def _ends_at(self, run: Run) -> bool:
        """Whether the computation that this run asks for is to end, and has not yet."""
        return self._question.end_at_failure and any(
            flight.begun for flight in self._flights.values()
        )

    async def _ask(self, flight: _Flight, run: Run) -> None:
        outcome = _STOPPED
        try:
            async with self._room:
                flight.begun = True
                self.watch.begun()
                came = await run.one(flight.text)
            if came is not None:
                self.watch.count(flight.key, came)
                if not came.good and self._question.end_at_failure:
                    self._first_failure = self._first_failure or came
            else:
                self.watch.tally.ended = run.ended
            outcome = came or self._first_failure or Outcome(error=f"not asked: {run.ended}")
            if outcome.good:
                self._known[flight.key] = outcome.receipt
            elif outcome.receipt is not None or outcome.unknown or self._once:
                # It may have been paid for: who asks again gets the same reason.
                self._known[flight.key] = outcome
        finally:
            self._end(flight, outcome)

    def _receipts(self, keys: Collection[bytes], figures: str) -> dict[str, Any] | None:
        """What a cell's output holds of the calls of these prompts: their receipts, in the order of
        the table."""
        ids: dict[str, None] = {}
        for key, known in self._known.items():
            id = known.receipt if isinstance(known, Outcome) else known
            if key in keys and id is not None:
                ids[id] = None
        counts = Counts(self._planned.rows, self._planned.distinct, figures)
        return taken_along(self._session.ledger, [*ids], counts)

    # -------------------------------------------------------------------------------------- ending

    def stop(self) -> None:
        """Ask nothing more, and stop the calls under way; each is recorded."""
        self._stopped = True
        self._session.loop().loop.call_soon_threadsafe(self._cancel)

    def close(self) -> None:
        """Ask nothing more.  Calls under way, which are paid for, go on."""
        self._stopped = True
        self._session.loop().loop.call_soon_threadsafe(lambda: self._cancel(begun=False))

    def _cancel(self, *, begun: bool = True) -> None:
        for flight in list(self._flights.values()):
            if flight.task is not None and (begun or not flight.begun):
                flight.task.cancel()

    def done(self) -> bool:
        """Return whether nothing is being asked now."""
        return not self._flights

    def ended(self, seconds: float = GRACE_SECONDS) -> bool:
        """Wait so long for stopped calls to be recorded; return whether they have been."""

        async def all_of_them() -> None:
            waiting = {flight.outcome for flight in self._flights.values()}
            if waiting:
                await asyncio.wait(waiting, timeout=seconds)

        seconds = max(0.0, seconds)
        with suppress(KeyboardInterrupt, TimeoutError):
            loop = self._session.loop().loop
            asyncio.run_coroutine_threadsafe(all_of_them(), loop).result(seconds + 1)
        if self.done():
            self.watch.end()
        return self.done()


#: What a desk says of a prompt that it was not made for.
_UNPLANNED = Outcome(
    error="not asked: map() planned no such row, so its data changed since; map the table again"
)


def _not_asked(problem: BaseException) -> Outcome:
    if isinstance(problem, errors.OpgError):
        return Outcome(error=f"not asked: {problem.message}")
    if isinstance(problem, asyncio.CancelledError):
        return _STOPPED
    log.warning("a part of a table could not be asked", exc_info=problem)
    return Outcome(error=f"not asked: opg_magic failed here ({type(problem).__name__})")
