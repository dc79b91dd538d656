"""RFC 8785 against its author's own vectors: what receipts are hashed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from opg_magic.models import strict_json
from opg_magic.receipt.form import canonical_bytes

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "jcs"
NAMES = sorted(path.name for path in (VECTORS / "input").glob("*.json"))

pytestmark = pytest.mark.skipif(not NAMES, reason="the RFC 8785 vectors are not here")


def test_there_are_vectors_of_every_sort() -> None:
    assert {
        "arrays.json",
        "french.json",
        "structures.json",
        "unicode.json",
        "values.json",
        "weird.json",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_canonical_bytes_are_the_vectors_own(name: str) -> None:
    value = strict_json.loads((VECTORS / "input" / name).read_bytes())
    wanted = (VECTORS / "output" / name).read_bytes()
    assert canonical_bytes(value) == wanted
    assert canonical_bytes(strict_json.loads(wanted)) == wanted
