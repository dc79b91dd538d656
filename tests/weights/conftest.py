"""The small model that tests run, where it is on this machine; nothing is fetched here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
from support.local_model import LocalModel

from opg_magic.weights import fetch
from opg_magic.weights.runner import Runner


def _model() -> Path | None:
    """The GGUF that ``opg models get smollm2`` put into the user's own cache, not the tests'."""
    folder = Path(platformdirs.user_cache_dir("opg_magic", appauthor=False)) / "weights"
    return fetch.cached(fetch.SMOLLM2, folder)


@pytest.fixture(scope="session")
def model() -> Path:
    path = _model()
    if path is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs xllamacpp and the weights: opg models get smollm2")
    return path


@pytest.fixture(scope="session")
def runner(model: Path) -> Iterator[Runner]:
    with Runner(model, threads=1) as started:
        yield started


@pytest.fixture(scope="session")
def honest(model: Path) -> LocalModel:
    return LocalModel(model)
