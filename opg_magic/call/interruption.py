"""What a stopped call says of its charge and its receipt."""

from __future__ import annotations

import asyncio

from opg_magic import errors
from opg_magic.models import Charge
from opg_magic.network.background import Stopped


def interrupted(stopped: Stopped) -> errors.CallInterrupted:
    """What a stopped call says: whether it was charged, and where its record is.  Never "not
    charged" on a guess."""
    outcome = stopped.outcome
    if not stopped.ended:
        return errors.CallInterrupted(
            "stopped before it was known what the call came to; it may have been paid for. What "
            "was recorded:"
            " %opg receipts",
            charge=Charge.UNKNOWN,
        )
    if isinstance(outcome, errors.OpgError):
        return errors.CallInterrupted(
            f"stopped: {outcome.message}",
            charge=outcome.charge,
            receipt_id=outcome.receipt_id,
            receipt=getattr(outcome, "receipt", None),
        )
    if stopped.result is not None:
        # The stop came when the answer was there already.
        return errors.CallInterrupted(
            "stopped when the answer had come and was recorded",
            charge=stopped.result.cost.charge,
            receipt_id=stopped.result.receipt.id,
            receipt=stopped.result.receipt,
        )
    if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
        return errors.CallInterrupted(
            f"stopped; the call ended unexpectedly ({type(outcome).__name__}), and it may have "
            f"been paid for",
            charge=Charge.UNKNOWN,
        )
    return errors.CallInterrupted(
        "stopped before anything that can spend was sent", charge=Charge.NONE
    )
