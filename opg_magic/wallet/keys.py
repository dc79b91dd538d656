"""Keys: where a private key comes from, and the little that it is allowed to sign.

A wallet signs two things and nothing else: a Permit2 authorisation whose every field the network
profile allows, and an ERC-20 approval of Permit2 for a named amount.  The key itself is shown by
nothing (attack 28).

The simulated network has the real chain ids and addresses, so what is signed for it would hold on
the real chain as well: there only the simulator's own key signs, and nowhere else (issue: safety of
the simulated network)."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from opg_magic.errors import WalletError
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.settings import environment, paths

if TYPE_CHECKING:
    from opg_magic.wallet.bounds import Bounds

KEY_VARIABLE = "OPG_PRIVATE_KEY"
PASSWORD_VARIABLE = "OPG_KEYSTORE_PASSWORD"  # noqa: S105 (the variable's name)
KEYRING_SERVICE = "opg_magic"
KEYRING_ACCOUNT = "wallet"
#: Seconds for the OS keyring: beyond it, it waits for a person who is not there.
KEYRING_TIMEOUT = 15.0

Source = Literal["auto", "environment", "keystore", "keyring"]
SOURCES: tuple[Source, ...] = ("auto", "environment", "keystore", "keyring")

#: Order of the group of secp256k1 (SEC 2): a private key lies between 1 and this, exclusive.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_MAX_KEYSTORE_BYTES = 64 * 1024
_UINT256 = 2**256


class Wallet:
    """One key: its address for everyone, its signature for what is allowed, its bytes for
    nobody."""

    __slots__ = ("_key", "address", "simulated", "source")

    def __init__(self, key: Secret[bytes], *, simulated: bool, source: str) -> None:
        """``key`` is 32 bytes; ``simulated`` says which of the two worlds it may sign for;
        ``source`` is for people."""
        self._key = key
        self.simulated = simulated
        self.source = source
        self.address = _address_of(key)

    def __repr__(self) -> str:
        # A traceback may show one whose making failed.
        return f"<Wallet {getattr(self, 'address', 'without address')}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wallet is not pickled")

    def sign_permit(
        self,
        auth: Authorisation,
        network: Network,
        bounds: Bounds,
        *,
        clock: Callable[[], float] = time.time,
    ) -> Secret[str]:
        """The EIP-712 signature of an authorisation (0x-hex, 65 bytes), itself a spending secret.

        Raises :class:`PaymentRefused` if any field is not what ``network`` and ``bounds`` allow at
        this moment: this is the last place to look."""
        from opg_magic.protocol.x402 import typed_data

        self._require_world(network)
        bounds.check(auth, network, payer=self.address, now=int(clock()))
        message = typed_data(auth, network)
        return Secret("0x" + self._signed(lambda key: _sign_typed(key, message)).reveal().hex())

    def sign_approval(
        self,
        network: Network,
        *,
        amount: int,
        nonce: int,
        gas: int,
        max_fee: int,
        max_priority_fee: int,
    ) -> bytes:
        """A raw transaction: ERC-20 ``approve(Permit2, amount)`` on the network's token.  Fees are
        in wei per gas."""
        from opg_magic.network.abi import function

        self._require_world(network)
        if not 0 <= amount < _UINT256:
            raise ValueError("an allowance is an unsigned number of 256 bits")
        transaction = {
            "type": 2,
            "chainId": network.payment_chain_id,
            "to": network.token.address,
            "data": function("erc20", "approve").encode(network.permit2, amount),
            "value": 0,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": max_priority_fee,
        }
        return self._signed(lambda key: _sign_transaction(key, transaction)).reveal()

    def _require_world(self, network: Network) -> None:
        if self.simulated is not network.simulated:
            whose = (
                "the simulator's own key"
                if network.simulated
                else "a key of yours, not the simulator's"
            )
            raise WalletError(
                f"{network.title} is signed for with {whose}", hint="Nothing was signed."
            )

    def _signed(self, sign: Callable[[Secret[bytes]], bytes]) -> Secret[bytes]:
        signature: bytes | None = None
        try:
            signature = sign(self._key)
        except Exception:
            signature = None
        if signature is None:
            # Raised here, where no frame that holds the key is part of the traceback.
            raise WalletError(f"wallet {self.address} could not sign")
        return Secret(signature)


def open_wallet(
    network: Network,
    *,
    source: Source = "auto",
    simulated_key: Secret[str] | Secret[bytes] | None = None,
    keystore: Path | None = None,
) -> Wallet:
    """The wallet for ``network``.

    Simulated network: ``simulated_key``, the simulator's own, and nothing else; naming a source of
    the user's there is refused.  Else, with ``auto``: the environment's ``OPG_PRIVATE_KEY``, then
    the keystore file if it exists.  The OS keyring only when it is named.  Raises
    :class:`WalletError`; no message repeats any of a key."""
    if source not in SOURCES:
        raise WalletError(f"unknown wallet source; known are {', '.join(SOURCES)}")
    if network.simulated:
        if source != "auto" or simulated_key is None:
            raise WalletError(
                f"{network.title} uses only the key that the simulator made for itself; yours is "
                f"never used there",
                hint="A signature made there would be valid on the real chain.",
            )
        wallet = Wallet(
            _parse_key(simulated_key, "the simulator's key file"),
            simulated=True,
            source="simulator",
        )
        _refuse_users_key(wallet)
        return wallet
    if simulated_key is not None:
        raise WalletError("the simulator's key is not used on a real network")
    path = paths.keystore_file() if keystore is None else keystore
    if source == "environment" or (source == "auto" and environment.secret(KEY_VARIABLE)):
        return Wallet(_environment_key(), simulated=False, source=f"environment ({KEY_VARIABLE})")
    if source == "keystore" or (source == "auto" and path.exists()):
        return Wallet(read_keystore(path), simulated=False, source="keystore file")
    if source == "keyring":
        return Wallet(read_keyring(), simulated=False, source="keyring of the operating system")
    raise WalletError(
        f"there is no wallet for {network.title}",
        hint=f"Make one with `opg wallet new`, or set {KEY_VARIABLE} in the environment of the "
        f"kernel.",
    )


def _refuse_users_key(wallet: Wallet) -> None:
    """The user's own key, put in the simulator's place, is refused even so."""
    if environment.secret(KEY_VARIABLE) is None:
        return
    try:
        users = _address_of(_environment_key())
    except WalletError:
        return
    if users == wallet.address:
        raise WalletError("the simulator's key file holds your own key; it is not used there")


def _environment_key() -> Secret[bytes]:
    return _parse_key(environment.secret(KEY_VARIABLE) or Secret(""), KEY_VARIABLE)


def _parse_key(given: Secret[str] | Secret[bytes], name: str) -> Secret[bytes]:
    """A private key of 32 bytes, or of 64 hex digits with or without 0x."""
    key: Secret[bytes] | None = None
    if isinstance(given.reveal(), bytes) and len(given.reveal()) == 32:
        key = Secret(bytes(given.reveal()))  # type: ignore[arg-type]
    elif isinstance(given.reveal(), str):
        key = _hex_key(given)  # type: ignore[arg-type]
    if key is None or not 0 < int.from_bytes(key.reveal(), "big") < _ORDER:
        raise WalletError(
            f"{name} holds no private key", hint="Expected are 64 hex digits, with or without 0x."
        )
    return key


def _hex_key(given: Secret[str]) -> Secret[bytes] | None:
    try:
        digits = Secret(given.reveal().strip().removeprefix("0x"))
        return Secret(bytes.fromhex(digits.reveal())) if len(digits.reveal()) == 64 else None
    except ValueError:
        return None


# --------------------------------------------------------------------------------------- key stores


def new_key() -> Secret[bytes]:
    """A fresh private key from the operating system's randomness."""
    while True:
        key = Secret(secrets.token_bytes(32))
        if 0 < int.from_bytes(key.reveal(), "big") < _ORDER:
            return key


