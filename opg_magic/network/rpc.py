"""One JSON-RPC endpoint of a chain, over web3's HTTP provider: bounded in time, strict in what it
reads.

Values are taken from the raw JSON, not through web3's formatters: those refuse the block headers of
proof-of-authority chains, and two RPCs must agree on what they said.  An endpoint is named only by
its host label, since its URL may contain an API key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from opg_magic.errors import ConfigError, NetworkUnavailable
from opg_magic.models import strict_json
from opg_magic.models.proxy import Proxy, proxy_for
from opg_magic.network.library_logs import quiet_libraries

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from web3.providers.rpc import AsyncHTTPProvider

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
#: The longest answer that is read.  The registry of a thousand hosts and the logs of a thousand
#: blocks are shorter.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
#: No block has a later time than this (year 9999): it would not fit a datetime.
_MAX_TIME = 253402300799


class RpcError(Exception):
    """The endpoint answered with an error: a call reverted, or it does not know the method or the
    block."""


class _Unreadable(Exception):
    """The endpoint's answer was not read to its end; the text says why, without the URL."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's number, hash (0x-hex, lower case) and Unix time."""

    number: int
    hash: str
    timestamp: int

    @property
    def time(self) -> datetime:
        """The timestamp as a datetime (aware UTC)."""
        return datetime.fromtimestamp(self.timestamp, UTC)


class Rpc:
    """A chain's endpoint.  ``label`` is its host (and port), the only name that is ever shown."""

    def __init__(self, url: str, *, timeout: float, proxy: Proxy | None = None) -> None:
        try:
            parts = urlsplit(url)
            self.label = (parts.hostname or "") + (
                f":{parts.port}" if parts.port is not None else ""
            )
        except ValueError:
            raise ConfigError("An RPC's URL cannot be read.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("An RPC's URL must begin with http:// or https:// and name a host.")
        self._url = url
        self._proxy = proxy_for(url, proxy)
        self._timeout = timeout
        self._provider: AsyncHTTPProvider | None = None

    def __repr__(self) -> str:
        return f"<Rpc {self.label}>"

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """Return the result of one request, as parsed from JSON.

        Raises :class:`NetworkUnavailable` if there is no answer in time or it is not JSON-RPC,
        :class:`RpcError` if the answer is an error."""
        failure: str | None = None
        answer: Any = None
        try:
            with quiet_libraries():
                async with asyncio.timeout(self._timeout):
                    answer = await self._connected().make_request(method, list(params))
        except TimeoutError:
            failure = f"no answer within {self._timeout:g} s"
        except _Unreadable as error:
            failure = str(error)
        except Exception as error:
            # Its text may hold the URL.
            failure = type(error).__name__
        if failure is not None:
            through = f" through the proxy {self._proxy.label}" if self._proxy is not None else ""
            raise NetworkUnavailable(f"RPC {self.label} unreachable{through}: {failure}")
        if not isinstance(answer, Mapping):
            raise NetworkUnavailable(
                f"RPC {self.label} answered with something that is not JSON-RPC"
            )
        if answer.get("error") is not None:
            reported = answer["error"]
            message = reported.get("message") if isinstance(reported, Mapping) else reported
            raise RpcError("".join(c if c.isprintable() else " " for c in str(message)[:200]))
        if "result" not in answer:
            raise NetworkUnavailable(f"RPC {self.label} answered with neither result nor error")
        return answer["result"]

    def _connected(self) -> AsyncHTTPProvider:
        if self._provider is None:
            self._provider = _provider_class()(self._url, self._proxy)
        return self._provider

    async def aclose(self) -> None:
        """Close the connection.  The next request opens another."""
        provider, self._provider = self._provider, None
        if provider is not None:
            with quiet_libraries():
                await provider.disconnect()

    # ------------------------------------------------------------------------------ typed questions

    async def chain_id(self) -> int:
        """Return the ID of the chain that this endpoint serves."""
        return self.quantity(await self.call("eth_chainId", []))

    async def code(self, address: str, block: int | str = "latest") -> bytes:
        """Return the code at an address; empty if there is no contract."""
        return self.data(await self.call("eth_getCode", [address, _tag(block)]))

    async def block(self, block: int | str = "latest") -> Block:
        """Return one block, by number or tag.  Raises :class:`NetworkUnavailable` if the endpoint
        does not know it."""
        raw = await self.call("eth_getBlockByNumber", [_tag(block), False])
        if not isinstance(raw, Mapping):
            raise NetworkUnavailable(f"RPC {self.label} does not know block {block}")
        found = Block(
            self.quantity(raw.get("number")),
            self.hash(raw.get("hash")),
            self.quantity(raw.get("timestamp")),
        )
        if found.timestamp > _MAX_TIME or (isinstance(block, int) and found.number != block):
            raise NetworkUnavailable(f"RPC {self.label} answered with another block than {block}")
        return found

    async def eth_call(self, to: str, data: bytes, block: int | str = "latest") -> bytes:
        """Return what a call of a contract answers.  Raises :class:`RpcError` if it reverts."""
        return self.data(
            await self.call("eth_call", [{"to": to, "data": "0x" + data.hex()}, _tag(block)])
        )

    def quantity(self, value: object) -> int:
        """Return a number from its JSON-RPC form.  Raises :class:`NetworkUnavailable`."""
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
            raise NetworkUnavailable(
                f"RPC {self.label} answered with something that is not a quantity"
            )
        return int(value, 16)

    def data(self, value: object) -> bytes:
        """Return bytes from their JSON-RPC form.  Raises :class:`NetworkUnavailable`."""
        if not isinstance(value, str) or not _DATA.fullmatch(value):
            raise NetworkUnavailable(
                f"RPC {self.label} answered with something that is not hex data"
            )
        return bytes.fromhex(value[2:])

    def hash(self, value: object) -> str:
        """Return a hash of 32 bytes as lower-case hex.  Raises :class:`NetworkUnavailable`."""
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise NetworkUnavailable(f"RPC {self.label} answered with something that is not a hash")
        return value.lower()


@dataclass(frozen=True, slots=True)
class Log:
    """One log of a mined transaction: hashes as lower-case 0x-hex, ``topics`` 32 bytes each."""

    tx_hash: str
    block_number: int
    block_hash: str
    index: int
    topics: tuple[bytes, ...]
    data: bytes


async def logs(
    rpc: Rpc,
    address: str,
    topics: Sequence[str | None],
    first: int,
    last: int,
    *,
    step: int = 1000,
    most: int = 1000,
) -> list[Log]:
    """Return the logs of a contract in blocks ``first`` to ``last``, in order; ``most`` of them at
    most.

    They are asked for in ranges of ``step`` blocks, and in smaller ones if the endpoint refuses.
    Raises :class:`NetworkUnavailable`, or :class:`RpcError` if it refuses even small ranges."""
    found: list[Log] = []
    start = first
    while start <= last and len(found) < most:
        end = min(start + step - 1, last)
        wanted = {
            "address": address,
            "topics": list(topics),
            "fromBlock": hex(start),
            "toBlock": hex(end),
        }
        try:
            raw = await rpc.call("eth_getLogs", [wanted])
        except RpcError:
            if step < 20:
                raise
            step //= 4
            continue
        if not isinstance(raw, list):
            raise NetworkUnavailable(
                f"RPC {rpc.label} answered with something that is not a list of logs"
            )
        found += [
            log
            for log in (_log(rpc, entry, address) for entry in raw)
            if start <= log.block_number <= end
        ]
        start = end + 1
    return sorted(found, key=lambda log: (log.block_number, log.index))[:most]


def _log(rpc: Rpc, raw: object, address: str) -> Log:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("topics"), list):
        raise NetworkUnavailable(f"RPC {rpc.label} answered with something that is not a log")
    if str(raw.get("address")).lower() != address.lower():
        raise NetworkUnavailable(
            f"RPC {rpc.label} answered with a log of another contract than the one asked for"
        )
    return Log(
        rpc.hash(raw.get("transactionHash")),
        rpc.quantity(raw.get("blockNumber")),
        rpc.hash(raw.get("blockHash")),
        rpc.quantity(raw.get("logIndex")),
        tuple(bytes.fromhex(rpc.hash(topic)[2:]) for topic in raw["topics"]),
        rpc.data(raw.get("data")),
    )


