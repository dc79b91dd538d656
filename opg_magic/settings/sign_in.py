"""The sign-in at a relay: what the private route needs of it, and where it is kept.

Whoever signs a user in gives a :class:`SignIn`; the private route asks for the current one before
each call.  A token is as secret as a key: it goes to its own relay and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opg_magic.errors import SignInNeeded
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret


@dataclass(frozen=True, slots=True)
class SignIn:
    """A token for one relay.  ``relay``: its base URL; ``expires_at``: aware UTC, None if that is
    not known; ``account``: a name to show."""

    relay: str
    token: Secret[str] = field(repr=False)
    expires_at: datetime | None = None
    account: str | None = None

    def is_over(self, now: datetime | None = None) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and (now or datetime.now(UTC)) >= self.expires_at


#: Gives the sign-in for a network, None if there is none.  It must neither ask nor wait.
Source = Callable[[Network], SignIn | None]


def nobody(_network: Network) -> SignIn | None:
    """Nobody is signed in."""
    return None


_source: Source = nobody


def use(source: Source) -> Source:
    """Take sign-ins from ``source`` from now on in this process; return the one before it."""
    global _source
    before, _source = _source, source
    return before


def use_by_default(source: Source) -> None:
    """Take sign-ins from ``source`` unless the program has named another."""
    global _source
    if _source is nobody:
        _source = source


def current(network: Network) -> SignIn | None:
    """The sign-in for a network, expired or not; None if there is none."""
    return _source(network)


def usable(found: SignIn | None, network: Network) -> SignIn:
    """That sign-in.  Raises SignInNeeded, before anything is sent, if there is none or it has
    expired."""
    if found is None:
        raise SignInNeeded(
            f"You are not signed in to a relay of {network.title}. Nothing was sent.",
            hint="Sign in: %opg login. Or ask with --route direct, which needs a wallet.",
        )
    if found.is_over():
        raise SignInNeeded(
            f"Your sign-in expired at {found.expires_at:%Y-%m-%d %H:%M} UTC. Nothing was sent.",
            hint="Sign in again: %opg login",
        )
    return found
