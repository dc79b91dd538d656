"""Attack 45: what the user's own kernel asked counts for its user, and nothing that merely looks
like that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support import signing
from support.chains import settled
from support.receipts import SIM
from support.runs import run_over
from support.signed_receipts import PROMPT, jsonl, redigested, signed, verify

from opg_magic.ledger.own import Own, own
from opg_magic.ledger.pages import LedgerReader
from opg_magic.ledger.records import CallIntent
from opg_magic.ledger.store import Ledger
from opg_magic.models import Trust
from opg_magic.receipt.document import Receipt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite"


def written(path: Path, one: Receipt, *, kernel: str | None = "k1") -> Receipt:
    """In the ledger; ``kernel`` began the call there, None: nobody did."""
    with Ledger(path) as ledger:
        if kernel is not None:
            intent = CallIntent(one.id, signing.SENT, SIM, kernel, "openai/gpt-5", prompt=PROMPT)
            ledger.begin(intent, reserve=False)
        ledger.save(one)
    return one


def found(path: Path, one: Receipt) -> Own | None:
    with LedgerReader(path) as reader:
        return own(reader, one.id, one.computed_digest)


def test_what_the_own_kernel_asked_counts_with_its_time(path: Path) -> None:
    mine = found(path, written(path, signed()))
    assert mine is not None
    assert {"registry", "channel"} <= mine.asked
    assert "attestation" not in mine.asked
    assert mine.at == signing.RECEIVED


def test_attack_45_a_ledger_that_does_not_hold_it(path: Path) -> None:
    written(path, signed())
    assert found(path, signed()) is None
    assert found(path.with_name("none.sqlite"), signed()) is None
    assert not path.with_name("none.sqlite").exists()


@pytest.mark.parametrize("redigest", [False, True])
def test_attack_45_a_receipt_forged_to_look_as_if_it_were_there(path: Path, redigest: bool) -> None:
    """The id of one that is there, its stated digest, other content."""
    document = written(path, signed()).document
    claims = [claim | {"basis": "asked"} for claim in document["checked"]["claims"]]
    forged = document | {"checked": document["checked"] | {"claims": claims}}
    assert found(path, Receipt(redigested(forged) if redigest else forged)) is None


def test_attack_45_one_that_was_put_into_the_ledger(path: Path) -> None:
    """No kernel began that call there; or another than its receipt names."""
    assert found(path, written(path, signed(), kernel=None)) is None
    assert found(path, written(path, signed(), kernel="k2")) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of a file")
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_attack_45_a_ledger_that_others_may_write(path: Path, mode: int) -> None:
    one = written(path, signed())
    path.chmod(mode)
    assert found(path, one) is None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of a file")
def test_attack_45_the_ledger_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = written(path, signed())
    monkeypatch.setattr(os, "geteuid", lambda: 4_321)
    assert found(path, one) is None


def test_each_version_that_was_written_there_counts(path: Path) -> None:
    one = written(path, signed())
    with Ledger(path) as ledger:
        for count in (1, 2):
            paid = settled(one.evidence(), shared=((one.id, count),))
            ledger.supplement(one.id, replace(paid, seen_at_block=count))
        later = [*ledger.versions(one.id)]
    assert len({version.computed_digest for version in later}) == 3
    for version in later:
        mine = found(path, version)
        assert mine is not None
        assert ("payment" in mine.asked) == (version.document["payment"].get("settled") is not None)
    invented = later[1].document
    invented = invented | {"payment": invented["payment"] | {"settled": None}}
    assert found(path, Receipt(redigested(invented))) is None


def test_weights_that_the_own_kernel_ran_again_are_no_author_s_word(path: Path) -> None:
    """The run is in the ledger's own version of the receipt; in no other is it the user's."""
    one = written(path, signed())
    with Ledger(path) as ledger:
        ran = ledger.supplement(one.id, run_over(one.evidence()))
    before, after = found(path, one), found(path, ran)
    assert before is not None and "weights" not in before.asked
    assert after is not None and "weights" in after.asked
    other = ran.document | {"weights": ran.document["weights"] | {"runtime": "llama.cpp 1"}}
    assert found(path, Receipt(redigested(other))) is None


def test_verify_mine_has_the_same_rule(path: Path, tmp_path: Path) -> None:
    one = written(path, signed())
    file = jsonl(tmp_path, one)
    stranger = verify(file)
    assert "registry" in stranger.recorded_claims
    with LedgerReader(path) as reader:

        def look(receipt: Receipt) -> Own | None:
            return own(reader, receipt.id, receipt.computed_digest)

        report = verify(file, own=look, allow_simulated=True)
        assert report.exit_code == 0
        assert report.recorded_claims == ()
        assert report.checked[0].excused == ()
        assert "your kernel asked at 2026-05-04 12:00 UTC" in report.to_text()
        other = verify(jsonl(tmp_path, signed()), own=look, allow_simulated=True)
        assert "registry" in other.recorded_claims


def test_it_never_loosens(path: Path) -> None:
    """What the reader asked themselves stays, and so does the registry that they mean."""
    one = written(path, signed())
    mine = found(path, one)
    assert mine is not None
    asked = Trust(reader=True, asked=frozenset({"payment"}), registry=(1, "0x" + "22" * 20))
    trust = mine.trust(asked, one.evidence())
    assert trust.reader
    assert trust.registry == asked.registry
    assert trust.asked >= {"payment", "registry"}
