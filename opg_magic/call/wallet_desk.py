"""The wallet of the network in use, as a person asks about it.  The key is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.models import Money
from opg_magic.models.networks import Network
from opg_magic.network import profiles

if TYPE_CHECKING:
    from opg_magic.call.kernel import Kernel


class WalletDesk:
    """Funds and allowance of one kernel's wallet.  Methods block; amounts are in base units.

    They raise WalletError, and NetworkUnavailable where the payment chain cannot be asked."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def info(self) -> dict[str, Any]:
        """Address, where the key is, balance and what Permit2 may still take; never the key.

        Open payments of this ledger may still take what they hold of both.
        """
        from opg_magic.wallet.funds import allowance_words

        network, _, route = self._kernel.connected()
        wallet = self._kernel.open_wallet(network)
        funds, held = self._kernel.run(route.funds(wallet.address))
        info = {
            "network": network.title,
            "address": wallet.address,
            "key": wallet.source,
            "balance": Money(funds.balance, network.token),
            "allowance": allowance_words(funds.allowance, network),
            "held by open payments": Money(held, network.token),
        }
        if warning := funds.warning(self._usual_cap(network), held, network):
            info["note"] = warning
        return info

    def allowances(self, amount: int, *, add: bool) -> tuple[int, int]:
        """What Permit2 may take from the wallet now, and what it is to be with ``amount`` more, or
        set; base units."""
        from opg_magic.wallet.funds import approved

        network, _, route = self._kernel.connected()
        funds, _ = self._kernel.run(route.funds(self._kernel.open_wallet(network).address))
        return funds.allowance, approved(funds.allowance, amount, add=add, network=network)

    def approve(self, amount: int) -> str:
        """Let Permit2 move ``amount`` base units in all from the wallet; returns the transaction's
        hash."""
        network, _, route = self._kernel.connected()
        return self._kernel.run(route.approve(self._kernel.open_wallet(network), amount))

    def _usual_cap(self, network: Network) -> Money:
        """What a payment holds: the highest cap of those that are open, or what most hosts ask
        for."""
        from opg_magic.ledger.store import network_key

        open_caps = [
            entry.authorisation.cap
            for entry in self._kernel.ledger.open_authorisations(network=network_key(network))
        ]
        usual = min(self._kernel.settings.get("max_cost_per_call"), profiles.OBSERVED_CAP)
        return Money(max(open_caps, default=usual), network.token)
