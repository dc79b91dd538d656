"""The operating system's keyring as a place for the wallet's key and for sign-ins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opg_magic.errors import WalletError
from opg_magic.models.secret import Secret
from opg_magic.wallet.private_key import address_of, new_key, parse_key

KEYRING_SERVICE = "opg_magic"
KEYRING_ACCOUNT = "wallet"
#: Seconds to wait for the keyring: beyond that, it waits for a person who is not there.
KEYRING_TIMEOUT = 15.0


def read_keyring() -> Secret[bytes]:
    """Return the key in the keyring, under service ``opg_magic``, account ``wallet``.

    Raises :class:`WalletError` if there is none, or the keyring does not answer in time."""
    backend = _safe_keyring()
    found = _in_time(lambda: backend.get_password(KEYRING_SERVICE, KEYRING_ACCOUNT))
    if found is None:
        raise WalletError(
            f"the keyring holds no key under {KEYRING_SERVICE}/{KEYRING_ACCOUNT}",
            hint="Make one: opg wallet new --keyring",
        )
    return parse_key(found, "the keyring's entry")


def write_keyring(key: Secret[bytes] | None = None) -> str:
    """Put a key (a fresh one unless given) into the keyring and return its address.

    Raises :class:`WalletError`; an existing entry is never overwritten."""
    backend = _safe_keyring()
    key = new_key() if key is None else key
    if _in_time(lambda: backend.get_password(KEYRING_SERVICE, KEYRING_ACCOUNT)) is not None:
        raise WalletError(
            f"the keyring already has a key under {KEYRING_SERVICE}/{KEYRING_ACCOUNT}; it is "
            f"not overwritten"
        )
    _in_time(
        lambda: backend.set_password(KEYRING_SERVICE, KEYRING_ACCOUNT, "0x" + key.reveal().hex())
    )
    return address_of(key)


def read_entry(account: str) -> Secret[str] | None:
    """Return what the keyring holds for an account of service ``opg_magic``, None if nothing.

    Raises :class:`WalletError` if no keyring keeps secrets, or it does not answer in time."""
    backend = _safe_keyring()
    return _in_time(lambda: backend.get_password(KEYRING_SERVICE, account))


def write_entry(account: str, value: Secret[str]) -> None:
    """Put ``value`` into the keyring, over what is there.  Raises :class:`WalletError`.

    The wallet's own entry cannot be written this way."""
    if account == KEYRING_ACCOUNT:
        raise ValueError("the wallet's key is not overwritten")
    backend = _safe_keyring()
    _in_time(lambda: backend.set_password(KEYRING_SERVICE, account, value.reveal()))


def delete_entry(account: str) -> None:
    """Take an entry out of the keyring; harmless if there is none.  Raises :class:`WalletError`."""
    if account == KEYRING_ACCOUNT:
        raise ValueError("the wallet's key is not deleted")
    backend = _safe_keyring()
    if _in_time(lambda: backend.get_password(KEYRING_SERVICE, account)) is not None:
        _in_time(lambda: backend.delete_password(KEYRING_SERVICE, account))


def _safe_keyring() -> Any:
    """The configured keyring if it keeps secrets; of a chain of keyrings, the first that does."""
    try:
        import keyring

        configured = keyring.get_keyring()
    except Exception as problem:  # a library, or a configured backend, that cannot be loaded
        raise WalletError(f"there is no keyring here ({type(problem).__name__})") from None
    members = list(configured.backends) if _is_chainer(configured) else [configured]
    for backend in members:
        if _keeps_secrets(backend):
            return backend
    name = f"{type(configured).__module__}.{type(configured).__name__}"
    raise WalletError(
        f"the configured keyring {name} does not keep secrets; it is not used",
        hint="Use an encrypted keystore file instead: opg wallet new",
    )


def _is_chainer(backend: Any) -> bool:
    return bool(type(backend).__module__ == "keyring.backends.chainer")


def _keeps_secrets(backend: Any) -> bool:
    module, name = type(backend).__module__, type(backend).__name__
    # keyrings.alt keeps files in plain text, and files that ask for a password at a prompt.
    refused = (
        "keyring.backends.fail",
        "keyring.backends.null",
        "keyring.backends.chainer",
        "keyrings.alt",
    )
    return not module.startswith(refused) and "plaintext" not in name.lower()


def _in_time(ask: Callable[[], str | None]) -> Secret[str] | None:
    """Ask the keyring one question, for a limited time: a locked one may open a dialogue that
    nobody sees."""
    answer: list[Secret[str]] = []
    failed: list[str] = []

    def run() -> None:
        try:
            found = ask()
            if found is not None:
                answer.append(Secret(found))
        except Exception as error:
            failed.append(type(error).__name__)

    thread = threading.Thread(target=run, name="opg-keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_TIMEOUT)
    if thread.is_alive():
        raise WalletError(
            f"the keyring did not answer within {KEYRING_TIMEOUT:g} s",
            hint="Unlock it, then try again.",
        )
    if failed:
        raise WalletError(f"the keyring refused ({failed[0]})")
    return answer[0] if answer else None
