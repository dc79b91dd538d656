"""One call, from prompt to receipt.  The file to read first.

The order is the product (verification, protocol sections 2 to 6):

 1. the prompt becomes bytes, or is refused;
 2. the registry is read at one block, chain id and contract code first;
 3. a host is chosen; its TLS certificate must be exactly the registered one;
 4. its attestation is checked: nothing is paid to what is not attested as listed;
 5. an open session is joined, or the price is asked for with a dummy body, never with the prompt;
 6. terms, clock, balance and limits are checked;
 7. the intent and the reservation are durable before anything is signed;
 8. the authorisation is signed, the prompt sent, the stream read to the end of the body;
 9. everything is judged, recorded as a receipt, and only then handed out.

Another host is tried only while neither a payment header nor a session id has left this machine.  Nothing here pays
twice for one call by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic import errors, prices
from opg_magic.models import (
    CHAT_PATH,
    COMPLETION_PATH,
    AgreementEvidence,
    Answer,
    AttestationEvidence,
    Authorisation,
    ChannelEvidence,
    Charge,
    Cost,
    Evidence,
    Host,
    Money,
    PaymentEvidence,
    PaymentTerms,
    Phase,
    Progress,
    Prompt,
    Quote,
    RegistryEvidence,
    RequestEvidence,
    ResponseEvidence,
    Status,
    Trust,
    Verdict,
)
from opg_magic.networks import Network
from opg_magic.reconcile import Reconciler
from opg_magic.secret import Secret
from opg_magic.wallet.upto import SETTLEMENT_SECONDS, UptoSession, UptoSessions

if TYPE_CHECKING:
    from opg_magic.hosts.registry import RegistryReader, RegistrySnapshot
    from opg_magic.hosts.transport import HostPool, RawExchange
    from opg_magic.receipts.ledger import Ledger
    from opg_magic.receipts.receipt import Receipt
    from opg_magic.verify.policy import Policy
    from opg_magic.wallet.chain import PaymentChain
    from opg_magic.wallet.keys import Wallet
    from opg_magic.wallet.limits import Limits

log = logging.getLogger(__name__)

T = TypeVar("T")
Observer = Callable[[Progress], None]

#: How far this machine's clock may be from the payment chain's newest block before signing is refused, in seconds.
#: Deadlines are signed in chain time: with 300 s to live, a minute matters.
CHAIN_CLOCK_SECONDS = 60

#: How long a new authorisation waits, at most, for what the chain shows of earlier ones.
RECONCILE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Where:
    """Where a call was made: kernel, notebook file name and cell number, as far as known."""

    kernel_id: str
    notebook: str | None = None
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call may differ in.  ``max_cost`` in base units; None means the settings' value."""

    host: str | None = None
    network: str | None = None
    max_cost: int | None = None
    policy: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings that an engine works under, read once per call by the session."""

    policy: Policy
    limits: Limits
    timeout: float = 120.0
    skew: float = 300.0
    registry_max_age: float = 60.0
    attestation_max_age: float = 60.0
    pinned_pcrs: frozenset[str] = frozenset()
    payees: tuple[str, ...] = ()
    facilitators: tuple[str, ...] = ()
    allow_public_settlement: bool = False


@dataclass(frozen=True, slots=True)
class ReadyHost:
    """A host that may be paid: listed, its certificate seen, its attestation good, at ``checked_at``."""

    host: Host
    registry: RegistryEvidence
    channel: ChannelEvidence
    attestation: AttestationEvidence | None
    token_usd: Decimal | None
    checked_at: datetime


@dataclass(slots=True)
class _Call:
    """What is known so far of one running call."""

    id: str
    created_at: datetime
    prompt: Prompt
    model_sent: str
    path: str
    body: bytes
    request: RequestEvidence
    policy: Policy
    limits: Limits
    timeout: float
    timeout_is_users: bool
    observer: Observer
    notes: list[str] = field(default_factory=list)
    #: A payment header or a session id may have left this machine for this call.
    spendable_left: bool = False


def _now() -> datetime:
    return datetime.now(UTC)


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
        self._wallet = wallet
        self._ledger = ledger
        self._prices = price_list
        self._where = where
        self._snapshot: RegistrySnapshot | None = None
        self._reading = asyncio.Lock()
        self._order_seed = secrets.randbits(64)
        self._ready: dict[str, ReadyHost] = {}
        self._sessions = UptoSessions()
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}
        #: What is learnt of calls after they ended.
        self.afterwards = Reconciler(
            network, chain, ledger, live=lambda: [session.authorisation.nonce for session in self._sessions]
        )
        #: Hosts that gave a failed answer or were not what they claimed: tee_id -> why.  Not chosen again unless named.
        self.set_aside: dict[str, str] = {}

    # --------------------------------------------------------------------------------------------------- what one asks

    async def ask(
        self, prompt: Prompt, options: CallOptions, settings: EngineSettings, observer: Observer | None = None
    ) -> Answer:
        """One paid, checked and recorded call.

        Raises an :class:`opg_magic.errors.OpgError`; where money may have moved, its ``charge`` says so and the call is
        in the ledger.
        """
        call = self._call(prompt, options, settings, observer)  # 1
        call.observer(Progress(Phase.QUOTE))

        async def attempt(ready: ReadyHost) -> Answer:
            return await self._ask_host(call, ready, settings)

        return await self._first_usable(call, options, settings, attempt)

    async def _ask_host(self, call: _Call, ready: ReadyHost, settings: EngineSettings) -> Answer:
        """One host, through an open session or a new authorisation."""
        session = self._joinable(call, ready.host, ready)
        while True:
            if session is None:
                # Calls that run at once open one session, not one each: the first opens it, the others wait and join.
                async with self._opening_lock(call, ready.host):
                    session = self._joinable(call, ready.host, ready)
                    if session is None:
                        return await self._pay_and_send(call, ready, settings, session=None)
            try:
                return await self._pay_and_send(call, ready, settings, session=session)
            except _SessionGone:
                # By the host's word nothing was charged, and no authorisation of this call's own has left.
                call.notes.append("the host had closed the open session, so a new authorisation was signed")
                session = None

    async def quote(self, prompt: Prompt, options: CallOptions, settings: EngineSettings) -> Quote:
        """Who would answer, and what it would cost.  Nothing is paid or signed, and the prompt is not sent."""
        call = self._call(prompt, options, settings, None)

        async def attempt(ready: ReadyHost) -> Quote:
            return await self._quote_of(call, ready, settings)

        return await self._first_usable(call, options, settings, attempt)

    async def _quote_of(self, call: _Call, ready: ReadyHost, settings: EngineSettings) -> Quote:
        session = self._joinable(call, ready.host, ready)
        if session is None:
            terms, _ = await self._terms(call, ready, settings)
            cap = Money(terms.amount, self.network.token)
        else:
            cap = Money(session.authorisation.cap, self.network.token)
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
        self, prompt: Prompt, options: CallOptions, settings: EngineSettings, *, count: int, observer: Observer
    ) -> list[Covered]:
        """``count`` calls of one prompt, to hosts of as many owners: all reserved and signed, none sent.

        All or nothing: where one cannot be had, the reservations of the others fall to nothing, and the reason is
        raised.
        """
        from opg_magic.hosts.choice import order_hosts

        snapshot = await self._hosts(settings)
        candidates = [
            host
            for host in order_hosts(snapshot, rng=random.Random(self._order_seed))  # noqa: S311
            if host.tee_id not in self.set_aside
        ]
        self._refuse_too_few_rpcs(self._call(prompt, options, settings, None), snapshot)
        covered: list[Covered] = []
        owners: set[str] = set()
        problems: list[str] = []
        try:
            for host in candidates:
                if len(covered) == count:
                    break
                if host.owner.lower() in owners:
                    continue
                call = self._call(prompt, options, settings, observer if not covered else None)
                try:
                    ready = await self._make_ready(host, snapshot, settings)
                    paid = await self._cover(call, ready, settings, session=self._joinable(call, host, ready))
                except errors.LimitExceeded:
                    raise
                except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                    problems.append(f"{host.short_id}: {problem.message}")
                    continue
                owners.add(host.owner.lower())
                covered.append(Covered(self, call, paid, settings))
            if len(covered) < count:
                why = "; ".join(problems) or f"the registry lists no more hosts of different owners than {len(owners)}"
                raise errors.HostUnavailable(
                    f"{count} independent hosts are wanted, {len(covered)} can be used; nothing was sent. {why}",
                    hint="See: %opg hosts",
                )
        except BaseException:
            for other in covered:
                self._record_unsent(other.call, other.paid, "the calls beside it could not be made")
            raise
        return covered

    def bind(self, answer: Answer, agreement: AgreementEvidence, settings: EngineSettings) -> Answer:
        """The answer with what several hosts' answers have in common: appended to its receipt, and judged again."""
        from opg_magic.receipts.receipt import supplement_json, supplemented
        from opg_magic.verify.verdict import judge

        notes = answer.notes
        try:
            receipt = self._ledger.supplement(answer.receipt.id, agreement)
        except errors.LedgerError as problem:
            # Every answer is paid for: the ledger must not keep them from the user.
            receipt = supplemented(answer.receipt, {"agreement": supplement_json(agreement)})
            notes = (*notes, f"the comparison of the hosts is not in the ledger: {problem.message}")
        verdict = judge(receipt.evidence(), policy=settings.policy, trust=self._trust(settings))
        return replace(answer, receipt=receipt, verdict=verdict, notes=notes)

    async def hosts(self, settings: EngineSettings) -> tuple[RegistrySnapshot, dict[str, ReadyHost | errors.OpgError]]:
        """All listed hosts, and for each what came out of checking its certificate and attestation just now."""
        snapshot = await self._hosts(settings)

        async def one(host: Host) -> ReadyHost | errors.OpgError:
            try:
                return await self._make_ready(host, snapshot, settings)
            except errors.OpgError as problem:
                return problem

        outcomes = await asyncio.gather(*(one(host) for host in snapshot.hosts))
        return snapshot, {host.tee_id: outcome for host, outcome in zip(snapshot.hosts, outcomes, strict=True)}

    async def funds(self, address: str) -> tuple[int, int]:
        """Balance and Permit2 allowance of an address, in base units."""
        await self._chain.check()
        balance, allowance = await asyncio.gather(self._chain.balance(address), self._chain.allowance(address))
        return balance, allowance

    async def approve(self, wallet: Wallet, amount: int) -> str:
        """Allow Permit2 to move ``amount`` base units in all; returns the transaction's hash."""
        await self._chain.check()
        return (await self._chain.approve(wallet, amount)).tx_hash

    async def aclose(self) -> None:
        """Forget the session ids and close the connections.  Hosts settle an idle session by themselves."""
        self._sessions.clear()
        await self.afterwards.aclose()
        await asyncio.gather(self._pool.aclose(), self._registry.aclose(), self._chain.aclose(), return_exceptions=True)

    # -------------------------------------------------------------------------------------------- 1: from cell to call

    def _call(self, prompt: Prompt, options: CallOptions, settings: EngineSettings, observer: Observer | None) -> _Call:
        from opg_magic.protocol import canonical
        from opg_magic.receipts.receipt import MAX_REQUEST_BYTES, new_id
        from opg_magic.verify.policy import combine, policy

        if prompt.messages is None and not prompt.text.strip():
            raise errors.PromptError("the prompt is empty; nothing was sent")
        notes = self._settlement_notes(prompt, settings)
        body = canonical.build_body(prompt)
        if len(body) > MAX_REQUEST_BYTES:
            raise errors.PromptError(
                f"the request is {len(body):,} bytes; at most {MAX_REQUEST_BYTES:,} fit into a receipt",
                hint="Nothing was sent.",
            )
        longest = self.network.max_deadline_seconds - SETTLEMENT_SECONDS
        timeout = options.timeout if options.timeout is not None else min(settings.timeout, longest)
        if not 0 < timeout <= longest:
            raise errors.ConfigError(
                f"a time-out of {timeout:g} s cannot be carried by one payment",
                hint=f"Payments are signed for {self.network.max_deadline_seconds} s: use at most {longest} s.",
            )
        limits = settings.limits
        if options.max_cost is not None:
            limits = replace(limits, per_call=min(limits.per_call, options.max_cost))
        return _Call(
            id=new_id(),
            created_at=_now(),
            prompt=prompt,
            model_sent=canonical.wire_model(prompt.model),
            path=CHAT_PATH if prompt.kind == "chat" else COMPLETION_PATH,
            body=body,
            request=canonical.request_evidence(body, prompt.kind),
            policy=settings.policy if options.policy is None else combine(settings.policy, policy(options.policy)),
            limits=limits,
            timeout=timeout,
            timeout_is_users=options.timeout is not None,
            observer=observer or (lambda _: None),
            notes=notes,
        )

    def _settlement_notes(self, prompt: Prompt, settings: EngineSettings) -> list[str]:
        """What becomes public of a call that is put on record; ConfigError where that was not agreed to."""
        if prompt.settle == "private":
            return []
        if self.network.settlement_relay is None:
            raise errors.ConfigError(
                f"no settlement relay of {self.network.title} is known, so nothing could be put on record there",
                hint="Name it in your own settings (settlement_relay), or leave --settle out.",
            )
        if prompt.settle == "individual" and not settings.allow_public_settlement:
            raise errors.ConfigError(
                "--settle individual publishes the whole prompt, and the answer, in plain text, for anyone to read",
                hint="If that is what you want, say so once in your own settings: allow_public_settlement = true."
                " Nothing was sent.",
            )
        if prompt.settle == "individual":
            return ["prompt and answer are published in plain text, as your settings allow"]
        return ["its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash"]

    # --------------------------------------------------------------------------------------------- 2 to 4: who answers

    async def _hosts(self, settings: EngineSettings) -> RegistrySnapshot:
        """The registry as read at most ``registry_max_age`` ago; an older reading never counts."""
        async with self._reading:
            known = self._snapshot
            if known is None or _now() - known.fetched_at > timedelta(seconds=settings.registry_max_age):
                known = self._snapshot = await self._registry.snapshot()
            return known

    async def _first_usable(
        self, call: _Call, options: CallOptions, settings: EngineSettings, attempt: Callable[[ReadyHost], Awaitable[T]]
    ) -> T:
        """The outcome of the first host that can be used: a host named by the user, or one after the other.

        The next one is tried only while nothing that can spend has left this machine.
        """
        from opg_magic.hosts.choice import order_hosts

        snapshot = await self._hosts(settings)
        # One order for all calls of a kernel, so that they share a session; another for the next kernel.
        candidates = order_hosts(snapshot, wanted=options.host, rng=random.Random(self._order_seed))  # noqa: S311
        if options.host is None:
            candidates = [host for host in candidates if host.tee_id not in self.set_aside]
            # A host with an open session comes first, then one that is opening it: joining needs no new authorisation.
            candidates.sort(
                key=lambda host: (self._joinable(call, host, None) is None, not self._is_opening(call, host))
            )
        self._refuse_too_few_rpcs(call, snapshot)
        problems: list[str] = []
        for host in candidates:
            try:
                return await attempt(await self._make_ready(host, snapshot, settings))
            except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                if isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
                    self.set_aside[host.tee_id] = problem.message
                own_limit = isinstance(problem, errors.LimitExceeded)
                if options.host is not None or call.spendable_left or own_limit:
                    raise
                problems.append(f"{host.short_id}: {problem.message}")
                call.notes.append(f"host {host.short_id} was not used: {problem.message}")
        aside = [f"{tee_id[2:6]}…{tee_id[-4:]}: {why} (set aside)" for tee_id, why in self.set_aside.items()]
        raise errors.HostUnavailable(
            "no host can be used now; nothing was paid. " + "; ".join(dict.fromkeys([*problems, *aside])),
            hint="See: %opg hosts",
        )

    def _refuse_too_few_rpcs(self, call: _Call, snapshot: RegistrySnapshot) -> None:
        """A policy that is not met whatever the host answers ends the call before it is paid for."""
        if len(snapshot.rpcs) < call.policy.rpcs:
            raise errors.NetworkUnavailable(
                f"policy {call.policy.name} needs {call.policy.rpcs} RPCs of the registry chain that agree;"
                f" {len(snapshot.rpcs)} answered. Nothing was sent.",
                hint="Name more of them in your settings: registry_rpcs.",
            )

    def _opening_lock(self, call: _Call, host: Host) -> asyncio.Lock:
        return self._opening.setdefault((host.tee_id, call.path), asyncio.Lock())

    def _is_opening(self, call: _Call, host: Host) -> bool:
        lock = self._opening.get((host.tee_id, call.path))
        return lock is not None and lock.locked()

    async def _make_ready(self, host: Host, snapshot: RegistrySnapshot, settings: EngineSettings) -> ReadyHost:
        """Certificate, attestation, token price: seen at most ``attestation_max_age`` ago, or asked for now."""
        known = self._ready.get(host.tee_id)
        registry = snapshot.evidence(host.tee_id)
        if known is not None and _now() - known.checked_at <= timedelta(seconds=settings.attestation_max_age):
            if known.host.public_key == host.public_key and known.host.tls_certificate == host.tls_certificate:
                return replace(known, registry=registry, host=host)
            del self._ready[host.tee_id]
        client = self._pool.client(host)
        nonce = secrets.token_bytes(20)
        asked_at = _now()
        # The document first: it opens the pinned connection, so a wrong certificate ends here, before anything else.
        document = await client.attestation(nonce)
        attestation = None if document is None else AttestationEvidence(document, nonce, _now())
        health = await client.health()
        ready = ReadyHost(host, registry, client.channel(), attestation, health.price_usd, asked_at)
        self._refuse_unattested(ready, settings)
        self._ready[host.tee_id] = ready
        return ready

    def _refuse_unattested(self, ready: ReadyHost, settings: EngineSettings) -> None:
        """Before money: an attestation that was offered and is bad, or a registry entry that is not active, ends it."""
        from opg_magic.verify import attestation, registry

        now = _now()
        evidence = Evidence(
            request=RequestEvidence("chat", "", "", ""),
            response=ResponseEvidence(False, None, None, None, None, "", 0),
            sent_at=now,
            received_at=now,
            signing_key=ready.host.public_key,
            host=ready.host,
            attestation=ready.attestation,
            registry=ready.registry,
            channel=ready.channel,
            declared_simulated=self.network.simulated,
        )
        trust = self._trust(settings)
        for check in (attestation.check, registry.check):
            claim = check(evidence, trust)
            missing_counts = claim.status is Status.MISSING and settings.policy.withhold_missing
            if claim.status is Status.FAILED or (missing_counts and claim.name in settings.policy.required):
                raise errors.AttestationRefused(
                    f"host {ready.host.short_id} was not paid: {claim.reason or claim.sentence}",
                    hint="The host is set aside in this kernel; another may answer.",
                )

    def _trust(self, settings: EngineSettings) -> Trust:
        return Trust(
            simulated_roots=self.network.simulated_roots,
            pinned_pcrs=settings.pinned_pcrs,
            skew_seconds=settings.skew,
            reader=False,
            asked=frozenset({"registry", "channel"}),
            registry=(self.network.registry_chain_id, self.network.registry_address),
            relay=(self.network.registry_chain_id, relay) if (relay := self.network.settlement_relay) else None,
            relay_senders=frozenset(self.network.settlement_senders),
            now=_now(),
        )

    # --------------------------------------------------------------------------------------------- 5, 6: what it costs

    def _worst_cost(self, call: _Call, ready: ReadyHost | None) -> Money | None:
        """Cost if the answer is as long as allowed; None where price, token price or length is not known."""
        price = self._prices.price(call.model_sent)
        if price is None or ready is None or not ready.token_usd or call.prompt.max_tokens is None:
            return None
        prompt_tokens = prices.estimate_tokens(call.request.canonical)
        return prices.in_token(
            prices.usd(price, prompt_tokens, call.prompt.max_tokens), ready.token_usd, self.network.token
        )

    def _joinable(self, call: _Call, host: Host, ready: ReadyHost | None) -> UptoSession | None:
        session = self._sessions.get(host.tee_id, call.path)
        worst = self._worst_cost(call, ready)
        if session is None or not session.carries(
            _now(),
            timeout=call.timeout,
            timeout_is_users=call.timeout_is_users,
            worst_cost=None if worst is None else worst.amount,
        ):
            return None
        return session

    async def _terms(
        self, call: _Call, ready: ReadyHost, settings: EngineSettings
    ) -> tuple[PaymentTerms, datetime | None]:
        """What the host asks for, if this network allows it; asked with a dummy body, never with the prompt."""
        from opg_magic.protocol.x402 import choose_terms

        required, server_date = await self._pool.client(ready.host).probe_terms(call.path)
        terms, notes = choose_terms(
            required,
            self.network,
            ready.host,
            pinned_payees=settings.payees,
            pinned_facilitators=settings.facilitators,
        )
        call.notes.extend(notes)
        return terms, server_date

    async def _authorise(self, call: _Call, ready: ReadyHost, settings: EngineSettings) -> _Paid:
        """5 to 7 and the signature: terms, clock, balance, limits, durable intent.  Only a dummy has been sent."""
        from opg_magic.protocol.x402 import authorise, payment_header

        terms, server_date = await self._terms(call, ready, settings)
        wallet = self._wallet()
        await self._check_clock_and_funds(wallet.address, terms.amount, server_date, settings)
        # What earlier calls came to frees limits.  A slow chain must not hold this one back, and no deadline runs yet.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONCILE_SECONDS):
                await self.afterwards.payments()
        authorisation = authorise(
            terms,
            self.network,
            wallet.address,
            now=int(_now().timestamp()),
            nonce=int.from_bytes(secrets.token_bytes(32), "big"),
        )
        self._begin(call, ready, authorisation, new=True)
        paid = _Paid(ready, authorisation, None, call.path, "PAYMENT-SIGNATURE", Secret(""))
        try:
            signature = await asyncio.to_thread(wallet.sign_permit, authorisation, self.network)
        except (asyncio.CancelledError, errors.OpgError):
            self._record_unsent(call, paid, "it was not signed")
            raise
        return replace(paid, value=payment_header(authorisation, signature, terms))

    async def _check_clock_and_funds(
        self, payer: str, cap: int, server_date: datetime | None, settings: EngineSettings
    ) -> None:
        await self._chain.check()
        clock, balance, allowance = await asyncio.gather(
            self._chain.clock(), self._chain.balance(payer), self._chain.allowance(payer)
        )
        for name, theirs, bound in (
            ("the payment chain's newest block", clock, CHAIN_CLOCK_SECONDS),
            ("the host's Date header", server_date, max(settings.skew, 1.0)),
        ):
            if theirs is None:
                continue
            off = (_now() - theirs).total_seconds()
            if abs(off) > bound:
                raise errors.ClockSkew(
                    f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {name};"
                    " nothing was signed",
                    hint="Set the clock, then run the cell again.",
                )
        wanted = Money(cap, self.network.token)
        if balance < cap:
            raise errors.WalletError(
                f"the wallet holds {Money(balance, self.network.token)}; an authorisation needs {wanted}",
                hint=f"Send {self.network.token.symbol} to {payer}. Nothing was signed.",
            )
        if allowance < cap:
            raise errors.WalletError(
                f"Permit2 may take {Money(allowance, self.network.token)} from the wallet; a call needs {wanted}",
                hint=f"Approve it once: opg wallet approve 5 --network {self.network.name}. Nothing was signed.",
            )

    def _begin(self, call: _Call, ready: ReadyHost, authorisation: Authorisation, *, new: bool) -> None:
        """7: the intent, with a new authorisation's whole cap reserved, is on disk before anything that can spend."""
        from opg_magic.receipts.ledger import CallIntent

        where = self._where()
        intent = CallIntent(
            id=call.id,
            created_at=call.created_at,
            network=self.network,
            kernel_id=where.kernel_id,
            model=call.prompt.model,
            notebook=where.notebook,
            cell=where.cell,
            tee_id=ready.host.tee_id,
            prompt=call.prompt.text,
            authorisation=authorisation,
        )
        self._ledger.begin(intent, reserve=new, limits=call.limits)

    # ------------------------------------------------------------------------------------------------- 8: the exchange

    async def _pay_and_send(
        self, call: _Call, ready: ReadyHost, settings: EngineSettings, *, session: UptoSession | None
    ) -> Answer:
        paid = await self._cover(call, ready, settings, session=session)
        return await self._send(call, paid, settings)

    async def _cover(
        self, call: _Call, ready: ReadyHost, settings: EngineSettings, *, session: UptoSession | None
    ) -> _Paid:
        """What the call will be paid with: signed or joined, reserved, on disk, and not sent yet."""
        cap = Money(self.network.max_cap if session is None else session.authorisation.cap, self.network.token)
        call.observer(Progress(Phase.PAY, host=ready.host, cap=cap))
        if session is None:
            return await self._authorise(call, ready, settings)
        self._begin(call, ready, session.authorisation, new=False)
        session.last_used = _now()
        return _Paid(
            ready=ready,
            authorisation=session.authorisation,
            session=session,
            path=call.path,
            name="X-Upto-Session",
            value=session.session_id,
        )

    async def _send(self, call: _Call, paid: _Paid, settings: EngineSettings) -> Answer:
        """The prompt, with what pays for it; the answer to the end of its body; then the verdict."""
        from opg_magic.hosts.transport import SendCancelled
        from opg_magic.receipts.receipt import new_id

        host, cap = paid.ready.host, Money(paid.authorisation.cap, self.network.token)
        show_text = not call.policy.withhold_missing

        def on_text(text: str, tokens: int) -> None:
            call.observer(Progress(Phase.ANSWER, text=text if show_text else "", tokens=tokens, host=host, cap=cap))

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
            self._record_unsent(call, paid, unreached.message)
            unreached.charge = Charge.NONE
            call.spendable_left = False
            call.id = new_id()
            raise
        except SendCancelled as stopped:
            raise self._stopped(call, paid, settings, stopped.exchange) from None
        call.observer(Progress(Phase.CHECK, host=host, cap=cap))
        return self._conclude(call, paid, settings, exchange)

    def _time_left(self, paid: _Paid) -> float:
        """Seconds in which the answer must have ended, for its settlement to be mined before the deadline."""
        if paid.session is not None:
            return paid.session.window(_now())
        return max(0.0, paid.authorisation.deadline - SETTLEMENT_SECONDS - _now().timestamp())

    def _record_unsent(self, call: _Call, paid: _Paid, reason: str) -> None:
        """Nothing has left: a new authorisation cannot be used by anyone, so its reservation falls to nothing."""
        if paid.session is None:
            self._ledger.release(paid.authorisation.nonce, 0, {"how": "the signature never left this machine"})
        self._ledger.record(call.id, "ended", {"charge": Charge.NONE.value, "reason": reason})

    # -------------------------------------------------------------------------------------------------- 9: the verdict

    def _conclude(self, call: _Call, paid: _Paid, settings: EngineSettings, exchange: RawExchange) -> Answer:
        """Judge, record, and hand out or withhold."""
        from opg_magic.receipts.receipt import new_id

        if exchange.status == 402 and paid.session is not None:
            self._sessions.drop(paid.session)
            reason = "the host answered 402: its session was closed"
            self._ledger.record(call.id, "session-gone", {"charge": Charge.NONE.value, "reason": reason})
            call.id = new_id()
            raise _SessionGone
        charge = _charge(exchange)
        cost = self._cost(call, paid, exchange, charge)
        verdict, receipt = self._judge_and_save(call, paid, settings, exchange, charge, cost)
        self._keep_session(paid, exchange, cost)
        call.observer(Progress(Phase.DONE, host=paid.ready.host))
        problem = exchange.response.problem
        # Complete but unsigned is an answer all the same, with the verdict that it deserves; a policy may withhold it.
        unusable = problem is not None and problem.code != "unsigned"
        if charge is Charge.UNKNOWN or unusable or verdict.withheld:
            raise self._failure(call, paid, exchange, charge, cost, verdict, receipt)
        if call.prompt.settle != "private":
            self.afterwards.watch(receipt.id)
        return replace(receipt.answer(), notes=tuple(call.notes))

    def _judge_and_save(
        self,
        call: _Call,
        paid: _Paid,
        settings: EngineSettings,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
    ) -> tuple[Verdict, Receipt]:
        """From here on nothing can be cancelled: what was paid for is kept, whatever fails on this machine."""
        from opg_magic.receipts.receipt import build_receipt, signature_of
        from opg_magic.verify.verdict import judge

        ready = paid.ready
        evidence = Evidence(
            request=call.request,
            response=exchange.response,
            sent_at=exchange.sent_at,
            received_at=exchange.received_at,
            signing_key=ready.host.public_key,
            host=ready.host,
            attestation=ready.attestation,
            registry=ready.registry,
            channel=ready.channel,
            payment=PaymentEvidence(
                network=f"eip155:{self.network.payment_chain_id}",
                authorisation=paid.authorisation,
                token=self.network.token,
                first_call=paid.session is None,
                charge=charge,
                estimate=cost.amount,
            ),
            declared_simulated=self.network.simulated,
            settlement_mode=call.prompt.settle,
        )
        verdict: Verdict | None = None
        unjudged = ""
        try:
            signature = signature_of(exchange.response.frame)
            seen_in = () if signature is None else tuple(self._ledger.find_signature(signature))
            evidence = replace(evidence, signature_seen_in=seen_in)
            verdict = judge(evidence, policy=call.policy, trust=self._trust(settings))
        except Exception as problem:
            # What was paid for is kept all the same; without a verdict it is not handed out.
            unjudged = problem.message if isinstance(problem, errors.OpgError) else type(problem).__name__
            log.warning("an answer could not be checked", exc_info=not isinstance(problem, errors.OpgError))
        where = self._where()
        receipt = build_receipt(
            id=call.id,
            created_at=call.created_at,
            network=self.network,
            prompt=call.prompt,
            evidence=evidence,
            verdict=verdict,
            cost=cost,
            kernel=where.kernel_id,
            notebook=where.notebook,
            cell=where.cell,
            model_sent=call.model_sent,
            secrets=[s for s in (exchange.session, paid.session.session_id if paid.session else None) if s],
        )
        kept_aside = self._ledger.keep(receipt)
        if kept_aside is not None:
            call.notes.append(kept_aside)
        if verdict is None:
            if paid.session is not None:
                self._sessions.drop(paid.session)
            raise errors.CallFailed(
                f"the call could not be checked on this machine ({unjudged}), so its answer is not handed out",
                hint=f"What came is in its receipt: opg show {receipt.id} --json",
                charge=charge,
                receipt_id=receipt.id,
                receipt=receipt,
                cost=cost,
            )
        if verdict.failed_claims and exchange.complete:
            if paid.session is not None:
                self._sessions.drop(paid.session)
            self.set_aside[ready.host.tee_id] = verdict.failed_claims[0].reason or verdict.failed_claims[0].sentence
        return verdict, receipt

    def _cost(self, call: _Call, paid: _Paid, exchange: RawExchange, charge: Charge) -> Cost:
        """Usage x price / token price: the host's figure, not signed.  None where a factor is not known."""
        price = self._prices.price(call.model_sent)
        usage = exchange.response.usage or {}
        token_usd = paid.ready.token_usd
        cap = Money(paid.authorisation.cap, self.network.token)
        amount, in_usd = None, None
        if charge is Charge.NONE:
            amount = Money(0, self.network.token)
        elif price is not None and {"prompt_tokens", "completion_tokens"} <= usage.keys():
            in_usd = prices.usd(price, usage["prompt_tokens"], usage["completion_tokens"])
            amount = prices.in_token(in_usd, token_usd, self.network.token) if token_usd else None
            if amount is not None and amount.amount > cap.amount:
                # Whatever the host counts, no more than the cap can be taken.
                amount = cap
        return Cost(amount=amount, cap=cap, usd=in_usd, price=price, token_usd=token_usd, charge=charge)

    def _keep_session(self, paid: _Paid, exchange: RawExchange, cost: Cost) -> None:
        """A session that the host opened or charged is kept for later calls, in memory only."""
        session = paid.session
        if session is None:
            if exchange.session is None or not exchange.complete:
                return
            if paid.ready.host.tee_id in self.set_aside:
                return
            session = UptoSession(
                paid.ready.host.tee_id, paid.path, exchange.session, paid.authorisation, exchange.received_at
            )
            self._sessions.put(session)
        if cost.charge is Charge.UNKNOWN or cost.amount is None:
            # What was spent from it is not known any more, so whether a next call fits is not either.
            self._sessions.drop(session)
            return
        session.spent += cost.amount.amount
        session.calls += 1
        session.last_used = exchange.received_at

    def _stopped(self, call: _Call, paid: _Paid, settings: EngineSettings, exchange: RawExchange) -> errors.CallFailed:
        """The user's stop, or a cancelled await: written down like any other end."""
        charge = Charge.UNKNOWN if exchange.header_sent else Charge.NONE
        if charge is Charge.NONE:
            self._record_unsent(call, paid, "it was stopped before it was sent")
            return errors.CallFailed("stopped before anything that can spend was sent", charge=charge)
        cost = self._cost(call, paid, exchange, charge)
        verdict, receipt = self._judge_and_save(call, paid, settings, exchange, charge, cost)
        self._keep_session(paid, exchange, cost)
        return self._failure(call, paid, exchange, charge, cost, verdict, receipt)

    def _failure(
        self,
        call: _Call,
        paid: _Paid,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
        verdict: Verdict,
        receipt: Receipt,
    ) -> errors.CallFailed:
        """The error that says what happened, whether it was charged, and where the record is."""
        problem = exchange.response.problem
        known: dict[str, Any] = {
            "charge": charge,
            "receipt_id": receipt.id,
            "verdict": verdict,
            "receipt": receipt,
            "cost": cost,
        }
        cap = Money(paid.authorisation.cap, self.network.token)
        host = paid.ready.host.short_id
        if charge is Charge.UNKNOWN and problem is not None and problem.code in ("timeout", "interrupted"):
            return errors.CallFailed(
                f"payment unknown: {problem.message}. The host may have taken up to {cap} for it.",
                hint="It is not paid again by itself. The sum stays reserved until the chain shows what was taken.",
                **known,
            )
        if problem is not None and problem.code in ("host-failure", "http-status"):
            kept = f" The signed authorisation of up to {cap} stays reserved until its deadline." * (
                paid.session is None and exchange.status == 402
            )
            return errors.HostReportsFailure(
                f"host {host} reports a failure: {problem.message}. By its word nothing was charged.{kept}", **known
            )
        failed = verdict.failed_claims
        if failed:
            return errors.AnswerWithheld(
                f"answer withheld: {failed[0].reason or failed[0].sentence}",
                hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
                **known,
            )
        why = "; ".join(verdict.because) or (problem.message if problem else "it did not verify")
        return errors.AnswerWithheld(
            f"answer withheld under policy {verdict.policy}: {why}",
            hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
            **known,
        )


