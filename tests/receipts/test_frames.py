"""The table: typed the same with and without rows, one row a call, nothing cut off, nothing
withheld shown."""

from __future__ import annotations

import csv
import json
import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.receipts import (
    NOW,
    SIM,
    authorisation,
    evidence,
    failed_receipt,
    receipt,
    response,
    verdict,
)
from support.signed_receipts import signed

from opg_magic.errors import ConfigError, LedgerError
from opg_magic.ledger.columns import ALL_COLUMNS, COLUMNS, LABELS
from opg_magic.ledger.export import export
from opg_magic.ledger.frames import receipts
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import CLAIM_NAMES, Cost, Money, Problem, SettlementTx, VerdictStatus
from opg_magic.network.profiles import OBSERVED_CAP, SIM_OPG
from opg_magic.protocol.canonical import request_hash
from opg_magic.protocol.frame import read_signed_fields
from opg_magic.receipt.document import Receipt
from opg_magic.settings.limits import Limits


@pytest.fixture
def empty(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def ledger(empty: Ledger) -> Ledger:
    """Verified, failed, without response, and one whose kernel died: in this order of time."""
    empty.save(receipt(id="1111111111"))
    empty.save(
        receipt(
            id="2222222222",
            created_at=NOW + timedelta(hours=1),
            verdict=verdict(VerdictStatus.FAILED),
            notebook="/home/me/other.ipynb",
            evidence=evidence(answer=response("SECRET OF A LIAR")),
        )
    )
    empty.save(failed_receipt(id="3333333333", created_at=NOW + timedelta(hours=2)))
    lost = CallIntent(
        "4444444444",
        NOW + timedelta(hours=3),
        SIM,
        "k2",
        "gpt-4.1",
        prompt="lost",
        authorisation=authorisation(9),
    )
    empty.begin(lost, reserve=True, limits=Limits(OBSERVED_CAP, 10**30, 10**30))
    return empty


def kinds(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_types_are_the_same_with_and_without_rows(tmp_path: Path, ledger: Ledger) -> None:
    filled, empty = receipts(ledger), receipts(Ledger(tmp_path / "empty.sqlite"))
    assert len(empty) == 0
    assert kinds(filled) == kinds(empty)
    assert list(filled.columns) == list(COLUMNS)
    assert str(filled["time"].dtype) == "datetime64[us, UTC]"


def test_one_row_for_every_call_in_order_of_time(ledger: Ledger) -> None:
    frame = receipts(ledger)
    assert list(frame["id"]) == ["1111111111", "2222222222", "3333333333", "4444444444"]
    assert list(frame["charge"]) == ["claimed", "claimed", "not charged", "unknown"]
    assert list(frame["verdict"].astype("object").where(frame["verdict"].notna(), None)) == [
        "SIMULATED",
        "SIMULATED · FAILED",
        "UNCHECKED",
        "UNFINISHED",
    ]
    assert frame["problem"][2] == "no answer within 60 s"
    assert "kernel died" in frame["problem"][3]
    assert frame["prompt"][3] == "lost"


def test_money_is_exact_beside_convenient_floats(ledger: Ledger) -> None:
    frame = receipts(ledger)
    assert frame["cost_base_units"][0] == 4_100_000_000_000_000
    assert type(frame["cost_base_units"][0]) is int
    assert frame["cost_opg"][0] == pytest.approx(0.0041)
    assert frame["cost_usd"][0] == pytest.approx(0.00041)
    assert pd.isna(frame["cost_base_units"][2])
    assert frame["token"][0] == "sim-OPG"


def test_sum_of_base_units_does_not_overflow(empty: Ledger) -> None:
    big = 2**62
    for _ in range(4):
        empty.save(receipt(cost=Cost(amount=Money(big, SIM_OPG), cap=None)))
    empty.save(failed_receipt())
    assert receipts(empty)["cost_base_units"].sum() == 4 * big


def test_unknown_price_is_missing_and_not_zero(empty: Ledger) -> None:
    empty.save(receipt(cost=Cost(amount=None, cap=None)))
    row = receipts(empty).iloc[0]
    assert pd.isna(row["cost_base_units"])
    assert pd.isna(row["cost_opg"])
    assert row["cap_base_units"] == OBSERVED_CAP


def test_withheld_text_is_in_no_column_unless_asked_for(ledger: Ledger) -> None:
    plain = receipts(ledger)
    assert "SECRET OF A LIAR" not in plain.to_csv()
    assert pd.isna(plain["answer"][1])
    assert plain["withheld"][1]
    asked = receipts(ledger, include_withheld=True)
    assert asked["withheld_answer"][1] == "SECRET OF A LIAR"
    assert pd.isna(asked["answer"][1])
    assert pd.isna(asked["withheld_answer"][0])


def test_simulated_is_never_a_bare_verified(ledger: Ledger) -> None:
    assert "VERIFIED" not in set(receipts(ledger)["verdict"].dropna())
    assert set(LABELS) >= {"VERIFIED", "SIMULATED", "SIMULATED · FAILED"}
    assert LABELS.count("VERIFIED") == 1


def test_long_texts_and_many_rows_are_whole(empty: Ledger) -> None:
    long = "é" * 100_000 + "\x00end"
    empty.save(receipt(text=long, evidence=evidence(long, answer=response(long))))
    for _ in range(120):
        empty.save(receipt())
    frame = receipts(empty)
    assert len(frame) == 121
    assert frame["answer"][0] == frame["prompt"][0] == long


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"verdict": "simulated"}, "1"),
        ({"verdict": "FAILED"}, "2"),
        ({"verdict": "VERIFIED"}, ""),
        ({"model": "gpt-5"}, "123"),
        ({"model": "openai/gpt-5"}, "123"),
        ({"model": "scripted"}, "12"),
        ({"model": "openai/gpt-4.1"}, "4"),
        ({"notebook": "other.ipynb"}, "2"),
        ({"notebook": "study.ipynb"}, "13"),
        ({"network": "sim"}, "124"),
        ({"network": "opengradient"}, "3"),
        ({"host": "27E3"}, "12"),
        ({"kernel": "k2"}, "4"),
        ({"verdict": "unfinished"}, "4"),
        ({"verdict": "Unchecked"}, "3"),
        ({"since": NOW + timedelta(hours=2)}, "34"),
        ({"until": NOW + timedelta(hours=2)}, "12"),
        ({"since": "2026-11-20", "until": "2026-11-20"}, "12"),
        ({"since": date(2026, 11, 21)}, "34"),
        ({"since": "2026-11-21T01:00+01:00"}, "34"),
        ({"since": datetime(2026, 11, 21)}, "34"),
        ({"verdict": "FAILED", "model": "nothing"}, ""),
        ({"since": "yesterday"}, ""),
        ({"until": "3 days ago"}, "1234"),
        ({"until": "Yesterday"}, "1234"),
        ({"since": "12 hours ago"}, ""),
    ],
)
def test_filters(ledger: Ledger, filters: dict[str, object], found: str) -> None:
    assert "".join(i[0] for i in receipts(ledger, **filters)["id"]) == found  # type: ignore[arg-type]


