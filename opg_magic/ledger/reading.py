"""What is in the ledger: receipts, calls and sums, each checked as it is read."""

from __future__ import annotations

import base64
import functools
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any

from opg_magic.errors import LedgerError
from opg_magic.ledger import relayed, schema, sums
from opg_magic.ledger.access import LedgerAccess
from opg_magic.ledger.errors import DamagedLedger, DamagedReceipt, damaged_receipt
from opg_magic.ledger.records import (
    ENDINGS,
    LedgerRow,
    OpenAuthorisation,
    Spending,
    UnfinishedCall,
    authorisation_of,
    call_of,
    day_of,
    fits,
    iso,
    moment_of,
    network_key,
    process_lives,
    time_of,
    token_of,
)
from opg_magic.ledger.stored import Content, Damaged, later_parts, slim, whole, with_parts
from opg_magic.models.networks import Network
from opg_magic.receipt.document import Receipt, normalise_id, signature_key, supplemented
from opg_magic.receipt.form import short
from opg_magic.receipt.supplements import SupplementKind

# What is not chosen by is NULL.  The times are compared so that their index can be used.

#: The receipts of a time span and of one kernel.
_BETWEEN = """
SELECT * FROM receipts
WHERE created_at >= coalesce(:since, '') AND (:until IS NULL OR created_at < :until)
  AND (:kernel IS NULL OR kernel = :kernel)
  AND (:among IS NULL OR seq IN (SELECT value FROM json_each(:among)))
ORDER BY seq
"""

#: The receipts that were saved, or of which something was learnt, after those numbers.
_SINCE = """
SELECT * FROM receipts
WHERE seq > :receipt OR id IN (SELECT receipt FROM supplements WHERE seq > :supplement)
ORDER BY seq
"""

#: What was learnt of a call after its receipt was made.
_LATER = "SELECT * FROM supplements WHERE receipt = ? ORDER BY seq"

#: The calls that have no receipt, with the event that ended each.
_WITHOUT_RECEIPT = """
SELECT c.*, a.authorisation, a.token, a.symbol, a.decimals, e.kind AS ending, e.data,
  (SELECT json_group_array(amount) FROM releases r WHERE r.nonce = c.nonce) AS releases,
  (SELECT count(*) FROM calls o WHERE o.nonce = c.nonce) AS sharing
FROM calls c
LEFT JOIN authorisations a ON a.nonce = c.nonce
LEFT JOIN events e ON e.seq = (
  SELECT min(seq) FROM events
  WHERE call = c.id AND kind IN (SELECT value FROM json_each(:endings))
)
WHERE (:id IS NULL OR c.id = :id)
  AND (:network IS NULL OR c.network = :network)
  AND (:kernel IS NULL OR c.kernel = :kernel)
  AND c.begun_at >= coalesce(:since, '') AND (:until IS NULL OR c.begun_at < :until)
  AND NOT EXISTS (SELECT 1 FROM receipts r WHERE r.id = c.id)
ORDER BY c.begun_at, c.rowid
"""

#: The authorisations that no release has closed, with the calls that each covers.
_OPEN = """
SELECT a.*, (SELECT json_group_array(id) FROM calls WHERE calls.nonce = a.nonce) AS calls
FROM authorisations a
WHERE NOT EXISTS (SELECT 1 FROM releases r WHERE r.nonce = a.nonce)
  AND (:kernel IS NULL OR a.kernel = :kernel)
  AND (:network IS NULL OR a.network = :network)
ORDER BY a.created_at, a.rowid
"""


