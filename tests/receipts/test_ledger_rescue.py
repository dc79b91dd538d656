"""A ledger that was torn or damaged: what is in its pages and logs comes into a new file; nothing
else is touched."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from support.chains import settled
from support.ledger_process import LedgerProcess
from support.receipts import NOW, SIM, authorisation, receipt

from opg_magic.errors import LedgerError
from opg_magic.ledger.rescue import deleted_files, rescue
from opg_magic.ledger.schema import KEYS
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.network.profiles import OBSERVED_CAP
from opg_magic.receipt.document import new_id
from opg_magic.settings.limits import Limits
from opg_magic.shell.main import main

WIDE = Limits(OBSERVED_CAP, 10**30, 10**30)


def fill(ledger: Ledger, number: int = 12) -> None:
    """Calls of every kind: with and without receipt, of long and short texts, settled and not."""
    for n in range(number):
        at = NOW + timedelta(seconds=n)
        prompt = "é" * (9000 if n % 5 == 0 else 20)
        call = CallIntent(
            new_id(), at, SIM, "k1", "m", prompt=prompt, authorisation=authorisation(n + 1)
        )
        ledger.begin(call, reserve=True, limits=WIDE)
        ledger.record(call.id, "sent")
        if n % 4 == 3:
            ledger.record(call.id, "ended", {"reason": "stopped"})
            continue
        ledger.save(receipt(id=call.id, created_at=at, text=prompt))
        if n % 4 == 0:
            ledger.supplement(call.id, settled())
            ledger.release(n + 1, n)


def content(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """All rows, but for the numbers that tables give by themselves."""
    with sqlite3.connect(path) as db:
        found = {}
        for table, key in KEYS.items():
            rows = db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in rows.description]
            drop = [i for i, name in enumerate(names) if name == "seq"]
            found[table] = {tuple(v for i, v in enumerate(row) if i not in drop) for row in rows}
            assert key in names
    db.close()
    return found


def test_a_whole_ledger_comes_out_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        fill(ledger)
    before = path.read_bytes()
    done = rescue(path, tmp_path / "new.sqlite")
    assert content(tmp_path / "new.sqlite") == content(path)
    assert (done.spoilt, done.twice, sum(done.dangling.values())) == (set(), set(), 0)
    assert path.read_bytes() == before
    with Ledger(tmp_path / "new.sqlite") as new, Ledger(path) as old:
        assert new.findings() == []
        assert list(new.receipts()) == list(old.receipts())
        assert new.spending(SIM, "k1") == old.spending(SIM, "k1")
        new.save(receipt())
    if os.name == "posix":
        assert (tmp_path / "new.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_is_in_the_log_alone_comes_out_too(tmp_path: Path) -> None:
    """As after kill -9, and with the log kept somewhere else."""
    path, kept = tmp_path / "ledger.sqlite", tmp_path / "kept"
    with Ledger(path) as ledger:
        ledger.count()
        ledger._db().execute("PRAGMA wal_autocheckpoint = 0")
        fill(ledger)
        ledger.exclusively()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            # Not opened in this process, which has the ledger open.
            kept.mkdir(exist_ok=True)
            assert os.system(f"cp '{tmp_path / name}' '{kept / name}'") == 0
    assert (kept / "ledger.sqlite-wal").stat().st_size > 100_000
    wanted = content(path)
    done = rescue(kept / "ledger.sqlite", tmp_path / "one.sqlite")
    assert content(tmp_path / "one.sqlite") == wanted
    assert "receipts were in ledger.sqlite-wal alone" in str(done)
    (kept / "ledger.sqlite-wal").rename(kept / "elsewhere")
    rescue(kept / "ledger.sqlite", tmp_path / "two.sqlite", logs=[kept / "elsewhere"])
    assert content(tmp_path / "two.sqlite") == wanted


def test_frames_that_were_not_committed_or_not_whole_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.count()
        db = ledger._db()
        db.execute("PRAGMA wal_autocheckpoint = 0")
        ledger.save(receipt(id="KEPT000000"))
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = 1")
        with pytest.raises(ZeroDivisionError), ledger.exclusively():
            for _ in range(30):
                ledger.save(receipt(id=new_id(), text="x" * 20_000))
            assert (
                os.system(
                    f"cp '{path}-wal' '{tmp_path / 'log'}'; cp '{path}' '{tmp_path / 'base'}'"
                )
                == 0
            )
            raise ZeroDivisionError
    assert (tmp_path / "log").stat().st_size > 400_000  # they were written out
    done = rescue(tmp_path / "base", tmp_path / "new.sqlite", logs=[tmp_path / "log"])
    assert done.written["receipts"] == 1
    raw = bytearray((tmp_path / "log").read_bytes())
    raw[60] ^= 1  # the first frame is not what was written
    (tmp_path / "log").write_bytes(raw)
    assert (
        rescue(tmp_path / "base", tmp_path / "two.sqlite", logs=[tmp_path / "log"]).written[
            "receipts"
        ]
        == 0
    )


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at what is open")
def test_a_ledger_torn_as_in_0_1_is_brought_together(
    opg_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = opg_home / "ledger.sqlite"
    with LedgerProcess(opg_home) as kernel, LedgerProcess(opg_home, "shell") as shell:
        paid = [kernel.do("pay", nonce=1)]
        kernel.do("as_in_0_1")
        kernel.do("careless")  # opens the file and closes it, as _make_private did
        assert shell.do("shell") == 1  # takes the log away
        paid += [kernel.do("pay", nonce=n) for n in (2, 3)]
        paid += [shell.do("shell_pays", nonce=n) for n in (4, 5, 6)]
        assert kernel.deleted_files() != []
        assert shell.do("shell") == 4, "it was torn"

        assert main(["ledger", "check"]) == 1
        assert (
            f"Process {kernel.process.pid} is writing to a log that was deleted"
            in capsys.readouterr().out
        )
        assert [one.pid for one in deleted_files(path) if one.log] == [kernel.process.pid]
        before = path.read_bytes()
        new = opg_home / "new.sqlite"
        assert main(["ledger", "rescue", "--to", str(new)]) == 0
        told = capsys.readouterr().out
        assert (
            f"2 of the receipts were in the deleted log of process {kernel.process.pid} alone"
            in told
        )
        assert path.read_bytes() == before
        with Ledger(new) as ledger:
            assert sorted(r.id for r in ledger.receipts()) == sorted(paid)
            assert ledger.spending(SIM, "k1").kernel_reserved == 3 * OBSERVED_CAP
            assert ledger.spending(SIM, "shell").kernel_reserved == 3 * OBSERVED_CAP
            assert ledger.findings() == []

        # The kernel ends, and writes its log over what the shell wrote since: what is left of that
        # comes out.
        kernel.end()
        shell.end()
    assert main(["ledger", "rescue", "--to", str(opg_home / "late.sqlite")]) == 0
    with Ledger(opg_home / "late.sqlite") as ledger:
        late = {r.id for r in ledger.receipts()}
    assert set(paid[:3]) <= late <= set(paid)


def test_an_edited_or_cut_off_receipt_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        for name in ("GOOD000000", "EDITED0000", "ALSO000000"):
            ledger.save(receipt(id=name))
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER receipts_no_update")
        db.execute("UPDATE receipts SET verdict = 'FAILED' WHERE id = 'EDITED0000'")
    db.close()
    raw = bytearray(path.read_bytes())
    raw[:100] = b"\xff" * 100  # not even a header
    (tmp_path / "broken.sqlite").write_bytes(raw)
    done = rescue(tmp_path / "broken.sqlite", tmp_path / "new.sqlite")
    assert done.spoilt == {"EDITED0000"}
    assert "Left out because they are not what was saved: receipts EDITED0000" in str(done)
    with Ledger(tmp_path / "new.sqlite") as ledger:
        assert {r.id for r in ledger.receipts()} == {"GOOD000000", "ALSO000000"}


def test_nothing_is_overwritten_and_nothing_made_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.save(receipt())
        with pytest.raises(LedgerError, match="has the ledger open"):
            rescue(path, tmp_path / "new.sqlite")
    (tmp_path / "there.sqlite").write_text("mine")
    with pytest.raises(LedgerError, match="already exists"):
        rescue(path, tmp_path / "there.sqlite")
    assert (tmp_path / "there.sqlite").read_text() == "mine"
    with pytest.raises(LedgerError, match="nothing to read"):
        rescue(tmp_path / "none.sqlite", tmp_path / "new.sqlite")
    (tmp_path / "junk").write_bytes(os.urandom(50_000))
    assert sum(rescue(tmp_path / "junk", tmp_path / "new.sqlite").written.values()) == 0
    assert json.dumps(content(tmp_path / "new.sqlite"), default=sorted)
