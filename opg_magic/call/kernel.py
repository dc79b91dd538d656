"""What a kernel keeps and runs: settings, the network in use, its engines, the ledger, one loop.

Everything heavy is imported inside the methods that need it, so that loading the extension stays
light."""

from __future__ import annotations

import atexit
import logging
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opg_magic import errors
from opg_magic.call.notebook_place import execution_count, notebook_name
from opg_magic.models import Phase, Progress
from opg_magic.models.networks import Network
from opg_magic.network import profiles
from opg_magic.settings import paths, sign_in
from opg_magic.settings.config import Settings

if TYPE_CHECKING:
    from opg_magic.call.beside import Beside, PendingCall
    from opg_magic.call.direct import DirectRoute
    from opg_magic.call.engine import Engine
    from opg_magic.call.route import Route
    from opg_magic.call.state import CallOptions, CallSite, EngineSettings
    from opg_magic.ledger.store import Ledger
    from opg_magic.models.prompts import RouteName
    from opg_magic.network.background import BackgroundLoop
    from opg_magic.settings.sign_in import SignIn
    from opg_magic.wallet.keys import Wallet

log = logging.getLogger(__name__)

#: A host's id, or the beginning of one.
_HEX = re.compile(r"(0x)?[0-9a-fA-F]+")

T = TypeVar("T")
R = TypeVar("R", bound="Route")
Observer = Callable[[Progress], None]
#: From the state known so far (None at first) to the state of the network that runs now.
Simulator = Callable[[dict[str, Any] | None], dict[str, Any]]


class Connected(NamedTuple):
    """A network in use: its profile, the engine of its calls, and the way to its hosts."""

    network: Network
    engine: Engine
    route: DirectRoute


