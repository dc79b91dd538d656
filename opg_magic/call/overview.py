"""What a kernel can show of itself: hosts, models, builds, limits, wallet.  Nothing here calls a
model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.naming import default_model
from opg_magic.models import Host, ModelPrice, Money
from opg_magic.network import profiles

if TYPE_CHECKING:
    from opg_magic.call.kernel import Kernel
    from opg_magic.call.state import ReadyHost
    from opg_magic.ledger.followed import Followed
    from opg_magic.models import RegistryEvidence


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host as a person sees it: listed and active, what its attestation says, and why it is not
    used.

    ``attestation``: good, refused, none offered, or unreachable where the host could not be asked
    or is down."""

    host: Host
    active: bool
    attestation: str
    reason: str | None
    set_aside: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model name and its price, None where it is not known."""

    name: str
    price: ModelPrice | None


@dataclass(frozen=True, slots=True)
class Build:
    """One host build by its PCR hash; ``version`` and ``approved`` are the registry's word, None
    where it has none."""

    pcr_hash: str
    version: str | None
    approved: bool | None
    pinned: bool


@dataclass(frozen=True, slots=True)
class RelayedUse:
    """Calls through a relay in this UTC day, over all kernels: used, and at most."""

    calls: int
    calls_limit: int
    tokens: int
    tokens_limit: int

    def __str__(self) -> str:
        return (
            f"{self.calls:,} of {self.calls_limit:,} calls, {self.tokens:,} of "
            f"{self.tokens_limit:,} tokens"
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits, what is reserved against them, and what calls cost by the hosts' figures."""

    call_limit: Money
    kernel_limit: Money
    day_limit: Money
    kernel_reserved: Money
    day_reserved: Money
    kernel_cost: Money
    day_cost: Money
    running: int
    #: The network whose limits these are.
    network: str
    #: Of the private route; None if no call took it today.
    relayed: RelayedUse | None = None


