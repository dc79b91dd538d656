"""What every test here needs: they parse the whole program."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def no_collection_while_parsing() -> Iterator[None]:
    """Python up to 3.11.7 and 3.12.1 fails to parse (its issue 106905) where the collector parses
    meanwhile, as it does to show the traceback of another test's lost task."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
