"""How measurements are taken and kept: medians of interleaved repetitions, one JSON file, one
table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One measured value.  ``peer`` says beside what, ``ratio`` is value / peer's value (None:
    nothing to compare).

    ``runs`` is the number of repetitions whose median this is, ``spread`` the distance between the
    quartiles."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    runs: int = 1
    spread: float = 0.0

    @property
    def ratio(self) -> float | None:
        """None too where the peer's value is not positive (a difference lost in the noise)."""
        return (
            self.value / self.peer_value
            if self.peer_value is not None and self.peer_value > 0
            else None
        )


def interleaved(candidates: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """``rounds`` samples of each candidate, taken in turn, so that a busy moment of the machine
    hits all alike."""
    samples: dict[str, list[T]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, measure in candidates.items():
            samples[name].append(measure())
    return samples


def figure(
    name: str,
    samples: list[float],
    unit: str,
    *,
    peer: str | None = None,
    beside: list[float] | None = None,
) -> Figure:
    """The median of ``samples``, beside the median of ``beside``."""
    spread = 0.0
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4)
        spread = high - low
    return Figure(
        name=name,
        value=statistics.median(samples),
        unit=unit,
        peer=peer,
        peer_value=statistics.median(beside) if beside else None,
        runs=len(samples),
        spread=spread,
    )


def save(figures: list[Figure], path: Path) -> None:
    """name → value, unit, peer, ratio (and how it was taken)."""
    table = {}
    for one in figures:
        entry = asdict(one)
        entry.pop("name")
        entry["ratio"] = one.ratio
        table[one.name] = {
            key: round(v, 6) if isinstance(v, float) else v for key, v in entry.items()
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def table(figures: list[Figure]) -> str:
    """The same for a terminal."""
    rows = [("what", "median", "± quartiles", "beside", "its median", "ratio")] + [
        (
            one.name,
            _amount(one.value, one.unit),
            _amount(one.spread / 2, one.unit) if one.runs > 1 else "",
            one.peer or "",
            _amount(one.peer_value, one.unit) if one.peer_value is not None else "",
            f"{one.ratio:.2f}" if one.ratio is not None else "",
        )
        for one in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = (1, 2, 4, 5)
    return "\n".join(
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"