class Overview:
    """The hosts, models, builds and limits of one kernel.  Methods block."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        #: Hosts as last read, for completion: a Tab never goes to the network.
        self.known_hosts: tuple[HostRow, ...] = ()
        self._followed: Followed | None = None

    def hosts(self) -> list[HostRow]:
        """Every listed host, its certificate and attestation checked now."""
        engine = self._kernel.connected().engine
        snapshot, outcomes = self._kernel.run(
            engine.hosts.survey(self._kernel.engine_settings(engine.network))
        )
        names = {tee_id: name for name, tee_id in self._kernel.simulated_hosts().items()}
        rows = [
            _host_row(
                host,
                snapshot.evidence(host.tee_id),
                outcomes[host.tee_id],
                engine.hosts.set_aside.get(host.tee_id),
                names.get(host.tee_id) if engine.network.simulated else None,
            )
            for host in snapshot.hosts
        ]
        self.known_hosts = tuple(rows)
        return rows

    def models(self) -> list[ModelRow]:
        """Model names as last listed, with prices where known."""
        from opg_magic.settings import prices

        known = prices.load(
            self._kernel.settings.get("prices_file"),
            simulated=self._kernel.settings.get("network") == profiles.SIM,
        )
        return [ModelRow(name, known.price(name)) for name in known.models]

    def spending(self) -> Budget:
        """Limits of this kernel and what is used of them, on the network in use."""
        network = self._kernel.network
        used = self._kernel.ledger.spending(network, self._kernel.kernel_id)

        calls, tokens = self._kernel.ledger.relayed_today(network)
        get = self._kernel.settings.get

        def money(amount: int) -> Money:
            return Money(amount, network.token)

        return Budget(
            call_limit=money(self._kernel.settings.get("max_cost_per_call")),
            kernel_limit=money(self._kernel.settings.get("max_cost_per_kernel")),
            day_limit=money(self._kernel.settings.get("max_cost_per_day")),
            kernel_reserved=money(used.kernel_reserved),
            day_reserved=money(used.day_reserved),
            kernel_cost=money(used.kernel_cost),
            day_cost=money(used.day_cost),
            running=self._kernel.running,
            network=network.name,
            relayed=RelayedUse(calls, get("max_calls_per_day"), tokens, get("max_tokens_per_day"))
            if calls
            else None,
        )

    def ledger_calls(self) -> list[dict[str, Any]]:
        """Every call in the ledger as table cells, newest first.  What was read is kept, so that
        asking again costs what was added since."""
        from opg_magic.ledger.followed import Followed

        if self._followed is None:
            self._followed = Followed(self._kernel.ledger)
        return self._followed.update()

    @property
    def is_up(self) -> bool:
        """Whether asking for figures starts no simulated network."""
        from opg_magic.network import simnet_client

        simulated = self._kernel.settings.get("network") == profiles.SIM
        return not simulated or simnet_client.read_state() is not None

    def ledger_state(self) -> str | None:
        """A short text that is another one after every change of the ledger's calls, whichever
        process made it; None before this kernel has opened it, and after its end."""
        from opg_magic.ledger.pages import LedgerReader

        ledger = self._kernel.open_ledger
        if ledger is None:
            return None
        with LedgerReader(ledger.path) as reader:
            return reader.state()

    def status(self) -> dict[str, Any]:
        """What is in force: network, model, policy, wallet, spending, receipts.  Starts and asks
        nothing."""
        from opg_magic.wallet.funds import allowance_words

        name = self._kernel.settings.get("network")
        running = self._kernel.simulation is not None
        known = self._kernel.in_use(name)
        seen = None if known is None else known.route.payments.funds_seen
        if known is None or seen is None:
            wallet = "not asked yet: %opg wallet"
        else:
            left, at = allowance_words(seen.allowance, known.network), f"{seen.at:%H:%M} UTC"
            wallet = f"{Money(seen.balance, known.network.token)}, allowance {left} (at {at})"
        return {
            "network": name + (" (simulated)" if name == profiles.SIM else ""),
            "simulated network": "in use" if running else "not started by this kernel",
            "model": default_model(self._kernel.settings),
            "policy": self._kernel.settings.get("policy"),
            "route": self._kernel.settings.get("route"),
            "sign-in": self._sign_in(name),
            "wallet": wallet,
            "receipts": self._kernel.ledger.count(),
            "calls that never ended": len(self._kernel.ledger.unfinished()),
            "ledger": "kept for all kernels of this user",
            "running calls": self._kernel.running,
        }

    def _sign_in(self, name: str) -> str:
        """Whether there is a sign-in, and where it is kept; it is not opened for that."""
        from opg_magic.wallet.login import KEPT
        from opg_magic.wallet.sign_in_store import kept_in

        if name == profiles.SIM:
            return "not needed here"
        where = kept_in(profiles.resolve(name, self._kernel.settings))
        return "none: %opg login" if where is None else f"kept {KEPT[where]}"

    def builds(self) -> list[Build]:
        """The host builds that are listed now, by PCR hash, with the registry's version and whether
        they are pinned."""
        engine = self._kernel.connected().engine
        snapshot, _ = self._kernel.run(
            engine.hosts.survey(self._kernel.engine_settings(engine.network))
        )
        pinned = {pin.lower() for pin in self._kernel.settings.get("pinned_pcrs")}
        known: dict[str, Build] = {}
        for host in snapshot.hosts:
            entry = snapshot.evidence(host.tee_id)
            pcr_hash = host.pcr_hash.lower()
            known[pcr_hash] = Build(
                pcr_hash, entry.pcr_version, entry.pcr_approved, pcr_hash in pinned
            )
        for pin in sorted(pinned - known.keys()):
            known[pin] = Build(pin, None, None, True)
        return list(known.values())

    def pin(self, hashes: Sequence[str], *, remove: bool = False) -> list[str]:
        """Add PCR hashes to the user's own allow-list (or take them away), kept in the user's file;
        what was done."""
        from opg_magic.settings.files import write_user

        listed = {build.pcr_hash: build for build in self.builds()}
        now, said = list(self._kernel.settings.get("pinned_pcrs")), []
        for word in hashes:
            pin = word.lower()
            if (
                len(pin) != 66
                or not pin.startswith("0x")
                or not set(pin[2:]) <= set("0123456789abcdef")
            ):
                raise errors.ConfigError(
                    f"{word!r} is no PCR hash", hint="It is 0x and 64 hex digits: see %opg pin."
                )
            build = listed.get(pin)
            version = (
                f" (the registry calls it {build.version})"
                if build is not None and build.version
                else ""
            )
            now = [p for p in now if p.lower() != pin] + ([] if remove else [pin])
            said.append(f"{pin}{version} is {'no longer ' if remove else ''}pinned.")
        write_user("pinned_pcrs", now)
        self._kernel.settings.reload()
        return said


def _host_row(
    host: Host,
    registry: RegistryEvidence,
    outcome: ReadyHost | errors.OpgError,
    set_aside: str | None,
    name: str | None,
) -> HostRow:
    if isinstance(outcome, (errors.ChannelRefused, errors.AttestationRefused)):
        attestation, reason = "refused", outcome.message
    elif isinstance(outcome, errors.OpgError):
        attestation, reason = "unreachable", outcome.message
    elif outcome.attestation is None:
        attestation, reason = "none offered", None
    else:
        attestation, reason = "good", None
    return HostRow(
        host, registry.active, attestation, reason or registry.inactive_reason, set_aside, name
    )
