"""Commits of many calls at once reach the disk together; what can spend reaches it by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from support.receipts import receipt
from support.signed_receipts import signed

from opg_magic.errors import LedgerError
from opg_magic.ledger.access import together
from opg_magic.ledger.store import Ledger


def synchronous(ledger: Ledger) -> int:
    with ledger._guard():
        return int(ledger._db().execute("PRAGMA synchronous").fetchone()[0])


def test_one_flush_serves_all_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = 0

    async def main(ledger: Ledger) -> None:
        nonlocal flushes
        flush = ledger._file.flush

        def counted() -> None:
            nonlocal flushes
            flushes += 1
            flush()

        monkeypatch.setattr(ledger._file, "flush", counted)

        async def call() -> None:
            together.set(True)
            ledger.save(signed())
            await ledger.on_disk()
            assert ledger._file.flushed >= 1

        await asyncio.gather(*(call() for _ in range(8)))
        assert ledger._file.flushed == ledger._file.written == 8

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.save(receipt())
        assert ledger._file.written == 0  # elsewhere each commit is flushed by itself
        asyncio.run(main(ledger))
        assert 1 <= flushes < 8
        assert synchronous(ledger) == 2
        assert ledger.count() == 9


def test_a_failed_transaction_leaves_commits_flushed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.save(receipt())
        token = together.set(True)
        try:
            with pytest.raises(LedgerError):
                ledger.record("nocall", "ended")
        finally:
            together.reset(token)
        assert synchronous(ledger) == 2


def test_a_flush_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(ledger: Ledger) -> None:
        together.set(True)
        ledger.save(signed())
        with pytest.raises(LedgerError, match="no room left"):
            await ledger.on_disk()

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.save(receipt())
        monkeypatch.setattr(ledger._file, "flush", full)
        asyncio.run(main(ledger))


def test_a_new_authorisation_is_on_the_disk_before_it_is_signed(tmp_path: Path) -> None:
    from support.receipts import SIM, authorisation

    from opg_magic.ledger.store import CallIntent
    from opg_magic.receipt.document import new_id
    from opg_magic.settings.limits import Limits

    token = together.set(True)
    try:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            covered = authorisation(1)
            for reserve in (True, False):
                intent = CallIntent(
                    new_id(), ledger._clock(), SIM, "k1", "openai/gpt-5", authorisation=covered
                )
                ledger.begin(intent, reserve=reserve, limits=Limits(10**20, 10**20, 10**20))
                assert ledger._file.written == (0 if reserve else 1)
    finally:
        together.reset(token)


def test_the_flush_brings_the_log_into_the_file_and_no_call_waits_for_that(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"

    async def main(ledger: Ledger) -> None:
        together.set(True)
        before = path.stat().st_size
        for number in range(2):
            with ledger._transaction() as db:
                db.execute("INSERT INTO blobs VALUES (?, randomblob(5000000))", (f"{number:064x}",))
        assert path.stat().st_size == before
        await ledger.on_disk()
        assert path.stat().st_size > before + 10_000_000

    with Ledger(path) as ledger:
        ledger.save(receipt())
        asyncio.run(main(ledger))
        pages = ledger._query("PRAGMA wal_autocheckpoint", ())[0][0]
        assert pages > 0  # a ledger that nobody flushes is brought together all the same
