"""What calls cost by day and by model: exact sums, and a picture that no name can break."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from opg_magic.display import chart
from opg_magic.display.spending import (
    INSTALL,
    OTHER,
    Spent,
    alternative,
    parts,
    spending_html,
    spent,
)
from opg_magic.display.style import TEXT
from opg_magic.models import Money
from opg_magic.network.profiles import OPG

TODAY = date(2026, 11, 26)


def call(days_ago: int = 0, model: str | None = "a/one", **cells: Any) -> dict[str, Any]:
    noon = datetime(2026, 11, 26, 12, tzinfo=UTC)
    return {
        "time": noon - timedelta(days=days_ago),
        "model": model,
        "network": "opengradient",
        "token": "OPG",
        "charge": "claimed",
        "cost_base_units": 10**16,
        "settled_base_units": None,
    } | cells


def of(*calls: dict[str, Any]) -> Spent:
    return spent(calls, "opengradient", OPG, TODAY)


def test_settled_counts_before_claimed_and_what_is_unknown_is_no_zero() -> None:
    known = of(
        call(),
        call(charge="charged", settled_base_units=3 * 10**15),
        call(charge="not charged", settled_base_units=0),
        call(charge="not charged", cost_base_units=None),
        call(charge="unknown"),
        call(charge="unknown", cost_base_units=None),
    )
    assert known.total("a/one") == Money(13 * 10**15, OPG)
    assert (known.calls["a/one"], known.unknown) == (3, 2)
    assert "The cost of 2 calls is not known." in spending_html(known)


def test_one_network_one_token_and_thirty_days_are_summed() -> None:
    known = of(
        call(),
        call(29, model="b/two"),
        call(30),
        call(-1),
        call(network="sim"),
        call(token="USDC"),
    )
    assert sum(known.by_day.values()) == 2 * 10**16
    assert (known.first, known.last) == (date(2026, 10, 28), TODAY)
    assert known.unknown == 1
    assert known.on(TODAY) == Money(10**16, OPG)


def test_sums_of_base_units_stay_exact() -> None:
    known = of(*(call(cost_base_units=10**19 + n) for n in range(10)))
    assert known.total("a/one").amount == 10**20 + 45


def test_the_dearest_model_comes_first_and_the_rest_is_one() -> None:
    calls = [call(model=f"m/{n}", cost_base_units=n * 10**15) for n in range(1, 9)]
    known = of(*calls)
    assert known.models[:2] == ("m/8", "m/7")
    assert alternative(known).endswith("By model: m/8 0.008 OPG, m/7 0.007 OPG, m/6 0.006 OPG.")
    drawn = parts(known).series
    assert [*drawn] == ["m/8", "m/7", "m/6", "m/5", "m/4", OTHER]
    assert drawn[OTHER][-1] == Money(6 * 10**15, OPG)


def test_a_call_without_model_has_a_name_all_the_same() -> None:
    assert of(call(model=None)).models == ("model not named",)


def test_names_are_inert_in_the_picture_and_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    # An author's own settings neither call TeX nor turn the words white.
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "text.color", "white")
    names = ['x/$\\frac{1}{0$ <b onload="x">', 'y/\x1b[2J"><script>', "z/" + "语" * 500]
    html = spending_html(of(*(call(model=name) for name in names)))
    assert "<b" not in html and "<script" not in html and "\x1b" not in html
    drawn = chart.Parts([TODAY], {name: [Money(10**16, OPG)] for name in names}, "OPG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = ElementTree.fromstring(chart.svg(drawn))
    # Letters are outlines: no name stands in the page, and nothing of it can act or fetch.
    assert not "".join(picture.itertext()).strip()
    elements = list(picture.iter())
    assert {one.tag for one in elements} <= {"svg", "defs", "g", "path", "use", "rect", "clipPath"}
    assert sum(one.tag == "use" for one in elements) > 30
    named = {value for one in elements for name, value in one.items() if "href" in name}
    assert named and all(value.startswith("#") for value in named)


def test_the_picture_reads_on_light_and_on_dark() -> None:
    pytest.importorskip("matplotlib")
    html = spending_html(of(call()))
    svg = html[html.index("<svg") : html.index("</svg>")]
    painted = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg))
    # The words have the page's own colour; nothing is painted behind them.
    assert painted <= {"none", "currentColor", "rgba(128,128,128,.4)", chart.COLOURS[0].lower()}
    assert "currentColor" in painted and "<style" not in svg
    assert html.index(f"color:{TEXT}") < html.index("<svg")


def test_the_authors_own_pictures_stay_as_they_are() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    spending_html(of(call()))
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_table_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    html = spending_html(of(call()))
    assert "<svg" not in html and "0.01 OPG" in html
    assert f"<code>{INSTALL}</code>" in html
