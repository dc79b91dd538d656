"""The functions and events of the contracts that clients use.

Source: ``abi.json`` beside this file, generated from the compiled contracts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Function:
    """One contract function: its four selector bytes, and the ABI types of what goes in and comes
    out."""

    name: str
    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def encode(self, *args: Any) -> bytes:
        """Return the calldata of a call with these arguments."""
        from eth_abi.abi import encode

        return self.selector + encode(self.inputs, args)

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Return what a call answered.  Raises ValueError if the bytes do not have these types."""
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        try:
            return tuple(decode(self.outputs, data))
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.name} returned other types ({type(error).__name__})") from None

    def decode_input(self, data: bytes) -> tuple[Any, ...]:
        """Return the arguments of calldata.  Raises ValueError if it is not for this function."""
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        if data[:4] != self.selector:
            raise ValueError(f"not a call of {self.name}")
        try:
            return tuple(decode(self.inputs, data[4:]))
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(
                f"the call of {self.name} has other types ({type(error).__name__})"
            ) from None

    def is_canonical(self, data: bytes, values: Sequence[Any]) -> bool:
        """Return whether ``values`` encode to exactly ``data``: if not, the types may be wrong."""
        from eth_abi.abi import encode

        return encode(self.outputs, values) == data


@dataclass(frozen=True, slots=True)
class Event:
    """One contract event: its first topic (0x-hex), and the ABI types of its indexed and its other
    parameters.

    Indexed parameters must be of fixed size: of any other type, a log holds only the hash.
    """

    name: str
    topic: str
    indexed: tuple[str, ...]
    plain: tuple[str, ...]

    def decode(self, topics: Sequence[bytes], data: bytes) -> tuple[Any, ...]:
        """Return the parameters of a log, the indexed ones first.  Raises ValueError if the log is
        another event's."""
        from eth_abi.abi import decode
        from eth_abi.exceptions import DecodingError

        if len(topics) != 1 + len(self.indexed) or "0x" + topics[0].hex() != self.topic:
            raise ValueError(f"not a log of {self.name}")
        try:
            first = tuple(
                decode((kind,), topic)[0]
                for kind, topic in zip(self.indexed, topics[1:], strict=True)
            )
            return first + tuple(decode(self.plain, data))
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise ValueError(
                f"the log of {self.name} has other types ({type(error).__name__})"
            ) from None


@cache
def function(contract: str, name: str) -> Function:
    """Return a function by its group in ``abi.json`` (``registry``, ``erc20``, ``permit2`` and so
    on) and its name."""
    from opg_magic.protocol.keccak import keccak256

    for entry in _abi()[contract]:
        if entry["type"] == "function" and entry["name"] == name:
            inputs = tuple(_type(p) for p in entry["inputs"])
            outputs = tuple(_type(p) for p in entry["outputs"])
            return Function(
                name, keccak256(f"{name}({','.join(inputs)})".encode())[:4], inputs, outputs
            )
    raise KeyError(f"{contract} has no function {name}")


@cache
def event(contract: str, name: str) -> Event:
    """Return an event by its group in ``abi.json`` and its name."""
    from opg_magic.protocol.keccak import keccak256

    for entry in _abi()[contract]:
        if entry["type"] == "event" and entry["name"] == name:
            inputs = entry["inputs"]
            topic = "0x" + keccak256(f"{name}({','.join(_type(p) for p in inputs)})".encode()).hex()
            indexed, plain = (
                tuple(_type(p) for p in inputs if p["indexed"] is wanted)
                for wanted in (True, False)
            )
            return Event(name, topic, indexed, plain)
    raise KeyError(f"{contract} has no event {name}")


def event_topic(contract: str, name: str) -> str:
    """Return the first topic of an event's logs, 0x-hex."""
    return event(contract, name).topic


@cache
def _abi() -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads(
        resources.files(__package__).joinpath("abi.json").read_text()
    )
    return loaded


def _type(parameter: Mapping[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(c) for c in parameter['components'])}){kind.removeprefix('tuple')}"
