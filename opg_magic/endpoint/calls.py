"""The calls that run for the endpoint's clients: each in a task of its own, so that a client that
goes away stops its call, and what was paid for is still recorded."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.endpoint.failures import broken, refusal_of, stopped, unverified
from opg_magic.endpoint.refusal import Refusal
from opg_magic.models import Answer, Charge, Progress, Prompt, VerdictStatus

_log = logging.getLogger(__name__)

#: How often OpenAI's clients have sent a request before this time.
_RETRIES = "x-stainless-retry-count"
_MOST_REMEMBERED = 10_000
#: Seconds after a failure in which the same request is taken for a repetition by the client.
QUIET_SECONDS = 10.0


class Calls:
    """Runs on the session's own loop."""

    def __init__(self, session: Session, options: CallOptions, words: Callable[[str], str]) -> None:
        """``words`` makes a message fit for a shell."""
        self._session = session
        # Whoever started it, a program is no notebook that runs again: it asks for another answer.
        self._options = replace(options, fresh=True)
        self._words = words
        self._running: set[asyncio.Task[Answer]] = set()
        self._stopping = False

    def start(
        self, prompt: Prompt, observer: Callable[[Progress], None] | None = None
    ) -> asyncio.Task[Answer]:
        """Begin a call.  Raises Refusal while the endpoint is being stopped."""
        if self._stopping:
            raise stopped(None)
        call = asyncio.ensure_future(self._session.ask_here(prompt, self._options, observer))
        self._running.add(call)
        call.add_done_callback(self._running.discard)
        return call

    async def answer(self, call: asyncio.Task[Answer]) -> Answer:
        """The call's answer, once it has passed.  Raises Refusal."""
        try:
            answer = await asyncio.shield(call)
        except asyncio.CancelledError:
            if call.cancelled() and self._stopping:
                raise stopped(None) from None
            raise
        except errors.OpgError as problem:
            found = stopped(problem) if self._stopping else refusal_of(problem, self._words)
            raise found from problem
        except Exception as problem:
            _log.warning("a call failed unexpectedly", exc_info=True)
            raise broken(problem) from None
        if answer.verdict.outcome is VerdictStatus.UNVERIFIED:
            raise unverified(answer)
        return answer

    async def end(self, call: asyncio.Task[Answer]) -> None:
        """Stop a call, and wait until what came of it is recorded."""
        call.cancel()
        while not call.done():
            try:
                await asyncio.wait([call])
            except asyncio.CancelledError:
                # Whoever waits may be stopped as well; the record comes first.
                continue
        if not call.cancelled():
            call.exception()  # seen: nobody else asks for it

    async def stop(self) -> None:
        """Stop all calls, and begin no more."""
        self._stopping = True
        await asyncio.gather(*(self.end(call) for call in tuple(self._running)))


class Repeats:
    """Requests that a client must not send again by itself: their calls may have been paid for, and
    it got no answer.

    OpenAI's clients repeat a request after a timeout or a broken connection, and say so in a
    header.  Others repeat it a few seconds after an error, and say nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: By name, when the client was told of the failure; None if it was not told.
        self._open: OrderedDict[bytes, float | None] = OrderedDict()

    def begin(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Note a request; returns its name for the other methods.  Raises Refusal for a repetition
        of one that is not over."""
        name = hashlib.sha256(body).digest()
        failed = self._open.get(name)
        lately = failed is not None and self._clock() - failed < QUIET_SECONDS
        if lately or (name in self._open and headers.get(_RETRIES, "0") != "0"):
            raise Refusal(
                409,
                "The same request was made just now, got no answer and may have been paid for. It "
                "was not sent again: a client may have repeated it by itself. Look it up: opg "
                f"receipts list. To repeat it, wait {QUIET_SECONDS:g} s.",
                "api_error",
                "repeated",
            )
        self._open[name] = None
        self._open.move_to_end(name)
        if len(self._open) > _MOST_REMEMBERED:
            self._open.popitem(last=False)
        return name

    def failed(self, name: bytes) -> None:
        """The client is told of a failure by a status, after which many ask again."""
        self._open[name] = self._clock()

    def over(self, name: bytes) -> None:
        """The client has its answer, or nothing was paid."""
        self._open.pop(name, None)


def paid_nothing(call: asyncio.Task[Answer]) -> bool:
    """Whether a call that has ended is known to have cost nothing."""
    if call.cancelled():
        return True
    problem = call.exception()
    return isinstance(problem, errors.OpgError) and problem.charge in (None, Charge.NONE)