def create_keystore(
    path: Path | None = None,
    *,
    passphrase: Secret[str],
    key: Secret[bytes] | None = None,
    iterations: int | None = None,
) -> str:
    """Write a new encrypted keystore file (Web3 Secret Storage v3, scrypt), 0600, and return its
    address.

    ``key`` is fresh unless given.  An existing file is never overwritten.  ``iterations`` is
    scrypt's cost, the library's default if None."""
    from eth_account import Account

    path = paths.keystore_file() if path is None else path
    if len(passphrase.reveal()) < 8:
        raise WalletError("a keystore's passphrase needs at least 8 characters")
    if key is None:
        key = new_key()
    address = _address_of(key)
    document: dict[str, Any] | None
    try:
        document = Account.encrypt(
            key.reveal(), passphrase.reveal(), kdf="scrypt", iterations=iterations
        )
    except Exception:
        document = None
    if document is None:
        raise WalletError("the keystore could not be encrypted")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole beside its place, then linked there: a crash leaves no half file, and link()
    # never overwrites.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    except FileExistsError:
        raise WalletError(f"{path} exists already and is not overwritten") from None
    except OSError as error:
        raise WalletError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    return address


def keystore_address(path: Path | None = None) -> str | None:
    """The address that a keystore file names, without its passphrase; None if there is no such
    file."""
    from opg_magic.protocol.x402 import checksum_address

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
    """The key of a keystore file; its passphrase from ``OPG_KEYSTORE_PASSWORD`` or asked for on a
    terminal."""
    from eth_account import Account

    document = _load_keystore(path)
    passphrase = _passphrase()
    key: Secret[bytes] | None = None
    try:
        key = Secret(bytes(Account.decrypt(document, passphrase.reveal())))
    except Exception:
        key = None
    if key is None:
        raise WalletError(
            f"{path} could not be opened: wrong passphrase, or no keystore of version 3"
        )
    return _parse_key(key, str(path))


