"""What is learnt of a call after its receipt was made: appended, in a version of its own, the
receipt unaltered."""

from __future__ import annotations

import base64
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.chains import agreement, batch, individual, settled
from support.receipts import NOW, failed_receipt, receipt
from support.signed_receipts import jsonl, signed, verify

from opg_magic.errors import LedgerError, UnreadableReceipt
from opg_magic.ledger import schema
from opg_magic.ledger.store import Ledger
from opg_magic.models import (
    AgreementEvidence,
    BatchEvidence,
    IndividualEvidence,
    SettlementTx,
    Status,
)
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.form import digest
from opg_magic.receipt.supplements import supplement_json, supplement_kind

OPEN = SettlementTx(status="open", chain_id=8453, seen_at_block=7, rpcs=("a.example",))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite", clock=lambda: NOW)


def everything(one: Receipt) -> list[Any]:
    evidence = one.evidence()
    return [
        settled(evidence, shared=((one.id, 5), ("0123456789", 3))),
        batch(evidence),
        agreement(one),
    ]


def parts_of(*found: Any) -> dict[Any, Any]:
    return {supplement_kind(f): supplement_json(f) for f in found}


@pytest.mark.parametrize("number", range(4))
def test_evidence_comes_back_as_it_was_given(number: int) -> None:
    one = signed()
    found = [*everything(one), individual(one.evidence())][number]
    version = Receipt.from_json(supplemented(one, parts_of(found)).to_json())
    evidence = version.evidence()
    assert evidence.payment is not None
    back = {
        "payment": evidence.payment.settled,
        "settlement": evidence.settlement,
        "agreement": evidence.agreement,
    }
    assert back[supplement_kind(found)] == found
    assert [value for value in back.values() if value is not None] == [found]


def test_a_receipt_that_is_made_with_them_keeps_them() -> None:
    one = signed()
    paid, settlement, agreed = everything(one)

    def known(evidence: Any) -> Any:
        payment = replace(evidence.payment, settled=paid)
        return replace(evidence, payment=payment, settlement=settlement, agreement=agreed)

    made = Receipt.from_json(signed(change=known).to_json())
    evidence = made.evidence()
    assert (
        evidence.payment and evidence.payment.settled,
        evidence.settlement,
        evidence.agreement,
    ) == (
        paid,
        settlement,
        agreed,
    )
    assert made.supersedes is None and made.is_faithful and made.original() is made


def test_the_original_is_not_altered_and_can_be_had_from_the_version() -> None:
    one = signed()
    before = one.to_json()
    version = supplemented(one, parts_of(*everything(one)))
    assert one.to_json() == before
    assert version.supersedes == one.digest != version.digest
    assert version.digest_matches and version.is_faithful and version.id == one.id
    assert version.original() == one and version.original().to_json() == before
    assert version.verdict_at_creation == one.verdict_at_creation


def test_a_version_is_made_from_the_original_and_adds_only_what_was_not_there() -> None:
    one = signed()
    version = supplemented(one, parts_of(OPEN))
    with pytest.raises(ValueError, match="as it was made"):
        supplemented(version, parts_of(OPEN))
    with pytest.raises(ValueError, match="no payment"):
        supplemented(failed_receipt(), parts_of(OPEN))
    made = signed(change=lambda e: replace(e, settlement=batch(e)))
    with pytest.raises(ValueError, match="already"):
        supplemented(made, parts_of(batch(made.evidence())))
    assert supplemented(one, {}) is one


def test_receipts_without_them_have_the_digest_that_they_always_had() -> None:
    document = signed().document
    assert "settled" not in document["payment"] and "supersedes" not in document
    assert document["settlement"] is None and document["agreement"] is None
    assert not {"disagreement", "since"} & set(document["registry"])


def test_attack_25_a_version_in_which_something_else_was_altered_is_told(tmp_path: Path) -> None:
    version = supplemented(signed(), parts_of(OPEN))
    assert verify(jsonl(tmp_path, version), allow_simulated=True).exit_code == 0
    document = json.loads(version.to_json())
    document["notebook"]["name"] = "other.ipynb"
    document["digest"] = digest(document)
    report = verify(jsonl(tmp_path, json.dumps(document)), allow_simulated=True)
    assert report.exit_code == 1 and [f.code for f in report.findings] == ["altered"]
    assert "supersedes" in report.findings[0].message


def test_original_and_later_version_in_one_file_are_one_receipt(tmp_path: Path) -> None:
    one = signed()
    version = supplemented(one, parts_of(OPEN))
    report = verify(jsonl(tmp_path, one, version), allow_simulated=True)
    assert [c.receipt.digest for c in report.checked] == [version.digest]
    assert [(f.level, f.code) for f in report.findings] == [("note", "later-version")]
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("payment", "settled", "status"), "paid"),
        (("payment", "settled", "amount"), -1),
        (("payment", "settled", "amount"), "1e3"),
        (("payment", "settled", "tx_hash"), "0xAB"),
        (("payment", "settled", "rpcs"), ["https://user:key@rpc.example/key"]),
        (("payment", "settled", "signature"), "0x00"),
        (("settlement", "kind"), "private"),
        (("settlement", "proof"), ["0x" + "00" * 32] * 65),
        (("settlement", "block_time"), "2026-02-30T00:00:00.000000Z"),
        (("agreement", "asked"), 0),
        (("agreement", "answers"), []),
        (("supersedes",), "md5:1"),
    ],
)
def test_malformed_parts_are_unreadable(where: tuple[str, ...], value: Any) -> None:
    one = signed()
    document = json.loads(supplemented(one, parts_of(*everything(one))).to_json())
    holder = document
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    document["digest"] = digest(document) if not isinstance(value, float) else document["digest"]
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(json.dumps(document))


