"""Money: base units with their token, prices, and what a call cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from opg_magic.models.networks import Token


@dataclass(frozen=True, slots=True, repr=False)
class Money:
    """``amount`` base units of ``token``.  Two sums of different tokens neither add nor compare."""

    amount: int
    token: Token

    def _same(self, other: Money) -> None:
        if (self.token.address, self.token.chain_id) != (other.token.address, other.token.chain_id):
            raise TypeError(f"{self.token.symbol} and {other.token.symbol} do not mix")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.token)

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    @property
    def decimal(self) -> Decimal:
        """The sum in whole tokens, exact."""
        return Decimal(self.amount).scaleb(-self.token.decimals)

    @property
    def plain(self) -> str:
        """The sum as settings and options take it, ``0.5``: exact, without the token's symbol."""
        return format_units(self.amount, self.token.decimals)

    def __repr__(self) -> str:
        return f"<Money {self}>"

    def __str__(self) -> str:
        return f"{self.plain} {self.token.symbol}"


def format_units(amount: int, decimals: int) -> str:
    """Base units as a plain decimal number without exponent or trailing zeros, exact."""
    sign, digits = ("-", str(-amount)) if amount < 0 else ("", str(amount))
    digits = digits.rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def parse_units(text: str, decimals: int) -> int:
    """A plain non-negative decimal number of tokens to base units; ValueError if it is not one or
    is too fine."""
    value = text.strip()
    whole, _, fraction = value.partition(".")
    if (
        not (whole + fraction).isascii()
        or not (whole + fraction).isdigit()
        or len(fraction) > decimals
    ):
        raise ValueError(f"not an amount with at most {decimals} decimals: {text!r}")
    return int((whole or "0") + fraction.ljust(decimals, "0"))


class Charge(StrEnum):
    """What happened to the money of one call, as far as this machine can tell.

    ``CLAIMED``: the host answered, so it may collect what it counted.  ``CHARGED``: the payment
    chain shows it.  A receipt's document knows no claim: there ``charged`` is the host's word as
    well."""

    NONE = "not charged"
    CLAIMED = "claimed"
    CHARGED = "charged"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens, and the day the figure is from."""

    input_usd: Decimal
    output_usd: Decimal
    as_of: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Cost:
    """What one call cost: ``amount`` None means that the price is unknown (never zero).

    It is usage x price / token price: the host's figure, not signed; ``cap`` is the most that can
    be charged under the authorisation that covers the call, ``settled`` what the payment chain
    shows of it."""

    amount: Money | None
    cap: Money | None
    usd: Decimal | None = None
    price: ModelPrice | None = None
    token_usd: Decimal | None = None
    charge: Charge = Charge.NONE
    #: The call's share of what the payment chain shows, None while that is not known.
    settled: Money | None = None

    def __repr__(self) -> str:
        return f"<Cost {self}>"

    def __str__(self) -> str:
        if self.charge is Charge.NONE:
            return "not charged"
        if self.settled is not None:
            return f"{significant(self.settled.decimal)} {self.settled.token.symbol} settled"
        if self.charge is Charge.UNKNOWN:
            text = "charge unknown"
        elif self.amount is None:
            text = "price unknown" if self.price is None else "cost unknown"
        else:
            text = f"{significant(self.amount.decimal)} {self.amount.token.symbol} claimed"
            text += f" ≈ ${significant(self.usd)}" if self.usd is not None else ""
        cap = f" (at most {self.cap})" if self.cap is not None else ""
        return text + cap


#: What is less than this is shown as less than this.
_TINY = Decimal("0.000000001")


def significant(amount: Decimal) -> str:
    """An amount in plain decimals to two significant digits; ``0`` for nothing, ``<0.000000001``
    below that."""
    if 0 < amount < _TINY:
        return f"<{_TINY:f}"
    text = f"{Decimal(f'{amount:.2g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
