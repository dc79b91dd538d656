"""Keccak-256 as Ethereum uses it (the padding of the original submission, not that of FIPS 202)."""

from __future__ import annotations


def keccak256(data: bytes) -> bytes:
    """The 32-byte Keccak-256 digest of ``data``."""
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()