def test_an_individual_settlement_with_a_bent_signature_is_unreadable() -> None:
    one = signed()
    document = json.loads(supplemented(one, parts_of(individual(one.evidence()))).to_json())
    document["settlement"]["signature"] = base64.b64encode(b"xy").decode().replace("=", "") + "+="
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(json.dumps(document))


# --------------------------------------------------------------------------------------- the ledger


def test_the_ledger_appends_and_gives_both(ledger: Ledger) -> None:
    one = signed()
    ledger.save(one)
    version = ledger.supplement(one.id, OPEN)
    assert ledger.get(one.id) == version == ledger.last() == next(ledger.receipts())
    assert ledger.get(one.id, as_made=True) == one == next(ledger.receipts(as_made=True))
    assert version.supersedes == one.digest
    paid, settlement, agreed = everything(one)
    for found in (paid, settlement, agreed):
        version = ledger.supplement(one.id, found)
    evidence = ledger.get(one.id).evidence()
    assert (
        evidence.payment and evidence.payment.settled,
        evidence.settlement,
        evidence.agreement,
    ) == (
        paid,
        settlement,
        agreed,
    )
    assert [kind for _, kind, _ in ledger.supplements(one.id)] == [
        "payment",
        "payment",
        "settlement",
        "agreement",
    ]
    assert ledger.get(one.id).supersedes == one.digest
    assert ledger.findings() == []


def test_the_same_again_changes_nothing(ledger: Ledger) -> None:
    one = signed()
    ledger.save(one)
    first = ledger.supplement(one.id, OPEN)
    assert ledger.supplement(one.id, OPEN) == first
    assert len(ledger.supplements(one.id)) == 1


def test_pending_becomes_passed_and_the_verdict_at_creation_stays(
    ledger: Ledger, tmp_path: Path
) -> None:
    from support.signing import live

    from opg_magic.verify import judge

    one = signed(change=lambda e: replace(e, settlement_mode="batch"))
    one = Receipt({**one.document, "request": {**one.document["request"], "settlement": "batch"}})
    one = Receipt({**one.document, "digest": digest(one.document)})
    ledger.save(one)
    now = judge(one.evidence(), trust=live())
    assert (now.claims["payment"].status, now.claims["settlement"].status) == (
        Status.PENDING,
        Status.PENDING,
    )
    for found in everything(one)[:2]:
        ledger.supplement(one.id, found)
    later = judge(ledger.get(one.id).evidence(), trust=live())
    assert later.claims["payment"].passed and later.claims["settlement"].passed
    assert ledger.get(one.id).verdict_at_creation == one.verdict_at_creation


def test_what_does_not_fit_is_refused_and_not_written(ledger: Ledger) -> None:
    one, nothing = signed(), failed_receipt()
    ledger.save(one)
    ledger.save(nothing)
    with pytest.raises(LedgerError, match="No receipt"):
        ledger.supplement("0000000000", OPEN)
    with pytest.raises(LedgerError, match="no payment"):
        ledger.supplement(nothing.id, OPEN)
    with pytest.raises(LedgerError, match="cannot be added"):
        ledger.supplement(one.id, replace(OPEN, status="paid"))
    assert (
        ledger.get(one.id) == one
        and not ledger.supplements(one.id)
        and not ledger.supplements(nothing.id)
    )


def test_supplements_are_never_changed_or_deleted(ledger: Ledger) -> None:
    one = signed()
    ledger.save(one)
    ledger.supplement(one.id, OPEN)
    with sqlite3.connect(ledger.path) as db:
        for statement in ("UPDATE supplements SET evidence = '{}'", "DELETE FROM supplements"):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                db.execute(statement)
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            db.execute("INSERT OR REPLACE INTO supplements SELECT * FROM supplements")


def test_tables_show_what_was_learnt(ledger: Ledger) -> None:
    one, other = signed(), receipt()
    for r in (one, other):
        ledger.save(r)
    ledger.supplement(one.id, everything(one)[0])
    documents = {row.id: row.document for row in ledger.rows()}
    assert documents[one.id]["payment"]["settled"]["status"] == "spent"  # type: ignore[index]
    assert "settled" not in documents[other.id]["payment"]  # type: ignore[index]


def test_a_ledger_of_the_version_before_is_carried_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    one = signed()
    with monkeypatch.context() as before:
        before.setattr(schema, "_SUPPLEMENTS", "")
        before.setattr(schema, "_KINDS", "")
        before.setattr(schema, "SCHEMA_VERSION", 1)
        with Ledger(path) as old:
            old.save(receipt())
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (1,)
            assert not db.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'supplements'"
            ).fetchone()
    with Ledger(path) as new:
        new.save(one)
        new.supplement(one.id, OPEN)
        assert new.count() == 2 and new.get(one.id).supersedes == one.digest
        assert NOW - timedelta(days=3650) < new.supplements(one.id)[0][0]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            db.execute("DELETE FROM supplements")


def test_kinds() -> None:
    one = signed()
    kinds = [supplement_kind(found) for found in [*everything(one), individual(one.evidence())]]
    assert kinds == ["payment", "settlement", "agreement", "settlement"]
    types = [type(found) for found in [*everything(one), individual(one.evidence())]]
    assert types == [SettlementTx, BatchEvidence, AgreementEvidence, IndividualEvidence]
