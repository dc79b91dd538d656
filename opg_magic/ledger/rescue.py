"""What can be read of a ledger that was torn or damaged, brought into a new file.

The ledger only ever grows, so every version of every page that is found holds rows that were
written: all of them are gathered, from the file, from the log beside it, and from logs that were
deleted while a process still writes them (``/proc``, Linux).  What proves itself (receipts by their
digest, shared bytes by their hash) is taken only if it does. Nothing is ever written to what is
read."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opg_magic.errors import LedgerError
from opg_magic.ledger import schema, sqlite_pages, stored
from opg_magic.ledger.file import ledger_file
from opg_magic.ledger.records import fits
from opg_magic.ledger.sqlite_pages import Image, Row, Value

#: Tables whose rows are only numbered, so that two logs give one number to two of them; the others
#: have a key.
_NUMBERED = ("releases", "events", "supplements")


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """A file of the ledger that is in no folder any more, though a process has it open."""

    pid: int
    path: Path
    #: Whether it is the log; else the ledger itself.
    log: bool


@dataclass(slots=True)
class Rescue:
    """What was found, and where it is now.  ``receipts`` are the ids that each source holds."""

    target: Path
    sources: list[str] = field(default_factory=list)
    receipts: dict[str, set[str]] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    #: Ids of receipts of which something was found that is not as it was saved.
    spoilt: set[str] = field(default_factory=set)
    #: Keys under which different rows were found; the first is kept.
    twice: set[str] = field(default_factory=set)
    #: Rows that refer to one that was not found, by their table.
    dangling: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"Read: {'; '.join(self.sources)}."]
        found = ", ".join(f"{number} {table}" for table, number in self.written.items() if number)
        lines.append(f"Written to {self.target}: {found or 'nothing'}.")
        for source, ids in self.receipts.items():
            alone = ids.difference(
                *(other for name, other in self.receipts.items() if name != source)
            )
            if alone:
                lines.append(f"{len(alone)} of the receipts were in {source} alone.")
        if self.spoilt:
            lines.append(
                f"Left out because they are not what was saved: receipts "
                f"{', '.join(sorted(self.spoilt))}."
            )
        if self.twice:
            lines.append(
                f"Found twice and different, the first was kept: {', '.join(sorted(self.twice))}."
            )
        for table, number in self.dangling.items():
            lines.append(f"{number} of the {table} refer to what was not found.")
        return "\n".join(lines)


def rescue(path: Path, target: Path, *, logs: Sequence[Path] = ()) -> Rescue:
    """Bring what can be read of the ledger ``path`` into the new file ``target``.  ``logs``: others
    that were kept.

    Raises LedgerError if ``target`` is there already, if there is nothing to read, or if this
    process has it open."""
    path = Path(os.path.realpath(path))
    if ledger_file(path).is_open:
        raise LedgerError(
            "This process has the ledger open.", hint="Run it in a shell: opg ledger rescue"
        )
    done = Rescue(target)
    images = _images(path, logs)
    if not images:
        raise LedgerError(f"There is nothing to read at {path}.")
    tables = _Tables(done)
    for image in images:
        done.sources.append(f"{image.name} ({len(image.pages)} pages)")
        done.receipts[image.name] = set()
    # Shared bytes first: receipts prove themselves with them.
    for only_blobs in (True, False):
        for image in images:
            for number, page in image.pages:
                for row in _rows(number, page, image, images):
                    tables.take(row, image.name, only_blobs=only_blobs)
    done.spoilt -= tables.keyed["receipts"].keys()
    _write(target, tables, done)
    return done


def deleted_files(path: Path) -> list[DeletedFile]:
    """Files of this ledger that are deleted and still open in some process (Linux; none
    elsewhere)."""
    real = os.path.realpath(path)
    wanted = {f"{real}-wal (deleted)": True, f"{real} (deleted)": False}
    found: dict[tuple[int, int], DeletedFile] = {}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # another user's, or ended meanwhile
            for one in folder.iterdir():
                with contextlib.suppress(OSError):
                    log = wanted.get(str(one.readlink()))
                    if log is not None:
                        state = one.stat()
                        key = (state.st_dev, state.st_ino)
                        found.setdefault(key, DeletedFile(int(folder.parent.name), one, log))
    return list(found.values())


# ------------------------------------------------------------------------------------------ reading


def _images(path: Path, logs: Sequence[Path]) -> list[Image]:
    """The file and its log first: where rows differ, what is in place counts."""
    found = []
    for name, place, of in (
        (path.name, path, sqlite_pages.of_database),
        (f"{path.name}-wal", path.with_name(path.name + "-wal"), sqlite_pages.of_log),
    ):
        with contextlib.suppress(FileNotFoundError):
            found.append(of(name, place.read_bytes()))
    for deleted in deleted_files(path):
        kind = "log" if deleted.log else "ledger"
        of = sqlite_pages.of_log if deleted.log else sqlite_pages.of_database
        with contextlib.suppress(OSError):
            found.append(
                of(f"the deleted {kind} of process {deleted.pid}", deleted.path.read_bytes())
            )
    try:
        found += [sqlite_pages.of_log(str(log), log.read_bytes()) for log in logs]
    except OSError as error:
        raise LedgerError(f"{error.filename} cannot be read: {error.strerror}.") from None
    return [image for image in found if image.pages]


def _rows(number: int, page: bytes, image: Image, images: Sequence[Image]) -> Iterator[Row]:
    """A page's rows, with each way to find the rest of a long one: first within its own file."""
    seen: set[Row] = set()
    for other in (
        image,
        *(one for one in images if one is not image and one.page_size == image.page_size),
    ):
        order = dict.fromkeys([other.name, image.name, *(one.name for one in images)])
        by_name = {one.name: one for one in images}

        def lookup(wanted: int, order: dict[str, None] = order) -> bytes | None:
            pages = (by_name[name].latest.get(wanted) for name in order)  # noqa: B023
            return next((found for found in pages if found is not None), None)

        for row in sqlite_pages.rows(number, page, lookup):
            if row not in seen:
                seen.add(row)
                yield row


