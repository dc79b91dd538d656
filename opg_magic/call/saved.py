"""An answer out of the user's own ledger, with the verdict that follows from what is known now."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.models import Answer, Trust
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.receipt.document import Receipt
    from opg_magic.settings.config import Settings
    from opg_magic.verify.policy import Policy

#: Receipts of one request that are looked at, newest first, and those that are judged.
_LOOKS, _TRIES = 200, 5


def saved_answer(
    receipt: Receipt,
    settings: Settings,
    *,
    simulated_roots: frozenset[str],
    include_withheld: bool = False,
    demanded: Policy | None = None,
) -> Answer:
    """The answer of a receipt in the user's own ledger, at no cost.

    Its verdict takes in what was learnt since, and what ``demanded`` asks for (the settings' policy
    unless given); registry and channel stay as this user's kernel saw them.  Raises what
    :meth:`Receipt.answer` raises, and AnswerWithheld where the answer does not pass any more and
    ``include_withheld`` is not set."""
    answer = receipt.answer(include_withheld=include_withheld)
    pins = _pins(receipt, settings)
    if (
        receipt.supersedes is not None
        or (demanded and demanded.name != answer.verdict.policy)
        # They may have been set, or others, since.
        or pins
    ):
        answer = _judged_again(answer, settings, simulated_roots, pins, demanded)
    if answer.verdict.withheld and not include_withheld:
        raise errors.AnswerWithheld(
            f"the answer of call {receipt.id} no longer passes: {answer.verdict.why}",
            hint=errors.read_all_the_same(receipt.id),
            verdict=answer.verdict,
            receipt=receipt,
            cost=answer.cost,
            charge=answer.cost.charge,
            receipt_id=receipt.id,
        )
    return answer


def recorded_answers(
    keys: Sequence[str],
    ledger: Ledger,
    network: Network,
    settings: Settings,
    *,
    simulated_roots: frozenset[str],
    demanded: Policy,
    fits: Callable[[Receipt], bool],
) -> dict[str, Answer]:
    """The newest answer to each request that this user's kernels asked on this network before and
    that may be handed out under this policy, by its key.

    ``keys``: as :func:`opg_magic.ledger.index.request_key` makes them; ``fits``: which receipts
    count besides."""
    from opg_magic.ledger.asked import asked_before

    found: dict[str, Answer] = {}
    for key, ids in asked_before(ledger, keys).items():
        # Another's receipts of the request, however many, do not stand before this user's own.
        own = filter(fits, _own(ledger, ids[:_LOOKS], network))
        for receipt in itertools.islice(own, _TRIES):
            with suppress(errors.OpgError):
                found[key] = saved_answer(
                    receipt, settings, simulated_roots=simulated_roots, demanded=demanded
                )
                break
    return found


def _own(ledger: Ledger, ids: Sequence[str], network: Network) -> Iterator[Receipt]:
    for id in ids:
        with suppress(errors.LedgerError):
            if not ledger.is_begun(id):
                continue
            receipt = ledger.get(id)
            of = receipt.document["network"]
            if (of["name"], of["simulated"]) == (network.name, network.simulated):
                yield receipt


def _pins(receipt: Receipt, settings: Settings) -> frozenset[str]:
    """The builds that the user trusts alone; a simulated one is not among them, and need not be."""
    simulated = receipt.document["network"]["simulated"]
    return frozenset() if simulated else frozenset(settings.get("pinned_pcrs"))


def _judged_again(
    answer: Answer,
    settings: Settings,
    simulated_roots: frozenset[str],
    pins: frozenset[str],
    demanded: Policy | None,
) -> Answer:
    from opg_magic.verify import judge
    from opg_magic.verify.policy import policy, requiring

    trust = Trust(
        simulated_roots=simulated_roots,
        pinned_pcrs=pins,
        skew_seconds=settings.get("skew"),
        reader=False,
        asked=frozenset({"registry", "channel", "payment", "settlement"}),
        payees=frozenset(settings.get("payees")),
    )
    if demanded is None:
        demanded = requiring(policy(settings.get("policy")), settings.get("required_claims"))
    return replace(answer, verdict=judge(answer.receipt.evidence(), policy=demanded, trust=trust))
