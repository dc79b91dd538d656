"""What a kernel keeps: settings, the network in use, wallet, ledger, running calls.

Everything heavy is imported inside the methods that need it, so that loading the extension stays
light."""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opg_magic import errors
from opg_magic.models import (
    Answer,
    Host,
    ModelPrice,
    Money,
    Phase,
    Progress,
    Prompt,
    Quote,
)
from opg_magic.models.networks import Network
from opg_magic.network import profiles
from opg_magic.settings import paths
from opg_magic.settings.config import Settings

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.call.agreement import Agreement
    from opg_magic.call.direct import DirectRoute
    from opg_magic.call.engine import Engine
    from opg_magic.call.settlements import Outcome
    from opg_magic.call.state import CallOptions, CallSite, EngineSettings, ReadyHost
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.background import BackgroundLoop, Stopped
    from opg_magic.settings.limits import Limits
    from opg_magic.wallet.keys import Wallet

#: A host's id, or the beginning of one.
_HEX = re.compile(r"(0x)?[0-9a-fA-F]+")

T = TypeVar("T")
Observer = Callable[[Progress], None]
#: From the state known so far (None at first) to the state of the network that runs now.
Simulator = Callable[[dict[str, Any] | None], dict[str, Any]]


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
class Spending:
    """Limits, what is reserved against them, and what calls cost by the hosts' figures."""

    call_limit: Money
    kernel_limit: Money
    day_limit: Money
    kernel_reserved: Money
    day_reserved: Money
    kernel_cost: Money
    day_cost: Money
    running: int


class Connected(NamedTuple):
    """A network in use: its profile, the engine of its calls, and the way to its hosts."""

    network: Network
    engine: Engine
    route: DirectRoute