# -------------------------------------------------------------------------------------- recognising


class _Tables:
    """The rows that were recognised, by table."""

    def __init__(self, done: Rescue) -> None:
        self._done = done
        self._columns = _columns()
        self.keyed: dict[str, dict[str, tuple[Value, ...]]] = {
            table: {} for table in self._columns if table not in _NUMBERED
        }
        self.numbered: dict[str, dict[tuple[Value, ...], int]] = {table: {} for table in _NUMBERED}

    def take(self, row: Row, source: str, *, only_blobs: bool) -> None:
        for table, columns in self._columns.items():
            if (table == "blobs") is only_blobs and _has_shape(row.values, columns):
                named = dict(zip((name for name, *_ in columns), row.values, strict=True))
                if _IS[table](named):
                    self._keep(table, row, named, source)
                    return

    def _keep(self, table: str, row: Row, named: dict[str, Value], source: str) -> None:
        if table in _NUMBERED:
            self.numbered[table].setdefault(row.values[1:], row.rowid)
            return
        key = str(named[schema.KEYS[table]])
        if table == "receipts":
            try:
                stored.whole(named, self._content)
            except stored.Damaged:
                self._done.spoilt.add(key)
                return
            self._done.receipts[source].add(key)
        # Rows get new numbers in the table.
        values = tuple(None if name == "seq" else value for name, value in named.items())
        if self.keyed[table].setdefault(key, values) != values:
            self._done.twice.add(key)

    def _content(self, sha256: str) -> str | None:
        found = self.keyed["blobs"].get(sha256)
        return (
            base64.b64encode(bytes(found[1])).decode()
            if found and isinstance(found[1], bytes)
            else None
        )


def _columns() -> dict[str, list[tuple[str, str, bool]]]:
    """Of each table: its columns' names, types, whether they must be there.  A key that is a number
    is not stored."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.prepare(db, Path(":memory:"))
        return {
            table: [
                (name, "NULL" if key and kind == "INTEGER" else kind, bool(needed))
                for _, name, kind, needed, _, key in db.execute(f"PRAGMA table_info({table})")
            ]
            for table in schema.KEYS
        }
    finally:
        db.close()


_TYPES: dict[str, type] = {"TEXT": str, "INTEGER": int, "BLOB": bytes, "REAL": float}


def _has_shape(values: tuple[Value, ...], columns: list[tuple[str, str, bool]]) -> bool:
    return len(values) == len(columns) and all(
        value is None
        if kind == "NULL"
        else isinstance(value, _TYPES[kind]) or (value is None and not needed)
        for value, (_, kind, needed) in zip(values, columns, strict=True)
    )


#: Whether a row with a table's columns is one of that table.
_IS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "calls": lambda row: row["id"].isalnum() and row["begun_at"][:1].isdigit(),
    "authorisations": fits,
    "releases": lambda row: row["nonce"].isdigit() and row["amount"].isdigit(),
    "events": lambda row: (
        row["call"].isalnum() and row["data"].startswith("{") and not row["kind"].isdigit()
    ),
    "blobs": lambda row: hashlib.sha256(row["content"]).hexdigest() == row["sha256"],
    "receipts": lambda row: row["id"].isalnum() and row["digest"].startswith("sha256:"),
    "supplements": lambda row: row["receipt"].isalnum() and row["evidence"].startswith("{"),
}


# ------------------------------------------------------------------------------------------ writing


def _write(target: Path, tables: _Tables, done: Rescue) -> None:
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise LedgerError(
            f"{target} already exists; nothing was written.", hint="Choose another file name."
        ) from None
    except OSError as error:
        raise LedgerError(f"{target} cannot be made: {error.strerror or error}.") from None
    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as db:
            schema.prepare(db, target)
            db.execute("BEGIN")
            for table, rows in _in_order(tables):
                done.written[table] = len(rows)
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    # The table's name is one of schema.KEYS.
                    db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
            db.execute("COMMIT")
            done.dangling.update(row[0] for row in db.execute("PRAGMA foreign_key_check"))
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _in_order(tables: _Tables) -> Iterator[tuple[str, list[tuple[Value, ...]]]]:
    for table, keyed in tables.keyed.items():
        # The second column is the time, but of receipts, whose first is their number.
        yield (
            table,
            sorted(keyed.values(), key=lambda row: str(row[2] if row[0] is None else row[1])),
        )
    for table, numbered in tables.numbered.items():
        ordered = sorted(numbered, key=lambda row: (str(row[0]), numbered[row]))
        yield table, [(None, *row) for row in ordered]
