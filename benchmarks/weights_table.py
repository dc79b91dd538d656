"""What the runs of ``weights.py`` come to: rates of detection and false alarm, and a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import comb
from typing import Any

#: Tokens after which an answer is judged; all of it last.
LENGTHS = (8, 16, 32, 1000)
_SHOWN = ("Q8_0 of Q4_1", "hidden prompt", "edited", "another model", "coarser in part")
_TONES = ("#b4690e", "#1f6feb", "#cf222e", "#8250df", "#0a7d55")
_SIDE, _APART = 200, 250
#: Share of honest answers at the right end of the picture: beyond it nobody would set a bound.
_WIDE = 0.05


def cut(row: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The run as it would be of the answer's first ``tokens`` tokens (temperature 0)."""
    return {**row, "ranks": row["ranks"][:tokens], "gaps": row["gaps"][:tokens]}


def score(row: dict[str, Any], tolerance: float) -> float:
    """What goes beyond the tolerance, in shares of what may: above 1 fails."""
    if row["t"]:
        bound = 4.5 * (row["variance"] + 1) ** 0.5
        return max(abs(row["surplus"]) / bound, row["outside"] / (2.5 + len(row["ranks"]) // 100))
    beyond = sum(max(0.0, gap - tolerance) for gap in row["gaps"])
    return beyond / (tolerance * (1 + len(row["gaps"]) / 300))


def table(rows: Iterable[dict[str, Any]], conditions: Iterable[str]) -> str:
    """How many answers of each host fail, by number of tokens, as Markdown."""
    from opg_magic.verify.weights import ANY_RUNTIME, SAME_RUNTIME

    found = defaultdict(list)
    for row in rows:
        found[row["cond"]].append(row)
    lines = [
        "| Host | Answers | First choices | Largest gap | 8 tokens | 16 | 32 | all "
        "| all, same build |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in conditions:
        runs = found.get(name, [])
        if not runs or runs[0]["t"]:
            continue
        first = sum(rank == 1 for row in runs for rank in row["ranks"])
        total = sum(len(row["ranks"]) for row in runs)
        gap = max(gap for row in runs for gap in row["gaps"])
        failing = [_failing(runs, length, ANY_RUNTIME / 1e6) for length in LENGTHS]
        same = _failing(runs, max(LENGTHS), SAME_RUNTIME / 1e6)
        cells = [name, len(runs), f"{first:,} of {total:,}", f"{gap:.2f}", *failing, same]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def warm_table(rows: Iterable[dict[str, Any]], conditions: Iterable[str]) -> str:
    """How many whole answers above temperature 0 fail, with the 95 % confidence interval of their
    share, as Markdown."""
    found = defaultdict(list)
    for row in rows:
        if row["t"]:
            found[row["cond"]].append(score(row, 0.3) > 1)
    lines = [
        "| Host, above temperature 0 | Answers | Fail | 95% confidence |",
        "|---|---|---|---|",
    ]
    for name in conditions:
        if fails := found.get(name):
            low, high = interval(sum(fails), len(fails))
            lines.append(f"| {name} | {len(fails)} | {sum(fails)} | {low:.1%} to {high:.1%} |")
    return "\n".join(lines)


def interval(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact (Clopper-Pearson) confidence interval of a share: ``hits`` were seen in ``of``."""
    beyond = (1 - confidence) / 2

    def at_least(share: float) -> float:
        return sum(comb(of, n) * share**n * (1 - share) ** (of - n) for n in range(hits, of + 1))

    def at_most(share: float) -> float:
        return sum(comb(of, n) * share**n * (1 - share) ** (of - n) for n in range(hits + 1))

    low = _where(lambda share: at_least(share) < beyond) if hits else 0.0
    high = _where(lambda share: at_most(share) > beyond) if hits < of else 1.0
    return low, high


def _where(below: Callable[[float], bool]) -> float:
    """Where a condition that holds for small shares ceases to."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return low


def _failing(runs: Sequence[dict[str, Any]], length: int, tolerance: float) -> str:
    failing = sum(score(cut(row, length), tolerance) > 1 for row in runs)
    return percent(failing / len(runs)) if failing else "0"


def percent(share: float) -> str:
    """A share in per cent, to one decimal."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def drawn(rows: Sequence[dict[str, Any]], honest: Sequence[str]) -> str:
    """The left end of ROC curves as SVG, one panel for each number of tokens: share of swaps caught
    over share of ``honest`` answers refused, as the bound moves.  A dot marks the bound that is
    used.  Of lines that lie on one another the later is the thinner."""
    lengths = (16, 32, max(LENGTHS))
    panels = "".join(
        f'<g transform="translate({40 + _APART * at} 40)">{_panel(rows, honest, length)}</g>'
        for at, length in enumerate(lengths)
    )
    names = "".join(
        f'<text x="{40 + 150 * at}" y="292" fill="{tone}">{name}</text>'
        for at, (name, tone) in enumerate(zip(_SHOWN, _TONES, strict=True))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_APART * 3 + 20} 300" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Share of swaps caught over '
        'share of honest answers refused, after 16 tokens, 32 tokens and all"><clipPath id="in">'
        f'<rect x="-6" y="-6" width="{_SIDE + 6}" height="{_SIDE + 12}"/></clipPath><rect '
        f'width="{_APART * 3 + 20}" height="300" fill="#fff"/>{panels}{names}</svg>\n'
    )


def _panel(rows: Sequence[dict[str, Any]], honest: Sequence[str], length: int) -> str:
    refused = [score(cut(row, length), 0.3) for row in rows if row["cond"] in honest]
    words = "whole answers" if length == max(LENGTHS) else f"first {length} tokens"
    parts = [
        f'<text x="0" y="-14" fill="#1f2328">{words}</text>',
        f'<path d="M0 0V{_SIDE}H{_SIDE}" fill="none" stroke="#57606a"/>',
        f'<text x="20" y="{_SIDE + 18}" fill="#57606a">honest refused, 0 to {_WIDE:.0%}</text>',
        f'<text x="-6" y="{_SIDE - 20}" fill="#57606a" transform="rotate(-90 -6 {_SIDE - 20})">'
        "swaps caught, 0 to 100%</text>",
    ]
    for width, name, tone in zip((2, 2, 5, 3, 1.5), _SHOWN, _TONES, strict=True):
        caught = [score(cut(row, length), 0.3) for row in rows if row["cond"] == name]
        if not caught or not refused:
            continue

        def at(bound: float, caught: list[float] = caught) -> tuple[float, float]:
            false = sum(h > bound for h in refused) / len(refused)
            found = sum(c > bound for c in caught) / len(caught)
            return _SIDE * false / _WIDE, _SIDE - _SIDE * found

        bounds = sorted({*refused, *caught, -1.0}, reverse=True)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, bounds))
        (x, y), line = at(1.0), f'fill="none" stroke="{tone}" stroke-width="{width}"'
        parts.append(f'<polyline points="{points}" {line} clip-path="url(#in)"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{tone}"/>')
    return "".join(parts)
