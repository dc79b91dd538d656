"""Puts the contracts of the simulated network in their places, and runs the registry's business.

Addresses are those of the real network (:mod:`opg_magic.models.networks`); the contracts are our
own, compiled from the sources beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from opg_magic.models.secret import Secret
from opg_magic.network.profiles import OPG_ADDRESS, PERMIT2, REGISTRY_ADDRESS, UPTO_PROXY
from opg_magic.protocol.keccak import keccak256

if TYPE_CHECKING:
    from opg_magic.simnet.chain.chain import Chain
    from opg_magic.simnet.chain.errors import Receipt

#: Seconds without a heartbeat after which a host is no longer active: the public contract's
#: default.
HEARTBEAT_MAX_AGE = 1800

#: Native coin for gas that each account of the simulated network starts with.
GAS_MONEY = 10**21

MAX_UINT256 = 2**256 - 1

LLM_PROXY = 0

#: Where the simulated registry chain has its settlement relay, and where the one stands that is
#: nobody's: the last 20 bytes of keccak256("opg_magic simulated settlement relay") and of the same
#: with "foreign".
SETTLEMENT_RELAY = "0x645E628226FA074A70ADfb9C934Bed0a8FC706Fe"
FOREIGN_RELAY = "0x040292A29d8584B3a9C5DD3388a128eC6F06651D"


@cache
def artifacts() -> dict[str, Any]:
    """The compiled contracts: ``contracts[name]`` holds ``abi``, ``bytecode``, ``runtimeBytecode``
    and ``storage`` (slot of each state variable)."""
    text = (
        resources.files("opg_magic.simnet.contracts").joinpath("artifacts.json").read_text("utf-8")
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def address_of(private_key: Secret[bytes]) -> str:
    """The account (EIP-55) that a private key controls."""
    from eth_account import Account

    return str(Account.from_key(private_key.reveal()).address)


class Contract:
    """One of our contracts at an address of a chain: typed calls by its ABI.

    Arguments and results are Python values as in eth-abi (``int``, ``bytes``, ``str``, tuples);
    addresses are strings."""

    def __init__(self, chain: Chain, name: str, address: str) -> None:
        self.chain = chain
        self.name = name
        self.address = address
        self._functions = {
            e["name"]: e for e in artifacts()["contracts"][name]["abi"] if e["type"] == "function"
        }

    def place(self, storage: dict[str, int] | None = None) -> None:
        """Puts the contract's code at its address, with the named state variables set."""
        built = artifacts()["contracts"][self.name]
        slots = {built["storage"][label]: value for label, value in (storage or {}).items()}
        self.chain.put_code(self.address, bytes.fromhex(built["runtimeBytecode"][2:]), slots)

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata: selector and ABI-encoded arguments."""
        from eth_abi.abi import encode

        types = [_type(i) for i in self._functions[function]["inputs"]]
        return keccak256(f"{function}({','.join(types)})".encode())[:4] + encode(types, arguments)

    def read(self, function: str, *arguments: Any, block: int | None = None) -> Any:
        """What a view answers, at the newest block or at ``block``: one value, or a tuple of
        several."""
        from eth_abi.abi import decode

        with _named_errors():
            raw = self.chain.call(self.address, self.encode(function, *arguments), block=block)
        values = decode([_type(o) for o in self._functions[function]["outputs"]], raw)
        return values[0] if len(values) == 1 else values

    def send(
        self, key: Secret[bytes], function: str, *arguments: Any, gas: int | None = None
    ) -> Receipt:
        """Mine a transaction.  Raises Reverted if the contract refuses."""
        with _named_errors():
            return self.chain.transact(
                key, self.address, self.encode(function, *arguments), gas=gas
            )


@cache
def error_names() -> dict[bytes, str]:
    """Selector to name of every custom error of our contracts."""
    return {
        keccak256(f"{e['name']}({','.join(_type(i) for i in e['inputs'])})".encode())[:4]: e["name"]
        for built in artifacts()["contracts"].values()
        for e in built["abi"]
        if e["type"] == "error"
    }


@contextmanager
def _named_errors() -> Iterator[None]:
    """Gives a refusal by custom error its name as reason.  Errors bubble up from inner calls: all
    contracts' count."""
    from opg_magic.simnet.chain.errors import Reverted

    try:
        yield
    except Reverted as error:
        name = error_names().get(error.data[:4])
        if error.reason is not None or name is None:
            raise
        raise Reverted(name, error.data) from None


def _type(entry: dict[str, Any]) -> str:
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    return f"({','.join(_type(c) for c in entry['components'])}){entry['type'][5:]}"


def deploy_payment_chain(
    chain: Chain,
    *,
    admin_key: Secret[bytes],
    payer_key: Secret[bytes],
    payer_grant: int,
    facilitator: str,
) -> None:
    """Token, Permit2 and proxy in their places; the payer owns ``payer_grant`` base units and has
    approved Permit2.

    Payer and facilitator get coin for gas.  Nobody else owns anything: the admin alone can mint.
    """
    admin, payer = address_of(admin_key), address_of(payer_key)
    token = opg(chain)
    token.place({"admin": int(admin, 16)})
    permit2(chain).place()
    upto_proxy(chain).place()
    for account in {admin, payer, facilitator}:
        chain.fund(account, GAS_MONEY)
    token.send(admin_key, "mint", payer, payer_grant)
    token.send(payer_key, "approve", PERMIT2, MAX_UINT256)


