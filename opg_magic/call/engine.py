"""One call, from prompt to receipt.  The file to read first.

The order of these steps protects your money:

 1. the prompt becomes bytes, or is refused (:mod:`~opg_magic.call.starting`);
 2. the registry is read at one block, chain id and contract code first;
 3. a host is chosen; its TLS certificate must be exactly the registered one;
 4. its attestation is checked: nothing is paid to a host that is not attested as listed
    (:mod:`~opg_magic.call.hosts`);
 5. an open payment session is joined, or the price is asked for with a dummy body, never with the
    prompt;
 6. terms, clock, balance and limits are checked, and that a receipt of the call can be made
    (:mod:`~opg_magic.call.rehearsal`);
 7. the intent and the reservation are durable before anything is signed
    (:mod:`~opg_magic.call.paying`);
 8. the authorisation is signed, the prompt sent, the stream read to the end of the body;
 9. everything is judged, recorded as a receipt, and only then handed out
    (:mod:`~opg_magic.call.finishing`).

Another host is tried only while neither a payment header nor a session id has left this machine.
No call is paid twice automatically.  What is specific to one way to the hosts stands behind
:mod:`~opg_magic.call.route`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.costs import prompt_tokens, worst_cost
from opg_magic.call.finishing import Finisher
from opg_magic.call.hosts import KnownHosts
from opg_magic.call.prepared import PreparedCall
from opg_magic.call.rehearsal import Rehearsals
from opg_magic.call.rerun import Reruns
from opg_magic.call.route import Payment, Route
from opg_magic.call.settlements import SettlementFinder
from opg_magic.call.starting import start
from opg_magic.call.state import (
    CallOptions,
    CallSite,
    EngineSettings,
    Observer,
    ReadyHost,
    RunningCall,
    SessionGone,
    TurnTooLate,
)
from opg_magic.call.steps import Steps
from opg_magic.models import Answer, Charge, ModelPrice, Phase, Progress, Prompt, Quote
from opg_magic.models.networks import Network
from opg_magic.network.exchange import SETTLEMENT_TYPE
from opg_magic.settings import prices
from opg_magic.wallet.upto import least_window

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.exchange import RawExchange


class Engine:
    """Calls on one network from one kernel.  All methods run on one event loop."""

    def __init__(
        self,
        *,
        network: Network,
        route: Route,
        ledger: Ledger,
        price_list: prices.PriceList,
        call_site: Callable[[], CallSite],
    ) -> None:
        self.network = network
        self.route = route
        self.ledger = ledger
        self.hosts = KnownHosts(network, route)
        self.settlements = SettlementFinder(network, ledger)
        self.reruns = Reruns(network, ledger)
        self._prices = price_list
        self._call_site = call_site
        self._steps = Steps(ledger.held_up)
        self._rehearsals = Rehearsals(network)
        self._finisher = Finisher(
            network, ledger, self.hosts, call_site=call_site, watch=self.settlements.watch
        )

    async def ask(
        self,
        prompt: Prompt,
        options: CallOptions,
        settings: EngineSettings,
        observer: Observer | None = None,
    ) -> Answer:
        """One paid, checked and recorded call.

        Raises an :class:`opg_magic.errors.OpgError`; where money may have moved, its ``charge``
        says so and the call is in the ledger."""
        call = self.start(prompt, options, settings, observer)  # 1
        call.observer(Progress(Phase.QUOTE))

        async def use(ready: ReadyHost) -> Answer:
            if options.host is not None:
                self.hosts.use_again(ready.host)
            return await self.ask_host(call, ready, settings)

        answer = await self.hosts.first_usable(call, options, settings, use)  # 2 to 9
        return await self.reruns.look(answer, settings, call.policy)

    async def ask_host(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Answer:
        """Steps 5 to 9 with one host.

        Where the host has closed the payment session that the call joined, it charged nothing, and
        the call goes again under a new authorisation.  Where its next session cannot be opened
        ahead, the one that is open goes on."""
        while True:
            try:
                async with self.route.payments.turn(call, ready):
                    return await self.send(await self.prepare(call, ready, settings))
            except TurnTooLate:
                continue
            except errors.OpgError as refused:
                if not self._opens_later(call, refused):
                    raise
            except SessionGone:
                call.notes.append(
                    "the host had closed the open session, so a new authorisation was signed"
                )

    @staticmethod
    def _opens_later(call: RunningCall, refused: errors.OpgError) -> bool:
        """Whether nothing was sent, and the call may do with a session that is open."""
        from opg_magic.receipt.document import new_id

        if not call.opens_next or call.spendable_left or isinstance(refused, errors.CallFailed):
            return False
        # Not tried again for each row.
        call.caps.planned = 0
        call.id = new_id()
        return True

    def start(
        self,
        prompt: Prompt,
        options: CallOptions,
        settings: EngineSettings,
        observer: Observer | None = None,
    ) -> RunningCall:
        """Step 1: the call as bytes.  Raises PromptError, ConfigError; nothing was sent."""
        payments, route = self.route.payments, self.route.name
        payments.admit(prompt)
        timeout = payments.timeout(options, settings)
        call = start(prompt, options, settings, self.network, self._prices, timeout, observer)
        self.reruns.admit(prompt, call.policy)
        if call.policy.route not in (None, route):
            raise errors.ConfigError(
                f"Your policy requires the {call.policy.route} route; this call would take the "
                f"{route} one. Nothing was sent.",
                hint=f"Ask with --route {call.policy.route}.",
            )
        return call

    async def prepare(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> PreparedCall:
        """Steps 5 to 7: a receipt of the call can be made, and it is reserved and signed for.

        Nothing that can spend has been sent.  Raises ConfigError, HostUnavailable, PaymentRefused,
        WalletError, ClockSkew, LedgerError."""
        specimen = self.route.payments.specimen()
        await self._steps.turn()
        call.rehearsed = self._rehearsals.rehearse(call, ready, specimen, self._call_site())
        payment = await self.route.payments.reserve(call, ready, settings)
        return PreparedCall(call, ready, payment, settings)

    async def send(self, prepared: PreparedCall) -> Answer:
        """Steps 8 and 9: the prompt, with what pays for it; the answer to the end of its body; the
        verdict.

        Raises CallFailed where no answer is handed out, SessionGone where the joined session was
        closed, and what the channel raises (HostUnavailable, SignInNeeded, ...) where nothing was
        sent."""
        from opg_magic.network.exchange import SendCancelled
        from opg_magic.receipt.document import new_id

        call, payment = prepared.call, prepared.payment
        host, cap = prepared.ready.host, payment.cap
        show_text = not call.policy.withhold_missing

        def on_text(text: str, tokens: int) -> None:
            shown = text if show_text else ""
            call.observer(Progress(Phase.ANSWER, text=shown, tokens=tokens, host=host, cap=cap))

        call.observer(Progress(Phase.ANSWER, host=host, cap=cap))
        try:
            exchange = await self._carried(prepared, on_text)
        except errors.CallFailed:
            raise
        except errors.OpgError as unsent:
            payment.unsent(call, unsent.message)
            unsent.charge = Charge.NONE
            call.spendable_left = False
            call.id = new_id()
            raise
        except SendCancelled as stopped:
            raise self._finisher.stopped(prepared, stopped.exchange) from None
        call.observer(Progress(Phase.CHECK, host=host, cap=cap))
        # The next prompt leaves before this answer is judged.
        await self._steps.last_turn()
        return self._finisher.finish(prepared, exchange)

    async def _carried(
        self, prepared: PreparedCall, on_text: Callable[[str, int], None]
    ) -> RawExchange:
        """The exchange with the host, once what was written of the call is on the disk, and it is
        the call's turn where only so many run at once."""
        from opg_magic.receipt.document import new_id

        call, payment, prompt = prepared.call, prepared.payment, prepared.call.prompt
        try:
            await self.ledger.on_disk()
            if call.slot is not None:
                await call.slot.acquire()
        except asyncio.CancelledError:
            payment.unsent(call, "it was stopped before it was sent")
            raise
        if call.slot is not None and self._is_too_late(call, payment):
            call.slot.release()
            payment.unsent(call, "its turn came when its payment had too little time left")
            call.id = new_id()
            raise TurnTooLate
        call.spendable_left = True
        try:
            return await self.route.channel(prepared.ready.host).send(
                call.path,
                call.body,
                headers={**payment.headers, SETTLEMENT_TYPE: prompt.settle},
                stream=prompt.stream and prompt.kind == "chat",
                kind=prompt.kind,
                on_text=on_text,
                timeout=min(call.timeout, payment.seconds_left()),
            )
        finally:
            if call.slot is not None:
                call.slot.release()

    @staticmethod
    def _is_too_late(call: RunningCall, payment: Payment) -> bool:
        """Whether a call that has waited for its turn would be cut off, and charged, half-way."""
        least = least_window(call.timeout, timeout_is_users=call.timeout_is_users)
        return payment.seconds_left() < least / 2

    async def quote(self, prompt: Prompt, options: CallOptions, settings: EngineSettings) -> Quote:
        """Who would answer, and what it would cost.  Nothing is paid or signed, and the prompt is
        not sent.

        Raises what :meth:`ask` raises before it sends anything."""
        call = self.start(prompt, options, settings)

        async def use(ready: ReadyHost) -> Quote:
            return await self._quote_of(call, ready, settings)

        return await self.hosts.first_usable(call, options, settings, use)

    async def _quote_of(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Quote:
        cap, joins = await self.route.payments.quote(call, ready, settings)
        try:
            # An open payment counts with its whole cap, too: a call that may risk less does not
            # join it.
            if cap is not None:
                call.limits.check_call(cap.amount, cap.token)
        except errors.LimitExceeded as refused:
            call.notes.append(f"{refused.message} {refused.hint}")
        return Quote(
            host=ready.host,
            model=call.prompt.model,
            model_sent=call.model_sent,
            cap=cap,
            price=call.price,
            estimate=worst_cost(call, ready, self.network.token),
            token_usd=ready.token_usd,
            prompt_tokens=prompt_tokens(call),
            max_output_tokens=call.prompt.max_tokens,
            reuses_session=joins,
            notes=tuple(call.notes),
        )

    def price(self, model: str) -> ModelPrice | None:
        """The list's price of a model, None if it is not known."""
        return self._prices.price(model)

    async def aclose(self) -> None:
        """Stop looking for settlements, and close the route."""
        self.reruns.close()
        await self.settlements.aclose()
        await self.route.aclose()
