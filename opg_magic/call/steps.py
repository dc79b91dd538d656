"""What this machine computes for its calls, one step at a time.

Preparing a call and judging its answer each take a millisecond or more.  Done at once for all calls
whose answers came together, they would keep the next prompts from leaving, and the answers to those
would come together again.  So between two steps the loop serves the connections.

A step writes into the ledger.  While that is brought onto the disk nothing can be written, so steps
wait for it here, and not where they would hold up the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Steps:
    """Grants one step at each pass of the event loop, in the order in which they were asked for."""

    def __init__(self, held_up: Callable[[], asyncio.Future[None] | None] = lambda: None) -> None:
        """``held_up``: what is to be done before the next step, None if nothing is."""
        self._held_up = held_up
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._granting = False

    async def turn(self) -> None:
        """Return at the caller's turn; what it does until its next ``await`` is the step."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._granting:
            self._granting = True
            loop.call_soon(self._grant, loop)
        await mine

    async def last_turn(self) -> None:
        """As :meth:`turn`, for a step that must not be left out: cancelled, it comes at once, and
        the task is cancelled at its next ``await``."""
        try:
            await self.turn()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    def _grant(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._held_up()
        if first is not None and not first.done():
            first.add_done_callback(lambda _: self._grant(loop))
            return
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():
                mine.set_result(None)
                loop.call_soon(self._grant, loop)
                return
        self._granting = False
