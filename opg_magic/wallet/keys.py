"""The wallet: where its key comes from, and the little that it may sign.

A wallet signs two things and nothing else: a Permit2 authorisation of which the network profile
allows every field, and an ERC-20 approval of Permit2 for a named amount.  Nothing shows the key.

The simulated network has the real chain IDs and addresses, so a signature made there would be
valid on the real chain.  Therefore only the simulator's own key signs there, and it signs
nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from opg_magic.errors import WalletError
from opg_magic.models import Authorisation
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.settings import environment, paths
from opg_magic.wallet.keystore import read_keystore
from opg_magic.wallet.os_keyring import read_keyring
from opg_magic.wallet.private_key import address_of, parse_key

if TYPE_CHECKING:
    from opg_magic.wallet.bounds import Bounds

KEY_VARIABLE = "OPG_PRIVATE_KEY"

Source = Literal["auto", "environment", "keystore", "keyring"]
SOURCES: tuple[Source, ...] = ("auto", "environment", "keystore", "keyring")

_UINT256 = 2**256


class Wallet:
    """One key: its address for everyone, its signature for what is allowed, its bytes for
    nobody.

    ``address`` is in EIP-55 case."""

    __slots__ = ("_key", "address", "simulated", "source")

    def __init__(self, key: Secret[bytes], *, simulated: bool, source: str) -> None:
        """``key``: 32 bytes.  ``simulated``: whether it signs for simulated networks or for real
        ones.  ``source``: where it came from, for people."""
        self._key = key
        self.simulated = simulated
        self.source = source
        self.address = address_of(key)

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
        """Return the EIP-712 signature of an authorisation (0x-hex, 65 bytes): a spending secret.

        ``clock``: Unix seconds.  Raises :class:`PaymentRefused` if ``network`` and ``bounds`` do
        not allow every field at this moment (this is the last check before signing), and
        :class:`WalletError` if the key is not one for this network."""
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
        """Return a raw transaction: ERC-20 ``approve(Permit2, amount)`` on the network's token.

        ``amount``: base units.  Fees: wei per unit of gas.  Raises :class:`WalletError` if the key
        is not one for this network, ValueError if the amount is not a number of 256 bits."""
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
    """Return the wallet for ``network``.

    On a simulated network it is ``simulated_key``, the simulator's own, and nothing else: naming a
    source of the user's is refused.  On a real one, ``auto`` means the environment's
    ``OPG_PRIVATE_KEY``, then the keystore file if it exists.  The keyring is used only if named.

    Raises :class:`WalletError`; no message repeats any part of a key."""
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
            parse_key(simulated_key, "the simulator's key file"),
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


def is_named(source: Source) -> bool:
    """Whether there is a wallet for a real network, as far as that can be told without opening
    it."""
    if source != "auto":
        return True
    return bool(environment.secret(KEY_VARIABLE)) or paths.keystore_file().exists()


def _refuse_users_key(wallet: Wallet) -> None:
    """The user's own key, put in the simulator's place, is refused even so."""
    if environment.secret(KEY_VARIABLE) is None:
        return
    try:
        users = address_of(_environment_key())
    except WalletError:
        return
    if users == wallet.address:
        raise WalletError("the simulator's key file holds your own key; it is not used there")


def _environment_key() -> Secret[bytes]:
    return parse_key(environment.secret(KEY_VARIABLE) or Secret(""), KEY_VARIABLE)


def _sign_typed(key: Secret[bytes], message: dict[str, Any]) -> bytes:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    return bytes(
        Account.sign_message(encode_typed_data(full_message=message), key.reveal()).signature
    )


def _sign_transaction(key: Secret[bytes], transaction: dict[str, Any]) -> bytes:
    from eth_account import Account

    return bytes(Account.sign_transaction(transaction, key.reveal()).raw_transaction)
