"""An answer out of the user's own ledger, with the verdict that follows from what is known now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.models import Answer, Trust

if TYPE_CHECKING:
    from opg_magic.receipt.document import Receipt
    from opg_magic.settings.config import Settings


def saved_answer(
    receipt: Receipt,
    settings: Settings,
    *,
    simulated_roots: frozenset[str],
    include_withheld: bool = False,
) -> Answer:
    """The answer of a receipt in the user's own ledger, at no cost.

    Its verdict takes in what was learnt since; registry and channel stay as this user's kernel saw
    them.  Raises what :meth:`Receipt.answer` raises, and AnswerWithheld where the answer has come
    to fail since and ``include_withheld`` is not set."""
    answer = _judged_again(
        receipt.answer(include_withheld=include_withheld), settings, simulated_roots
    )
    if answer.verdict.withheld and not include_withheld:
        raise errors.AnswerWithheld(
            f"the answer of call {receipt.id} no longer passes: {answer.verdict.why}",
            hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
            verdict=answer.verdict,
            receipt=receipt,
            cost=answer.cost,
            charge=answer.cost.charge,
            receipt_id=receipt.id,
        )
    return answer


def _judged_again(answer: Answer, settings: Settings, simulated_roots: frozenset[str]) -> Answer:
    from opg_magic.verify import judge
    from opg_magic.verify.policy import policy, requiring

    if answer.receipt.supersedes is None:
        return answer
    trust = Trust(
        simulated_roots=simulated_roots,
        skew_seconds=settings.get("skew"),
        reader=False,
        asked=frozenset({"registry", "channel", "payment", "settlement"}),
        payees=frozenset(settings.get("payees")),
    )
    demanded = requiring(policy(settings.get("policy")), settings.get("required_claims"))
    return replace(answer, verdict=judge(answer.receipt.evidence(), policy=demanded, trust=trust))
