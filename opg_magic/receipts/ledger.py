"""The ledger: one append-only SQLite file for all kernels of a user.

What can spend is written, durably, before it is sent: :meth:`Ledger.begin` takes the intent and the reservation of its
authorisation in one transaction, together with the check of the limits.  Rows are never changed or deleted (triggers
refuse it); what is learnt later is an event of its own.  Amounts are decimal text: they may exceed 64 bits.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opg_magic.errors import LedgerError, UnreadableReceipt
from opg_magic.models import Authorisation, Charge, Money
from opg_magic.networks import Network, Token
from opg_magic.receipts.form import canonical_bytes
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
from opg_magic.wallet.limits import Limits, check

#: ``PRAGMA application_id`` ("opgl") and ``user_version`` of the file.
APPLICATION_ID = 0x6F70676C
SCHEMA_VERSION = 2

LEDGER_NAME = "ledger.sqlite"

#: Kinds of event after which a call is over without a receipt: nothing left this machine; the host had closed the
#: session that was joined (the call goes on under another id); or ended for a reason in the event's data.
ENDINGS = ("not-sent", "session-gone", "ended")

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

_KEYS = {
    "calls": "id",
    "authorisations": "nonce",
    "releases": "seq",
    "events": "seq",
    "blobs": "sha256",
    "receipts": "id",
    "supplements": "seq",
}

#: Where a receipt's document holds bytes that many receipts share.
_SHARED = (
    ("signing_key",),
    ("host", "public_key"),
    ("host", "tls_certificate"),
    ("registry", "entry", "public_key"),
    ("registry", "entry", "tls_certificate"),
    ("attestation", "document"),
)


@dataclass(frozen=True, slots=True)
class CallIntent:
    """What is about to be done, written before anything that can spend is sent.

    ``id`` becomes the receipt's id.  ``authorisation`` (never its signature) is what will cover the call: a new one or
    one that the call reuses; None for a call that cannot spend.
    """

    id: str
    created_at: datetime
    network: Network
    kernel_id: str
    model: str
    notebook: str | None = None
    cell: int | None = None
    tee_id: str | None = None
    prompt: str | None = None
    authorisation: Authorisation | None = None


@dataclass(frozen=True, slots=True)
class OpenAuthorisation:
    """An authorisation whose settlement is not known yet: its whole cap still counts."""

    authorisation: Authorisation
    token: Token
    network: str
    kernel: str
    created_at: datetime
    calls: tuple[str, ...]

    @property
    def reserved(self) -> Money:
        return Money(self.authorisation.cap, self.token)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call as :meth:`Ledger.begin` wrote it down; ``network`` is its :func:`network_key`.

    ``ending`` is the event that ended it without a receipt, None while it runs or after its kernel died.
    """

    id: str
    begun_at: datetime
    network: str
    simulated: bool
    kernel_id: str
    model: str
    notebook: str | None
    cell: int | None
    tee_id: str | None
    prompt: str | None
    authorisation: Authorisation | None
    token: Token | None
    ending: str | None = None
    reason: str | None = None

    @property
    def charge(self) -> Charge:
        """Unknown for a call that could spend and never ended: its authorisation may have left."""
        return Charge.UNKNOWN if self.authorisation is not None and self.ending is None else Charge.NONE


