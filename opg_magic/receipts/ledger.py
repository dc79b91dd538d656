"""The ledger: one append-only SQLite file for all kernels of a user.

What can spend is written, durably, before it is sent: :meth:`Ledger.begin` takes the intent and the reservation of its
authorisation in one transaction, together with the check of the limits.  Rows are never changed or deleted (triggers
refuse it); what is learnt later is an event of its own.  Amounts are decimal text: they may exceed 64 bits.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from opg_magic.errors import LedgerError, UnreadableReceipt
from opg_magic.models import Authorisation, Money
from opg_magic.networks import Network, Token
from opg_magic.receipts import ledger_schema, sums
from opg_magic.receipts.form import canonical_bytes, short
from opg_magic.receipts.ledger_errors import DamagedLedger, DamagedReceipt, damaged, damaged_receipt, readable_errors
from opg_magic.receipts.ledger_file import ledger_file
from opg_magic.receipts.ledger_records import (
    ENDINGS,
    CallIntent,
    LedgerRow,
    OpenAuthorisation,
    RecordedCall,
    Spending,
    UnfinishedCall,
    authorisation_json,
    authorisation_of,
    call_of,
    fits,
    from_unix,
    iso,
    moment_of,
    network_key,
    plain_text,
    process_lives,
    this_process,
    time_of,
    token_key,
    token_of,
)
from opg_magic.receipts.receipt import (
    Receipt,
    Supplement,
    SupplementKind,
    normalise_id,
    signature_key,
    supplement_json,
    supplement_kind,
    supplemented,
)
from opg_magic.receipts.stored import Content, Damaged, columns_of, deflate, later_parts, slim, whole, with_parts
from opg_magic.wallet.funds import Funds
from opg_magic.wallet.limits import Limits, check

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


#: Bytes of a file that is looked through before a process pays for the first time.
_QUICKLY = 64 * 1024 * 1024


class Ledger:
    """The ledger in one file; created (0600, its folder 0700) when it is first written or read.

    Safe for several threads and processes; all objects for one file in a process share one connection.  Raises
    :class:`LedgerError`, with what to do, for a file that is locked, damaged, unreadable, moved, or on a full disk.
    """

    _read_only: ClassVar[bool] = False

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if path is None:
            from opg_magic import paths

            path = paths.ledger_file()
        # Not another file after a change of the working folder.
        self.path = Path(path).absolute()
        self._timeout = timeout
        self._clock = clock
        self._file = ledger_file(self.path)
        self._user = object()
        weakref.finalize(self, self._file.leave, self._user)
        self._looked_through = False
        #: Receipts that could be written nowhere, by id: see :meth:`keep_aside`.
        self._unwritten: dict[str, Receipt] = {}

    def __repr__(self) -> str:
        return f"<Ledger {str(self.path)!r}>"

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._file.lock:
            if self._unwritten:
                self._take_in()
            self._file.leave(self._user)

    # ------------------------------------------------------------------------------------------------------- writing

    def begin(
        self, intent: CallIntent, *, reserve: bool, limits: Limits | None = None, funds: Funds | None = None
    ) -> None:
        """Write the intent, and with ``reserve`` its new authorisation, if the limits allow it: all or nothing.

        A call that reuses an authorisation (``reserve=False``) reserves nothing more, but that authorisation must be
        open, of this kernel and network, and within the limits as they are now.  Anything that can spend needs
        ``limits``.  Raises :class:`LimitExceeded` or :class:`LedgerError`; then nothing was written.
        """
        authorisation = intent.authorisation
        if authorisation is None and reserve:
            raise ValueError("there is no authorisation to reserve")
        self._take_in()
        if not self._looked_through:
            if not self.is_whole(at_most=_QUICKLY):
                raise damaged(self.path)
            self._looked_through = True
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM calls WHERE id = ?", (intent.id,)).fetchone():
                raise LedgerError(f"Call {intent.id} was begun already.")
            if authorisation is not None:
                if limits is None:
                    raise ValueError("a call that can spend needs limits")
                self._cover(db, intent, authorisation, limits, funds if reserve else None, new=reserve)
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
        network, token = network_key(intent.network), intent.network.token
        if a.cap < 0 or (a.token.lower(), a.chain_id) != (token.address.lower(), token.chain_id):
            raise ValueError("the authorisation is not in the network's token")
        known = db.execute("SELECT * FROM authorisations WHERE nonce = ?", (str(a.nonce),)).fetchone()
        if new and known:
            raise LedgerError("This authorisation is in the ledger already; its nonce must be fresh.")
        if not new:
            if known is None or (known["kernel"], known["network"]) != (intent.kernel_id, network):
                raise LedgerError("The call joins an authorisation that this kernel did not reserve on this network.")
            if db.execute("SELECT 1 FROM releases WHERE nonce = ?", (str(a.nonce),)).fetchone():
                raise LedgerError("The call joins an authorisation that is settled or expired already.")
            a = authorisation_of(known["authorisation"])
        now = self._clock()
        check(
            limits,
            cap=Money(a.cap, token),
            new=new,
            used_kernel=_reserved(db, network, token, "kernel =", intent.kernel_id),
            used_day=_reserved(db, network, token, "last_day >=", _day(now)),
        )
        if not new:
            return
        if funds is not None:
            funds.check(Money(a.cap, token), sums.held(db, network, a.payer, funds.at), intent.network)
        db.execute(
            "INSERT INTO authorisations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(a.nonce),
                iso(now),
                # It can be spent until its deadline, so it counts for each day that it touches.
                _day(max(now, from_unix(a.deadline))),
                intent.kernel_id,
                network,
                token_key(token),
                token.symbol,
                token.decimals,
                str(a.cap),
                json.dumps(authorisation_json(a), sort_keys=True),
            ),
        )

    def record(self, call_id: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Append what happened to a call.  ``data`` must be plain JSON: a secret is refused (TypeError).

        One of :data:`ENDINGS` closes a call that leaves no receipt; ``data["reason"]`` says why.
        """
        text = json.dumps(dict(data or {}), sort_keys=True, allow_nan=False)
        with self._transaction() as db:
            if not db.execute("SELECT 1 FROM calls WHERE id = ?", (call_id,)).fetchone():
                raise LedgerError(f"No call {call_id} was begun.")
            db.execute(
                "INSERT INTO events (at, call, kind, data) VALUES (?, ?, ?, ?)",
                (iso(self._clock()), call_id, kind, plain_text(text)),
            )

    def release(self, authorisation: Authorisation | int, amount: int, proof: Mapping[str, Any] | None = None) -> None:
        """Lower a reservation to what was really taken: the settled amount, or 0 for a nonce that expired unspent.

        ``authorisation`` may be its nonce; ``proof`` says how that is known (transaction, block).  It can
        only fall; the same figure again changes nothing.
        """
        nonce = authorisation if isinstance(authorisation, int) else authorisation.nonce
        text = json.dumps(dict(proof or {}), sort_keys=True, allow_nan=False)
        with self._transaction() as db:
            row = db.execute("SELECT cap FROM authorisations WHERE nonce = ?", (str(nonce),)).fetchone()
            if row is None:
                raise LedgerError("No authorisation with this nonce is in the ledger.")
            amounts = [int(r[0]) for r in db.execute("SELECT amount FROM releases WHERE nonce = ?", (str(nonce),))]
            now = min([int(row["cap"]), *amounts])
            if amounts and amount == now:
                return
            if not 0 <= amount <= now:
                raise LedgerError(f"A reservation only falls: it stands at {now} base units, not {amount}.")
            db.execute(
                "INSERT INTO releases (at, nonce, amount, proof) VALUES (?, ?, ?, ?)",
                (iso(self._clock()), str(nonce), str(amount), text),
            )

    def save(self, receipt: Receipt) -> None:
        """Keep a receipt, which ends its call.  The same receipt again changes nothing; another under its id fails."""
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
                raise LedgerError(f"Another receipt {receipt.id} is in the ledger already; receipts are never changed.")
            for sha256, content in blobs.items():
                if not db.execute("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)).fetchone():
                    db.execute("INSERT INTO blobs VALUES (?, ?)", (sha256, content))
            marks = ", ".join(f":{name}" for name in columns)
            db.execute(f"INSERT INTO receipts ({', '.join(columns)}) VALUES ({marks})", columns)  # noqa: S608

    def exclusively(self) -> contextlib.AbstractContextManager[object]:
        """Nobody else writes meanwhile: what is looked up inside still holds when it is saved there."""
        return self._transaction()

    def keep_aside(self, receipt: Receipt, problem: LedgerError) -> str:
        """Keep what was paid for and could not be saved, in a file beside the ledger; returns why, and where it is.

        It goes in by itself as soon as the ledger can be written again.  Where not even that file can be written, this
        object holds the receipt.
        """
        why = problem.message.rstrip(".")
        try:
            path = self._write_aside(f"{receipt.id}.json", receipt.to_json())
        except OSError:
            self._unwritten[receipt.id] = receipt
            return f"its receipt is in the memory of this kernel alone, and is written when that is possible: {why}"
        return f"its receipt is not in the ledger yet, but in {path}: {why}"

    def keep_raw(self, call_id: str, data: Mapping[str, Any]) -> Path:
        """Keep what came of a call of which no receipt could be made, as JSON in a file of its own; raises OSError."""
        return self._write_aside(f"{call_id}.raw", json.dumps(dict(data), indent=1, ensure_ascii=True))

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
        """Save what :meth:`keep_aside` kept, here or in another kernel; what still fails stays where it is."""
        with self._file.lock, contextlib.suppress(LedgerError, OSError):
            for receipt in tuple(self._unwritten.values()):
                self.save(receipt)
                del self._unwritten[receipt.id]
            for path in sorted(self._aside.glob("*.json")) if self._aside.is_dir() else ():
                with contextlib.suppress(UnreadableReceipt):
                    self.save(Receipt.from_json(path.read_bytes()))
                    path.unlink(missing_ok=True)

    def supplement(self, receipt_id: str, found: Supplement) -> Receipt:
        """Keep what was learnt of a call after its receipt was made; returns the receipt's new version.

        The receipt itself stays as it is.  Of each kind (payment, settlement, agreement) the last one kept counts; the
        same again changes nothing.  Raises :class:`LedgerError` where there is no such receipt, or no place in it.
        """
        kind, evidence = supplement_kind(found), supplement_json(found)
        original = self.get(receipt_id, as_made=True)
        with self._transaction() as db:
            parts = self._parts(original.id)
            known = parts.get(kind)
            parts[kind] = evidence
            try:
                version = Receipt.from_document(supplemented(original, parts).document)
            except (ValueError, UnreadableReceipt) as error:
                raise LedgerError(f"This cannot be added to receipt {original.id}: {error}") from None
            if known != evidence:
                payment = original.document["payment"]
                db.execute(
                    "INSERT INTO supplements (at, receipt, kind, tx_hash, nonce, evidence) VALUES (?, ?, ?, ?, ?, ?)",
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

    # ------------------------------------------------------------------------------------------------------- reading

    def get(self, id_or_prefix: str, *, as_made: bool = False) -> Receipt:
        """The receipt with this id, or with the one id that begins so.  LedgerError names the candidates if several.

        With what was learnt since (:meth:`supplement`), unless ``as_made``.
        """
        prefix = normalise_id(id_or_prefix)
        typed = repr(short(id_or_prefix.strip()))
        if not prefix or not prefix.isalnum() or not prefix.isascii():
            raise LedgerError(
                f"{typed} is no receipt ID: one is ten letters and digits.", hint="List IDs: %opg receipts"
            )
        self._take_in()
        rows = self._query(
            "SELECT * FROM receipts WHERE id >= ? AND id < ? ORDER BY seq DESC LIMIT 6",
            (prefix, prefix + "~"),
        )
        if not rows:
            raise LedgerError(f"No receipt ID starts with {typed}.", hint="List IDs: %opg receipts")
        if len(rows) > 1:
            ids = ", ".join(r["id"] for r in rows[:5]) + (", …" if len(rows) > 5 else "")
            raise LedgerError(f"Several receipt IDs start with {typed}: {ids}.", hint="Give more of the ID.")
        return self._inflate(rows[0]) if as_made else self._current(rows[0])

    def last(self, kernel: str | None = None) -> Receipt | None:
        """The receipt saved last, of one kernel or of all; None if there is none."""
        self._take_in()
        where, values = ("WHERE kernel = ?", (kernel,)) if kernel is not None else ("", ())
        rows = self._query(f"SELECT * FROM receipts {where} ORDER BY seq DESC LIMIT 1", values)  # noqa: S608
        return self._current(rows[0]) if rows else None

    def find_signature(self, signature: str | bytes | None) -> tuple[str, ...]:
        """Ids of the receipts that bear this signature (base64 or raw): more than the call's own is a replay."""
        key = signature_key(signature)
        if key is None:
            return ()
        return tuple(
            r["id"] for r in self._query("SELECT id FROM receipts WHERE signature_sha256 = ? ORDER BY seq", (key,))
        )

    def find_transaction(self, tx_hash: str, *, nonce: int) -> tuple[str, ...]:
        """Ids of the receipts that claim this payment transaction under another nonce than ``nonce``: see attack 23."""
        return tuple(
            r["receipt"]
            for r in self._query(
                "SELECT DISTINCT receipt FROM supplements WHERE kind = 'payment' AND tx_hash = ? AND nonce != ?"
                " ORDER BY receipt",
                (tx_hash.lower(), str(nonce)),
            )
        )

    def supplements(self, receipt_id: str) -> list[tuple[datetime, SupplementKind, dict[str, Any]]]:
        """All that was learnt of a call later, in order: when it was kept, its kind, and the part of the document."""
        rows = self._query("SELECT at, kind, evidence FROM supplements WHERE receipt = ? ORDER BY seq", (receipt_id,))
        return [(time_of(r["at"]), r["kind"], json.loads(r["evidence"])) for r in rows]

    def count(self) -> int:
        """How many receipts there are."""
        self._take_in()
        return int(self._query("SELECT count(*) FROM receipts", ())[0][0])

    def spending(self, network: Network, kernel_id: str) -> Spending:
        """What is used of the per-kernel and the per-day limit on one network, and what calls cost."""
        key, token, today = network_key(network), network.token, _day(self._clock())
        with self._guard():
            db = self._db()
            return Spending(
                kernel_reserved=_reserved(db, key, token, "kernel =", kernel_id),
                day_reserved=_reserved(db, key, token, "last_day >=", today),
                kernel_cost=sums.cost(db, key, token, "kernel =", kernel_id),
                day_cost=sums.cost(db, key, token, "created_at >=", today),
            )

    def held(self, network: Network, payer: str, at: datetime) -> int:
        """What open authorisations of this payer may still take, in base units: all kernels, at the chain's time."""
        with self._guard():
            return sums.held(self._db(), network_key(network), payer, at)

    def open_authorisations(self, *, kernel: str | None = None, network: str | None = None) -> list[OpenAuthorisation]:
        """Authorisations that no release has closed, oldest first: to be reconciled by nonce."""
        where, values = _where({"a.kernel": kernel, "a.network": network})
        rows = self._query(
            "SELECT a.*, (SELECT json_group_array(id) FROM calls WHERE calls.nonce = a.nonce) AS calls"  # noqa: S608
            " FROM authorisations a WHERE NOT EXISTS (SELECT 1 FROM releases r WHERE r.nonce = a.nonce)"
            f"{where} ORDER BY a.created_at, a.rowid",
            values,
        )
        return [
            OpenAuthorisation(
                authorisation=authorisation_of(r["authorisation"]),
                token=token_of(r),
                network=r["network"],
                kernel=r["kernel"],
                created_at=time_of(r["created_at"]),
                calls=tuple(json.loads(r["calls"])),
            )
            for r in rows
        ]

    def released(self, nonce: int) -> int | None:
        """What was really taken under an authorisation (base units), or None while that is not known."""
        amounts = [int(r["amount"]) for r in self._query("SELECT amount FROM releases WHERE nonce = ?", (str(nonce),))]
        return min(amounts) if amounts else None

    def unfinished(self, *, include_running: bool = False, network: Network | None = None) -> list[UnfinishedCall]:
        """Calls that were begun and never ended, because their kernel died; oldest first.

        Calls of processes that still run on this machine are left out unless ``include_running``.
        """
        found = []
        for row in self._without_receipt({"c.network": network_key(network) if network else None}):
            running = process_lives(row["process"])
            if row["ending"] is not None or (running and not include_running):
                continue
            kinds = self._query("SELECT kind FROM events WHERE call = ? ORDER BY seq", (row["id"],))
            found.append(UnfinishedCall(call_of(row), tuple(k["kind"] for k in kinds), running))
        return found

    def rows(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        kernel: str | None = None,
    ) -> list[LedgerRow]:
        """Every call in the time span (``since`` ≤ begun < ``until``), oldest first; none is left out silently.

        A call that went on under another id (``session-gone``) is one call, told by the later id.  Documents hold what
        was learnt since; their ``digest`` is that of the receipt as it was made.
        """
        self._take_in()
        first, last = since and iso(since), until and iso(until)
        where, values = _where({"created_at >=": first, "created_at <": last, "kernel": kernel})
        later: dict[str, list[sqlite3.Row]] = {}
        for r in self._query("SELECT * FROM supplements ORDER BY seq", ()):
            later.setdefault(r["receipt"], []).append(r)
        content = self._contents()
        rows = [
            self._listed(r, later.get(r["id"], []), content)
            for r in self._query(f"SELECT * FROM receipts WHERE TRUE{where} ORDER BY seq", values)  # noqa: S608
        ]
        for r in self._without_receipt({"c.begun_at >=": first, "c.begun_at <": last, "c.kernel": kernel}):
            if r["ending"] != "session-gone":
                rows.append(self._begun(r))  # noqa: PERF401
        rows.sort(key=lambda r: r.created_at)
        return rows

    @staticmethod
    def _listed(row: sqlite3.Row, later: list[sqlite3.Row], content: Content) -> LedgerRow:
        """A row of ``receipts`` for a table, with what was learnt since, checked."""
        moment = moment_of(row["created_at"])
        try:
            document = slim(row, content)  # type: ignore[arg-type]
            return LedgerRow(row["id"], moment, with_parts(document, later_parts(later, document)))  # type: ignore[arg-type]
        except Damaged as damage:
            return LedgerRow(row["id"], moment, None, damage=str(damage))

    @staticmethod
    def _begun(row: sqlite3.Row) -> LedgerRow:
        """A call without receipt for a table."""
        moment = moment_of(row["begun_at"])
        try:
            return LedgerRow(row["id"], moment, None, call_of(row))
        except (ValueError, TypeError, KeyError, AttributeError):
            return LedgerRow(row["id"], moment, None, damage="what was written when it began cannot be read")

    def _contents(self) -> Content:
        """The shared bytes by their SHA-256, as base64; what was asked for once is kept."""

        @functools.lru_cache(maxsize=512)
        def content(sha256: str) -> str | None:
            found = self._query("SELECT content FROM blobs WHERE sha256 = ?", (sha256,))
            return base64.b64encode(found[0]["content"]).decode() if found else None

        return content

    def receipts(
        self,
        ids: list[str] | None = None,
        *,
        as_made: bool = False,
        on_damage: Callable[[str, str], object] | None = None,
    ) -> Iterator[Receipt]:
        """Whole receipts, oldest first: all, or those with these ids.

        With what was learnt since, unless ``as_made``.  One that is damaged is an error, or, with ``on_damage``, left
        out after it was told its id and what is wrong.
        """
        if ids is None:
            ids = [r["id"] for r in self._query("SELECT id FROM receipts ORDER BY seq", ())]
        for one in ids:
            rows = self._query("SELECT * FROM receipts WHERE id = ?", (one,))
            try:
                found = [self._inflate(r) if as_made else self._current(r) for r in rows]
            except DamagedReceipt as damage:
                if on_damage is None:
                    raise
                on_damage(one, damage.what)
                continue
            yield from found

    def findings(self) -> list[str]:
        """What is wrong with the file or with what it holds, a sentence each; all of it is read for that."""
        found = [f"SQLite finds the file damaged: {r[0]}" for r in self._query("PRAGMA integrity_check(5)", ())]
        found = [one for one in found if not one.endswith(": ok")]
        for r in self._query("PRAGMA foreign_key_check", ()):
            found.append(f"A row of {r['table']} refers to one of {r['parent']} that is not there.")
        guards = {r["name"] for r in self._query("SELECT name FROM sqlite_master WHERE type = 'trigger'", ())}
        missing = sorted(ledger_schema.trigger_names() - guards)
        if missing:
            found.append(f"What keeps rows from being changed has been removed: {', '.join(missing)}.")
        for _ in self.receipts(on_damage=lambda one, what: found.append(f"Receipt {one}: {what}.")):
            pass
        for r in self._without_receipt({}):
            row = self._begun(r)
            if row.damage is not None:
                found.append(f"Call {row.id}: {row.damage}.")
        for r in self._query("SELECT nonce, cap, authorisation FROM authorisations", ()):
            if not fits(r):  # type: ignore[arg-type]
                found.append(f"The authorisation with nonce {r['nonce']} is not what its columns say.")
        return found

    def check_integrity(self) -> None:
        """Raises :class:`LedgerError` if there are :meth:`findings`."""
        for one in self.findings():
            raise damaged(self.path, one[0].lower() + one[1:].rstrip("."))

    def is_whole(self, *, at_most: int | None = None) -> bool:
        """Whether SQLite finds the file whole; one of more bytes than ``at_most`` is not read for that."""
        try:
            pages, size = (self._query(f"PRAGMA {name}", ())[0][0] for name in ("page_count", "page_size"))
            if at_most is not None and pages * size > at_most:
                return True
            return bool(self._query("PRAGMA quick_check(1)", ())[0][0] == "ok")
        except DamagedLedger:
            return False

    # --------------------------------------------------------------------------------------------------------- inside

    def _without_receipt(self, conditions: Mapping[str, Any]) -> list[sqlite3.Row]:
        where, values = _where(conditions)
        marks = ", ".join("?" * len(ENDINGS))
        return self._query(
            "SELECT c.*, a.authorisation, a.token, a.symbol, a.decimals, e.kind AS ending, e.data,"  # noqa: S608
            " (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = c.nonce) AS releases,"
            " (SELECT count(*) FROM calls o WHERE o.nonce = c.nonce) AS sharing"
            " FROM calls c LEFT JOIN authorisations a ON a.nonce = c.nonce LEFT JOIN events e ON e.seq ="
            f" (SELECT min(seq) FROM events WHERE call = c.id AND kind IN ({marks}))"
            " WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)"
            f"{where} ORDER BY c.begun_at, c.rowid",
            (*ENDINGS, *values),
        )

    def _parts(self, receipt_id: str) -> dict[SupplementKind, dict[str, Any]]:
        """The last of each kind that was learnt later."""
        return {kind: evidence for _, kind, evidence in self.supplements(receipt_id)}

    def _inflate(self, row: sqlite3.Row) -> Receipt:
        try:
            return Receipt(whole(row, self._contents()))  # type: ignore[arg-type]
        except Damaged as damage:
            raise damaged_receipt(self.path, row["id"], str(damage)) from None

    def _current(self, row: sqlite3.Row) -> Receipt:
        """The receipt with what was learnt since."""
        receipt = self._inflate(row)
        later = self._query("SELECT * FROM supplements WHERE receipt = ? ORDER BY seq", (row["id"],))
        try:
            return supplemented(receipt, later_parts(later, receipt.document))  # type: ignore[arg-type]
        except ValueError as damage:
            why = str(damage) if isinstance(damage, Damaged) else "what was learnt later does not fit it"
            raise damaged_receipt(self.path, row["id"], why) from None

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._guard():
            db = self._db()
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            # A text that is not UTF-8 was not written here; it must not keep the others from being read.
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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard():
            db = self._db()
            if db.in_transaction:  # inside of exclusively(), in this thread: the lock is held
                yield db
                return
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


# ------------------------------------------------------------------------------------------------------------- helpers


def _where(conditions: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Column (with an operator, else equality) to value; None leaves a condition out.  Columns are never user input."""
    used = {k: v for k, v in conditions.items() if v is not None}
    return "".join(f" AND {k} {'' if k[-1] in '<=>' else '='} ?" for k in used), tuple(used.values())


def _reserved(db: sqlite3.Connection, network: str, token: Token, condition: str, value: str) -> int:
    """Sum of what is reserved or was taken.  Days after today count too: a clock set back must not free anything."""
    rows = db.execute(
        "SELECT cap, (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = a.nonce) AS releases"  # noqa: S608
        f" FROM authorisations a WHERE network = ? AND token = ? AND {condition} ?",
        (network, token_key(token), value),
    )
    return sum(min([int(r["cap"]), *map(int, json.loads(r["releases"]))]) for r in rows)


def _leniently(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