def opg(chain: Chain) -> Contract:
    """The token that hosts are paid in."""
    return Contract(chain, "OPGToken", OPG_ADDRESS)


def permit2(chain: Chain) -> Contract:
    """Permit2, which moves a payer's tokens by signature."""
    return Contract(chain, "Permit2", PERMIT2)


def upto_proxy(chain: Chain) -> Contract:
    """The proxy that settles payments up to their cap."""
    return Contract(chain, "X402UptoPermit2Proxy", UPTO_PROXY)


def settlement_relay(chain: Chain) -> Contract:
    """The relay that publishes batches of hashes."""
    return Contract(chain, "SettlementRelay", SETTLEMENT_RELAY)


def deploy_registry_chain(
    chain: Chain, *, admin_key: Secret[bytes], heartbeat_max_age: int = HEARTBEAT_MAX_AGE
) -> RegistryAdmin:
    """An empty registry in its place, administered with ``admin_key``, and the settlement relay
    beside it."""
    admin = RegistryAdmin(chain, admin_key)
    settlement_relay(chain).place()
    admin.contract.place(
        {"admin": int(address_of(admin_key), 16), "heartbeatMaxAge": heartbeat_max_age}
    )
    chain.fund(address_of(admin_key), GAS_MONEY)
    return admin


class RegistryAdmin:
    """The registry's business, for whoever holds the admin's key.  Hashes and ids are 0x-hex or 32
    bytes."""

    def __init__(self, chain: Chain, admin_key: Secret[bytes]) -> None:
        self.chain = chain
        self.contract = Contract(chain, "TEERegistry", REGISTRY_ADDRESS)
        self._key = admin_key

    def approve_pcr(
        self, pcr_hash: str | bytes, version: str, *, tee_type: int = LLM_PROXY
    ) -> Receipt:
        """Allows hosts that run the code with this measurement."""
        return self.contract.send(self._key, "approvePCR", _word(pcr_hash), tee_type, version)

    def revoke_pcr(self, pcr_hash: str | bytes, *, tee_type: int = LLM_PROXY) -> Receipt:
        """Ends that at once, for all hosts that run it."""
        return self.contract.send(self._key, "revokePCR", _word(pcr_hash), tee_type)

    def register(
        self,
        owner_key: Secret[bytes],
        payment_address: str,
        endpoint: str,
        public_key: bytes,
        tls_certificate: bytes,
        document: bytes,
        tee_type: int = LLM_PROXY,
    ) -> str:
        """List a host of the owner's, on the strength of its attestation ``document`` (raw COSE
        bytes); its tee id.

        ``public_key`` is the signing key (DER SubjectPublicKeyInfo), ``tls_certificate`` the
        front's certificate (DER).  The owner's account gets coin for gas if it has none.  Raises
        Reverted if the document does not verify or its measurement is not approved."""
        owner = address_of(owner_key)
        if self.chain.balance(owner) == 0:
            self.chain.fund(owner, GAS_MONEY)
        arguments = (document, public_key, tls_certificate, payment_address, endpoint, tee_type)
        self.contract.send(owner_key, "registerTEE", *arguments)
        return "0x" + keccak256(public_key).hex()

    def list_sealing_key(
        self, tee_id: str | bytes, config: tuple[int, int, int, int, bytes, bytes]
    ) -> Receipt:
        """List a host's key for sealed requests: key id, KEM, KDF, AEAD, public key, all of it."""
        return self.contract.send(self._key, "setOHTTPConfig", _word(tee_id), *config)

    def enable(self, tee_id: str | bytes) -> Receipt:
        """Let a host be active again."""
        return self.contract.send(self._key, "enableTEE", _word(tee_id))

    def disable(self, tee_id: str | bytes) -> Receipt:
        """Take a host out of service."""
        return self.contract.send(self._key, "disableTEE", _word(tee_id))

    def heartbeat(self, tee_id: str | bytes, *, key: Secret[bytes] | None = None) -> Receipt:
        """A sign of life sent in the host's name by the admin, or by its owner with ``key``."""
        return self.contract.send(key or self._key, "heartbeatByOwner", _word(tee_id))

    def heartbeat_signed(self, tee_id: str | bytes, timestamp: int, signature: bytes) -> Receipt:
        """A sign of life signed by the host: RSASSA-PSS over :func:`heartbeat_digest`."""
        return self.contract.send(self._key, "heartbeat", _word(tee_id), timestamp, signature)

    def is_active(self, tee_id: str | bytes, *, block: int | None = None) -> bool:
        """Whether the registry calls a host active, at the newest block or at ``block``."""
        return bool(self.contract.read("isTEEActive", _word(tee_id), block=block))


def heartbeat_digest(tee_id: str | bytes, timestamp: int) -> bytes:
    """The 32 bytes that a host signs for a heartbeat: keccak256(tee id || uint256 timestamp)."""
    return keccak256(_word(tee_id) + timestamp.to_bytes(32, "big"))


def _word(value: str | bytes) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else value