@dataclass(frozen=True, slots=True)
class UnfinishedCall:
    """A call that was begun and never ended: its kernel died.  Its payment is unknown until reconciled by nonce.

    ``events`` are the kinds recorded for it, in order.
    """

    call: RecordedCall
    events: tuple[str, ...]
    running: bool

    @property
    def charge(self) -> Charge:
        return self.call.charge


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One call for a table: its receipt's ``document`` (shared bytes left out), or the bare ``call`` without one."""

    id: str
    created_at: datetime
    document: Mapping[str, Any] | None
    call: RecordedCall | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What is used of the limits now, and what calls cost by the hosts' figures: base units of the network's token.

    A reservation counts with its whole cap until its settlement is known.
    """

    kernel_reserved: int
    day_reserved: int
    kernel_cost: int
    day_cost: int


def network_key(network: Network) -> str:
    """How the ledger tells networks apart: each start of a simulated network is one of its own."""
    return f"{network.name}:{network.run_id}" if network.run_id else network.name


class Ledger:
    """The ledger in one file; created (0600, its folder 0700) when it is first written or read.

    Safe for several threads and processes.  Raises :class:`LedgerError`, with what to do, for a file that is locked,
    damaged, unreadable, or on a full disk.
    """

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
        self.path = Path(path)
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        #: Receipts that could be written nowhere, by id: see :meth:`keep_aside`.
        self._unwritten: dict[str, Receipt] = {}

    def __repr__(self) -> str:
        return f"<Ledger {str(self.path)!r}>"

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._unwritten:
                self._take_in()
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    # ------------------------------------------------------------------------------------------------------- writing

    def begin(self, intent: CallIntent, *, reserve: bool, limits: Limits | None = None) -> None:
        """Write the intent, and with ``reserve`` its new authorisation, if the limits allow it: all or nothing.

        A call that reuses an authorisation (``reserve=False``) reserves nothing more, but that authorisation must be
        open, of this kernel and network, and within the limits as they are now.  Anything that can spend needs
        ``limits``.  Raises :class:`LimitExceeded` or :class:`LedgerError`; then nothing was written.
        """
        authorisation = intent.authorisation
        if authorisation is None and reserve:
            raise ValueError("there is no authorisation to reserve")
        self._take_in()
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM calls WHERE id = ?", (intent.id,)).fetchone():
                raise LedgerError(f"Call {intent.id} was begun already.")
            if authorisation is not None:
                if limits is None:
                    raise ValueError("a call that can spend needs limits")
                self._cover(db, intent, authorisation, limits, new=reserve)
            db.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    intent.id,
                    _iso(intent.created_at),
                    intent.kernel_id,
                    _this_process(),
                    network_key(intent.network),
                    int(intent.network.simulated),
                    intent.notebook,
                    intent.cell,
                    _text(intent.model),
                    intent.tee_id,
                    _text(intent.prompt) if intent.prompt is not None else None,
                    str(authorisation.nonce) if authorisation is not None else None,
                ),
            )

    def _cover(
        self, db: sqlite3.Connection, intent: CallIntent, a: Authorisation, limits: Limits, *, new: bool
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
            a = _authorisation(known["authorisation"])
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
        db.execute(
            "INSERT INTO authorisations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(a.nonce),
                _iso(now),
                # It can be spent until its deadline, so it counts for each day that it touches.
                _day(max(now, _from_unix(a.deadline))),
                intent.kernel_id,
                network,
                _token_key(token),
                token.symbol,
                token.decimals,
                str(a.cap),
                json.dumps(_authorisation_json(a), sort_keys=True),
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
                (_iso(self._clock()), call_id, kind, _text(text)),
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
                (_iso(self._clock()), str(nonce), str(amount), text),
            )

    def save(self, receipt: Receipt) -> None:
        """Keep a receipt, which ends its call.  The same receipt again changes nothing; another under its id fails."""
        document, blobs = _deflate(receipt.document)
        d = receipt.document
        checked = d["checked"]
        with self._transaction() as db:
            row = db.execute("SELECT digest FROM receipts WHERE id = ?", (receipt.id,)).fetchone()
            if row is not None:
                if row["digest"] == receipt.digest:
                    return
                raise LedgerError(f"Another receipt {receipt.id} is in the ledger already; receipts are never changed.")
            for sha256, content in blobs.items():
                if not db.execute("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)).fetchone():
                    db.execute("INSERT INTO blobs VALUES (?, ?)", (sha256, content))
            run_id, payment = d["network"]["run_id"], d["payment"]
            db.execute(
                "INSERT INTO receipts (id, created_at, saved_at, kernel, network, simulated, notebook, model, verdict,"
                " charge, token, cost, signature_sha256, digest, document)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    receipt.id,
                    d["created_at"],
                    _iso(self._clock()),
                    d["notebook"]["kernel"],
                    f"{d['network']['name']}:{run_id}" if run_id else d["network"]["name"],
                    int(d["network"]["simulated"]),
                    d["notebook"]["name"],
                    d["request"]["model_requested"],
                    checked["verdict"] if checked else None,
                    payment["charge"] if payment else None,
                    f"{payment['token']['chain_id']}:{payment['token']['address'].lower()}" if payment else None,
                    payment["cost"]["amount"] if payment and payment["cost"] else None,
                    signature_key(receipt.signature),
                    receipt.digest,
                    canonical_bytes(document).decode(),
                ),
            )

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
        with self._lock, contextlib.suppress(LedgerError, OSError):
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
                        _iso(self._clock()),
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
        if not prefix or not prefix.isalnum() or not prefix.isascii():
            raise LedgerError("A receipt id is letters and digits.", hint="%opg receipts lists them.")
        self._take_in()
        rows = self._query(
            "SELECT id, document, digest FROM receipts WHERE id >= ? AND id < ? ORDER BY seq DESC LIMIT 6",
            (prefix, prefix + "~"),
        )
        if not rows:
            raise LedgerError(f"No receipt {prefix} is in the ledger.", hint="%opg receipts lists them.")
        if len(rows) > 1:
            ids = ", ".join(r["id"] for r in rows[:5]) + (", …" if len(rows) > 5 else "")
            raise LedgerError(f"Several receipts begin with {prefix}: {ids}.", hint="Give more of the id.")
        return self._inflate(rows[0]) if as_made else self._current(rows[0])

    def last(self, kernel: str | None = None) -> Receipt | None:
        """The receipt saved last, of one kernel or of all; None if there is none."""
        self._take_in()
        where, values = ("WHERE kernel = ?", (kernel,)) if kernel is not None else ("", ())
        rows = self._query(f"SELECT id, document, digest FROM receipts {where} ORDER BY seq DESC LIMIT 1", values)  # noqa: S608
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
        return [(_time(r["at"]), r["kind"], json.loads(r["evidence"])) for r in rows]

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
                kernel_cost=_cost(db, key, token, "kernel =", kernel_id),
                day_cost=_cost(db, key, token, "created_at >=", today),
            )

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
                authorisation=_authorisation(r["authorisation"]),
                token=_token(r),
                network=r["network"],
                kernel=r["kernel"],
                created_at=_time(r["created_at"]),
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
            running = _process_lives(row["process"])
            if row["ending"] is not None or (running and not include_running):
                continue
            kinds = self._query("SELECT kind FROM events WHERE call = ? ORDER BY seq", (row["id"],))
            found.append(UnfinishedCall(_call(row), tuple(k["kind"] for k in kinds), running))
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
        first, last = since and _iso(since), until and _iso(until)
        where, values = _where({"created_at >=": first, "created_at <": last, "kernel": kernel})
        later: dict[str, dict[SupplementKind, dict[str, Any]]] = {}
        for r in self._query("SELECT receipt, kind, evidence FROM supplements ORDER BY seq", ()):
            later.setdefault(r["receipt"], {})[r["kind"]] = json.loads(r["evidence"])
        rows = [
            LedgerRow(r["id"], _time(r["created_at"]), _with_parts(json.loads(r["document"]), later.get(r["id"])))
            for r in self._query(
                f"SELECT id, created_at, document FROM receipts WHERE TRUE{where} ORDER BY seq",  # noqa: S608
                values,
            )
        ]
        for r in self._without_receipt({"c.begun_at >=": first, "c.begun_at <": last, "c.kernel": kernel}):
            if r["ending"] != "session-gone":
                rows.append(LedgerRow(r["id"], _time(r["begun_at"]), None, _call(r)))  # noqa: PERF401
        rows.sort(key=lambda r: r.created_at)
        return rows

    def receipts(self, ids: list[str] | None = None, *, as_made: bool = False) -> Iterator[Receipt]:
        """Whole receipts, oldest first: all, or those with these ids.

        With what was learnt since, unless ``as_made``.
        """
        if ids is None:
            ids = [r["id"] for r in self._query("SELECT id FROM receipts ORDER BY seq", ())]
        for one in ids:
            rows = self._query("SELECT id, document, digest FROM receipts WHERE id = ?", (one,))
            if rows:
                yield self._inflate(rows[0]) if as_made else self._current(rows[0])

    def check_integrity(self) -> None:
        """Read the whole file and every receipt's digest; raises :class:`LedgerError` if something is damaged."""
        result = self._query("PRAGMA integrity_check", ())
        if result[0][0] != "ok":
            raise _damaged(self.path)
        for _ in self.receipts():
            pass

    # --------------------------------------------------------------------------------------------------------- inside

    def _without_receipt(self, conditions: Mapping[str, Any]) -> list[sqlite3.Row]:
        where, values = _where(conditions)
        marks = ", ".join("?" * len(ENDINGS))
        return self._query(
            "SELECT c.*, a.authorisation, a.token, a.symbol, a.decimals, e.kind AS ending, e.data"  # noqa: S608
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
        document = json.loads(row["document"])
        for holder, key in _shared_places(document):
            reference = holder[key]
            if isinstance(reference, dict):
                blob = self._query("SELECT content FROM blobs WHERE sha256 = ?", (reference["blob"],))
                if not blob:
                    raise _damaged(self.path, f"bytes that receipt {row['id']} refers to are missing")
                holder[key] = base64.b64encode(blob[0]["content"]).decode()
        receipt = Receipt(document)
        if not receipt.digest == receipt.computed_digest == row["digest"]:
            raise _damaged(self.path, f"receipt {row['id']} is not the one that was saved")
        return receipt

    def _current(self, row: sqlite3.Row) -> Receipt:
        """The receipt with what was learnt since."""
        receipt = self._inflate(row)
        try:
            return supplemented(receipt, self._parts(receipt.id))
        except ValueError:
            raise _damaged(self.path, f"what was added to receipt {row['id']} does not fit it") from None

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._guard():
            return self._db().execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._lock, _readable_errors(self.path):
            yield

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

    def _db(self) -> sqlite3.Connection:
        # A connection does not survive a fork.
        if self._connection is None or self._pid != os.getpid():
            self._connection = self._open()
            self._pid = os.getpid()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        _make_private(self.path)
        db = sqlite3.connect(self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        try:
            db.row_factory = sqlite3.Row
            self._set_wal(db)
            # Every commit is on the disk before it is acted upon: most of them precede a payment.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA recursive_triggers = ON")
            self._make_schema(db)
        except BaseException:
            db.close()
            raise
        return db

    def _set_wal(self, db: sqlite3.Connection) -> None:
        # Turning WAL on does not wait for locks as other statements do: two kernels may open a new file at once.
        end = time.monotonic() + self._timeout
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
                f"The ledger {self.path} is on a file system where several kernels cannot share it safely.",
                hint="Set OPG_HOME to a folder on a local disk.",
            )

    def _make_schema(self, db: sqlite3.Connection) -> None:
        if self._version(db) == SCHEMA_VERSION:
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            # Another kernel may have made it meanwhile.
            version = self._version(db)
            tables = (_TABLES if version == 0 else "") + (_SUPPLEMENTS if version < 2 else "")
            made = [table for table in _KEYS if f"CREATE TABLE {table} " in tables]
            for statement in [*tables.split(";\n"), *_triggers(made)]:
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _version(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        empty = not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if empty and version == application == 0:
            return 0
        if application != APPLICATION_ID:
            raise LedgerError(
                f"{self.path} is a database of another program, not a ledger.", hint="Set OPG_HOME to another folder."
            )
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"The ledger {self.path} was written by a newer opg_magic (schema {version}).",
                hint="Update opg_magic in this environment: pip install -U opg-magic",
            )
        return version


# ------------------------------------------------------------------------------------------------------------- helpers


def _triggers(tables: list[str]) -> Iterator[str]:
    for table, key in ((table, _KEYS[table]) for table in tables):
        for action in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        # INSERT OR REPLACE would delete without asking the trigger above.
        yield (
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}) "
            f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


