"""Ethereum addresses as text."""

from __future__ import annotations

import re

#: 20 bytes of hex, in any case.
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def checksum_address(address: str) -> str:
    """Return an address in EIP-55 case.  Raises ValueError if it is not 20 bytes of hex."""
    if not ADDRESS.fullmatch(address):
        raise ValueError("an address is 0x and 40 hex digits")
    from opg_magic.protocol.keccak import keccak256

    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(h, 16) >= 8 else c for c, h in zip(digits, digest, strict=False)
    )
