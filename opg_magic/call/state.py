"""A call on its way: what was asked for, under which settings, who may answer, what pays."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from opg_magic.call.caps import Caps
from opg_magic.models import (
    AttestationEvidence,
    ChannelEvidence,
    Host,
    ModelPrice,
    Progress,
    Prompt,
    RegistryEvidence,
    RequestEvidence,
    SealedEvidence,
    Trust,
    arguments,
)
from opg_magic.models.networks import Network
from opg_magic.models.prompts import RouteName
from opg_magic.protocol.x402 import MAX_SECONDS
from opg_magic.settings.limits import RELAYED_KEYS, RelayedLimits

if TYPE_CHECKING:
    from opg_magic.settings.config import Settings
    from opg_magic.settings.limits import Limits
    from opg_magic.verify.policy import Policy

Observer = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class CallSite:
    """Where a call was made: kernel, notebook file name and cell number, as far as known."""

    kernel_id: str
    notebook: str | None = None
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call may set for itself; None means the settings' value.

    ``max_cost`` in base units, ``timeout`` in seconds; ``fresh``: pay also for what this notebook
    asked before.  Raises ArgumentError."""

    host: str | None = None
    network: str | None = None
    max_cost: int | None = None
    policy: str | None = None
    timeout: float | None = None
    route: RouteName | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        canonical = {
            "host": arguments.optional_text("host", self.host),
            "network": arguments.optional_text("network", self.network),
            "max_cost": None
            if self.max_cost is None
            else arguments.whole("max_cost", self.max_cost, 0, 2**256 - 1),
            "policy": None
            if self.policy is None
            else arguments.choice("policy", self.policy, arguments.POLICIES),
            "route": None
            if self.route is None
            else arguments.choice("route", self.route, arguments.ROUTES),
            "fresh": arguments.flag("fresh", self.fresh),
            "timeout": None
            if self.timeout is None
            else arguments.number("timeout", self.timeout, 0.1, math.inf, unit="seconds"),
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings that an engine works under, read once per call by the session.

    ``timeout``, ``skew`` and the two ages are in seconds."""

    policy: Policy
    limits: Limits
    timeout: float = 120.0
    #: The longest deadline that is signed, in seconds; a shorter offer is signed as it is.
    max_deadline: int = MAX_SECONDS
    skew: float = 300.0
    registry_max_age: float = 60.0
    attestation_max_age: float = 60.0
    pinned_pcrs: frozenset[str] = frozenset()
    payees: tuple[str, ...] = ()
    facilitators: tuple[str, ...] = ()
    #: The share of answers whose open weights are run again, from 0 to 1.
    weights: float = 0.0
    #: Of the private route, where no money moves; without any, nothing is allowed there.
    relayed: RelayedLimits = field(default_factory=lambda: RelayedLimits(0, 0))


@dataclass(frozen=True, slots=True)
class ReadyHost:
    """A host that may be asked: listed, its certificate seen, its attestation good, at
    ``checked_at``.  On the private route its key is known instead (``sealed``)."""

    host: Host
    registry: RegistryEvidence
    channel: ChannelEvidence | None
    attestation: AttestationEvidence | None
    token_usd: Decimal | None
    checked_at: datetime
    sealed: SealedEvidence | None = None
    #: Why the host could not be asked for its attestation; only on the private route.
    unattested: str | None = None


@dataclass(slots=True)
class RunningCall:
    """What is known so far of one running call.

    ``timeout`` in seconds; ``price`` that of ``model_sent``, None if it is not known."""

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
    price: ModelPrice | None
    observer: Observer
    notes: list[str] = field(default_factory=list)
    #: A payment header or a session id may have left this machine for this call.
    spendable_left: bool = False
    #: What this call and others have authorised together.
    caps: Caps = field(default_factory=Caps)
    #: Held while the call is with its host, where only so many are at once.
    slot: asyncio.Semaphore | None = None
    #: It opens its host's next payment session, while the one before still carries others.
    opens_next: bool = False
    #: The rehearsed receipt's bytes: all that would be public of the call but its answer.
    rehearsed: bytes = b""


def policy_of(settings: EngineSettings, options: CallOptions) -> Policy:
    """What must pass for a call: the settings' policy, tightened by the call's own."""
    from opg_magic.verify.policy import combine, policy

    own = options.policy
    return settings.policy if own is None else combine(settings.policy, policy(own))


def engine_settings(settings: Settings, network: Network) -> EngineSettings:
    """The user's settings as a call on this network needs them."""
    from opg_magic.settings.values import rerun_share
    from opg_magic.verify.policy import policy, requiring

    get = settings.get
    wanted = get("required_route")
    # Pins are of reviewed real builds: a simulated one is not among them, and need not be.
    pins = frozenset() if network.simulated else frozenset(get("pinned_pcrs"))
    return EngineSettings(
        policy=requiring(
            policy(get("policy")), get("required_claims"), None if wanted == "any" else wanted
        ),
        limits=limits_of(settings),
        timeout=get("timeout"),
        max_deadline=int(get("max_deadline")),
        skew=get("skew"),
        registry_max_age=get("registry_max_age"),
        attestation_max_age=get("attestation_max_age"),
        pinned_pcrs=pins,
        payees=get("payees"),
        facilitators=get("facilitators"),
        weights=rerun_share(get("weights")),
        relayed=RelayedLimits(
            **{name: get(key) for name, key in RELAYED_KEYS.items()},
            origins={name: settings.origin(key) for name, key in RELAYED_KEYS.items()},
        ),
    )


def limits_of(settings: Settings) -> Limits:
    """The user's spending limits, each with the place that sets it."""
    from opg_magic.settings.limits import LIMIT_KEYS, Limits

    return Limits(
        **{name: settings.get(key) for name, key in LIMIT_KEYS.items()},
        origins={name: settings.origin(key) for name, key in LIMIT_KEYS.items()},
    )


def reader_trust(settings: Settings) -> Trust:
    """What this user relies on when reading someone's receipt: pinned roots and PCRs, the own
    simulation's root."""
    from opg_magic.network import simnet_client

    return Trust(
        simulated_roots=simnet_client.own_roots(),
        pinned_pcrs=frozenset(settings.get("pinned_pcrs")),
        skew_seconds=settings.get("skew"),
        payees=frozenset(settings.get("payees")),
        reader=True,
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


def kernel_trust(network: Network, settings: EngineSettings) -> Trust:
    """What the kernel that makes the calls relies on: it asks registry and channel itself."""
    return Trust(
        simulated_roots=network.simulated_roots,
        pinned_pcrs=settings.pinned_pcrs,
        skew_seconds=settings.skew,
        reader=False,
        asked=frozenset({"registry", "channel"}),
        registry=(network.registry_chain_id, network.registry_address),
        relay=(network.registry_chain_id, relay) if (relay := network.settlement_relay) else None,
        relay_senders=frozenset(network.settlement_senders),
        payees=frozenset({*network.payees, *settings.payees}),
        now=utc_now(),
    )


class SessionGone(Exception):
    """The host has closed the payment session that the call joined.  The call was not charged."""


class TurnTooLate(Exception):
    """The call waited for its turn until its payment had too little time left.  Nothing was sent;
    it goes again."""
