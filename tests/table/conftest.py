"""A session on the simulated network of the test run, with a ledger of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.simnet import RunningSimnet

from opg_magic.call.session import Session
from opg_magic.settings.config import Settings
from opg_magic.simnet.oblivious import bending
from opg_magic.simnet.oblivious.relay import Relay


@pytest.fixture
def session(
    honest_simnet: RunningSimnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    honest_simnet.settle_now()  # what earlier tests left open is not this test's
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    settings = Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)
    made = Session(settings, simulator=lambda _known: honest_simnet.net.state)
    yield made
    made.close()


@pytest.fixture
def relay(honest_simnet: RunningSimnet) -> Iterator[Relay]:
    """The simulated relay; honest again at the end, with an account without limits."""
    relay = honest_simnet.net.relay
    yield relay
    relay.carrying = bending.Carrying()
    relay.own.quota, relay.own.per_minute, relay.own.expires_at = None, 600, None
