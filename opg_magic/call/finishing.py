"""Step 9: the answer is judged and recorded, and only then handed out, or withheld."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opg_magic import errors
from opg_magic.call.evidence import evidence_of, receipt_of_call
from opg_magic.call.failing import failure_of
from opg_magic.call.hosts import KnownHosts
from opg_magic.call.prepared import PreparedCall
from opg_magic.call.state import CallSite, SessionGone, kernel_trust
from opg_magic.models import Answer, Charge, Cost, Evidence, Phase, Progress, Verdict
from opg_magic.models.networks import Network

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.exchange import RawExchange
    from opg_magic.receipt.document import Receipt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Judged:
    """``why`` says why there is no verdict, where there is none."""

    verdict: Verdict | None
    receipt: Receipt
    why: str


class Finisher:
    """Judges, records and hands out the answers of one engine."""

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        hosts: KnownHosts,
        *,
        call_site: Callable[[], CallSite],
        watch: Callable[[str], None],
    ) -> None:
        """``watch`` is given the id of each receipt whose hashes are to be put on chain."""
        self._network = network
        self._ledger = ledger
        self._hosts = hosts
        self._call_site = call_site
        self._watch = watch

    def finish(self, prepared: PreparedCall, exchange: RawExchange) -> Answer:
        """Judge, record, and return the answer.

        Raises :class:`opg_magic.errors.CallFailed` where it is not handed out, saying where it is
        kept; :class:`SessionGone` where the call must go again."""
        try:
            return self._finish(prepared, exchange)
        except (errors.OpgError, SessionGone):
            raise
        except Exception as problem:
            log.warning("a call could not be concluded", exc_info=True)
            raise self._unfinished(prepared, exchange, type(problem).__name__) from None

    def stopped(self, prepared: PreparedCall, exchange: RawExchange) -> errors.CallFailed:
        """The user's stop, or a cancelled await: recorded like any other end."""
        call, payment = prepared.call, prepared.payment
        if not exchange.header_sent:
            payment.unsent(call, "it was stopped before it was sent")
            return errors.CallFailed(
                "stopped before anything that can spend was sent", charge=Charge.NONE
            )
        exchange = payment.accept(call, exchange)
        cost = payment.cost(call, exchange, Charge.UNKNOWN)
        verdict, receipt = self._judge_and_save(prepared, exchange, cost)
        self._keep_payment(prepared, exchange, cost)
        return failure_of(prepared, exchange, cost, verdict, receipt)

    def _finish(self, prepared: PreparedCall, exchange: RawExchange) -> Answer:
        from opg_magic.receipt.document import new_id

        call, payment = prepared.call, prepared.payment
        if payment.must_be_renewed(call, exchange):
            call.id = new_id()
            raise SessionGone
        exchange = payment.accept(call, exchange)
        cost = payment.cost(call, exchange, payment.charge(exchange))
        verdict, receipt = self._judge_and_save(prepared, exchange, cost)
        self._keep_payment(prepared, exchange, cost)
        call.observer(Progress(Phase.DONE, host=prepared.ready.host))
        problem = exchange.response.problem
        # Complete but unsigned is an answer all the same, with the verdict that it deserves; a
        # policy may withhold it.
        unusable = problem is not None and problem.code != "unsigned"
        if cost.charge is Charge.UNKNOWN or unusable or verdict.withheld:
            raise failure_of(prepared, exchange, cost, verdict, receipt)
        if call.prompt.settle != "private":
            self._watch(receipt.id)
        return replace(receipt.answer(), notes=tuple(call.notes))

    def _keep_payment(self, prepared: PreparedCall, exchange: RawExchange, cost: Cost) -> None:
        usable = prepared.ready.host.tee_id not in self._hosts.set_aside
        prepared.payment.keep(exchange, cost, usable=usable)

    def _unfinished(
        self, prepared: PreparedCall, exchange: RawExchange, why: str
    ) -> errors.CallFailed:
        """Something on this machine failed after the payment: where the answer is, all the same."""
        charge = prepared.payment.charge(exchange)
        try:
            kept: Receipt | None = self._ledger.get(prepared.call.id)
        except errors.LedgerError:
            kept = None
        if kept is None:
            cost = Cost(None, prepared.payment.cap, charge=charge)
            return self._without_receipt(prepared, exchange, cost, why, None)
        return errors.CallFailed(
            f"the answer is recorded, but could not be handed out ({why})",
            charge=charge,
            receipt_id=kept.id,
            receipt=kept,
            verdict=kept.verdict_at_creation,
            cost=kept.cost,
        )

    # ---------------------------------------------------------------------- the verdict, on record

    def _judge_and_save(
        self, prepared: PreparedCall, exchange: RawExchange, cost: Cost
    ) -> tuple[Verdict, Receipt]:
        """From here on nothing can be cancelled: what was paid for is kept, whatever fails on this
        machine."""
        judged: _Judged | None = None
        try:
            # No other kernel writes between the look for this signature and the receipt that holds
            # it.
            with self._ledger.exclusively():
                judged = self._judge(prepared, exchange, cost)
                self._ledger.save(judged.receipt)
        except errors.CallFailed:
            raise
        except Exception as problem:
            if not isinstance(problem, errors.LedgerError):
                log.warning("a receipt could not be saved", exc_info=True)
                problem = errors.LedgerError(
                    f"the receipt could not be saved ({type(problem).__name__})"
                )
            judged = judged or self._judge(prepared, exchange, cost)
            prepared.call.notes.append(self._ledger.keep_aside(judged.receipt, problem))
        verdict, receipt = judged.verdict, judged.receipt
        if verdict is None:
            prepared.payment.drop()
            raise errors.CallFailed(
                f"the call could not be checked on this machine ({judged.why}), so its answer is "
                f"not handed out",
                hint=f"What came is in its receipt: opg show {receipt.id} --json",
                charge=cost.charge,
                receipt_id=receipt.id,
                receipt=receipt,
                cost=cost,
            )
        if verdict.failed_claims and exchange.complete:
            failed = verdict.failed_claims[0]
            self._distrust(prepared, exchange, failed.reason or failed.sentence)
        return verdict, receipt

    def _distrust(self, prepared: PreparedCall, exchange: RawExchange, why: str) -> None:
        """Pay nothing more under this payment, and do not choose the host again, unless a relay may
        be the cause."""
        prepared.payment.drop()
        if not exchange.unopened:
            self._hosts.skip(prepared.ready.host, why)

    def _judge(self, prepared: PreparedCall, exchange: RawExchange, cost: Cost) -> _Judged:
        """The verdict, None where it cannot be had, and the receipt.  CallFailed where no receipt
        can be made."""
        from opg_magic.receipt.secret_scan import HoldsSecret

        evidence = evidence_of(
            prepared.call,
            prepared.ready,
            self._network,
            response=exchange.response,
            sent_at=exchange.sent_at,
            received_at=exchange.received_at,
            payment=prepared.payment.evidence(cost),
        )
        evidence, verdict, why = self._verdict(prepared, evidence)
        try:
            receipt = receipt_of_call(
                prepared.call,
                evidence,
                self._network,
                self._call_site(),
                verdict=verdict,
                cost=cost,
                secrets=prepared.payment.secrets(exchange),
            )
        except HoldsSecret as problem:
            # A host that repeats what pays for calls leaves no receipt: it is not paid again.
            self._distrust(prepared, exchange, str(problem))
            raise self._without_receipt(prepared, exchange, cost, str(problem), verdict) from None
        except Exception as problem:
            log.warning("no receipt of a call could be made", exc_info=True)
            why = type(problem).__name__
            raise self._without_receipt(prepared, exchange, cost, why, verdict) from None
        return _Judged(verdict, receipt, why)

    def _verdict(
        self, prepared: PreparedCall, evidence: Evidence
    ) -> tuple[Evidence, Verdict | None, str]:
        """The evidence with the other receipts of its signature, and its verdict, or why there is
        none."""
        from opg_magic.receipt.document import signature_of
        from opg_magic.verify.verdict import judge

        try:
            signature = signature_of(evidence.response.frame)
            seen_in = () if signature is None else tuple(self._ledger.find_signature(signature))
            evidence = replace(evidence, signature_seen_in=seen_in)
            trust = kernel_trust(self._network, prepared.settings)
            return evidence, judge(evidence, policy=prepared.call.policy, trust=trust), ""
        except Exception as problem:
            # What was paid for is kept all the same; without a verdict it is not handed out.
            known = isinstance(problem, errors.OpgError)
            log.warning("an answer could not be checked", exc_info=not known)
            why = problem.message if isinstance(problem, errors.OpgError) else None
            return evidence, None, why or type(problem).__name__

    def _without_receipt(
        self,
        prepared: PreparedCall,
        exchange: RawExchange,
        cost: Cost,
        why: str,
        verdict: Verdict | None,
    ) -> errors.CallFailed:
        """What came is paid for: it is kept as it came, and the call stays open in the ledger, its
        charge unknown.

        What is kept is no receipt and proves nothing: secrets in it are masked.
        """
        from opg_magic.receipt.secret_scan import masked

        call, response = prepared.call, exchange.response
        secrets = prepared.payment.secrets(exchange)
        came = {
            "call": call.id,
            "received_at": exchange.received_at.isoformat(),
            "text": masked(response.text, secrets),
            "tool_calls": masked(response.tool_calls, secrets),
            "unsigned_text": masked(response.unsigned_text, secrets),
            "frame": masked(response.frame, secrets),
            "raw_sha256": response.raw_sha256,
        }
        try:
            hint = f"What came is in {self._ledger.keep_raw(call.id, came)}"
        except Exception as problem:
            reason = getattr(problem, "strerror", None) or type(problem).__name__
            # Not what came itself: a hint is shown, and told to programs, and nothing of it is
            # checked.
            hint = (
                f"What came could not be written ({reason}). Only this error's field "
                "came holds it, unchecked."
            )
        return errors.CallFailed(
            f"no receipt of the call could be made ({why}), so its answer is not handed out",
            hint=hint,
            charge=cost.charge,
            verdict=verdict,
            cost=cost,
            came=came,
        )