def _make_private(path: Path) -> None:
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only a folder that is ours alone is narrowed; the file itself always is.
    if os.name == "posix" and path.name == LEDGER_NAME and folder.stat().st_mode & 0o077:
        from opg_magic import paths

        if folder == paths.home():
            folder.chmod(0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # SQLite gives -wal and -shm the mode of the file.
        if os.name == "posix" and os.fstat(descriptor).st_mode & 0o177:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, str(error)) from None
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
            hint="Close programs that hold it open (a database browser with unsaved changes), then try again.",
        )
    if "full" in low:
        return LedgerError(
            f"There is no room left on the disk of the ledger {path}; nothing was written.",
            hint="Free some space, then run the cell again.",
        )
    if "readonly" in low or "read-only" in low or "unable to open" in low or "permission" in low:
        return LedgerError(
            f"The ledger {path} cannot be written.",
            hint="Make the file and its folder writable for you, or set OPG_HOME to a folder of yours.",
        )
    if "not a database" in low or "malformed" in low or "disk i/o" in low or "corrupt" in low:
        return _damaged(path)
    return LedgerError(f"The ledger {path} refused: {text}.")


def _damaged(path: Path, what: str | None = None) -> LedgerError:
    return LedgerError(
        f"The ledger {path} is damaged{f': {what}' if what else ''}.",
        hint=f"Keep the file. Restore a copy of it, or save what is readable: sqlite3 '{path}' .recover; then move it "
        "away to begin a new one. Payments made before stay on the chain.",
    )


