"""The small model that tests run, where it is on this machine; nothing is fetched here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.local_model import LocalModel
from support.weights import smollm2

from opg_magic.weights.runner import Runner


@pytest.fixture(scope="session")
def model() -> Path:
    return smollm2()


@pytest.fixture(scope="session")
def runner(model: Path) -> Iterator[Runner]:
    with Runner(model, threads=1) as started:
        yield started


@pytest.fixture(scope="session")
def honest(model: Path) -> LocalModel:
    return LocalModel(model)
