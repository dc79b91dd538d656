"""Words, marks and figures that all renderings share, and how foreign text is made harmless."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from opg_magic.models import STATUSES, Status, significant
from opg_magic.models.plain_text import inert
from opg_magic.receipt.face.hosts import compared
from opg_magic.receipt.face.third import (
    HEADINGS,
    HOSTS,
    NOT_KNOWN,
    NOT_KNOWN_RE_RUN,
    OPEN,
    SIMULATED,
    UNMET,
    counted,
    says,
)

if TYPE_CHECKING:
    from opg_magic.models import Claim, Cost, Money


__all__ = [
    "FAILED",
    "HEADINGS",
    "HOSTS",
    "MARKS",
    "NOT_KNOWN",
    "NOT_KNOWN_RE_RUN",
    "OPEN",
    "PARTIAL",
    "SHOWN_ANYWAY",
    "SIMULATED",
    "UNMET",
    "UNVERIFIED",
    "WITHHELD",
    "checked_by",
    "clock",
    "compared",
    "cost",
    "counted",
    "duration",
    "figure",
    "group",
    "one_line",
    "says",
    "short_hash",
    "simulated_model",
    "told",
]

#: One mark for each status.
MARKS = {status: words.mark for status, words in STATUSES.items()}

FAILED = "✗ Failed at the call"
UNVERIFIED = "! Not verified"
PARTIAL = "◐ Partially verified"
WITHHELD = "the answer is withheld"
SHOWN_ANYWAY = "shown because you asked"


def group(claim: Claim, by: str) -> str:
    """The heading under which a check stands: what it rests on, or how it came out.  ``by``: who
    asked."""
    if claim.status is Status.PENDING:
        return OPEN
    if claim.passed and claim.basis is not None:
        return HEADINGS[claim.basis.value].format(by)
    return UNMET.get(claim.status.value, "")


def one_line(text: str, limit: int = 400) -> str:
    """Foreign words (a host's error, a model's name) for use inside our own sentence: one line,
    inert, bounded."""
    flat = " ".join(inert(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


_HEX = re.compile(r"\b(0x)?[0-9a-fA-F]{40,}\b")


def told(text: str, limit: int = 400) -> str:
    """Words of a claim for a card: as :func:`one_line`, and long hashes by their ends (the receipt
    has them whole)."""
    return one_line(_HEX.sub(lambda match: f"{match[0][:8]}…{match[0][-6:]}", text), limit)


def short_hash(value: str) -> str:
    """First and last four digits of a hash or an address."""
    digits = value.removeprefix("0x")
    return digits if len(digits) <= 9 else f"{digits[:4]}…{digits[-4:]}"


def clock(moment: datetime) -> str:
    """Date and time to the second, in UTC and saying so."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def checked_by(moment: datetime, by: str = "the author's kernel") -> str:
    """Who computed a shown verdict, and when: never "now", since the card stays in the notebook."""
    return f"checked by {by}, {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def simulated_model(named: str | None) -> str:
    """Who answers on the simulated network: its scripted model, or what it relays to
    (``--upstream``)."""
    if named in (None, "", "scripted-model"):
        return "the scripted model"
    return f"{one_line(str(named), 80)}"


def duration(seconds: float) -> str:
    """Elapsed time as a person says it."""
    if seconds < 0.95:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s"


def figure(money: Money) -> str:
    """A sum in plain decimals: to two significant digits below one token, to two decimals above."""
    return f"{_short(money.decimal)} {money.token.symbol}"


def cost(paid: Cost, *, worth: bool = True) -> str:
    """What a call cost, for one line: what was settled or is claimed, or that it is unknown, or
    nothing was charged."""
    from opg_magic.models import Charge

    if paid.charge is Charge.NONE:
        return "not charged"
    if paid.settled is not None and paid.charge is not Charge.UNKNOWN:
        return f"{figure(paid.settled)} settled"
    if paid.charge is Charge.UNKNOWN:
        return f"charge unknown, at most {paid.cap}" if paid.cap is not None else "charge unknown"
    if paid.amount is None:
        unknown = "price unknown" if paid.price is None else "cost unknown"
        return f"{unknown}, at most {paid.cap}" if paid.cap is not None else unknown
    return f"{figure(paid.amount)} claimed" + (
        f" ≈ ${_short(paid.usd)}" if worth and paid.usd is not None else ""
    )


def _short(amount: Decimal) -> str:
    return significant(amount) if amount < 1 else f"{amount:,.2f}"