async def first_block_since(rpc: Rpc, when: float, head: Block) -> Block:
    """Return the first block whose time is at least ``when`` (Unix seconds), or the head.

    The search gallops back from the head, then halves."""
    low, high, step = head.number, head, 64
    while low > 0 and step <= 2**40:
        low = max(0, high.number - step)
        block = await rpc.block(low)
        if block.timestamp < when:
            break
        high, step = block, step * 2
    else:
        return high
    while high.number - low > 1:
        middle = await rpc.block((low + high.number) // 2)
        if middle.timestamp < when:
            low = middle.number
        else:
            high = middle
    return high


def _tag(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block


async def _whole(response: ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Unreadable("it compressed its answer although asked not to")
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unreadable(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _may_ask_again(method: str, broken: Exception) -> bool:
    """Whether a kept connection was being closed, and nothing but reading was asked: a transaction
    may have arrived."""
    from aiohttp import ClientConnectorError

    return not method.startswith("eth_send") and not isinstance(broken, ClientConnectorError)


@cache
def _provider_class() -> Callable[..., AsyncHTTPProvider]:
    import aiohttp
    from web3.providers.rpc import AsyncHTTPProvider

    class StrictProvider(AsyncHTTPProvider):
        """Bounds the size of what it reads and the depth of what it parses.

        Where the recursion limit was lifted, deep nesting ends the process.

        Its session is its own.  web3's, which closes its connection after every request, is fetched
        each time under a lock of the whole process, in a thread; a request that is cancelled
        meanwhile can leave the lock taken for ever, and with it every other request of the process
        (web3 8.0)."""

        def __init__(self, url: str, proxy: Proxy | None) -> None:
            super().__init__(url, exception_retry_configuration=None)
            self._through: dict[str, Any] = {}
            if proxy is not None:
                # Over TLS a proxy is asked for a tunnel, in a request of its own; else it reads the
                # request itself.
                place = "proxy_headers" if url.lower().startswith("https:") else "headers"
                self._through = {"proxy": proxy.url, place: proxy.headers}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=8),
                raise_for_status=True,
                # The caller's own timeout holds for all of a request.
                timeout=aiohttp.ClientTimeout(),
                # Compressed, a small answer could be a large one.
                auto_decompress=False,
                headers={**self.get_request_headers(), "Accept-Encoding": "identity"},
            )

        async def _make_request(self, method: Any, request_data: bytes) -> bytes:
            try:
                return await self._posted(request_data)
            except aiohttp.ClientConnectionError as broken:
                if not _may_ask_again(method, broken):
                    raise
                return await self._posted(request_data)

        async def _posted(self, request_data: bytes) -> bytes:
            response = await self._session.post(
                cast("str", self.endpoint_uri),
                data=request_data,
                allow_redirects=False,
                **self._through,
            )
            async with response:
                return await _whole(response)

        async def disconnect(self) -> None:
            await self._session.close()

        @staticmethod
        def decode_rpc_response(raw_response: bytes) -> Any:
            return strict_json.loads(raw_response)

    return StrictProvider
