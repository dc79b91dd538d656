"""Text search: which calls hold these words.

An index (SQLite's FTS5, trigrams) stands in a file of its own beside the ledger, so that nothing
that happens to it can cost the ledger.  It is made from the ledger, and made again whenever it does
not fit.  It only narrows down what is read; whether a call holds the words is decided by what was
read (:func:`holds`).  Without the index (no FTS5, a folder that cannot be written, a damaged file)
every call is read, and the result is the same."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic.ledger.columns import DAMAGED
from opg_magic.ledger.records import plain_text
from opg_magic.ledger.row_cells import table_cells

if TYPE_CHECKING:
    from opg_magic.ledger.reading import LedgerReading

#: The columns that are searched; of an answer that was withheld nothing is.
SEARCHED = ("id", "prompt", "answer", "tool_calls", "problem", "model", "notebook")

#: What the index holds besides is searched by the ledger's list (:mod:`opg_magic.ledger.pages`).
_INDEXED = (*SEARCHED, "verdict", "tee_id")

#: Fewer calls than this are read without an index.
_FEW = 200
#: Calls that are read at once to be indexed.
_AT_ONCE = 2000
#: Seconds to wait for another kernel that writes into the index.
_PATIENCE = 2.0
#: ``PRAGMA user_version`` of the index, as in the schema.
_VERSION = 2
#: A new index has its first descriptor closed while no other thread has it open.
_one_at_a_time = threading.Lock()
_SCHEMA = """
CREATE VIRTUAL TABLE texts USING fts5 (
  text, content = '', tokenize = 'trigram case_sensitive 1'
);
CREATE TABLE unread (seq INTEGER PRIMARY KEY);
CREATE TABLE done (last_seq INTEGER NOT NULL, last_id TEXT NOT NULL, number INTEGER NOT NULL);
INSERT INTO done VALUES (0, '', 0);
PRAGMA user_version = 2;
"""
_WORDS = re.compile(r'"([^"]+)"|(\S+)')


def search_terms(words: str | None) -> tuple[str, ...]:
    """The words of a search, without regard to case; what stands in double quotes is one."""
    return tuple((a or b).casefold() for a, b in _WORDS.findall(words or "") if (a or b).strip())


def holds(cells: Mapping[str, Any], terms: Sequence[str]) -> bool:
    """Whether a row of the table holds every term in one of :data:`SEARCHED`."""
    if not terms:
        return True
    texts = [str(cells[name]).casefold() for name in SEARCHED if cells[name] is not None]
    return all(any(term in text for text in texts) for term in terms)


def candidates(ledger: LedgerReading, terms: Sequence[str]) -> Collection[int] | None:
    """Numbers (``seq``) of the receipts that may hold the terms; None if all may."""
    usable = _usable(terms)
    if not usable or ledger.count() < _FEW:
        return None
    path = ledger.path.with_name("search.sqlite")
    for _ in range(2):
        try:
            with _one_at_a_time:
                return _found(path, ledger, usable)
        except sqlite3.OperationalError as error:
            # Locked or not writable does not mean damaged, and another kernel may be using it.
            if "malformed" not in str(error) and "no such" not in str(error):
                return None
        except (sqlite3.DatabaseError, _DoesNotFit):
            pass
        except OSError:
            return None
        with contextlib.suppress(OSError):
            # A journal without its file would be played back into the next one.
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    return None


def _usable(terms: Sequence[str]) -> list[str]:
    return [term for term in terms if len(term) >= 3 and "\0" not in term]


def covered(ledger: LedgerReading, terms: Sequence[str]) -> tuple[Collection[int], int] | None:
    """The receipts that may hold the terms, and the number up to which the index covers them: all
    later ones may too.  None if all may.

    Only reads the index, as it is: for who may write nothing."""
    usable = _usable(terms)
    path = ledger.path.with_name("search.sqlite")
    if not usable or not path.is_file():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
        ) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                return None
            # One transaction: another kernel may add to it meanwhile.
            db.execute("BEGIN")
            last, last_id, number = db.execute("SELECT * FROM done").fetchone()
            if not last or ledger.place_of(last_id) != (last, number):
                return None
            return _matching(db, usable), last
    except (sqlite3.Error, OSError, ValueError, TypeError):
        return None


class _DoesNotFit(Exception):
    """The index is of another ledger, or of another version."""


def _found(path: Path, ledger: LedgerReading, terms: Sequence[str]) -> Collection[int]:
    with contextlib.suppress(FileExistsError):
        # Readable for its owner alone, as the ledger is.  Never one that is there: to close any
        # descriptor of it would drop the locks that this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as db:
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise _DoesNotFit
        _bring_up_to_date(db, ledger)
        return _matching(db, terms)


def _matching(db: sqlite3.Connection, terms: Sequence[str]) -> Collection[int]:
    quoted = " AND ".join('"' + term.replace('"', '""') + '"' for term in terms)
    hits = db.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (quoted,))
    return {row[0] for row in hits} | {row[0] for row in db.execute("SELECT seq FROM unread")}


def _bring_up_to_date(db: sqlite3.Connection, ledger: LedgerReading) -> None:
    """Add what the ledger holds since."""
    last, last_id, number = db.execute("SELECT * FROM done").fetchone()
    if last and ledger.place_of(last_id) != (last, number):
        raise _DoesNotFit
    while seqs := ledger.seqs_after(last, at_most=_AT_ONCE):
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("SELECT last_seq FROM done").fetchone()[0] != last:
                db.execute("ROLLBACK")  # another kernel adds to it too
                return _bring_up_to_date(db, ledger)
            _add(db, ledger, seqs)
            last, last_id, number = seqs[-1][0], seqs[-1][1], number + len(seqs)
            db.execute(
                "UPDATE done SET last_seq = ?, last_id = ?, number = ?", (last, last_id, number)
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return None


def _add(db: sqlite3.Connection, ledger: LedgerReading, seqs: Iterable[tuple[int, str]]) -> None:
    numbers = {id: seq for seq, id in seqs}
    for row in ledger.rows(among=numbers.values()):
        if row.id not in numbers:
            continue  # a call without receipt: those are always read
        cells = table_cells(row)
        if cells["verdict"] == DAMAGED:
            db.execute("INSERT OR IGNORE INTO unread VALUES (?)", (numbers[row.id],))
            continue
        text = "\n".join(str(cells[name]) for name in _INDEXED if cells[name] is not None)
        simulated = "SIMULATED" if cells["simulated"] else ""
        # Folded here, not by SQLite, whose idea of a letter's other case is another one.
        folded = plain_text(f"{text}\n{simulated}").casefold().replace("\0", " ")
        db.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (numbers[row.id], folded))
