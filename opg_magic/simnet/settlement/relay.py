"""The relay's half of the facilitator: answers' hashes in batches on the simulated registry chain.

A batch is the root of an OpenZeppelin ``StandardMerkleTree`` over its items; the tree's whole dump
is a blob."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from opg_magic.models.secret import Secret
from opg_magic.protocol import merkle
from opg_magic.protocol.merkle import BatchItem
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.settlement.blobs import BlobStore

if TYPE_CHECKING:
    from opg_magic.simnet.chain.chain import Chain

log = logging.getLogger(__name__)

#: A batch is committed at this many items, this long after its last one, or this long after its
#: first one (seconds). The real facilitator takes 20 items, 300 s and 900 s; here one wants to see
#: it happen.
BATCH_SIZE = 20
BATCH_IDLE = 5.0
BATCH_AGE = 15.0

#: What stands where a signature should be in the item of an answer that was not signed.
UNSIGNED = b"\xd3"

#: How a host's items are put on record; all but the first are lies
#: (:mod:`opg_magic.simnet.cheats.modes`).
Manner = Literal["honest", "omit-leaf", "wrong-root", "foreign-relay", "other-sender", "never"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A committed batch: root and transaction hash as 0x-hex, ``relay`` and ``sender`` as
    addresses."""

    root: str
    size: int
    blob_id: str
    tx_hash: str
    relay: str
    sender: str


@dataclass(slots=True)
class BatchLimits:
    """When a batch is committed: at ``size`` items, ``idle`` seconds after the last, ``age`` after
    the first."""

    size: int = BATCH_SIZE
    idle: float = BATCH_IDLE
    age: float = BATCH_AGE


class Settler:
    """The facilitator's other half: it puts hashes on record with a key of its own, and blobs into
    the store.

    The buffer is in memory, as the real one's: what was not committed at the end is lost.
    ``on_batch`` is told of each batch."""

    def __init__(
        self,
        chain: Chain,
        key: Secret[bytes],
        store: BlobStore,
        *,
        limits: BatchLimits | None = None,
        on_batch: Callable[[Batch], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.limits = limits or BatchLimits()
        self.address = deploy.address_of(key)
        self.relay = deploy.SETTLEMENT_RELAY
        self.batches: list[Batch] = []
        self._chain = chain
        self._key = key
        self._on_batch = on_batch
        self._buffer = _Buffer()
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0

    @property
    def waiting(self) -> int:
        """Items that are not committed yet."""
        return len(self._buffer.items)

    def add(self, item: BatchItem, manner: Manner = "honest") -> None:
        """Take an item into the batch that is being collected."""
        if manner == "never":
            return
        now = asyncio.get_running_loop().time()
        if not self._buffer.items:
            self._buffer.first = now
        self._buffer.last = now
        self._buffer.items.append((item, manner))
        self._schedule()

    def set_limits(
        self, *, size: int | None = None, idle: float | None = None, age: float | None = None
    ) -> None:
        """Change when batches are committed, from now on and for the one being collected.
        ValueError for nonsense."""
        if (
            (size is not None and size < 1)
            or (idle is not None and idle < 0)
            or (age is not None and age < 0)
        ):
            raise ValueError("limits must be positive")
        self.limits.size = self.limits.size if size is None else size
        self.limits.idle = self.limits.idle if idle is None else idle
        self.limits.age = self.limits.age if age is None else age
        self._schedule()

    async def flush(self) -> list[Batch]:
        """Commit what was collected, now; the batches (none if nothing was)."""
        buffer, self._buffer = self._buffer, _Buffer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        manners: dict[Manner, list[BatchItem]] = {}
        for item, manner in buffer.items:
            manners.setdefault(manner, []).append(item)
        made: list[Batch] = []
        async with self._lock:
            for manner, items in manners.items():
                made.append(await asyncio.to_thread(self._commit, items, manner))
        self.batches += made
        for batch in made:
            self._on_batch(batch)
        return made

    async def idle(self) -> None:
        """Wait until everything under way is done."""
        while self._tasks:
            running = tuple(self._tasks)
            await asyncio.gather(*running, return_exceptions=True)
            # Since Python 3.12 nothing else runs while finished tasks are awaited: their callbacks
            # have not come yet.
            self._tasks.difference_update(running)

    async def close(self) -> None:
        """Stop the timer and wait for what is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.idle()

    # --------------------------------------------------------------------------------------- inside

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        buffer, limits = self._buffer, self.limits
        if not buffer.items:
            return
        if len(buffer.items) >= limits.size:
            self._spawn(self.flush())
            return
        loop = asyncio.get_running_loop()
        due = min(buffer.last + limits.idle, buffer.first + limits.age)
        self._timer = loop.call_at(max(due, loop.time()), lambda: self._spawn(self.flush()))

    def _spawn(self, work: Any) -> None:
        async def logged() -> None:
            try:
                await work
            except Exception as error:
                log.warning("a settlement failed: %s", type(error).__name__)

        task = asyncio.get_running_loop().create_task(logged())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _commit(self, items: list[BatchItem], manner: Manner) -> Batch:
        if manner == "omit-leaf":
            items = [_decoy(items[0].timestamp)]
        dump = merkle.write_dump(items).encode()
        root = merkle.Tree(item.leaf for item in items).root
        relay, key = self.relay, self._key
        if manner == "wrong-root":
            root = secrets.token_bytes(32)
        elif manner == "foreign-relay":
            relay = deploy.FOREIGN_RELAY
            deploy.Contract(self._chain, "SettlementRelay", relay).place()
        elif manner == "other-sender":
            key = Secret(secrets.token_bytes(32))
            self._chain.fund(deploy.address_of(key), deploy.GAS_MONEY)
        blob_id = self.store.put(dump)
        contract = deploy.Contract(self._chain, "SettlementRelay", relay)
        receipt = contract.send(key, "batchSettle", root, len(items), blob_id.encode())
        self._sent += key is self._key
        tx_hash = receipt["transactionHash"].to_0x_hex()
        return Batch("0x" + root.hex(), len(items), blob_id, tx_hash, relay, deploy.address_of(key))


@dataclass(slots=True)
class _Buffer:
    """Items with the manner in which they are to be put on record; times of the first and the last
    by the loop."""

    items: list[tuple[BatchItem, Manner]] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0


def _decoy(timestamp: int) -> BatchItem:
    """Nobody's item."""
    word = secrets.token_bytes
    return BatchItem(word(32), word(32), word(32), UNSIGNED, timestamp)
