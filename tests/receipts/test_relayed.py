"""Calls through a relay and their tokens, counted against the limits of a day."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.receipts import NOW, SIM

from opg_magic.errors import LimitExceeded
from opg_magic.ledger import relayed, schema
from opg_magic.ledger.store import CallIntent, Ledger, network_key
from opg_magic.network.profiles import OPENGRADIENT
from opg_magic.receipt.document import new_id
from opg_magic.settings.limits import RelayedLimits

WIDE = RelayedLimits(1000, 10**6)


@pytest.fixture
def now() -> list[datetime]:
    return [NOW]


@pytest.fixture
def ledger(tmp_path: Path, now: list[datetime]) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite", clock=lambda: now[0])


def begin(ledger: Ledger, tokens: int, limits: RelayedLimits = WIDE, network=SIM) -> str:
    intent = CallIntent(new_id(), NOW, network, "k1", "openai/gpt-5", prompt="p")
    ledger.begin_relayed(intent, limits, tokens)
    return intent.id


def used(ledger: Ledger, day: str = f"{NOW:%Y-%m-%d}") -> tuple[int, int]:
    with sqlite3.connect(ledger.path) as db:
        db.row_factory = sqlite3.Row
        return relayed.used_since(db, network_key(SIM), day)


def test_what_was_used_counts_where_it_is_known_else_the_most_that_could_be(
    ledger: Ledger,
) -> None:
    first, _second = begin(ledger, 500), begin(ledger, 300)
    ledger.record_tokens(first, 40)
    begin(ledger, 7000, network=OPENGRADIENT)
    assert used(ledger) == (2, 340)


def test_a_call_that_was_never_sent_counts_for_nothing(ledger: Ledger) -> None:
    limits = RelayedLimits(1, 500)
    for _ in range(3):
        ledger.record_unsent(begin(ledger, 500, limits))
    assert used(ledger) == (0, 0)
    begin(ledger, 500, limits)
    with pytest.raises(LimitExceeded):
        begin(ledger, 500, limits)


def test_a_host_that_says_it_used_nothing_does_not_take_its_call_from_the_count(
    ledger: Ledger,
) -> None:
    ledger.record_tokens(begin(ledger, 500), 0)
    assert used(ledger) == (1, 0)


def test_a_day_counts_its_own_calls(ledger: Ledger, now: list[datetime]) -> None:
    late = begin(ledger, 500)
    begin(ledger, 300)
    now[0] += timedelta(days=1)
    ledger.record_tokens(late, 40)
    begin(ledger, 20)
    assert used(ledger, f"{now[0]:%Y-%m-%d}") == (1, 60)
    assert used(ledger) == (3, 360)


def test_a_clock_that_was_wrong_for_a_while_hides_no_call(
    ledger: Ledger, now: list[datetime]
) -> None:
    begin(ledger, 500)
    now[0] = NOW - timedelta(days=9000)
    begin(ledger, 300)
    now[0] = NOW
    assert used(ledger) == (1, 500)


def test_only_the_days_rows_are_read(ledger: Ledger) -> None:
    begin(ledger, 500)
    plan = f"EXPLAIN QUERY PLAN {relayed._OF_THE_DAY}"
    with sqlite3.connect(ledger.path) as db:
        steps = [row[3] for row in db.execute(plan, ("2026-01-01", network_key(SIM)))]
    assert any("events_by_kind (kind=? AND at>?)" in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


def test_a_ledger_of_the_version_before_gets_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    with monkeypatch.context() as before:
        before.setattr(schema, "_KINDS", "")
        before.setattr(schema, "SCHEMA_VERSION", 2)
        with Ledger(path, clock=lambda: NOW) as old:
            begin(old, 500)
    with Ledger(path, clock=lambda: NOW) as new:
        begin(new, 300)
        assert used(new) == (2, 800)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events_by_kind'").fetchone()
