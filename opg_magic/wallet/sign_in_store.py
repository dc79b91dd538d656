"""Where a sign-in is kept: in the OS keyring, else in a file under the keystore's password, else in
this process alone.

A small file says, for each network, that there is a sign-in and where; without it nothing heavy is
imported and no keyring is asked."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from opg_magic.errors import ConfigError, WalletError
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.settings import environment, paths, private_files
from opg_magic.settings.sign_in import SignIn

Place = Literal["keyring", "file", "process"]

#: scrypt's cost: a fifth of a second and 32 MiB.
_SCRYPT = {"n": 2**15, "r": 8, "p": 1}
_MAX_BYTES = 128 * 1024

#: Sign-ins of this process, each with the mark that its file had.
_known: dict[str, tuple[str | None, SignIn]] = {}


def place() -> Place:
    """Return where the next sign-in would be kept."""
    from opg_magic.wallet import os_keyring

    try:
        # A question that changes nothing; a keyring that is locked or absent refuses it.
        os_keyring.read_entry(_account("probe"))
        return "keyring"
    except WalletError:
        return "file" if environment.password() is not None else "process"


def keep(network: Network, sign_in: SignIn, where: Place) -> None:
    """Keep a sign-in, over the one before it, which stays if this one cannot be kept.

    Raises WalletError, ConfigError."""
    before = _read(network.name)
    if where == "process":
        _remove(network.name)
        mark = None
    else:
        mark = _record(network, sign_in, where)
    _known[network.name] = (mark, sign_in)
    if where != "keyring" and _in_keyring(before):
        # A keyring that is locked or gone must not stand in the way of a new sign-in.
        with suppress(WalletError):
            _delete_entry(network.name)


def _record(network: Network, sign_in: SignIn, where: Place) -> str:
    """Write the sign-in and where it is; return the mark of what was written."""
    from opg_magic.wallet import os_keyring

    record: dict[str, Any] = {"version": 1, "mark": secrets.token_hex(8), "place": where}
    if where == "keyring":
        os_keyring.write_entry(_account(network.name), _serialised(sign_in))
    else:
        password = environment.password()
        if password is None:
            raise WalletError("OPG_KEYSTORE_PASSWORD is not set. The sign-in was not kept.")
        record["sealed"] = _seal(_serialised(sign_in), password, network.name)
    _write(network.name, record)
    return str(record["mark"])


def current(network: Network) -> SignIn | None:
    """Return the sign-in for a network, expired or not; None if there is none.  Asks nobody.

    Raises WalletError if there is one that cannot be opened."""
    record = _read(network.name)
    mark = None if record is None else str(record.get("mark"))
    known = _known.get(network.name)
    if known is not None and known[0] == mark:
        return known[1]
    if record is None:
        # Another process signed out.
        _known.pop(network.name, None)
        return None
    found = _opened(network.name, record)
    if found is not None:
        _known[network.name] = (mark, found)
    return found


def kept_in(network: Network) -> Place | None:
    """Return where the sign-in for a network is; None if there is none."""
    record = _read(network.name)
    if record is not None:
        return "keyring" if _in_keyring(record) else "file"
    return "process" if network.name in _known else None


def forget(network: Network) -> bool:
    """Take the sign-in away wherever it is; return whether there was one.  Raises WalletError if
    the keyring does not let go of it."""
    there = kept_in(network) is not None
    record = _read(network.name)
    _known.pop(network.name, None)
    if _in_keyring(record):
        _delete_entry(network.name)
    _remove(network.name)
    return there


def _in_keyring(record: dict[str, Any] | None) -> bool:
    return record is not None and record.get("place") == "keyring"


def _delete_entry(network: str) -> None:
    from opg_magic.wallet import os_keyring

    os_keyring.delete_entry(_account(network))


def _remove(network: str) -> None:
    path = paths.existing(f"sign-in-{network}.json")
    if path is None:
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as problem:
        raise ConfigError(f"{path} cannot be removed: {problem.strerror}") from None


def _account(network: str) -> str:
    """The keyring's account.  It names the data folder too: two of them are two users."""
    from hashlib import sha256

    folder = sha256(str(paths.home()).encode()).hexdigest()[:12]
    return f"sign-in/{network}/{folder}"


def _serialised(sign_in: SignIn) -> Secret[str]:
    return Secret(
        json.dumps(
            {
                "relay": sign_in.relay,
                "token": sign_in.token.reveal(),
                "expires_at": sign_in.expires_at and sign_in.expires_at.timestamp(),
                "account": sign_in.account,
            }
        )
    )


def _deserialised(text: Secret[str]) -> SignIn | None:
    try:
        data = json.loads(text.reveal())
        expires_at = data["expires_at"]
        return SignIn(
            str(data["relay"]),
            Secret(str(data["token"])),
            None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
            data["account"],
        )
    except Exception:
        return None


def _opened(network: str, record: dict[str, Any]) -> SignIn | None:
    from opg_magic.wallet import os_keyring

    if _in_keyring(record):
        entry = os_keyring.read_entry(_account(network))
        if entry is None:
            return None
    else:
        password = environment.password()
        if password is None:
            raise WalletError(
                "Your sign-in is encrypted and its password is not set. Nothing was sent.",
                hint="Set OPG_KEYSTORE_PASSWORD in the environment, or sign in again: %opg login",
            )
        entry = _unseal(record.get("sealed"), password, network)
    found = None if entry is None else _deserialised(entry)
    if found is None:
        raise WalletError(
            "Your sign-in cannot be opened: wrong password, or a damaged file. Nothing was sent.",
            hint="Sign in again: %opg login",
        )
    return found


def _seal(text: Secret[str], password: Secret[str], network: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    cipher = ChaCha20Poly1305(_derived(password, salt))
    sealed = cipher.encrypt(nonce, text.reveal().encode(), network.encode())
    return {
        name: b64encode(value).decode()
        for name, value in (("salt", salt), ("nonce", nonce), ("text", sealed))
    }


def _unseal(sealed: Any, password: Secret[str], network: str) -> Secret[str] | None:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        salt, nonce, text = (b64decode(sealed[name]) for name in ("salt", "nonce", "text"))
        cipher = ChaCha20Poly1305(_derived(password, salt))
        return Secret(cipher.decrypt(nonce, text, network.encode()).decode())
    except Exception:
        return None


def _derived(password: Secret[str], salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(password.reveal().encode())


def _read(network: str) -> dict[str, Any] | None:
    path = paths.existing(f"sign-in-{network}.json")
    if path is None:
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(network: str, record: dict[str, Any]) -> None:
    path = paths.sign_in_file(network)
    try:
        private_files.write(path, json.dumps(record))
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written: {problem.strerror}") from None
