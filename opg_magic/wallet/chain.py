"""What the payment chain knows: balances, the allowance of Permit2, its clock, and what became of
an authorisation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from opg_magic.errors import WrongChain
from opg_magic.models import Authorisation, SettlementTx
from opg_magic.models.networks import Network
from opg_magic.network.contract_call import read_number
from opg_magic.network.rpc import Rpc
from opg_magic.network.rpc_group import RpcGroup, check_contracts
from opg_magic.wallet.approval import Approval, approve_permit2
from opg_magic.wallet.keys import Wallet
from opg_magic.wallet.settle_call import Terms
from opg_magic.wallet.settlement_search import (
    Fits,
    Settlement,
    SettlementSearch,
    common_settlement,
)

T = TypeVar("T")


class PaymentChain:
    """Reads one network's payment chain; spends only in :meth:`approve`.  Close it with
    :meth:`aclose`.

    Every method raises :class:`NetworkUnavailable` if no RPC answers, :class:`WrongChain` if one
    that is asked serves another chain or lacks a contract."""

    def __init__(self, network: Network, *, timeout: float = 10.0) -> None:
        """``timeout``: seconds for one RPC request."""
        self._network = network
        self._group = RpcGroup(
            network.payment_rpcs,
            timeout=timeout,
            proxy=network.proxy,
            failure="payment chain unreachable",
        )
        self._checked: set[Rpc] = set()

    async def aclose(self) -> None:
        """Close the connections to the RPCs."""
        await self._group.aclose()

    async def check(self) -> None:
        """Make sure that every RPC that answers serves the right chain, with token, Permit2 and
        proxy in their places."""
        self._checked.clear()
        await self._group.ask_all(self._check)

    async def clock(self) -> datetime:
        """Return the time of the newest block (aware UTC)."""
        return (await self._first(lambda rpc: rpc.block("latest"))).time

    async def balance(self, address: str) -> int:
        """Return the token balance of ``address`` in base units."""
        token = self._network.token.address
        return await self._first(lambda rpc: read_number(rpc, "erc20", "balanceOf", token, address))

    async def allowance(self, address: str) -> int:
        """Return how much of the token Permit2 may draw from ``address``, in base units."""
        token, permit2 = self._network.token.address, self._network.permit2
        return await self._first(
            lambda rpc: read_number(rpc, "erc20", "allowance", token, address, permit2)
        )

    async def gas_balance(self, address: str) -> int:
        """Return the native coin of ``address`` in wei.  An approval costs some; a call costs
        none."""

        async def ask(rpc: Rpc) -> int:
            return rpc.quantity(await rpc.call("eth_getBalance", [address, "latest"]))

        return await self._first(ask)

    async def approve(self, wallet: Wallet, amount: int, *, timeout: float = 120.0) -> Approval:
        """Let Permit2 draw exactly ``amount`` base units of the token, and wait until that is
        mined.

        This sends a transaction and costs gas.  Raises :class:`WalletError` if it cannot be paid
        for, is reverted, or is not mined within ``timeout`` seconds (it still may be later)."""

        async def itself(rpc: Rpc) -> Rpc:
            return rpc

        rpc = await self._first(itself)
        return await approve_permit2(rpc, self._network, wallet, amount, timeout=timeout)

    async def find_settlement(self, auth: Authorisation) -> Settlement:
        """Return what became of ``auth``, by its Permit2 nonce.

        A transaction that spent the nonce under other terms than those of ``auth`` does not count
        as found.  With several RPCs, all that answer must agree: else :class:`RpcsDisagree`."""
        return await self._find(auth, Terms.settles)

    async def payment_evidence(self, auth: Authorisation) -> SettlementTx:
        """Return what the chain shows of ``auth``, for the claim ``payment`` to check.

        A transaction that spent the nonce under other terms is found too: its figures are its own,
        not those that were signed.  ``shared`` and ``remainder`` are left to the caller, who knows
        the calls of the payment session.  Raises like :meth:`find_settlement`."""
        from opg_magic.protocol.addresses import checksum_address

        found = await self._find(auth, Terms.spends)
        terms = found.terms
        return SettlementTx(
            status=found.status,
            chain_id=self._network.payment_chain_id,
            tx_hash=found.tx_hash,
            block_number=found.block_number,
            block_hash=found.block_hash,
            block_time=found.block_time,
            token=found.token,
            payer=checksum_address(terms.payer) if terms else None,
            payee=found.payee,
            facilitator=checksum_address(terms.facilitator) if terms else None,
            amount=found.amount,
            cap=terms.cap if terms else None,
            nonce=terms.nonce if terms else None,
            seen_at_block=found.seen_at,
            rpcs=found.rpcs,
        )

    async def _find(self, auth: Authorisation, fits: Fits) -> Settlement:
        network = self._network
        if auth.chain_id != network.payment_chain_id:
            raise WrongChain(
                f"the authorisation is for chain {auth.chain_id}; {network.title} pays on chain "
                f"{network.payment_chain_id}"
            )
        search = SettlementSearch(network, auth, fits)
        return common_settlement(await self._group.ask_all(self._checking(search.ask)))

    async def _first(self, ask: Callable[[Rpc], Awaitable[T]]) -> T:
        return await self._group.ask_first(self._checking(ask))

    def _checking(self, ask: Callable[[Rpc], Awaitable[T]]) -> Callable[[Rpc], Awaitable[T]]:
        """The question, put only to an RPC that serves the right chain."""

        async def checked(rpc: Rpc) -> T:
            await self._check(rpc)
            return await ask(rpc)

        return checked

    async def _check(self, rpc: Rpc) -> None:
        if rpc in self._checked:
            return
        network = self._network
        places = {
            "token": network.token.address,
            "Permit2": network.permit2,
            "upto proxy": network.upto_proxy,
        }
        needs = f"{network.title} pays on"
        await check_contracts(rpc, network.payment_chain_id, places, needs=needs)
        self._checked.add(rpc)
