"""Keystore files: a private key encrypted with a password (Web3 Secret Storage v3, scrypt)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from opg_magic.errors import WalletError
from opg_magic.models.secret import Secret
from opg_magic.settings import environment, paths, private_files
from opg_magic.wallet.private_key import address_of, new_key, parse_key

PASSWORD_VARIABLE = "OPG_KEYSTORE_PASSWORD"  # noqa: S105 (the variable's name)
MIN_PASSWORD_CHARS = 8
_MAX_KEYSTORE_BYTES = 64 * 1024


def create_keystore(
    path: Path | None = None,
    *,
    password: Secret[str],
    key: Secret[bytes] | None = None,
    iterations: int | None = None,
) -> str:
    """Write a new encrypted keystore file, readable by its owner only, and return its address.

    ``path``: the user's own keystore unless given.  ``key``: a fresh one unless given.
    ``iterations``: scrypt's cost, the library's default if None.

    Raises :class:`WalletError` if the password is too short, the file exists (it is never
    overwritten) or cannot be written."""
    from eth_account import Account

    path = paths.keystore_file() if path is None else path
    if len(password.reveal()) < MIN_PASSWORD_CHARS:
        raise WalletError(f"a keystore's password needs at least {MIN_PASSWORD_CHARS} characters")
    if key is None:
        key = new_key()
    address = address_of(key)
    document: dict[str, Any] | None
    try:
        document = Account.encrypt(
            key.reveal(), password.reveal(), kdf="scrypt", iterations=iterations
        )
    except Exception:
        document = None
    if document is None:
        raise WalletError("the keystore could not be encrypted")
    try:
        private_files.create(path, json.dumps(document))
    except FileExistsError:
        raise WalletError(f"{path} already exists and is not overwritten") from None
    except OSError as error:
        raise WalletError(f"{path} cannot be written: {error.strerror}") from None
    return address


def keystore_address(path: Path | None = None) -> str | None:
    """Return the address that a keystore file names, without its password; None if there is no
    such file.  Raises :class:`WalletError` if it is not a keystore file."""
    from opg_magic.protocol.addresses import checksum_address

    path = paths.keystore_file() if path is None else path
    if not path.exists():
        return None
    try:
        return checksum_address(
            "0x" + str(_load_keystore(path).get("address", "")).removeprefix("0x")
        )
    except ValueError:
        raise WalletError(f"{path} names no address") from None


def read_keystore(path: Path) -> Secret[bytes]:
    """Return the key of a keystore file.  Its password comes from ``OPG_KEYSTORE_PASSWORD``, or is
    asked for on a terminal.  Raises :class:`WalletError`."""
    from eth_account import Account

    document = _load_keystore(path)
    password = _password()
    key: Secret[bytes] | None = None
    try:
        key = Secret(bytes(Account.decrypt(document, password.reveal())))
    except Exception:
        key = None
    if key is None:
        raise WalletError(
            f"{path} could not be opened: wrong password, or not a keystore file of version 3"
        )
    return parse_key(key, str(path))


def _load_keystore(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_KEYSTORE_BYTES:
            raise WalletError(f"{path} is too large for a keystore file")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise WalletError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        document = json.loads(path.read_text())
    except OSError as error:
        raise WalletError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise WalletError(f"{path} is not a keystore file")
    return document


def _password() -> Secret[str]:
    given = environment.password()
    if given is not None:
        return given
    # A kernel has no terminal: getpass would ask a front end, and headless runs would wait for
    # ever.
    if sys.stdin is None or not sys.stdin.isatty() or "ipykernel" in sys.modules:
        raise WalletError(
            "the keystore needs its password, and there is no terminal to ask at",
            hint=f"Set {PASSWORD_VARIABLE} in the environment of the kernel.",
        )
    import getpass

    return Secret(getpass.getpass("Password of the opg keystore: "))


def new_password() -> Secret[str]:
    """Return the password of a new keystore: from the environment, or typed twice at a terminal.

    Raises :class:`WalletError` if it is empty, or the two differ."""
    first = _password()
    if not first:
        raise WalletError("The password is empty. No keystore was written.")
    if environment.password() is None:
        import getpass

        if Secret(getpass.getpass("Again: ")) != first:
            raise WalletError("The two passwords differ. No keystore was written.")
    return first
