"""What can go wrong with the ledger's file, said so that a person knows what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from opg_magic.errors import LedgerError


class DamagedLedger(LedgerError):
    """The file, or something in it, is not as it was written."""


class AnotherReceipt(LedgerError):
    """The ledger holds another receipt under this id: this one can never be saved."""


class DamagedReceipt(DamagedLedger):
    """One receipt is not as it was saved; ``what`` says in what."""

    what = ""


#: How SQLite speaks of a damaged file; of tables and columns too, as only their names are spoilt.
_DAMAGE = (
    "not a database",
    "malformed",
    "disk i/o",
    "corrupt",
    "unsupported file format",
    "no such table",
    "no such column",
    "foreign key mismatch",
)


@contextlib.contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, str(error)) from None
    except UnicodeDecodeError:
        # SQLite's own message quotes what it found, and Python cannot read that.
        raise damaged(path) from None
    except MemoryError:
        raise LedgerError(
            f"The ledger {path} cannot be read: it is damaged, or there is too little memory.",
            hint="Close other programs and try again; then see what is damaged: opg ledger check.",
        ) from None
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} cannot be opened: {error.strerror or error}.",
            hint="Check that you may write to this folder, or set OPG_HOME to one where you may.",
        ) from None


def _explained(path: Path, text: str) -> LedgerError:
    low = text.lower()
    if "locked" in low or "busy" in low:
        return LedgerError(
            f"The ledger {path} is locked by another program.",
            hint="Close programs that hold it open (a database browser with unsaved changes), then "
            "try again.",
        )
    if "full" in low:
        return LedgerError(
            f"There is no room left on the disk of the ledger {path}; nothing was written.",
            hint="Free some space, then run the cell again.",
        )
    if "readonly" in low or "read-only" in low or "unable to open" in low or "permission" in low:
        return LedgerError(
            f"The ledger {path} cannot be written.",
            hint="Make the file and its folder writable for you, or set OPG_HOME to a folder of "
            "yours.",
        )
    if any(sign in low for sign in _DAMAGE):
        return damaged(path)
    return LedgerError(f"The ledger {path} refused: {text}.")


def damaged(path: Path, what: str | None = None) -> DamagedLedger:
    """The whole file is, or ``what`` of it."""
    return DamagedLedger(
        f"The ledger {path} is damaged{f': {what}' if what else ''}.",
        hint="Keep the file. See what is damaged: opg ledger check. Bring what can be read into a "
        "new file: opg ledger "
        "rescue. Payments made before stay on the chain.",
    )


def damaged_receipt(path: Path, receipt_id: str, what: str) -> DamagedReceipt:
    """One receipt is; the others can be read."""
    error = DamagedReceipt(
        f"The ledger {path} is damaged: receipt {receipt_id}: {what}.",
        hint="The other receipts can be read and exported. See all that is damaged: opg ledger "
        "check",
    )
    error.what = what
    return error
