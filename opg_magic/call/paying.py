"""What will pay for a call: the terms that a host asks for, checked; a reservation on disk; a
signature.

Steps 5 to 7 of a call (:mod:`opg_magic.call.engine`).  Nothing here sends anything that can spend.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.state import (
    CallOptions,
    EngineSettings,
    Paid,
    ReadyHost,
    RunningCall,
    Where,
    utc_now,
)
from opg_magic.models import Authorisation, Money, PaymentTerms, Phase, Progress
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.wallet.funds import Funds, check_clock, read_funds
from opg_magic.wallet.upto import Timing, least_window

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.transport import HostPool
    from opg_magic.wallet.chain import PaymentChain
    from opg_magic.wallet.keys import Wallet

#: How long a new authorisation waits, at most, for what the chain shows of earlier ones.
RECONCILE_SECONDS = 5.0


class Covering:
    """The payments of one engine, up to their signatures."""

    def __init__(
        self,
        network: Network,
        pool: HostPool,
        chain: PaymentChain,
        ledger: Ledger,
        wallet: Callable[[], Wallet],
        where: Callable[[], Where],
        *,
        unsent: Callable[[RunningCall, Paid, str], None],
        reconcile: Callable[[], Awaitable[int]],
    ) -> None:
        """``unsent`` gives a reservation back that was not used; ``reconcile`` asks what earlier
        ones came to."""
        self._network = network
        self._pool = pool
        self._chain = chain
        self._ledger = ledger
        self.wallet = wallet
        self._where = where
        self._unsent = unsent
        self._reconcile = reconcile
        self.timing = Timing(network.session_idle)
        #: The payer's funds as the chain last showed them; None before the first look.
        self.funds_seen: Funds | None = None

    async def look(self, address: str) -> Funds:
        """What an address has now."""
        self.funds_seen = await read_funds(self._chain, address)
        return self.funds_seen

    def timeout(self, options: CallOptions, settings: EngineSettings) -> float:
        """Seconds until the call is given up, which one payment must be able to carry."""
        longest = settings.max_deadline - self.timing.settlement
        asked = options.timeout
        if longest <= 0:
            raise errors.ConfigError(
                f"max_deadline is {settings.max_deadline} s; a host needs "
                f"{self.timing.settlement:g} s of it to settle"
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

    async def terms(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[PaymentTerms, datetime | None]:
        """What the host asks for, if this network allows it; asked with a dummy body, never with
        the prompt."""
        from opg_magic.protocol.x402 import choose_terms

        needed = self.timing.settlement + least_window(
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

    async def authorise(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Paid:
        """5 to 7 and the signature: terms, clock, balance, limits, durable intent.  Only a dummy
        has been sent."""
        from opg_magic.protocol.x402 import authorise, payment_header
        from opg_magic.wallet.bounds import Bounds

        terms, server_date = await self.terms(call, ready, settings)
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
                await self._reconcile()
        has = await self.look(wallet.address)
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
        self.begin(call, ready, authorisation, funds=has)
        if warning := has.warning(cap, held + cap.amount, self._network):
            call.notes.append(warning)
        paid = Paid(ready, authorisation, None, call.path, "PAYMENT-SIGNATURE", Secret(""))
        try:
            signature = await asyncio.to_thread(
                wallet.sign_permit, authorisation, self._network, bounds
            )
        except (asyncio.CancelledError, errors.OpgError):
            self._unsent(call, paid, "it was not signed")
            raise
        return replace(
            paid, value=payment_header(authorisation, signature, terms), signature=signature
        )

    def begin(
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
        from opg_magic.ledger.store import CallIntent

        where = self._where()
        intent = CallIntent(
            id=call.id,
            created_at=call.created_at,
            network=self._network,
            kernel_id=where.kernel_id,
            model=call.prompt.model,
            notebook=where.notebook,
            cell=where.cell,
            tee_id=ready.host.tee_id,
            prompt=call.prompt.text,
            authorisation=authorisation,
        )
        self._ledger.begin(intent, reserve=funds is not None, limits=call.limits, funds=funds)
