"""A host that answers when it may."""

from __future__ import annotations

import asyncio
import threading

from opg_magic.simnet.host.conduct import Honest


class Slow(Honest):
    """Counts what it is asked, and answers when it may."""

    def __init__(self) -> None:
        self.calls = 0
        self.free = threading.Event()
        self.free.set()
        #: So many are answered while it is not free.
        self.first = 0

    async def before_answer(self, host, request):
        self.calls += 1
        mine = self.calls
        while mine > self.first and not self.free.is_set():
            await asyncio.sleep(0.02)
        return
