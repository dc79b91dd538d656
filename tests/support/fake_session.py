"""A session that pays nobody and a publisher that keeps what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from support import states

from opg_magic.call.overview import Budget, HostRow, ModelRow
from opg_magic.errors import LedgerError
from opg_magic.models import Answer, Money, Phase, Progress, Prompt, Quote
from opg_magic.network.profiles import OBSERVED_CAP, OPENGRADIENT, OPG
from opg_magic.receipt.document import Receipt
from opg_magic.settings.config import Settings
from opg_magic.settings.prices import load as load_prices


class FakeLedger:
    """Receipts by id; the real ledger's ways of saying no."""

    def __init__(self) -> None:
        self.receipts: dict[str, Receipt] = {}

    def last(self) -> Receipt | None:
        return next(reversed(self.receipts.values()), None)

    def get(self, id_or_prefix: str) -> Receipt:
        for id, receipt in self.receipts.items():
            if id.startswith(id_or_prefix.upper()):
                return receipt
        raise LedgerError(f"No receipt {id_or_prefix} is in the ledger.")


@dataclass
class FakeSession:
    """What the magic sees of a session: real settings and real values, but no network."""

    settings: Settings
    #: What a call does: gets the prompt, the options and the observer; returns an answer or raises.
    act: Callable[[Prompt, Any, Callable[[Progress], None]], Answer]
    calls: list[tuple[Prompt, Any]] = field(default_factory=list)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    simnet_commands: list[list[str]] = field(default_factory=list)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    reserved: int = 4 * 10**17
    known_hosts: tuple[HostRow, ...] = ()
    frame: Any = None
    reconciled: int = 0

    def ask(self, prompt: Prompt, options: Any = None, observer: Any = None) -> Answer:
        self.calls.append((prompt, options))
        return self.act(prompt, options, observer)

    def quote(self, prompt: Prompt, options: Any = None) -> Quote:
        return states.quote()

    def use(self, name: str) -> Any:
        self.settings.set("network", name)
        return OPENGRADIENT if name == "opengradient" else states.SIM

    @property
    def overview(self) -> FakeSession:
        return self

    @property
    def wallet(self) -> FakeSession:
        return self

    def hosts(self) -> list[HostRow]:
        rows = [
            HostRow(states.HOST, True, "good", None, None, "honest-anna"),
            HostRow(
                states.HOST, False, "refused", "debug <b>PCRs</b>", "the answer failed", "sly-bob"
            ),
        ]
        self.known_hosts = tuple(rows)
        return rows

    def models(self) -> list[ModelRow]:
        known = load_prices()
        return [ModelRow(name, known.price(name)) for name in known.models]

    def simulated_roots(self) -> frozenset[str]:
        return frozenset()

    def receipts(self, **filters: Any) -> Any:
        self.filters = filters
        return self.frame

    def spending(self) -> Budget:
        def opg(amount: int) -> Money:
            return Money(amount, OPG)

        return Budget(
            call_limit=opg(OBSERVED_CAP),
            kernel_limit=opg(10**18),
            day_limit=opg(5 * 10**18),
            kernel_reserved=opg(self.reserved),
            day_reserved=opg(self.reserved),
            kernel_cost=opg(41 * 10**14),
            day_cost=opg(41 * 10**14),
            running=0,
            network="opengradient",
        )

    def ledger_calls(self) -> list[dict[str, Any]]:
        return []

    def reconcile(self) -> int:
        self.reconciled += 1
        return 0

    def info(self) -> dict[str, Any]:
        return {"address": "0x" + "0a" * 20, "key": "keystore", "balance": Money(10**18, OPG)}

    def status(self) -> dict[str, Any]:
        return {
            "network": "sim (simulated)",
            "model": self.settings.get("model"),
            "running calls": 0,
        }

    def simnet(self, command: list[str]) -> str:
        self.simnet_commands.append(command)
        return "three hosts \x1b[2Jare up\n"

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)


class Screen(DisplayPublisher):
    """Keeps all that is published, instead of showing it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.all: list[SimpleNamespace] = []

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        self.all.append(
            SimpleNamespace(data=data, id=(transient or {}).get("display_id"), update=update)
        )

    @property
    def last(self) -> dict[str, Any]:
        return self.all[-1].data

    def __contains__(self, words: str) -> bool:
        return words in str([one.data for one in self.all])


def good_answer(text: str = states.TEXT, **kwargs: Any) -> Callable[..., Answer]:
    """A call that streams ``text`` and passes."""

    def act(prompt: Prompt, options: Any, observer: Callable[[Progress], None]) -> Answer:
        observer(Progress(Phase.PAY, host=states.HOST, cap=Money(OBSERVED_CAP, OPG)))
        observer(Progress(Phase.ANSWER, text=text[:10], tokens=3, host=states.HOST))
        observer(Progress(Phase.CHECK, host=states.HOST))
        return states.answer(text=text, **{"simulated": True, **kwargs})

    return act
