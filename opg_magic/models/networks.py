"""Network profiles: chain ids, contract addresses, RPCs, and who may be paid.

Source of the OpenGradient figures: protocol sections 1, 2 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from opg_magic.models.proxy import Proxy

OPG_DECIMALS = 18

#: The cap that hosts of April 2026 asked for, in base units (0.1 OPG).  Others ask for other caps:
#: 0.05 to 5 OPG.
OBSERVED_CAP = 10**17


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 token: its symbol, contract address (EIP-55), decimals and chain."""

    symbol: str
    address: str
    decimals: int
    chain_id: int


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that must be known of a network before a first byte is sent.

    ``facilitators`` are the only addresses that may be named as settling party, ``payees`` those
    that may be paid besides a host's own registered payment address.  Empty ``facilitators`` means
    that nothing can be paid until the user pins one."""

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
    #: Seconds without a charge after which hosts settle a payment session, by their own clock (60
    #: to 100 were seen).
    session_idle: float = 100.0
    #: Set for a simulated network: which start of it this is (its chains do not outlive it).
    run_id: str | None = None
    #: SHA-256 fingerprints (lower-case hex) of attestation roots that are known to be simulated.
    simulated_roots: frozenset[str] = frozenset()
    #: Settlement relay on the registry chain, who may commit to it (empty: not pinned), and where
    #: blobs are fetched.
    settlement_relay: str | None = None
    settlement_senders: tuple[str, ...] = ()
    blob_aggregators: tuple[str, ...] = ()
    #: What stands between this machine and all of it, by the user's own setting.
    proxy: Proxy | None = None


PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
UPTO_PROXY = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
OPG_ADDRESS = "0xFbC2051AE2265686a469421b2C5A2D5462FbF5eB"
REGISTRY_ADDRESS = "0x703cB174AEadB35D611858369B4b1111dC9Abda6"
PAYMENT_CHAIN_ID = 8453
REGISTRY_CHAIN_ID = 10740

OPG = Token("OPG", OPG_ADDRESS, OPG_DECIMALS, PAYMENT_CHAIN_ID)
SIM_OPG = Token("sim-OPG", OPG_ADDRESS, OPG_DECIMALS, PAYMENT_CHAIN_ID)

OPENGRADIENT = Network(
    name="opengradient",
    title="OpenGradient",
    simulated=False,
    registry_chain_id=REGISTRY_CHAIN_ID,
    registry_address=REGISTRY_ADDRESS,
    registry_rpcs=("https://ogevmdevnet.opengradient.ai",),
    payment_chain_id=PAYMENT_CHAIN_ID,
    payment_rpcs=("https://mainnet.base.org",),
    token=OPG,
    permit2=PERMIT2,
    upto_proxy=UPTO_PROXY,
)


def simulated(
    *,
    registry_rpc: str,
    payment_rpc: str,
    facilitator: str,
    run_id: str,
    root_sha256: str,
    more_registry_rpcs: tuple[str, ...] = (),
    settlement_relay: str | None = None,
    settlement_senders: tuple[str, ...] = (),
    blob_aggregators: tuple[str, ...] = (),
    session_idle: float = 100.0,
) -> Network:
    """The simulated network as one start of it describes itself: real chain ids and addresses,
    local RPCs."""
    return Network(
        name="sim",
        title="Simulated network",
        simulated=True,
        registry_chain_id=REGISTRY_CHAIN_ID,
        registry_address=REGISTRY_ADDRESS,
        registry_rpcs=(registry_rpc, *more_registry_rpcs),
        payment_chain_id=PAYMENT_CHAIN_ID,
        payment_rpcs=(payment_rpc,),
        token=SIM_OPG,
        permit2=PERMIT2,
        upto_proxy=UPTO_PROXY,
        facilitators=(facilitator,),
        run_id=run_id,
        simulated_roots=frozenset({root_sha256}),
        settlement_relay=settlement_relay,
        settlement_senders=settlement_senders,
        blob_aggregators=blob_aggregators,
        session_idle=session_idle,
    )
