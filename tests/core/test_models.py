"""Money is exact, and says what it is."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.models import (
    Charge,
    Claim,
    Cost,
    Money,
    Status,
    Verdict,
    VerdictStatus,
    format_units,
    parse_units,
    significant,
)
from opg_magic.models.networks import Token
from opg_magic.network.profiles import OPG, SIM_OPG


@given(st.integers(min_value=0, max_value=2**256 - 1), st.integers(min_value=0, max_value=30))
def test_units_survive_formatting_and_parsing(amount, decimals):
    assert parse_units(format_units(amount, decimals), decimals) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (10**17, "0.1"),
        (123 * 10**18, "123"),
        (-5, "-0.000000000000000005"),
    ],
)
def test_units_are_plain_decimals(amount, text):
    assert format_units(amount, 18) == text


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "1e3", "0.0000000000000000001", "0x10", "١", "1 000", "nan"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="not an amount"):
        parse_units(text, 18)


@pytest.mark.parametrize(
    ("units", "written"),
    [(0, "0"), (1, "0.000000000000000001"), (5 * 10**17, "0.5"), (230 * 10**18, "230")],
)
def test_a_sum_is_written_as_people_write_it(units: int, written: str) -> None:
    assert Money(units, OPG).plain == written
    assert str(Money(units, OPG)) == f"{written} OPG"


def test_no_message_writes_a_decimal_as_python_does() -> None:
    """``230.000000000000000000`` or ``1E-18``: exact, and nothing that anybody would write."""
    for file in (Path(__file__).parents[2] / "opg_magic").rglob("*.py"):
        assert not re.search(r"\.decimal *(![rs])?}", file.read_text("utf-8")), file


def test_money_of_different_tokens_does_not_mix():
    other = Token("USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6, 8453)
    with pytest.raises(TypeError):
        Money(1, OPG) + Money(1, other)
    with pytest.raises(TypeError):
        assert Money(1, OPG) <= Money(1, other)
    assert Money(1, OPG) + Money(2, OPG) == Money(3, OPG)


def test_a_cost_never_shows_an_unknown_price_as_zero():
    cap = Money(10**17, SIM_OPG)
    assert str(Cost(None, cap, charge=Charge.CLAIMED)) == "price unknown (at most 0.1 sim-OPG)"
    claimed = Cost(
        Money(4142 * 10**12, SIM_OPG), cap, usd=Decimal("0.000414"), charge=Charge.CLAIMED
    )
    assert str(claimed) == "0.0041 sim-OPG claimed ≈ $0.00041 (at most 0.1 sim-OPG)"
    settled = replace(claimed, charge=Charge.CHARGED, settled=Money(4 * 10**15, SIM_OPG))
    assert str(settled) == "0.004 sim-OPG settled"
    assert str(Cost(None, cap, charge=Charge.UNKNOWN)) == "charge unknown (at most 0.1 sim-OPG)"
    assert str(Cost(Money(0, SIM_OPG), cap, charge=Charge.NONE)) == "not charged"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0"), ("0E-18", "0"), ("1E-18", "<0.000000001"), ("0.00000012", "0.00000012"),
        ("0.0041", "0.0041"), ("0.30", "0.3"), ("0.999", "1"), ("12.5", "12"), ("1234", "1200"),
    ],
)  # fmt: skip
def test_a_small_amount_is_shown_as_people_write_it(amount, shown):
    assert significant(Decimal(amount)) == shown


@pytest.mark.parametrize("status", list(VerdictStatus))
def test_a_simulated_verdict_never_says_verified(status):
    claim = Claim("request", Status.PASSED, None, "said")
    verdict = Verdict(status, True, {"request": claim}, "default")
    assert "VERIFIED" not in verdict.label.replace("UNVERIFIED", "")
    assert "SIMULATED" in verdict.label
