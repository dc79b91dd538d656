"""The run: prompts over several hosts at once, each call recorded as it ends.

Nothing is asked twice by itself once it may be charged.  A prompt goes to another host where
nothing was sent.  Where a host answers 429 to a call under an open session, the prompt waits and is
asked again: by the host's word nothing was charged, and the same authorisation covers both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.caps import Caps
from opg_magic.ledger.access import together
from opg_magic.models import Answer, Host, Prompt
from opg_magic.shapes import fitted
from opg_magic.table.pace import FIRST_PAUSE, Pace, best, next_free
from opg_magic.table.rows import Outcome
from opg_magic.table.tally import Tally

if TYPE_CHECKING:
    from opg_magic.call.engine import Engine
    from opg_magic.call.state import CallOptions, EngineSettings, ReadyHost, RunningCall
    from opg_magic.shapes import Shape

log = logging.getLogger(__name__)

#: How often one prompt is given to a host that then does not take it.
_TRIES = 12
#: Seconds between two looks for a host that may be asked.
_LOOK = 0.25


@dataclass(slots=True)
class _AskedHost:
    host: Host
    pace: Pace
    ready: ReadyHost | None = None
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Run:
    """One table on its way.  ``make`` gives the prompt of a text, ``done`` is called with each
    outcome, on the loop."""

    def __init__(
        self,
        engine: Engine,
        options: CallOptions,
        settings: EngineSettings,
        hosts: tuple[Host, ...],
        *,
        concurrency: int,
        caps: Caps,
        tally: Tally,
        make: Callable[[str], Prompt],
        shape: Shape | None,
        done: Callable[[int, Outcome], None],
        end_at_failure: bool = False,
    ) -> None:
        self._engine = engine
        self._options = options
        self._settings = settings
        self._caps = caps
        self._slots = asyncio.Semaphore(concurrency)
        #: Beside the calls that are with a host, some are being written down or checked.
        self._workers = concurrency + max(2, concurrency // 2)
        self._tally = tally
        self._make = make
        self._shape = shape
        self._done = done
        self._end_at_failure = end_at_failure
        self._hosts = [_AskedHost(host, Pace(self._workers)) for host in hosts]
        self._wanted = len(hosts)
        self._freed = asyncio.Event()
        self._reader: ThreadPoolExecutor | None = None
        #: The call that began last: the next one is about like it.
        self._last: RunningCall | None = None
        self._why: str | None = None

    async def ask(self, prompts: Iterator[tuple[int, str]]) -> None:
        """Ask them all.  What cannot be asked is left without an outcome, and the tally says why.

        Cancelled, it stops every call, lets each be recorded, and returns."""
        workers = [asyncio.create_task(self._work(prompts)) for _ in range(self._workers)]
        try:
            await asyncio.wait(workers)
        except asyncio.CancelledError:
            self._why = "stopped"
            for one in workers:
                one.cancel()
            await asyncio.wait(workers)
        finally:
            for one in workers:
                one.cancel()
            self._tally.ended = self._why
            if self._reader is not None:
                self._reader.shutdown(wait=False, cancel_futures=True)
        # The answers are handed out once their receipts are on the disk.
        await self._engine.ledger.on_disk()

    async def _work(self, prompts: Iterator[tuple[int, str]]) -> None:
        for number, text in prompts:
            outcome = await self.one(text)
            if outcome is None:
                return
            self._done(number, outcome)
            if self._why is not None:
                return

    async def one(self, text: str) -> Outcome | None:
        """Ask one prompt, as others are asked at once; None where the run has ended before it was
        sent.  Cancelled, it records the call, if one was sent, and returns that."""
        together.set(True)
        try:
            outcome = await self._outcome(text)
        except Exception as problem:
            # The other calls are under way and paid for: they end, and are handed out.
            log.warning("a row of a table failed unexpectedly", exc_info=True)
            outcome = Outcome(error=_unexpected(problem), unknown=True)
            self._end(_unexpected(problem))
        if outcome is not None:
            self._tally.failed += not outcome.good
            self._tally.answered += outcome.good
            if self._end_at_failure and not outcome.good:
                self._end("ended at the first failure")
        return outcome

    @property
    def ended(self) -> str | None:
        """Why nothing more is asked, None while it is."""
        return self._why

    async def _outcome(self, text: str) -> Outcome | None:
        """What comes of one prompt; None where the whole table ends before it was sent."""
        prompt = self._make(text)
        refused = "no host took it"
        for _ in range(_TRIES):
            asked = await self._free_host()
            if asked is None:
                return None
            pace, begun = asked.pace, time.monotonic()
            pace.running += 1
            try:
                answer = await self._answer(asked, prompt)
                pace.answered(time.monotonic() - begun)
                self._tally.spend(answer.cost)
                return await self._read(answer)
            except errors.HostReportsFailure as problem:
                pace.failed(
                    time.monotonic(),
                    problem.message,
                    after=_pause(problem) if problem.status == 429 else None,
                )
                if problem.status != 429 or _is_first(problem):
                    self._count(problem)
                    return _failed(problem)
                refused = problem.message
            except errors.CallFailed as problem:
                self._judge_host(asked, problem)
                self._count(problem)
                return _failed(problem)
            except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                if not self._goes_on(asked, problem):
                    return None
                refused = problem.message
            except errors.PromptError as problem:
                return _failed(problem)
            except errors.OpgError as problem:
                # The ledger, the wallet, the clock, the chain: no host is the reason.
                self._end(problem.message)
                return None
            finally:
                pace.running -= 1
                self._tally.cap = self._caps.total
                self._caps.rest = self._tally.likely_rest
                self._wake()
        return Outcome(error=refused)

    async def _answer(self, asked: _AskedHost, prompt: Prompt) -> Answer:
        engine, settings = self._engine, self._settings
        call = self._last = engine.start(prompt, self._options, settings)
        call.caps, call.slot = self._caps, self._slots
        if not asked.pace.opened and engine.route.payments.is_open(call, asked.host):
            asked.pace.open()
            self._wake()
        snapshot = await engine.hosts.snapshot(settings)
        # Calls that begin at once look at a host once.
        async with asked.checking:
            ready = await engine.hosts.check(asked.host, snapshot, settings, policy=call.policy)
        asked.ready = ready
        answer = await engine.ask_host(call, ready, settings)
        return await engine.reruns.look(answer, settings, call.policy)

    async def _read(self, answer: Answer) -> Outcome:
        """The answer in its shape, by a thread of the table's own: the user's types may take their
        time, and ask themselves.  On the loop they would hold up all other calls, or for ever wait
        for it."""
        if self._shape is None:
            return outcome_of(answer, None)
        self._reader = self._reader or ThreadPoolExecutor(1, "opg-shapes")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reader, outcome_of, answer, self._shape)
        except asyncio.CancelledError:
            return Outcome(
                error="stopped before its answer was read; it is in its receipt",
                verdict=answer.verdict.label,
                receipt=answer.receipt.id,
            )

    # ---------------------------------------------------------------------------------------- hosts

    async def _free_host(self) -> _AskedHost | None:
        """A host that may be asked now, once there is one; None where none is left."""
        while self._why is None:
            for one in self._hosts:
                aside = self._engine.hosts.set_aside.get(one.host.tee_id)
                if aside is not None and self._options.host is None:
                    one.pace.out = aside
            await self._replace()
            now = time.monotonic()
            chosen = self._best(now)
            if chosen is not None:
                return chosen
            if all(one.pace.out is not None for one in self._hosts):
                reasons = dict.fromkeys(
                    f"{one.host.short_id}: {one.pace.out}" for one in self._hosts
                )
                self._end("no host can be used: " + "; ".join(reasons))
                return None
            wait = next_free([one.pace for one in self._hosts], now)
            self._freed.clear()
            try:
                async with asyncio.timeout(_LOOK if wait is None else min(wait, _LOOK)):
                    await self._freed.wait()
            except TimeoutError:
                pass
        return None

    def _best(self, now: float) -> _AskedHost | None:
        """The host that is likely to answer first; one whose session is used up only where the
        others' do not carry the rest."""
        hosts = {id(one.pace): one for one in self._hosts}
        fit = (one.pace for one in self._hosts if not self._is_used_up(one))
        chosen = best(fit, now) or best((one.pace for one in self._hosts), now)
        return None if chosen is None else hosts[id(chosen)]

    def _is_used_up(self, asked: _AskedHost) -> bool:
        if self._last is None or asked.ready is None or not asked.pace.opened:
            return False
        return self._engine.route.payments.is_used_up(self._last, asked.ready, asked.pace.running)

    async def _replace(self) -> None:
        """Another host for one that is out, if there is one."""
        using = sum(one.pace.out is None for one in self._hosts)
        if using >= self._wanted or self._options.host is not None:
            return
        try:
            snapshot = await self._engine.hosts.snapshot(self._settings)
        except errors.OpgError:
            # The registry cannot be asked now: the other hosts go on.
            self._wanted = using
            return
        known = {one.host.tee_id for one in self._hosts}
        for host in self._engine.hosts.in_order(snapshot):
            if host.tee_id not in known and using < self._wanted:
                self._hosts.append(_AskedHost(host, Pace(self._workers)))
                using += 1
        self._wanted = using

    def _goes_on(self, asked: _AskedHost, problem: errors.OpgError) -> bool:
        """Whether the prompt may be asked elsewhere: nothing was sent to this host."""
        if isinstance(problem, errors.LimitExceeded):
            self._end(problem.message)
            return False
        if isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
            self._engine.hosts.skip(asked.host, problem.message)
            asked.pace.out = problem.message
        elif isinstance(problem, errors.PaymentRefused):
            asked.pace.out = problem.message
        else:
            self._engine.hosts.note_down(asked.host)
            asked.pace.failed(time.monotonic(), problem.message)
        return True

    def _judge_host(self, asked: _AskedHost, problem: errors.CallFailed) -> None:
        verdict = problem.verdict
        if isinstance(problem, errors.AnswerWithheld) and verdict and verdict.failed_claims:
            asked.pace.out = problem.message
            return
        asked.pace.failed(time.monotonic(), problem.message)

    def _count(self, problem: errors.CallFailed) -> None:
        if problem.cost is not None:
            self._tally.spend(problem.cost)

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._wake()

    def _wake(self) -> None:
        self._freed.set()


