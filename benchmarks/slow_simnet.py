"""A simulated network whose hosts take a while for each answer, in a process of its own, until its
standard input closes.

``python slow_simnet.py SECONDS`` prints the network's state as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from opg_magic.models import Kind
from opg_magic.simnet.model.interface import Reply
from opg_magic.simnet.model.scripted import ScriptedModel, answer
from opg_magic.simnet.network import SimNetwork


class Slow(ScriptedModel):
    """Answers from the script after a fixed time, however many ask at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__(token_delay=0.0)
        self._seconds = seconds

    async def reply(self, body: Mapping[str, Any], kind: Kind) -> Reply:
        await asyncio.sleep(self._seconds)
        return answer(body, kind)


async def main() -> None:
    network = SimNetwork(model=Slow(float(sys.argv[1])))
    await network.start()
    print(json.dumps(network.state), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await network.stop()


if __name__ == "__main__":
    asyncio.run(main())
