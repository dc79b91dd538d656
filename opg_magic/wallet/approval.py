"""Lets Permit2 draw tokens from a wallet: the only transaction that opg_magic ever sends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opg_magic.errors import WalletError
from opg_magic.models import format_units
from opg_magic.models.networks import Network
from opg_magic.network.abi import function
from opg_magic.network.contract_call import read_number
from opg_magic.network.rpc import Rpc, RpcError
from opg_magic.wallet.keys import Wallet

#: Seconds between two looks for a transaction's receipt.
RECEIPT_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class Approval:
    """A mined ERC-20 approval of Permit2; ``allowance`` in base units."""

    tx_hash: str
    block_number: int
    allowance: int


async def approve_permit2(
    rpc: Rpc, network: Network, wallet: Wallet, amount: int, *, timeout: float
) -> Approval:
    """Send an ERC-20 approval of Permit2 for exactly ``amount`` base units; wait until it is mined.

    This sends a transaction and costs gas.  It goes through one RPC from beginning to end: another
    one could be sent the same transaction a second time.

    Raises :class:`WalletError` if gas cannot be paid for, if the transaction is reverted, or if it
    is not mined within ``timeout`` seconds (it still may be later)."""
    call = {
        "from": wallet.address,
        "to": network.token.address,
        "data": "0x" + function("erc20", "approve").encode(network.permit2, amount).hex(),
    }
    try:
        nonce, gas, price, tip, coin = await asyncio.gather(
            _quantity(rpc, "eth_getTransactionCount", [wallet.address, "pending"]),
            _quantity(rpc, "eth_estimateGas", [call]),
            _quantity(rpc, "eth_gasPrice", []),
            _quantity(rpc, "eth_maxPriorityFeePerGas", []),
            _quantity(rpc, "eth_getBalance", [wallet.address, "latest"]),
        )
        gas = gas * 6 // 5
        # Twice the current price: the base fee may rise until the transaction is mined.
        fee = 2 * price + tip
        if coin < gas * price:
            raise WalletError(
                f"the approval costs about {format_units(gas * price, 18)} of the chain's coin "
                f"for gas; {wallet.address} has {format_units(coin, 18)}"
            )
        fee = min(fee, coin // gas)
        raw = wallet.sign_approval(
            network,
            amount=amount,
            nonce=nonce,
            gas=gas,
            max_fee=fee,
            max_priority_fee=min(tip, fee),
        )
        tx_hash = rpc.hash(await rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()]))
    except RpcError as error:
        raise WalletError(f"the approval was refused by the chain: {error}") from None
    receipt = await _mined(rpc, tx_hash, timeout)
    if rpc.quantity(receipt.get("status")) != 1:
        raise WalletError(f"the approval {tx_hash} was reverted")
    allowance = await read_number(
        rpc, "erc20", "allowance", network.token.address, wallet.address, network.permit2
    )
    return Approval(tx_hash, rpc.quantity(receipt.get("blockNumber")), allowance)


async def _mined(rpc: Rpc, tx_hash: str, timeout: float) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(timeout):
            while True:
                receipt = await rpc.call("eth_getTransactionReceipt", [tx_hash])
                if isinstance(receipt, Mapping):
                    return receipt
                await asyncio.sleep(RECEIPT_INTERVAL)
    except TimeoutError:
        raise WalletError(
            f"the approval {tx_hash} was sent but not mined after {timeout:g} s",
            hint="It may still be mined: look again with `opg wallet show`.",
        ) from None


async def _quantity(rpc: Rpc, method: str, params: Sequence[Any]) -> int:
    return rpc.quantity(await rpc.call(method, params))
