"""What the checks look at, and what several of them need: each of it is fetched once.

Nothing here signs, pays, writes or sends a prompt.  What may wait for a person (a keyring) or for a
disk runs on a thread of its own, which nobody waits for longer than the check has time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic.models.networks import Network
from opg_magic.models.prompts import RouteName
from opg_magic.settings.config import Settings

if TYPE_CHECKING:
    from opg_magic.ledger.pages import LedgerReader
    from opg_magic.models import Money
    from opg_magic.network.registry import RegistrySnapshot
    from opg_magic.settings.sign_in import SignIn
    from opg_magic.wallet.chain import PaymentChain
    from opg_magic.wallet.funds import Funds
    from opg_magic.wallet.keys import Wallet

T = TypeVar("T")

#: Seconds that one check has.
PATIENCE = 8.0
#: Seconds that one RPC has, so that its check can still say which one it was.
RPC_SECONDS = 4.0


@dataclass(slots=True)
class Patient:
    """One kernel's settings and network, and the route that its calls would take.

    ``network`` is None if the simulated network does not run: nothing is started for a look.
    ``in_notebook``: no terminal can be asked for a password."""

    settings: Settings
    name: str
    network: Network | None
    route: RouteName
    in_notebook: bool
    kernel_id: str
    open_wallet: Callable[[Network], Wallet]
    _shared: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    _open: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def simulated(self) -> bool:
        """Whether calls would go to the simulated network."""
        from opg_magic.network import profiles

        return self.name == profiles.SIM

    @property
    def has_wallet(self) -> bool:
        """Whether there is one, as far as that can be told without opening it."""
        from opg_magic.wallet.keys import is_named

        return self.simulated or is_named(self.settings.get("wallet"))

    @property
    def flag(self) -> str:
        """What a command of the shell needs to mean the same network."""
        return "" if self.simulated else f" --network {self.name}"

    def setting(self, key: str, value: object) -> str:
        """The line that makes this setting, for the place that has made it so far."""
        origin = self.settings.origin(key)
        if origin.startswith("environment"):
            return f"export OPG_{key.upper()}={value}"
        if origin.startswith("this kernel"):
            return f"%opg config {key} {value}"
        if origin.startswith("project"):
            return f"$EDITOR pyproject.toml  # [tool.opg] {key} = {value}"
        return f"opg config {key} {value}"

    def usual_cap(self) -> Money:
        """What a payment usually holds: what most hosts ask for, within the limit per call."""
        from opg_magic.models import Money
        from opg_magic.network import profiles

        most = min(self.settings.get("max_cost_per_call"), profiles.OBSERVED_CAP)
        return Money(most, self._running().token)

    async def snapshot(self) -> RegistrySnapshot:
        """The registry, read now.  Raises NetworkUnavailable."""
        return await self._once("snapshot", self._snapshot)

    async def sign_in(self) -> SignIn | None:
        """The sign-in, opened; None if there is none.  Raises WalletError."""
        from opg_magic.settings import sign_in

        network = self._running()
        return await self._once("sign-in", lambda: in_thread(lambda: sign_in.current(network)))

    async def wallet(self) -> Wallet:
        """The wallet, opened.  Raises WalletError."""
        network = self._running()
        return await self._once("wallet", lambda: in_thread(lambda: self.open_wallet(network)))

    async def funds(self, address: str) -> tuple[Funds, int]:
        """What an address has, and what open payments may still take of it (base units).

        Raises NetworkUnavailable."""
        return await self._once(f"funds {address}", lambda: self._funds(address))

    def chain(self) -> PaymentChain:
        """The payment chain; closed with everything else."""
        from opg_magic.wallet.chain import PaymentChain

        chain = PaymentChain(self._running(), timeout=RPC_SECONDS)
        self._open.append(chain.aclose)
        return chain

    def closing(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call this once all checks are done."""
        self._open.append(close)

    async def aclose(self) -> None:
        """End what still waits, and close the connections."""
        for task in self._shared.values():
            task.cancel()
        await asyncio.gather(*self._shared.values(), return_exceptions=True)
        await asyncio.gather(*(close() for close in self._open), return_exceptions=True)

    def _running(self) -> Network:
        assert self.network is not None, "a check of a network that does not run"
        return self.network

    async def _once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        task = self._shared.get(name)
        if task is None:
            task = self._shared[name] = asyncio.ensure_future(make())
        # One check that gives up must not take it away from the others.
        return await asyncio.shield(task)

    async def _snapshot(self) -> RegistrySnapshot:
        from opg_magic.network.registry import RegistryReader

        reader = RegistryReader(self._running(), timeout=RPC_SECONDS)
        self._open.append(reader.aclose)
        return await reader.snapshot()

    async def _funds(self, address: str) -> tuple[Funds, int]:
        from opg_magic.wallet.funds import read_funds

        seen = await read_funds(self.chain(), address)
        network = self._running()
        held = await in_ledger(lambda ledger: ledger.held(network, address, seen.at), 0)
        return seen, held


async def in_ledger(ask: Callable[[LedgerReader], T], otherwise: T) -> T:
    """What the ledger says; ``otherwise`` if there is none yet.  Raises LedgerError."""
    from opg_magic.ledger.pages import LedgerReader
    from opg_magic.settings import paths

    def read() -> T:
        path = paths.existing("ledger.sqlite")
        if path is None:
            return otherwise
        with LedgerReader(path) as ledger:
            return ask(ledger)

    return await in_thread(read)


async def in_thread(ask: Callable[[], T]) -> T:
    """What ``ask`` returns or raises, from a thread that keeps no process from ending."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def deliver(value: T | None, problem: BaseException | None) -> None:
        if result.done():
            return
        if problem is not None:
            result.set_exception(problem)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, problem = None, None
        try:
            value = ask()
        except Exception as raised:
            problem = raised
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, value, problem)

    threading.Thread(target=run, name="opg-doctor", daemon=True).start()
    return await result
