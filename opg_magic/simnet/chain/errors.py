"""How a transaction or a request ends: its receipt, a contract's refusal, an error of JSON-RPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from opg_magic.errors import SimnetError

if TYPE_CHECKING:
    from eth.abc import ComputationAPI
    from hexbytes import HexBytes


class Receipt(TypedDict):
    """A mined transaction's outcome, with web3.py's names and types.  ``status`` 1: done, 0:
    reverted.

    Each of ``logs`` has ``address`` (str), ``topics`` (list of HexBytes), ``data`` (HexBytes) and
    ``logIndex``."""

    transactionHash: HexBytes
    blockNumber: int
    blockHash: HexBytes
    status: int
    gasUsed: int
    logs: list[dict[str, Any]]


class Reverted(SimnetError):
    """A contract refused.  ``reason`` is the text given with it or None, ``data`` the raw revert
    data."""

    def __init__(self, reason: str | None, data: bytes) -> None:
        super().__init__(f"execution reverted: {reason}" if reason else "execution reverted")
        self.reason = reason
        self.data = data


class RpcError(Exception):
    """An answer of the JSON-RPC kind ``error``: code (EIP-1474), message and data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-RPC has it."""
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else error | {"data": self.data}


def invalid_params(message: str) -> RpcError:
    """The error for parameters that a method does not take."""
    return RpcError(-32602, message)


def raise_if_reverted(computation: ComputationAPI) -> None:
    """Raise Reverted where a contract refused, RpcError where it failed otherwise."""
    from eth.exceptions import Revert

    if not computation.is_error:
        return
    error = computation.error
    if isinstance(error, Revert):
        raise Reverted(revert_reason(bytes(computation.output)), bytes(computation.output))
    raise RpcError(-32000, f"execution failed: {type(error).__name__}")


def revert_reason(data: bytes) -> str | None:
    """The text of a ``revert("text")``; None for custom errors and for no data."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    if data[:4] != bytes.fromhex("08c379a0"):
        return None
    try:
        (reason,) = decode(["string"], data[4:])
    except DecodingError:
        return None
    return str(reason)
