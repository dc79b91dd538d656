"""A row that was edited behind the ledger's back is marked, never shown as what it was; the others
are still read."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest
from support.chains import settled
from support.receipts import NOW, SIM, authorisation, receipt, verdict
from support.signed_receipts import signed

from opg_magic.errors import LedgerError
from opg_magic.ledger.export import export
from opg_magic.ledger.frames import receipts
from opg_magic.ledger.pages import LedgerReader
from opg_magic.ledger.rescue import rescue
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import Prompt, VerdictStatus
from opg_magic.network.profiles import OBSERVED_CAP
from opg_magic.receipt.document import Receipt, new_id
from opg_magic.receipt.form import digest
from opg_magic.settings.limits import Limits

WIDE = Limits(OBSERVED_CAP, 10**30, 10**30)


def behind_its_back(path: Path, *statements: str) -> None:
    """As somebody with SQLite and time does it: take away what keeps rows as they are, and edit."""
    with sqlite3.connect(path) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert db.execute(statement).rowcount == 1, statement
    db.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Nine receipts; the fifth is BAD00."""
    made = Ledger(tmp_path / "ledger.sqlite")
    for number in range(9):
        made.save(
            receipt(id="BAD0000000", verdict=verdict(VerdictStatus.FAILED))
            if number == 4
            else receipt()
        )
    made.supplement("BAD0000000", settled())
    made.close()
    return made


