"""A receipt of version 1 verifies with every later version: receipts stored with the code of each
version come to what they came to then.  The browser's twin is ``versions.spec.ts``."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from opg_magic.errors import UnreadableReceipt
from opg_magic.models import Claim, Trust, Verdict
from opg_magic.receipt.document import Receipt
from opg_magic.verify import judge, policy, requiring

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VERSIONS = sorted(path.name.removesuffix(".jsonl.gz") for path in HERE.glob("*.jsonl.gz"))
CHANGED = json.loads((HERE / "changed.json").read_text("utf-8"))


@cache
def stored(version: str) -> tuple[dict[str, Any], ...]:
    text = gzip.decompress((HERE / f"{version}.jsonl.gz").read_bytes()).decode()
    return tuple(map(json.loads, text.splitlines()))


def test_every_version_of_the_changelog_has_its_receipts() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert sorted(re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_there_are_enough_to_say_something(version: str) -> None:
    judged = [line["judged"] for line in stored(version) if line["judged"] is not None]
    assert {one["status"] for one in judged} >= {"VERIFIED", "PARTIAL", "UNVERIFIED", "FAILED"}
    outcomes = {(name, claim["status"]) for one in judged for name, claim in one["claims"].items()}
    for name in judged[0]["claims"]:
        assert (name, "passed") in outcomes
        assert (name, "failed") in outcomes
    assert any(line["judged"] is None for line in stored(version))


@pytest.mark.parametrize("version", VERSIONS)
def test_receipts_of_this_version_are_judged_as_they_were_then(version: str) -> None:
    for line in stored(version):
        then = line["judged"]
        if then is None:
            with pytest.raises(UnreadableReceipt):
                Receipt.from_json(line["text"])
            continue
        receipt = Receipt.from_json(line["text"])
        assert receipt.computed_digest == then["computed_digest"], line["name"]
        assert receipt.digest_matches == then["digest_matches"], line["name"]
        assert receipt.is_faithful == then["faithful"], line["name"]
        compare(version, line["name"], then, judged(line, receipt))


def judged(line: Mapping[str, Any], receipt: Receipt) -> Verdict:
    base, *more = line["policy"].split("+")
    evidence = receipt.evidence(
        seen_in=line["seen"]["signatureIn"], paid_in=line["seen"]["paymentIn"]
    )
    evidence = replace(evidence, agreement_contradicted=line["seen"].get("contradicted"))
    return judge(evidence, policy=requiring(policy(base), more), trust=trust_of(line["trust"]))


def trust_of(known: Mapping[str, Any]) -> Trust:
    return Trust(
        aws_root_sha256=known["awsRootSha256"],
        simulated_roots=frozenset(known["simulatedRoots"]),
        pinned_pcrs=frozenset(known["pinnedPcrs"]),
        skew_seconds=known["skewSeconds"],
        reader=known["reader"],
        asked=frozenset(known["asked"]),
        registry=None if known["registry"] is None else tuple(known["registry"]),
        relay=None if known["relay"] is None else tuple(known["relay"]),
        relay_senders=frozenset(known["relaySenders"]),
        payees=frozenset(known.get("payees", ())),
        now=None if known["now"] is None else datetime.fromisoformat(known["now"]),
    )


def compare(version: str, name: str, then: Mapping[str, Any], now: Verdict) -> None:
    """Every claim that there was then, and the verdict, but for what ``changed.json`` gives the
    reason of."""
    wanted = {"status": then["status"], "withheld": then["withheld"]}
    for claim, was in then["claims"].items():
        before, after = words(was), words_of(now.claims[claim])
        key = (version, claim, before)
        change = next((c for c in CHANGED if (c["of"], c["claim"], c["then"]) == key), {})
        assert after in (before, *change.get("now", ())), f"{name}: {claim} was {before}"
        for what, value in wanted.items():
            if what in change and change[what]["then"] == value:
                wanted[what] = change[what]["now"]
    # SIMULATED is what VERIFIED is called on a simulated network.
    assert now.outcome.value == wanted["status"].replace("SIMULATED", "VERIFIED"), name
    assert now.withheld == wanted["withheld"], name


def words(claim: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (claim["status"], claim["basis"], claim["code"])))


def words_of(claim: Claim) -> str:
    return words({"status": claim.status.value, "basis": claim.basis, "code": claim.code})


def test_every_change_is_one_that_a_stored_receipt_shows() -> None:
    """No excuse stands in the list that nothing needs."""
    seen = {
        (version, claim, words(was))
        for version in VERSIONS
        for line in stored(version)
        if line["judged"] is not None
        for claim, was in line["judged"]["claims"].items()
    }
    assert {(change["of"], change["claim"], change["then"]) for change in CHANGED} <= seen
    assert all(change["why"] for change in CHANGED)
