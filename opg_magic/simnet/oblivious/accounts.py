"""The relay's accounts: who may ask, how much, how often."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from opg_magic.models.secret import Secret

#: Calls that an account may make in one minute.
CALLS_PER_MINUTE = 600


class Refused(Exception):
    """The relay does not carry a request: an HTTP status, and why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class Account:
    """``quota``: calls that are left, None: no end.  ``expires_at`` in Unix seconds."""

    name: str
    token: Secret[str]
    quota: int | None = None
    per_minute: int = CALLS_PER_MINUTE
    expires_at: float | None = None
    made: deque[float] = field(default_factory=deque)


class Accounts:
    """Who has signed in.  ``clock`` in Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._accounts: list[Account] = []

    def open(self, name: str) -> Account:
        """A new account with a token of its own.  Expired ones are forgotten."""
        now = self._clock()
        self._accounts = [a for a in self._accounts if a.expires_at is None or now < a.expires_at]
        account = Account(name, Secret(secrets.token_urlsafe(32)))
        self._accounts.append(account)
        return account

    def admit(self, authorization: str) -> Account:
        """Whose token this is, one call counted.  Raises Refused: 401, 402 or 429."""
        scheme, _, given = authorization.partition(" ")
        account = next(
            (a for a in self._accounts if secrets.compare_digest(a.token.reveal(), given.strip())),
            None,
        )
        if scheme.lower() != "bearer" or account is None:
            raise Refused(401, "Not signed in")
        now = self._clock()
        if account.expires_at is not None and now >= account.expires_at:
            raise Refused(401, "The sign-in has expired")
        if account.quota is not None and account.quota <= 0:
            raise Refused(402, "This account has no calls left")
        while account.made and account.made[0] <= now - 60:
            account.made.popleft()
        if len(account.made) >= account.per_minute:
            raise Refused(429, "Too many requests")
        account.made.append(now)
        if account.quota is not None:
            account.quota -= 1
        return account
