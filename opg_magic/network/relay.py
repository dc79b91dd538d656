"""Finds where a call's hashes were put on record: the relay's events on the registry chain, and the
batches' trees.

Source: protocol section 5; verification, claim ``settlement`` and attack 24.

An answer carries no pointer to its batch, and a receipt's own words are not followed: RPCs, relay,
senders and the aggregators that blobs are fetched from are those of the network's profile alone.
Of a batch nothing is believed: its whole tree is recomputed from its items, and must have the
committed root."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opg_magic.errors import (
    ConfigError,
    MalformedMessage,
    NetworkUnavailable,
    RpcsDisagree,
    WrongChain,
)
from opg_magic.models import BatchEvidence, IndividualEvidence
from opg_magic.models.networks import Network
from opg_magic.models.proxy import Proxy, proxy_for
from opg_magic.network.abi import Event, event
from opg_magic.network.quiet import quiet_libraries
from opg_magic.network.rpc import Block, Log, Rpc, RpcError, first_block_since, logs

if TYPE_CHECKING:
    import httpx

    from opg_magic.protocol.merkle import BatchDump

#: Clocks of host and chain may differ by this many seconds: where the search begins and ends.
TIME_MARGIN = 600
#: Bounds of one search: blocks, events, blobs fetched, bytes of one blob.
MAX_BLOCKS = 50_000
MAX_EVENTS = 2000
MAX_BLOBS = 64
MAX_BLOB_BYTES = 8 * 1024 * 1024
#: Trees that a reader remembers: the calls of one hour often lie in few batches.
KEPT_TREES = 32
#: Searches whose looked-at events a reader remembers.
KEPT_SEARCHES = 256

#: 32 bytes in base64url without padding: what a blob's id looks like, and nothing that could lead
#: elsewhere.
_BLOB_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchSearch:
    """What a search for a batch came to.

    ``evidence`` is None where the leaf is in none of the batches that were looked at; ``events`` is
    their number, and ``until`` the time of the newest block.  ``complete`` says that all that was
    asked for was looked at.  ``problems`` are what is wrong with events and blobs, in words.
    ``unreachable`` counts blobs that no aggregator gave an answer about."""

    evidence: BatchEvidence | None
    events: int
    until: datetime
    complete: bool
    problems: tuple[str, ...] = ()
    unreachable: int = 0


class BlobMissing(Exception):
    """No aggregator has the blob, or none has one that can be read; ``unreachable`` where none
    answered."""

    def __init__(self, message: str, *, unreachable: bool) -> None:
        super().__init__(message)
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class _Range:
    """The blocks that are looked at, and the RPCs that have them."""

    rpcs: tuple[Rpc, ...]
    first: int
    last: Block
    complete: bool


@dataclass(frozen=True, slots=True)
class _Signed:
    """What is looked for: 32 bytes each, and the signature."""

    tee_id: bytes
    input_hash: bytes
    output_hash: bytes
    signature: bytes
    timestamp: int


class SettlementReader:
    """Reads one network's settlements.  Close it with :meth:`aclose`."""

    def __init__(
        self, network: Network, *, timeout: float = 10.0, blob_timeout: float = 20.0
    ) -> None:
        """``timeout``: seconds for one RPC request; ``blob_timeout``: for one blob from one
        aggregator, as a whole.

        Raises :class:`ConfigError` where the network has no relay, or an aggregator's URL is not
        one that is safe to ask (https, or http on this machine)."""
        if network.settlement_relay is None:
            raise ConfigError(
                f"no settlement relay of {network.title} is known",
                hint="Name it in your settings before you look for settlements.",
            )
        self._network = network
        self._relay = network.settlement_relay
        self._timeout = timeout
        self._blob_timeout = blob_timeout
        self._rpcs = [
            Rpc(url, timeout=timeout, proxy=network.proxy) for url in network.registry_rpcs
        ]
        self._aggregators = [_aggregator(url) for url in network.blob_aggregators]
        self._http: dict[Proxy | None, httpx.AsyncClient] = {}
        self._trees: dict[bytes, BatchDump] = {}
        #: By leaf: events that cannot hold it, and events whose batch could not be had.  The next
        #: search begins behind them, so that nobody can hide a batch behind a pile of others for
        #: good.
        self._earlier: dict[bytes, tuple[set[tuple[str, int]], set[tuple[str, int]]]] = {}

    async def aclose(self) -> None:
        for rpc in self._rpcs:
            await rpc.aclose()
        clients, self._http = list(self._http.values()), {}
        for client in clients:
            await client.aclose()

    async def find_batch(
        self,
        tee_id: str | bytes,
        input_hash: str | bytes,
        output_hash: str | bytes,
        signature: str | bytes,
        timestamp: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> BatchEvidence | None:
        """The batch that holds this signed answer, with the path to its root; None if there is none
        yet.

        Hashes and id are hex or 32 bytes, ``signature`` base64 or bytes, ``timestamp`` Unix seconds
        as signed.  Looked at are the relay's events from ``since`` (the signed time, if not given)
        to ``until`` (now), each with a margin for clocks that differ.

        Where the network's own sender committed another root than that of the batch it published,
        the evidence has the committed root and a proof that does not lead to it: it is for the
        claim to fail.

        Raises :class:`NetworkUnavailable` if no RPC answers, or if the leaf is in no batch that was
        looked at and some could not be: at most :data:`MAX_BLOBS` are fetched at a time, and the
        same reader's next search goes on behind them; :class:`RpcsDisagree`, :class:`WrongChain`;
        ValueError for hashes that are none."""
        search = await self.search_batch(
            tee_id, input_hash, output_hash, signature, timestamp, since=since, until=until
        )
        if search.evidence is None and search.unreachable:
            raise NetworkUnavailable("; ".join(search.problems[-3:]))
        if search.evidence is None and not search.complete:
            raise NetworkUnavailable(
                f"not all of {search.events} batches of that time could be looked at; the next "
                f"look goes on behind them"
            )
        return search.evidence

    async def search_batch(
        self,
        tee_id: str | bytes,
        input_hash: str | bytes,
        output_hash: str | bytes,
        signature: str | bytes,
        timestamp: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> BatchSearch:
        """Like :meth:`find_batch`, telling all that was found on the way."""
        from opg_magic.protocol import merkle

        signed = _signed(tee_id, input_hash, output_hash, signature, timestamp)
        leaf = merkle.leaf_hash(
            signed.tee_id, signed.input_hash, signed.output_hash, signed.signature, signed.timestamp
        )
        span = await self._span(since, until, timestamp)
        wanted = event("settlement_relay", "BatchSettlement")
        found = await self._logs(span, [wanted.topic])
        problems: list[str] = []
        second_best: BatchEvidence | None = None
        fetched = unreachable = 0
        complete = span.complete and len(found) < MAX_EVENTS
        looked, missed = self._searched(leaf)
        new = [log for log in found if (log.block_hash, log.index) not in looked]
        # What could not be had last time comes after what was not looked at yet.
        for log in sorted(new, key=lambda log: (log.block_hash, log.index) in missed):
            this = (log.block_hash, log.index)
            try:
                root, size, raw_id = wanted.decode(log.topics, log.data)
                blob_id = raw_id.decode("ascii")
            except (ValueError, UnicodeDecodeError):
                problems.append(f"an event in block {log.block_number} cannot be read")
                continue
            if not _BLOB_ID.fullmatch(blob_id):
                problems.append(f"the batch of block {log.block_number} names no blob")
                continue
            sender = await self._sender(span, log.tx_hash)
            if not self._is_sender(sender):
                problems.append(
                    f"the batch of block {log.block_number} was sent by {sender}, who is not the "
                    f"network's"
                )
                continue
            if root not in self._trees:
                if fetched == MAX_BLOBS:
                    complete = False
                    break
                fetched += 1
            try:
                dump = await self._batch(blob_id, root)
            except BlobMissing as missing:
                problems.append(f"the batch of block {log.block_number}: {missing}")
                unreachable += missing.unreachable
                missed.add(this)
                continue
            try:
                proof = dump.tree.proof(leaf)
            except ValueError:
                if dump.root == root:
                    looked.add(this)
                else:
                    missed.add(this)
                    problems.append(
                        f"the batch of block {log.block_number} has another root than the one "
                        f"committed"
                    )
                continue
            if dump.tree.size != size:
                problems.append(
                    f"the batch of block {log.block_number} has {dump.tree.size} items, not {size}"
                )
            evidence = BatchEvidence(
                root="0x" + root.hex(),
                leaf="0x" + leaf.hex(),
                proof=tuple("0x" + node.hex() for node in proof),
                tx_hash=log.tx_hash,
                block_number=log.block_number,
                block_hash=log.block_hash,
                block_time=await self._time(span, log),
                relay=self._relay,
                chain_id=self._network.registry_chain_id,
                blob_id=blob_id,
                batch_size=dump.tree.size,
                sender=sender,
                rpcs=tuple(rpc.label for rpc in span.rpcs),
            )
            if dump.root == root:
                return BatchSearch(
                    evidence, len(found), span.last.time, complete, tuple(problems), unreachable
                )
            problems.append(
                f"the batch of block {log.block_number} has another root than the one committed"
            )
            # Anyone can commit a wrong root for somebody's batch: it says something of the
            # network's own sender alone.
            if self._network.settlement_senders:
                second_best = second_best or evidence
        return BatchSearch(
            second_best, len(found), span.last.time, complete, tuple(problems), unreachable
        )

    def _searched(self, leaf: bytes) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
        """Events that cannot hold this leaf, and events whose batch could not be had, as earlier
        searches found."""
        if leaf not in self._earlier:
            while len(self._earlier) >= KEPT_SEARCHES:
                del self._earlier[next(iter(self._earlier))]
            self._earlier[leaf] = (set(), set())
        return self._earlier[leaf]

    async def find_individual(
        self,
        tee_id: str | bytes,
        input_hash: str | bytes,
        output_hash: str | bytes,
        signature: str | bytes,
        timestamp: int,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> IndividualEvidence | None:
        """The relay's event for exactly this signed answer, None if there is none yet.  Arguments
        and errors as for :meth:`find_batch`.  The blob, which holds prompt and answer in plain
        text, is not fetched."""
        signed = _signed(tee_id, input_hash, output_hash, signature, timestamp)
        span = await self._span(since, until, timestamp)
        wanted = event("settlement_relay", "IndividualSettlement")
        for log in await self._logs(span, [wanted.topic, "0x" + signed.tee_id.hex()]):
            try:
                host, _, request, answer, when, blob_id, given = wanted.decode(log.topics, log.data)
            except ValueError:
                continue
            if _Signed(host, request, answer, given, when) != signed:
                continue
            return IndividualEvidence(
                tx_hash=log.tx_hash,
                block_number=log.block_number,
                block_hash=log.block_hash,
                block_time=await self._time(span, log),
                relay=self._relay,
                chain_id=self._network.registry_chain_id,
                tee_id="0x" + host.hex(),
                input_hash="0x" + request.hex(),
                output_hash="0x" + answer.hex(),
                timestamp=when,
                signature=base64.b64encode(given).decode(),
                blob_id=blob_id.decode("ascii", "replace")[:100],
                sender=await self._sender(span, log.tx_hash),
                rpcs=tuple(rpc.label for rpc in span.rpcs),
            )
        return None

    async def committed(
        self, recorded: BatchEvidence | IndividualEvidence
    ) -> BatchEvidence | IndividualEvidence:
        """What the chain shows of a settlement that a receipt names: its event in that transaction
        and block.

        Comes back with block, relay, sender and batch size as the chain has them; ``committed`` is
        False, and all else as it was recorded, where the relay has no such event there.  The proof
        is the claim's to check.  Raises like :meth:`find_batch`."""
        rpcs = tuple(rpc for rpc, _ in await self._heads())
        number = recorded.block_number
        kind = "BatchSettlement" if isinstance(recorded, BatchEvidence) else "IndividualSettlement"
        wanted = event("settlement_relay", kind)
        key = recorded.root if isinstance(recorded, BatchEvidence) else recorded.tee_id
        span = _Range(
            rpcs, number, await self._ask(rpcs, lambda rpc: rpc.block("latest")), complete=True
        )
        if span.last.number >= number:
            at = replace(span, last=await self._ask(rpcs, lambda rpc: rpc.block(number)))
            for log in await self._logs(at, [wanted.topic, key.lower()]):
                if log.tx_hash == recorded.tx_hash.lower():
                    found = await self._seen(at, log, recorded, wanted)
                    if found is not None:
                        return found
        return replace(recorded, committed=False, rpcs=tuple(rpc.label for rpc in rpcs))

    async def _seen(
        self, span: _Range, log: Log, recorded: BatchEvidence | IndividualEvidence, wanted: Event
    ) -> BatchEvidence | IndividualEvidence | None:
        """The recorded settlement with what this log, its block and its transaction say; None if it
        is another's."""
        try:
            values = wanted.decode(log.topics, log.data)
        except ValueError:
            return None
        changes: dict[str, Any] = {
            "block_hash": log.block_hash,
            "block_time": await self._time(span, log),
            "relay": self._relay,
            "chain_id": self._network.registry_chain_id,
            "sender": await self._sender(span, log.tx_hash),
            "rpcs": tuple(rpc.label for rpc in span.rpcs),
            "committed": True,
        }
        if isinstance(recorded, BatchEvidence):
            _, size, blob_id = values
            return replace(
                recorded,
                batch_size=size,
                blob_id=blob_id.decode("ascii", "replace")[:100],
                **changes,
            )
        host, _, request, answer, when, blob_id, given = values
        said = (recorded.input_hash, recorded.output_hash, recorded.timestamp, recorded.signature)
        if (
            "0x" + request.hex(),
            "0x" + answer.hex(),
            when,
            base64.b64encode(given).decode(),
        ) != said:
            return None
        tee_id = "0x" + host.hex()
        return replace(
            recorded, tee_id=tee_id, blob_id=blob_id.decode("ascii", "replace")[:100], **changes
        )

    # ---------------------------------------------------------------------------------------- chain

    async def _heads(self) -> list[tuple[Rpc, Block]]:
        """The RPCs that answer, each on the right chain with the relay there, and their newest
        blocks."""

        async def head(rpc: Rpc) -> tuple[Rpc, Block]:
            chain_id, code, block = await asyncio.gather(
                rpc.chain_id(), rpc.code(self._relay), rpc.block("latest")
            )
            if chain_id != self._network.registry_chain_id:
                raise WrongChain(
                    f"RPC {rpc.label} serves chain {chain_id}; {self._network.title} settles on "
                    f"chain"
                    f" {self._network.registry_chain_id}",
                    hint="Check the RPCs in your settings.",
                )
            if not code:
                raise WrongChain(
                    f"RPC {rpc.label} has no contract at the settlement relay's address "
                    f"{self._relay}",
                    hint="Check the RPCs and the relay's address in your settings.",
                )
            return rpc, block

        return await self._all(self._rpcs, head)

    async def _span(self, since: datetime | None, until: datetime | None, timestamp: int) -> _Range:
        """The blocks from ``since`` to ``until`` that every answering RPC has, with margins."""
        begin = (since.timestamp() if since is not None else timestamp) - TIME_MARGIN
        heads = await self._heads()
        last = min((block for _, block in heads), key=lambda block: block.number)
        rpcs = tuple(rpc for rpc, _ in heads)
        first = await self._ask(rpcs, lambda rpc: first_block_since(rpc, begin, last))
        complete = True
        if until is not None:
            end = until.timestamp() + TIME_MARGIN
            if end < last.timestamp:
                last = await self._ask(rpcs, lambda rpc: first_block_since(rpc, end, last))
            else:
                complete = last.timestamp >= until.timestamp()
        if last.number - first.number >= MAX_BLOCKS:
            last = await self._ask(rpcs, lambda rpc: rpc.block(first.number + MAX_BLOCKS - 1))
            complete = False
        return _Range(rpcs, first.number, last, complete)

    async def _logs(self, span: _Range, topics: list[str | None]) -> list[Log]:
        """The relay's logs in the range; every RPC must say the same."""

        async def one(rpc: Rpc) -> list[Log]:
            return await logs(
                rpc, self._relay, topics, span.first, span.last.number, most=MAX_EVENTS
            )

        answers = await self._all(span.rpcs, one, every=True)
        for rpc, other in zip(span.rpcs, answers, strict=True):
            if other != answers[0]:
                raise RpcsDisagree(
                    f"RPC {rpc.label} gives other settlements in blocks {span.first} to "
                    f"{span.last.number} than RPC"
                    f" {span.rpcs[0].label}",
                    hint="One of them lies, or lacks a part of the chain.",
                )
        return answers[0]

    async def _sender(self, span: _Range, tx_hash: str) -> str:
        """Who sent a transaction (EIP-55); every RPC must say the same."""
        from opg_magic.protocol.x402 import checksum_address

        async def one(rpc: Rpc) -> str:
            raw = await rpc.call("eth_getTransactionByHash", [tx_hash])
            try:
                return checksum_address(str(raw["from"]))
            except (TypeError, KeyError, ValueError):
                raise NetworkUnavailable(
                    f"RPC {rpc.label} does not know transaction {tx_hash}"
                ) from None

        senders = await self._all(span.rpcs, one, every=True)
        if len(set(senders)) > 1:
            raise RpcsDisagree(f"RPCs disagree on who sent transaction {tx_hash}")
        return senders[0]

    async def _time(self, span: _Range, log: Log) -> datetime:
        """The time of a log's block, which must still be that block everywhere."""
        blocks = await self._all(span.rpcs, lambda rpc: rpc.block(log.block_number), every=True)
        for rpc, block in zip(span.rpcs, blocks, strict=True):
            if block.hash != log.block_hash:
                raise NetworkUnavailable(
                    f"RPC {rpc.label} replaced block {log.block_number} while it was being read"
                )
            if block != blocks[0]:
                raise RpcsDisagree(
                    f"RPC {rpc.label} gives another time of block {log.block_number}"
                )
        return blocks[0].time

    def _is_sender(self, address: str) -> bool:
        """Whether this sender's batches count: any, where the network's profile names none."""
        pinned = self._network.settlement_senders
        return not pinned or address.lower() in {known.lower() for known in pinned}

    async def _ask(self, rpcs: tuple[Rpc, ...], ask: Callable[[Rpc], Awaitable[T]]) -> T:
        """The answer of the first RPC that gives one."""
        bad: list[str] = []
        for rpc in rpcs:
            try:
                return await ask(rpc)
            except RpcError as error:
                bad.append(f"RPC {rpc.label} answers with an error: {error}")
            except NetworkUnavailable as error:
                bad.append(error.message)
        raise NetworkUnavailable(f"settlements cannot be looked up: {'; '.join(bad)}")

    async def _all(
        self,
        rpcs: list[Rpc] | tuple[Rpc, ...],
        ask: Callable[[Rpc], Awaitable[T]],
        *,
        every: bool = False,
    ) -> list[T]:
        """The answers of the RPCs that give one, or of ``every`` one; a wrong chain ends it."""
        results = await asyncio.gather(*(ask(rpc) for rpc in rpcs), return_exceptions=True)
        good: list[T] = []
        bad: list[str] = []
        for rpc, result in zip(rpcs, results, strict=True):
            if isinstance(result, RpcError):
                bad.append(f"RPC {rpc.label} answers with an error: {result}")
            elif isinstance(result, NetworkUnavailable) and not isinstance(result, WrongChain):
                bad.append(result.message)
            elif isinstance(result, BaseException):
                raise result
            else:
                good.append(result)
        if not good or (every and bad):
            raise NetworkUnavailable(
                f"settlements cannot be looked up: {'; '.join(bad) or 'no RPC is configured'}"
            )
        return good

    # ---------------------------------------------------------------------------------------- blobs

    async def _batch(self, blob_id: str, root: bytes) -> BatchDump:
        """The batch under an id: the first whose recomputed tree has that root, else the last that
        could be read."""
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
                problems.append(f"blob {blob_id} of {label} is no batch: {error.message}")
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

        NetworkUnavailable if it does not answer, MalformedMessage if it answers with anything else
        than the blob."""
        import httpx

        proxy = proxy_for(base, self._network.proxy)
        if proxy not in self._http:
            self._http[proxy] = httpx.AsyncClient(
                proxy=None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.auth),
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(self._blob_timeout),
                limits=httpx.Limits(max_connections=4),
                # Compressed, a small answer could be a large one.
                headers={"Accept-Encoding": "identity", "User-Agent": "opg_magic"},
            )
        label = urlsplit(base).hostname
        try:
            with quiet_libraries():
                async with (
                    asyncio.timeout(self._blob_timeout),
                    self._http[proxy].stream("GET", f"{base}/v1/blobs/{blob_id}") as answer,
                ):
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
        except TimeoutError:
            raise NetworkUnavailable(
                f"blob aggregator {label} did not give the blob within {self._blob_timeout:g} s"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkUnavailable(
                f"blob aggregator {label} unreachable: {type(error).__name__}"
            ) from None
        return bytes(content)


def _aggregator(url: str) -> str:
    """An aggregator's base URL without a slash at its end; ConfigError if it must not be asked."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("a blob aggregator's URL cannot be read") from None
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not safe or not host or parts.query or parts.fragment:
        raise ConfigError(
            "a blob aggregator's URL must begin with https:// and name a host, without query or "
            "fragment"
        )
    return url.rstrip("/")


def _signed(
    tee_id: str | bytes,
    input_hash: str | bytes,
    output_hash: str | bytes,
    signature: str | bytes,
    timestamp: int,
) -> _Signed:
    if isinstance(signature, str):
        try:
            signature = base64.b64decode(signature, validate=True)
        except binascii.Error:
            raise ValueError("the signature is not base64") from None
    # The last second of the year 9999: later ones are times of no block.
    if not 0 <= timestamp <= datetime.max.replace(tzinfo=UTC).timestamp():
        raise ValueError("the timestamp is not that of a block")
    return _Signed(_word(tee_id), _word(input_hash), _word(output_hash), signature, timestamp)


def _word(value: str | bytes) -> bytes:
    raw = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else value
    if len(raw) != 32:
        raise ValueError("hashes have 32 bytes")
    return raw
