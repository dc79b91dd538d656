"""Money follows the chain: a call's charge is claimed until its nonce is settled, then what the
chain says."""

from __future__ import annotations

from typing import Any

import pytest

from opg_magic.models import Charge
from opg_magic.receipt.collected import Collected, collected, of_payment

CALL = "0123456789"
OTHER = "9876543210"


def settled(status: str = "spent", amount: int | None = None, **shares: int) -> dict[str, Any]:
    names = {"mine": CALL, "other": OTHER}
    return {
        "status": status,
        "amount": None if amount is None else str(amount),
        "shared": [
            {"receipt": names[name], "amount": str(share)} for name, share in shares.items()
        ],
        "remainder": "0",
    }


@pytest.mark.parametrize(
    ("said", "found", "became"),
    [
        ("charged", None, Collected(Charge.CLAIMED)),
        ("unknown", None, Collected(Charge.UNKNOWN)),
        ("not charged", None, Collected(Charge.NONE)),
        ("charged", settled("open"), Collected(Charge.CLAIMED)),
        ("charged", settled("spent"), Collected(Charge.CLAIMED)),
        ("charged", settled("unspent"), Collected(Charge.NONE, 0)),
        ("unknown", settled("unspent"), Collected(Charge.NONE, 0)),
        ("charged", settled(amount=12, mine=5, other=7), Collected(Charge.CHARGED, 5)),
        # Signed, and never charged: its provider sent no usage.
        ("charged", settled(amount=7, mine=0, other=7), Collected(Charge.NONE, 0)),
        # By the host's word not charged; the chain shows that it was.
        ("not charged", settled(amount=7, mine=7), Collected(Charge.CHARGED, 7)),
        ("not charged", settled(amount=7, mine=0, other=7), Collected(Charge.NONE, 0)),
        ("unknown", settled(amount=7, mine=7), Collected(Charge.CHARGED, 7)),
        # The chain tells the sum alone: whether the call that broke off is in it stays unknown.
        ("unknown", settled(amount=12, mine=5, other=7), Collected(Charge.UNKNOWN, 5)),
        ("unknown", settled(amount=7, mine=0, other=7), Collected(Charge.UNKNOWN)),
        ("charged", settled(amount=7, other=7), Collected(Charge.CLAIMED)),
        ("charged", settled(amount=7), Collected(Charge.CHARGED, 7)),
    ],
)
def test_what_became_of_a_charge(
    said: str, found: dict[str, Any] | None, became: Collected
) -> None:
    payment = {"charge": said} if found is None else {"charge": said, "settled": found}
    assert of_payment(payment, CALL) == became
    assert collected({"id": CALL, "payment": payment}) == became


def test_without_an_authorisation_nothing_was_charged() -> None:
    assert collected({"id": CALL, "payment": None}) == Collected(Charge.NONE)
