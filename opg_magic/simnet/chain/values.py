"""JSON-RPC's forms of values, to and from Python's.  What cannot be read raises
:class:`~opg_magic.simnet.chain.errors.RpcError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opg_magic.simnet.chain.errors import invalid_params

_REQUIRED = object()


def param(params: Sequence[Any], index: int, default: Any = _REQUIRED) -> Any:
    """A parameter by its place.  Raises RpcError if it is missing and has no default."""
    if index < len(params):
        return params[index]
    if default is _REQUIRED:
        raise invalid_params(f"parameter {index + 1} is missing")
    return default


def data(value: Any) -> bytes:
    """Bytes from 0x-hex."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid_params("expected 0x-hex")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise invalid_params("expected 0x-hex") from error


def quantity(value: Any) -> int:
    """A number from 0x-hex; a plain integer too, as some clients send for counts."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str) or not value.startswith("0x"):
        raise invalid_params("expected a number in 0x-hex")
    try:
        return int(value[2:], 16)
    except ValueError as error:
        raise invalid_params("expected a number in 0x-hex") from error


def address(value: Any) -> bytes:
    """An account's 20 bytes from 0x-hex."""
    raw = data(value)
    if len(raw) != 20:
        raise invalid_params("expected an address of 20 bytes")
    return raw


def hash32(value: Any) -> str:
    """A hash of 32 bytes, as lower-case 0x-hex."""
    raw = data(value)
    if len(raw) != 32:
        raise invalid_params("expected a hash of 32 bytes")
    return "0x" + raw.hex()


def topics(value: Any) -> list[set[str] | None]:
    """For each position: None (any topic), or the topics of which it must hold one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_params("topics must be a list")
    return [
        None
        if choice is None or choice == []
        else {hash32(t) for t in (choice if isinstance(choice, list) else [choice])}
        for choice in value
    ]


def to_hex(value: Any) -> str:
    """Bytes as 0x-hex."""
    return "0x" + bytes(value).hex()
