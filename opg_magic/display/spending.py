"""What calls cost, by day and by model: a table, above it a picture where matplotlib is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Any

from opg_magic.display import chart, html, words
from opg_magic.display.style import FAINT, TEXT
from opg_magic.models import Money
from opg_magic.models.plain_text import plural

if TYPE_CHECKING:
    from opg_magic.models.networks import Token

#: Days that are shown: at most, and at least.
MOST_DAYS, FEWEST_DAYS = 30, 7
#: Models with a colour of their own; the others are one.
MODELS = 5
OTHER = "other models"
INSTALL = "%pip install matplotlib"
_UNNAMED = "model not named"


@dataclass(frozen=True)
class Spent:
    """What calls cost in base units of ``token``, from ``first`` to ``last`` (days of UTC):
    settled, or claimed by the host while it is not.

    ``models`` from the dearest; ``calls`` by model; ``unknown``: calls whose cost is not known,
    which no sum holds."""

    token: Token
    first: date
    last: date
    by_day: Mapping[tuple[date, str], int]
    models: tuple[str, ...]
    calls: Mapping[str, int]
    unknown: int

    def total(self, model: str) -> Money:
        return Money(sum(n for (_, m), n in self.by_day.items() if m == model), self.token)

    def on(self, day: date) -> Money:
        return Money(sum(n for (d, _), n in self.by_day.items() if d == day), self.token)


def spent(calls: Iterable[Mapping[str, Any]], network: str, token: Token, today: date) -> Spent:
    """What the calls of one network cost in one token, of the last :data:`MOST_DAYS` days.

    ``calls``: table cells, as the ledger's DataFrame has them."""
    oldest = today - timedelta(days=MOST_DAYS - 1)
    sums: Counter[tuple[date, str]] = Counter()
    counts: Counter[str] = Counter()
    unknown = 0
    for call in calls:
        day = call["time"].astimezone(UTC).date()
        if call["network"] != network or not oldest <= day <= today:
            continue
        amount = call["settled_base_units"]
        if amount is None:
            amount = call["cost_base_units"] if call["charge"] == "claimed" else None
        if amount is None or call["token"] != token.symbol:
            unknown += call["charge"] != "not charged"
            continue
        model = words.one_line(call["model"] or "", 40) or _UNNAMED
        sums[day, model] += amount
        counts[model] += 1
    totals: Counter[str] = Counter()
    for (_, model), amount in sums.items():
        totals[model] += amount
    first = min((day for day, _ in sums), default=today)
    return Spent(
        token=token,
        first=min(first, today - timedelta(days=FEWEST_DAYS - 1)),
        last=today,
        by_day=sums,
        models=tuple(sorted(totals, key=lambda model: (-totals[model], model))),
        calls=counts,
        unknown=unknown,
    )


def spending_html(known: Spent) -> str:
    """The picture, or how to get it, above the same sums by model as a table."""
    if not known.models:
        return f'<div style="{FAINT}">No call has cost anything yet.{_unknown(known)}</div>'
    picture = chart.image(parts(known), alternative(known))
    if picture is None:
        said = f"For a chart: <code>{html.text(INSTALL)}</code>"
        picture = f'<div style="font-size:12px;{FAINT}">{said}</div>'
    rows = "".join(
        f'<tr><td style="{_CELL}">{html.text(model)}</td>'
        f'<td style="{_FIGURE}">{known.calls[model]:,}</td>'
        f'<td style="{_FIGURE}">{html.text(words.figure(known.total(model)))}</td></tr>'
        for model in known.models[:20]
    )
    more = len(known.models) - 20
    tail = f" {plural(more, 'more model')}: %opg receipts." if more > 0 else ""
    return (
        f'{picture}<table style="border-collapse:collapse;font-size:13px;color:{TEXT}"><tr>'
        f'<th style="{_CELL};{FAINT}">model</th><th style="{_FIGURE};{FAINT}">calls</th>'
        f'<th style="{_FIGURE};{FAINT}">cost</th></tr>{rows}</table>'
        f'<div style="font-size:12px;{FAINT}">{known.first} to {known.last} (UTC): settled, or '
        f"claimed by hosts.{_unknown(known)}{tail}</div>"
    )


_CELL = "padding:2px 14px 2px 0;text-align:left;border:0"
_FIGURE = f"{_CELL};text-align:right;font-variant-numeric:tabular-nums"


def _unknown(known: Spent) -> str:
    return f" The cost of {plural(known.unknown, 'call')} is not known." * bool(known.unknown)


def alternative(known: Spent) -> str:
    """The picture in words."""
    days = [
        f"{day:%d %b} {words.figure(known.on(day))}"
        for day in sorted({day for day, _ in known.by_day})
    ]
    models = [f"{model} {words.figure(known.total(model))}" for model in known.models[:3]]
    return f"Cost by day: {', '.join(days)}. By model: {', '.join(models)}."


def parts(known: Spent) -> chart.Parts:
    """What the picture draws: each model's sum a day, the dearest first."""
    named = known.models[:MODELS]
    days = [known.first + timedelta(days=n) for n in range((known.last - known.first).days + 1)]
    series: dict[str, list[Money]] = {
        model: [Money(known.by_day.get((day, model), 0), known.token) for day in days]
        for model in named
    }
    if len(known.models) > MODELS:
        left = known.models[MODELS:]
        series[OTHER] = [
            Money(sum(known.by_day.get((day, model), 0) for model in left), known.token)
            for day in days
        ]
    return chart.Parts(days, series, known.token.symbol)
