"""Words, marks and figures that all renderings share, and how foreign text is made harmless."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from opg_magic.models import STATUSES, significant
from opg_magic.models.plain_text import inert

if TYPE_CHECKING:
    from opg_magic.models import Cost, Money

#: One mark for each status.
MARKS = {status: words.mark for status, words in STATUSES.items()}

NOT_PROVEN = (
    "Not proven: which weights the provider ran, whether it honoured every parameter, and whether "
    "the answer is true. "
    "Model name, tokens and cost are the host's word, not signed."
)


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


def checked_by(moment: datetime) -> str:
    """Who computed a shown verdict, and when: never "now", since the card stays in the notebook."""
    return f"author's kernel, {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def simulated_model(named: str | None) -> str:
    """Who answers on the simulated network: its scripted model, or what it relays to
    (``--upstream``)."""
    if named in (None, "", "scripted-model"):
        return "the scripted model"
    return f"{one_line(str(named), 80)} (relayed)"


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


def plural(count: int, noun: str) -> str:
    """``1 token``, ``2 tokens``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