def _deflate(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    slim: dict[str, Any] = json.loads(json.dumps(document))
    blobs: dict[str, bytes] = {}
    for holder, key in _shared_places(slim):
        text = holder[key]
        if not isinstance(text, str):
            continue
        content = base64.b64decode(text)
        if base64.b64encode(content).decode() == text:
            sha256 = hashlib.sha256(content).hexdigest()
            blobs[sha256] = content
            holder[key] = {"blob": sha256}
    return slim, blobs


def _with_parts(document: dict[str, Any], parts: Mapping[SupplementKind, dict[str, Any]] | None) -> dict[str, Any]:
    for kind, part in (parts or {}).items():
        if kind == "payment":
            document["payment"] = {**(document["payment"] or {}), "settled": part}
        else:
            document[kind] = part
    return document


def _shared_places(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for *way, key in _SHARED:
        holder: Any = document
        for step in way:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(key) is not None:
            yield holder, key


def _where(conditions: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Column (with an operator, else equality) to value; None leaves a condition out.  Columns are never user input."""
    used = {k: v for k, v in conditions.items() if v is not None}
    return "".join(f" AND {k} {'' if k[-1] in '<=>' else '='} ?" for k in used), tuple(used.values())


def _iso(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("the ledger's times must be aware")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _from_unix(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _text(value: str) -> str:
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _token_key(token: Token) -> str:
    return f"{token.chain_id}:{token.address.lower()}"


def _token(row: sqlite3.Row) -> Token:
    chain, _, _ = row["token"].partition(":")
    address = json.loads(row["authorisation"])["token"]
    return Token(row["symbol"], address, row["decimals"], int(chain))


_NUMBERS = ("cap", "nonce", "deadline", "valid_after")


def _authorisation_json(a: Authorisation) -> dict[str, Any]:
    return {name: str(getattr(a, name)) if name in _NUMBERS else getattr(a, name) for name in Authorisation.__slots__}


def _authorisation(text: str) -> Authorisation:
    fields: dict[str, Any] = {k: int(v) if k in _NUMBERS else v for k, v in json.loads(text).items()}
    return Authorisation(**fields)


def _call(row: sqlite3.Row) -> RecordedCall:
    reason = json.loads(row["data"]).get("reason") if row["data"] else None
    return RecordedCall(
        id=row["id"],
        begun_at=_time(row["begun_at"]),
        network=row["network"],
        simulated=bool(row["simulated"]),
        kernel_id=row["kernel"],
        model=row["model"],
        notebook=row["notebook"],
        cell=row["cell"],
        tee_id=row["host"],
        prompt=row["prompt"],
        authorisation=_authorisation(row["authorisation"]) if row["authorisation"] else None,
        token=_token(row) if row["token"] else None,
        ending=row["ending"],
        reason=reason if isinstance(reason, str) else None,
    )


def _reserved(db: sqlite3.Connection, network: str, token: Token, condition: str, value: str) -> int:
    """Sum of what is reserved or was taken.  Days after today count too: a clock set back must not free anything."""
    rows = db.execute(
        "SELECT cap, (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = a.nonce) AS releases"  # noqa: S608
        f" FROM authorisations a WHERE network = ? AND token = ? AND {condition} ?",
        (network, _token_key(token), value),
    )
    return sum(min([int(r["cap"]), *map(int, json.loads(r["releases"]))]) for r in rows)


def _cost(db: sqlite3.Connection, network: str, token: Token, condition: str, value: str) -> int:
    rows = db.execute(
        f"SELECT cost FROM receipts WHERE network = ? AND token = ? AND cost IS NOT NULL AND {condition} ?",  # noqa: S608
        (network, _token_key(token), value),
    )
    return sum(int(r["cost"]) for r in rows)


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _this_process() -> str:
    return f"{os.getpid()}:{_started(os.getpid()) or ''}"


def _process_lives(process: str) -> bool:
    pid_text, _, started = process.partition(":")
    pid = int(pid_text)
    if sys.platform == "win32":
        # os.kill would end the process there; ended calls are told by their events alone.
        return pid == os.getpid()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    # Another process may have the number by now.
    return not started or (_started(pid) or started) == started


def _started(pid: int) -> str | None:
    """When a process began (clock ticks since boot, Linux), which tells two users of one number apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":  # killed, not yet reaped
        return "ended"
    return fields[19]
