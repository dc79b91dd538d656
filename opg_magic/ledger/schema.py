"""The tables of the ledger's file, and how a file of an earlier version is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from opg_magic.errors import LedgerError

#: ``PRAGMA application_id`` ("opgl") and ``user_version`` of the file.
APPLICATION_ID = 0x6F70676C
SCHEMA_VERSION = 3

_TABLES = """
CREATE TABLE calls (
  id TEXT PRIMARY KEY NOT NULL,
  begun_at TEXT NOT NULL,
  kernel TEXT NOT NULL,
  process TEXT NOT NULL,
  network TEXT NOT NULL,
  simulated INTEGER NOT NULL,
  notebook TEXT,
  cell INTEGER,
  model TEXT NOT NULL,
  host TEXT,
  prompt TEXT,
  nonce TEXT REFERENCES authorisations (nonce)
) STRICT;
CREATE TABLE authorisations (
  nonce TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  last_day TEXT NOT NULL,
  kernel TEXT NOT NULL,
  network TEXT NOT NULL,
  token TEXT NOT NULL,
  symbol TEXT NOT NULL,
  decimals INTEGER NOT NULL,
  cap TEXT NOT NULL,
  authorisation TEXT NOT NULL
) STRICT;
CREATE INDEX authorisations_by_day ON authorisations (network, token, last_day);
CREATE INDEX authorisations_by_kernel ON authorisations (network, token, kernel);
CREATE TABLE releases (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  nonce TEXT NOT NULL REFERENCES authorisations (nonce),
  amount TEXT NOT NULL,
  proof TEXT NOT NULL
) STRICT;
CREATE INDEX releases_by_nonce ON releases (nonce);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  call TEXT NOT NULL REFERENCES calls (id),
  kind TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_call ON events (call, kind);
CREATE TABLE blobs (
  sha256 TEXT PRIMARY KEY NOT NULL,
  content BLOB NOT NULL
) STRICT;
CREATE TABLE receipts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL,
  saved_at TEXT NOT NULL,
  kernel TEXT,
  network TEXT NOT NULL,
  simulated INTEGER NOT NULL,
  notebook TEXT,
  model TEXT NOT NULL,
  verdict TEXT,
  charge TEXT,
  token TEXT,
  cost TEXT,
  signature_sha256 TEXT,
  digest TEXT NOT NULL,
  document TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_by_time ON receipts (created_at);
CREATE INDEX receipts_by_signature ON receipts (signature_sha256);
"""

#: Since version 2: what was learnt of a call after its receipt was made.
_SUPPLEMENTS = """
CREATE TABLE supplements (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  receipt TEXT NOT NULL REFERENCES receipts (id),
  kind TEXT NOT NULL,
  tx_hash TEXT,
  nonce TEXT,
  evidence TEXT NOT NULL
) STRICT;
CREATE INDEX supplements_by_receipt ON supplements (receipt);
CREATE INDEX supplements_by_transaction ON supplements (tx_hash);
"""

#: Since version 3: what happened in a day is found without reading what happened before.
_KINDS = """
CREATE INDEX events_by_kind ON events (kind, at);
"""

#: Each table and its primary key.
KEYS = {
    "calls": "id",
    "authorisations": "nonce",
    "releases": "seq",
    "events": "seq",
    "blobs": "sha256",
    "receipts": "id",
    "supplements": "seq",
}


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the missing tables; raises LedgerError for a file that is not a ledger, or for a
    newer one."""
    if version(db, path) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another kernel may have made it meanwhile.
        for statement in _missing(version(db, path)):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _missing(known: int) -> Iterator[str]:
    steps = ((1, _TABLES), (2, _SUPPLEMENTS), (3, _KINDS))
    tables = "".join(made for version, made in steps if known < version)
    made = [table for table in KEYS if f"CREATE TABLE {table} " in tables]
    yield from (statement for statement in tables.split(";\n") if statement.strip())
    yield from triggers(made)


def version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the ledger in ``db``, 0 for an empty file; raises LedgerError as
    :func:`prepare` does."""
    # One statement sees one state: between two, another process may make the ledger.
    found, application, empty = db.execute(
        "SELECT user_version, application_id, NOT EXISTS (SELECT 1 FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if empty and found == application == 0:
        return 0
    if application != APPLICATION_ID:
        raise LedgerError(
            f"{path} is a database of another program, not a ledger.",
            hint="Set OPG_HOME to another folder.",
        )
    if found > SCHEMA_VERSION:
        raise LedgerError(
            f"The ledger {path} was written by a newer opg_magic (schema {found}).",
            hint="Update opg_magic in this environment, the way you installed it.",
        )
    return int(found)


def triggers(tables: list[str]) -> Iterator[str]:
    """What keeps rows from being changed or deleted."""
    for table, key in ((table, KEYS[table]) for table in tables):
        for action in ("UPDATE", "DELETE"):
            yield _guard(table, action, "", name=action.lower())
        # INSERT OR REPLACE would delete without asking the trigger above.
        there = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}) "  # noqa: S608
        yield _guard(table, "INSERT", there, name="replace")


def _guard(table: str, action: str, when: str, *, name: str) -> str:
    # SQL has no parameters for names; these are all of KEYS.
    return (
        f"CREATE TRIGGER {table}_no_{name} BEFORE {action} ON {table} {when}"
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    )


def trigger_names() -> set[str]:
    """What a whole ledger has of them."""
    return {f"{table}_no_{what}" for table in KEYS for what in ("update", "delete", "replace")}
