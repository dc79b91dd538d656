"""The whole simulated network in one asyncio loop: two chains, a facilitator, a blob store, three
hosts, a control address.

Chain state is not kept: every start has a new ``run_id``, new host keys and an empty past.  What is
kept is what the installation is known by: its attestation root and its wallet
(:mod:`opg_magic.simnet.keys`).

Safety: chain ids and contract addresses equal the real ones, so signatures made here would be valid
on Base.  Only keys made per installation sign, the facilitator named in every payment is the
installation's own, and a payment from any other address is refused
(:mod:`opg_magic.simnet.payment.facilitator`)."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opg_magic import __version__
from opg_magic.errors import SimnetError
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.network.profiles import PAYMENT_CHAIN_ID, REGISTRY_CHAIN_ID, simulated
from opg_magic.network.simnet_client import install_hint, missing_packages
from opg_magic.settings import paths
from opg_magic.simnet.builds import HOSTS, pcr_hash, pcrs_of
from opg_magic.simnet.chain.clock import Clock
from opg_magic.simnet.cheats.modes import make
from opg_magic.simnet.contracts import deploy
from opg_magic.simnet.control import Control
from opg_magic.simnet.heartbeats import Heartbeats
from opg_magic.simnet.host.host import Host, host_named
from opg_magic.simnet.keys import Keys, load_or_create
from opg_magic.simnet.model.interface import Model
from opg_magic.simnet.model.scripted import ScriptedModel
from opg_magic.simnet.oblivious.relay import Relay
from opg_magic.simnet.payment.facilitator import Facilitator
from opg_magic.simnet.payment.terms import DEFAULT, Rhythm, Terms, rhythm, terms_named
from opg_magic.simnet.settlement.blobs import BlobStore
from opg_magic.simnet.settlement.relay import Batch, BatchLimits, Settler

if TYPE_CHECKING:
    from opg_magic.simnet.chain.chain import Chain
    from opg_magic.simnet.chain.server import RpcServer

log = logging.getLogger(__name__)

#: What the payer owns at each start: 1,000 sim-OPG.
GRANT = 1000 * 10**18


class SimNetwork:
    """Starts and stops everything.  All of it listens on 127.0.0.1, on free ports.

    ``folder`` holds the installation's keys.  ``model`` answers for all hosts (None: the script,
    ``token_delay`` seconds a token), and ``answers`` are the flags that chose it.  ``terms`` are
    what hosts ask for; ``settle_idle`` overrides the seconds after a session's last charge until it
    is settled, and ``pace`` 10 lets sessions age ten times as fast; ``batch_limits`` say when
    answers' hashes are published.  ``on_activity`` is called at every request, ``on_client`` with
    the process id of each new client, ``on_down`` when someone asks for the end."""

    def __init__(
        self,
        *,
        folder: Path | None = None,
        token_delay: float = 0.015,
        model: Model | None = None,
        answers: tuple[str, ...] = ("--scripted",),
        terms: Terms | None = None,
        settle_idle: float | None = None,
        pace: float = 1.0,
        batch_limits: BatchLimits | None = None,
        on_activity: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
        on_client: Callable[[int], None] = lambda _: None,
    ) -> None:
        missing = missing_packages()
        if missing:
            raise SimnetError(
                f"The simulated network needs {', '.join(missing)}.", hint=install_hint()
            )
        self.folder = folder if folder is not None else paths.simnet_dir()
        self.run_id = secrets.token_hex(8)
        self.terms = terms or terms_named(DEFAULT)
        self.settle_idle = self.terms.idle if settle_idle is None else settle_idle
        self.pace = pace
        self.clock = Clock()
        self.hosts: list[Host] = []
        self.keys: Keys = load_or_create(self.folder / "keys", tuple(name for name, _ in HOSTS))
        self.payer: str = deploy.address_of(self.keys.payer)
        self._settler_address = deploy.address_of(self.keys.settler)
        self._answers = answers
        self._model: Model = model or ScriptedModel(token_delay)
        self._on_activity = on_activity
        self._payment: Chain | None = None
        self._registry_chain: Chain | None = None
        self._registry: deploy.RegistryAdmin | None = None
        self._facilitator: Facilitator | None = None
        self.blobs = BlobStore()
        self._batch_limits = batch_limits
        self._settler: Settler | None = None
        self.relay = Relay(
            lambda: self.hosts,
            on_activity=on_activity,
            registry=lambda: {
                "tee_registry_rpc_url": self.network.registry_rpcs[0],
                "tee_registry_address": self.network.registry_address,
            },
        )
        self._servers: list[RpcServer] = []
        self._urls: tuple[str, ...] = ("", "")
        self._control = Control(self, on_client=on_client, on_down=on_down)
        self._heartbeats: Heartbeats | None = None
        self._started_at = datetime.now(UTC)

    # ----------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Make the chains, register the hosts, listen.  Everything answers when this returns."""
        try:
            await self._model.open()
            await self._open_chains()
            self._settler = Settler(
                self.registry_chain, self.keys.settler, self.blobs, limits=self._batch_limits
            )
            self._facilitator = Facilitator(
                self.payment_chain,
                self.keys.facilitator,
                payer=self.payer,
                network=self._profile("", ""),
                clock=self.clock,
            )
            await asyncio.to_thread(self._deploy)
            self._urls = await self._serve_chains()
            await self.blobs.start()
            await self._start_hosts()
            await self.relay.start()
            await self._control.start()
        except BaseException:
            await self.stop()
            raise
        self._heartbeats = Heartbeats(self.registry, self.hosts)
        self._heartbeats.start()

    async def _open_chains(self) -> None:
        """Make both chains, without anything on them."""
        from opg_magic.simnet.chain.chain import Chain

        self._payment = Chain(PAYMENT_CHAIN_ID, now=self.clock)
        self._registry_chain = Chain(
            REGISTRY_CHAIN_ID, attestation_roots=[self.keys.authority.root_sha256]
        )

    async def _serve_chains(self) -> tuple[str, ...]:
        """Let clients reach them: the URLs of the registry chain's RPC, the payment chain's, and a
        second of the registry chain's: the policy `strict` wants two that agree."""
        from opg_magic.simnet.chain.server import RpcServer

        for chain in (self.registry_chain, self.payment_chain, self.registry_chain):
            self._servers.append(RpcServer(chain))
        return tuple([await server.start() for server in self._servers])

    async def stop(self) -> None:
        """Stop everything that was started.  Open sessions are not settled: the chain ends with
        them."""
        if self._heartbeats is not None:
            await self._heartbeats.stop()
        await asyncio.gather(*(host.stop() for host in self.hosts), return_exceptions=True)
        if self._settler is not None:
            await self._settler.close()
        await asyncio.gather(self.blobs.stop(), self.relay.stop())
        await self._control.stop()
        await asyncio.gather(*(server.stop() for server in self._servers), return_exceptions=True)
        await self._model.close()

    def _deploy(self) -> None:
        deploy.deploy_payment_chain(
            self.payment_chain,
            admin_key=self.keys.admin,
            payer_key=self.keys.payer,
            payer_grant=GRANT,
            facilitator=self.facilitator,
        )
        self._registry = deploy.deploy_registry_chain(
            self.registry_chain, admin_key=self.keys.admin
        )
        self.registry_chain.fund(self.settler.address, deploy.GAS_MONEY)

    async def _start_hosts(self) -> None:
        assert self._facilitator is not None
        for name, version in HOSTS:
            owner_key = self.keys.owners[name]
            owner = deploy.address_of(owner_key)
            # Made in a thread: an RSA key takes a while, and the loop already serves.
            host = await asyncio.to_thread(
                Host,
                name,
                authority=self.keys.authority,
                pcrs=pcrs_of(version),
                version=version,
                owner=owner,
                payment_address=owner,
                facilitator=self._facilitator,
                network=self._profile("", ""),
                model=self._model,
                terms=self.terms,
                rhythm=self.rhythm,
                payment_clock=self.clock,
                on_activity=self._on_activity,
                settler=self.settler,
            )
            self.hosts.append(host)
            await host.start()
        for host in self.hosts:
            host.neighbours = [other for other in self.hosts if other is not host]
        await asyncio.to_thread(self._register_all)

    def _register_all(self) -> None:
        registry = self.registry
        for version in dict.fromkeys(version for _, version in HOSTS):
            registry.approve_pcr(pcr_hash(pcrs_of(version)), version)
        for host in self.hosts:
            registry.register(
                self.keys.owners[host.name],
                host.payment_address,
                host.endpoint,
                host.signer.der,
                host.certificate.der,
                host.attest(None),
            )
            registry.list_sealing_key(host.tee_id, host.sealing.config())
            # Registration counts as the first sign of life.
            host.last_heartbeat = time.time()

    # ---------------------------------------------------------------------------------------- parts

    @property
    def payment_chain(self) -> Chain:
        """The chain that payments settle on."""
        if self._payment is None:
            raise SimnetError("the simulated network is not running")
        return self._payment

    @property
    def registry_chain(self) -> Chain:
        """The chain of the host registry and of the settlement relay."""
        if self._registry_chain is None:
            raise SimnetError("the simulated network is not running")
        return self._registry_chain

    @property
    def registry(self) -> deploy.RegistryAdmin:
        """The registry, with its administrator's key."""
        if self._registry is None:
            raise SimnetError("the simulated network is not running")
        return self._registry

    @property
    def facilitator(self) -> str:
        """The facilitator's address."""
        if self._facilitator is None:
            raise SimnetError("the simulated network is not running")
        return self._facilitator.address

    @property
    def settler(self) -> Settler:
        """Who puts answers' hashes on record."""
        if self._settler is None:
            raise SimnetError("the simulated network is not running")
        return self._settler

    @property
    def heartbeats(self) -> Heartbeats:
        """The hosts' signs of life."""
        if self._heartbeats is None:
            raise SimnetError("the simulated network is not running")
        return self._heartbeats

    @property
    def control_token(self) -> Secret[str]:
        """What opens the control address."""
        return self._control.token

    @property
    def network(self) -> Network:
        """The network profile for clients of this start."""
        return self._profile(*self._urls)

    @property
    def wallet_key(self) -> Secret[bytes]:
        """The installation's own payer key: the only one whose payments are taken."""
        return self.keys.payer

    def _profile(self, registry_rpc: str, payment_rpc: str, *more_registry_rpcs: str) -> Network:
        return simulated(
            registry_rpc=registry_rpc,
            payment_rpc=payment_rpc,
            facilitator=self._facilitator.address if self._facilitator else "",
            run_id=self.run_id,
            root_sha256=self.keys.authority.root_sha256,
            more_registry_rpcs=more_registry_rpcs,
            settlement_relay=deploy.SETTLEMENT_RELAY,
            settlement_senders=(self._settler_address,),
            blob_aggregators=(self.blobs.url,) if self.blobs.url else (),
            session_idle=self.rhythm().idle,
            private_relay=self.relay.url or None,
        )

    @property
    def state(self) -> dict[str, Any]:
        """What the state file says of this start.  It holds the control token: 0600 wherever it is
        written."""
        network = self.network
        return {
            "version": 1,
            "pid": os.getpid(),
            "run_id": self.run_id,
            "registry_rpc": network.registry_rpcs[0],
            "more_registry_rpcs": list(network.registry_rpcs[1:]),
            "payment_rpc": network.payment_rpcs[0],
            "control": self._control.url,
            "control_token": self._control.token.reveal(),
            "facilitator": self.facilitator,
            "settlement_relay": deploy.SETTLEMENT_RELAY,
            "settlement_sender": self.settler.address,
            "blob_store": self.blobs.url,
            "relay": self.relay.url,
            "relay_token": self.relay.own.token.reveal(),
            "root_sha256": self.keys.authority.root_sha256,
            "root_pem": str(self.keys.root_pem),
            "answers": list(self._answers),
            "wallet_key_file": str(self.keys.payer_file),
            "payer": self.payer,
            "started_at": self._started_at.isoformat(),
            "terms": asdict(self.terms),
            "session_idle": self.rhythm().idle,
            # Of a clock that runs at the machine's pace: what a client goes by.
            "settle_idle": self.rhythm().idle,
            "hosts": [
                {"name": h.name, "tee_id": h.tee_id, "endpoint": h.endpoint, "owner": h.owner}
                for h in self.hosts
            ],
        }

    # -------------------------------------------------------------------------------- what one does

    def host(self, wanted: str) -> Host:
        """A host by name or by the beginning of its tee_id."""
        return host_named(self.hosts, wanted)

    def cheat(self, host: str, mode: str) -> None:
        """Let a host cheat from now on; ``off`` makes it honest again.  SimnetError for an unknown
        host or mode."""
        self.host(host).play(make(mode))

    async def settle_now(self) -> list[str]:
        """Settle all open sessions now; the hashes of the transactions on the payment chain."""
        return [
            transaction for host in self.hosts for transaction in await host.sessions.settle_all()
        ]

    async def settle_batch(self) -> list[Batch]:
        """Commit the hashes that were collected, now; the batches (none if there was nothing)."""
        return await self.settler.flush()

    def set_settle_idle(self, seconds: float) -> None:
        """How long after its last charge a session is settled, from now on and for the open ones
        too."""
        self.settle_idle = seconds
        for host in self.hosts:
            host.sessions.look_again()

    def rhythm(self) -> Rhythm:
        """When hosts settle sessions."""
        return rhythm(self.terms, idle=self.settle_idle, pace=self.pace)

    def restart(self, host: str) -> int:
        """Let a host forget its sessions, as a restart does: what they owe is never collected.  How
        many were open.

        Its key stays, so that it need not be registered again.
        """
        return self.host(host).sessions.forget()

    def advance(self, seconds: float) -> float:
        """Move the payment chain's clock ahead, so that a deadline passes; how far it is ahead now,
        in seconds."""
        self.clock.advance(seconds)
        for host in self.hosts:
            host.sessions.look_again()
        return self.clock.offset

    async def registry_action(self, host: str, action: str) -> None:
        """Change a host's standing: ``disable``, ``enable``, ``revoke`` and ``approve`` its build,
        ``silence`` and ``heartbeat``.  SimnetError for another word, or where the registry
        refuses."""
        target = self.host(host)
        build = pcr_hash(target.pcrs)
        actions: dict[str, Callable[[], object]] = {
            "disable": lambda: self.registry.disable(target.tee_id),
            "enable": lambda: self.registry.enable(target.tee_id),
            "revoke": lambda: self.registry.revoke_pcr(build),
            "approve": lambda: self.registry.approve_pcr(build, target.version),
            "silence": lambda: self.heartbeats.silence(target),
            "heartbeat": lambda: self.heartbeats.speak(target),
        }
        if action not in actions:
            raise SimnetError(
                f"There is no registry action “{action}”.", hint=f"There are: {', '.join(actions)}"
            )
        await asyncio.to_thread(actions[action])

    def status(self) -> dict[str, Any]:
        """What is running, without any secret: run, hosts with their cheats and standing, open
        sessions."""
        return {
            "run_id": self.run_id,
            "pid": os.getpid(),
            "version": __version__,
            "started_at": self._started_at.isoformat(),
            "model": self._model.about,
            "answers": list(self._answers),
            "terms": asdict(self.terms),
            "settle_idle": self.settle_idle,
            "pace": self.pace,
            "batch": {**asdict(self.settler.limits), "waiting": self.settler.waiting},
            "hosts": [
                {
                    "name": host.name,
                    "tee_id": host.tee_id,
                    "endpoint": host.endpoint,
                    "owner": host.owner,
                    "build": host.version,
                    "cheat": host.cheat.mode,
                    "says": host.cheat.says,
                    "active": self.registry.is_active(host.tee_id),
                    "open_sessions": host.sessions.open_count,
                }
                for host in self.hosts
            ],
        }
