"""Why a call ended without an answer, in words: what happened, what it cost, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.prepared import PreparedCall
from opg_magic.models import Charge, Cost, Problem, Verdict
from opg_magic.network.exchange import retry_after

if TYPE_CHECKING:
    from opg_magic.network.exchange import RawExchange
    from opg_magic.receipt.document import Receipt


def _is_refusal(problem: Problem) -> bool:
    return problem.code in ("host-failure", "http-status")


def _refusal(exchange: RawExchange) -> dict[str, Any]:
    return {"status": exchange.status, "retry_after": retry_after(exchange.headers)}


def _at_the_relay(status: int | None) -> str | None:
    """What to do where a relay refused with this status."""
    return {
        401: "Sign in again.",
        402: "Your account at the relay has nothing left.",
        429: "The relay asks you to wait. Run the cell again later.",
        503: "The relay could not reach the host. Run the cell again later, or name another host "
        "(--host).",
    }.get(status or 0)


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
    refused = known | _refusal(exchange)
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
    if problem is not None and prepared.ready.sealed is not None and _is_refusal(problem):
        return errors.HostReportsFailure(
            f"no answer from host {host} through the relay {prepared.ready.sealed.relay}: "
            f"{problem.message}. Nothing was charged to you.",
            hint=_at_the_relay(exchange.status),
            **refused,
        )
    if problem is not None and _is_refusal(problem):
        paid = prepared.payment.evidence(cost)
        kept = f" The signed authorisation of up to {cap} stays reserved until its deadline." * (
            paid is not None and paid.first_call and exchange.session is None
        )
        return errors.HostReportsFailure(
            f"host {host} reports a failure: {_bare(problem.message)}. By its word nothing was "
            f"charged.{kept}",
            **refused,
        )
    because = verdict.withheld_because
    if not (verdict.failed_claims or verdict.why):
        because += problem.message if problem else "it did not verify"
    return errors.AnswerWithheld(because, hint=errors.read_all_the_same(receipt.id), **known)


def _bare(message: str) -> str:
    """A problem's message without what the sentence around it says already."""
    return message.removeprefix("the host reports failure: ")