class Session:
    """One kernel's state.  Calls may come from any thread; they run on one background loop."""

    def __init__(
        self, settings: Settings | None = None, *, simulator: Simulator | None = None
    ) -> None:
        """``simulator`` gives the running simulated network's state, starting it if need be (tests
        give their own)."""
        self.settings = settings or Settings()
        self._simulator = simulator or _running_simulator
        self._lock = threading.RLock()
        self._background: BackgroundLoop | None = None
        self._ledger: Ledger | None = None
        self._engines: dict[str, Connected] = {}
        self._sim_state: dict[str, Any] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._running = 0
        self._counted = threading.Lock()
        self.kernel_id = _kernel_id()
        #: Hosts as last read, for completion: a Tab never goes to the network.
        self.known_hosts: tuple[HostRow, ...] = ()

    # ---------------------------------------------------------------------------------------- calls

    def ask(
        self, prompt: Prompt, options: CallOptions | None = None, observer: Observer | None = None
    ) -> Answer:
        """One call; blocks, shows progress to ``observer`` on this thread, and stops at once on an
        interrupt.

        Raises :class:`opg_magic.errors.OpgError`, or :class:`opg_magic.errors.CallInterrupted` when
        stopped."""
        from opg_magic.call.state import CallOptions
        from opg_magic.network.background import Stopped

        options = options or CallOptions()
        self._count(+1)
        begun = False
        try:
            engine = self._engine(options.network, observer)
            options = self._by_id(options)
            loop = self._loop()
            begun = True
            return self._within_limits(
                lambda: loop.run(
                    lambda emit: engine.ask(
                        prompt, options, self._engine_settings(engine.network), emit
                    ),
                    observer,
                )
            )
        except Stopped as stopped:
            raise _interrupted(stopped) from None
        except KeyboardInterrupt:
            # Not begun: the simulated network or the ledger was being opened.
            raise _interrupted(Stopped(None, ended=not begun)) from None
        finally:
            self._count(-1)

    async def aask(self, prompt: Prompt, options: CallOptions | None = None) -> Answer:
        """The same call, awaited on the caller's own loop.  Cancelling the await cancels and
        records it."""
        import asyncio

        from opg_magic.call.state import CallOptions

        chosen = options or CallOptions()
        self._count(+1)
        try:
            engine = await asyncio.to_thread(self._engine, chosen.network, None)
            chosen = self._by_id(chosen)
            loop = self._loop()
            try:
                return await loop.submit(
                    engine.ask(prompt, chosen, self._engine_settings(engine.network))
                )
            except errors.LimitExceeded:
                if not self.settings.reread_limits():
                    raise
            return await loop.submit(
                engine.ask(prompt, chosen, self._engine_settings(engine.network))
            )
        finally:
            self._count(-1)

    def quote(self, prompt: Prompt, options: CallOptions | None = None) -> Quote:
        """Host, model, price, tokens and cap of a call that is not made; nothing is paid and the
        prompt is not sent."""
        from opg_magic.call.state import CallOptions

        options = options or CallOptions()
        engine = self._engine(options.network, None)
        return self._run(
            engine.quote(prompt, self._by_id(options), self._engine_settings(engine.network))
        )

    # -------------------------------------------------------------------------------------- network

    def use(self, network: str) -> Network:
        """Set the network of this kernel and return its profile.  A simulated one is started if
        need be."""
        profile = self._profile(network)
        self.settings.set("network", network)
        self._changed()
        return profile

    @property
    def network(self) -> Network:
        """The network in use; the simulated one is started if need be."""
        return self._profile(self.settings.get("network"))

    def _profile(self, name: str) -> Network:
        if name == profiles.SIM:
            self._sim_state = self._simulator(self._sim_state)
        return profiles.resolve(name, self.settings, state=self._sim_state)

    def _engine(self, name: str | None, observer: Observer | None) -> Engine:
        return self._connected(name, observer).engine

    def _connected(self, name: str | None = None, observer: Observer | None = None) -> Connected:
        wanted = name or self.settings.get("network")
        with self._lock:
            if wanted == profiles.SIM and self._sim_state is None and observer is not None:
                observer(Progress(Phase.QUOTE, note="starting the simulated network"))
            network = self._profile(wanted)
            known = self._engines.get(wanted)
            if known is not None and known.network == network:
                return known
            if known is not None:
                self._run(known.engine.aclose())
            self._engines[wanted] = self._build(network)
            return self._engines[wanted]

    def _by_id(self, options: CallOptions) -> CallOptions:
        """The simulated network's hosts have names; everything below the session knows ids
        alone."""
        wanted = options.host
        ids = {row["name"]: row["tee_id"] for row in (self._sim_state or {}).get("hosts", ())}
        if wanted in ids:
            return replace(options, host=ids[wanted])
        is_simulated = (options.network or self.settings.get("network")) == profiles.SIM
        if wanted is not None and is_simulated and ids and not _HEX.fullmatch(wanted):
            near = get_close_matches(wanted, ids, n=1)
            raise errors.ConfigError(
                f"no host of the simulated network is called {wanted[:80]!a}",
                hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(ids)}.",
            )
        return options

    def _build(self, network: Network) -> Connected:
        from opg_magic.call.direct import DirectRoute
        from opg_magic.call.engine import Engine
        from opg_magic.settings import prices

        # Here, not on the loop: its lock may be held by the thread that waits for the loop.
        ledger = self.ledger
        price_list = prices.load(self.settings.get("prices_file"))

        async def make() -> Connected:
            site = self._call_site
            route = DirectRoute(
                network, ledger, wallet=lambda: self._wallet(network), call_site=site
            )
            engine = Engine(
                network=network, route=route, ledger=ledger, price_list=price_list, call_site=site
            )
            return Connected(network, engine, route)

        return self._run(make())

    def _call_site(self) -> CallSite:
        from opg_magic.call.state import CallSite

        return CallSite(self.kernel_id, notebook_name(), execution_count())

    def _wallet(self, network: Network) -> Wallet:
        from opg_magic.wallet.keys import open_wallet

        if network.simulated:
            from opg_magic.network import simnet_client

            if self._sim_state is None:
                raise errors.SimnetError("the simulated network is not running")
            return open_wallet(network, simulated_key=simnet_client.wallet_key(self._sim_state))
        return open_wallet(network, source=self.settings.get("wallet"))

    def _engine_settings(self, network: Network) -> EngineSettings:
        from opg_magic.call.state import EngineSettings
        from opg_magic.verify.policy import policy, requiring

        get = self.settings.get
        # Pins are of reviewed real builds: a simulated one is not among them, and need not be.
        pins = frozenset() if network.simulated else frozenset(get("pinned_pcrs"))
        return EngineSettings(
            policy=requiring(policy(get("policy")), get("required_claims")),
            limits=self._limits(),
            timeout=get("timeout"),
            max_deadline=int(get("max_deadline")),
            skew=get("skew"),
            registry_max_age=get("registry_max_age"),
            attestation_max_age=get("attestation_max_age"),
            pinned_pcrs=pins,
            payees=get("payees"),
            facilitators=get("facilitators"),
        )

    def _limits(self) -> Limits:
        from opg_magic.settings.limits import LIMIT_KEYS, Limits

        return Limits(
            **{name: self.settings.get(key) for name, key in LIMIT_KEYS.items()},
            origins={name: self.settings.origin(key) for name, key in LIMIT_KEYS.items()},
        )

    def _within_limits(self, call: Callable[[], T]) -> T:
        """The call, once more where a limit refused it that was raised in a shell meanwhile, as the
        error says.

        A limit refuses before anything is signed, so nothing is paid twice.
        """
        try:
            return call()
        except errors.LimitExceeded:
            if not self.settings.reread_limits():
                raise
        return call()

    # --------------------------------------------------------------------------------- what is kept

    @property
    def ledger(self) -> Ledger:
        """The ledger, one file for all kernels of this user."""
        with self._lock:
            if self._ledger is None:
                from opg_magic.ledger.store import Ledger

                self._ledger = Ledger(paths.ledger_file())
            return self._ledger

    def receipts(self, **filters: Any) -> pd.DataFrame:
        """The ledger as a DataFrame, one row a call (filters: see
        :func:`opg_magic.ledger.frames.receipts`)."""
        from opg_magic.ledger.frames import receipts

        names = {row["name"]: row["tee_id"] for row in (self._sim_state or {}).get("hosts", ())}
        if filters.get("host") in names:
            filters["host"] = names[filters["host"]]
        return receipts(self.ledger, **filters)

    def show(self, which: str = "last", *, unverified: bool = False) -> Answer:
        """An answer out of the ledger, unpaid.  A withheld one only with ``unverified=True``."""
        receipt = self.ledger.last() if which == "last" else self.ledger.get(which)
        if receipt is None:
            raise errors.LedgerError(
                "the ledger holds no receipt yet", hint="Run a cell that starts with %%opg."
            )
        from opg_magic.call.saved import saved_answer

        roots = self.simulated_roots()
        return saved_answer(
            receipt, self.settings, simulated_roots=roots, include_withheld=unverified
        )

    def simulated_roots(self) -> frozenset[str]:
        """Fingerprints of the attestation roots of this user's own simulated network."""
        from opg_magic.network import simnet_client

        running = (self._sim_state or {}).get("root_sha256")
        return simnet_client.own_roots() | ({str(running)} if running else frozenset())

    def spending(self) -> Spending:
        """Limits of this kernel and what is used of them, on the network in use."""
        network = self.network
        used = self.ledger.spending(network, self.kernel_id)

        def money(amount: int) -> Money:
            return Money(amount, network.token)

        return Spending(
            call_limit=money(self.settings.get("max_cost_per_call")),
            kernel_limit=money(self.settings.get("max_cost_per_kernel")),
            day_limit=money(self.settings.get("max_cost_per_day")),
            kernel_reserved=money(used.kernel_reserved),
            day_reserved=money(used.day_reserved),
            kernel_cost=money(used.kernel_cost),
            day_cost=money(used.day_cost),
            running=self._running,
        )

    # ------------------------------------------------------------------------------------ overviews

    def hosts(self) -> list[HostRow]:
        """Every listed host, its certificate and attestation checked now."""
        engine = self._engine(None, None)
        snapshot, outcomes = self._run(engine.hosts.survey(self._engine_settings(engine.network)))
        names = {row["tee_id"]: row["name"] for row in (self._sim_state or {}).get("hosts", ())}
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

        known = prices.load(self.settings.get("prices_file"))
        return [ModelRow(name, known.price(name)) for name in known.models]

    def wallet_info(self) -> dict[str, Any]:
        """Address, where the key is, balance and what Permit2 may still take; never the key.

        Open payments of this ledger may still take what they hold of both.
        """
        from opg_magic.wallet.funds import allowance_words

        network, _, route = self._connected()
        wallet = self._wallet(network)
        funds, held = self._run(route.funds(wallet.address))
        info = {
            "network": network.title,
            "address": wallet.address,
            "key": wallet.source,
            "balance": Money(funds.balance, network.token),
            "allowance": allowance_words(funds.allowance, network),
            "held by open payments": Money(held, network.token),
        }
        if warning := funds.warning(self._usual_cap(network), held, network):
            info["note"] = warning
        return info

    def _usual_cap(self, network: Network) -> Money:
        """What a payment holds: the highest cap of those that are open, or what most hosts ask
        for."""
        from opg_magic.ledger.store import network_key

        open_caps = [
            entry.authorisation.cap
            for entry in self.ledger.open_authorisations(network=network_key(network))
        ]
        usual = min(self.settings.get("max_cost_per_call"), profiles.OBSERVED_CAP)
        return Money(max(open_caps, default=usual), network.token)

    def status(self) -> dict[str, Any]:
        """What is in force: network, model, policy, wallet, spending, receipts.  Starts and asks
        nothing."""
        from opg_magic.wallet.funds import allowance_words

        name = self.settings.get("network")
        running = self._sim_state is not None
        known = self._engines.get(name)
        seen = None if known is None else known.route.payments.funds_seen
        if known is None or seen is None:
            wallet = "not asked yet: %opg wallet"
        else:
            left, at = allowance_words(seen.allowance, known.network), f"{seen.at:%H:%M} UTC"
            wallet = f"{Money(seen.balance, known.network.token)}, allowance {left} (at {at})"
        return {
            "network": name + (" (simulated)" if name == profiles.SIM else ""),
            "simulated network": "in use" if running else "not started by this kernel",
            "model": self.settings.get("model"),
            "policy": self.settings.get("policy"),
            "wallet": wallet,
            "receipts": self.ledger.count(),
            "calls that never ended": len(self.ledger.unfinished()),
            "ledger": "kept for all kernels of this user",
            "running calls": self._running,
        }

    def reconcile(self) -> int:
        """Ask the payment chain what was taken under authorisations that are over; returns how many
        became known."""
        known = self._run(self._connected().route.payments.reconciler.payments(young=True))
        self._changed()
        return known

    def settle(self, ids: Sequence[str] | None = None, *, watch: bool = False) -> list[Outcome]:
        """Look for calls' hashes on the relay: all that wait for it, or these receipts.

        ``watch``: until none waits any more, or the last can no longer come; an interrupt ends it.
        """
        settlements = self._engine(None, None).settlements
        found = self._run(settlements.look_until_found(ids) if watch else settlements.look(ids))
        self._changed()
        return found

    def builds(self) -> list[Build]:
        """The host builds that are listed now, by PCR hash, with the registry's version and whether
        they are pinned."""
        engine = self._engine(None, None)
        snapshot, _ = self._run(engine.hosts.survey(self._engine_settings(engine.network)))
        pinned = {pin.lower() for pin in self.settings.get("pinned_pcrs")}
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
        now, said = list(self.settings.get("pinned_pcrs")), []
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
        self.settings.reload()
        return said

    def agree(
        self,
        prompt: Prompt,
        options: CallOptions | None = None,
        *,
        hosts: int,
        quorum: int | None = None,
        observer: Observer | None = None,
    ) -> Agreement:
        """One prompt to several independent hosts at once: see
        :func:`opg_magic.call.agreement.agree`."""
        from opg_magic.call.agreement import agree, counts
        from opg_magic.call.state import CallOptions
        from opg_magic.network.background import Stopped

        hosts, quorum = counts(hosts, quorum)
        chosen = options or CallOptions()
        self._count(+1)
        begun = False
        try:
            engine = self._engine(chosen.network, observer)
            loop = self._loop()
            begun = True

            def once() -> Agreement:
                settings = self._engine_settings(engine.network)
                return loop.run(
                    lambda emit: agree(
                        engine, prompt, chosen, settings, hosts=hosts, quorum=quorum, observer=emit
                    ),
                    observer,
                )

            return self._within_limits(once)
        except Stopped as stopped:
            raise _interrupted(stopped) from None
        except KeyboardInterrupt:
            raise _interrupted(Stopped(None, ended=not begun)) from None
        finally:
            self._count(-1)

    def allowances(self, amount: int, *, add: bool) -> tuple[int, int]:
        """What Permit2 may take from the wallet now, and what it is to be with ``amount`` more, or
        set; base units."""
        from opg_magic.wallet.funds import approved

        network, _, route = self._connected()
        funds, _ = self._run(route.funds(self._wallet(network).address))
        return funds.allowance, approved(funds.allowance, amount, add=add, network=network)

    def approve(self, amount: int) -> str:
        """Let Permit2 move ``amount`` base units in all from the wallet; returns the transaction's
        hash."""
        network, _, route = self._connected()
        return self._run(route.approve(self._wallet(network), amount))

    def simnet(self, command: list[str]) -> str:
        """Run ``opg simnet COMMAND`` and return what it says."""
        from opg_magic.network import simnet_client

        text = simnet_client.command(command)
        if command and command[0] == "down":
            self._sim_state = None
        return text

    # ------------------------------------------------------------------------------------- plumbing

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back (on any thread) after spending or receipts changed; returns a function that
        ends it."""
        self._listeners.append(callback)

        def end() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return end

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _count(self, by: int) -> None:
        with self._counted:
            self._running += by
        self._changed()

    def _loop(self) -> BackgroundLoop:
        with self._lock:
            if self._background is None:
                from opg_magic.network.background import BackgroundLoop

                self._background = BackgroundLoop()
                atexit.register(self.close)
            return self._background

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        from opg_magic.network.background import Stopped

        try:
            return self._loop().run(lambda _emit: coroutine)
        except Stopped:
            raise KeyboardInterrupt from None

    def close(self) -> None:
        """End cleanly: close connections, forget session ids, stop the loop."""
        with self._lock:
            if self._background is not None:
                for known in self._engines.values():
                    with suppress(Exception):
                        self._background.run(lambda _emit, e=known.engine: e.aclose())  # type: ignore[misc]
                self._engines.clear()
                self._background.close()
                self._background = None
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None
        atexit.unregister(self.close)


def _running_simulator(known: dict[str, Any] | None) -> dict[str, Any]:
    from opg_magic.network import simnet_client

    return (
        known
        if known is not None and simnet_client.still_runs(known)
        else simnet_client.ensure_up()
    )


def _host_row(
    host: Host,
    registry: Any,
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


def _interrupted(stopped: Stopped) -> errors.CallInterrupted:
    """What a stopped call says: whether it was charged, and where its record is.  Never "not
    charged" on a guess."""
    import asyncio

    from opg_magic.models import Charge

    outcome = stopped.outcome
    if not stopped.ended:
        return errors.CallInterrupted(
            "stopped before it was known what the call came to; it may have been paid for. What "
            "was recorded:"
            " %opg receipts",
            charge=Charge.UNKNOWN,
        )
    if isinstance(outcome, errors.OpgError):
        return errors.CallInterrupted(
            f"stopped: {outcome.message}",
            charge=outcome.charge,
            receipt_id=outcome.receipt_id,
            receipt=getattr(outcome, "receipt", None),
        )
    if stopped.result is not None:
        # The stop came when the answer was there already.
        return errors.CallInterrupted(
            "stopped when the answer had come and was recorded",
            charge=stopped.result.cost.charge,
            receipt_id=stopped.result.receipt.id,
            receipt=stopped.result.receipt,
        )
    if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
        return errors.CallInterrupted(
            f"stopped; the call ended unexpectedly ({type(outcome).__name__}), and it may have "
            f"been paid for",
            charge=Charge.UNKNOWN,
        )
    return errors.CallInterrupted(
        "stopped before anything that can spend was sent", charge=Charge.NONE
    )


