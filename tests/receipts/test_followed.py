"""The ledger as a list that follows it: it equals the table, and reads nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.receipts import NOW, SIM, receipt

from opg_magic.ledger import followed
from opg_magic.ledger.followed import Followed
from opg_magic.ledger.frames import chosen_rows
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import SettlementTx
from opg_magic.network.profiles import SIM_OPG


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the rows that are read."""
    ids: list[str] = []
    real = followed.table_cells

    def told(row: Any, **options: Any) -> dict[str, Any]:
        ids.append(row.id)
        return real(row, **options)

    monkeypatch.setattr(followed, "table_cells", told)
    return ids


def all_of(ledger: Ledger) -> list[dict[str, Any]]:
    cells = [
        {name: cell for name, cell in cells.items() if name not in followed.LEFT_OUT}
        for _, cells in chosen_rows(ledger)
    ]
    return sorted(cells, key=lambda one: (one["time"], one["id"]), reverse=True)


def test_what_was_added_is_read_and_nothing_twice(tmp_path: Path, read: list[str]) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        calls = Followed(ledger)
        assert calls.update() == []
        for id in ("AAAAAAAAA1", "BBBBBBBBB2"):
            ledger.save(receipt(id=id))
        assert repr(calls.update()) == repr(all_of(ledger))
        ledger.save(receipt(id="CCCCCCCCC3"))
        assert repr(calls.update()) == repr(all_of(ledger))
        calls.update()
    assert read == ["AAAAAAAAA1", "BBBBBBBBB2", "CCCCCCCCC3"]


def test_what_is_learnt_later_is_read(tmp_path: Path, read: list[str]) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for id in ("AAAAAAAAA1", "BBBBBBBBB2"):
            ledger.save(receipt(id=id))
        calls = Followed(ledger)
        before = calls.update()
        nonce = int(ledger.get("AAAAAAAAA1").document["payment"]["authorisation"]["nonce"])
        ledger.supplement(
            "AAAAAAAAA1",
            SettlementTx("spent", SIM_OPG.chain_id, "0x" + "ab" * 32, amount=77, nonce=nonce),
        )
        after = calls.update()
        assert repr(after) == repr(all_of(ledger))
        assert repr(after) != repr(before)
        calls.update()
    assert read == ["AAAAAAAAA1", "BBBBBBBBB2", "AAAAAAAAA1"]


def test_another_file_in_its_place_is_read_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.save(receipt(id="AAAAAAAAA1"))
        calls = Followed(ledger)
        calls.update()
        ledger.close()
        for file in tmp_path.glob("ledger.sqlite*"):
            file.unlink()
        ledger.save(receipt(id="BBBBBBBBB2"))
        assert [one["id"] for one in calls.update()] == ["BBBBBBBBB2"]


def test_a_call_without_receipt_is_among_them_until_it_has_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        calls = Followed(ledger)
        ledger.begin(CallIntent("5555555550", NOW, SIM, "k1", "m"), reserve=False)
        assert [one["verdict"] for one in calls.update()] == ["UNFINISHED"]
        ledger.save(receipt(id="5555555550"))
        assert [one["verdict"] for one in calls.update()] != ["UNFINISHED"]
        assert repr(calls.update()) == repr(all_of(ledger))
