"""The end of a call: everything is judged and recorded, and only then handed out, or withheld."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.rehearsal import rehearse
from opg_magic.call.state import (
    EngineSettings,
    Paid,
    ReadyHost,
    RunningCall,
    SessionGone,
    Where,
    kernel_trust,
)
from opg_magic.models import (
    Answer,
    Charge,
    Cost,
    Evidence,
    Money,
    PaymentEvidence,
    Phase,
    Progress,
    Verdict,
)
from opg_magic.models.networks import Network
from opg_magic.models.secret import Secret
from opg_magic.settings import prices
from opg_magic.wallet.upto import Timing, UptoSession, UptoSessions

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.network.exchange import RawExchange
    from opg_magic.receipt.document import Receipt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Judged:
    """``why`` there is no verdict, where there is none."""

    verdict: Verdict | None
    receipt: Receipt
    why: str


class Concluder:
    """Judges, records and hands out what came of the calls of one engine."""

    def __init__(
        self,
        network: Network,
        ledger: Ledger,
        price_list: prices.PriceList,
        where: Callable[[], Where],
        *,
        sessions: UptoSessions,
        set_aside: dict[str, str],
        watch: Callable[[str], None],
    ) -> None:
        """``set_aside`` and ``sessions`` are the engine's own; ``watch`` is told of receipts that
        go on record."""
        self._network = network
        self._ledger = ledger
        self._prices = price_list
        self._where = where
        self._sessions = sessions
        self._set_aside = set_aside
        self._watch = watch

    def rehearse(self, call: RunningCall, ready: ReadyHost) -> None:
        """Before anything is signed: a receipt of this call can be made, or it ends here."""
        call.rehearsed = rehearse(
            call, ready, self._network, self._prices.price(call.model_sent), self._where
        )

    def unsent(self, call: RunningCall, paid: Paid, reason: str) -> None:
        """Nothing has left: a new authorisation cannot be used by anyone, so its reservation falls
        to nothing."""
        if paid.session is None:
            self._ledger.release(
                paid.authorisation.nonce, 0, {"how": "the signature never left this machine"}
            )
        self._ledger.record(call.id, "ended", {"charge": Charge.NONE.value, "reason": reason})

    def conclude(
        self, call: RunningCall, paid: Paid, settings: EngineSettings, exchange: RawExchange
    ) -> Answer:
        """Judge, record, and hand out or withhold.  Whatever fails on the way, the error says where
        the answer is."""
        try:
            return self._conclude(call, paid, settings, exchange)
        except (errors.OpgError, SessionGone):
            raise
        except Exception as problem:
            log.warning("a call could not be concluded", exc_info=True)
            raise self._unconcluded(call, paid, exchange, type(problem).__name__) from None

    def _unconcluded(
        self, call: RunningCall, paid: Paid, exchange: RawExchange, why: str
    ) -> errors.CallFailed:
        charge = charge_of(exchange)
        cost = Cost(None, Money(paid.authorisation.cap, self._network.token), charge=charge)
        try:
            kept: Receipt | None = self._ledger.get(call.id)
        except errors.LedgerError:
            kept = None
        if kept is None:
            return self._without_receipt(
                call, exchange, charge, cost, why, None, _secrets(paid, exchange)
            )
        return errors.CallFailed(
            f"the answer is recorded, but could not be handed out ({why})",
            charge=charge,
            receipt_id=kept.id,
            receipt=kept,
            verdict=kept.verdict_at_creation,
            cost=kept.cost,
        )

    def _conclude(
        self, call: RunningCall, paid: Paid, settings: EngineSettings, exchange: RawExchange
    ) -> Answer:
        from opg_magic.receipt.document import new_id

        if exchange.status == 402 and paid.session is not None:
            self._sessions.drop(paid.session)
            reason = "the host answered 402: its session was closed"
            self._ledger.record(
                call.id, "session-gone", {"charge": Charge.NONE.value, "reason": reason}
            )
            call.id = new_id()
            raise SessionGone
        exchange = _with_a_session_that_can_be_kept(call, paid, exchange)
        charge = charge_of(exchange)
        cost = self._cost(call, paid, exchange, charge)
        verdict, receipt = self._judge_and_save(call, paid, settings, exchange, charge, cost)
        self._keep_session(paid, exchange, cost)
        call.observer(Progress(Phase.DONE, host=paid.ready.host))
        problem = exchange.response.problem
        # Complete but unsigned is an answer all the same, with the verdict that it deserves; a
        # policy may withhold it.
        unusable = problem is not None and problem.code != "unsigned"
        if charge is Charge.UNKNOWN or unusable or verdict.withheld:
            raise self._failure(call, paid, exchange, charge, cost, verdict, receipt)
        if call.prompt.settle != "private":
            self._watch(receipt.id)
        return replace(receipt.answer(), notes=tuple(call.notes))

    def _judge_and_save(
        self,
        call: RunningCall,
        paid: Paid,
        settings: EngineSettings,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
    ) -> tuple[Verdict, Receipt]:
        """From here on nothing can be cancelled: what was paid for is kept, whatever fails on this
        machine."""
        judged: _Judged | None = None
        try:
            # No other kernel writes between the look for this signature and the receipt that bears
            # it.
            with self._ledger.exclusively():
                judged = self._judge(call, paid, settings, exchange, charge, cost)
                self._ledger.save(judged.receipt)
        except errors.CallFailed:
            raise
        except Exception as problem:
            if not isinstance(problem, errors.LedgerError):
                log.warning("a receipt could not be saved", exc_info=True)
                problem = errors.LedgerError(
                    f"the receipt could not be saved ({type(problem).__name__})"
                )
            judged = judged or self._judge(call, paid, settings, exchange, charge, cost)
            call.notes.append(self._ledger.keep_aside(judged.receipt, problem))
        verdict, receipt = judged.verdict, judged.receipt
        if verdict is None:
            if paid.session is not None:
                self._sessions.drop(paid.session)
            raise errors.CallFailed(
                f"the call could not be checked on this machine ({judged.why}), so its answer is "
                f"not handed out",
                hint=f"What came is in its receipt: opg show {receipt.id} --json",
                charge=charge,
                receipt_id=receipt.id,
                receipt=receipt,
                cost=cost,
            )
        if verdict.failed_claims and exchange.complete:
            if paid.session is not None:
                self._sessions.drop(paid.session)
            self._set_aside[paid.ready.host.tee_id] = (
                verdict.failed_claims[0].reason or verdict.failed_claims[0].sentence
            )
        return verdict, receipt

    def _judge(
        self,
        call: RunningCall,
        paid: Paid,
        settings: EngineSettings,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
    ) -> _Judged:
        """The verdict, None where it cannot be had, and the receipt.  CallFailed where no receipt
        can be made."""
        from opg_magic.receipt.build import build_receipt
        from opg_magic.receipt.document import signature_of
        from opg_magic.receipt.spendable import HoldsSecret
        from opg_magic.verify.verdict import judge

        evidence = self._evidence(call, paid, exchange, charge, cost)
        verdict: Verdict | None = None
        why = ""
        try:
            signature = signature_of(exchange.response.frame)
            seen_in = () if signature is None else tuple(self._ledger.find_signature(signature))
            evidence = replace(evidence, signature_seen_in=seen_in)
            verdict = judge(
                evidence, policy=call.policy, trust=kernel_trust(self._network, settings)
            )
        except Exception as problem:
            # What was paid for is kept all the same; without a verdict it is not handed out.
            why = (
                problem.message if isinstance(problem, errors.OpgError) else type(problem).__name__
            )
            log.warning(
                "an answer could not be checked", exc_info=not isinstance(problem, errors.OpgError)
            )
        secrets = _secrets(paid, exchange)
        try:
            where = self._where()
            receipt = build_receipt(
                id=call.id,
                created_at=call.created_at,
                network=self._network,
                prompt=call.prompt,
                evidence=evidence,
                verdict=verdict,
                cost=cost,
                kernel=where.kernel_id,
                notebook=where.notebook,
                cell=where.cell,
                model_sent=call.model_sent,
                secrets=secrets,
            )
        except HoldsSecret as problem:
            # A host that repeats what pays for calls leaves no receipt: it is not paid again.
            if paid.session is not None:
                self._sessions.drop(paid.session)
            self._set_aside[paid.ready.host.tee_id] = str(problem)
            raise self._without_receipt(
                call, exchange, charge, cost, str(problem), verdict, secrets
            ) from None
        except Exception as problem:
            log.warning("no receipt of a call could be made", exc_info=True)
            why = type(problem).__name__
            raise self._without_receipt(
                call, exchange, charge, cost, why, verdict, secrets
            ) from None
        return _Judged(verdict, receipt, why)

    def _without_receipt(
        self,
        call: RunningCall,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
        why: str,
        verdict: Verdict | None,
        secrets: list[Secret[str]],
    ) -> errors.CallFailed:
        """What came is paid for: it is kept as it came, and the call stays open in the ledger, its
        charge unknown.

        What is kept is no receipt and proves nothing: secrets in it are masked.
        """
        from opg_magic.receipt.spendable import masked

        response = exchange.response
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
            hint = (
                f"What came could not be written ({reason}): {came['text'] or came['tool_calls']}"
            )
        return errors.CallFailed(
            f"no receipt of the call could be made ({why}), so its answer is not handed out",
            hint=hint,
            charge=charge,
            verdict=verdict,
            cost=cost,
            came=came,
        )

    def _evidence(
        self, call: RunningCall, paid: Paid, exchange: RawExchange, charge: Charge, cost: Cost
    ) -> Evidence:
        ready = paid.ready
        return Evidence(
            request=call.request,
            response=exchange.response,
            sent_at=exchange.sent_at,
            received_at=exchange.received_at,
            signing_key=ready.host.public_key,
            host=ready.host,
            attestation=ready.attestation,
            registry=ready.registry,
            channel=ready.channel,
            payment=PaymentEvidence(
                network=f"eip155:{self._network.payment_chain_id}",
                authorisation=paid.authorisation,
                token=self._network.token,
                first_call=paid.session is None,
                # A document has no word for a claim: its "charged" is the host's word.
                charge=Charge.CHARGED if charge is Charge.CLAIMED else charge,
                estimate=cost.amount,
            ),
            declared_simulated=self._network.simulated,
            settlement_mode=call.prompt.settle,
        )

    def _cost(self, call: RunningCall, paid: Paid, exchange: RawExchange, charge: Charge) -> Cost:
        """Usage x price / token price: the host's figure, not signed.  None where a factor is not
        known."""
        price = self._prices.price(call.model_sent)
        usage = exchange.response.usage or {}
        token_usd = paid.ready.token_usd
        cap = Money(paid.authorisation.cap, self._network.token)
        amount, in_usd = None, None
        if charge is Charge.NONE:
            amount = Money(0, self._network.token)
        elif price is not None and {"prompt_tokens", "completion_tokens"} <= usage.keys():
            in_usd = prices.usd(price, usage["prompt_tokens"], usage["completion_tokens"])
            amount = prices.in_token(in_usd, token_usd, self._network.token) if token_usd else None
            if amount is not None and amount.amount > cap.amount:
                # Whatever the host counts, no more than the cap can be taken.
                amount = cap
        return Cost(
            amount=amount, cap=cap, usd=in_usd, price=price, token_usd=token_usd, charge=charge
        )

    def _keep_session(self, paid: Paid, exchange: RawExchange, cost: Cost) -> None:
        """A session that the host opened or charged is kept for later calls, in memory only."""
        session = paid.session
        if session is None:
            if exchange.session is None or not exchange.complete:
                return
            if paid.ready.host.tee_id in self._set_aside:
                return
            session = UptoSession(
                paid.ready.host.tee_id,
                paid.path,
                exchange.session,
                paid.authorisation,
                exchange.received_at,
                Timing(self._network.session_idle),
            )
            self._sessions.put(session)
        if cost.charge is Charge.UNKNOWN or cost.amount is None:
            # What was spent from it is not known any more, so whether a next call fits is not
            # either.
            self._sessions.drop(session)
            return
        session.spent += cost.amount.amount
        session.calls += 1
        session.last_used = exchange.received_at

    def stopped(
        self, call: RunningCall, paid: Paid, settings: EngineSettings, exchange: RawExchange
    ) -> errors.CallFailed:
        """The user's stop, or a cancelled await: written down like any other end."""
        charge = Charge.UNKNOWN if exchange.header_sent else Charge.NONE
        if charge is Charge.NONE:
            self.unsent(call, paid, "it was stopped before it was sent")
            return errors.CallFailed(
                "stopped before anything that can spend was sent", charge=charge
            )
        exchange = _with_a_session_that_can_be_kept(call, paid, exchange)
        cost = self._cost(call, paid, exchange, charge)
        verdict, receipt = self._judge_and_save(call, paid, settings, exchange, charge, cost)
        self._keep_session(paid, exchange, cost)
        return self._failure(call, paid, exchange, charge, cost, verdict, receipt)

    def _failure(
        self,
        call: RunningCall,
        paid: Paid,
        exchange: RawExchange,
        charge: Charge,
        cost: Cost,
        verdict: Verdict,
        receipt: Receipt,
    ) -> errors.CallFailed:
        """The error that says what happened, whether it was charged, and where the record is."""
        problem = exchange.response.problem
        known: dict[str, Any] = {
            "charge": charge,
            "receipt_id": receipt.id,
            "verdict": verdict,
            "receipt": receipt,
            "cost": cost,
        }
        cap = Money(paid.authorisation.cap, self._network.token)
        host = paid.ready.host.short_id
        if (
            charge is Charge.UNKNOWN
            and problem is not None
            and problem.code in ("timeout", "interrupted")
        ):
            return errors.CallFailed(
                f"payment unknown: {problem.message}. The host may have taken up to {cap} for it.",
                hint="It is not paid again by itself. The sum stays reserved until the chain shows "
                "what was taken.",
                **known,
            )
        if problem is not None and problem.code in ("host-failure", "http-status"):
            kept = (
                f" The signed authorisation of up to {cap} stays reserved until its deadline."
                * (paid.session is None and exchange.session is None)
            )
            return errors.HostReportsFailure(
                f"host {host} reports a failure: {problem.message}. By its word nothing was "
                f"charged.{kept}",
                **known,
            )
        failed = verdict.failed_claims
        if failed:
            return errors.AnswerWithheld(
                f"answer withheld: {failed[0].reason or failed[0].sentence}",
                hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
                **known,
            )
        why = verdict.why or (problem.message if problem else "it did not verify")
        return errors.AnswerWithheld(
            f"answer withheld under policy {verdict.policy}: {why}",
            hint=f"To read the text all the same: %opg show {receipt.id} --unverified",
            **known,
        )


