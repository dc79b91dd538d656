"""What several calls may have authorised together: the cap of a whole table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opg_magic.errors import LimitExceeded
from opg_magic.models import Authorisation, Money
from opg_magic.models.networks import Token


class Caps:
    """The authorisations under which some calls pay, each with its whole cap, in base units.

    An authorisation that was open before counts with what was left of it."""

    def __init__(self, most: int | None = None, *, planned: int = 0) -> None:
        """``most``: the sum that they may not exceed, None for any.  ``planned``: how many new
        authorisations the user was told of; none is signed ahead of its need beyond them."""
        self.most = most
        self.planned = planned
        #: What the calls that have not ended are likely to cost together, 0 where that is unknown.
        self.rest = 0
        self._by_nonce: dict[int, int] = {}
        self._signed = 0

    @property
    def total(self) -> int:
        """The most that these calls can cost."""
        return sum(self._by_nonce.values())

    def take(self, nonce: int, amount: int, token: Token) -> None:
        """Count an authorisation, once.  Raises :class:`LimitExceeded` before it is too much."""
        if nonce in self._by_nonce:
            return
        total = self.total + amount
        if self.most is not None and total > self.most:
            raise LimitExceeded(
                f"One more authorisation of up to {Money(amount, token)} would exceed max_cost: "
                f"{Money(self.total, token)} of {Money(self.most, token)} is authorised. "
                "Nothing was signed for it.",
                hint="Raise max_cost and run it again: what came is in the ledger and is not paid "
                "again.",
                cap=amount,
                room=0,
            )
        self._by_nonce[nonce] = amount

    def hold(self, nonce: int) -> bool:
        """Return whether this is one of them."""
        return nonce in self._by_nonce

    def may_open_ahead(self, room: int) -> bool:
        """Return whether another authorisation may be signed before the open ones, of which
        ``room`` base units are left, are used up: one that was planned, and that the rest needs."""
        return self._signed < self.planned and self.rest > room

    @contextlib.contextmanager
    def taking(self, new: Authorisation, token: Token) -> Iterator[None]:
        """Count a new authorisation while it is being reserved, and not if that fails."""
        self.take(new.nonce, new.cap, token)
        try:
            yield
        except BaseException:
            self.give_back(new.nonce)
            raise
        self._signed += 1

    def give_back(self, nonce: int) -> None:
        """Forget an authorisation that never left this machine."""
        self._by_nonce.pop(nonce, None)