class LedgerReading(LedgerAccess):
    """The part of the ledger that only reads."""

    def _take_in(self) -> None:
        """Save what could not be saved before; who only reads leaves it where it is."""

    def get(self, id_or_prefix: str, *, as_made: bool = False) -> Receipt:
        """The receipt with this id, or with the one id that begins so.  LedgerError names the
        candidates if several.

        With what was learnt since (:meth:`supplement`), unless ``as_made``.
        """
        prefix = normalise_id(id_or_prefix)
        typed = repr(short(id_or_prefix.strip()))
        if not prefix or not prefix.isalnum() or not prefix.isascii():
            raise LedgerError(
                f"{typed} is not a receipt ID. An ID has ten letters and digits.",
                hint="List IDs: %opg receipts",
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
            raise LedgerError(
                f"Several receipt IDs start with {typed}: {ids}.", hint="Give more of the ID."
            )
        return self._inflate(rows[0]) if as_made else self._current(rows[0])

    def versions(self, receipt_id: str) -> Iterator[Receipt]:
        """The receipt with exactly this id, as it was made and then with each thing that was learnt
        since; nothing if there is none."""
        for row in self._query("SELECT * FROM receipts WHERE id = ?", (receipt_id,)):
            receipt = self._inflate(row)
            yield receipt
            later = self._query(_LATER, (receipt_id,))
            for count in range(1, len(later) + 1):
                yield self._with(receipt, later[:count])

    def is_begun(self, receipt_id: str) -> bool:
        """Whether a kernel began the call in this ledger, and the same kernel saved its receipt."""
        return bool(
            self._query(
                "SELECT 1 FROM calls c JOIN receipts r ON r.id = c.id AND r.kernel = c.kernel "
                "WHERE c.id = ?",
                (receipt_id,),
            )
        )

    def last(self, kernel: str | None = None) -> Receipt | None:
        """The receipt saved last, of one kernel or of all; None if there is none."""
        self._take_in()
        rows = self._query(
            "SELECT * FROM receipts WHERE :kernel IS NULL OR kernel = :kernel "
            "ORDER BY seq DESC LIMIT 1",
            {"kernel": kernel},
        )
        return self._current(rows[0]) if rows else None

    def find_signature(self, signature: str | bytes | None) -> tuple[str, ...]:
        """Ids of the receipts that bear this signature (base64 or raw): more than the call's own is
        a replay."""
        key = signature_key(signature)
        if key is None:
            return ()
        rows = self._query(
            "SELECT id FROM receipts WHERE signature_sha256 = ? ORDER BY seq", (key,)
        )
        return tuple(r["id"] for r in rows)

    def supplements(self, receipt_id: str) -> list[tuple[datetime, SupplementKind, dict[str, Any]]]:
        """All that was learnt of a call later, in order: when it was kept, its kind, and the part
        of the document."""
        rows = self._query(
            "SELECT at, kind, evidence FROM supplements WHERE receipt = ? ORDER BY seq",
            (receipt_id,),
        )
        return [(time_of(r["at"]), r["kind"], json.loads(r["evidence"])) for r in rows]

    def count(self) -> int:
        """How many receipts there are."""
        self._take_in()
        return int(self._query("SELECT count(*) FROM receipts", ())[0][0])

    def seqs_after(self, seq: int, *, at_most: int) -> list[tuple[int, str]]:
        """Number and id of the receipts that were saved after that one, in order."""
        rows = self._query(
            "SELECT seq, id FROM receipts WHERE seq > ? ORDER BY seq LIMIT ?", (seq, at_most)
        )
        return [(r["seq"], r["id"]) for r in rows]

    def place_of(self, receipt_id: str) -> tuple[int, int] | None:
        """A receipt's number, and how many there are up to it; None if there is no such receipt."""
        rows = self._query(
            # With the plus, a small index is counted, not the table with its documents.
            "SELECT seq, (SELECT count(*) FROM receipts u WHERE +u.seq <= r.seq) AS number "
            "FROM receipts r WHERE id = ?",
            (receipt_id,),
        )
        return (rows[0]["seq"], rows[0]["number"]) if rows else None

    def spending(self, network: Network, kernel_id: str) -> Spending:
        """What is used of the per-kernel and the per-day limit on one network, and what calls
        cost."""
        key, token, today = network_key(network), network.token, day_of(self._clock())
        with self._guard():
            db = self._db()
            return Spending(
                kernel_reserved=sums.reserved_by_kernel(db, key, token, kernel_id),
                day_reserved=sums.reserved_since(db, key, token, today),
                kernel_cost=sums.cost(db, key, token, kernel=kernel_id),
                day_cost=sums.cost(db, key, token, since=today),
            )

    def relayed_today(self, network: Network) -> tuple[int, int]:
        """Calls of the UTC day through a relay, and their tokens, over all kernels."""
        with self._guard():
            return relayed.used_since(self._db(), network_key(network), day_of(self._clock()))

    def held(self, network: Network, payer: str, at: datetime) -> int:
        """What open authorisations of this payer may still take, in base units: all kernels, at the
        chain's time."""
        with self._guard():
            return sums.held(self._db(), network_key(network), payer, at)

    def open_authorisations(
        self, *, kernel: str | None = None, network: str | None = None
    ) -> list[OpenAuthorisation]:
        """Authorisations that no release has closed, oldest first: to be reconciled by nonce."""
        rows = self._query(_OPEN, {"kernel": kernel, "network": network})
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
        """What was really taken under an authorisation (base units), or None while that is not
        known."""
        amounts = [
            int(r["amount"])
            for r in self._query("SELECT amount FROM releases WHERE nonce = ?", (str(nonce),))
        ]
        return min(amounts) if amounts else None

    def unfinished(
        self, *, include_running: bool = False, network: Network | None = None
    ) -> list[UnfinishedCall]:
        """Calls that were begun and never ended, because their kernel died; oldest first.

        Calls of processes that still run on this machine are left out unless ``include_running``.
        """
        found = []
        for row in self._without_receipt(network=network_key(network) if network else None):
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
        among: Collection[int] | None = None,
    ) -> list[LedgerRow]:
        """Every call in the time span (``since`` ≤ begun < ``until``), oldest first; none is left
        out silently.

        A call that went on under another id (``session-gone``) is one call, told by the later id.
        Documents hold what was learnt since; their ``digest`` is that of the receipt as it was
        made.  ``among``: of receipts those alone whose number (``seq``) is in it."""
        self._take_in()
        first, last = iso(since) if since else None, iso(until) if until else None
        chosen = {
            "since": first,
            "until": last,
            "kernel": kernel,
            "among": None if among is None else json.dumps(sorted(among)),
        }
        later: dict[str, list[sqlite3.Row]] = {}
        for r in self._query("SELECT * FROM supplements ORDER BY seq", ()):
            later.setdefault(r["receipt"], []).append(r)
        content = self._contents()
        rows = [
            self._listed(r, later.get(r["id"], []), content) for r in self._query(_BETWEEN, chosen)
        ]
        rows += self.without_receipt(since=first, until=last, kernel=kernel)
        rows.sort(key=lambda r: r.created_at)
        return rows

    def without_receipt(self, **chosen: str | None) -> list[LedgerRow]:
        """The calls that have no receipt, oldest first."""
        begun = self._without_receipt(**chosen)
        return [self._begun(r) for r in begun if r["ending"] != "session-gone"]

    def rows_since(self, receipt: int, supplement: int) -> tuple[list[tuple[int, LedgerRow]], int]:
        """Number (``seq``) and row of each receipt that was saved, or of which something was
        learnt, after those numbers; and the number of what was learnt last."""
        self._take_in()
        # Asked first: what is learnt while this reads is read again, never left out.
        last = self._query("SELECT coalesce(max(seq), 0) FROM supplements", ())[0][0]
        content, found = self._contents(), []
        for r in self._query(_SINCE, {"receipt": receipt, "supplement": supplement}):
            parts = self._query(_LATER, (r["id"],))
            found.append((r["seq"], self._listed(r, parts, content)))
        return found, last

    def receipts(
        self,
        ids: list[str] | None = None,
        *,
        as_made: bool = False,
        on_damage: Callable[[str, str], object] | None = None,
    ) -> Iterator[Receipt]:
        """Whole receipts, oldest first: all, or those with these ids.

        With what was learnt since, unless ``as_made``.  One that is damaged is an error, or, with
        ``on_damage``, left out after it was told its id and what is wrong."""
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
        """What is wrong with the file or with what it holds, a sentence each; all of it is read for
        that."""
        found = [
            f"SQLite reports damage: {r[0]}" for r in self._query("PRAGMA integrity_check(5)", ())
        ]
        found = [one for one in found if not one.endswith(": ok")]
        for r in self._query("PRAGMA foreign_key_check", ()):
            found.append(f"A row of {r['table']} refers to a missing row of {r['parent']}.")
        guards = {
            r["name"]
            for r in self._query("SELECT name FROM sqlite_master WHERE type = 'trigger'", ())
        }
        missing = sorted(schema.trigger_names() - guards)
        if missing:
            found.append(
                f"The triggers that protect rows from changes are missing: {', '.join(missing)}."
            )
        for _ in self.receipts(on_damage=lambda one, what: found.append(f"Receipt {one}: {what}.")):
            pass
        for r in self._without_receipt():
            row = self._begun(r)
            if row.damage is not None:
                found.append(f"Call {row.id}: {row.damage}.")
        for r in self._query("SELECT nonce, cap, authorisation FROM authorisations", ()):
            if not fits(r):  # type: ignore[arg-type]
                found.append(
                    f"The authorisation with nonce {r['nonce']} does not match its columns."
                )
        return found

    def is_whole(self, *, at_most: int | None = None) -> bool:
        """Whether SQLite finds the file whole; one of more bytes than ``at_most`` is not read for
        that."""
        try:
            pages, size = (
                self._query(f"PRAGMA {name}", ())[0][0] for name in ("page_count", "page_size")
            )
            if at_most is not None and pages * size > at_most:
                return True
            return bool(self._query("PRAGMA quick_check(1)", ())[0][0] == "ok")
        except DamagedLedger:
            return False

    # --------------------------------------------------------------------------------------- inside

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
            return LedgerRow(
                row["id"], moment, None, damage="what was written when it began cannot be read"
            )

    def _contents(self) -> Content:
        """The shared bytes by their SHA-256, as base64; what was asked for once is kept."""

        @functools.lru_cache(maxsize=512)
        def content(sha256: str) -> str | None:
            found = self._query("SELECT content FROM blobs WHERE sha256 = ?", (sha256,))
            return base64.b64encode(found[0]["content"]).decode() if found else None

        return content

    def _without_receipt(
        self,
        *,
        id: str | None = None,
        network: str | None = None,
        kernel: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[sqlite3.Row]:
        chosen = {"id": id, "network": network, "kernel": kernel, "since": since, "until": until}
        return self._query(_WITHOUT_RECEIPT, chosen | {"endings": json.dumps(ENDINGS)})

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
        return self._with(receipt, self._query(_LATER, (row["id"],)))

    def _with(self, receipt: Receipt, later: list[sqlite3.Row]) -> Receipt:
        try:
            return supplemented(receipt, later_parts(later, receipt.document))  # type: ignore[arg-type]
        except ValueError as damage:
            why = (
                str(damage)
                if isinstance(damage, Damaged)
                else "what was learnt later does not fit it"
            )
            raise damaged_receipt(self.path, receipt.id, why) from None
