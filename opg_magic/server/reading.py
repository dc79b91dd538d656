"""What the browser may ask for, apart from HTTP: status, ledger, and the registry through the
user's own RPC."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from opg_magic.errors import ConfigError, LedgerError, NetworkUnavailable, SimnetError

if TYPE_CHECKING:
    from opg_magic.ledger.pages import Found, LedgerReader
    from opg_magic.models.networks import Network
    from opg_magic.settings.config import Settings

T = TypeVar("T")

#: Seconds for the registry's answer to one question, and how many questions may be asked at once
#: and wait.
REGISTRY_SECONDS = 20.0
REGISTRY_AT_ONCE = 2
REGISTRY_WAITING = 64
#: Answers about one host at one past block that are kept: they do not change.
REGISTRY_KEPT = 512
#: Characters of a prompt or an answer in a list; the receipt holds all of it.
SHOWN_CHARACTERS = 300


class NotConfigured(ConfigError):
    """The user named no RPC that could be asked."""


class Busy(NetworkUnavailable):
    """Too many questions wait already."""


class Reading:
    """Reads for the browser.  One for a server; safe on its event loop: what blocks runs in one
    thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="opg-magic")
        self._asking = asyncio.Semaphore(REGISTRY_AT_ONCE)
        self._waiting = 0
        self._found: Found | None = None
        self._kept: OrderedDict[tuple[object, ...], dict[str, Any]] = OrderedDict()

    async def aside(self, work: Callable[[], T]) -> T:
        """Run what blocks in this object's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    # ----------------------------------------------------------------------------------- the ledger

    def page(
        self, *, limit: int, after: str | None, words: str = "", unless: str | None = None
    ) -> dict[str, Any]:
        """One page of the ledger's calls, newest first: ``rows``, ``next`` (a cursor, or None) and
        ``total``; with ``words``, only of those that have each of them.  ``state`` changes with the
        ledger; while it is still ``unless``, it comes alone."""
        from opg_magic.ledger.row_cells import table_cells

        with _reader() as reader:
            # Asked first: what is saved while this reads is not taken for read.
            state = reader.state()
            if state == unless:
                return {"state": state}
            page = reader.page(limit=limit, after=after, words=words, known=self._found)
        self._found = page.found or self._found
        rows = [_row(table_cells(row), most=SHOWN_CHARACTERS) for row in page.rows]
        for row, source in zip(rows, page.rows, strict=True):
            row["has_receipt"] = source.document is not None
        return {"rows": rows, "next": page.after, "total": page.total, "state": state}

    def receipt(self, receipt_id: str) -> dict[str, Any] | None:
        """The receipt with exactly this id, as a saved notebook holds it; None if there is none."""
        from opg_magic.receipt.document import normalise_id

        with _reader() as reader:
            if not reader.exists:
                return None
            try:
                found = reader.get(receipt_id)
            except LedgerError:
                # What is not there, or a ledger that cannot be read: for the latter, this raises
                # too.
                reader.count()
                return None
        return found.document if found.id == normalise_id(receipt_id) else None

    def own(self, asked: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
        """Of receipts (id, computed digest), those that the user's own kernels wrote: by digest,
        what the kernel asked, and when."""
        from opg_magic.ledger.own import own

        found = {}
        with _reader() as reader:
            for receipt_id, digest in asked:
                mine = own(reader, receipt_id, digest)
                if mine is not None:
                    at = mine.at.isoformat().replace("+00:00", "Z")
                    found[digest] = {"asked": sorted(mine.asked), "at": at}
        return found

    # ----------------------------------------------------------------------------------- the status

    def status(self) -> dict[str, Any]:
        """Network, limits, what is used of them today, and running calls, by the settings that a
        new kernel would have.

        Sums are base units as decimal text.  ``today`` is None while a simulated network is not
        running: each start of it is a network of its own."""
        from opg_magic import __version__
        from opg_magic.call.naming import default_model
        from opg_magic.network import profiles, simnet_client

        settings = _settings()
        name = settings.get("network")
        token = profiles.token_of(name)
        network, hosts = self._network(name)
        today: dict[str, str] | None = (
            {"reserved": "0", "cost": "0"} if network is not None else None
        )
        running = 0
        with _reader() as reader:
            if reader.exists and network is not None:
                used = reader.spending(network, "")
                today = {"reserved": str(used.day_reserved), "cost": str(used.day_cost)}
            if reader.exists:
                running = sum(call.running for call in reader.unfinished(include_running=True))
        return {
            "version": __version__,
            "network": {
                "name": name,
                "title": profiles.title_of(name),
                "simulated": name == profiles.SIM,
                "up": network is not None,
                "run_id": network.run_id if network is not None else None,
            },
            "token": {"symbol": token.symbol, "decimals": token.decimals},
            "limits": {
                "call": str(settings.get("max_cost_per_call")),
                "kernel": str(settings.get("max_cost_per_kernel")),
                "day": str(settings.get("max_cost_per_day")),
            },
            "today": today,
            "running": running,
            "policy": settings.get("policy"),
            "model": default_model(settings),
            "registry_rpcs": len(settings.get("registry_rpcs")),
            "hosts": hosts,
            "simulated_roots": sorted(simnet_client.own_roots()),
            "payees": sorted(settings.get("payees")),
        }

    @staticmethod
    def _network(name: str) -> tuple[Network | None, list[dict[str, str]]]:
        """The network of that name, None if it is simulated and not running; and its hosts where
        they are known."""
        from opg_magic.network import profiles, simnet_client

        state = simnet_client.read_state() if name == profiles.SIM else None
        if state is None:
            return (profiles.resolve(name) if name == profiles.OPENGRADIENT.name else None), []
        hosts = [
            {"name": str(h["name"]), "tee_id": str(h["tee_id"])} for h in state.get("hosts", ())
        ]
        return profiles.resolve(name, state=state), hosts

    # --------------------------------------------------------------------------------- the registry

    async def registry(
        self, tee_id: str, block: int, *, chain_id: int | None, run_id: str | None
    ) -> dict[str, Any]:
        """What the registry said of a host at a block, asked now through RPCs that the user named
        in their settings.

        ``run_id`` (of a receipt from a simulated network) chooses this user's own simulated network
        while that start of it runs.  Raises NotConfigured where there is nobody to ask,
        NetworkUnavailable where nobody answers."""
        network = await self.aside(lambda: _asked(run_id))
        if chain_id is not None and chain_id != network.registry_chain_id:
            raise NotConfigured(
                f"The registry in your settings is on chain {network.registry_chain_id}, the "
                f"receipt's on {chain_id}."
            )
        key = (network.registry_rpcs, network.run_id, tee_id, block)
        if key not in self._kept:
            if self._waiting >= REGISTRY_WAITING:
                raise Busy("Too many questions to the registry wait already.")
            self._waiting += 1
            try:
                async with self._asking:
                    if key not in self._kept:
                        self._kept[key] = await self._ask(network, tee_id, block)
            finally:
                self._waiting -= 1
            while len(self._kept) > REGISTRY_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    async def _ask(self, network: Network, tee_id: str, block: int) -> dict[str, Any]:
        from opg_magic.receipt.parts.registry import registry_json

        await self.aside(_import_readers)
        from opg_magic.network.registry import RegistryReader

        reader = RegistryReader(network)
        try:
            async with asyncio.timeout(REGISTRY_SECONDS):
                evidence = await reader.at_block(tee_id, block)
        except TimeoutError:
            raise NetworkUnavailable(
                f"The registry did not answer within {REGISTRY_SECONDS:g} s."
            ) from None
        finally:
            await reader.aclose()
        return {
            "registry": registry_json(evidence),
            "simulated": network.simulated,
            "run_id": network.run_id,
        }


def _reader() -> LedgerReader:
    """The ledger, opened each time: the file may have been replaced since."""
    from opg_magic.ledger.pages import LedgerReader
    from opg_magic.settings import paths

    return LedgerReader(paths.ledger_file())


def _settings() -> Settings:
    from opg_magic.settings.config import Settings

    # Read each time: the file may have changed, and this server may live for weeks.
    return Settings()


def _asked(run_id: str | None) -> Network:
    """The network whose registry is asked, with the user's own RPCs."""
    from dataclasses import replace

    from opg_magic.network import profiles, simnet_client

    if run_id is not None:
        state = simnet_client.read_state()
        if state is None or str(state["run_id"]) != run_id:
            raise NotConfigured(
                "The simulated network of this receipt does not run here; its registry is gone "
                "with that start of it."
            )
        return profiles.resolve(profiles.SIM, state=state)
    settings = _settings()
    rpcs = settings.get("registry_rpcs")
    if not rpcs:
        raise NotConfigured(
            "Your settings name no RPC of the registry's chain.",
            hint="Set registry_rpcs (see: %opg config).",
        )
    try:
        return replace(profiles.resolve_by_rpcs(rpcs, settings), registry_rpcs=tuple(rpcs))
    except SimnetError as problem:
        raise NetworkUnavailable(problem.message) from None


def _row(cells: dict[str, Any], *, most: int) -> dict[str, Any]:
    """A row's cells as JSON: what was withheld is not among them, long texts are cut to ``most``
    characters."""
    row: dict[str, Any] = {}
    for name, value in cells.items():
        if name in ("withheld_answer", "cost_opg", "settled_opg", "digest", "kernel"):
            continue
        if name == "tool_calls" and value is not None:
            value = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        if isinstance(value, str) and len(value) > most:
            value = value[:most] + "…"
        elif isinstance(value, datetime):
            value = value.isoformat().replace("+00:00", "Z")
        elif name.endswith("_base_units") and value is not None:
            value = str(value)
        row[name] = value
    return row


def _import_readers() -> None:
    import opg_magic.network.registry
    import opg_magic.receipt.parts.registry  # noqa: F401
