"""Why a call ended without an answer, in words: what happened, what it cost, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.prepared import PreparedCall
from opg_magic.models import Charge, Cost, Verdict

if TYPE_CHECKING:
    from opg_magic.network.exchange import RawExchange
    from opg_magic.receipt.document import Receipt


def failure_of(
    prepared: PreparedCall,
    exchange: RawExchange,
    cost: Cost,
    verdict: Verdict,
    receipt: Receipt,
) -> errors.CallFailed:
    """The error that says what happened, whether it was charged, and where the receipt is."""
    problem = exchange.response.problem
    known: dict[str, Any] = {
        "charge": cost.charge,
        "receipt_id": receipt.id,
        "verdict": verdict,
        "receipt": receipt,
        "cost": cost,
    }
    cap, host = cost.cap, prepared.ready.host.short_id
    if (
        cost.charge is Charge.UNKNOWN
        and problem is not None
        and problem.code in ("timeout", "interrupted")
    ):
        return errors.CallFailed(
            f"payment unknown: {problem.message}. The host may have charged up to {cap}.",
            hint="The call was not retried, and its cap stays reserved. Look the charge up: %opg "
            "reconcile",
            **known,
        )
    if problem is not None and problem.code in ("host-failure", "http-status"):
        paid = prepared.payment.evidence(cost)
        kept = f" The signed authorisation of up to {cap} stays reserved until its deadline." * (
            paid is not None and paid.first_call and exchange.session is None
        )
        return errors.HostReportsFailure(
            f"host {host} reports a failure: {_bare(problem.message)}. By its word nothing was "
            f"charged.{kept}",
            **known,
        )
    failed = verdict.failed_claims
    if failed:
        return errors.AnswerWithheld(
            f"the check {failed[0].name} failed: {failed[0].reason or failed[0].sentence}",
            hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
            **known,
        )
    why = verdict.why or (problem.message if problem else "it did not verify")
    return errors.AnswerWithheld(
        f"answer withheld under policy {verdict.policy}: {why}",
        hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
        **known,
    )


def _bare(message: str) -> str:
    """A problem's message without what the sentence around it says already."""
    return message.removeprefix("the host reports failure: ")
