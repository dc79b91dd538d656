"""Every failure of a call as an HTTP status and OpenAI's error object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opg_magic import errors
from opg_magic.endpoint.refusal import RECEIPT, VERDICT, Refusal, in_a_header
from opg_magic.models import Answer

#: The first that fits: class, status, type, code.
_FAILURES: tuple[tuple[type[errors.OpgError], int, str, str], ...] = (
    (errors.AnswerWithheld, 502, "api_error", "answer_withheld"),
    (errors.HostReportsFailure, 502, "api_error", "host_failure"),
    (errors.CallFailed, 502, "api_error", "call_failed"),
    (errors.LimitExceeded, 402, "insufficient_quota", "limit_exceeded"),
    (errors.PaymentRefused, 502, "api_error", "payment_refused"),
    (errors.WalletError, 402, "insufficient_quota", "wallet"),
    (errors.SignInNeeded, 403, "permission_error", "sign_in_needed"),
    (errors.HostUnavailable, 503, "api_error", "host_unavailable"),
    (errors.NetworkUnavailable, 503, "api_error", "network_unavailable"),
    (errors.SimnetError, 503, "api_error", "network_unavailable"),
    (errors.ClockSkew, 503, "api_error", "clock_skew"),
    (errors.ConfigError, 400, "invalid_request_error", "not_allowed"),
    (errors.PromptError, 400, "invalid_request_error", "invalid_request"),
)


def refusal_of(problem: errors.OpgError, words: Callable[[str], str]) -> Refusal:
    """The answer to a request whose call failed.  ``words`` makes a message fit for a shell."""
    status, kind, code = 500, "api_error", "local_failure"
    for known, *found in _FAILURES:
        if isinstance(problem, known):
            status, kind, code = found[0], str(found[1]), str(found[2])  # type: ignore[assignment]
            break
    if isinstance(problem, errors.LimitExceeded) and problem.cap is None:
        # Of the private route: calls or tokens a day, where no money moves.
        status, kind = 429, "rate_limit_error"
    return Refusal(
        status, words(str(problem)), kind, code, opg=_known(problem), headers=_headers(problem)
    )


def unverified(answer: Answer) -> Refusal:
    """An answer that a notebook would show with the verdict it deserves: a program sees no card."""
    receipt, verdict = answer.receipt.id, answer.verdict
    return Refusal(
        502,
        f"The answer is not verified ({verdict.why}), so it is not handed out. "
        f"It is in its receipt: opg show {receipt}",
        "api_error",
        "answer_unverified",
        opg={"receipt": receipt, "verdict": verdict.label, "charge": str(answer.cost.charge)},
        headers={RECEIPT: receipt, VERDICT: in_a_header(verdict)},
    )


def broken(problem: BaseException) -> Refusal:
    """The answer where this program itself failed: its own words may hold anything."""
    return Refusal(
        500,
        f"opg serve itself failed ({type(problem).__name__}). The call may have been paid for: "
        f"opg receipts list",
        "api_error",
        "internal_error",
    )


def stopped(problem: errors.OpgError | None) -> Refusal:
    """The answer to a request whose call was stopped from here."""
    charge = None if problem is None else problem.charge
    told = f" Charge: {charge}." if charge is not None else ""
    return Refusal(
        503,
        f"opg serve was stopped.{told}",
        "api_error",
        "stopped",
        opg={} if problem is None else _known(problem),
        headers={} if problem is None else _headers(problem),
    )


def _known(problem: errors.OpgError) -> dict[str, Any]:
    verdict = getattr(problem, "verdict", None)
    known = {
        "receipt": problem.receipt_id,
        "verdict": None if verdict is None else verdict.label,
        "charge": None if problem.charge is None else str(problem.charge),
    }
    return {key: value for key, value in known.items() if value is not None}


def _headers(problem: errors.OpgError) -> dict[str, str]:
    verdict = getattr(problem, "verdict", None)
    headers = {}
    if problem.receipt_id is not None:
        headers[RECEIPT] = problem.receipt_id
    if verdict is not None:
        headers[VERDICT] = in_a_header(verdict)
    return headers
