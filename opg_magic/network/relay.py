"""Finds where a call's hashes were published: the settlement relay's events on the registry chain,
and the trees of the batches that they commit to.

An answer carries no pointer to its batch, and nothing that a receipt says is followed.  RPCs,
relay, senders and blob aggregators are those of the network's profile alone."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from opg_magic.errors import NetworkUnavailable
from opg_magic.models import BatchEvidence, IndividualEvidence
from opg_magic.models.networks import Network
from opg_magic.network.abi import Event, event
from opg_magic.network.blob_store import BLOB_ID, BlobMissing, BlobStore
from opg_magic.network.relay_log import MAX_EVENTS, RelayLog, Span
from opg_magic.network.rpc import Log

#: The most blobs that one search fetches.
MAX_BLOBS = 64
#: Searches of which a reader remembers the events it has examined.
KEPT_SEARCHES = 256

#: A log is known by its block's hash and its place in it.
_LogKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class BatchSearch:
    """The result of a search for a batch.

    ``evidence`` is None if the answer is in none of the batches examined.  ``events``: how many
    there were; ``until``: the time of the newest block.  ``complete``: everything asked for was
    examined.  ``problems``: what is wrong with events and blobs, in words.  ``unreachable``: the
    number of blobs about which no aggregator answered."""

    evidence: BatchEvidence | None
    events: int
    until: datetime
    complete: bool
    problems: tuple[str, ...] = ()
    unreachable: int = 0


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed answer: 32 bytes each, and the signature."""

    tee_id: bytes
    input_hash: bytes
    output_hash: bytes
    signature: bytes
    timestamp: int

    @property
    def leaf(self) -> bytes:
        """Its hash as a leaf of a batch's tree."""
        from opg_magic.protocol import merkle

        return merkle.leaf_hash(
            self.tee_id, self.input_hash, self.output_hash, self.signature, self.timestamp
        )


@dataclass(frozen=True, slots=True)
class _Commitment:
    """A batch that was committed to: by whom, under which root, and where its blob is."""

    log: Log
    root: bytes
    size: int
    blob_id: str
    sender: str

    @property
    def name(self) -> str:
        return f"the batch of block {self.log.block_number}"


@dataclass(slots=True)
class _Examined:
    """Events that cannot hold a leaf, and events whose batch could not be had."""

    ruled_out: set[_LogKey] = field(default_factory=set)
    missed: set[_LogKey] = field(default_factory=set)


