"""The result of a call for another program (``--json``), and its cost in words (``--cost``).

The keys are public; new ones may be added.  Amounts are decimal strings of base units beside their
token: JSON's numbers are not exact beyond 2^53."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opg_magic.display import output

if TYPE_CHECKING:
    from opg_magic.errors import CallInterrupted, OpgError
    from opg_magic.models import Answer, Cost, Money
    from opg_magic.shapes import Shape


def print_result(answer: Answer, shape: Shape | None = None) -> None:
    """Print an answer with its checks, its cost and its receipt's digest."""
    verdict, document = answer.verdict, answer.receipt.document
    _print(
        {
            "id": answer.receipt.id,
            "text": answer.text,
            "data": None if shape is None else shape.output(answer),
            "tool_calls": [dict(call) for call in answer.tool_calls],
            "model": document["request"]["model_requested"],
            "verdict": str(verdict.status),
            "simulated": verdict.simulated,
            "policy": verdict.policy,
            "because": list(verdict.because),
            "checks": {
                name: {
                    "status": str(claim.status),
                    "basis": claim.basis and str(claim.basis),
                    "sentence": claim.sentence,
                    "reason": claim.reason,
                }
                for name, claim in verdict.claims.items()
            },
            "usage": document["response"]["usage"],
            "cost": _cost(answer.cost),
            "digest": answer.receipt.digest,
            "notes": list(answer.notes),
        }
    )


def print_problem(problem: OpgError | CallInterrupted) -> None:
    """Print why there is no answer: the error's name, its message, whether money was taken, and
    the receipt's ID if there is one; of an answer that only has another shape, its text too."""
    charge, answer = problem.charge, getattr(problem, "answer", None)
    _print(
        {
            "error": type(problem).__name__,
            "message": problem.message,
            "hint": getattr(problem, "hint", None),
            "charge": charge and str(charge),
            "id": problem.receipt_id,
        }
        | ({} if answer is None else {"text": answer.text})
    )


def cost_in_words(cost: Cost) -> str:
    """The cost, its cap, and the prices that it is counted by."""
    lines = [f"Cost: {cost}."]
    if cost.price is not None:
        lines.append(
            f"Price: ${cost.price.input_usd} in, ${cost.price.output_usd} out per million tokens "
            f"({cost.price.as_of})."
        )
    if cost.settled is None and cost.amount is not None:
        lines.append("The settled amount is known later: opg reconcile")
    return "\n".join(lines)


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "charge": str(cost.charge),
        "amount": _money(cost.amount),
        "cap": _money(cost.cap),
        "settled": _money(cost.settled),
        "usd": None if cost.usd is None else format(cost.usd, "f"),
    }


def _money(money: Money | None) -> dict[str, Any] | None:
    if money is None:
        return None
    token = money.token
    return {
        "base_units": str(money.amount),
        "symbol": token.symbol,
        "decimals": token.decimals,
        "token": token.address,
        "chain_id": token.chain_id,
    }


def _print(document: dict[str, Any]) -> None:
    print(output.json_text(document, json.dumps(document, ensure_ascii=False)))
