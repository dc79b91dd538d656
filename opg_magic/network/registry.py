"""The host registry as read from one or more RPCs: every answer belongs to one block, and they must
agree.

Source: the registry's ABI.  Guards against attacks 5 to 8 of docs/trust.md.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opg_magic.errors import NetworkUnavailable, RpcsDisagree, WrongChain
from opg_magic.models import Host, RegistryEvidence
from opg_magic.models.networks import Network
from opg_magic.network.abi import Function, function
from opg_magic.network.rpc import Block, Rpc, RpcError
from opg_magic.network.rpc_group import RpcGroup, agreed, checked_head

#: Type of a host that answers prompts (1 would be a validator).
LLM_PROXY = 0
#: A host's ID in lower case.
_TEE_ID = re.compile("0x[0-9a-f]{64}")

#: Seconds after which a silent host stops being active, where the contract does not say.
DEFAULT_HEARTBEAT_MAX_AGE = 1800
#: Reasons for which a host is not active that somebody decided.
REVOKED = ("disabled", "PCR revoked", "not listed")
#: The newest blocks of two RPCs may be this many seconds apart; beyond that, one of them does not
#: follow the chain.
MAX_HEAD_GAP = 300


@dataclass(frozen=True, slots=True)
class PcrRecord:
    """Approval of one measurement: ``version`` as the registry names it."""

    approved: bool
    version: str


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """All active hosts at one block, and who said so.

    ``rpcs`` are host labels of the RPCs that agreed.  ``heartbeat_max_age`` is in seconds.  Times
    are aware UTC; ``fetched_at`` is this machine's."""

    hosts: tuple[Host, ...]
    chain_id: int
    contract: str
    block_number: int
    block_hash: str
    block_time: datetime
    rpcs: tuple[str, ...]
    fetched_at: datetime
    pcrs: dict[str, PcrRecord] = field(default_factory=dict)
    heartbeat_max_age: int = DEFAULT_HEARTBEAT_MAX_AGE

    def evidence(self, tee_id: str) -> RegistryEvidence:
        """Return what this snapshot says of one host.  One that is missing is ``not listed``."""
        entry = next((h for h in self.hosts if h.tee_id == tee_id.lower()), None)
        record = self.pcrs.get(entry.pcr_hash) if entry is not None else None
        reason = inactive_reason(
            entry,
            record.approved if record else None,
            self.heartbeat_max_age,
            int(self.block_time.timestamp()),
        )
        return RegistryEvidence(
            chain_id=self.chain_id,
            contract=self.contract,
            block_number=self.block_number,
            block_hash=self.block_hash,
            block_time=self.block_time,
            entry=entry,
            active=reason is None,
            pcr_approved=record.approved if record else None,
            pcr_version=record.version if record else None,
            rpcs=self.rpcs,
            inactive_reason=reason,
        )


def inactive_reason(
    entry: Host | None, pcr_approved: bool | None, max_age: int, block_time: int
) -> str | None:
    """Return why a host is not active at a block, None if it is.

    Active means: enabled, its build approved, and its last heartbeat at most ``max_age`` seconds
    before ``block_time`` (Unix seconds)."""
    if entry is None:
        return "not listed"
    if not entry.enabled:
        return "disabled"
    if pcr_approved is False:
        return "PCR revoked"
    # The contract counts a heartbeat of exactly that age as young enough.
    if block_time - entry.last_heartbeat_at > max_age:
        return "heartbeat too old"
    return None


@dataclass(frozen=True, slots=True)
class _View:
    """What one RPC said of one block."""

    block: Block
    hosts: tuple[Host, ...]
    pcrs: dict[str, PcrRecord]
    max_age: int


