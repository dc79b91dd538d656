"""The sum counts: a new authorisation is covered beside all that is open, and an allowance counts
down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.receipts import NOW, SIM, authorisation

from opg_magic.errors import WalletError
from opg_magic.ledger.store import CallIntent, Ledger
from opg_magic.models import Money
from opg_magic.settings.limits import Limits
from opg_magic.wallet.funds import UNLIMITED, Funds, approved

CAP = 10**17
WIDE = Limits(10**20, 10**20, 10**20)
PAYER = authorisation().payer


def funds(balance: int = 10**20, allowance: int = UNLIMITED, at: datetime = NOW) -> Funds:
    return Funds(PAYER, balance, allowance, at)


def begin(ledger: Ledger, has: Funds, nonce: int, kernel: str = "k", **changes: object) -> None:
    a = replace(authorisation(nonce), deadline=int(NOW.timestamp()) + 300, **changes)
    intent = CallIntent(f"CALL{nonce}", NOW, SIM, kernel, "m", authorisation=a)
    ledger.begin(intent, reserve=True, limits=WIDE, funds=has)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite", clock=lambda: NOW)


@pytest.mark.parametrize("lacking", ["balance", "allowance"])
def test_two_open_authorisations_are_not_signed_on_funds_for_one(
    ledger: Ledger, lacking: str
) -> None:
    has = funds(**{lacking: CAP * 3 // 2})
    begin(ledger, has, 1, kernel="one")
    with pytest.raises(WalletError) as refused:
        begin(ledger, has, 2, kernel="another")
    assert "0.15 sim-OPG" in refused.value.message
    assert "needs 0.1 sim-OPG, and open payments hold 0.1 sim-OPG already" in refused.value.message
    assert "%opg reconcile" in (refused.value.hint or "")
    assert ("0.05 sim-OPG" if lacking == "balance" else "opg wallet approve 5 --add") in (
        refused.value.hint or ""
    )
    assert len(ledger.open_authorisations()) == 1


def test_what_is_settled_or_over_holds_nothing(ledger: Ledger) -> None:
    has = funds(balance=CAP)
    begin(ledger, has, 1)
    ledger.release(1, 5)
    begin(ledger, has, 2)
    # By the chain's time, not this machine's: two minutes past its deadline nothing settles it any
    # more.
    for minutes, held in ((6, CAP), (8, 0)):
        assert ledger.held(SIM, PAYER, NOW + timedelta(minutes=minutes)) == held


def test_another_payers_and_another_networks_payments_hold_nothing_of_this_one(
    ledger: Ledger,
) -> None:
    begin(ledger, funds(), 1, payer="0x" + "77" * 20)
    assert ledger.held(SIM, PAYER, NOW) == 0
    begin(ledger, funds(), 2)
    assert ledger.held(SIM, PAYER.lower(), NOW) == CAP
    assert ledger.held(replace(SIM, run_id="another"), PAYER, NOW) == 0


@pytest.mark.parametrize(
    ("allowance", "held", "said"),
    [
        (UNLIMITED, 10**18, None),
        (5 * CAP, 0, None),
        (5 * CAP, 3 * CAP, None),
        (
            5 * CAP,
            4 * CAP,
            "0.1 sim-OPG is left for new payments, which covers 1 further payment of 0.1 sim-OPG",
        ),
        (5 * CAP, 5 * CAP, "0 sim-OPG is left for new payments, which covers no further payment"),
    ],
)
def test_an_allowance_that_runs_out_is_said_before_it_refuses(
    allowance: int, held: int, said: str | None
) -> None:
    warning = funds(allowance=allowance).warning(Money(CAP, SIM.token), held, SIM)
    assert (warning is None) is (said is None)
    assert said is None or (said in str(warning) and "opg wallet approve 5 --add" in str(warning))


@pytest.mark.parametrize("more", [600, 5, 0])
def test_what_is_offered_to_approve_is_enough(more: int) -> None:
    """The gateways of July 2026 ask for 5 OPG: an allowance of 5 more does not always cover the
    call."""
    cap, has = Money(600 * 10**18, SIM.token), funds(balance=10**22, allowance=more * 10**18)
    with pytest.raises(WalletError) as refused:
        has.check(cap, 10**17, SIM)
    offered = int(str(refused.value.hint).partition("approve ")[2].split()[0])
    replace(has, allowance=has.allowance + offered * 10**18).check(cap, 10**17, SIM)
    told = str(replace(has, allowance=cap.amount).warning(cap, 0, SIM))
    offered = int(told.partition("approve ")[2].split()[0])
    assert replace(has, allowance=cap.amount + offered * 10**18).warning(cap, 0, SIM) is None


def test_an_approval_sets_or_adds_by_name() -> None:
    assert approved(3, 5, add=False, network=SIM) == 5
    assert approved(3, 5, add=True, network=SIM) == 8
    with pytest.raises(WalletError, match="any amount"):
        approved(UNLIMITED, 5, add=True, network=SIM)
