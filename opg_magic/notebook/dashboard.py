"""What is alive in this kernel: spending, by limit, day and model; hosts; receipts to open.

Every figure here also stands elsewhere (``%opg hosts``, ``%opg cost``, ``%opg receipts``): a widget
is gone with its kernel and is never the only bearer of a fact."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opg_magic.display import bundle, card, html, words
from opg_magic.display.spending import Spent, spending_html, spent
from opg_magic.display.style import FAINT, TEXT, TONES
from opg_magic.errors import OpgError
from opg_magic.models.plain_text import plural
from opg_magic.notebook.hosts_table import hosts_html, verdicts_by_host
from opg_magic.notebook.live import Later, timer

if TYPE_CHECKING:
    from opg_magic.call.overview import Budget
    from opg_magic.call.session import Session
    from opg_magic.models import Money

#: Seconds between two refreshes of the figures.
INTERVAL = 0.5
#: Seconds between two looks for what shells and other kernels wrote into the ledger.
AROUND = 2.0

#: At most this many receipts are listed; the line above the list says how many there are.
LISTED = 200

_NONE = ("open one…", "")
_VERDICTS = (
    "VERIFIED",
    "SIMULATED",
    "PARTIAL",
    "UNVERIFIED",
    "FAILED",
    "UNCHECKED",
    "NOT SENT",
    "UNFINISHED",
    "DAMAGED",
)


def share(used: Money, limit: Money) -> float:
    """How much of a limit is used, 0 to 1; a limit of nothing is used up."""
    if limit.amount <= 0:
        return 1.0
    return min(1.0, used.amount / limit.amount)


def _percent(used: Money, limit: Money) -> str:
    """How much of a limit is used, in words; over it where a limit was lowered since."""
    if limit.amount <= 0:
        return "none is left" if used.amount else "nothing is allowed"
    return f"{used.amount / limit.amount:.0%}"


def dashboard(session: Session | None = None) -> Any:
    """Return a widget with hosts and their state, spending against each limit, and receipts.

    Its figures move while calls run; its inputs act when the kernel is free, and it says so.
    Without ``session`` it shows this kernel's own."""
    from opg_magic.call.session import current_session

    return build(session or current_session())


def build(
    session: Session,
    clock: Callable[[], float] = time.monotonic,
    later: Later = timer,
    around: Later = timer,
) -> Any:
    """The dashboard's widget, with a clock and timers of its caller's: for what this kernel tells,
    and for looking around."""
    made = _Dashboard(session, clock, later)
    _look_around(weakref.ref(made), around)
    return made.box


def _look_around(seen: weakref.ref[_Dashboard], around: Later) -> None:
    """Look for the calls of others for as long as the widget lives."""

    def look() -> None:
        dashboard = seen()
        if dashboard is not None and dashboard.box.comm is not None:
            dashboard.follow()
            around(AROUND, look)

    around(AROUND, look)


