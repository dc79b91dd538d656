"""Which hosts may be paid: listed and active in the registry, their certificate seen, their
attestation good."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.state import EngineSettings, ReadyHost, RunningCall, kernel_trust, utc_now
from opg_magic.models import (
    AttestationEvidence,
    Evidence,
    Host,
    RequestEvidence,
    ResponseEvidence,
    Status,
)
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.network.registry import RegistryReader, RegistrySnapshot
    from opg_magic.network.transport import HostPool

#: A host that could not be reached is tried after the others for this long.
DOWN_SECONDS = 60.0


class Hosts:
    """The hosts of one network, as one kernel has seen them."""

    def __init__(self, network: Network, registry: RegistryReader, pool: HostPool) -> None:
        self._network = network
        self._registry = registry
        self._pool = pool
        self._snapshot: RegistrySnapshot | None = None
        self._reading = asyncio.Lock()
        self._order_seed = secrets.randbits(64)
        self._ready: dict[str, ReadyHost] = {}
        #: Hosts that gave a failed answer or were not what they claimed: tee_id -> why.  Not chosen
        #: until named.
        self.set_aside: dict[str, str] = {}
        #: Hosts that could not be reached, and when: tried last for a while.
        self._down: dict[str, datetime] = {}

    async def snapshot(self, settings: EngineSettings) -> RegistrySnapshot:
        """The registry as read at most ``registry_max_age`` ago; an older reading never counts."""
        async with self._reading:
            known = self._snapshot
            if known is None or utc_now() - known.fetched_at > timedelta(
                seconds=settings.registry_max_age
            ):
                known = self._snapshot = await self._registry.snapshot()
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
        usable = [host for host in hosts if host.tee_id not in self.set_aside]
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

    async def make_ready(
        self,
        host: Host,
        snapshot: RegistrySnapshot,
        settings: EngineSettings,
        *,
        fresh: bool = False,
    ) -> ReadyHost:
        """Certificate, attestation, token price: seen at most ``attestation_max_age`` ago, or asked
        for now.

        ``fresh``: now in any case.  Raises HostUnavailable if its gateway is down, among others.
        """
        known = None if fresh else self._ready.get(host.tee_id)
        registry = snapshot.evidence(host.tee_id)
        if known is not None and utc_now() - known.checked_at <= timedelta(
            seconds=settings.attestation_max_age
        ):
            if (
                known.host.public_key == host.public_key
                and known.host.tls_certificate == host.tls_certificate
            ):
                return replace(known, registry=registry, host=host)
            del self._ready[host.tee_id]
        client = self._pool.client(host)
        nonce = secrets.token_bytes(20)
        asked_at = utc_now()
        # The document first: it opens the pinned connection, so a wrong certificate ends here,
        # before anything else.
        document = await client.attestation(nonce)
        attestation = None if document is None else AttestationEvidence(document, nonce, utc_now())
        health = await client.health()
        if health.status is not None and health.status >= 500:
            raise errors.HostUnavailable(
                f"host {host.short_id} is down: it answers {health.status} to /health. Nothing was "
                f"sent."
            )
        ready = ReadyHost(host, registry, client.channel(), attestation, health.price_usd, asked_at)
        self._refuse_unattested(ready, settings)
        self._ready[host.tee_id] = ready
        self._down.pop(host.tee_id, None)
        return ready

    def _refuse_unattested(self, ready: ReadyHost, settings: EngineSettings) -> None:
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
            declared_simulated=self._network.simulated,
        )
        trust = kernel_trust(self._network, settings)
        for check in (attestation.check, registry.check):
            claim = check(evidence, trust)
            missing_counts = claim.status is Status.MISSING and settings.policy.withhold_missing
            if claim.status is Status.FAILED or (
                missing_counts and claim.name in settings.policy.required
            ):
                raise errors.AttestationRefused(
                    f"host {ready.host.short_id} was not paid: {claim.reason or claim.sentence}",
                    hint="The host is set aside in this kernel until you name it (--host); another "
                    "may answer.",
                )