class SettlementReader:
    """Reads one network's data settlements.  Close it with :meth:`aclose`."""

    def __init__(
        self, network: Network, *, timeout: float = 10.0, blob_timeout: float = 20.0
    ) -> None:
        """``timeout``: seconds for one RPC request; ``blob_timeout``: for one blob from one
        aggregator, as a whole.

        Raises :class:`ConfigError` if the network has no relay, or if an aggregator's URL is not
        safe to ask (only https, or http on this machine)."""
        self._log = RelayLog(network, timeout=timeout)
        self._network = network
        self._blobs = BlobStore(network.blob_aggregators, timeout=blob_timeout, proxy=network.proxy)
        #: By leaf.  The next search goes on behind the events examined, so that nobody can hide a
        #: batch for good behind a pile of others.
        self._earlier: dict[bytes, _Examined] = {}

    async def aclose(self) -> None:
        """Close the connections to RPCs and aggregators."""
        await self._log.aclose()
        await self._blobs.aclose()

    # -------------------------------------------------------------------------------------- batches

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
        """Return the batch that holds this signed answer, with the path to its root; None if there
        is none yet.

        Hashes and ID are hex or 32 bytes, ``signature`` base64 or bytes, ``timestamp`` Unix seconds
        as signed.  The relay's events are searched from ``since`` (the signed time, if not given)
        to ``until`` (now), each with a margin for clocks that differ.

        If the network's own sender committed another root than that of the batch it published, the
        evidence has the committed root and a proof that does not lead to it: the claim then fails.

        Raises :class:`NetworkUnavailable` if no RPC answers, or if the answer is in no batch
        examined and some could not be: a search fetches at most :data:`MAX_BLOBS`, and the same
        reader's next one goes on behind them.  Raises :class:`RpcsDisagree`, :class:`WrongChain`,
        and ValueError for malformed arguments."""
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
        """Like :meth:`find_batch`, and tells everything that was found on the way."""
        leaf = _signed(tee_id, input_hash, output_hash, signature, timestamp).leaf
        span = await self._log.span(since, until, timestamp)
        wanted = event("settlement_relay", "BatchSettlement")
        found = await self._log.logs(span, [wanted.topic])
        search = BatchSearch(
            None, len(found), span.last.time, span.complete and len(found) < MAX_EVENTS
        )
        examined = self._examined(leaf)
        new = [log for log in found if _key(log) not in examined.ruled_out]
        second_best: BatchEvidence | None = None
        fetched = 0
        problems: list[str] = []
        # What could not be had last time comes after what was never examined.
        for log in sorted(new, key=lambda log: _key(log) in examined.missed):
            batch = await self._commitment(span, log, wanted, problems)
            if batch is None:
                continue
            if not self._blobs.remembers(batch.root):
                if fetched == MAX_BLOBS:
                    search = replace(search, complete=False)
                    break
                fetched += 1
            try:
                evidence, matches = await self._evidence(span, batch, leaf, examined, problems)
            except BlobMissing as missing:
                problems.append(f"{batch.name}: {missing}")
                search = replace(search, unreachable=search.unreachable + missing.unreachable)
                examined.missed.add(_key(log))
                continue
            if evidence is not None and matches:
                return replace(search, evidence=evidence, problems=tuple(problems))
            # Anyone can commit a wrong root for somebody's batch: it says something only about the
            # network's own sender.
            if self._network.settlement_senders:
                second_best = second_best or evidence
        return replace(search, evidence=second_best, problems=tuple(problems))

    async def _commitment(
        self, span: Span, log: Log, wanted: Event, problems: list[str]
    ) -> _Commitment | None:
        """What a log commits to; None, with the problem told, if it is of no use."""
        try:
            root, size, raw_id = wanted.decode(log.topics, log.data)
            blob_id = raw_id.decode("ascii")
        except (ValueError, UnicodeDecodeError):
            problems.append(f"an event in block {log.block_number} cannot be read")
            return None
        if not BLOB_ID.fullmatch(blob_id):
            problems.append(f"the batch of block {log.block_number} names no blob")
            return None
        sender = await self._log.sender(span, log.tx_hash)
        if not self._is_sender(sender):
            problems.append(
                f"the batch of block {log.block_number} was sent by {sender}, who is not the "
                f"network's"
            )
            return None
        return _Commitment(log, root, size, blob_id, sender)

    async def _evidence(
        self, span: Span, batch: _Commitment, leaf: bytes, examined: _Examined, problems: list[str]
    ) -> tuple[BatchEvidence | None, bool]:
        """The evidence that this batch holds the leaf, None if it does not; and whether the batch
        has the committed root.  Raises :class:`BlobMissing`."""
        dump = await self._blobs.batch(batch.blob_id, batch.root)
        matches = dump.root == batch.root
        other_root = f"{batch.name} has another root than the one committed"
        try:
            proof = dump.tree.proof(leaf)
        except ValueError:
            if matches:
                examined.ruled_out.add(_key(batch.log))
            else:
                examined.missed.add(_key(batch.log))
                problems.append(other_root)
            return None, matches
        if dump.tree.size != batch.size:
            problems.append(f"{batch.name} has {dump.tree.size} items, not {batch.size}")
        if not matches:
            problems.append(other_root)
        return BatchEvidence(
            root="0x" + batch.root.hex(),
            leaf="0x" + leaf.hex(),
            proof=tuple("0x" + node.hex() for node in proof),
            tx_hash=batch.log.tx_hash,
            block_number=batch.log.block_number,
            block_hash=batch.log.block_hash,
            block_time=await self._log.time(span, batch.log),
            relay=self._log.relay,
            chain_id=self._network.registry_chain_id,
            blob_id=batch.blob_id,
            batch_size=dump.tree.size,
            sender=batch.sender,
            rpcs=span.labels,
        ), matches

    def _examined(self, leaf: bytes) -> _Examined:
        """What earlier searches for this leaf examined."""
        if leaf not in self._earlier:
            while len(self._earlier) >= KEPT_SEARCHES:
                del self._earlier[next(iter(self._earlier))]
            self._earlier[leaf] = _Examined()
        return self._earlier[leaf]

    def _is_sender(self, address: str) -> bool:
        """Whether this sender's batches count: any, if the network's profile names none."""
        pinned = self._network.settlement_senders
        return not pinned or address.lower() in {known.lower() for known in pinned}

    # ------------------------------------------------------------------------------- single answers

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
        """Return the relay's event for exactly this signed answer, None if there is none yet.

        Arguments and errors as for :meth:`find_batch`.  The blob, which holds prompt and answer in
        plain text, is not fetched."""
        signed = _signed(tee_id, input_hash, output_hash, signature, timestamp)
        span = await self._log.span(since, until, timestamp)
        wanted = event("settlement_relay", "IndividualSettlement")
        for log in await self._log.logs(span, [wanted.topic, "0x" + signed.tee_id.hex()]):
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
                block_time=await self._log.time(span, log),
                relay=self._log.relay,
                chain_id=self._network.registry_chain_id,
                tee_id="0x" + host.hex(),
                input_hash="0x" + request.hex(),
                output_hash="0x" + answer.hex(),
                timestamp=when,
                signature=base64.b64encode(given).decode(),
                blob_id=_blob_text(blob_id),
                sender=await self._log.sender(span, log.tx_hash),
                rpcs=span.labels,
            )
        return None

    # ---------------------------------------------------------------------------- what receipts say

    async def committed(
        self, recorded: BatchEvidence | IndividualEvidence
    ) -> BatchEvidence | IndividualEvidence:
        """Return what the chain shows of a settlement that a receipt names: its event in that
        transaction and block.

        Block, relay, sender and batch size come back as the chain has them.  If the relay has no
        such event there, everything stays as recorded and ``committed`` is False.  The proof is for
        the claim to check.  Raises like :meth:`find_batch`."""
        kind = "BatchSettlement" if isinstance(recorded, BatchEvidence) else "IndividualSettlement"
        wanted = event("settlement_relay", kind)
        key = recorded.root if isinstance(recorded, BatchEvidence) else recorded.tee_id
        span = await self._log.block_span(recorded.block_number)
        if span.complete:
            for log in await self._log.logs(span, [wanted.topic, key.lower()]):
                if log.tx_hash == recorded.tx_hash.lower():
                    found = await self._as_logged(span, log, recorded, wanted)
                    if found is not None:
                        return found
        return replace(recorded, committed=False, rpcs=span.labels)

    async def _as_logged(
        self, span: Span, log: Log, recorded: BatchEvidence | IndividualEvidence, wanted: Event
    ) -> BatchEvidence | IndividualEvidence | None:
        """The recorded settlement with what this log, its block and its transaction say; None if
        the log is another's."""
        try:
            values = wanted.decode(log.topics, log.data)
        except ValueError:
            return None
        changes: dict[str, Any] = {
            "block_hash": log.block_hash,
            "block_time": await self._log.time(span, log),
            "relay": self._log.relay,
            "chain_id": self._network.registry_chain_id,
            "sender": await self._log.sender(span, log.tx_hash),
            "rpcs": span.labels,
            "committed": True,
        }
        if isinstance(recorded, BatchEvidence):
            _, size, blob_id = values
            return replace(recorded, batch_size=size, blob_id=_blob_text(blob_id), **changes)
        host, _, request, answer, when, blob_id, given = values
        logged = (
            "0x" + request.hex(),
            "0x" + answer.hex(),
            when,
            base64.b64encode(given).decode(),
        )
        said = (recorded.input_hash, recorded.output_hash, recorded.timestamp, recorded.signature)
        if logged != said:
            return None
        return replace(recorded, tee_id="0x" + host.hex(), blob_id=_blob_text(blob_id), **changes)


def _key(log: Log) -> _LogKey:
    return log.block_hash, log.index


def _blob_text(raw: bytes) -> str:
    return raw.decode("ascii", "replace")[:100]


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
    # The last second of the year 9999: no block has a later time.
    if not 0 <= timestamp <= datetime.max.replace(tzinfo=UTC).timestamp():
        raise ValueError("the timestamp is not that of a block")
    return _Signed(_word(tee_id), _word(input_hash), _word(output_hash), signature, timestamp)


def _word(value: str | bytes) -> bytes:
    raw = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else value
    if len(raw) != 32:
        raise ValueError("hashes have 32 bytes")
    return raw
