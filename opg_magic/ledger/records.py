"""What the ledger writes of a call, and what it says of one, as values."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from opg_magic.models import Authorisation, Charge, Money
from opg_magic.models.networks import Network, Token

#: Kinds of event after which a call is over without a receipt: nothing left this machine; the host
#: had closed the session that was joined (the call goes on under another id); or ended for a reason
#: in the event's data.
ENDINGS = ("not-sent", "session-gone", "ended")


@dataclass(frozen=True, slots=True)
class CallIntent:
    """What is about to be done, written before anything that can spend is sent.

    ``id`` becomes the receipt's id.  ``authorisation`` (never its signature) is what will cover the
    call: a new one or one that the call reuses; None for a call that cannot spend."""

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

    ``ending`` is the event that ended it without a receipt, None while it runs or after its kernel
    died."""

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
    #: What was taken under its authorisation, in base units, where that is known; ``alone``: for no
    #: other call.
    released: int | None = None
    alone: bool = False

    @property
    def charge(self) -> Charge:
        """Unknown for a call that could spend and never ended, until the chain shows what was taken
        for it alone."""
        if self.authorisation is None or self.ending is not None or self.released == 0:
            return Charge.NONE
        return Charge.CHARGED if self.settled else Charge.UNKNOWN

    @property
    def settled(self) -> int | None:
        """What was taken for it, in base units; None where that is not known, or nothing could
        be."""
        if self.authorisation is None or self.ending is not None:
            return None
        return self.released if self.alone or self.released == 0 else None


@dataclass(frozen=True, slots=True)
class UnfinishedCall:
    """A call that was begun and never ended: its kernel died.  Its payment is unknown until
    reconciled by nonce.

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
    """One call for a table: its receipt's ``document`` (shared bytes left out), or the bare
    ``call`` without one.

    Neither where the ledger holds something else than what was saved: then ``damage`` says what is
    wrong."""

    id: str
    created_at: datetime
    document: Mapping[str, Any] | None
    call: RecordedCall | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What is used of the limits now, and what calls cost by the hosts' figures: base units of the
    network's token.

    A reservation counts with its whole cap until its settlement is known.
    """

    kernel_reserved: int
    day_reserved: int
    kernel_cost: int
    day_cost: int


def network_key(network: Network) -> str:
    """How the ledger tells networks apart: each start of a simulated network is one of its own."""
    return f"{network.name}:{network.run_id}" if network.run_id else network.name


def token_key(token: Token) -> str:
    return f"{token.chain_id}:{token.address.lower()}"


def token_of(row: sqlite3.Row) -> Token:
    chain, _, _ = row["token"].partition(":")
    address = json.loads(row["authorisation"])["token"]
    return Token(row["symbol"], address, row["decimals"], int(chain))


_NUMBERS = ("cap", "nonce", "deadline", "valid_after")


def authorisation_json(a: Authorisation) -> dict[str, Any]:
    return {
        name: str(getattr(a, name)) if name in _NUMBERS else getattr(a, name)
        for name in Authorisation.__slots__
    }


def authorisation_of(text: str) -> Authorisation:
    fields: dict[str, Any] = {
        k: int(v) if k in _NUMBERS else v for k, v in json.loads(text).items()
    }
    return Authorisation(**fields)


def fits(row: Mapping[str, Any]) -> bool:
    """Whether a row of ``authorisations`` holds what its columns say."""
    try:
        known = authorisation_of(row["authorisation"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    return (str(known.nonce), str(known.cap)) == (row["nonce"], row["cap"])


def moment_of(text: object) -> datetime:
    """As :func:`time_of`, for what may be damaged: then the beginning of 1970."""
    try:
        found = time_of(str(text))
    except ValueError:
        found = _UNKNOWN
    return found if found.tzinfo is not None else _UNKNOWN


_UNKNOWN = datetime.fromtimestamp(0, UTC)


def call_of(row: sqlite3.Row) -> RecordedCall:
    reason = json.loads(row["data"]).get("reason") if row["data"] else None
    return RecordedCall(
        id=row["id"],
        begun_at=time_of(row["begun_at"]),
        network=row["network"],
        simulated=bool(row["simulated"]),
        kernel_id=row["kernel"],
        model=row["model"],
        notebook=row["notebook"],
        cell=row["cell"],
        tee_id=row["host"],
        prompt=row["prompt"],
        authorisation=authorisation_of(row["authorisation"]) if row["authorisation"] else None,
        token=token_of(row) if row["token"] else None,
        ending=row["ending"],
        reason=reason if isinstance(reason, str) else None,
        released=min((int(amount) for amount in json.loads(row["releases"])), default=None),
        alone=row["sharing"] == 1,
    )


def iso(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("the ledger's times must be aware")
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def day_of(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def from_unix(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def plain_text(value: str) -> str:
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def this_process() -> str:
    return _as_process(os.getpid())


@cache
def _as_process(pid: int) -> str:
    return f"{pid}:{_started(pid) or ''}"


if hasattr(os, "register_at_fork"):
    # A child may get the number of a process that lived before it.
    os.register_at_fork(after_in_child=_as_process.cache_clear)


def process_lives(process: str) -> bool:
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
    """When a process began (clock ticks since boot, Linux), which tells two users of one number
    apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":  # killed, not yet reaped
        return "ended"
    return fields[19]
