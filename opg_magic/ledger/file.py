"""The ledger's file as this process has it open: one connection, whoever in the process asks for
it.

On POSIX, closing *any* descriptor of a file drops every lock that the process holds on it.
SQLite's own locks are of that kind: once they are gone, the next process to close the ledger takes
the write-ahead log (``-wal``) away, and what this process writes from then on goes into a deleted
file.  So, while a connection is open, nothing here opens the file, its ``-wal`` or its ``-shm``:
permissions are set by path, and everything is read through SQLite.  Where other code in the process
did it anyway, the next use notices that the log is another one, and starts again."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opg_magic.errors import LedgerError
from opg_magic.ledger import schema

LEDGER_NAME = "ledger.sqlite"

#: How a connection is told to leave the log alone when it closes (Python 3.12 and later).
_NO_CHECKPOINT: int | None = getattr(sqlite3, "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE", None)

#: Pages of the log from which on a commit brings it into the file: SQLite's own figure.
_LOG_PAGES = 1000

#: Seconds that a fork waits for a transaction in another thread.
_FORK_WAIT = 5.0

#: Device and number of the file and of its log, as the file system knows them: another pair is
#: another file.
_Identity = tuple[tuple[int, int] | None, tuple[int, int] | None]


class LedgerFile:
    """One file.  Get it from :func:`ledger_file`: there is one object for a file in a process.

    ``lock`` is held while the connection is used.  It closes with its last user (:meth:`leave`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = path.with_name(path.name + "-wal")
        self.lock = threading.RLock()
        #: Who uses the file, and whether only to read.
        self._users: dict[object, bool] = {}
        self._connections: dict[bool, sqlite3.Connection] = {}
        self._identities: dict[bool, _Identity] = {}
        self._timeouts: dict[bool, float] = {}
        #: Commits that were not flushed by themselves, and how many of them are on the disk by now.
        self.written = self.flushed = 0
        #: Connections of the process that this one was forked from: never used, and never closed,
        #: here.
        self._inherited: list[sqlite3.Connection] = []

    def connection(self, user: object, *, read_only: bool, timeout: float) -> sqlite3.Connection:
        """The connection, opened if need be; hold ``lock`` as long as it is used."""
        self._users[user] = read_only
        if self._inherited:
            raise LedgerError(
                f"This process was forked while the ledger {self.path} was being written; it "
                f"cannot use it.",
                hint="Fork outside of a call, or start a new process (multiprocessing: the method "
                "'spawn').",
            )
        known = self._connections.get(read_only)
        if (
            known is not None
            and not known.in_transaction
            and self._identity() != self._identities[read_only]
        ):
            self._lost(read_only)
        if read_only not in self._connections:
            self._open(read_only, timeout)
        db = self._connections[read_only]
        if self._timeouts[read_only] != timeout:
            db.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
            self._timeouts[read_only] = timeout
        return db

    @property
    def is_open(self) -> bool:
        """Whether this process has the file open through it."""
        return bool(self._connections)

    def confirm(self) -> None:
        """After a commit: raises LedgerError if it went into a log that has been taken away
        meanwhile."""
        if self._identities.get(False) != self._identity():
            raise LedgerError(
                f"The ledger {self.path} was moved or replaced while it was being written.",
                hint="See what it holds and what can be restored: opg ledger check",
            )

    @contextlib.contextmanager
    def flushing_later(self, db: sqlite3.Connection, *, later: bool) -> Iterator[None]:
        """With ``later``, a commit within outlives this process at once, and a machine that loses
        its power only after :meth:`flush`, which also brings the log into the file.  Hold
        ``lock``."""
        if not later:
            yield
            return
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            yield
        finally:
            self.written += 1
            db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            db.execute("PRAGMA synchronous = FULL")

    def flush(self) -> None:
        """Bring all commits onto the disk, by one that is flushed and changes nothing.  Raises what
        sqlite3 raises."""
        with self.lock:
            db, covers = self._connections.get(False), self.written
            # Closed, SQLite has brought the log into the file.
            if db is not None and not db.in_transaction:
                db.execute("BEGIN IMMEDIATE")
                try:
                    db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
                finally:
                    db.execute("COMMIT")
            self.flushed = max(self.flushed, covers)

    def leave(self, user: object) -> None:
        """``user`` needs the file no more.  A finaliser may call this, in any thread: it waits for
        nothing."""
        self._users.pop(user, None)
        if self.lock.acquire(blocking=False):
            try:
                self.close_unused()
            finally:
                self.lock.release()

    def close_unused(self) -> None:
        """Close the connections that nobody uses; hold ``lock``."""
        for read_only, db in tuple(self._connections.items()):
            # A copy, as a finaliser may take a user away meanwhile.
            if read_only not in tuple(self._users.values()) and not db.in_transaction:
                self._connections.pop(read_only).close()

    def close_for_fork(self) -> None:
        """Close all connections, to be opened again by who next uses them, unless one is within a
        transaction."""
        if not any(db.in_transaction for db in self._connections.values()):
            self._close_all()

    def forked(self) -> None:
        """In the new process: its locks are its own, and what is still open belongs to the other
        one."""
        self.lock = threading.RLock()
        self._inherited += self._connections.values()
        self._connections.clear()

    # --------------------------------------------------------------------------------------- inside

    def _identity(self) -> _Identity:
        return _number(self.path), _number(self._log)

    def _lost(self, read_only: bool) -> None:
        moved = self._identities[read_only][0] != _number(self.path)
        if moved and not read_only:
            # What was written is brought from the log into the file, wherever that is by now.
            with contextlib.suppress(sqlite3.Error):
                self._connections[read_only].execute("PRAGMA wal_checkpoint(FULL)")
            raise LedgerError(
                f"The ledger {self.path} was moved or deleted while it was in use; nothing was "
                f"written.",
                hint="Put it back, or restart the kernel to begin a new ledger (its limits begin "
                "anew, too).",
            )
        # Locks of one process are shared by its connections: only once all are closed are they
        # taken again.
        self._close_all(torn=True)

    def _close_all(self, *, torn: bool = False) -> None:
        for db in self._connections.values():
            if torn and _NO_CHECKPOINT is not None:
                # What is in the log was in the file before it was taken away; one that is there now
                # is another's.
                db.setconfig(_NO_CHECKPOINT, True)  # type: ignore[attr-defined,unused-ignore]
            db.close()
        self._connections.clear()

    def _open(self, read_only: bool, timeout: float) -> None:
        db = _open_to_read(self.path, timeout) if read_only else self._open_to_write(timeout)
        self._connections[read_only] = db
        self._identities[read_only] = self._identity()
        self._timeouts[read_only] = timeout

    def _open_to_write(self, timeout: float) -> sqlite3.Connection:
        _make_private(self.path)
        db = sqlite3.connect(
            self.path, timeout=timeout, isolation_level=None, check_same_thread=False
        )
        try:
            db.row_factory = sqlite3.Row
            _set_wal(db, self.path, timeout)
            # Every commit is on the disk before it is acted upon: most of them precede a payment.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA recursive_triggers = ON")
            schema.prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db


# -------------------------------------------------------------------------------- one for each file

_files: dict[str, LedgerFile] = {}
_files_lock = threading.RLock()


def ledger_file(path: Path) -> LedgerFile:
    """The one object of this process for a file, by whatever name it is called."""
    real = os.path.realpath(path)
    with _files_lock:
        return _files.setdefault(os.path.normcase(real), LedgerFile(Path(real)))


#: Locks that are held while the process forks.
_held: list[Any] = []


def _before_fork() -> None:
    # SQLite's locks do not pass to a child, but its memory of having them does.
    _files_lock.acquire()
    for file in _files.values():
        if file.lock.acquire(timeout=_FORK_WAIT):
            _held.append(file.lock)
            with contextlib.suppress(sqlite3.Error):
                file.close_for_fork()


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _files_lock.release()


def _in_child() -> None:
    global _files_lock
    _held.clear()
    _files_lock = threading.RLock()
    for file in _files.values():
        file.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


# ------------------------------------------------------------------------------------------ opening


def _open_to_read(path: Path, timeout: float) -> sqlite3.Connection:
    if not path.is_file():
        raise LedgerError(f"There is no ledger {path} yet.")
    db = sqlite3.connect(
        f"{path.as_uri()}?mode=ro",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA query_only = ON")
        version = schema.version(db, path)
        if version != schema.SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {path} was written by an older opg_magic (schema {version}).",
                hint="The next kernel that uses it updates it.",
            )
    except BaseException:
        db.close()
        raise
    return db


def _make_private(path: Path) -> None:
    """The file (made if it is not there) is for its owner alone; SQLite gives -wal and -shm the
    mode of the file."""
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only a file that is new is opened: nobody can have it open.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if os.name != "posix":
        return
    if path.stat().st_mode & 0o177:
        path.chmod(0o600)
    # Only a folder that is ours alone is narrowed.
    if path.name == LEDGER_NAME and folder.stat().st_mode & 0o077:
        from opg_magic.settings import paths

        if folder == Path(os.path.realpath(paths.home())):
            folder.chmod(0o700)


def _set_wal(db: sqlite3.Connection, path: Path, timeout: float) -> None:
    # Turning WAL on does not wait for locks as other statements do: two kernels may open a new file
    # at once.
    end = time.monotonic() + timeout
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise LedgerError(
            f"The ledger {path} is on a file system where several kernels cannot share it safely.",
            hint="Set OPG_HOME to a folder on a local disk.",
        )


def _number(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