def _unexpected(problem: Exception) -> str:
    return (
        f"opg_magic failed here ({type(problem).__name__}), and the call may have been paid for; "
        "what was recorded is in the ledger"
    )


def _pause(busy: errors.HostReportsFailure) -> float:
    return FIRST_PAUSE if busy.retry_after is None else busy.retry_after


def _is_first(problem: errors.CallFailed) -> bool:
    """Whether the call had an authorisation of its own: the host may still collect under it."""
    payment = None if problem.receipt is None else problem.receipt.document["payment"]
    return bool(payment and payment["first_call"])


def outcome_of(answer: Answer, shape: Shape | None, *, recorded: bool = False) -> Outcome:
    """What a table keeps of an answer: a good one that does not fit its shape is none."""
    try:
        fits = fitted(answer, shape)
    except errors.ShapeMismatch as problem:
        return replace(_failed(problem), recorded=recorded)
    return Outcome(
        text=fits.text,
        verdict=fits.verdict.label,
        receipt=fits.receipt.id,
        recorded=recorded,
        data=fits.data,
    )


def _failed(problem: errors.OpgError) -> Outcome:
    verdict = getattr(problem, "verdict", None)
    return Outcome(
        error=problem.message,
        verdict=None if verdict is None else verdict.label,
        receipt=problem.receipt_id,
    )
