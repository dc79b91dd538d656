"""An endpoint on the simulated network of the test run, with a ledger of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.serving import TOKEN, Served

from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.endpoint.app import Manner
from opg_magic.endpoint.listening import Endpoint
from opg_magic.endpoint.token import Token
from opg_magic.models.secret import Secret
from opg_magic.shell.common import in_a_shell


@pytest.fixture
def serve(session: Session) -> Iterator[Callable[..., Served]]:
    """Makes endpoints; ``strict`` and the options of all calls as keywords."""
    made: list[Served] = []

    def start(*, strict: bool = False, **options: Any) -> Served:
        told: list[str] = []
        manner = Manner(CallOptions(**options), strict, in_a_shell, told.append)
        token = Token(Secret(TOKEN))
        endpoint = Endpoint(session, manner, token, bind="127.0.0.1", port=0)
        session.run(endpoint.start())
        made.append(Served(session, endpoint, told))
        return made[-1]

    yield start
    for one in made:
        session.run(one.endpoint.stop())


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
