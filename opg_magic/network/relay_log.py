"""The settlement relay's events on the registry chain, as all RPCs show them.

A settlement publishes the hashes of signed answers.  RPCs and the relay's address come from the
network's profile alone, never from a receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from opg_magic.errors import ConfigError, NetworkUnavailable
from opg_magic.models.networks import Network
from opg_magic.network.rpc import Block, Log, Rpc, first_block_since, logs
from opg_magic.network.rpc_group import RpcGroup, agreed, checked_head

#: Clocks of host and chain may differ by this many seconds: the margin at both ends of a search.
TIME_MARGIN = 600
#: Bounds of one search: blocks, and events in them.
MAX_BLOCKS = 50_000
MAX_EVENTS = 2000


@dataclass(frozen=True, slots=True)
class Span:
    """Blocks ``first`` to ``last``, and the RPCs that have them.

    ``complete``: it reaches as far as was asked for."""

    rpcs: tuple[Rpc, ...]
    first: int
    last: Block
    complete: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """The RPCs by the only name that is ever shown."""
        return tuple(rpc.label for rpc in self.rpcs)


class RelayLog:
    """Reads what one network's relay has logged.  Close it with :meth:`aclose`.

    Every method raises :class:`NetworkUnavailable` if no RPC answers, :class:`RpcsDisagree` if two
    contradict each other, :class:`WrongChain` if the relay is not where it should be."""

    def __init__(self, network: Network, *, timeout: float) -> None:
        """``timeout``: seconds for one RPC request.  Raises :class:`ConfigError` if the network has
        no relay."""
        if network.settlement_relay is None:
            raise ConfigError(
                f"no settlement relay of {network.title} is known",
                hint="Set settlement_relay before you look for settlements.",
            )
        self.relay = network.settlement_relay
        self._network = network
        self._group = RpcGroup(
            network.registry_rpcs,
            timeout=timeout,
            proxy=network.proxy,
            failure="settlements cannot be looked up",
        )

    async def aclose(self) -> None:
        """Close the connections to the RPCs."""
        await self._group.aclose()

    async def span(self, since: datetime | None, until: datetime | None, timestamp: int) -> Span:
        """Return the blocks from ``since`` (``timestamp`` if None) to ``until`` (now if None) that
        every answering RPC has, with a margin at both ends."""
        begin = (since.timestamp() if since is not None else timestamp) - TIME_MARGIN
        heads = await self._heads()
        last = min(heads.values(), key=lambda block: block.number)
        first = await self._group.ask_first(
            lambda rpc: first_block_since(rpc, begin, last), of=heads
        )
        complete = True
        if until is not None:
            end = until.timestamp() + TIME_MARGIN
            if end < last.timestamp:
                head = last
                last = await self._group.ask_first(
                    lambda rpc: first_block_since(rpc, end, head), of=heads
                )
            else:
                complete = last.timestamp >= until.timestamp()
        if last.number - first.number >= MAX_BLOCKS:
            last = await self._group.ask_first(
                lambda rpc: rpc.block(first.number + MAX_BLOCKS - 1), of=heads
            )
            complete = False
        return Span(tuple(heads), first.number, last, complete)

    async def block_span(self, number: int) -> Span:
        """Return that one block; not ``complete`` if the chain has not reached it."""
        heads = await self._heads()
        rpcs, last = tuple(heads), next(iter(heads.values()))
        reached = last.number >= number
        if reached:
            last = await self._group.ask_first(lambda rpc: rpc.block(number), of=rpcs)
        return Span(rpcs, number, last, reached)

    async def logs(self, span: Span, topics: list[str | None]) -> list[Log]:
        """Return the relay's logs in these blocks, :data:`MAX_EVENTS` at most."""

        async def one(rpc: Rpc) -> list[Log]:
            return await logs(
                rpc, self.relay, topics, span.first, span.last.number, most=MAX_EVENTS
            )

        answers = await self._group.ask_all(one, of=span.rpcs, every=True)
        return agreed(answers, f"the settlements in blocks {span.first} to {span.last.number}")

    async def sender(self, span: Span, tx_hash: str) -> str:
        """Return who sent a transaction (EIP-55)."""
        from opg_magic.protocol.addresses import checksum_address

        async def one(rpc: Rpc) -> str:
            raw = await rpc.call("eth_getTransactionByHash", [tx_hash])
            try:
                return checksum_address(str(raw["from"]))
            except (TypeError, KeyError, ValueError):
                raise NetworkUnavailable(
                    f"RPC {rpc.label} does not know transaction {tx_hash}"
                ) from None

        senders = await self._group.ask_all(one, of=span.rpcs, every=True)
        return agreed(senders, f"who sent transaction {tx_hash}")

    async def time(self, span: Span, log: Log) -> datetime:
        """Return the time of a log's block, which must still be that block everywhere."""
        blocks = await self._group.ask_all(
            lambda rpc: rpc.block(log.block_number), of=span.rpcs, every=True
        )
        for rpc, block in blocks.items():
            if block.hash != log.block_hash:
                raise NetworkUnavailable(
                    f"RPC {rpc.label} replaced block {log.block_number} while it was being read"
                )
        return agreed(blocks, f"the time of block {log.block_number}").time

    async def _heads(self) -> dict[Rpc, Block]:
        """The RPCs that answer, each on the right chain with the relay there, and their newest
        blocks."""
        network = self._network

        async def head(rpc: Rpc) -> Block:
            return await checked_head(
                rpc,
                network.registry_chain_id,
                {"settlement relay": self.relay},
                needs=f"{network.title} settles on",
            )

        return await self._group.ask_all(head)