def _kernel_id() -> str:
    """An id of this process for limits and filters: not secret, and new with each start."""
    import secrets

    return secrets.token_hex(6)


def notebook_name() -> str | None:
    """The open notebook's file name (no folder: a path would tell strangers about this machine),
    where known."""
    for known in (os.environ.get("JPY_SESSION_NAME"), _from_user_namespace("__vsc_ipynb_file__")):
        if known:
            return _writable(known.replace("\\", "/").rpartition("/")[2])
    return None


def _writable(name: str) -> str:
    """A byte of a file's name that is not UTF-8 comes as a lone surrogate, which no ledger and no
    receipt can hold."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")


def execution_count() -> int | None:
    """The number of the running cell, or of the last one that ran, where there is an IPython
    shell."""
    shell = _shell()
    if shell is None:
        return None
    # What Out[n] will say: newer IPythons raise the shell's own count before the cell runs, older
    # ones after it.
    count = int(shell.displayhook.prompt_count)
    if count == shell.execution_count:
        # Older: between two cells it is the next one's.  Inputs are listed, after an empty one, as
        # their cells begin.
        count = min(count, len(shell.history_manager.input_hist_parsed) - 1)
    return max(0, count)


def _shell() -> Any:
    import sys

    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _from_user_namespace(name: str) -> str | None:
    shell = _shell()
    value = None if shell is None else shell.user_ns.get(name)
    return value if isinstance(value, str) else None


_current: Session | None = None
_current_lock = threading.Lock()
_kernel_of_process: str | None = None
_of_the_parent: list[Session] = []


def current_session() -> Session:
    """This process's session, made on first use."""
    global _current
    with _current_lock:
        if _current is None:
            _current = Session()
            # Reloading the extension makes a new session, and is no new kernel: its limits go on.
            _current.kernel_id = _kernel_of_process or _current.kernel_id
        return _current


def _forget_after_fork() -> None:
    """A forked child has neither the loop's thread nor the limits' kernel of its parent: it begins
    anew."""
    global _current, _current_lock, _kernel_of_process
    if _current is not None:
        atexit.unregister(_current.close)
        # Kept, not closed: its connections are the parent's.
        _of_the_parent.append(_current)
    _current, _current_lock, _kernel_of_process = None, threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def close_current_session() -> None:
    """End this process's session, if there is one; the next use makes a new one."""
    global _current, _kernel_of_process
    with _current_lock:
        if _current is not None:
            _kernel_of_process = _current.kernel_id
            _current.close()
            _current = None


def reader_trust(settings: Settings) -> Any:
    """What this user relies on when reading someone's receipt: pinned roots and PCRs, the own
    simulation's root."""
    from opg_magic.models import Trust
    from opg_magic.network import simnet_client

    return Trust(
        simulated_roots=simnet_client.own_roots(),
        pinned_pcrs=frozenset(settings.get("pinned_pcrs")),
        skew_seconds=settings.get("skew"),
        payees=frozenset(settings.get("payees")),
        reader=True,
    )
