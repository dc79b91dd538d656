"""One call's payment on the direct route: an authorisation of its own, or an open session that it
joins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opg_magic.call.state import ReadyHost, RunningCall, utc_now
from opg_magic.models import Authorisation, Charge, Cost, Money, PaymentEvidence
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.exchange import PAYMENT_SIGNATURE, SESSION
from opg_magic.settings import prices
from opg_magic.wallet.upto import Timing, UptoSession, UptoSessions

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.exchange import RawExchange


@dataclass(frozen=True, slots=True)
class UptoPayment:
    """Implements :class:`opg_magic.call.route.Payment`.

    ``session`` is the open session that the call joins, None under an authorisation of its own.
    ``value`` is what spends, ``signature`` that of the call's own authorisation: both are secret.
    ``sessions`` are those of the kernel."""

    network: Network
    ledger: Ledger
    sessions: UptoSessions
    ready: ReadyHost
    path: str
    authorisation: Authorisation
    session: UptoSession | None
    value: Secret[str]
    signature: Secret[str] | None = None

    @property
    def cap(self) -> Money:
        """The most that can be charged under the authorisation; calls of a session share it."""
        return Money(self.authorisation.cap, self.network.token)

    @property
    def headers(self) -> Mapping[str, str | Secret[str]]:
        """The one header that spends."""
        return {PAYMENT_SIGNATURE if self.session is None else SESSION: self.value}

    def seconds_left(self) -> float:
        """Seconds in which the answer must end, for the settlement to be mined before the
        deadline."""
        if self.session is not None:
            return self.session.window(utc_now())
        settlement = Timing(self.network.session_idle).settlement
        return max(0.0, self.authorisation.deadline - settlement - utc_now().timestamp())

    def unsent(self, call: RunningCall, reason: str) -> None:
        """Nothing was sent: nobody can use a new authorisation, so its reservation is released.

        Raises LedgerError."""
        if self.session is None:
            call.caps.give_back(self.authorisation.nonce)
            self.ledger.release(
                self.authorisation.nonce, 0, {"how": "the signature never left this machine"}
            )
        self.ledger.record(call.id, "ended", {"charge": Charge.NONE.value, "reason": reason})

    def must_be_renewed(self, call: RunningCall, exchange: RawExchange) -> bool:
        """Whether the host has closed the session that the call joined: it charged nothing, and the
        call may go again under a new authorisation."""
        if exchange.status != 402 or self.session is None:
            return False
        self.drop()
        reason = "the host answered 402: its session was closed"
        self.ledger.record(call.id, "session-gone", {"charge": Charge.NONE.value, "reason": reason})
        return True

    def accept(self, call: RunningCall, exchange: RawExchange) -> RawExchange:
        """The exchange without its session, if that is named by something public.  The answer
        counts all the same."""
        from opg_magic.protocol.x402 import public_authorisation
        from opg_magic.receipt.secret_scan import holds

        public = call.rehearsed + json.dumps(public_authorisation(self.authorisation)).encode()
        if exchange.session is not None and holds(public, [exchange.session]):
            # A name that stands in every receipt of this host is not a secret, and no receipt could
            # be made beside it.
            exchange = replace(exchange, session=None, session_refused=True)
        if exchange.session_refused:
            call.notes.append(
                "the host named its payment session by what is no session id, so no later call "
                "joins it"
            )
        return exchange

    def charge(self, exchange: RawExchange) -> Charge:
        """What the exchange says of the money: hosts charge complete 2xx answers only, and a 2xx
        proves no charge."""
        problem = exchange.response.problem
        if not exchange.header_sent:
            return Charge.NONE
        if exchange.status is None or not exchange.complete:
            return Charge.UNKNOWN
        failed = problem is not None and problem.code == "host-failure"
        if failed or not 200 <= exchange.status < 300:
            return Charge.NONE
        return Charge.CLAIMED

    def cost(self, call: RunningCall, exchange: RawExchange, charge: Charge) -> Cost:
        """Usage × price / token price: the host's figure, not signed.  ``amount`` is None where a
        factor is not known."""
        usage = exchange.response.usage or {}
        token_usd = self.ready.token_usd
        amount, in_usd = None, None
        if charge is Charge.NONE:
            amount = Money(0, self.network.token)
        elif call.price is not None and {"prompt_tokens", "completion_tokens"} <= usage.keys():
            in_usd = prices.usd(call.price, usage["prompt_tokens"], usage["completion_tokens"])
            amount = prices.in_token(in_usd, token_usd, self.network.token) if token_usd else None
            if amount is not None and amount.amount > self.cap.amount:
                # Whatever the host counts, no more than the cap can be taken.
                amount = self.cap
        return Cost(
            amount=amount,
            cap=self.cap,
            usd=in_usd,
            price=call.price,
            token_usd=token_usd,
            charge=charge,
        )

    def evidence(self, cost: Cost) -> PaymentEvidence:
        """What a receipt holds of the payment."""
        return PaymentEvidence(
            network=f"eip155:{self.network.payment_chain_id}",
            authorisation=self.authorisation,
            token=self.network.token,
            first_call=self.session is None,
            # A document has no word for a claim: its "charged" is the host's word.
            charge=Charge.CHARGED if cost.charge is Charge.CLAIMED else cost.charge,
            estimate=cost.amount,
        )

    def secrets(self, exchange: RawExchange) -> list[Secret[str]]:
        """All that pays for calls, and so may stand in no receipt."""
        known = (
            exchange.session,
            self.session.session_id if self.session else None,
            self.value,
            self.signature,
        )
        return [secret for secret in known if secret]

    def keep(self, exchange: RawExchange, cost: Cost, *, usable: bool) -> None:
        """Keep the session that the host opened or charged, in memory only, for later calls.

        ``usable``: whether later calls may use the host; if not, a new session is not kept."""
        session = self.session
        if session is None:
            if exchange.session is None or not exchange.complete or not usable:
                return
            session = UptoSession(
                self.ready.host.tee_id,
                self.path,
                exchange.session,
                self.authorisation,
                exchange.received_at,
                Timing(self.network.session_idle),
            )
            self.sessions.put(session)
        if cost.charge is Charge.UNKNOWN or cost.amount is None:
            # How much of it is spent is no longer known, nor whether another call fits.
            self.sessions.drop(session)
            return
        session.charged(cost.amount.amount, exchange.received_at)

    def drop(self) -> None:
        """Forget the session that the call joined, if any."""
        if self.session is not None:
            self.sessions.drop(self.session)
