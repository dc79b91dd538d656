"""Paying on the direct route: terms checked, cap reserved, authorisation signed, sessions joined.

Steps 5 to 7 of a call (:mod:`opg_magic.call.engine`).  Nothing here sends anything that can spend.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.costs import worst_cost
from opg_magic.call.evidence import intent_of
from opg_magic.call.payment import UptoPayment
from opg_magic.call.reconciling import PaymentReconciler
from opg_magic.call.state import (
    CallOptions,
    CallSite,
    EngineSettings,
    ReadyHost,
    RunningCall,
    utc_now,
)
from opg_magic.models import (
    Authorisation,
    Charge,
    Host,
    Money,
    PaymentEvidence,
    PaymentTerms,
    Phase,
    Progress,
    Prompt,
)
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.wallet.funds import Funds, check_clock, read_funds
from opg_magic.wallet.upto import Timing, UptoSession, UptoSessions, least_window

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.transport import HostPool
    from opg_magic.wallet.chain import PaymentChain
    from opg_magic.wallet.keys import Wallet

#: How long a new authorisation waits, at most, for what the chain shows of earlier ones.
RECONCILE_SECONDS = 5.0

_NOBODY = "0x" + "0" * 40


class UptoPayments:
    """Implements :class:`opg_magic.call.route.Payments`: x402 ``upto`` from one wallet.

    Owns the payment sessions that are open in this kernel."""

    def __init__(
        self,
        network: Network,
        pool: HostPool,
        chain: PaymentChain,
        ledger: Ledger,
        *,
        wallet: Callable[[], Wallet],
        call_site: Callable[[], CallSite],
    ) -> None:
        self._network = network
        self._pool = pool
        self._chain = chain
        self._ledger = ledger
        self.wallet = wallet
        self._call_site = call_site
        self._timing = Timing(network.session_idle)
        self.sessions = UptoSessions()
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}
        #: Caps of the sessions that are being opened while the ones before are in use.
        self._coming: dict[tuple[str, str], int] = {}
        #: Set, and made anew, when a call that joined or opened a session has ended.
        self._ended = asyncio.Event()
        self.reconciler = PaymentReconciler(
            network,
            chain,
            ledger,
            live=lambda: [session.authorisation.nonce for session in self.sessions],
        )
        #: The payer's funds as the chain last showed them; None before they were first read.
        self.funds_seen: Funds | None = None

    async def read_funds(self, address: str) -> Funds:
        """What an address has now.  Raises NetworkUnavailable."""
        self.funds_seen = await read_funds(self._chain, address)
        return self.funds_seen

    def admit(self, prompt: Prompt) -> None:
        """Every prompt can go to a host itself."""

    def timeout(self, options: CallOptions, settings: EngineSettings) -> float:
        """Seconds until the call is given up, which one payment must be able to carry."""
        longest = settings.max_deadline - self._timing.settlement
        asked = options.timeout
        if longest <= 0:
            raise errors.ConfigError(
                f"max_deadline is {settings.max_deadline} s; a host needs "
                f"{self._timing.settlement:g} s of it to settle"
                " (session_idle and 35 s), so no time is left to answer in. Nothing was sent.",
                hint="Raise max_deadline in your own settings.",
            )
        if asked is not None and not 0 < asked <= longest:
            raise errors.ConfigError(
                f"--timeout {asked:g} is not possible: with max_deadline {settings.max_deadline} s "
                f"the most is"
                f" {longest:g} s. Nothing was sent.",
            )
        return asked if asked is not None else min(settings.timeout, longest)

    async def _terms(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[PaymentTerms, datetime | None]:
        """What the host asks for, if this network allows it; asked with a dummy body, never with
        the prompt."""
        from opg_magic.protocol.payment_terms import choose_terms

        needed = self._timing.settlement + least_window(
            call.timeout, timeout_is_users=call.timeout_is_users
        )
        required, server_date = await self._pool.client(ready.host).probe_terms(call.path)
        terms, notes = choose_terms(
            required,
            self._network,
            ready.host,
            pinned_payees=settings.payees,
            pinned_facilitators=settings.facilitators,
            min_seconds=math.ceil(min(needed, settings.max_deadline)),
        )
        call.notes.extend(notes)
        return terms, server_date

    def specimen(self) -> PaymentEvidence:
        """Evidence of the form that a payment here leaves, of no payment."""
        chain, token = self._network.payment_chain_id, self._network.token
        nobody = Authorisation(chain, _NOBODY, token.address, 1, _NOBODY, 0, 1, _NOBODY, _NOBODY, 0)
        return PaymentEvidence(f"eip155:{chain}", nobody, token, True, Charge.UNKNOWN)

    # ------------------------------------------------------------------------------- open sessions

    def preference(self, call: RunningCall, host: Host) -> int:
        """Joining needs no new authorisation: 0 for a host with an open session, 1 where another
        call is opening one, 2 for the others."""
        if self.is_open(call, host):
            return 0
        lock = self._opening.get((host.tee_id, call.path))
        return 1 if lock is not None and lock.locked() else 2

    def is_open(self, call: RunningCall, host: Host) -> bool:
        """Whether the host has a session open that the call may join."""
        return bool(self._joinable(call, host, None))

    def is_used_up(self, call: RunningCall, ready: ReadyHost, given: int) -> bool:
        """Whether a call like this one, beside so many that the host was ``given``, would wait for
        others to end or need another authorisation, while what is left of its table's sessions is
        likely to carry the rest."""
        worst = self._worst(call, ready)
        joinable = self._joinable(call, ready.host, worst)
        first = max(0, given - sum(len(session.held) for session in joinable))
        if any(one.has_room(worst, more=first) for one in joinable):
            return False
        coming = (ready.host.tee_id, call.path) in self._coming
        return not coming and call.caps.rest <= self._room(call)

    def _room(self, call: RunningCall) -> int:
        """What is left of the caps of the sessions that the call's table uses, and of those that
        are being opened beside them."""
        return sum(self._coming.values()) + sum(
            session.authorisation.cap - session.spent
            for session in self.sessions
            if call.caps.hold(session.authorisation.nonce) and self._carries(session, call, None)
        )

    def _carries(self, session: UptoSession, call: RunningCall, worst: int | None) -> bool:
        return session.carries(
            utc_now(),
            timeout=call.timeout,
            timeout_is_users=call.timeout_is_users,
            worst_cost=worst,
        )

    def _joinable(self, call: RunningCall, host: Host, worst: int | None) -> list[UptoSession]:
        """The host's sessions that the call may join, the oldest first."""
        return [
            session
            for session in self.sessions.of(host.tee_id, call.path)
            if self._carries(session, call, worst)
        ]

    def _worst(self, call: RunningCall, ready: ReadyHost | None) -> int | None:
        worst = None if ready is None else worst_cost(call, ready, self._network.token)
        return None if worst is None else worst.amount

    @contextlib.asynccontextmanager
    async def turn(self, call: RunningCall, ready: ReadyHost) -> AsyncIterator[None]:
        """Calls that run at once open one session, not one each: the first opens it, and the others
        wait here and join.

        Each is counted with its worst cost until it ends.  Where only calls under way leave no room
        in the cap, this one waits for them rather than sign another authorisation, unless the rest
        of its table needs that one in any case: then it is opened before the cap is used up."""
        worst = self._worst(call, ready)
        opening = self._opening.setdefault((ready.host.tee_id, call.path), asyncio.Lock())
        while True:
            call.opens_next = False
            joinable = self._joinable(call, ready.host, worst)
            free = next((one for one in joinable if one.has_room(worst, call=id(call))), None)
            if not joinable:
                async with opening:
                    if not self._joinable(call, ready.host, worst):
                        yield
                        return
            elif not opening.locked() and self._is_next_due(call, joinable, free, worst):
                async with opening, self._opened_ahead(call, joinable[-1]):
                    yield
                return
            elif free is not None:
                async with self._counted(call, free, worst):
                    yield
                return
            else:
                await self._ended.wait()

    def _is_next_due(
        self,
        call: RunningCall,
        joinable: list[UptoSession],
        free: UptoSession | None,
        worst: int | None,
    ) -> bool:
        """Whether the call should open its host's next session now."""
        ending = free is None or (free is joinable[-1] and free.is_ending(worst, call=id(call)))
        return ending and call.caps.may_open_ahead(self._room(call))

    @contextlib.asynccontextmanager
    async def _opened_ahead(self, call: RunningCall, before: UptoSession) -> AsyncIterator[None]:
        """The call opens a session with about the same cap, while the one ``before`` is in use."""
        call.opens_next = True
        key = (before.tee_id, before.path)
        self._coming[key] = before.authorisation.cap
        try:
            yield
        finally:
            del self._coming[key]
            self._wake()

    @contextlib.asynccontextmanager
    async def _counted(
        self, call: RunningCall, session: UptoSession, worst: int | None
    ) -> AsyncIterator[None]:
        """The call takes up its worst cost of the session's cap until it ends."""
        session.held[id(call)] = session.needs(worst)
        try:
            yield
        finally:
            del session.held[id(call)]
            if self.sessions.of(session.tee_id, session.path)[-1:] != (session,):
                self._drop_if_used_up(session, call, worst)
            self._wake()

    def _drop_if_used_up(self, session: UptoSession, call: RunningCall, worst: int | None) -> None:
        if not session.held and not self._carries(session, call, worst):
            self.sessions.drop(session)

    def _wake(self) -> None:
        self._ended.set()
        self._ended = asyncio.Event()

    async def quote(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[Money, bool]:
        """The cap of a payment for this call, and whether it would join an open session.

        Asks the host for its terms if need be, with a dummy body.  Raises PaymentRefused,
        HostUnavailable."""
        joinable = self._joinable(call, ready.host, self._worst(call, ready))
        if joinable:
            return Money(joinable[0].authorisation.cap, self._network.token), True
        terms, _ = await self._terms(call, ready, settings)
        return Money(terms.amount, self._network.token), False

    # ------------------------------------------------------------------------------------ reserving

    async def reserve(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> UptoPayment:
        """What the call will be paid with: joined or signed, reserved, on disk, and not sent yet.

        Raises PaymentRefused (LimitExceeded), WalletError, ClockSkew, LedgerError, and what an RPC
        or the host may raise."""
        session = self._joined(call, ready)
        # What the host asks for is known once it was asked.
        cap = None if session is None else Money(session.authorisation.cap, self._network.token)
        call.observer(Progress(Phase.PAY, host=ready.host, cap=cap))
        if session is None:
            return await self._authorise(call, ready, settings)
        joined = session.authorisation
        call.caps.take(joined.nonce, joined.cap - session.spent, self._network.token)
        self._begin(call, ready, session.authorisation)
        session.last_used = utc_now()
        return self._payment(call, ready, session.authorisation, session, session.session_id)

    def _joined(self, call: RunningCall, ready: ReadyHost) -> UptoSession | None:
        """The session that the call joins: the one that it is counted in, or else the oldest."""
        if call.opens_next:
            return None
        joinable = self._joinable(call, ready.host, self._worst(call, ready))
        counted = next((one for one in joinable if id(call) in one.held), None)
        return counted or next(iter(joinable), None)

    def _payment(
        self,
        call: RunningCall,
        ready: ReadyHost,
        authorisation: Authorisation,
        session: UptoSession | None,
        value: Secret[str],
    ) -> UptoPayment:
        return UptoPayment(
            self._network,
            self._ledger,
            self.sessions,
            ready,
            call.path,
            authorisation,
            session,
            value,
        )

    async def _authorise(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> UptoPayment:
        """5 to 7 and the signature: terms, clock, balance, limits, durable intent.  Only a dummy
        has been sent."""
        from opg_magic.protocol.x402 import authorise, payment_header
        from opg_magic.wallet.bounds import Bounds

        terms, server_date = await self._terms(call, ready, settings)
        # Before the wallet is asked: a cap over the limit is no matter of its balance.
        call.limits.check_call(terms.amount, self._network.token)
        call.observer(
            Progress(Phase.PAY, host=ready.host, cap=Money(terms.amount, self._network.token))
        )
        wallet = self.wallet()
        await self._chain.check()
        # What earlier calls came to frees limits and funds.  A slow chain must not hold this one
        # back, and no deadline runs yet.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONCILE_SECONDS):
                await self.reconciler.payments()
        has = await self.read_funds(wallet.address)
        check_clock(utc_now(), chain=has.at, host=server_date, skew=settings.skew)
        authorisation = authorise(
            terms,
            self._network,
            wallet.address,
            now=int(utc_now().timestamp()),
            nonce=int.from_bytes(secrets.token_bytes(32), "big"),
            max_seconds=settings.max_deadline,
        )
        bounds = Bounds.of(
            self._network,
            ready.host,
            max_cap=call.limits.per_call,
            max_seconds=settings.max_deadline,
            payees=settings.payees,
            facilitators=settings.facilitators,
        )
        cap = Money(authorisation.cap, self._network.token)
        held = self._ledger.held(self._network, wallet.address, has.at)
        with call.caps.taking(authorisation, self._network.token):
            self._begin(call, ready, authorisation, funds=has)
        if warning := has.warning(cap, held + cap.amount, self._network):
            call.notes.append(warning)
        payment = self._payment(call, ready, authorisation, None, Secret(""))
        try:
            signature = await asyncio.to_thread(
                wallet.sign_permit, authorisation, self._network, bounds
            )
        except (asyncio.CancelledError, errors.OpgError):
            payment.unsent(call, "it was not signed")
            raise
        return replace(
            payment, value=payment_header(authorisation, signature, terms), signature=signature
        )

    def _begin(
        self,
        call: RunningCall,
        ready: ReadyHost,
        authorisation: Authorisation,
        *,
        funds: Funds | None = None,
    ) -> None:
        """7: the intent, with a new authorisation's whole cap reserved, is on disk before anything
        that can spend.

        ``funds`` of the payer for a new one: within the same transaction they must cover it beside
        all that is open."""
        intent = intent_of(call, ready, self._network, self._call_site(), authorisation)
        self._ledger.begin(intent, reserve=funds is not None, limits=call.limits, funds=funds)