def test_wrong_filters_say_what_is_meant(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="Did you mean VERIFIED"):
        receipts(ledger, verdict="verfied")
    with pytest.raises(ConfigError, match="not a time"):
        receipts(ledger, since="the day before")
    with pytest.raises(ConfigError, match="columns must be default or audit"):
        receipts(ledger, columns="all")


# ------------------------------------------------------------------------------------------- export


def test_jsonl_holds_whole_receipts(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert export(ledger, path).written == 3
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [Receipt.from_json(line) for line in lines] == list(ledger.receipts())
    assert all(Receipt.from_json(line).digest_matches for line in lines)


def test_every_row_has_a_word_and_what_receipts_cannot_hold_is_said(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Rows of calls that were never sent: NaN as a verdict is dropped by groupby, and a file of
    receipts is shorter."""
    for number in range(2):
        call = CallIntent(f"555555555{number}", NOW, SIM, "k1", "m")
        ledger.begin(call, reserve=False)
        ledger.record(call.id, "ended", {"reason": "it was stopped before it was sent"})
    frame = receipts(ledger)
    assert frame["verdict"].notna().all()
    counted = frame.groupby("verdict", observed=True).size()
    assert (counted["NOT SENT"], counted["UNFINISHED"], counted.sum()) == (2, 1, len(frame))
    table, whole = export(ledger, tmp_path / "out.csv"), export(ledger, tmp_path / "out.jsonl")
    assert (table.written, whole.written) == (6, 3)
    assert str(table) == f"6 calls written to {tmp_path / 'out.csv'}."
    assert "3 receipts written" in str(whole)
    assert "3 calls left no receipt (2 NOT SENT, 1 UNFINISHED)" in str(whole)


def test_jsonl_of_answers_with_every_kind_of_line_end(empty: Ledger, tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\rd\ne"
    empty.save(receipt(evidence=evidence(answer=response(text))))
    export(empty, tmp_path / "out.jsonl")
    (line,) = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert json.loads(line)["response"]["text"] == text


def test_csv_holds_every_row_and_exact_units(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert export(ledger, path).written == 4
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["cap_base_units"] for r in rows] == [
        "100000000000000000",
        "100000000000000000",
        "",
        "100000000000000000",
    ]
    assert datetime.fromisoformat(rows[0]["time"]) == NOW.astimezone(UTC)
    assert "SECRET OF A LIAR" not in path.read_text()


def test_parquet_keeps_types(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert export(ledger, path).written == 4
    schema = pq.read_schema(path)
    assert schema.field("cost_base_units").type == pa.decimal128(38, 0)
    assert list(schema.names) == list(ALL_COLUMNS)
    back = pd.read_parquet(path)
    assert str(back["time"].dtype) == "datetime64[us, UTC]"
    assert int(back["cap_base_units"][0]) == OBSERVED_CAP


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_export_of_an_empty_ledger_is_a_readable_file(
    empty: Ledger, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"out.{ending}"
    assert export(empty, path).written == 0
    assert path.exists()
    if ending == "csv":
        assert path.read_text().strip() == ",".join(f'"{name}"' for name in ALL_COLUMNS)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_export_is_for_its_owner_alone(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    export(ledger, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_export_appears_whole_or_not_at_all(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "out.jsonl").write_text("as before")

    def broken(*_: object) -> None:
        raise LedgerError("damaged in the middle")

    monkeypatch.setattr(Receipt, "to_json", broken)
    with pytest.raises(LedgerError, match="in the middle"):
        export(ledger, folder / "out.jsonl")
    assert [p.name for p in folder.iterdir()] == ["out.jsonl"]
    assert (folder / "out.jsonl").read_text() == "as before"


def test_export_refuses_what_it_cannot_write(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.jsonl, \.csv, \.parquet, \.xlsx"):
        export(ledger, tmp_path / "out.xls")
    with pytest.raises(LedgerError, match="cannot be written"):
        export(ledger, tmp_path / "nowhere" / "out.csv")


def test_export_takes_the_filters_of_the_table(ledger: Ledger, tmp_path: Path) -> None:
    assert export(ledger, tmp_path / "f.jsonl", verdict="FAILED").written == 1
    assert export(ledger, tmp_path / "f.csv", since="2026-11-21").written == 2


def test_package_answers_the_call_although_its_submodules_are_imported(opg_home: Path) -> None:
    import opg_magic
    from opg_magic.call.session import close_current_session

    with Ledger() as mine:
        mine.save(receipt(id="1111111111"))
    try:
        assert list(opg_magic.receipts()["id"]) == ["1111111111"]
        assert len(opg_magic.receipts(verdict="FAILED")) == 0
        assert len(opg_magic.receipts(search="no such words", since="yesterday")) == 0
        assert "payee" in opg_magic.receipts(columns="audit")
    finally:
        close_current_session()


# -------------------------------------------------------------------------------------------- audit


def test_the_table_leads_with_what_one_reads_first() -> None:
    assert list(COLUMNS)[:5] == ["time", "prompt", "verdict", "charge", "cost_opg"]
    assert list(ALL_COLUMNS)[: len(COLUMNS)] == list(COLUMNS)
    assert {f"check_{name}" for name in CLAIM_NAMES} <= ALL_COLUMNS.keys() - COLUMNS.keys()


def test_the_audit_table_has_payment_hashes_and_checks(empty: Ledger) -> None:
    one = signed()
    empty.save(one)
    tx_hash = "0x" + "ab" * 32
    authorisation = one.document["payment"]["authorisation"]
    nonce = int(authorisation["nonce"])
    settled = SettlementTx(
        "spent", SIM_OPG.chain_id, tx_hash=tx_hash, amount=123 * 10**14, nonce=nonce
    )
    empty.supplement(one.id, settled)
    row = receipts(empty, columns="audit").iloc[0]
    fields = read_signed_fields(one.document["response"]["frame"])
    assert not isinstance(fields, Problem)
    assert row["request_hash"] == fields.request_hash.hex()
    canonical = one.document["request"]["canonical"]
    assert row["request_hash"] == request_hash(canonical).hex()
    assert row["output_hash"] == fields.output_hash.hex()
    assert row["raw_sha256"] == one.document["response"]["raw_sha256"]
    assert row["signed_at"] == datetime.fromtimestamp(fields.timestamp, UTC)
    assert (row["payer"], row["payee"]) == (authorisation["payer"], authorisation["pay_to"])
    assert (row["nonce"], row["payment_tx"]) == (str(nonce), tx_hash)
    assert row["settled_base_units"] == 123 * 10**14
    assert row["payment_status"] == "spent" and row["settlement_mode"] == "private"
    checked = {c["name"]: c for c in one.document["checked"]["claims"]}
    for name, claim in checked.items():
        basis = f":{claim['basis']}" if claim["basis"] else ""
        assert row[f"check_{name}"] == f"{claim['status']}{basis}"
    assert row["check_signature"] == "passed:proven"


def test_the_audit_table_of_other_calls_leaves_out_what_is_not_known(ledger: Ledger) -> None:
    table = receipts(ledger, columns="audit")
    assert list(table.columns) == list(ALL_COLUMNS)
    assert table["signed_at"].dtype == "datetime64[us, UTC]"
    begun = table[table["id"] == "4444444444"].iloc[0]
    assert begun["payee"] and int(begun["nonce"]) and pd.isna(begun["request_hash"])
    assert pd.isna(table["nonce"][2])  # without response: nothing was authorised
    assert "SECRET OF A LIAR" not in table.to_csv()
