"""Private keys of secp256k1: reading one, making one, and its address.

A key is a :class:`Secret` of 32 bytes.  No frame that holds it revealed is part of a traceback."""

from __future__ import annotations

import secrets

from opg_magic.errors import WalletError
from opg_magic.models.secret import Secret

#: Order of the group of secp256k1 (SEC 2): a private key lies between 1 and this, exclusive.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def new_key() -> Secret[bytes]:
    """Return a fresh private key from the operating system's randomness."""
    while True:
        key = Secret(secrets.token_bytes(32))
        if 0 < int.from_bytes(key.reveal(), "big") < _ORDER:
            return key


def parse_key(given: Secret[str] | Secret[bytes], name: str) -> Secret[bytes]:
    """Return the private key given as 32 bytes, or as 64 hex digits with or without 0x.

    Raises :class:`WalletError`, which names ``name`` as its source and nothing of its
    value."""
    key: Secret[bytes] | None = None
    if isinstance(given.reveal(), bytes) and len(given.reveal()) == 32:
        key = Secret(bytes(given.reveal()))  # type: ignore[arg-type]
    elif isinstance(given.reveal(), str):
        key = _hex_key(given)  # type: ignore[arg-type]
    if key is None or not 0 < int.from_bytes(key.reveal(), "big") < _ORDER:
        raise WalletError(
            f"{name} holds no private key", hint="Expected: 64 hex digits, with or without 0x."
        )
    return key


def _hex_key(given: Secret[str]) -> Secret[bytes] | None:
    try:
        digits = Secret(given.reveal().strip().removeprefix("0x"))
        return Secret(bytes.fromhex(digits.reveal())) if len(digits.reveal()) == 64 else None
    except ValueError:
        return None


def address_of(key: Secret[bytes]) -> str:
    """Return the address of a private key (EIP-55).  Raises :class:`WalletError`."""
    address: str | None
    try:
        from eth_account import Account

        address = str(Account.from_key(key.reveal()).address)
    except Exception:
        address = None
    if address is None:
        raise WalletError("the private key has no address")
    return address