class _Dashboard:
    def __init__(self, session: Session, clock: Callable[[], float], later: Later) -> None:
        import ipywidgets as widgets

        self._w = widgets
        self._session = session
        self._clock = clock
        self._later = later
        self._refreshed_at: float | None = None
        self._pending = False
        self._lock = threading.RLock()
        self._network = ""
        self._calls: list[dict[str, Any]] = []
        self._spent: Spent | None = None
        self._state: str | None = None

        self._running = widgets.HTML()
        self._spending = widgets.HTML()
        self._hosts = widgets.HTML()
        self._ask_hosts = widgets.Button(
            description="Check hosts now", icon="refresh", layout={"width": "160px"}
        )
        self._ask_hosts.on_click(lambda _button: self.check_hosts())
        self._bars = {over: self._bar() for over in ("kernel", "day")}
        self._call = widgets.HTML()
        self._words = widgets.Text(
            placeholder="prompt, model, notebook, host or ID", layout={"width": "260px"}
        )
        self._verdict = widgets.Dropdown(
            options=[("any verdict", ""), *((v, v) for v in _VERDICTS)], layout={"width": "160px"}
        )
        self._list = widgets.Select(options=[_NONE], rows=8, layout={"width": "98%"})
        self._count = widgets.HTML()
        self._open = widgets.HTML()
        self._words.observe(lambda _change: self.list_receipts(), "value")
        self._verdict.observe(lambda _change: self.list_receipts(), "value")
        self._list.observe(lambda change: self.open(change["new"]), "value")
        self.box = widgets.VBox(self._parts())
        self._follow()
        self.refresh()

    def _parts(self) -> list[Any]:
        widgets = self._w
        return [
            widgets.HTML(
                f'<div style="font-size:12px;{FAINT}">Figures move while calls run, here, in other '
                "kernels and in shells. Buttons and filters act when the kernel is free. The same "
                "facts: %opg hosts, %opg cost, %opg receipts.</div>"
            ),
            self._title("Budget"),
            self._call,
            *(widgets.HBox(pair) for pair in self._bars.values()),
            self._running,
            self._title("Spending"),
            self._spending,
            self._title("Hosts"),
            self._hosts,
            self._ask_hosts,
            self._title("Receipts"),
            widgets.HBox([self._words, self._verdict]),
            self._count,
            self._list,
            self._open,
        ]

    def _title(self, words: str) -> Any:
        return self._w.HTML(
            f'<div style="font-size:14px;font-weight:600;margin:10px 0 '
            f'2px;color:{TEXT}">{words}</div>'
        )

    def _bar(self) -> list[Any]:
        return [
            self._w.HTML(layout={"width": "110px"}),
            self._w.FloatProgress(min=0.0, max=1.0, layout={"width": "220px"}),
            self._w.HTML(),
        ]

    def _follow(self) -> None:
        """Hear of changes for as long as the widget lives: the session must not keep it alive."""
        me = weakref.WeakMethod(self.changed)
        # The box keeps this object; when the front end closes the box, both go.
        self.box._opg_dashboard = self

        def heard() -> None:
            method = me()
            if method is not None:
                method()
            else:
                end()

        end = self._session.on_change(heard)

    def changed(self) -> None:
        """Budget or receipts changed.  Who says so is in the middle of a call: the work waits for
        another thread."""
        with self._lock:
            if self._pending:
                return
            self._pending = True
            wait = (
                0.0 if self._refreshed_at is None else self._refreshed_at + INTERVAL - self._clock()
            )
            self._later(max(0.0, wait), self._catch_up)

    def _catch_up(self) -> None:
        with self._lock:
            self._pending = False
        self.refresh()

    def follow(self) -> None:
        """Refresh if anybody wrote into the ledger since."""
        try:
            overview = self._session.overview
            if overview.ledger_state() in (None, self._state) or not overview.is_up:
                return
        except OpgError:
            return  # what is wrong is said when the figures are asked for
        self.refresh()

    def refresh(self) -> None:
        """Everything that the ledger knows: what was added since, not the whole of it again."""
        with self._lock:
            self._refreshed_at = self._clock()
            try:
                # Asked first: what is written while this reads is looked for again.
                self._state = self._session.overview.ledger_state()
                budget = self._session.overview.spending()
                self._show_spending(budget)
                self._calls = self._session.overview.ledger_calls()
            except OpgError as problem:
                self._call.value = _problem(problem)
                return
            self._network = budget.network
            today = datetime.now(UTC).date()
            known = spent(self._calls, budget.network, budget.day_cost.token, today)
            if known != self._spent:
                self._spent, self._spending.value = known, spending_html(known)
            self._show_hosts()
            self.list_receipts()

    def _show_hosts(self) -> None:
        rows = list(self._session.overview.known_hosts)
        verdicts = verdicts_by_host(self._calls, self._network)
        self._hosts.value = (
            hosts_html(rows, verdicts)
            if rows or verdicts
            else f'<div style="{FAINT}">Not asked yet.</div>'
        )

    def _show_spending(self, spent: Budget) -> None:
        running = (
            "no call is running"
            if not spent.running
            else f"{plural(spent.running, 'call')} running"
        )
        self._running.value = f'<div style="font-size:12px;{FAINT}">{running}</div>'
        said = f"The cap of one call may be up to {spent.call_limit}."
        if spent.relayed is not None:
            said += f" Through a relay today: {spent.relayed}."
        self._call.value = f'<div style="font-size:13px;color:{TEXT}">{said}</div>'
        for over, label, used, cost, limit in (
            ("kernel", "this kernel", spent.kernel_reserved, spent.kernel_cost, spent.kernel_limit),
            ("day", "today (UTC)", spent.day_reserved, spent.day_cost, spent.day_limit),
        ):
            name, bar, figures = self._bars[over]
            bar.value = share(used, limit)
            bar.bar_style = (
                "danger" if bar.value >= 1 else "warning" if bar.value >= 0.8 else "info"
            )
            name.value = f'<span style="font-size:13px;color:{TEXT}">{label}</span>'
            figures.value = (
                f'<span style="font-size:13px;color:{TEXT}">{used} of {limit}, '
                f"{_percent(used, limit)}</span>"
                f'<span style="font-size:12px;{FAINT}"> · settled, or claimed by hosts: '
                f"{words.figure(cost)}</span>"
            )

    def check_hosts(self) -> None:
        """Ask registry and hosts now."""
        try:
            rows = self._session.overview.hosts()
        except OpgError as problem:
            self._hosts.value = _problem(problem)
            return
        with self._lock:
            self._hosts.value = hosts_html(rows, verdicts_by_host(self._calls, self._network))

    def list_receipts(self) -> None:
        """The receipts that match the filters, newest first."""
        with self._lock:
            wanted = self._verdict.value
            terms = self._words.value.lower().split()
            found = [
                (line, call["id"])
                for call in self._calls
                if _has_verdict(call, wanted)
                and _has_words(f"{(line := _line(call))} {call['prompt'] or ''}", terms)
            ]
            more = f", the newest {LISTED} listed" if len(found) > LISTED else ""
            count = f"{plural(len(found), 'receipt')}{more}"
            self._count.value = f'<div style="font-size:12px;{FAINT}">{count}</div>'
            options = (_NONE, *found[:LISTED])
            if tuple(self._list.options) != options:
                chosen = self._list.value
                self._list.options = options
                self._list.value = chosen if chosen in [id for _, id in options] else ""

    def open(self, receipt_id: str | None) -> None:
        """Show one receipt: its answer unless withheld, and its card."""
        if not receipt_id:
            self._open.value = ""
            return
        try:
            receipt = self._session.ledger.get(receipt_id)
        except OpgError as problem:
            self._open.value = _problem(problem)
            return
        verdict = receipt.verdict_at_creation
        it = card.settled(verdict, receipt, receipt.cost)
        text = receipt.text if verdict is not None and not verdict.withheld else None
        self._open.value = bundle.settled_bundle(it, text=text)["text/html"]


def _has_verdict(call: Mapping[str, Any], wanted: str) -> bool:
    """FAILED finds a simulated failure too, as the ledger's table does."""
    label = call["verdict"] or ""
    return not wanted or wanted in (label, label.rpartition(" · ")[2])


def _has_words(text: str, terms: list[str]) -> bool:
    lower = text.lower() if terms else ""
    return all(term in lower for term in terms)


def _line(row: Mapping[Any, Any]) -> str:
    """A receipt in one line; what is not known is left out."""
    when = f"{row['time']:%Y-%m-%d %H:%M:%S}"
    known = [
        row[c]
        for c in ("verdict", "model", "host", "notebook", "charge")
        if isinstance(row[c], str) and row[c]
    ]
    return " · ".join(words.one_line(part, 60) for part in (when, row["id"], *known))


def _problem(problem: OpgError) -> str:
    said = html.text(words.one_line(str(problem)))
    return f'<div style="font-size:13px;color:{TONES["bad"]}">{said}</div>'
