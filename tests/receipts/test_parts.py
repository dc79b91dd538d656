"""Every part of a receipt is written and read by the module of its name; one that the schema does
not require is left out where there is nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from support import chains, signing
from support.receipts import receipt
from support.runs import run_over

from opg_magic.models import CLAIMS, Evidence
from opg_magic.receipt import parts
from opg_magic.receipt.form import schema
from opg_magic.receipt.parts.interface import Judged


def full() -> Evidence:
    """Evidence with something of every part."""
    found = signing.evidence(signing.stream(signing.signer()))
    return replace(
        found,
        payment=chains.payment(settled=chains.settled()),
        settlement=chains.batch(found),
        agreement=chains.agreement(receipt()),
        sealed=signing.sealed_call().sealed,
        weights=run_over(found, [(3, 2, 250_000)]),
    )


def document(evidence: Evidence) -> dict[str, Any]:
    """The parts as a reader gets them: through JSON."""
    read: dict[str, Any] = json.loads(json.dumps(parts.written(Judged(evidence))))
    return read


def test_every_part_comes_back_as_it_was_written() -> None:
    evidence = full()
    read = parts.read(document(evidence))
    assert set(read) == set(parts.PART_NAMES)
    for name in parts.PART_NAMES:
        assert getattr(evidence, name) is not None, name
        assert read[name] == getattr(evidence, name), name


def test_every_claim_with_evidence_of_its_own_has_its_part() -> None:
    assert {kind.part for kind in CLAIMS if kind.part} == set(parts.PART_NAMES) - {
        "response",
        "host",
        "sealed",
    }


def test_a_part_of_the_first_schema_is_null_where_there_is_nothing() -> None:
    written = document(replace(full(), agreement=None))
    assert written["agreement"] is None
    assert parts.read(written)["agreement"] is None


def test_a_part_that_came_later_is_left_out_where_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = copy.deepcopy(schema())
    later["required"].remove("agreement")
    monkeypatch.setattr(parts, "schema", lambda: later)
    assert "agreement" not in document(replace(full(), agreement=None))
    assert document(full())["agreement"] is not None


def test_an_older_document_without_a_part_is_read() -> None:
    written = document(full())
    del written["agreement"]
    assert "agreement" not in parts.read(written)
