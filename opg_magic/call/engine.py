"""One call, from prompt to receipt.  The file to read first.

The order is the product (verification, protocol sections 2 to 6):

 1. the prompt becomes bytes, or is refused;
 2. the registry is read at one block, chain id and contract code first;
 3. a host is chosen; its TLS certificate must be exactly the registered one;
 4. its attestation is checked: nothing is paid to what is not attested as listed;
 5. an open session is joined, or the price is asked for with a dummy body, never with the prompt;
 6. terms, clock, balance and limits are checked, and that a receipt of the call can be made;
 7. the intent and the reservation are durable before anything is signed;
 8. the authorisation is signed, the prompt sent, the stream read to the end of the body;
 9. everything is judged, recorded as a receipt, and only then handed out.

Another host is tried only while neither a payment header nor a session id has left this machine.
Nothing here pays twice for one call by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from opg_magic import errors
from opg_magic.call.finishing import Concluder
from opg_magic.call.paying import Covering
from opg_magic.call.readiness import Hosts
from opg_magic.call.reconciling import Reconciler
from opg_magic.call.state import (
    CallOptions,
    EngineSettings,
    Observer,
    Paid,
    ReadyHost,
    RunningCall,
    SessionGone,
    Where,
    kernel_trust,
    utc_now,
)
from opg_magic.models import (
    CHAT_PATH,
    COMPLETION_PATH,
    AgreementEvidence,
    Answer,
    Charge,
    Host,
    Money,
    Phase,
    Progress,
    Prompt,
    Quote,
)
from opg_magic.models.networks import Network
from opg_magic.settings import prices
from opg_magic.wallet.upto import UptoSession, UptoSessions

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.registry import RegistryReader, RegistrySnapshot
    from opg_magic.network.transport import HostPool
    from opg_magic.wallet.chain import PaymentChain
    from opg_magic.wallet.funds import Funds
    from opg_magic.wallet.keys import Wallet

log = logging.getLogger(__name__)

T = TypeVar("T")


class Engine:
    """Calls on one network from one kernel.  All methods run on one event loop."""

    def __init__(
        self,
        *,
        network: Network,
        registry: RegistryReader,
        pool: HostPool,
        chain: PaymentChain,
        wallet: Callable[[], Wallet],
        ledger: Ledger,
        price_list: prices.PriceList,
        where: Callable[[], Where],
    ) -> None:
        self.network = network
        self._registry = registry
        self._pool = pool
        self._chain = chain
        self._ledger = ledger
        self._prices = price_list
        self._hosts = Hosts(network, registry, pool)
        self._sessions = UptoSessions()
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}
        #: What is learnt of calls after they ended.
        self.afterwards = Reconciler(
            network,
            chain,
            ledger,
            live=lambda: [session.authorisation.nonce for session in self._sessions],
        )
        self._concluder = Concluder(
            network,
            ledger,
            price_list,
            where,
            sessions=self._sessions,
            set_aside=self._hosts.set_aside,
            watch=self.afterwards.watch,
        )
        self._covering = Covering(
            network,
            pool,
            chain,
            ledger,
            wallet,
            where,
            unsent=self._concluder.unsent,
            reconcile=self.afterwards.payments,
        )

    @property
    def funds_seen(self) -> Funds | None:
        """The payer's funds as the chain last showed them; None before the first look."""
        return self._covering.funds_seen

    @property
    def set_aside(self) -> dict[str, str]:
        """Hosts that gave a failed answer or were not what they claimed: tee_id -> why.  Not chosen
        until named."""
        return self._hosts.set_aside

    # -------------------------------------------------------------------------------- what one asks

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
        call = self._call(prompt, options, settings, observer)  # 1
        call.observer(Progress(Phase.QUOTE))

        async def attempt(ready: ReadyHost) -> Answer:
            if options.host is not None:
                # Named by the user, and its certificate and attestation are good: it gets another
                # chance.
                self.set_aside.pop(ready.host.tee_id, None)
            return await self._ask_host(call, ready, settings)

        return await self._first_usable(call, options, settings, attempt)

    async def _ask_host(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Answer:
        """One host, through an open session or a new authorisation."""
        session = self._joinable(call, ready.host, ready)
        while True:
            if session is None:
                # Calls that run at once open one session, not one each: the first opens it, the
                # others wait and join.
                async with self._opening_lock(call, ready.host):
                    session = self._joinable(call, ready.host, ready)
                    if session is None:
                        return await self._pay_and_send(call, ready, settings, session=None)
            try:
                return await self._pay_and_send(call, ready, settings, session=session)
            except SessionGone:
                # By the host's word nothing was charged, and no authorisation of this call's own
                # has left.
                call.notes.append(
                    "the host had closed the open session, so a new authorisation was signed"
                )
                session = None

    async def quote(self, prompt: Prompt, options: CallOptions, settings: EngineSettings) -> Quote:
        """Who would answer, and what it would cost.  Nothing is paid or signed, and the prompt is
        not sent."""
        call = self._call(prompt, options, settings, None)

        async def attempt(ready: ReadyHost) -> Quote:
            return await self._quote_of(call, ready, settings)

        return await self._first_usable(call, options, settings, attempt)

    async def _quote_of(
        self, call: RunningCall, ready: ReadyHost, settings: EngineSettings
    ) -> Quote:
        session = self._joinable(call, ready.host, ready)
        if session is None:
            terms, _ = await self._covering.terms(call, ready, settings)
            cap = Money(terms.amount, self.network.token)
        else:
            cap = Money(session.authorisation.cap, self.network.token)
        try:
            # An open payment counts with its whole cap, too: a call that may risk less does not
            # join it.
            call.limits.check_call(cap.amount, cap.token)
        except errors.LimitExceeded as refused:
            call.notes.append(f"{refused.message} {refused.hint}")
        return Quote(
            host=ready.host,
            model=call.prompt.model,
            model_sent=call.model_sent,
            cap=cap,
            price=self._prices.price(call.model_sent),
            estimate=self._worst_cost(call, ready),
            token_usd=ready.token_usd,
            prompt_tokens=prices.estimate_tokens(call.request.canonical),
            max_output_tokens=call.prompt.max_tokens,
            reuses_session=session is not None,
            notes=tuple(call.notes),
        )

    async def cover_all(
        self,
        prompt: Prompt,
        options: CallOptions,
        settings: EngineSettings,
        *,
        count: int,
        observer: Observer,
    ) -> list[Covered]:
        """``count`` calls of one prompt, to hosts of as many owners: all reserved and signed, none
        sent.

        All or nothing: where one cannot be had, the reservations of the others fall to nothing, and
        the reason is raised."""
        snapshot = await self._hosts.snapshot(settings)
        candidates = self._hosts.in_order(snapshot)
        self._hosts.refuse_too_few_rpcs(self._call(prompt, options, settings, None), snapshot)
        covered: list[Covered] = []
        owners: set[str] = set()
        problems: list[str] = []
        too_dear: list[errors.LimitExceeded] = []
        try:
            for host in candidates:
                if len(covered) == count:
                    break
                if host.owner.lower() in owners:
                    continue
                call = self._call(prompt, options, settings, observer if not covered else None)
                try:
                    ready = await self._hosts.make_ready(host, snapshot, settings)
                    paid = await self._cover(
                        call, ready, settings, session=self._joinable(call, host, ready)
                    )
                except errors.LimitExceeded as refused:
                    # Another host may ask for a lower cap; where nothing is left of a limit, none
                    # can.
                    if not refused.room:
                        raise
                    too_dear.append(refused)
                    continue
                except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                    problems.append(f"{host.short_id}: {problem.message}")
                    continue
                owners.add(host.owner.lower())
                covered.append(Covered(self, call, paid, settings))
            if len(covered) < count and too_dear:
                raise min(too_dear, key=lambda refused: refused.cap or 0)
            if len(covered) < count:
                raise self._too_few(snapshot, count, len(covered), problems)
        except BaseException:
            for other in covered:
                self._concluder.unsent(
                    other.call, other.paid, "the calls beside it could not be made"
                )
            raise
        return covered

    def _too_few(
        self, snapshot: RegistrySnapshot, wanted: int, found: int, problems: list[str]
    ) -> errors.HostUnavailable:
        """Why several hosts could not be had: those that refused, those that are set aside, or no
        more owners."""
        aside = {
            host.tee_id: why
            for host in snapshot.hosts
            if (why := self.set_aside.get(host.tee_id)) is not None
        }
        reasons = [
            *problems,
            *(f"{_short(tee_id)} is set aside: {reason}" for tee_id, reason in aside.items()),
        ]
        if not reasons:
            reasons = [f"the registry lists active hosts of {found} owner{'s' * (found != 1)} only"]
        why = "; ".join(reason.rstrip(".") for reason in reasons)
        return errors.HostUnavailable(
            f"{wanted} independent hosts are wanted, {found} can be used: {why}. Nothing was sent.",
            hint=_hint(aside),
        )

    def bind(
        self, answer: Answer, agreement: AgreementEvidence, settings: EngineSettings
    ) -> Answer:
        """The answer with what several hosts' answers have in common: appended to its receipt, and
        judged again."""
        from opg_magic.receipt.document import receipt_of, supplemented
        from opg_magic.receipt.supplements import supplement_json
        from opg_magic.verify.verdict import judge

        notes = answer.notes
        try:
            receipt = self._ledger.supplement(answer.receipt.id, agreement)
        except Exception as problem:
            # Every answer is paid for: the ledger must not keep them from the user.
            why = (
                problem.message
                if isinstance(problem, errors.LedgerError)
                else type(problem).__name__
            )
            receipt = supplemented(receipt_of(answer), {"agreement": supplement_json(agreement)})
            notes = (*notes, f"the comparison of the hosts is not in the ledger: {why}")
        verdict = judge(
            receipt.evidence(), policy=settings.policy, trust=kernel_trust(self.network, settings)
        )
        return replace(answer, receipt=receipt, verdict=verdict, notes=notes)

    async def hosts(
        self, settings: EngineSettings
    ) -> tuple[RegistrySnapshot, dict[str, ReadyHost | errors.OpgError]]:
        """All listed hosts, and for each what came out of checking its certificate and attestation
        just now."""
        snapshot = await self._hosts.snapshot(settings)

        async def one(host: Host) -> ReadyHost | errors.OpgError:
            try:
                return await self._hosts.make_ready(host, snapshot, settings, fresh=True)
            except errors.OpgError as problem:
                if not isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
                    self._hosts.note_down(host)
                return problem

        outcomes = await asyncio.gather(*(one(host) for host in snapshot.hosts))
        return snapshot, {
            host.tee_id: outcome for host, outcome in zip(snapshot.hosts, outcomes, strict=True)
        }

    async def funds(self, address: str) -> tuple[Funds, int]:
        """What an address has now, and what open authorisations may still take of it, in base
        units."""
        await self._chain.check()
        seen = await self._covering.look(address)
        return seen, self._ledger.held(self.network, address, seen.at)

    async def approve(self, wallet: Wallet, amount: int) -> str:
        """Allow Permit2 to move ``amount`` base units in all; returns the transaction's hash."""
        await self._chain.check()
        return (await self._chain.approve(wallet, amount)).tx_hash

    async def aclose(self) -> None:
        """Forget the session ids and close the connections.  Hosts settle an idle session by
        themselves."""
        self._sessions.clear()
        await self.afterwards.aclose()
        await asyncio.gather(
            self._pool.aclose(),
            self._registry.aclose(),
            self._chain.aclose(),
            return_exceptions=True,
        )

    # ------------------------------------------------------------------------- 1: from cell to call

    def _call(
        self,
        prompt: Prompt,
        options: CallOptions,
        settings: EngineSettings,
        observer: Observer | None,
    ) -> RunningCall:
        from opg_magic.protocol import canonical
        from opg_magic.receipt.build import MAX_REQUEST_BYTES
        from opg_magic.receipt.document import new_id
        from opg_magic.verify.policy import combine, policy

        if prompt.messages is None and not prompt.text.strip():
            raise errors.PromptError("the prompt is empty; nothing was sent")
        notes = self._settlement_notes(prompt)
        body = canonical.build_body(prompt)
        if len(body) > MAX_REQUEST_BYTES:
            raise errors.PromptError(
                f"the request is {len(body):,} bytes; at most {MAX_REQUEST_BYTES:,} fit into a "
                f"receipt",
                hint="Nothing was sent.",
            )
        timeout = self._covering.timeout(options, settings)
        return RunningCall(
            id=new_id(),
            created_at=utc_now(),
            prompt=prompt,
            model_sent=canonical.wire_model(prompt.model),
            path=CHAT_PATH if prompt.kind == "chat" else COMPLETION_PATH,
            body=body,
            request=canonical.request_evidence(body, prompt.kind),
            policy=settings.policy
            if options.policy is None
            else combine(settings.policy, policy(options.policy)),
            limits=settings.limits.tightened(options.max_cost),
            timeout=timeout,
            timeout_is_users=options.timeout is not None,
            observer=observer or (lambda _: None),
            notes=notes,
        )

    def _settlement_notes(self, prompt: Prompt) -> list[str]:
        """What becomes public of this call; ConfigError where nothing could be."""
        if prompt.settle == "private":
            return []
        if self.network.settlement_relay is None:
            raise errors.ConfigError(
                f"no settlement relay of {self.network.title} is known, so nothing could be put on "
                f"record there",
                hint="Name it in your own settings (settlement_relay), or leave --settle out.",
            )
        return [
            "its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash"
        ]

    # -------------------------------------------------------------------------- 2 to 4: who answers

    async def _first_usable(
        self,
        call: RunningCall,
        options: CallOptions,
        settings: EngineSettings,
        attempt: Callable[[ReadyHost], Awaitable[T]],
    ) -> T:
        """The outcome of the first host that can be used: a host named by the user, or one after
        the other.

        The next one is tried only while nothing that can spend has left this machine.
        """
        snapshot = await self._hosts.snapshot(settings)
        candidates = self._hosts.in_order(snapshot, options.host)
        if options.host is None:
            # A host with an open session comes first, then one that is opening it: joining needs no
            # new authorisation.
            candidates.sort(
                key=lambda host: (
                    self._joinable(call, host, None) is None,
                    not self._is_opening(call, host),
                )
            )
        self._hosts.refuse_too_few_rpcs(call, snapshot)
        problems: list[str] = []
        too_dear: list[errors.LimitExceeded] = []
        for host in candidates:
            try:
                return await attempt(await self._hosts.make_ready(host, snapshot, settings))
            except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                if isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
                    self.set_aside[host.tee_id] = problem.message
                elif isinstance(problem, errors.HostUnavailable):
                    self._hosts.note_down(host)
                if options.host is not None or call.spendable_left:
                    raise
                if isinstance(problem, errors.LimitExceeded):
                    # Another host may ask for a lower cap; where nothing is left of a limit, none
                    # can.
                    if not problem.room:
                        raise
                    too_dear.append(problem)
                problems.append(f"{host.short_id}: {problem.message}")
                call.notes.append(f"host {host.short_id} was not used: {problem.message}")
        if too_dear:
            raise min(too_dear, key=lambda refused: refused.cap or 0)
        aside = [f"{_short(tee_id)}: {why} (set aside)" for tee_id, why in self.set_aside.items()]
        raise errors.HostUnavailable(
            "no host can be used now; nothing was paid. "
            + "; ".join(dict.fromkeys([*problems, *aside])),
            hint=_hint(self.set_aside),
        )

    def _opening_lock(self, call: RunningCall, host: Host) -> asyncio.Lock:
        return self._opening.setdefault((host.tee_id, call.path), asyncio.Lock())

    def _is_opening(self, call: RunningCall, host: Host) -> bool:
        lock = self._opening.get((host.tee_id, call.path))
        return lock is not None and lock.locked()

    # -------------------------------------------------------------------------- 5, 6: what it costs

    def _worst_cost(self, call: RunningCall, ready: ReadyHost | None) -> Money | None:
        """Cost if the answer is as long as allowed; None where price, token price or length is not
        known."""
        price = self._prices.price(call.model_sent)
        if price is None or ready is None or not ready.token_usd or call.prompt.max_tokens is None:
            return None
        prompt_tokens = prices.estimate_tokens(call.request.canonical)
        return prices.in_token(
            prices.usd(price, prompt_tokens, call.prompt.max_tokens),
            ready.token_usd,
            self.network.token,
        )

    def _joinable(
        self, call: RunningCall, host: Host, ready: ReadyHost | None
    ) -> UptoSession | None:
        session = self._sessions.get(host.tee_id, call.path)
        worst = self._worst_cost(call, ready)
        if session is None or not session.carries(
            utc_now(),
            timeout=call.timeout,
            timeout_is_users=call.timeout_is_users,
            worst_cost=None if worst is None else worst.amount,
        ):
            return None
        return session

    # ------------------------------------------------------------------------------ 8: the exchange

    async def _pay_and_send(
        self,
        call: RunningCall,
        ready: ReadyHost,
        settings: EngineSettings,
        *,
        session: UptoSession | None,
    ) -> Answer:
        paid = await self._cover(call, ready, settings, session=session)
        return await self._send(call, paid, settings)

    async def _cover(
        self,
        call: RunningCall,
        ready: ReadyHost,
        settings: EngineSettings,
        *,
        session: UptoSession | None,
    ) -> Paid:
        """What the call will be paid with: signed or joined, reserved, on disk, and not sent
        yet."""
        self._concluder.rehearse(call, ready)
        # What the host asks for is known once it was asked.
        cap = None if session is None else Money(session.authorisation.cap, self.network.token)
        call.observer(Progress(Phase.PAY, host=ready.host, cap=cap))
        if session is None:
            return await self._covering.authorise(call, ready, settings)
        self._covering.begin(call, ready, session.authorisation)
        session.last_used = utc_now()
        return Paid(
            ready=ready,
            authorisation=session.authorisation,
            session=session,
            path=call.path,
            name="X-Upto-Session",
            value=session.session_id,
        )

    async def _send(self, call: RunningCall, paid: Paid, settings: EngineSettings) -> Answer:
        """The prompt, with what pays for it; the answer to the end of its body; then the
        verdict."""
        from opg_magic.network.exchange import SendCancelled
        from opg_magic.receipt.document import new_id

        host, cap = paid.ready.host, Money(paid.authorisation.cap, self.network.token)
        show_text = not call.policy.withhold_missing

        def on_text(text: str, tokens: int) -> None:
            call.observer(
                Progress(
                    Phase.ANSWER, text=text if show_text else "", tokens=tokens, host=host, cap=cap
                )
            )

        call.observer(Progress(Phase.ANSWER, host=host, cap=cap))
        call.spendable_left = True
        try:
            exchange = await self._pool.client(host).send(
                call.path,
                call.body,
                headers={paid.name: paid.value, "X-SETTLEMENT-TYPE": call.prompt.settle},
                stream=call.prompt.stream and call.prompt.kind == "chat",
                kind=call.prompt.kind,
                on_text=on_text,
                timeout=min(call.timeout, self._time_left(paid)),
            )
        except errors.HostUnavailable as unreached:
            self._concluder.unsent(call, paid, unreached.message)
            unreached.charge = Charge.NONE
            call.spendable_left = False
            call.id = new_id()
            raise
        except SendCancelled as stopped:
            raise self._concluder.stopped(call, paid, settings, stopped.exchange) from None
        call.observer(Progress(Phase.CHECK, host=host, cap=cap))
        return self._concluder.conclude(call, paid, settings, exchange)

    def _time_left(self, paid: Paid) -> float:
        """Seconds in which the answer must have ended, for its settlement to be mined before the
        deadline."""
        if paid.session is not None:
            return paid.session.window(utc_now())
        return max(
            0.0,
            paid.authorisation.deadline - self._covering.timing.settlement - utc_now().timestamp(),
        )


def _hint(aside: Mapping[str, str]) -> str:
    """What to do where no host, or too few, can be had."""
    again = [
        f"A host that is set aside is used again once you name it: --host {tee_id[:10]}"
        for tee_id in aside
    ]
    return ". ".join([*again[:1], "See: %opg hosts"])


def _short(tee_id: str) -> str:
    return f"{tee_id[2:6]}…{tee_id[-4:]}"


@dataclass(frozen=True, slots=True)
class Covered:
    """A call that is reserved and signed, and has not been sent."""

    engine: Engine
    call: RunningCall
    paid: Paid
    settings: EngineSettings

    @property
    def cap(self) -> int:
        """The most that can be charged under what covers it, in base units."""
        return self.paid.authorisation.cap

    def abandon(self, reason: str) -> None:
        """It will not be sent: its reservation falls to nothing."""
        with contextlib.suppress(errors.LedgerError):
            self.engine._concluder.unsent(self.call, self.paid, reason)

    async def send(self) -> Answer:
        """Send it; where the host has closed the session that it was to join, once more under a new
        authorisation."""
        try:
            return await self.engine._send(self.call, self.paid, self.settings)
        except SessionGone:
            return await self.engine._ask_host(self.call, self.paid.ready, self.settings)
