"""The store of batches' trees: content-addressed blobs over HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from opg_magic.errors import SimnetError

if TYPE_CHECKING:
    from aiohttp import web

#: How long blobs are kept, in epochs of the store.
EPOCHS = 10

MAX_BLOB_BYTES = 8 * 1024 * 1024
MAX_STORE_BYTES = 256 * 1024 * 1024
LOOPBACK = "127.0.0.1"


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
        """Stop listening."""
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
