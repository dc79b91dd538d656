"""Steps 2 to 4 of a call: which hosts may be used, in which order, and why the others may not.

A host may be used if the registry lists it as active, its certificate is the registered one and its
attestation is good."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from opg_magic import errors
from opg_magic.call.state import (
    CallOptions,
    EngineSettings,
    ReadyHost,
    RunningCall,
    kernel_trust,
    utc_now,
)
from opg_magic.models import (
    AttestationEvidence,
    ChannelEvidence,
    Evidence,
    Host,
    RequestEvidence,
    ResponseEvidence,
    SealedEvidence,
    Status,
)
from opg_magic.models.networks import Network
from opg_magic.network.exchange import NoSealingKey, RelayUnavailable

if TYPE_CHECKING:
    from opg_magic.call.route import Channel, Route
    from opg_magic.models import RegistryEvidence
    from opg_magic.network.registry import RegistrySnapshot
    from opg_magic.verify.policy import Policy

T = TypeVar("T")

#: A host that could not be reached is tried after the others for this long.
DOWN_SECONDS = 60.0


class KnownHosts:
    """The hosts of one network, as one kernel has seen them.

    Owns the last reading of the registry, what was checked of each host, and which are skipped."""

    def __init__(self, network: Network, route: Route) -> None:
        self._network = network
        self._route = route
        self._snapshot: RegistrySnapshot | None = None
        self._reading = asyncio.Lock()
        self._order_seed = secrets.randbits(64)
        self._ready: dict[str, ReadyHost] = {}
        self._set_aside: dict[str, str] = {}
        #: Hosts that could not be reached, and when: tried last for a while.
        self._down: dict[str, datetime] = {}

    @property
    def set_aside(self) -> Mapping[str, str]:
        """Skipped hosts: tee_id -> why.  Their answer failed, or they were not what the registry
        says; none is chosen until the user names it."""
        return MappingProxyType(self._set_aside)

    def skip(self, host: Host, why: str) -> None:
        """Do not choose this host again until the user names it."""
        self._set_aside[host.tee_id] = why

    def use_again(self, host: Host) -> None:
        """The user named the host, and its certificate and attestation are good."""
        self._set_aside.pop(host.tee_id, None)

    async def snapshot(self, settings: EngineSettings) -> RegistrySnapshot:
        """The registry as read at most ``registry_max_age`` ago; an older reading never counts."""
        async with self._reading:
            known = self._snapshot
            if known is None or utc_now() - known.fetched_at > timedelta(
                seconds=settings.registry_max_age
            ):
                known = self._snapshot = await self._route.directory.snapshot()
            return known

    def in_order(self, snapshot: RegistrySnapshot, wanted: str | None = None) -> list[Host]:
        """Hosts to be tried, one after the other: the one named by the user, or all that are not
        set aside."""
        from opg_magic.network.host_order import order_hosts

        # One order for all calls of a kernel, so that they share a session; another for the next
        # kernel.
        hosts = order_hosts(snapshot, wanted=wanted, rng=random.Random(self._order_seed))  # noqa: S311
        if wanted is not None:
            return hosts
        since = utc_now() - timedelta(seconds=DOWN_SECONDS)
        usable = [host for host in hosts if host.tee_id not in self._set_aside]
        return sorted(usable, key=lambda host: self._down.get(host.tee_id, since) > since)

    def note_down(self, host: Host) -> None:
        """It could not be reached: others come first for a while, and what was seen of it counts no
        more."""
        self._down[host.tee_id] = utc_now()
        self._ready.pop(host.tee_id, None)

    @staticmethod
    def refuse_too_few_rpcs(call: RunningCall, snapshot: RegistrySnapshot) -> None:
        """A policy that is not met whatever the host answers ends the call before it is paid
        for."""
        if len(snapshot.rpcs) < call.policy.rpcs:
            raise errors.NetworkUnavailable(
                f"policy {call.policy.name} needs {call.policy.rpcs} RPCs of the registry chain "
                f"that agree;"
                f" {len(snapshot.rpcs)} answered. Nothing was sent.",
                hint="Name more of them in your settings: registry_rpcs.",
            )

    async def first_usable(
        self,
        call: RunningCall,
        options: CallOptions,
        settings: EngineSettings,
        use: Callable[[ReadyHost], Awaitable[T]],
    ) -> T:
        """What ``use`` returns for the first host that can be used: the one that the user named, or
        one after the other.

        The next one is tried only while nothing that can spend has left this machine.  Raises
        HostUnavailable, LimitExceeded, or what ``use`` raises of a call that was sent."""
        snapshot = await self.snapshot(settings)
        candidates = self.in_order(snapshot, options.host)
        if options.host is None:
            candidates.sort(key=lambda host: self._route.payments.preference(call, host))
        self.refuse_too_few_rpcs(call, snapshot)
        problems: list[str] = []
        too_dear: list[errors.LimitExceeded] = []
        waiting: deque[Host | ReadyHost] = deque(candidates)
        while waiting:
            turn = waiting.popleft()
            host = turn if isinstance(turn, Host) else turn.host
            try:
                ready = turn
                if isinstance(ready, Host):
                    ready = await self.check(ready, snapshot, settings, policy=call.policy)
                    if ready.unattested and any(isinstance(other, Host) for other in waiting):
                        # Another one may be able to prove more.
                        waiting.append(ready)
                        continue
                note_unattested(call, ready)
                return await use(ready)
            except RelayUnavailable:
                # No host is the reason, and none can be reached through it.
                raise
            except (errors.HostUnavailable, errors.PaymentRefused) as problem:
                self._remember(host, problem)
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
        aside = [f"{_short(tee_id)}: {why} (skipped)" for tee_id, why in self._set_aside.items()]
        raise errors.HostUnavailable(
            "no host can be used now; nothing was paid. "
            + "; ".join(dict.fromkeys([*problems, *aside])),
            hint=_hint(self._set_aside),
        )

    def _remember(self, host: Host, problem: errors.OpgError) -> None:
        """What later calls should know: the host is not what the registry says, or it is down."""
        if isinstance(problem, NoSealingKey):
            return  # neither of the two, and the registry may list a key later
        if isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
            self.skip(host, problem.message)
        elif isinstance(problem, errors.HostUnavailable):
            self.note_down(host)

    def too_few(
        self, snapshot: RegistrySnapshot, wanted: int, found: int, problems: list[str]
    ) -> errors.HostUnavailable:
        """Why several hosts could not be had: those that refused, those that are skipped, or no
        more owners."""
        aside = {
            host.tee_id: why
            for host in snapshot.hosts
            if (why := self._set_aside.get(host.tee_id)) is not None
        }
        reasons = [
            *problems,
            *(f"{_short(tee_id)} is skipped: {reason}" for tee_id, reason in aside.items()),
        ]
        if not reasons:
            reasons = [f"the registry lists active hosts of {found} owner{'s' * (found != 1)} only"]
        why = "; ".join(reason.rstrip(".") for reason in reasons)
        return errors.HostUnavailable(
            f"{wanted} independent hosts are wanted, {found} can be used: {why}. Nothing was sent.",
            hint=_hint(aside),
        )

    async def survey(
        self, settings: EngineSettings
    ) -> tuple[RegistrySnapshot, dict[str, ReadyHost | errors.OpgError]]:
        """All listed hosts, each checked now: tee_id -> the host, or why it cannot be used.

        Raises NetworkUnavailable where the registry cannot be read."""
        snapshot = await self.snapshot(settings)

        async def one(host: Host) -> ReadyHost | errors.OpgError:
            try:
                return await self.check(host, snapshot, settings, fresh=True)
            except errors.OpgError as problem:
                if not isinstance(problem, (errors.ChannelRefused, errors.AttestationRefused)):
                    self.note_down(host)
                return problem

        outcomes = await asyncio.gather(*(one(host) for host in snapshot.hosts))
        return snapshot, {
            host.tee_id: outcome for host, outcome in zip(snapshot.hosts, outcomes, strict=True)
        }

    async def check(
        self,
        host: Host,
        snapshot: RegistrySnapshot,
        settings: EngineSettings,
        *,
        fresh: bool = False,
        policy: Policy | None = None,
    ) -> ReadyHost:
        """Certificate, attestation, token price: seen at most ``attestation_max_age`` ago, or asked
        for now.

        ``fresh``: now in any case.  ``policy``: the call's, the settings' unless given.  Raises
        HostUnavailable if its gateway is down, among others.
        """
        policy = policy or settings.policy
        registry = snapshot.evidence(host.tee_id)
        known = None if fresh else self._seen_lately(host, registry, settings)
        if known is not None:
            if known.attestation is None:
                # An earlier call may have required less.
                self._refuse_unattested(known, settings, policy)
            return known
        channel = self._route.channel(host)
        nonce = secrets.token_bytes(20)
        asked_at = utc_now()
        # The document first: it opens the pinned connection, so a wrong certificate ends here,
        # before anything else.
        document, unattested = await self._document(channel, nonce)
        attestation = None if document is None else AttestationEvidence(document, nonce, utc_now())
        health = await channel.health()
        if health.status is not None and health.status >= 500:
            raise errors.HostUnavailable(
                f"host {host.short_id} is down: it answers {health.status} to /health. Nothing was "
                f"sent."
            )
        seen = channel.channel()
        ready = ReadyHost(
            host,
            registry,
            None if isinstance(seen, SealedEvidence) else seen,
            attestation,
            health.price_usd,
            asked_at,
            sealed=seen if isinstance(seen, SealedEvidence) else None,
            unattested=unattested,
        )
        self._refuse_unattested(ready, settings, policy)
        self._ready[host.tee_id] = ready
        if unattested is None:
            self._down.pop(host.tee_id, None)
        else:
            self._down[host.tee_id] = utc_now()
        return ready

    def _seen_lately(
        self, host: Host, registry: RegistryEvidence, settings: EngineSettings
    ) -> ReadyHost | None:
        """What was checked of the host, if that is recent and the same host still."""
        known = self._ready.get(host.tee_id)
        oldest = utc_now() - timedelta(seconds=settings.attestation_max_age)
        if known is None or known.checked_at < oldest:
            return None
        if (
            known.host.public_key != host.public_key
            or known.host.tls_certificate != host.tls_certificate
            or known.host.ohttp_config != host.ohttp_config
        ):
            del self._ready[host.tee_id]
            return None
        # The relay is that of the sign-in as it is now.
        sealed = None if known.sealed is None else self._route.channel(host).channel()
        assert not isinstance(sealed, ChannelEvidence)
        return replace(known, registry=registry, host=host, sealed=sealed)

    async def _document(self, channel: Channel, nonce: bytes) -> tuple[bytes | None, str | None]:
        """The host's attestation; without one, why it could not be asked.

        On the private route the host itself need not be reachable: the relay is, and its answer is
        signed all the same.  A host that is not what the registry says is refused on both."""
        try:
            return await channel.attestation(nonce), None
        except (errors.ChannelRefused, errors.AttestationRefused):
            raise
        except errors.HostUnavailable as problem:
            if self._route.name != "private":
                raise
            return None, problem.message.removesuffix(" Nothing was sent.").rstrip(".")

    def _refuse_unattested(
        self, ready: ReadyHost, settings: EngineSettings, policy: Policy
    ) -> None:
        """Before money: an attestation that was offered and is bad, or a registry entry that is not
        active, ends it."""
        from opg_magic.verify import attestation, registry

        now = utc_now()
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
            sealed=ready.sealed,
            declared_simulated=self._network.simulated,
        )
        trust = kernel_trust(self._network, settings)
        for check in (attestation.check, registry.check):
            claim = check(evidence, trust)
            missing_counts = claim.status is Status.MISSING and policy.withhold_missing
            if claim.status is Status.FAILED or (missing_counts and claim.name in policy.required):
                if ready.unattested is not None and claim.status is Status.MISSING:
                    # Not to be set aside: it may only be out of reach.
                    raise errors.HostUnavailable(
                        f"policy {policy.name} needs an attestation, and {ready.unattested}"
                    )
                raise errors.AttestationRefused(
                    f"host {ready.host.short_id} was not paid: {claim.reason or claim.sentence}",
                    hint="This kernel skips the host until you name it with --host. Another "
                    "host may answer.",
                )


def note_unattested(call: RunningCall, ready: ReadyHost) -> None:
    """Say with the answer why there is no attestation."""
    if ready.unattested is not None:
        call.notes.append(f"the host could not be asked for its attestation: {ready.unattested}")


def _hint(aside: Mapping[str, str]) -> str:
    """What to do where no host, or too few, can be had."""
    again = [
        f"A skipped host is used again once you name it: --host {tee_id[:10]}" for tee_id in aside
    ]
    return ". ".join([*again[:1], "See: %opg hosts"])


def _short(tee_id: str) -> str:
    return f"{tee_id[2:6]}…{tee_id[-4:]}"
