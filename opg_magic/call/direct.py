"""The direct route: hosts from the on-chain registry, TLS to each, x402 payment from the wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from opg_magic.call.paying import UptoPayments
from opg_magic.call.state import CallSite
from opg_magic.models import Host
from opg_magic.models.networks import Network
from opg_magic.models.prompts import RouteName
from opg_magic.network.registry import RegistryReader
from opg_magic.network.transport import HostClient, HostPool
from opg_magic.wallet.chain import PaymentChain

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.wallet.funds import Funds
    from opg_magic.wallet.keys import Wallet


class DirectRoute:
    """Implements :class:`opg_magic.call.route.Route`.  All methods run on one event loop."""

    name: RouteName = "direct"

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        *,
        wallet: Callable[[], Wallet],
        call_site: Callable[[], CallSite],
    ) -> None:
        """``wallet`` opens the wallet; it is asked only when something is to be signed."""
        self._network = network
        self._ledger = ledger
        self.directory = RegistryReader(network)
        self.pool = HostPool(proxy=network.proxy)
        self.chain = PaymentChain(network)
        self.payments = UptoPayments(
            network, self.pool, self.chain, ledger, wallet=wallet, call_site=call_site
        )

    def channel(self, host: Host) -> HostClient:
        """The pinned connection to a host.  Raises ChannelRefused if its entry cannot be used."""
        return self.pool.client(host)

    async def funds(self, address: str) -> tuple[Funds, int]:
        """What an address has, and how much of it open authorisations may still take (base units).

        Raises NetworkUnavailable."""
        await self.chain.check()
        seen = await self.payments.read_funds(address)
        return seen, self._ledger.held(self._network, address, seen.at)

    async def approve(self, wallet: Wallet, amount: int) -> str:
        """Allow Permit2 to move ``amount`` base units in all; returns the transaction's hash.

        Raises WalletError, NetworkUnavailable."""
        await self.chain.check()
        return (await self.chain.approve(wallet, amount)).tx_hash

    async def aclose(self) -> None:
        """Forget the session ids and close the connections.  Hosts settle an idle session
        themselves."""
        self.payments.sessions.clear()
        await asyncio.gather(
            self.pool.aclose(),
            self.directory.aclose(),
            self.chain.aclose(),
            return_exceptions=True,
        )
