"""The ledger: one append-only SQLite file for all kernels of a user.

What can spend is written, durably, before it is sent: :meth:`Ledger.begin` takes the intent and the
reservation of its authorisation in one transaction, together with the check of the limits.  Rows
are never changed or deleted (triggers refuse it); what is learnt later is an event of its own.
Amounts are decimal text: they may exceed 64 bits."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opg_magic.errors import LedgerError, UnreadableReceipt
from opg_magic.ledger import chats, relayed, sums
from opg_magic.ledger.errors import AnotherReceipt, damaged
from opg_magic.ledger.reading import LedgerReading
from opg_magic.ledger.records import (
    ENDINGS,
    CallIntent,
    LedgerRow,
    OpenAuthorisation,
    RecordedCall,
    Spending,
    UnfinishedCall,
    authorisation_json,
    authorisation_of,
    day_of,
    from_unix,
    iso,
    network_key,
    plain_text,
    this_process,
    token_key,
)
from opg_magic.ledger.stored import columns_of, deflate
from opg_magic.models import Authorisation, Money
from opg_magic.receipt.document import Receipt, signature_key, supplemented
from opg_magic.receipt.form import canonical_bytes
from opg_magic.receipt.supplements import Supplement, supplement_json, supplement_kind
from opg_magic.settings.limits import Limits, RelayedLimits, check
from opg_magic.wallet.funds import Funds

__all__ = [
    "ENDINGS",
    "CallIntent",
    "Ledger",
    "LedgerRow",
    "OpenAuthorisation",
    "RecordedCall",
    "Spending",
    "UnfinishedCall",
    "network_key",
]

_INSERT_RECEIPT = """
INSERT INTO receipts (
  id, created_at, saved_at, kernel, network, simulated, notebook, model, verdict, charge, token,
  cost, signature_sha256, digest, document
) VALUES (
  :id, :created_at, :saved_at, :kernel, :network, :simulated, :notebook, :model, :verdict, :charge,
  :token, :cost, :signature_sha256, :digest, :document
)
"""

#: Bytes of a file that is looked through before a process pays for the first time.
_QUICKLY = 64 * 1024 * 1024


class Ledger(LedgerReading):
    """The ledger in one file; created (0600, its folder 0700) when it is first written or read.

    Safe for several threads and processes; all objects for one file in a process share one
    connection.  Raises :class:`LedgerError`, with what to do, for a file that is locked, damaged,
    unreadable, moved, or on a full disk."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(path, timeout=timeout, clock=clock)
        self._looked_through = False
        #: Receipts that could be written nowhere, by id: see :meth:`keep_aside`.
        self._unwritten: dict[str, Receipt] = {}

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._file.lock:
            if self._unwritten:
                self._take_in()
            super().close()

    def begin(
        self,
        intent: CallIntent,
        *,
        reserve: bool,
        limits: Limits | None = None,
        funds: Funds | None = None,
    ) -> None:
        """Write the intent, and with ``reserve`` its new authorisation, if the limits allow it: all
        or nothing.

        A call that reuses an authorisation (``reserve=False``) reserves nothing more, but that
        authorisation must be open, of this kernel and network, and within the limits as they are
        now.  Anything that can spend needs ``limits``.  Raises :class:`LimitExceeded` or
        :class:`LedgerError`; then nothing was written."""
        authorisation = intent.authorisation
        if authorisation is None and reserve:
            raise ValueError("there is no authorisation to reserve")
        self._take_in()
        if not self._looked_through:
            if not self.is_whole(at_most=_QUICKLY):
                raise damaged(self.path)
            self._looked_through = True
        # A new authorisation is on the disk before it is signed, whoever else writes.
        with self._transaction(flushed=reserve) as db:
            if db.execute("SELECT 1 FROM calls WHERE id = ?", (intent.id,)).fetchone():
                raise LedgerError(f"Call {intent.id} has already begun.")
            if authorisation is not None:
                if limits is None:
                    raise ValueError("a call that can spend needs limits")
                self._cover(
                    db, intent, authorisation, limits, funds if reserve else None, new=reserve
                )
            db.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    intent.id,
                    iso(intent.created_at),
                    intent.kernel_id,
                    this_process(),
                    network_key(intent.network),
                    int(intent.network.simulated),
                    intent.notebook,
                    intent.cell,
                    plain_text(intent.model),
                    intent.tee_id,
                    plain_text(intent.prompt) if intent.prompt is not None else None,
                    str(authorisation.nonce) if authorisation is not None else None,
                ),
            )

    def begin_relayed(self, intent: CallIntent, limits: RelayedLimits, tokens: int) -> None:
        """Write the intent of a call that a relay pays for and that may use ``tokens``, if the
        limits allow it: all or nothing.

        Raises :class:`LimitExceeded` or :class:`LedgerError`; then nothing was written."""
        with self._transaction() as db:
            day = day_of(self._clock())
            calls, used = relayed.used_since(db, network_key(intent.network), day)
            limits.check(calls=calls, tokens=used, more=tokens)
            self.begin(intent, reserve=False)
            self.record(intent.id, relayed.ASKED, {"tokens": tokens})

    def record_tokens(self, call_id: str, tokens: int) -> None:
        """Note how many tokens a call through a relay used, by the host's count."""
        self.record(call_id, relayed.USED, {"tokens": tokens})

    def record_unsent(self, call_id: str) -> None:
        """Note that a call through a relay was never sent: it counts no more against the limits."""
        self.record(call_id, relayed.UNSENT)

    def _cover(
        self,
        db: sqlite3.Connection,
        intent: CallIntent,
        a: Authorisation,
        limits: Limits,
        funds: Funds | None,
        *,
        new: bool,
    ) -> None:
        """Check that the limits and the wallet allow the authorisation, and reserve a new one."""
        network, token = network_key(intent.network), intent.network.token
        if a.cap < 0 or (a.token.lower(), a.chain_id) != (token.address.lower(), token.chain_id):
            raise ValueError("the authorisation is not in the network's token")
        known = db.execute(
            "SELECT * FROM authorisations WHERE nonce = ?", (str(a.nonce),)
        ).fetchone()
        if new and known:
            raise LedgerError("This authorisation is already in the ledger; its nonce must be new.")
        if not new:
            a = self._joined(db, intent, known)
        now = self._clock()
        check(
            limits,
            cap=Money(a.cap, token),
            new=new,
            used_kernel=sums.reserved_by_kernel(db, network, token, intent.kernel_id),
            used_day=sums.reserved_since(db, network, token, day_of(now)),
        )
        if new:
            if funds is not None:
                held = sums.held(db, network, a.payer, funds.at)
                funds.check(Money(a.cap, token), held, intent.network)
            self._reserve(db, intent, a, now)

    @staticmethod
    def _joined(
        db: sqlite3.Connection, intent: CallIntent, known: sqlite3.Row | None
    ) -> Authorisation:
        """The open authorisation that a call joins, as it was reserved."""
        own = (intent.kernel_id, network_key(intent.network))
        if known is None or (known["kernel"], known["network"]) != own:
            raise LedgerError(
                "The call joins an authorisation that this kernel did not reserve on this network."
            )
        if db.execute("SELECT 1 FROM releases WHERE nonce = ?", (known["nonce"],)).fetchone():
            raise LedgerError(
                "The call joins an authorisation that has already been settled or has expired."
            )
        return authorisation_of(known["authorisation"])

    @staticmethod
    def _reserve(
        db: sqlite3.Connection, intent: CallIntent, a: Authorisation, now: datetime
    ) -> None:
        token = intent.network.token
        db.execute(
            "INSERT INTO authorisations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(a.nonce),
                iso(now),
                # It can be spent until its deadline, so it counts for each day that it touches.
                day_of(max(now, from_unix(a.deadline))),
                intent.kernel_id,
                network_key(intent.network),
                token_key(token),
                token.symbol,
                token.decimals,
                str(a.cap),
                json.dumps(authorisation_json(a), sort_keys=True),
            ),
        )

    def record(self, call_id: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Append what happened to a call.  ``data`` must be plain JSON: a secret is refused
        (TypeError).

        One of :data:`ENDINGS` closes a call that leaves no receipt; ``data["reason"]`` says why.
        """
        text = json.dumps(dict(data or {}), sort_keys=True, allow_nan=False)
        with self._transaction() as db:
            if not db.execute("SELECT 1 FROM calls WHERE id = ?", (call_id,)).fetchone():
                raise LedgerError(f"Call {call_id} has not begun.")
            db.execute(
                "INSERT INTO events (at, call, kind, data) VALUES (?, ?, ?, ?)",
                (iso(self._clock()), call_id, kind, plain_text(text)),
            )

    def release(
        self,
        authorisation: Authorisation | int,
        amount: int,
        proof: Mapping[str, Any] | None = None,
    ) -> None:
        """Lower a reservation to what was really taken: the settled amount, or 0 for a nonce that
        expired unspent.

        ``authorisation`` may be its nonce; ``proof`` says how that is known (transaction, block).
        It can only fall; the same figure again changes nothing."""
        nonce = authorisation if isinstance(authorisation, int) else authorisation.nonce
        text = json.dumps(dict(proof or {}), sort_keys=True, allow_nan=False)
        with self._transaction() as db:
            row = db.execute(
                "SELECT cap FROM authorisations WHERE nonce = ?", (str(nonce),)
            ).fetchone()
            if row is None:
                raise LedgerError("The ledger holds no authorisation with this nonce.")
            amounts = [
                int(r[0])
                for r in db.execute("SELECT amount FROM releases WHERE nonce = ?", (str(nonce),))
            ]
            now = min([int(row["cap"]), *amounts])
            if amounts and amount == now:
                return
            if not 0 <= amount <= now:
                raise LedgerError(
                    f"A reservation can only be lowered: it is {now} base units now, not {amount}."
                )
            db.execute(
                "INSERT INTO releases (at, nonce, amount, proof) VALUES (?, ?, ?, ?)",
                (iso(self._clock()), str(nonce), str(amount), text),
            )

    def save(self, receipt: Receipt) -> None:
        """Keep a receipt, which ends its call.  The same receipt again changes nothing; another
        under its id fails."""
        document, blobs = deflate(receipt.document)
        columns = columns_of(receipt.document) | {
            "saved_at": iso(self._clock()),
            "signature_sha256": signature_key(receipt.signature),
            "document": canonical_bytes(document).decode(),
        }
        with self._transaction() as db:
            row = db.execute("SELECT digest FROM receipts WHERE id = ?", (receipt.id,)).fetchone()
            if row is not None:
                if row["digest"] == receipt.digest:
                    return
                raise AnotherReceipt(
                    f"The ledger already holds another receipt {receipt.id}; receipts are never "
                    f"changed."
                )
            for sha256, content in blobs.items():
                if not db.execute("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)).fetchone():
                    db.execute("INSERT INTO blobs VALUES (?, ?)", (sha256, content))
            db.execute(_INSERT_RECEIPT, columns)
            name = chats.named_in(receipt)
            begun = "SELECT 1 FROM calls WHERE id = ?"
            if name is not None and db.execute(begun, (receipt.id,)).fetchone():
                self.record(receipt.id, chats.KIND, chats.goes_on(name))

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """The digest under which each of these receipts was saved; nothing of them is read."""
        self._take_in()
        wanted = "SELECT id, digest FROM receipts WHERE id IN (SELECT value FROM json_each(?))"
        return {r["id"]: r["digest"] for r in self._query(wanted, (json.dumps([*ids]),))}

    def chats(self) -> dict[str, str]:
        """The last call of each chat by its name; the chat that went on last stands last."""
        asked = "SELECT call, data FROM events WHERE kind = ? ORDER BY seq"
        return chats.heads(self._query(asked, (chats.KIND,)))

    def keep_aside(self, receipt: Receipt, problem: LedgerError) -> str:
        """Keep what was paid for and could not be saved, in a file beside the ledger; returns why,
        and where it is.

        It is added automatically as soon as the ledger can be written again.  If not even that
        file can be written, this object holds the receipt."""
        why = problem.message.rstrip(".")
        try:
            path = self._write_aside(f"{receipt.id}.json", receipt.to_json())
        except OSError:
            self._unwritten[receipt.id] = receipt
            return (
                "its receipt is in the memory of this kernel alone, and is written when that is "
                f"possible: {why}"
            )
        return f"its receipt is not in the ledger yet, but in {path}: {why}"

    def keep_raw(self, call_id: str, data: Mapping[str, Any]) -> Path:
        """Keep what came of a call of which no receipt could be made, as JSON in a file of its own;
        raises OSError."""
        return self._write_aside(
            f"{call_id}.raw", json.dumps(dict(data), indent=1, ensure_ascii=True)
        )

    def _write_aside(self, name: str, text: str) -> Path:
        path = self._aside / name
        self._aside.mkdir(mode=0o700, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        return path

    @property
    def _aside(self) -> Path:
        return self.path.parent / "unsaved"

    def _take_in(self) -> None:
        """Save what :meth:`keep_aside` kept, here or in another kernel; what still fails stays
        where it is."""
        with self._file.lock, contextlib.suppress(LedgerError, OSError):
            # One that can never be saved keeps no other from it.
            for receipt in tuple(self._unwritten.values()):
                with contextlib.suppress(AnotherReceipt):
                    self.save(receipt)
                    del self._unwritten[receipt.id]
            for path in sorted(self._aside.glob("*.json")) if self._aside.is_dir() else ():
                with contextlib.suppress(UnreadableReceipt, AnotherReceipt):
                    self.save(Receipt.from_json(path.read_bytes()))
                    path.unlink(missing_ok=True)

    def supplement(self, receipt_id: str, found: Supplement) -> Receipt:
        """Keep what was learnt of a call after its receipt was made; returns the receipt's new
        version.

        The receipt itself stays as it is.  Of each kind (payment, settlement, agreement, weights)
        the last one kept counts; the same again changes nothing.  Raises :class:`LedgerError` where
        there is no such receipt, or no place in it."""
        kind, evidence = supplement_kind(found), supplement_json(found)
        original = self.get(receipt_id, as_made=True)
        with self._transaction() as db:
            parts = self._parts(original.id)
            known = parts.get(kind)
            parts[kind] = evidence
            try:
                version = Receipt.from_document(supplemented(original, parts).document)
            except (ValueError, UnreadableReceipt) as error:
                raise LedgerError(
                    f"This cannot be added to receipt {original.id}: {error}"
                ) from None
            if known != evidence:
                payment = original.document["payment"]
                db.execute(
                    "INSERT INTO supplements (at, receipt, kind, tx_hash, nonce, evidence) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        iso(self._clock()),
                        original.id,
                        kind,
                        evidence.get("tx_hash"),
                        payment["authorisation"]["nonce"] if payment is not None else None,
                        canonical_bytes(evidence).decode(),
                    ),
                )
        return version
