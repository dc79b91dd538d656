"""What becomes of an answer's hashes: batches on the simulated registry chain, and the blob store
that holds their trees.

A batch is the root of an OpenZeppelin ``StandardMerkleTree`` over its items; the tree's whole dump
is a blob."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from opg_magic.errors import SimnetError
from opg_magic.models.secret import Secret
from opg_magic.protocol import merkle
from opg_magic.protocol.merkle import BatchItem
from opg_magic.simnet.contracts import deploy

if TYPE_CHECKING:
    from aiohttp import web

    from opg_magic.simnet.chain.chain import Chain

log = logging.getLogger(__name__)

#: A batch is committed at this many items, this long after its last one, or this long after its
#: first one (seconds). The real facilitator takes 20 items, 300 s and 900 s; here one wants to see
#: it happen.
BATCH_SIZE = 20
BATCH_IDLE = 5.0
BATCH_AGE = 15.0

#: How long blobs are kept, in epochs of the store.
EPOCHS = 10

#: What stands where a signature should be in the item of an answer that was not signed.
UNSIGNED = b"\xd3"

MAX_BLOB_BYTES = 8 * 1024 * 1024
MAX_STORE_BYTES = 256 * 1024 * 1024
LOOPBACK = "127.0.0.1"

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


# --------------------------------------------------------------------------------------- blob store


class BlobStore:
    """Content-addressed blobs with Walrus' two routes: ``PUT /v1/blobs?epochs=N`` and ``GET
    /v1/blobs/{blobId}``.

    An id is the base64url of the content's SHA-256, without padding (Walrus' own derives from its
    erasure coding; both have 43 letters).  Blobs last for the epochs they were stored for; an epoch
    passes with :meth:`advance` alone."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.epoch = 1
        self._blobs: dict[str, tuple[bytes, int]] = {}
        self._size = 0
        self._runner: web.AppRunner | None = None

    def put(self, content: bytes, epochs: int = EPOCHS) -> str:
        """Store a blob for that many epochs; its id.  SimnetError if the store is full or the blob
        too large."""
        if len(content) > MAX_BLOB_BYTES or self._size + len(content) > MAX_STORE_BYTES:
            raise SimnetError("the blob store takes no more")
        blob_id = blob_id_of(content)
        before = self._blobs.get(blob_id)
        self._blobs[blob_id] = (content, max(self.epoch + epochs, before[1] if before else 0))
        self._size += 0 if before else len(content)
        return blob_id

    def get(self, blob_id: str) -> bytes | None:
        """The blob, or None if there is none of that id (any more)."""
        found = self._blobs.get(blob_id)
        return found[0] if found is not None and found[1] > self.epoch else None

    def forge(self, blob_id: str, content: bytes | None) -> None:
        """Serve something else under an id, or nothing: what a store that lies would do."""
        before = self._blobs.pop(blob_id, (b"", self.epoch + EPOCHS))
        self._size -= len(before[0])
        if content is not None:
            self._blobs[blob_id] = (content, before[1])
            self._size += len(content)

    def advance(self, epochs: int) -> None:
        """Let epochs pass."""
        self.epoch += epochs

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; the URL."""
        from aiohttp import web

        app = web.Application(client_max_size=MAX_BLOB_BYTES)
        app.router.add_put("/v1/blobs", self._put)
        app.router.add_get("/v1/blobs/{blob_id}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, port).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = self.url = None

    async def _put(self, request: web.Request) -> web.Response:
        from aiohttp import web

        _local_name(request)
        epochs = request.query.get("epochs", "1")
        if not epochs.isascii() or not epochs.isdigit() or not 1 <= int(epochs) <= 53:
            raise web.HTTPBadRequest(text="epochs must be a number from 1 to 53")
        content = await request.read()
        known = self.get(blob_id_of(content)) is not None
        try:
            blob_id = self.put(content, int(epochs))
        except SimnetError as error:
            raise web.HTTPInsufficientStorage(text=error.message) from None
        end = self._blobs[blob_id][1]
        if known:
            return web.json_response({"alreadyCertified": {"blobId": blob_id, "endEpoch": end}})
        stored = {
            "blobId": blob_id,
            "size": len(content),
            "storage": {"startEpoch": self.epoch, "endEpoch": end},
        }
        return web.json_response({"newlyCreated": {"blobObject": stored}})

    async def _get(self, request: web.Request) -> web.Response:
        from aiohttp import web

        _local_name(request)
        content = self.get(request.match_info["blob_id"])
        if content is None:
            raise web.HTTPNotFound(text="the requested blob ID does not exist")
        return web.Response(body=content, content_type="application/octet-stream")


def blob_id_of(content: bytes) -> str:
    """The id under which this store keeps a content."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _local_name(request: web.Request) -> None:
    """A page whose name was made to point to this machine is no client of ours."""
    from aiohttp import web

    if (request.url.host or "") not in (LOOPBACK, "localhost"):
        raise web.HTTPForbidden(text="not a name of this server")


# ---------------------------------------------------------------------------------------- the relay


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
