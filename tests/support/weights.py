"""Real weights for tests, where they are: ``make test`` and ``opg models get`` fetch them."""

from __future__ import annotations

from pathlib import Path

import pytest

from opg_magic.weights import fetch

FETCHED = Path(__file__).resolve().parents[2] / ".venvs" / "weights"


def smollm2() -> Path:
    """The GGUF of SmolLM2.  Skips where it, or what runs it, is not here."""
    pytest.importorskip("xllamacpp")
    found = fetch.cached(fetch.SMOLLM2, FETCHED)
    if found is None:
        pytest.skip("the weights are not here: make test fetches them")
    return found
