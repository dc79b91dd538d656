"""Reads one number from a contract."""

from __future__ import annotations

from typing import Any

from opg_magic.errors import NetworkUnavailable
from opg_magic.network.abi import function
from opg_magic.network.rpc import Rpc


async def read_number(
    rpc: Rpc,
    contract: str,
    name: str,
    address: str,
    *args: Any,
    block: int | str = "latest",
) -> int:
    """Return what the function ``name`` of a contract answers at a block.

    ``contract`` is its name in ``abi.json``.  Raises :class:`NetworkUnavailable` if there is no
    answer or it is not a number, :class:`opg_magic.network.rpc.RpcError` if the call reverts."""
    ask = function(contract, name)
    try:
        return int(ask.decode(await rpc.eth_call(address, ask.encode(*args), block))[0])
    except ValueError as error:
        raise NetworkUnavailable(f"RPC {rpc.label}: {error}") from None
