"""Running the weights of an answer again, where the settings or the policy want it.

The answer is paid for and recorded by then.  The figures of the run are added to its receipt, and
it is judged again with them."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.state import EngineSettings, kernel_trust
from opg_magic.models import Answer, Prompt
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.verify.policy import Policy
    from opg_magic.weights.check import Checker

log = logging.getLogger(__name__)


class Reruns:
    """The weights that one engine has loaded, in child processes that end with it."""

    def __init__(self, network: Network, ledger: Ledger) -> None:
        self._network = network
        self._ledger = ledger
        self._checker: Checker | None = None
        self._one = asyncio.Lock()

    @staticmethod
    def admit(prompt: Prompt, policy: Policy) -> None:
        """Refuse a call whose weights must be run again and cannot be (ConfigError), before
        anything is sent."""
        if "weights" not in policy.required:
            return
        from opg_magic.weights.check import hindrance

        reason = hindrance(prompt.model)
        if reason is not None:
            raise errors.ConfigError(
                f"Your policy requires the check weights, and {prompt.model[:80]!a} cannot be "
                f"run again: {reason.rstrip('.')}. Nothing was sent.",
                hint="Get or trust its weights: opg models get NAME, opg models trust FILE.gguf",
            )

    async def look(self, answer: Answer, settings: EngineSettings, policy: Policy) -> Answer:
        """The answer, judged with a run of its weights if one is wanted.

        Raises AnswerWithheld if the answer must not be handed out any more."""
        wanted = "weights" in policy.required or random.random() < settings.weights  # noqa: S311
        return await self.run(answer, settings, policy) if wanted else answer

    async def run(self, answer: Answer, settings: EngineSettings, policy: Policy) -> Answer:
        """The answer, judged with a run of its weights; the figures are added to its receipt.

        Raises AnswerWithheld if the answer must not be handed out any more, CallFailed if the run
        was stopped."""
        from opg_magic.receipt.document import receipt_of
        from opg_magic.verify.verdict import judge
        from opg_magic.weights.check import Checker

        receipt = receipt_of(answer)
        running = False
        try:
            async with self._one:
                checker = self._checker = self._checker or Checker()
                running = True
                evidence = await asyncio.to_thread(checker.run, receipt.evidence())
        except asyncio.CancelledError:
            # The thread that waits for the child ends with it; where another answer's run was
            # waited for, that one goes on.
            if running and self._checker is not None:
                self._checker.close()
            raise errors.CallFailed(
                "Stopped while the weights were run again; the answer is recorded.",
                charge=answer.cost.charge,
                receipt_id=receipt.id,
                receipt=receipt,
                cost=answer.cost,
            ) from None
        trust = kernel_trust(self._network, settings)
        verdict = judge(evidence, policy=policy, trust=trust)
        notes = answer.notes
        if evidence.weights_not_run is not None and evidence.weights is not None:
            # What is judged is the run that the receipt held already.
            notes = (*notes, f"the weights were not run again now: {evidence.weights_not_run[1]}")
        if evidence.weights_not_run is None and evidence.weights is not None:
            try:
                receipt = self._ledger.supplement(receipt.id, evidence.weights)
            except errors.LedgerError as problem:
                notes = (*notes, f"the run of the weights is not in the ledger: {problem.message}")
        if verdict.withheld:
            raise errors.AnswerWithheld(
                f"Answer withheld: {verdict.why}.",
                hint=f"Inspect it: %opg show {receipt.id} --unverified",
                verdict=verdict,
                receipt=receipt,
                cost=answer.cost,
                charge=answer.cost.charge,
                receipt_id=receipt.id,
            )
        return replace(answer, receipt=receipt, verdict=verdict, notes=notes)

    def close(self) -> None:
        """End the child processes."""
        if self._checker is not None:
            self._checker.close()