@dataclass(frozen=True, slots=True)
class _Paid:
    """What covers a call: an open session that it joins, or an authorisation of its own (``session`` None).

    ``name`` and ``value`` are the header that spends.
    """

    ready: ReadyHost
    authorisation: Authorisation
    session: UptoSession | None
    path: str
    name: str
    value: Secret[str]


@dataclass(frozen=True, slots=True)
class Covered:
    """A call that is reserved and signed, and has not been sent."""

    engine: Engine
    call: _Call
    paid: _Paid
    settings: EngineSettings

    @property
    def cap(self) -> int:
        """The most that can be charged under what covers it, in base units."""
        return self.paid.authorisation.cap

    def abandon(self, reason: str) -> None:
        """It will not be sent: its reservation falls to nothing."""
        with contextlib.suppress(errors.LedgerError):
            self.engine._record_unsent(self.call, self.paid, reason)

    async def send(self) -> Answer:
        """Send it; where the host has closed the session that it was to join, once more under a new authorisation."""
        try:
            return await self.engine._send(self.call, self.paid, self.settings)
        except _SessionGone:
            return await self.engine._ask_host(self.call, self.paid.ready, self.settings)


class _SessionGone(Exception):
    """The host answered that the joined session is expired or exhausted: nothing charged for this call."""


def _charge(exchange: RawExchange) -> Charge:
    """What the exchange says of the money: hosts charge complete 2xx answers only (protocol section 3)."""
    problem = exchange.response.problem
    if not exchange.header_sent:
        return Charge.NONE
    if exchange.status is None or not exchange.complete:
        return Charge.UNKNOWN
    if not 200 <= exchange.status < 300 or (problem is not None and problem.code == "host-failure"):
        return Charge.NONE
    return Charge.CHARGED
