"""Is anything reached: the network, this machine's clock, the RPCs of both chains."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opg_magic import errors
from opg_magic.call.doctor import patient as patients
from opg_magic.call.doctor.patient import Patient
from opg_magic.models.diagnosis import Finding, State
from opg_magic.models.proxy import proxy_for

if TYPE_CHECKING:
    from opg_magic.network.rpc import Block, Rpc

_SET_CLOCK = {"linux": "sudo timedatectl set-ntp true", "darwin": "sudo sntp -sS time.apple.com"}


async def network(patient: Patient) -> Finding:
    """Whether the RPCs, or the proxy in front of them, take a connection."""
    if patient.simulated:
        return _simulated(patient)
    found = patient.network
    assert found is not None
    urls = [*found.registry_rpcs]
    urls += found.payment_rpcs if patient.route == "direct" else ()
    places = {
        place_of(url if (way := proxy_for(url, found.proxy)) is None else way.url) for url in urls
    }
    reached = await asyncio.gather(*(connects(*place) for place in places))
    through = "" if found.proxy is None else f" Your proxy is {found.proxy.label}."
    failed = [why for why in reached if why is not None]
    count = f"{len(places) - len(failed)} of {len(places)}"
    if not failed:
        return Finding("network", State.GOOD, f"{found.title}: {count} places reached.{through}")
    ignored = any("HTTPS_PROXY" in note.upper() for note in patient.settings.notes)
    return Finding(
        "network",
        State.BLOCKS if len(failed) == len(places) else State.MEND,
        f"{found.title}: {count} places reached. {'; '.join(failed)}.{through}"
        + (" HTTPS_PROXY is set and not used." if ignored else "")
        + (" If you are behind a proxy, name it." if found.proxy is None else ""),
        # Which RPC does not answer stands in the lines of the RPCs.
        mend=patient.setting("proxy", "http://NAME:PORT") if found.proxy is None else None,
    )


def _simulated(patient: Patient) -> Finding:
    from opg_magic.network import simnet_client

    missing = simnet_client.missing_packages()
    if patient.network is not None:
        return Finding("network", State.GOOD, "The simulated network runs on this machine.")
    if missing:
        return Finding(
            "network",
            State.BLOCKS,
            f"The simulated network needs {', '.join(missing)}.",
            mend=simnet_client.install_hint().removeprefix("Install it with: "),
        )
    return Finding(
        "network", State.GOOD, "The simulated network does not run; the first call starts it."
    )


def place_of(url: str) -> tuple[str, int]:
    """Name and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def connects(host: str, port: int) -> str | None:
    """None if a connection is taken there, else why not."""
    try:
        async with asyncio.timeout(patients.RPC_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{host}:{port} does not answer"
    except OSError as problem:
        # gaierror: the name is not known, or there is no way out to ask.
        why = "its name is not found" if type(problem).__name__ == "gaierror" else "refused"
        return f"{host}:{port}: {why}"
    writer.close()
    return None


async def clock(patient: Patient) -> Finding:
    """This machine's clock against the newest block of a chain."""
    from opg_magic.wallet.funds import CHAIN_CLOCK_SECONDS

    skew = float(patient.settings.get("skew"))
    try:
        theirs, whose = await patient.chain().clock(), "the payment chain's newest block"
        # Deadlines are signed in the payment chain's time.
        bound = CHAIN_CLOCK_SECONDS if patient.route == "direct" else skew
    except errors.NetworkUnavailable:
        snapshot = await patient.snapshot()
        theirs, whose, bound = snapshot.block_time, "the registry's newest block", skew
    off = (datetime.now(UTC) - theirs).total_seconds()
    side = "ahead of" if off > 0 else "behind"
    says = f"{abs(off):.0f} s {side} {whose}; {bound:.0f} s are allowed."
    if abs(off) <= bound:
        return Finding("clock", State.GOOD, says)
    return Finding("clock", State.BLOCKS, says, mend=_SET_CLOCK.get(sys.platform, "w32tm /resync"))


async def registry_rpcs(patient: Patient) -> Finding:
    """The RPCs from which the hosts are read."""
    from opg_magic.call.state import engine_settings

    found = patient.network
    assert found is not None
    return await _rpcs(
        patient,
        "registry RPCs",
        found.registry_rpcs,
        found.registry_chain_id,
        {"registry": found.registry_address},
        needed=max(1, engine_settings(patient.settings, found).policy.rpcs),
    )


async def payment_rpcs(patient: Patient) -> Finding:
    """The RPCs of the chain on which the wallet pays."""
    found = patient.network
    assert found is not None
    if patient.route == "private":
        return Finding("payment RPCs", State.IDLE, "The relay pays, so they are not asked.")
    places = {
        "token": found.token.address,
        "Permit2": found.permit2,
        "proxy": found.upto_proxy,
    }
    return await _rpcs(
        patient, "payment RPCs", found.payment_rpcs, found.payment_chain_id, places, needed=1
    )


async def _rpcs(
    patient: Patient,
    name: str,
    urls: tuple[str, ...],
    chain_id: int,
    places: dict[str, str],
    *,
    needed: int,
) -> Finding:
    """Reachable, on the right chain, with our contracts, and of one mind about the newest block
    that all of them have."""
    from opg_magic.network.rpc_group import RpcGroup

    found = patient.network
    assert found is not None
    group = RpcGroup(urls, timeout=patients.RPC_SECONDS, failure=name, proxy=found.proxy)
    patient.closing(group.aclose)
    heads, silent, wrong = await _heads(group.rpcs, chain_id, places, f"{found.title} needs")
    if len(heads) > 1 and not wrong and (why := await _disagreement(heads)) is not None:
        wrong.append(why)
    said = "".join(f" {problem}." for problem in (*wrong, *silent))
    count = f"{len(heads)} of {len(urls)} answer"
    mend = patient.setting(name.replace(" ", "_").lower(), "URL")
    if wrong or not heads:
        return Finding(name, State.BLOCKS, f"{count}.{said}", mend)
    if len(heads) < needed:
        return Finding(
            name, State.BLOCKS, f"{count}; your policy needs {needed} that agree.{said}", mend
        )
    newest = f"chain {chain_id}, block {min(head.number for head in heads.values()):,}"
    agree = " and agree" if len(heads) > 1 else ""
    return Finding(
        name,
        State.MEND if silent else State.GOOD,
        f"{count}{agree} ({newest}).{said}",
        mend if silent else None,
    )


async def _heads(
    rpcs: tuple[Rpc, ...], chain_id: int, places: dict[str, str], needs: str
) -> tuple[dict[Rpc, Block], list[str], list[str]]:
    """The newest block of each RPC that gives one; why others are silent; which are wrong."""
    from opg_magic.network.rpc import RpcError
    from opg_magic.network.rpc_group import checked_head

    answers = await asyncio.gather(
        *(checked_head(rpc, chain_id, places, needs=needs) for rpc in rpcs), return_exceptions=True
    )
    heads: dict[Rpc, Block] = {}
    silent: list[str] = []
    wrong: list[str] = []
    for rpc, answer in zip(rpcs, answers, strict=True):
        if isinstance(answer, errors.WrongChain):
            wrong.append(answer.message)
        elif isinstance(answer, errors.NetworkUnavailable):
            silent.append(answer.message)
        elif isinstance(answer, RpcError):
            silent.append(f"RPC {rpc.label} answers with an error")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            heads[rpc] = answer
    return heads, silent, wrong


async def _disagreement(heads: dict[Rpc, Block]) -> str | None:
    """In what the RPCs differ about the newest block that all of them have; None if in nothing."""
    from opg_magic.network.registry import MAX_HEAD_GAP
    from opg_magic.network.rpc_group import agreed

    times = [head.timestamp for head in heads.values()]
    if max(times) - min(times) > MAX_HEAD_GAP:
        return f"Their newest blocks are {max(times) - min(times)} s apart: one is behind, or lies"
    number = min(head.number for head in heads.values())
    blocks = await asyncio.gather(*(rpc.block(number) for rpc in heads))
    try:
        agreed(dict(zip(heads, blocks, strict=True)), f"block {number}")
    except errors.RpcsDisagree as differ:
        return differ.message
    return None
