"""Which host to ask first, and which next."""

from __future__ import annotations

import random

from opg_magic.errors import ConfigError, HostUnavailable, NetworkUnavailable
from opg_magic.models import Host
from opg_magic.network.registry import RegistrySnapshot

#: Fewest hex digits of a host ID that name a host.
MIN_PREFIX = 4


def order_hosts(
    snapshot: RegistrySnapshot,
    *,
    wanted: str | None = None,
    rng: random.Random | None = None,
) -> list[Host]:
    """Return the active hosts in the order in which to try them.

    ``wanted``: a host ID, or the beginning of one (at least 4 hex digits, with or without 0x).
    Then only that host is returned.  Otherwise the order is random, so that no host sees every
    call.

    Raises :class:`ConfigError` for a prefix that names no host or several (it lists them),
    :class:`HostUnavailable` if the named host is not active, :class:`NetworkUnavailable` if no host
    is active.
    """
    active = [host for host in snapshot.hosts if snapshot.evidence(host.tee_id).active]
    if wanted is not None:
        return [_named(snapshot, active, wanted)]
    if not active:
        raise NetworkUnavailable(
            f"no host is active in the registry at block {snapshot.block_number}",
            hint="Nothing was sent.",
        )
    shuffled = active[:]
    (rng or random.SystemRandom()).shuffle(shuffled)
    return shuffled


def _named(snapshot: RegistrySnapshot, active: list[Host], wanted: str) -> Host:
    digits = wanted.strip().lower().removeprefix("0x")
    if (
        len(digits) < MIN_PREFIX
        or len(digits) > 64
        or any(c not in "0123456789abcdef" for c in digits)
    ):
        raise ConfigError(
            f"--host takes a host ID or at least its first {MIN_PREFIX} hex digits, not "
            f"{wanted[:80]!a}",
            hint="%opg hosts lists them.",
        )
    matches = [host for host in snapshot.hosts if host.tee_id.startswith("0x" + digits)]
    if not matches:
        raise ConfigError(
            f"No active host has an ID that begins with {digits}.", hint="%opg hosts lists them."
        )
    if len(matches) > 1:
        names = ", ".join(sorted(host.tee_id for host in matches))
        raise ConfigError(
            f"Several host IDs begin with {digits}: {names}", hint="Give more digits."
        )
    if matches[0] not in active:
        reason = snapshot.evidence(matches[0].tee_id).inactive_reason
        raise HostUnavailable(
            f"host {matches[0].short_id} is not active: {reason}", hint="Nothing was sent."
        )
    return matches[0]
