"""An index of the ledger, in a file of its own beside it, so that nothing that happens to it can
cost the ledger: the texts of calls (SQLite's FTS5, trigrams), and the requests that were asked.

It is made from the ledger, and made again whenever it does not fit.  It only narrows down what is
read.  Without it (no FTS5, a folder that cannot be written, a damaged file) everything is read, and
the result is the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic.errors import MalformedMessage
from opg_magic.ledger.columns import DAMAGED
from opg_magic.ledger.records import plain_text
from opg_magic.ledger.row_cells import table_cells
from opg_magic.models import strict_json

if TYPE_CHECKING:
    from opg_magic.ledger.reading import LedgerReading
    from opg_magic.models import Prompt

T = TypeVar("T")

#: The columns that are searched; of an answer that was withheld nothing is.
SEARCHED = ("id", "prompt", "answer", "tool_calls", "problem", "model", "notebook")

#: What the index holds besides is searched by the ledger's list (:mod:`opg_magic.ledger.pages`).
_INDEXED = (*SEARCHED, "verdict", "tee_id")

#: Calls that are read at once to be indexed.
_AT_ONCE = 2000
#: Seconds to wait for another kernel that writes into the index.
_PATIENCE = 2.0
#: ``PRAGMA user_version`` of the index, as in the schema.
_VERSION = 3
#: A new index has its first descriptor closed while no other thread has it open.
_one_at_a_time = threading.Lock()
#: What a spoilt file raises besides SQLite's own errors: a row that is gone, a number that is a
#: text, words (in a message of SQLite's, too) that are not UTF-8.
_MISREAD = (ValueError, TypeError)
_SCHEMA = """
CREATE VIRTUAL TABLE texts USING fts5 (
  text, content = '', tokenize = 'trigram case_sensitive 1'
);
CREATE TABLE asked (
  request TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (request, seq)
) WITHOUT ROWID;
CREATE TABLE unread (seq INTEGER PRIMARY KEY);
CREATE TABLE done (last_seq INTEGER NOT NULL, last_id TEXT NOT NULL, number INTEGER NOT NULL);
INSERT INTO done VALUES (0, '', 0);
PRAGMA user_version = 3;
"""


def request_key(kind: str, model: str, body: str | bytes) -> str:
    """What two calls have in common that ask the same: SHA-256 (hex) over the kind, the model by
    its whole name, and the request's JSON, streamed or not.  Raises ValueError for what
    is no JSON, MalformedMessage for what is no object."""
    asked = strict_json.loads_leniently(body if isinstance(body, str) else body.decode())
    if not isinstance(asked, dict):
        raise MalformedMessage("a request is a JSON object", code=strict_json.NOT_JSON)
    asked.pop("stream", None)
    text = json.dumps([kind, model, asked], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def prompt_key(prompt: Prompt) -> str:
    """The :func:`request_key` of a prompt.  Raises PromptError for one that cannot be sent."""
    from opg_magic.protocol.request_body import build_body

    return request_key(prompt.kind, prompt.model, build_body(prompt))


def key_of(document: Mapping[str, Any]) -> str | None:
    """The :func:`request_key` of a receipt; None if its request is no JSON object."""
    request = document["request"]
    try:
        return request_key(request["kind"], request["model_requested"], request["body"])
    except (ValueError, MalformedMessage):
        return None


def use(ledger: LedgerReading, query: Callable[[sqlite3.Connection], T]) -> T | None:
    """What a query finds in the index, brought up to date; None if there is no usable index."""
    path = _path(ledger)
    for _ in range(2):
        try:
            with _one_at_a_time, _opened(path, ledger) as db:
                return query(db)
        except sqlite3.OperationalError as error:
            # Locked or not writable does not mean damaged, and another kernel may be using it.
            if "malformed" not in str(error) and "no such" not in str(error):
                return None
        except (sqlite3.DatabaseError, _DoesNotFit, *_MISREAD):
            pass
        except OSError:
            return None
        with contextlib.suppress(OSError):
            # A journal without its file would be played back into the next one.
            path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    return None


def use_as_it_is(
    ledger: LedgerReading, query: Callable[[sqlite3.Connection], T]
) -> tuple[T, int] | None:
    """What a query finds in the index as it is, and the number of the receipt up to which that
    reaches; None if there is no usable index.  For who may write nothing."""
    path = _path(ledger)
    if not path.is_file():
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
            return query(db), last
    except (sqlite3.Error, OSError, *_MISREAD):
        return None


class _DoesNotFit(Exception):
    """The index is of another ledger, or of another version."""


def _path(ledger: LedgerReading) -> Path:
    return ledger.path.with_name("search.sqlite")


@contextlib.contextmanager
def _opened(path: Path, ledger: LedgerReading) -> Iterator[sqlite3.Connection]:
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
        yield db


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
        key = None if row.document is None else key_of(row.document)
        if key is not None:
            db.execute("INSERT INTO asked VALUES (?, ?, ?)", (key, numbers[row.id], row.id))
        cells = table_cells(row)
        if cells["verdict"] == DAMAGED:
            db.execute("INSERT OR IGNORE INTO unread VALUES (?)", (numbers[row.id],))
            continue
        text = "\n".join(str(cells[name]) for name in _INDEXED if cells[name] is not None)
        simulated = "SIMULATED" if cells["simulated"] else ""
        # Folded here, not by SQLite, whose idea of a letter's other case is another one.
        folded = plain_text(f"{text}\n{simulated}").casefold().replace("\0", " ")
        db.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (numbers[row.id], folded))