def _load_keystore(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_KEYSTORE_BYTES:
            raise WalletError(f"{path} is too large for a keystore")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise WalletError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        document = json.loads(path.read_text())
    except OSError as error:
        raise WalletError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise WalletError(f"{path} is no keystore")
    return document


def _passphrase() -> Secret[str]:
    given = environment.password()
    if given is not None:
        return given
    # A kernel has no terminal; there getpass would ask a front end, and headless runs would wait
    # for ever.
    if sys.stdin is None or not sys.stdin.isatty() or "ipykernel" in sys.modules:
        raise WalletError(
            "the keystore needs its passphrase, and there is no terminal to ask at",
            hint=f"Set {PASSWORD_VARIABLE} in the environment of the kernel.",
        )
    import getpass

    return Secret(getpass.getpass("Passphrase of the opg keystore: "))


def new_passphrase() -> Secret[str]:
    """The passphrase of a new keystore: from the environment, or typed twice at a terminal."""
    first = _passphrase()
    if not first:
        raise WalletError("the passphrase is empty; no keystore was written")
    if environment.password() is None:
        import getpass

        if Secret(getpass.getpass("Again: ")) != first:
            raise WalletError("the two passphrases differ; no keystore was written")
    return first


# ------------------------------------------------------------------------------------------ keyring


def read_keyring() -> Secret[bytes]:
    """The key in the OS keyring, under service ``opg_magic``, account ``wallet``."""
    backend = _safe_keyring()
    found = _in_time(lambda: backend.get_password(KEYRING_SERVICE, KEYRING_ACCOUNT))
    if found is None:
        raise WalletError(
            f"the keyring holds no key under {KEYRING_SERVICE}/{KEYRING_ACCOUNT}",
            hint="Make one: opg wallet new --keyring",
        )
    return _parse_key(found, "the keyring's entry")


def write_keyring(key: Secret[bytes] | None = None) -> str:
    """Put a key (fresh unless given) into the OS keyring, and return its address.  An entry is
    never overwritten."""
    backend = _safe_keyring()
    key = new_key() if key is None else key
    if _in_time(lambda: backend.get_password(KEYRING_SERVICE, KEYRING_ACCOUNT)) is not None:
        raise WalletError(
            f"the keyring has a key under {KEYRING_SERVICE}/{KEYRING_ACCOUNT}; it is not "
            f"overwritten"
        )
    _in_time(
        lambda: backend.set_password(KEYRING_SERVICE, KEYRING_ACCOUNT, "0x" + key.reveal().hex())
    )
    return _address_of(key)


def _safe_keyring() -> Any:
    """The configured keyring, if it keeps secrets; of a chain of keyrings the first that does."""
    import keyring

    configured = keyring.get_keyring()
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
    # keyrings.alt holds files in plain text, and files whose passphrase is asked for at a prompt.
    refused = (
        "keyring.backends.fail",
        "keyring.backends.null",
        "keyring.backends.chainer",
        "keyrings.alt",
    )
    return not module.startswith(refused) and "plaintext" not in name.lower()


def _in_time(ask: Callable[[], str | None]) -> Secret[str] | None:
    """Run one question to the keyring; a locked one may open a dialogue that nobody sees, so it is
    not waited for."""
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


# ------------------------------------------------------------------------------------------ signing


def _address_of(key: Secret[bytes]) -> str:
    address: str | None
    try:
        from eth_account import Account

        address = str(Account.from_key(key.reveal()).address)
    except Exception:
        address = None
    if address is None:
        raise WalletError("the private key has no address")
    return address


def _sign_typed(key: Secret[bytes], message: dict[str, Any]) -> bytes:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    return bytes(
        Account.sign_message(encode_typed_data(full_message=message), key.reveal()).signature
    )


def _sign_transaction(key: Secret[bytes], transaction: dict[str, Any]) -> bytes:
    from eth_account import Account

    return bytes(Account.sign_transaction(transaction, key.reveal()).raw_transaction)
