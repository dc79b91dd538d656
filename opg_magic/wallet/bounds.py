"""The most that may be signed: the signer's own check, whatever the code before it decided.

It is a second line of defence.  Choosing the terms compares what a host asks for.  This compares
what is about to be signed with the network's profile, the registry and the user's pins and limits,
so that a bug or a changed object cannot have anything else signed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opg_magic.errors import PaymentRefused
from opg_magic.models import Authorisation, Host, Money
from opg_magic.models.networks import Network
from opg_magic.protocol.x402 import MAX_SECONDS, VALID_AFTER_MARGIN

#: Seconds that may pass between making an authorisation and signing it, for a keyring or a slow
#: disk.
SIGNING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """Who may be paid and who may settle (lower-case addresses), how much (base units), for how
    long (seconds)."""

    payees: frozenset[str]
    facilitators: frozenset[str]
    max_cap: int
    max_seconds: int = MAX_SECONDS

    @classmethod
    def of(
        cls,
        network: Network,
        host: Host,
        *,
        max_cap: int,
        max_seconds: int = MAX_SECONDS,
        payees: Iterable[str] = (),
        facilitators: Iterable[str] = (),
    ) -> Bounds:
        """Return the bounds set by the network's profile, the host's registry entry and the user's
        pins.  Nothing that an offer says counts."""
        return cls(
            payees=frozenset(a.lower() for a in (host.payment_address, *network.payees, *payees)),
            facilitators=frozenset(a.lower() for a in (*network.facilitators, *facilitators)),
            max_cap=max_cap,
            max_seconds=max_seconds,
        )

    def check(self, auth: Authorisation, network: Network, *, payer: str, now: int) -> None:
        """Check every field of an authorisation; ``now`` is Unix seconds.  Raises
        :class:`PaymentRefused` for one that these bounds do not allow."""
        if auth.chain_id != network.payment_chain_id:
            raise PaymentRefused(
                f"the authorisation is for chain {auth.chain_id}; this network pays on chain "
                f"{network.payment_chain_id}"
            )
        for name, theirs, allowed in (
            ("payer", auth.payer, {payer.lower()}),
            ("token", auth.token, {network.token.address.lower()}),
            ("spender", auth.spender, {network.upto_proxy.lower()}),
            ("payee", auth.pay_to, self.payees),
            ("facilitator", auth.facilitator, self.facilitators),
        ):
            if theirs.lower() not in allowed:
                ours = ", ".join(sorted(allowed)) or "none"
                raise PaymentRefused(
                    f"the authorisation names {name} {theirs}; this wallet signs for {ours}"
                )
        if not 0 < auth.cap <= self.max_cap:
            cap, most = Money(auth.cap, network.token), Money(self.max_cap, network.token)
            raise PaymentRefused(f"the authorisation's cap is {cap}; at most {most} may be signed")
        self._check_times(auth, now)

    def _check_times(self, auth: Authorisation, now: int) -> None:
        left = auth.deadline - now
        if left > self.max_seconds:
            raise PaymentRefused(
                f"the authorisation holds for {left} s from now; at most {self.max_seconds} s may "
                f"be signed"
            )
        if left <= 0:
            raise PaymentRefused(f"the authorisation's deadline passed {-left} s ago")
        if auth.valid_after > now:
            raise PaymentRefused(f"the authorisation holds only in {auth.valid_after - now} s")
        if auth.valid_after < now - VALID_AFTER_MARGIN - SIGNING_SECONDS:
            raise PaymentRefused(
                f"the authorisation was made {now - VALID_AFTER_MARGIN - auth.valid_after} s ago;"
                f" it is signed within {SIGNING_SECONDS} s or not at all"
            )
