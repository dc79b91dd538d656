"""What became of a call's money, out of its document: claimed by the host, or what the chain shows.

A document keeps what its kernel saw when the call ended: ``charged`` means there that the host
answered with a 2xx, so that it *claims* its cost.  Only the nonce on the chain is a charge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opg_magic.models import Charge


@dataclass(frozen=True, slots=True)
class Collected:
    """``settled``: this call's share of what was taken, in base units; None while that is not
    known."""

    charge: Charge
    settled: int | None = None


def collected(document: Mapping[str, Any]) -> Collected:
    """Of a receipt's document, with what was learnt since."""
    payment = document["payment"]
    return Collected(Charge.NONE) if payment is None else of_payment(payment, document["id"])


def of_payment(payment: Mapping[str, Any], receipt_id: str) -> Collected:
    """Of the document's part ``payment``."""
    said = Charge(payment["charge"])
    claimed = Charge.CLAIMED if said is Charge.CHARGED else said
    settled = payment.get("settled")
    if settled is None:
        return Collected(claimed)
    share = settled_share(settled, receipt_id)
    if share is None:
        return Collected(claimed)
    if said is Charge.UNKNOWN and share and len(settled["shared"]) > 1:
        # The chain tells the sum of several calls: whether this one is in it is not known.
        return Collected(Charge.UNKNOWN, share)
    if said is Charge.UNKNOWN and not share and settled["amount"] not in (None, "0"):
        return Collected(Charge.UNKNOWN)
    return Collected(Charge.CHARGED if share else Charge.NONE, share)


def settled_share(settled: Mapping[str, Any], receipt_id: str) -> int | None:
    """A call's share, in base units, of what the chain shows; None where that is not known."""
    if settled["status"] == "unspent":
        return 0
    if settled["status"] != "spent" or settled["amount"] is None:
        return None
    shares = {one["receipt"]: int(one["amount"]) for one in settled["shared"]}
    if not shares:
        # Older kernels shared out nothing for a call alone.
        return int(settled["amount"])
    return shares.get(receipt_id)
