"""A reader's own RPCs, asked from ordinary, blocking code: what ``opg verify --rpc`` looks up.

No URL and no address from a receipt is ever used: RPCs are those that the reader names, contracts
those of the profile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from opg_magic.models import (
    Authorisation,
    BatchEvidence,
    IndividualEvidence,
    RegistryEvidence,
    SettlementTx,
)
from opg_magic.models.networks import Network, Token
from opg_magic.network.background import BackgroundLoop

if TYPE_CHECKING:
    from opg_magic.network.registry import RegistryReader
    from opg_magic.network.relay import SettlementReader
    from opg_magic.wallet.chain import PaymentChain

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RpcLookups:
    """What can be asked: None for a chain of which no RPC was named, or a relay that is not
    known."""

    registry: RegistryByRpc | None
    payment: PaymentsByRpc | None
    settlement: SettlementsByRpc | None


class RegistryByRpc:
    """Asks the registry."""

    def __init__(self, loop: BackgroundLoop, reader: RegistryReader) -> None:
        self._loop = loop
        self._reader = reader

    def at_block(self, tee_id: str, block_number: int) -> RegistryEvidence:
        """The entry of ``tee_id`` at that block."""
        return _run(self._loop, lambda: self._reader.at_block(tee_id, block_number))

    def revoked_since(self, tee_id: str, block_number: int) -> str | None:
        """What became of the host after that block, in words; None if it was not revoked."""
        return _run(self._loop, lambda: self._reader.revoked_since(tee_id, block_number))


class PaymentsByRpc:
    """Asks the payment chain."""

    def __init__(self, loop: BackgroundLoop, chain: PaymentChain, token: Token) -> None:
        self._loop = loop
        self._chain = chain
        #: What is paid with there, and how it is counted.
        self.token = token

    def settlement_of(self, authorisation: Authorisation) -> SettlementTx:
        """What became of an authorisation, by its nonce."""
        return _run(self._loop, lambda: self._chain.payment_evidence(authorisation))


class SettlementsByRpc:
    """Asks the settlement relay."""

    def __init__(
        self, loop: BackgroundLoop, reader: SettlementReader, senders: Sequence[str]
    ) -> None:
        self._loop = loop
        self._reader = reader
        #: Who alone may commit; empty: anyone.
        self.senders = tuple(senders)

    def committed(
        self, recorded: BatchEvidence | IndividualEvidence
    ) -> BatchEvidence | IndividualEvidence:
        """What the chain shows of a settlement that a receipt names."""
        return _run(self._loop, lambda: self._reader.committed(recorded))


@contextmanager
def rpc_lookups(
    *,
    registry_rpcs: Sequence[str] = (),
    payment_rpcs: Sequence[str] = (),
    network: Network | None = None,
) -> Iterator[RpcLookups]:
    """Lookups in a network's contracts through the RPCs named.

    ``network``: the one that the RPCs belong to unless given.  Its relay is on the registry's
    chain.
    """
    from opg_magic.network.profiles import resolve_by_rpcs
    from opg_magic.network.registry import RegistryReader
    from opg_magic.network.relay import SettlementReader
    from opg_magic.wallet.chain import PaymentChain

    network = network or resolve_by_rpcs([*registry_rpcs, *payment_rpcs])
    network = replace(network, registry_rpcs=tuple(registry_rpcs), payment_rpcs=tuple(payment_rpcs))
    loop = BackgroundLoop()

    async def make() -> tuple[RegistryReader | None, PaymentChain | None, SettlementReader | None]:
        return (
            RegistryReader(network) if registry_rpcs else None,
            PaymentChain(network) if payment_rpcs else None,
            SettlementReader(network)
            if registry_rpcs and network.settlement_relay is not None
            else None,
        )

    try:
        registry, chain, settlement = _run(loop, make)
        try:
            yield RpcLookups(
                RegistryByRpc(loop, registry) if registry else None,
                PaymentsByRpc(loop, chain, network.token) if chain else None,
                SettlementsByRpc(loop, settlement, network.settlement_senders)
                if settlement
                else None,
            )
        finally:
            for opened in (registry, chain, settlement):
                if opened is not None:
                    _run(loop, opened.aclose)
    finally:
        loop.close()


def _run(loop: BackgroundLoop, ask: Callable[[], Awaitable[T]]) -> T:
    async def work() -> T:
        return await ask()

    return loop.run(lambda _emit: work())
