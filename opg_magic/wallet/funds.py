"""Whether wallet and allowance cover everything that may still be charged: all open authorisations,
and one more.

When a host settles, the facilitator simulates the *full cap* again.  If balance or allowance cover
only one of two open authorisations, the second stays unpaid, so each counts with its whole cap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from opg_magic.errors import ClockSkew, WalletError
from opg_magic.models import Money

if TYPE_CHECKING:
    from opg_magic.models.networks import Network
    from opg_magic.wallet.chain import PaymentChain

#: How far this machine's clock may be from the payment chain's newest block before signing is
#: refused, in seconds. Deadlines are signed in chain time: with 300 s to live, a minute matters.
CHAIN_CLOCK_SECONDS = 60

#: An allowance from here on does not count down: tokens take the highest number for "without
#: limit".
UNLIMITED = 2**255

#: Below this many further caps the user is told that the allowance runs out.
LOW = 2


@dataclass(frozen=True, slots=True)
class Funds:
    """What a payer has, in base units, at the time ``at`` of the payment chain's newest block.

    ``allowance`` is what Permit2 may still take: it counts down with every settlement.
    """

    payer: str
    balance: int
    allowance: int
    at: datetime

    def check(self, cap: Money, held: int, network: Network) -> None:
        """Refuse a new authorisation that is not covered beside the ``held`` ones
        (:class:`WalletError`)."""
        token, wanted = cap.token, held + cap.amount
        beside = f", and open payments hold {Money(held, token)} already" if held else ""
        wait = " Or wait until they are settled: %opg reconcile." if held else ""
        if self.balance < wanted:
            raise WalletError(
                f"The wallet holds {Money(self.balance, token)}. This call needs {cap}{beside}. "
                f"Nothing was signed.",
                hint=f"Send at least {Money(wanted - self.balance, token)} to {self.payer}.{wait}",
            )
        if self.allowance < wanted:
            raise WalletError(
                f"Permit2 may take {Money(self.allowance, token)} from the wallet. This call needs "
                f"{cap}{beside}."
                " Nothing was signed.",
                hint=f"In a shell: {renewal(network, wanted - self.allowance)}.{wait}",
            )

    def warning(self, cap: Money, held: int, network: Network) -> str | None:
        """Return a warning if the allowance covers few further authorisations; None if it covers
        enough."""
        left = self.allowance - held
        if self.allowance >= UNLIMITED or left >= LOW * cap.amount:
            return None
        more = left // cap.amount if cap.amount else 0
        covers = "no further payment" if more <= 0 else f"{more} further payment" + "s" * (more > 1)
        return (
            f"the allowance of Permit2 is nearly used up: {Money(max(0, left), cap.token)} is left "
            f"for new payments,"
            f" which covers {covers} of {cap}. In a shell: "
            f"{renewal(network, LOW * cap.amount - left)}"
        )


def allowance_words(allowance: int, network: Network) -> str:
    """Return an allowance as a person reads it."""
    return "any amount" if allowance >= UNLIMITED else str(Money(allowance, network.token))


def approved(allowance: int, amount: int, *, add: bool, network: Network) -> int:
    """Return the allowance to ask for in base units: ``amount``, or that much more than is left.

    Raises :class:`WalletError` if Permit2 may already take any amount."""
    if not add:
        return amount
    if allowance >= UNLIMITED:
        raise WalletError(
            "Permit2 may take any amount from the wallet already. Nothing was sent.",
            hint="To bound it: opg wallet approve AMOUNT --set.",
        )
    return allowance + amount


def renewal(network: Network, missing: int) -> str:
    """Return the command that raises the allowance by what is missing, in whole OPG, 5 at least."""
    whole = -(-missing // 10**network.token.decimals)
    return f"opg wallet approve {max(5, whole)} --add --network {network.name}"


async def read_funds(chain: PaymentChain, payer: str) -> Funds:
    """Return balance, allowance and time as the payment chain has them now."""
    import asyncio

    at, balance, allowance = await asyncio.gather(
        chain.clock(), chain.balance(payer), chain.allowance(payer)
    )
    return Funds(payer, balance, allowance, at)


def check_clock(now: datetime, *, chain: datetime, host: datetime | None, skew: float) -> None:
    """Refuse to sign if this machine's clock differs from the chain's or the host's.

    Raises :class:`ClockSkew`."""
    for name, theirs, bound in (
        ("the payment chain's newest block", chain, CHAIN_CLOCK_SECONDS),
        ("the host's Date header", host, max(skew, 1.0)),
    ):
        if theirs is None:
            continue
        off = (now - theirs).total_seconds()
        if abs(off) > bound:
            raise ClockSkew(
                f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} "
                f"{name};"
                " nothing was signed",
                hint="Set the clock, then run the cell again.",
            )