class RegistryReader:
    """Reads one network's host registry.  Close it with :meth:`aclose`."""

    def __init__(self, network: Network, *, timeout: float = 10.0) -> None:
        """``timeout``: seconds for one RPC to answer everything that one method asks of it."""
        self._network = network
        self._timeout = timeout
        self._group = RpcGroup(
            network.registry_rpcs,
            timeout=timeout,
            proxy=network.proxy,
            failure="registry unreachable",
            hint="Nothing was sent.",
        )

    async def aclose(self) -> None:
        """Close the connections to the RPCs."""
        await self._group.aclose()

    async def snapshot(self) -> RegistrySnapshot:
        """Return all active hosts, at the newest block that every answering RPC has.

        Raises :class:`WrongChain` if an RPC serves another chain or no contract is at the address
        (before anything else is asked), :class:`RpcsDisagree` if two RPCs differ on that block,
        :class:`NetworkUnavailable` if none answers."""
        heads = await self._heads()
        first, last = (f(heads.items(), key=lambda h: h[1].timestamp) for f in (min, max))
        if last[1].timestamp - first[1].timestamp > MAX_HEAD_GAP:
            raise RpcsDisagree(
                f"RPC {first[0].label} ends at block {first[1].number} of {first[1].time:%H:%M:%S} "
                f"UTC, RPC {last[0].label} at block {last[1].number} of {last[1].time:%H:%M:%S} "
                f"UTC",
                hint="Nothing was sent. One of them is behind, or lies.",
            )
        number = min(block.number for block in heads.values())
        return await self._agreed(heads, number, self._active)

    async def at_block(self, tee_id: str, number: int) -> RegistryEvidence:
        """Return what the registry said of one host at an earlier block: active or not, and why
        not.

        Raises like :meth:`snapshot`, and :class:`NetworkUnavailable` if no RPC keeps the state of
        that block."""
        tee_id = tee_id.lower()

        async def one(rpc: Rpc, block: Block) -> _View:
            return await self._entry(rpc, block, tee_id)

        return (await self._agreed(await self._heads(), number, one)).evidence(tee_id)

    async def revoked_since(self, tee_id: str, number: int) -> str | None:
        """Return what became of a host that was active at an earlier block, with the day; None if
        it was not revoked.

        ``PCR revoked on 2026-05-06 12:00 UTC``: its build was revoked, or the host was disabled or
        removed, as the registry stands now.  A host that is merely silent is not revoked.  If the
        RPCs do not keep the state of the blocks between, the answer says ``by`` instead of ``on``.
        Raises like :meth:`at_block`."""
        last = min(block.number for block in (await self._heads()).values())
        if last <= number:
            return None
        now = await self.at_block(tee_id, last)
        if now.inactive_reason not in REVOKED:
            return None
        first, word = number, "on"
        try:
            while now.block_number - first > 1:
                middle = await self.at_block(tee_id, (first + now.block_number) // 2)
                if middle.inactive_reason in REVOKED:
                    now = middle
                else:
                    first = middle.block_number
        except WrongChain:
            raise
        except NetworkUnavailable:
            word = "by"
        return f"{now.inactive_reason} {word} {now.block_time:%Y-%m-%d %H:%M} UTC"

    # ------------------------------------------------------------------------------------ many RPCs

    async def _heads(self) -> dict[Rpc, Block]:
        """The RPCs that answer, each on the right chain with the contract there, and their newest
        blocks."""
        network = self._network

        async def head(rpc: Rpc) -> Block:
            return await checked_head(
                rpc,
                network.registry_chain_id,
                {"registry": network.registry_address},
                needs=f"the registry of {network.title} is on",
            )

        return await self._group.ask_all(head, within=self._timeout)

    async def _agreed(
        self,
        heads: dict[Rpc, Block],
        number: int,
        read: Callable[[Rpc, Block], Awaitable[_View]],
    ) -> RegistrySnapshot:
        """One block as every RPC shows it.  Its hash is looked at before and after reading."""

        async def view(rpc: Rpc) -> _View:
            before = heads[rpc] if heads[rpc].number == number else await rpc.block(number)
            seen = await read(rpc, before)
            after = await rpc.block(number)
            if after.hash != before.hash:
                raise NetworkUnavailable(
                    f"RPC {rpc.label} replaced block {number} while it was being read"
                )
            return seen

        views = await self._group.ask_all(view, of=heads, within=self._timeout)
        hint = "Nothing was sent. One of them lies."
        block = agreed(
            {rpc: seen.block for rpc, seen in views.items()},
            f"block {number}",
            shown=lambda block: block.hash,
            hint=hint,
        )
        seen = agreed(views, f"the hosts or their builds at block {number}", hint=hint)
        return RegistrySnapshot(
            hosts=seen.hosts,
            chain_id=self._network.registry_chain_id,
            contract=self._network.registry_address,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.time,
            rpcs=tuple(rpc.label for rpc in views),
            fetched_at=datetime.now(UTC),
            pcrs=seen.pcrs,
            heartbeat_max_age=seen.max_age,
        )

    # --------------------------------------------------------------------------- one RPC, one block

    async def _active(self, rpc: Rpc, block: Block) -> _View:
        raw, max_age = await asyncio.gather(
            self._call(rpc, block, function("registry", "getActiveTEEs"), LLM_PROXY),
            self._max_age(rpc, block),
        )
        entries = _decode_entries(rpc, "getActiveTEEs", raw)
        # A key names a host: a second entry for it would only be another word for the same one.
        hosts = tuple({host.tee_id: host for host in map(_host, entries)}.values())
        return _View(block, hosts, await self._pcrs(rpc, block, hosts), max_age)

    async def _entry(self, rpc: Rpc, block: Block, tee_id: str) -> _View:
        max_age = await self._max_age(rpc, block)
        if not _TEE_ID.fullmatch(tee_id):
            # A receipt of somebody's may name any text: what is no ID, no registry lists.
            return _View(block, (), {}, max_age)
        try:
            raw = await self._call(
                rpc, block, function("registry", "getTEE"), bytes.fromhex(tee_id[2:])
            )
        except RpcError as error:
            if not _is_revert(error):
                raise
            return _View(block, (), {}, max_age)
        entry = _host(_decode_entries(rpc, "getTEE", raw))
        # A contract without the entry may answer with an empty one; a key that hashes to another
        # name is none either.
        hosts = (entry,) if entry.tee_id == tee_id else ()
        return _View(block, hosts, await self._pcrs(rpc, block, hosts), max_age)

    async def _pcrs(self, rpc: Rpc, block: Block, hosts: Sequence[Host]) -> dict[str, PcrRecord]:
        """Approval of every measurement in use; empty where the contract does not offer it."""
        ask = function("registry", "pcrRecords")
        wanted = sorted({(host.tee_type, host.pcr_hash) for host in hosts})

        async def record(tee_type: int, pcr_hash: str) -> tuple[str, PcrRecord] | None:
            try:
                raw = await self._call(rpc, block, ask, tee_type, bytes.fromhex(pcr_hash[2:]))
                approved, _, _, version = ask.decode(raw)
            except (RpcError, ValueError):
                return None
            return pcr_hash, PcrRecord(approved, version[:100])

        found = await asyncio.gather(*(record(*key) for key in wanted))
        return dict(pair for pair in found if pair is not None)

    async def _max_age(self, rpc: Rpc, block: Block) -> int:
        ask = function("registry", "heartbeatMaxAge")
        try:
            return int(ask.decode(await self._call(rpc, block, ask))[0])
        except (RpcError, ValueError):
            return DEFAULT_HEARTBEAT_MAX_AGE

    async def _call(self, rpc: Rpc, block: Block, ask: Function, *args: Any) -> bytes:
        return await rpc.eth_call(self._network.registry_address, ask.encode(*args), block.number)


def _decode_entries(rpc: Rpc, name: str, raw: bytes) -> Any:
    """The entries under the tuple with ``ohttpConfig``, else under the older one without (protocol
    section 2).

    Under the wrong tuple bytes may decode by luck, so a reading that encodes back to the same bytes
    goes first."""
    readings: list[Any] = []
    for group in ("registry", "registry_without_ohttp"):
        ask = function(group, name)
        try:
            values = ask.decode(raw)
        except ValueError:
            continue
        if ask.is_canonical(raw, values):
            return values[0]
        readings.append(values[0])
    if not readings:
        raise NetworkUnavailable(
            f"RPC {rpc.label}: the registry's answer to {name} has an unknown form"
        )
    return readings[0]


def _host(entry: Sequence[Any]) -> Host:
    from opg_magic.protocol.addresses import checksum_address
    from opg_magic.protocol.keccak import keccak256

    (
        owner,
        payment,
        endpoint,
        key,
        certificate,
        pcr_hash,
        tee_type,
        enabled,
        registered,
        heartbeat,
    ) = entry[:10]
    ohttp = None
    if len(entry) > 10 and any(entry[10]):
        names = ("keyId", "kemId", "kdfId", "aeadId", "publicKey", "keyConfig", "registeredAt")
        ohttp = dict(zip(names, entry[10], strict=True))
    return Host(
        tee_id="0x" + keccak256(key).hex(),
        owner=checksum_address(owner),
        payment_address=checksum_address(payment),
        endpoint=endpoint,
        public_key=key,
        tls_certificate=certificate,
        pcr_hash="0x" + pcr_hash.hex(),
        tee_type=tee_type,
        enabled=enabled,
        registered_at=registered,
        last_heartbeat_at=heartbeat,
        ohttp_config=ohttp,
    )


def _is_revert(error: RpcError) -> bool:
    return "revert" in str(error).lower()
