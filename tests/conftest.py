"""Puts this folder on the import path, so that every test finds ``support``; the simulated network
as fixtures."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from support.simnet import ProcessSimnet, RunningSimnet, isolated_home

from opg_magic.settings import environment

if TYPE_CHECKING:
    from opg_magic.call.session import Session
    from opg_magic.simnet.oblivious.relay import Relay

# In tests a variable that monkeypatch sets counts at once; for users it counts as it was when the
# process started.
environment.start_from(os.environ)

# No test measures time: a machine that is busy elsewhere is no fault of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# No test reads or writes the ledger, keys and settings of whoever runs it.
os.environ["OPG_HOME"] = tempfile.mkdtemp(prefix="opg-tests-")
atexit.register(shutil.rmtree, os.environ["OPG_HOME"], ignore_errors=True)
# Tests need fixed text: a script answers, whatever weights are on this machine.
os.environ["OPG_SIMNET_MODEL"] = "scripted"

# A run that a shell started in the background ignores SIGINT, and so would all that it starts;
# stops are tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def simnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSimnet]:
    """A simulated network in this process, in a thread of its own, with a home folder of its own.

    One for the whole session: it takes seconds to start.  Cheats are undone after each test by
    ``honest_simnet``."""
    with isolated_home(tmp_path_factory.mktemp("simnet-home")), RunningSimnet() as running:
        yield running


@pytest.fixture
def honest_simnet(simnet: RunningSimnet) -> Iterator[RunningSimnet]:
    """The same network; whatever the test made of its hosts is undone afterwards."""
    yield simnet
    simnet.reset()


@pytest.fixture
def session(
    honest_simnet: RunningSimnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    """A session on that network, with a ledger of the test's own."""
    from opg_magic.call.session import Session
    from opg_magic.settings.config import Settings

    honest_simnet.settle_now()  # what earlier tests left open is not this test's
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    settings = Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)
    made = Session(settings, simulator=lambda _known: honest_simnet.net.state)
    yield made
    made.close()


@pytest.fixture
def relay(honest_simnet: RunningSimnet) -> Iterator[Relay]:
    """The simulated relay; honest again at the end, with an account without limits."""
    from opg_magic.simnet.oblivious import bending

    relay = honest_simnet.net.relay
    yield relay
    relay.carrying = bending.Carrying()
    relay.own.quota, relay.own.per_minute, relay.own.expires_at = None, 600, None


@pytest.fixture
def simnet_process(tmp_path: Path) -> Iterator[ProcessSimnet]:
    """The real background process, in a home folder of this test's own.  Ended afterwards."""
    with isolated_home(tmp_path / "home"):
        process = ProcessSimnet()
        try:
            yield process
        finally:
            process.end()


@pytest.fixture
def opg_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for this test: ledger, keys, simulated network."""
    home = tmp_path / "opg-home"
    monkeypatch.setenv("OPG_HOME", str(home))
    return home


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A long value is named by its argument: a key or a signature in it would be another in each
    worker."""
    return argname if isinstance(val, str | bytes) and len(val) > 60 else None


#: Folders of tests that build, fuzz, or run chains and whole notebooks: ``make check`` leaves them
#: to ``make test``.
SLOW = (
    "backends",
    "corpus",
    "examples",
    "fuzz",
    "packaging",
    "sdk",
    "simnet",
    "wallet/test_payment",
)


#: Tests that share what takes long to make (a build, a model, a network): each of these groups has
#: one worker.
TOGETHER = {
    "packaging/test_distributions": "distributions",
    "packaging/test_labextension": "labextension",
    "kernel/": "kernel",
    "sdk/": "sdk",
    "simnet/test_local_model": "weights",
    "simnet/test_weights_cheats": "weights",
    "weights/": "weights",
}


# First: the workers read the groups in this very hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Whatever uses the simulated network bears its mark, and so does what is too slow for an
    edit's check."""
    here = Path(__file__).parent
    for item in items:
        where = item.path.relative_to(here).as_posix()
        if where.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        for beginning, group in TOGETHER.items():
            if where.startswith(beginning):
                item.add_marker(pytest.mark.xdist_group(group))
        names = set(getattr(item, "fixturenames", ()))
        if names & {"simnet", "honest_simnet", "simnet_process"}:
            item.add_marker(pytest.mark.simnet)