class Kernel:
    """The state behind one session.  Its methods may be called from any thread."""

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
        #: Engines of the private route, by network.
        self._private: dict[str, Engine] = {}
        self._sim_state: dict[str, Any] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._running = 0
        self._beside: list[Beside] = []
        sign_in.use_by_default(_kept_sign_in)
        self._counting = threading.Lock()
        self.kernel_id = _kernel_id()

    def use(self, network: str) -> Network:
        """Set the network of this kernel and return its profile.  A simulated one is started if
        need be."""
        profile = self._profile(network)
        self.settings.set("network", network)
        self.changed()
        return profile

    @property
    def network(self) -> Network:
        """The network in use; the simulated one is started if need be."""
        return self._profile(self.settings.get("network"))

    def _profile(self, name: str) -> Network:
        if name == profiles.SIM:
            self._sim_state = self._simulator(self._sim_state)
        return profiles.resolve(name, self.settings, state=self._sim_state)

    def connected(self, name: str | None = None, observer: Observer | None = None) -> Connected:
        wanted = name or self.settings.get("network")
        with self._lock:
            network = self.started(wanted, observer)
            known = self._engines.get(wanted)
            if known is None or known.network != network:
                if known is not None:
                    self.run(known.engine.aclose())
                known = self._engines[wanted] = self._build(network)
            return known

    def engine(self, options: CallOptions, observer: Observer | None = None) -> Engine:
        """The engine that makes a call with these options: of its network, on its route."""
        if self.route_of(options) == "direct":
            return self.connected(options.network, observer).engine
        name = options.network or self.settings.get("network")
        with self._lock:
            network = self.started(name, observer)
            known = self._private.get(name)
            if known is None or known.network != network:
                if known is not None:
                    self.run(known.aclose())
                known = self._private[name] = self._build_private(network)
        # Here, not on the loop: a keyring may take seconds.  What it gives is remembered.
        self._signed_in(network)
        return known

    def started(self, name: str, observer: Observer | None) -> Network:
        """The profile of a network; a simulated one is started if need be and the observer told."""
        if name == profiles.SIM and self._sim_state is None and observer is not None:
            observer(Progress(Phase.QUOTE, note="starting the simulated network"))
        return self._profile(name)

    def route_of(self, options: CallOptions) -> RouteName:
        """The route of a call: as asked for, as set, else private on a real network where there is
        a sign-in and no wallet."""
        wanted = options.route or self.settings.get("route")
        if wanted != "auto":
            return "private" if wanted == "private" else "direct"
        name = options.network or self.settings.get("network")
        # The wallet first: who has one needs no keyring for a call that it pays.
        if name == profiles.SIM or self._has_wallet():
            return "direct"
        return "private" if sign_in.current(self._profile(name)) is not None else "direct"

    def _has_wallet(self) -> bool:
        from opg_magic.wallet.keys import is_named

        return is_named(self.settings.get("wallet"))

    def _signed_in(self, network: Network) -> SignIn | None:
        from opg_magic.network import simnet_client

        found = sign_in.current(network)
        if not network.simulated:
            return found
        if self._sim_state is None or network.private_relay is None:
            return None
        # One of an earlier start names a relay that is gone.
        if found is not None and found.relay == network.private_relay and not found.is_over():
            return found
        token = simnet_client.relay_token(self._sim_state)
        return sign_in.SignIn(network.private_relay, token, account="simulated")

    def in_use(self, name: str) -> Connected | None:
        """The network of that name, if this kernel has used it already.  Starts nothing."""
        return self._engines.get(name)

    def _build(self, network: Network) -> Connected:
        from opg_magic.call.direct import DirectRoute

        engine, route = self._engine_of(
            network,
            lambda ledger: DirectRoute(
                network,
                ledger,
                wallet=lambda: self.open_wallet(network),
                call_site=self._call_site,
            ),
        )
        return Connected(network, engine, route)

    def _build_private(self, network: Network) -> Engine:
        from opg_magic.call.private import PrivateRoute

        engine, _route = self._engine_of(
            network,
            lambda ledger: PrivateRoute(
                network,
                ledger,
                signed_in=lambda: self._signed_in(network),
                asks_attestation=lambda: bool(self.settings.get("private_attestation")),
                call_site=self._call_site,
            ),
        )
        return engine

    def _engine_of(self, network: Network, way: Callable[[Ledger], R]) -> tuple[Engine, R]:
        """A new engine on the route that ``way`` makes; both are made on the loop."""
        from opg_magic.call.engine import Engine
        from opg_magic.settings import prices

        # Here, not on the loop: its lock may be held by the thread that waits for the loop.
        ledger = self.ledger
        price_list = prices.load(self.settings.get("prices_file"), simulated=network.simulated)

        async def make() -> tuple[Engine, R]:
            route = way(ledger)
            engine = Engine(
                network=network,
                route=route,
                ledger=ledger,
                price_list=price_list,
                call_site=self._call_site,
            )
            return engine, route

        return self.run(make())

    def _call_site(self) -> CallSite:
        from opg_magic.call.beside import site
        from opg_magic.call.state import CallSite

        return site.get() or CallSite(self.kernel_id, notebook_name(), execution_count())

    def open_wallet(self, network: Network) -> Wallet:
        from opg_magic.wallet.keys import open_wallet

        if network.simulated:
            from opg_magic.network import simnet_client

            if self._sim_state is None:
                raise errors.SimnetError("the simulated network is not running")
            return open_wallet(network, simulated_key=simnet_client.wallet_key(self._sim_state))
        return open_wallet(network, source=self.settings.get("wallet"))

    def engine_settings(self, network: Network) -> EngineSettings:
        """The user's settings as a call on this network needs them."""
        from opg_magic.call.state import engine_settings

        return engine_settings(self.settings, network)

    @property
    def simulation(self) -> Mapping[str, Any] | None:
        """The state of the simulated network, None if this kernel has not started it."""
        return self._sim_state

    def simulated_hosts(self) -> dict[str, str]:
        """Hosts of the simulated network by name: their ids."""
        return {row["name"]: row["tee_id"] for row in (self._sim_state or {}).get("hosts", ())}

    def simulated_roots(self) -> frozenset[str]:
        """Fingerprints of the attestation roots of this user's own simulated network."""
        from opg_magic.network import simnet_client

        running = (self._sim_state or {}).get("root_sha256")
        return simnet_client.own_roots() | ({str(running)} if running else frozenset())

    def by_id(self, options: CallOptions) -> CallOptions:
        """The simulated network's hosts have names; everything below the session knows ids
        alone."""
        wanted = options.host
        ids = self.simulated_hosts()
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

    def within_limits(self, call: Callable[[], T]) -> T:
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

    @property
    def ledger(self) -> Ledger:
        """The ledger, one file for all kernels of this user."""
        with self._lock:
            if self._ledger is None:
                from opg_magic.ledger.store import Ledger

                self._ledger = Ledger(paths.ledger_file())
            return self._ledger

    @property
    def open_ledger(self) -> Ledger | None:
        """The ledger if this kernel has opened it, and has not ended."""
        return self._ledger

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._running

    def counted(self, by: int) -> None:
        with self._counting:
            self._running += by
        self.changed()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back (on any thread) after spending or receipts changed; returns a function that
        ends it."""
        self._listeners.append(callback)

        def end() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return end

    def beside(
        self, call: Callable[[], T], again: Callable[[], None] = lambda: None
    ) -> PendingCall[T]:
        """Make a call on a thread of its own, as of the cell that runs now.  ``call`` blocks; it is
        stopped as an interrupt stops it.  ``again`` shows its end once more, to who waits."""
        from opg_magic.call.beside import PendingCall

        pending = PendingCall(call, self._call_site(), again)
        self.attend(pending)
        return pending

    def attend(self, running: Beside) -> None:
        """Stop this too where everything beside the work is stopped, until it is done."""
        with self._counting:
            others = [one for one in self._beside if one is not running and not one.done()]
            self._beside[:] = [*others, running]

    def stop_beside(self) -> int:
        """Stop every call that runs beside the work; return how many there were."""
        running = [one for one in self._beside if not one.done()]
        for one in running:
            one.stop()
        return len(running)

    def changed(self) -> None:
        for listener in tuple(self._listeners):
            try:
                listener()
            except Exception:
                # It is told at the end of a call whose answer is paid for and not handed out yet.
                log.warning("what shows the spending failed; the call goes on", exc_info=True)

    def loop(self) -> BackgroundLoop:
        with self._lock:
            if self._background is None:
                from opg_magic.network.background import BackgroundLoop

                self._background = BackgroundLoop()
                atexit.register(self.close)
            return self._background

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        from opg_magic.network.background import Stopped

        try:
            return self.loop().run(lambda _emit: coroutine)
        except Stopped:
            raise KeyboardInterrupt from None

    def close(self) -> None:
        """End cleanly: stop and record what still runs, close connections, forget session ids, stop
        the loop."""
        from opg_magic.network.background import GRACE_SECONDS

        # One grace for all of them: whoever ends a kernel may kill it some seconds later.
        end = time.monotonic() + GRACE_SECONDS
        self.stop_beside()
        if self._background is not None:
            self._background.stop_all(end - time.monotonic())
        for pending in self._beside:
            pending.ended(end - time.monotonic())
        with self._lock:
            if self._background is not None:
                for known in self._engines.values():
                    with suppress(Exception):
                        self._background.run(lambda _emit, e=known.engine: e.aclose())  # type: ignore[misc]
                for private in self._private.values():
                    with suppress(Exception):
                        self._background.run(lambda _emit, e=private: e.aclose())  # type: ignore[misc]
                self._engines.clear()
                self._private.clear()
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


def _kept_sign_in(network: Network) -> SignIn | None:
    from opg_magic.wallet import sign_in_store

    return sign_in_store.current(network)


def _kernel_id() -> str:
    """An id of this process for limits and filters: not secret, and new with each start."""
    import secrets

    return secrets.token_hex(6)