def _secrets(paid: Paid, exchange: RawExchange) -> list[Secret[str]]:
    """What pays for calls, and so must stand in no receipt: this call's header and signature, its
    session."""
    known = (
        exchange.session,
        paid.session.session_id if paid.session else None,
        paid.value,
        paid.signature,
    )
    return [secret for secret in known if secret]


def _with_a_session_that_can_be_kept(
    call: RunningCall, paid: Paid, exchange: RawExchange
) -> RawExchange:
    """The exchange without its session, if that is named by what no later call should send.  The
    answer counts."""
    from opg_magic.protocol.x402 import public_authorisation
    from opg_magic.receipt.spendable import holds

    public = call.rehearsed + json.dumps(public_authorisation(paid.authorisation)).encode()
    if exchange.session is not None and holds(public, [exchange.session]):
        # A name that stands in every receipt of this host is no secret, and no receipt could be
        # made beside it.
        exchange = replace(exchange, session=None, session_refused=True)
    if exchange.session_refused:
        call.notes.append(
            "the host named its payment session by what is no session id, so no later call joins it"
        )
    return exchange


def charge_of(exchange: RawExchange) -> Charge:
    """What the exchange says of the money: hosts count complete 2xx answers only; a 2xx is no
    proof."""
    problem = exchange.response.problem
    if not exchange.header_sent:
        return Charge.NONE
    if exchange.status is None or not exchange.complete:
        return Charge.UNKNOWN
    if not 200 <= exchange.status < 300 or (problem is not None and problem.code == "host-failure"):
        return Charge.NONE
    return Charge.CLAIMED
