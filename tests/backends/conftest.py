"""The simulated network on the embedded chains, and the same on two anvils."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.anvil import AnvilNetwork, binary
from support.simnet import RunningSimnet, isolated_home

from opg_magic.simnet.network import SimNetwork
from opg_magic.simnet.settlement.relay import BatchLimits


@pytest.fixture(scope="session", params=["embedded", "anvil"])
def chain_backend(request: pytest.FixtureRequest) -> str:
    """Whose EVM it is.  Each is marked with its own group, so that parallel workers start it
    once."""
    if request.param == "anvil":
        binary()  # skips where there is none
    return str(request.param)


@pytest.fixture(scope="session")
def backend(
    chain_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningSimnet]:
    """A whole network on that EVM; nothing is batched unasked."""
    made_by = AnvilNetwork if chain_backend == "anvil" else SimNetwork
    home = tmp_path_factory.mktemp(f"{chain_backend}-home")
    # The folder is named at the start alone: other tests' networks have other homes meanwhile.
    with isolated_home(home):
        running = RunningSimnet(made_by=made_by, batch_limits=BatchLimits(1000, 3600.0, 3600.0))
        running.__enter__()
    try:
        yield running
    finally:
        running.__exit__(None, None, None)


@pytest.fixture
def net(backend: RunningSimnet) -> Iterator[RunningSimnet]:
    """It, with honest hosts and nothing left to settle, before and after."""
    backend.settle_now()
    backend.settle_batch()
    yield backend
    backend.reset()
    backend.settle_now()
    backend.settle_batch()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    return tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        spec = getattr(item, "callspec", None)
        if "backends" in item.path.parts and spec is not None and "chain_backend" in spec.params:
            item.add_marker(pytest.mark.simnet)
            item.add_marker(pytest.mark.xdist_group(f"backend-{spec.params['chain_backend']}"))
