"""What hosts ask for now, against your limits; on the private route, what is left of the day."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.doctor.patient import Patient, in_ledger
from opg_magic.models import Money, format_units
from opg_magic.models.diagnosis import Finding, State
from opg_magic.models.prompts import CHAT_PATH

if TYPE_CHECKING:
    from opg_magic.call.state import EngineSettings
    from opg_magic.models import Host, PaymentTerms
    from opg_magic.network.transport import HostPool

#: Most hosts that are asked for their terms.
_MOST_HOSTS = 8


async def terms(patient: Patient) -> Finding:
    """Whether a host can be asked within the limits.  It is asked for terms with a dummy body."""
    snapshot = await patient.snapshot()
    active = [host for host in snapshot.hosts if snapshot.evidence(host.tee_id).active]
    if not active:
        return Finding("terms", State.BLOCKS, "The registry lists no active host.", "opg hosts")
    if patient.route == "private":
        return await _of_the_relay(patient, active)
    return await _of_the_hosts(patient, active[:_MOST_HOSTS])


async def _of_the_relay(patient: Patient, active: list[Host]) -> Finding:
    """No money moves: keys that can be sealed to, and the day's calls and tokens."""
    from opg_magic.call.state import engine_settings
    from opg_magic.network.ohttp_relay import key_of

    network = patient.network
    assert network is not None
    limits = engine_settings(patient.settings, network).relayed
    calls, tokens = await in_ledger(lambda ledger: ledger.relayed_today(network), (0, 0))
    usable, refused = 0, []
    for host in active:
        try:
            key_of(host)
            usable += 1
        except errors.ChannelRefused as problem:
            refused.append(problem.message)
    hosts = f"{usable} of {len(active)} active hosts take sealed requests"
    if not usable:
        return Finding("terms", State.BLOCKS, f"{hosts}. {refused[0]}", "opg hosts")
    used = (
        f"today {calls:,} of {limits.calls_per_day:,} calls and {tokens:,} of "
        f"{limits.tokens_per_day:,} tokens are used"
    )
    for key, left in (
        ("max_calls_per_day", limits.calls_per_day - calls),
        ("max_tokens_per_day", limits.tokens_per_day - tokens),
    ):
        if left <= 0:
            more = max(1, 2 * patient.settings.get(key))
            return Finding("terms", State.BLOCKS, f"{hosts}; {used}.", patient.setting(key, more))
    return Finding("terms", State.GOOD, f"{hosts}; {used}.")


async def _of_the_hosts(patient: Patient, hosts: list[Host]) -> Finding:
    """Caps on offer, against the limits per call, kernel and day."""
    from opg_magic.call.state import engine_settings
    from opg_magic.network.transport import HostPool

    network = patient.network
    assert network is not None
    settings = engine_settings(patient.settings, network)
    pool = HostPool(proxy=network.proxy)
    patient.closing(pool.aclose)
    offers = await asyncio.gather(*(_offer(patient, pool, host, settings) for host in hosts))
    caps = sorted(Money(o.amount, network.token) for o in offers if not isinstance(o, str))
    refusals = list(dict.fromkeys(offer for offer in offers if isinstance(offer, str)))
    if not caps:
        pin = any("facilitator" in why for why in refusals)
        return Finding(
            "terms",
            State.BLOCKS,
            f"0 of {len(hosts)} hosts offer terms that may be signed. {refusals[0]}",
            patient.setting("facilitators", "ADDRESS") if pin else "opg hosts",
        )
    low, high = caps[0], caps[-1]
    asks = f"{len(caps)} of {len(hosts)} hosts offer terms, with a cap of {low}" + (
        "" if low.amount == high.amount else f" to {high}"
    )
    problem = await _beyond_limits(patient, settings, low)
    if problem is not None:
        return Finding("terms", State.BLOCKS, f"{asks}; {problem[0]}.", problem[1])
    limit = Money(settings.limits.per_call, network.token)
    dear = sum(cap.amount > limit.amount for cap in caps)
    says = f"{asks}; your limit is {limit} per call" + (
        f", too low for {dear} of them" * (dear > 0)
    )
    return Finding("terms", State.GOOD, f"{says}.")


async def _offer(
    patient: Patient, pool: HostPool, host: Host, settings: EngineSettings
) -> PaymentTerms | str:
    """The terms of one host that may be signed, or why there are none."""
    from opg_magic.protocol.payment_terms import choose_terms
    from opg_magic.wallet.upto import Timing, least_window

    network = patient.network
    assert network is not None
    needed = Timing(network.session_idle).settlement + least_window(
        settings.timeout, timeout_is_users=False
    )
    try:
        required, _ = await pool.client(host).probe_terms(CHAT_PATH)
        return choose_terms(
            required,
            network,
            host,
            pinned_payees=settings.payees,
            pinned_facilitators=settings.facilitators,
            min_seconds=math.ceil(min(needed, settings.max_deadline)),
        )[0]
    except (errors.HostUnavailable, errors.PaymentRefused) as problem:
        return f"Host {host.short_id}: {problem.message}."


async def _beyond_limits(
    patient: Patient, settings: EngineSettings, cap: Money
) -> tuple[str, str] | None:
    """The limit that the lowest cap exceeds, and the command that raises it; None if it fits."""
    network = patient.network
    assert network is not None
    spent = await in_ledger(lambda ledger: ledger.spending(network, patient.kernel_id), None)
    kernel, day = (0, 0) if spent is None else (spent.kernel_reserved, spent.day_reserved)
    limits = settings.limits
    for key, words, allowed, used in (
        ("max_cost_per_call", "per call", limits.per_call, 0),
        ("max_cost_per_kernel", "per kernel", limits.per_kernel, kernel),
        ("max_cost_per_day", "per day", limits.per_day, day),
    ):
        if used + cap.amount > allowed:
            of = f", of which {Money(used, cap.token)} is used" if used else ""
            enough = format_units(used + cap.amount, network.token.decimals)
            return (
                f"your limit is {Money(allowed, cap.token)} {words}{of}",
                patient.setting(key, enough),
            )
    return None
