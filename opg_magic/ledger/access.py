"""Access to the ledger's file: the connection that is shared, transactions, and errors said in
words."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from opg_magic.ledger.errors import readable_errors
from opg_magic.ledger.file import ledger_file

#: Set where many calls run at once: a commit is not flushed by itself, and whoever acts upon it
#: waits for :meth:`LedgerAccess.on_disk`, one flush for all of them.
together: contextvars.ContextVar[bool] = contextvars.ContextVar("together", default=False)

#: Seconds between two such flushes: nothing can be written during one, so calls gather for the
#: next.
_GATHER = 0.025


class LedgerAccess:
    """One ledger as one object sees it; the file itself is shared by all objects of the process."""

    _read_only: ClassVar[bool] = False

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if path is None:
            from opg_magic.settings import paths

            path = paths.ledger_file()
        # Not another file after a change of the working folder.
        self.path = Path(path).absolute()
        self._timeout = timeout
        self._clock = clock
        self._file = ledger_file(self.path)
        self._user = object()
        self._flushing: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._flushed_at = 0.0
        weakref.finalize(self, self._file.leave, self._user)

    def __repr__(self) -> str:
        return f"<Ledger {str(self.path)!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._file.lock:
            self._file.leave(self._user)

    def exclusively(self) -> contextlib.AbstractContextManager[object]:
        """Nobody else writes meanwhile: what is looked up inside still holds when it is saved
        there."""
        return self._transaction()

    def _query(self, sql: str, values: tuple[Any, ...] | Mapping[str, Any]) -> list[sqlite3.Row]:
        with self._guard():
            db = self._db()
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            # A text that is not UTF-8 was not written here; it must not keep the others from being
            # read.
            db.text_factory = _leniently
            try:
                return db.execute(sql, values).fetchall()
            finally:
                db.text_factory = str

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._file.lock, readable_errors(self.path):
            yield
            self._file.close_unused()

    async def on_disk(self) -> None:
        """Return once all that was written is on the disk, flushed for all that wait at once.

        Does nothing where each commit was flushed by itself.  Raises LedgerError."""
        wanted = self._file.written
        while self._file.flushed < wanted:
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.ensure_future(self._flush())
            with readable_errors(self.path):
                # Whoever stops waiting does not stop it for the others.
                await asyncio.shield(self._flushing)

    def held_up(self) -> asyncio.Future[None] | None:
        """What ends once the ledger can be written without waiting for the disk; None if it can be
        now."""
        return self._syncing

    async def _flush(self) -> None:
        await asyncio.sleep(self._flushed_at + _GATHER - time.monotonic())
        self._syncing = asyncio.ensure_future(asyncio.to_thread(self._file.flush))
        try:
            await self._syncing
        finally:
            self._syncing = None
            self._flushed_at = time.monotonic()

    @contextlib.contextmanager
    def _transaction(self, *, flushed: bool = False) -> Iterator[sqlite3.Connection]:
        with self._guard():
            db = self._db()
            if db.in_transaction:  # inside of exclusively(), in this thread: the lock is held
                yield db
                return
            with (
                self._file.flushing_later(db, later=together.get() and not flushed),
                self._committed(db),
            ):
                yield db

    @contextlib.contextmanager
    def _committed(self, db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._file.confirm()

    def _db(self) -> sqlite3.Connection:
        return self._file.connection(self._user, read_only=self._read_only, timeout=self._timeout)


def _leniently(text: bytes) -> str:
    return text.decode("utf-8", "replace")
