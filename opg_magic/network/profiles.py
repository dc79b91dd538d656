"""Which networks there are, and which one is meant.

:func:`resolve` is the only place where a network's name becomes a profile: chain ids, contract
addresses, RPCs, and who may be paid.  Source of the figures: the contracts that OpenGradient has
deployed on the registry chain and on Base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opg_magic.errors import ConfigError, SimnetError
from opg_magic.models.networks import OPG_DECIMALS, Network, Token
from opg_magic.models.networks import SIM as SIM

if TYPE_CHECKING:
    from opg_magic.settings.config import Settings

#: The cap that hosts asked for in April 2026, in base units (0.1 OPG).  Other hosts ask for 0.05
#: to 5 OPG.
OBSERVED_CAP = 10**17

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

SIM_TITLE = "Simulated network"

#: The names that a user may give.
NAMES = (SIM, OPENGRADIENT.name)


def resolve(
    name: str, settings: Settings | None = None, *, state: Mapping[str, Any] | None = None
) -> Network:
    """Return the profile of the network called ``name``.

    ``settings``: the user's own, whose RPCs, pins and proxy replace those of a real network.  They
    never change the simulated one.  ``state``: what the running simulated network says of itself.

    Raises :class:`ConfigError` if no network has that name, :class:`SimnetError` if the simulated
    one is meant and does not run.
    """
    if name == SIM:
        if state is None:
            raise SimnetError(
                "The simulated network is not running.", hint="Start it with: %opg simnet up"
            )
        return of_state(state)
    if name != OPENGRADIENT.name:
        raise ConfigError(
            f"no network is named {name[:40]!a}", hint=f"There are: {', '.join(NAMES)}."
        )
    if settings is None:
        return OPENGRADIENT
    from opg_magic.settings.catalogue import NETWORK_KEYS

    own = {key: value for key in NETWORK_KEYS if (value := settings.get(key))}
    return replace(OPENGRADIENT, **own)


def resolve_by_rpcs(rpcs: Sequence[str], settings: Settings | None = None) -> Network:
    """Return the profile of the network that these RPC URLs belong to.

    It is the simulated network if it runs here and one of the URLs is its own, else the real one.
    Contract addresses come from that profile, never from a receipt.
    """
    from opg_magic.network import simnet_client

    state = simnet_client.read_state()
    of_sim = state is not None and not set(rpcs).isdisjoint(
        (str(state["registry_rpc"]), str(state["payment_rpc"]))
    )
    return resolve(SIM if of_sim else OPENGRADIENT.name, settings, state=state)


def title_of(name: str) -> str:
    """Return what people call the network of that name, whether or not it runs."""
    return {SIM: SIM_TITLE, OPENGRADIENT.name: OPENGRADIENT.title}.get(name, name)


def token_of(name: str) -> Token:
    """Return the token of the network of that name, whether or not it runs."""
    return SIM_OPG if name == SIM else OPG


def of_state(state: Mapping[str, Any]) -> Network:
    """Return the profile of the simulated network that wrote this state."""
    return simulated(
        registry_rpc=str(state["registry_rpc"]),
        payment_rpc=str(state["payment_rpc"]),
        facilitator=str(state["facilitator"]),
        run_id=str(state["run_id"]),
        root_sha256=str(state["root_sha256"]),
        more_registry_rpcs=tuple(str(url) for url in state.get("more_registry_rpcs", ())),
        settlement_relay=str(state["settlement_relay"]),
        settlement_senders=(str(state["settlement_sender"]),),
        blob_aggregators=(str(state["blob_store"]),),
        session_idle=float(state.get("session_idle", 100.0)),
        private_relay=str(state["relay"]) if state.get("relay") else None,
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
    private_relay: str | None = None,
) -> Network:
    """Return the profile of one start of the simulated network: the real chain ids and addresses,
    with RPCs on this machine.  ``session_idle`` is in seconds."""
    return Network(
        name=SIM,
        title=SIM_TITLE,
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
        private_relay=private_relay,
    )
