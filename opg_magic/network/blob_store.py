"""Blob aggregators: where the trees of published batches are fetched from.

Nothing that a batch says is believed.  Its whole tree is recomputed from its items and compared
with the root that the settlement relay holds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opg_magic.errors import ConfigError, MalformedMessage, NetworkUnavailable
from opg_magic.models.proxy import Proxy, is_this_machine, proxy_for
from opg_magic.network.library_logs import quiet_libraries

if TYPE_CHECKING:
    import httpx

    from opg_magic.protocol.merkle import BatchDump

#: The longest blob that is read.
MAX_BLOB_BYTES = 8 * 1024 * 1024
#: Trees that are remembered: the calls of one hour often lie in few batches.
KEPT_TREES = 32
#: A blob's ID: 32 bytes in base64url without padding.  Nothing in it can lead elsewhere.
BLOB_ID = re.compile(r"[A-Za-z0-9_-]{43}")


class BlobMissing(Exception):
    """No aggregator has a readable blob under that ID.  ``unreachable``: none of them answered."""

    def __init__(self, message: str, *, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class BlobStore:
    """The blob aggregators of one network.  Close it with :meth:`aclose`."""

    def __init__(self, aggregators: Sequence[str], *, timeout: float, proxy: Proxy | None) -> None:
        """``aggregators``: base URLs; ``timeout``: seconds for one blob from one of them, as a
        whole.  Raises :class:`ConfigError` for a URL that is not safe to ask."""
        self._aggregators = [_aggregator(url) for url in aggregators]
        self._timeout = timeout
        self._proxy = proxy
        self._http: dict[Proxy | None, httpx.AsyncClient] = {}
        self._trees: dict[bytes, BatchDump] = {}

    async def aclose(self) -> None:
        """Close the connections to the aggregators."""
        clients, self._http = list(self._http.values()), {}
        for client in clients:
            await client.aclose()

    def remembers(self, root: bytes) -> bool:
        """Whether the batch with this root needs no fetching."""
        return root in self._trees

    async def batch(self, blob_id: str, root: bytes) -> BatchDump:
        """Return the batch under an ID: the first whose recomputed tree has that root, else the
        last that could be read.

        Raises :class:`BlobMissing` if there is none."""
        from opg_magic.protocol import merkle

        if root in self._trees:
            return self._trees[root]
        problems: list[str] = []
        unreachable = 0
        other: BatchDump | None = None
        for base in self._aggregators:
            label = urlsplit(base).hostname
            try:
                dump = merkle.read_dump(await self._blob(base, blob_id))
            except NetworkUnavailable as error:
                problems.append(error.message)
                unreachable += 1
            except MalformedMessage as error:
                problems.append(f"blob {blob_id} of {label} is not a batch: {error.message}")
            else:
                if dump.root == root:
                    while len(self._trees) >= KEPT_TREES:
                        del self._trees[next(iter(self._trees))]
                    self._trees[root] = dump
                    return dump
                other = dump
        if other is not None:
            return other
        raise BlobMissing(
            "; ".join(problems) or "no blob aggregator is configured",
            unreachable=unreachable == len(self._aggregators),
        )

    async def _blob(self, base: str, blob_id: str) -> bytes:
        """One blob from one aggregator: bounded in size and time, redirects not followed.

        NetworkUnavailable if it does not answer, MalformedMessage if its answer is not the blob."""
        import httpx

        proxy = proxy_for(base, self._proxy)
        if proxy not in self._http:
            self._http[proxy] = httpx.AsyncClient(
                proxy=None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.auth),
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(self._timeout),
                limits=httpx.Limits(max_connections=4),
                # Compressed, a small answer could be a large one.
                headers={"Accept-Encoding": "identity", "User-Agent": "opg_magic"},
            )
        label = urlsplit(base).hostname
        url = f"{base}/v1/blobs/{blob_id}"
        try:
            with quiet_libraries():
                async with asyncio.timeout(self._timeout):
                    try:
                        return await self._fetched(self._http[proxy], url, label)
                    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                        # A kept connection that the aggregator was closing.
                        return await self._fetched(self._http[proxy], url, label)
        except TimeoutError:
            raise NetworkUnavailable(
                f"blob aggregator {label} did not give the blob within {self._timeout:g} s"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkUnavailable(
                f"blob aggregator {label} unreachable: {type(error).__name__}"
            ) from None

    @staticmethod
    async def _fetched(client: httpx.AsyncClient, url: str, label: str | None) -> bytes:
        """What stands at ``url``.  Raises what :meth:`_blob` and httpx raise."""
        async with client.stream("GET", url) as answer:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise NetworkUnavailable(
                    f"blob aggregator {label} answers with HTTP {answer.status_code}"
                )
            if answer.status_code != 200:
                raise MalformedMessage(f"HTTP {answer.status_code}", code="not-found")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise MalformedMessage("it is compressed", code="format")
            content = bytearray()
            async for part in answer.aiter_raw():
                content += part
                if len(content) > MAX_BLOB_BYTES:
                    raise MalformedMessage(
                        f"it is longer than {MAX_BLOB_BYTES} bytes", code="too-large"
                    )
        return bytes(content)


def _aggregator(url: str) -> str:
    """An aggregator's base URL without a slash at its end; ConfigError if it must not be asked:
    only https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("a blob aggregator's URL cannot be read") from None
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host or ""))
    if not safe or not host or parts.query or parts.fragment:
        raise ConfigError(
            "a blob aggregator's URL must begin with https:// and name a host, without query or "
            "fragment"
        )
    return url.rstrip("/")