#: What is edited, and what is said of it.
EDITS = {
    "verdict in the document": (
        'UPDATE receipts SET document = replace(document, \'"verdict":"FAILED"\', '
        '\'"verdict":"VERIFIED"\')'
        " WHERE id = 'BAD0000000'",
        "not the one that was saved",
    ),
    "an answer": (
        "UPDATE receipts SET document = replace(document, 'Say hi.', 'Say ho.') WHERE id = "
        "'BAD0000000'",
        "not the one that was saved",
    ),
    "no JSON": ("UPDATE receipts SET document = 'x' WHERE id = 'BAD0000000'", "not JSON"),
    "another kind of JSON": (
        "UPDATE receipts SET document = '[]' WHERE id = 'BAD0000000'",
        "not the one",
    ),
    "no UTF-8": (
        "UPDATE receipts SET document = CAST(x'7bff7d' AS TEXT) WHERE id = 'BAD0000000'",
        "not JSON",
    ),
    "nothing": (
        "UPDATE receipts SET document = '{}' WHERE id = 'BAD0000000'",
        "not the one that was saved",
    ),
    "verdict column": (
        "UPDATE receipts SET verdict = 'VERIFIED' WHERE id = 'BAD0000000'",
        "column verdict",
    ),
    "cost column": ("UPDATE receipts SET cost = '1' WHERE id = 'BAD0000000'", "column cost"),
    "kernel column": (
        "UPDATE receipts SET kernel = 'other' WHERE id = 'BAD0000000'",
        "column kernel",
    ),
    "time column": (
        "UPDATE receipts SET created_at = 'yesterday' WHERE id = 'BAD0000000'",
        "column created_at",
    ),
    "digest column": (
        f"UPDATE receipts SET digest = 'sha256:{'0' * 64}' WHERE id = 'BAD0000000'",
        "not the one",
    ),
    "what was learnt later": (
        "UPDATE supplements SET evidence = '{'",
        "learnt later cannot be read",
    ),
    "its transaction": ("UPDATE supplements SET tx_hash = '0x00'", "not what its columns say"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_row_is_marked_and_the_others_are_read(
    ledger: Ledger, tmp_path: Path, edit: str
) -> None:
    statement, why = EDITS[edit]
    behind_its_back(ledger.path, statement)
    frame = receipts(ledger)
    assert len(frame) == 9
    (bad,) = frame[frame["verdict"] == "DAMAGED"].to_dict("records")
    assert bad["id"] == "BAD0000000"
    assert why in bad["problem"]
    assert bad["charge"] == "unknown"
    assert all(
        value is None or value != value or str(value) == "<NA>"
        for value in (bad["answer"], bad["cost_opg"])
    )
    assert set(frame["verdict"]) == {"DAMAGED", "SIMULATED"}

    with LedgerReader(ledger.path) as reader:
        page = reader.page(limit=20)
    assert [row.id for row in page.rows if row.damage is not None] == ["BAD0000000"]
    assert sum(row.document is not None for row in page.rows) == 8

    whole = export(ledger, tmp_path / "out.jsonl")
    assert (whole.written, whole.damaged) == (8, ("BAD0000000",))
    assert "not in this file: BAD0000000" in str(whole)
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert "BAD0000000" not in {Receipt.from_json(line).id for line in lines}
    table = export(ledger, tmp_path / "out.csv")
    assert (table.written, table.damaged) == (9, ("BAD0000000",))

    assert any("BAD0000000" in one and why in one for one in ledger.findings())
    with pytest.raises(LedgerError, match="BAD0000000"):
        ledger.get("BAD0")


def test_bytes_that_receipts_share(ledger: Ledger) -> None:
    behind_its_back(ledger.path, "UPDATE blobs SET content = x'00' WHERE length(content) > 4000")
    assert set(receipts(ledger)["verdict"]) == {"DAMAGED"}
    assert len([one for one in ledger.findings() if "not the one that was saved" in one]) == 9


def test_a_reference_where_none_belongs_is_not_taken_for_the_text(ledger: Ledger) -> None:
    """The text with its references put in would have the same bytes; what is read from it would be
    another thing."""
    ledger.close()
    with sqlite3.connect(ledger.path) as db:
        document = db.execute("SELECT document FROM receipts WHERE id = 'BAD0000000'").fetchone()[0]
    db.close()
    word = json.loads(document)["request"]["model_requested"].encode()
    pad = base64.b64encode(word).decode()
    sha256 = hashlib.sha256(word).hexdigest()
    with Ledger(ledger.path) as other:
        # A receipt whose model is the base64 of something, so that a reference could stand for it.
        other.save(receipt(id="ZZZ0000000", prompt=Prompt(text="p", model=pad)))
    behind_its_back(
        ledger.path,
        f"INSERT INTO blobs VALUES ('{sha256}', x'{word.hex()}')",
        f'UPDATE receipts SET document = replace(document, \'"model_requested":"{pad}"\','
        f' \'"model_requested":{{"blob":"{sha256}"}}\') WHERE id = \'ZZZ0000000\'',
    )
    frame = receipts(Ledger(ledger.path))
    assert list(frame[frame["verdict"] == "DAMAGED"]["id"]) == ["ZZZ0000000"]


def test_a_document_that_is_no_receipt_under_a_digest_of_its_own(ledger: Ledger) -> None:
    """Nothing here can tell who made a digest; but nothing is shown of what is no receipt, and
    nothing breaks."""
    made = {"id": "BAD0000000", "checked": {"verdict": "VERIFIED"}}
    made["digest"] = digest(made)
    text = json.dumps(made, sort_keys=True, separators=(",", ":"))
    behind_its_back(
        ledger.path,
        f"UPDATE receipts SET document = '{text}', digest = '{made['digest']}' WHERE id = "
        f"'BAD0000000'",
    )
    frame = receipts(ledger)
    assert list(frame[frame["verdict"] == "DAMAGED"]["id"]) == ["BAD0000000"]


def test_a_call_whose_beginning_was_edited(ledger: Ledger) -> None:
    call = CallIntent("CALL000000", NOW, SIM, "k1", "m", authorisation=authorisation(3))
    ledger.begin(call, reserve=True, limits=WIDE)
    ledger.close()
    behind_its_back(ledger.path, "UPDATE authorisations SET authorisation = '{}' WHERE nonce = '3'")
    frame = receipts(ledger)
    assert list(frame[frame["verdict"] == "DAMAGED"]["id"]) == ["CALL000000"]
    findings = "\n".join(ledger.findings())
    assert "Call CALL000000" in findings
    assert "authorisation with nonce 3" in findings
    assert "are missing: authorisations_no_delete" in findings


def test_what_is_learnt_of_others_does_not_stop_at_a_damaged_receipt(ledger: Ledger) -> None:
    behind_its_back(ledger.path, EDITS["an answer"][0])
    seen: list[tuple[str, str]] = []
    assert len(list(ledger.receipts(on_damage=lambda one, what: seen.append((one, what))))) == 8
    assert [one for one, _ in seen] == ["BAD0000000"]
    with pytest.raises(LedgerError, match="damaged: receipt BAD0000000"):
        list(ledger.receipts())


def test_nothing_is_paid_into_a_file_that_is_damaged(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for _ in range(30):
            ledger.save(signed())
    raw = bytearray(ledger.path.read_bytes())
    for page in range(4, len(raw) // 4096, 3):
        raw[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    ledger.path.write_bytes(raw)
    with pytest.raises(LedgerError, match="damaged"):
        ledger.begin(CallIntent(new_id(), NOW, SIM, "k", "m"), reserve=False)
    assert not ledger.is_whole()


@pytest.mark.parametrize("name", ["receipts", "supplements", "calls", "events", "authorisations"])
def test_a_table_whose_very_name_is_spoilt_is_damage_and_can_be_rescued(
    ledger: Ledger, tmp_path: Path, name: str
) -> None:
    raw = ledger.path.read_bytes()
    # SQLite quotes what it finds, in a message that Python cannot read.
    spoilt = raw.replace(b"table" + name.encode() * 2, b"table" + b"\xff" * 2 * len(name))
    assert spoilt != raw
    ledger.path.write_bytes(spoilt)
    for use in (
        ledger.findings,
        lambda: receipts(ledger),
        lambda: list(ledger.receipts()),
        lambda: ledger.begin(CallIntent(new_id(), NOW, SIM, "k", "m"), reserve=False),
    ):
        with pytest.raises(LedgerError, match="damaged"):
            use()
    ledger.close()
    rescued = tmp_path / "new.sqlite"
    assert rescue(ledger.path, rescued).written["receipts"] == 9
    with Ledger(rescued) as found:
        assert found.findings() == []


@pytest.mark.parametrize("column", ["begun_at", "kernel", "symbol", "decimals"])
def test_a_column_whose_name_is_spoilt_is_damage(ledger: Ledger, column: str) -> None:
    raw = ledger.path.read_bytes()
    ledger.path.write_bytes(raw.replace(column.encode() + b" ", b"x" * len(column) + b" "))
    with pytest.raises(LedgerError, match="damaged"):
        receipts(ledger), ledger.findings()


def test_a_whole_ledger_has_no_findings(ledger: Ledger) -> None:
    assert ledger.findings() == []
    assert ledger.is_whole()
