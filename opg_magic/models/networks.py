"""The types of a network and of its token.  The networks themselves are in
:mod:`opg_magic.network.profiles`."""

from __future__ import annotations

from dataclasses import dataclass

from opg_magic.models.proxy import Proxy

#: OPG is counted in units of 10⁻¹⁸.
OPG_DECIMALS = 18

#: The simulated network's name, in settings and receipts.
SIM = "sim"


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 token: its symbol, contract address (EIP-55), decimals and chain."""

    symbol: str
    address: str
    decimals: int
    chain_id: int


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that must be known of a network before the first byte is sent.

    Only ``facilitators`` may be named as the settling party.  Only ``payees`` may be paid, besides
    a host's own registered payment address.  While ``facilitators`` is empty, nothing can be paid:
    the user must pin one first."""

    name: str
    title: str
    simulated: bool
    registry_chain_id: int
    registry_address: str
    registry_rpcs: tuple[str, ...]
    payment_chain_id: int
    payment_rpcs: tuple[str, ...]
    token: Token
    permit2: str
    upto_proxy: str
    facilitators: tuple[str, ...] = ()
    payees: tuple[str, ...] = ()
    #: Seconds without a charge after which hosts settle a payment session, by their own clock.
    #: Observed: 60 to 100.
    session_idle: float = 100.0
    #: Set for a simulated network: identifies one start of it.  Its chains end with it.
    run_id: str | None = None
    #: SHA-256 fingerprints (lower-case hex) of attestation roots known to be simulated.
    simulated_roots: frozenset[str] = frozenset()
    #: The settlement relay on the registry chain, who may commit to it (empty: anyone), and where
    #: blobs are fetched from.
    settlement_relay: str | None = None
    settlement_senders: tuple[str, ...] = ()
    blob_aggregators: tuple[str, ...] = ()
    #: Base URL of the relay of the private route; None: that of the sign-in.
    private_relay: str | None = None
    #: The user's own proxy for everything that is not on this machine.
    proxy: Proxy | None = None
