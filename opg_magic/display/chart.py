"""Sums by day as a picture, where matplotlib is installed.

A still SVG in the page's own HTML, whose words and lines have the surroundings' colour: they read
in any theme.  It is drawn with matplotlib's objects, never with pyplot: the figures of a notebook's
author stay as they are.  Letters are outlines, so no name reaches the page as text."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from opg_magic.display import html, words
from opg_magic.display.style import TEXT
from opg_magic.models import Money, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe and Ito's colours, which differ for the colour-blind too; the last is for all others.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8A8A8A")
#: What stands for the colours of the page while matplotlib draws.
_INK, _LINES = "#010203", "#010204"
_IN_A_PAGE = {_INK: "currentColor", _LINES: "rgba(128,128,128,.4)", " xlink:href=": " href="}
#: All that is kept is drawn: a style would count for the whole page.
_NOT_DRAWN = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)


@dataclass(frozen=True)
class Parts:
    """``series``: by name, a sum for each of ``days``; at most as many as there are
    :data:`COLOURS`.  ``symbol`` is the token's."""

    days: Sequence[date]
    series: Mapping[str, Sequence[Money]]
    symbol: str


def image(parts: Parts, alternative: str) -> str | None:
    """The picture as HTML; None where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return None
    return (
        f'<div role="img" aria-label="{html.text(alternative)}" style="width:720px;max-width:100%;'
        f'margin:2px 0 6px;color:{TEXT}">{svg(parts)}</div>'
    )


def svg(parts: Parts) -> str:
    """The sums by day, a colour a name, and beside them each name's whole sum."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(7.2, 2.4), facecolor="none", layout="constrained")
    days, names = figure.subplots(1, 2, width_ratios=(2, 1))
    for axes in (days, names):
        axes.set_facecolor("none")
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set(visible=side == "bottom" and axes is days, color=_LINES, linewidth=0.8)
    _draw_days(days, parts)
    _draw_names(names, parts)
    for text in figure.findobj(Text):
        # A name is no formula, and the author's settings (rcParams) call no TeX for it.
        text.set(parse_math=False, usetex=False, color=_INK, fontfamily="DejaVu Sans")
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "opg_magic"}):
        figure.savefig(out, format="svg", facecolor="none")
    return _inline(out.getvalue())


def _inline(document: str) -> str:
    """An SVG file as a part of a page, in the page's colours."""
    drawn = _NOT_DRAWN.sub("", document[document.index("<svg") :])
    head, _, rest = drawn.partition(">")
    size = re.search(r'viewBox="[0-9. ]+"', head)
    drawn = (
        f'<svg aria-hidden="true" {size.group() if size else ""} '
        'style="display:block;width:100%;height:auto;stroke-linejoin:round">' + rest
    )
    for what, instead in _IN_A_PAGE.items():
        drawn = drawn.replace(what, instead)
    return re.sub(r"\s*\n\s*", " ", drawn).strip()


def _draw_days(axes: Axes, parts: Parts) -> None:
    number = len(parts.days)
    below = [0.0] * number
    for colour, sums in zip(COLOURS, parts.series.values(), strict=False):
        heights = [float(sum_.decimal) for sum_ in sums]
        axes.bar(range(number), heights, 0.8, bottom=below, color=colour, linewidth=0)
        below = [a + b for a, b in zip(below, heights, strict=True)]
    step = -(-number // 6)
    places = range(number - 1, -1, -step)
    axes.set_xticks(list(places), [f"{parts.days[n]:%d %b}" for n in places])
    axes.set_xlim(-0.6, number - 0.4)
    axes.grid(visible=False)
    axes.grid(visible=True, axis="y", color=_LINES, linewidth=0.6)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(labelsize=8, length=0)
    axes.set_title(f"{parts.symbol} by day (UTC)", fontsize=9, loc="left")


def _draw_names(axes: Axes, parts: Parts) -> None:
    sums = [sum((one.decimal for one in each), Decimal(0)) for each in parts.series.values()]
    places = range(0, -len(sums), -1)
    axes.barh(list(places), [float(one) for one in sums], 0.36, color=COLOURS[: len(sums)])
    for place, name, total in zip(places, parts.series, sums, strict=True):
        short = words.one_line(name.rpartition("/")[2] or name, 28)
        axes.text(0, place + 0.26, f"{_drawn(short)}  {significant(total)}", fontsize=8)
    axes.set_ylim(0.6 - max(len(sums), 3), 0.7)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_title(f"{parts.symbol} by model", fontsize=9, loc="left")


def _drawn(name: str) -> str:
    """The name in letters that the font has; for others it would warn in the author's notebook."""
    return "".join(c if c < "\u0250" or c == "…" else "□" for c in name)
