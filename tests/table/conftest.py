"""What the tests of tables share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.simnet import RunningSimnet
from support.slow import Slow


@pytest.fixture
def anna(honest_simnet: RunningSimnet) -> Iterator[Slow]:
    conduct = Slow()

    async def put() -> None:
        honest_simnet.host("anna").play(conduct)

    honest_simnet.run(put())
    yield conduct
    conduct.free.set()
