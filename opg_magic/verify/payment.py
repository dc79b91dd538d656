"""The payment claim: at most N was paid to Y for it, in transaction Z.

It follows the chain: what a host says that it charged is claimed, until the authorisation's nonce
is seen spent.  A host that did not collect has done no wrong.  A payment counts for this call
alone: made to this host's own payee, under an authorisation that could be used while the call ran.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from opg_magic.models import (
    Authorisation,
    Basis,
    Charge,
    Claim,
    Evidence,
    Money,
    PaymentEvidence,
    SettlementTx,
    Trust,
)
from opg_magic.verify._claims import basis_of, failed, missing, not_applicable, passed, waiting

#: Seconds past the signed deadline until which a settlement may still come into sight: blocks lag,
#: RPCs lag.
MARGIN_SECONDS = 120

_NOTHING = "Nothing was taken for this call."
_NOT_ITS_OWN = "It is not known here that the payment is this host's."
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = 1_000_000
_LAST = datetime.max.replace(tzinfo=UTC)


def check(evidence: Evidence, trust: Trust) -> Claim:
    """What the payment chain shows of the authorisation, found by its nonce, against what was
    signed.

    Pending until the deadline and :data:`MARGIN_SECONDS`.  Facts: ``amount``, ``cap``, ``shared``
    (base units by receipt id, of the session's calls), ``remainder``, ``payee``, ``transaction``,
    ``chain_id``, ``block_number``, ``rpcs``."""
    payment = evidence.payment
    if payment is None and evidence.sealed is not None:
        return not_applicable(
            "payment",
            "The relay pays for it.",
            "relay-pays",
            f"the relay {evidence.sealed.relay} pays; what it costs is not known here",
        )
    if payment is None:
        return missing(
            "payment", "It is not known what was paid for it.", "none", "no authorisation is known"
        )
    basis = basis_of("payment", trust)
    if evidence.payment_seen_in:
        others = ", ".join(evidence.payment_seen_in[:3])
        return failed(
            "payment",
            basis,
            "One payment is claimed under two authorisations.",
            "two-nonces",
            f"the same transaction, under another nonce, in {others}",
        )
    fault = _time_fault(evidence, payment, trust)
    if fault is not None:
        return failed("payment", basis, *fault)
    settled = payment.settled
    if settled is None or settled.status == "open":
        return _open(evidence, payment, trust)
    facts = _facts(payment, settled)
    fault = _fault(payment, settled)
    if fault is None and settled.status == "unspent":
        # Whoever did not collect has done no wrong: of the answer that says nothing, whomever it
        # would have paid.
        return not_applicable(
            "payment", _NOTHING, "unspent", "nothing was taken: its nonce was never spent", **facts
        )
    fault = fault or _payee_fault(evidence, payment, trust) or _too_early(evidence, settled, trust)
    if fault is not None:
        return failed("payment", basis, *fault, **facts)
    return _spent(evidence, payment, settled, trust, facts)


def _spent(
    evidence: Evidence,
    payment: PaymentEvidence,
    settled: SettlementTx,
    trust: Trust,
    facts: dict[str, Any],
) -> Claim:
    """Of a nonce that was spent as signed: passed where it is known how much went to this host."""
    if settled.tx_hash is None or settled.amount is None:
        reason = "the nonce is spent, but the transaction that did it was not found"
        return missing(
            "payment",
            "The payment was taken, but it is not known how much.",
            "not-found",
            reason,
            **facts,
        )
    lacking = _lacking(settled)
    if lacking:
        reason = f"not known of it: {', '.join(lacking)}"
        return missing(
            "payment",
            "The payment cannot be compared with what was signed.",
            "incomplete",
            reason,
            **facts,
        )
    bound = _bound(evidence, payment, trust)
    if bound is None:
        reason = "no entry of the registry says whom payments of this host go to"
        return missing("payment", _NOT_ITS_OWN, "no-payee", reason, **facts)
    return passed("payment", bound, _sentence(payment, settled), **facts)


def expires(authorisation: Authorisation) -> datetime:
    """When a payment that is not in sight yet cannot come any more."""
    try:
        return datetime.fromtimestamp(authorisation.deadline, UTC) + timedelta(
            seconds=MARGIN_SECONDS
        )
    except (OverflowError, OSError, ValueError):
        return _LAST


def _open(evidence: Evidence, payment: PaymentEvidence, trust: Trust) -> Claim:
    if payment.charge is Charge.NONE:
        return not_applicable("payment", _NOTHING, "not-charged", "the host charged nothing")
    unknown = _payee_fault(evidence, payment, trust)
    if unknown is not None:
        # Operators may be paid elsewhere than the registry says.  Nothing was taken yet, so nothing
        # is borrowed either.
        return missing("payment", _NOT_ITS_OWN, *unknown[1:])
    end = expires(payment.authorisation)
    cap = Money(payment.authorisation.cap, payment.token)
    return waiting(
        "payment",
        trust,
        end,
        f"At most {cap} can be taken for it; the payment is not on the chain yet.",
        "The payment was not looked up on its chain after it could last be made.",
        cap=payment.authorisation.cap,
    )


def _bound(evidence: Evidence, payment: PaymentEvidence, trust: Trust) -> Basis | None:
    """What the claim rests on: the chain that was asked tells of a payment, not that its payee is
    this host's.

    That the payee is this host's is asked of the registry, or the reader's own pin; else its
    author's word."""
    own = payment.authorisation.pay_to.lower() in {payee.lower() for payee in trust.payees}
    entry = evidence.registry.entry if evidence.registry is not None else None
    if own or (entry is not None and basis_of("registry", trust) is Basis.ASKED):
        return basis_of("payment", trust)
    return Basis.RECORDED if entry is not None or evidence.host is not None else None


def _payee_fault(
    evidence: Evidence, payment: PaymentEvidence, trust: Trust
) -> tuple[str, str, str] | None:
    """(sentence, code, reason): an authorisation to another payee than this host's (attack 40)."""
    signed = payment.authorisation
    registry = evidence.registry
    listed = (
        registry.entry if registry is not None and registry.entry is not None else evidence.host
    )
    known = {payee.lower() for payee in trust.payees}
    if listed is None or signed.pay_to.lower() in known | {listed.payment_address.lower()}:
        return None
    reason = (
        f"it pays {signed.pay_to}; the registry lists {listed.payment_address} for this host"
        ", and your setting payees does not name it"
    )
    return "The payment is to somebody else than this host.", "other-payee", reason


def _time_fault(
    evidence: Evidence, payment: PaymentEvidence, trust: Trust
) -> tuple[str, str, str] | None:
    """(sentence, code, reason): an authorisation that could not be used while the call ran (attack
    40)."""
    signed = payment.authorisation
    skew = round(trust.skew_seconds * _SECOND)
    if signed.valid_after * _SECOND > _micro(evidence.sent_at) + skew:
        reason = f"it could be used from {_moment(signed.valid_after)}, the call was sent before"
        return "The payment is not of the time of this call.", "other-time", reason
    if _micro(evidence.received_at) > signed.deadline * _SECOND + skew:
        reason = f"it could be used until {_moment(signed.deadline)}, the call ended after that"
        return "The payment is not of the time of this call.", "other-time", reason
    return None


def _too_early(
    evidence: Evidence, settled: SettlementTx, trust: Trust
) -> tuple[str, str, str] | None:
    """A settlement that was made before the call was sent has not paid for it."""
    skew = round(trust.skew_seconds * _SECOND)
    if settled.block_time is None or _micro(settled.block_time) + skew >= _micro(evidence.sent_at):
        return None
    reason = f"its block is of {settled.block_time:%Y-%m-%d %H:%M:%S} UTC, before the call was sent"
    return "The payment is not of the time of this call.", "too-early", reason


def _micro(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"


def _fault(payment: PaymentEvidence, settled: SettlementTx) -> tuple[str, str, str] | None:
    """(sentence, code, reason) of the first thing that is wrong."""
    authorisation = payment.authorisation
    if settled.chain_id != authorisation.chain_id:
        reason = f"looked up on chain {settled.chain_id}, signed for chain {authorisation.chain_id}"
        return "The payment was looked up on another chain.", "wrong-chain", reason
    if settled.status == "unspent":
        if settled.tx_hash is not None:
            reason = f"transaction {settled.tx_hash} is named, and the nonce was never spent"
            return "The payment that this receipt names was never made.", "absent", reason
        return None
    if settled.status == "reverted":
        reason = f"transaction {settled.tx_hash} was reverted"
        return "The payment that this receipt names failed.", "reverted", reason
    if settled.status != "spent":
        return (
            "What is said of the payment makes no sense.",
            "format",
            f"its state is {settled.status!r}",
        )
    return _transaction_fault(payment, settled)


def _transaction_fault(
    payment: PaymentEvidence, settled: SettlementTx
) -> tuple[str, str, str] | None:
    signed = payment.authorisation
    wrong = "The payment is not the one that was signed."
    for name, code, found, meant in (
        ("token", "wrong-token", settled.token, signed.token),
        ("token", "wrong-token", payment.token.address, signed.token),
        ("payer", "wrong-payer", settled.payer, signed.payer),
        ("payee", "wrong-payee", settled.payee, signed.pay_to),
        ("facilitator", "wrong-facilitator", settled.facilitator, signed.facilitator),
    ):
        if found is not None and found.lower() != meant.lower():
            return wrong, code, f"the {name} is {found}, signed is {meant}"
    if settled.nonce is not None and settled.nonce != signed.nonce:
        return (
            wrong,
            "two-nonces",
            "the transaction spends another nonce than the one that was signed",
        )
    if settled.cap is not None and settled.cap != signed.cap:
        return (
            wrong,
            "wrong-amount",
            f"the transaction names a cap of {Money(settled.cap, payment.token)}, "
            f"signed is {Money(signed.cap, payment.token)}",
        )
    if settled.amount is not None:
        if not 0 <= settled.amount <= signed.cap:
            return (
                wrong,
                "wrong-amount",
                f"{Money(settled.amount, payment.token)} were taken, "
                f"at most {Money(signed.cap, payment.token)} are signed",
            )
        if (
            settled.shared
            and sum(share for _, share in settled.shared) + settled.remainder != settled.amount
        ):
            return (
                wrong,
                "wrong-shares",
                "the calls' shares and the remainder do not add up to what was taken",
            )
    if settled.block_time is not None and settled.block_time > expires(signed):
        # Permit2 takes no signature after its deadline: a block that says so is not of this chain.
        return (
            wrong,
            "too-late",
            f"its block is of {settled.block_time:%Y-%m-%d %H:%M:%S} UTC, after the deadline",
        )
    return None


def _lacking(settled: SettlementTx) -> list[str]:
    """What was not decoded of the transaction and so cannot be compared."""
    names = ["nonce", "facilitator", "cap", "block_number", "block_hash", "block_time"]
    # A settlement of nothing moves nothing: there is no transfer to name token and payee.
    if settled.amount:
        names += ["token", "payer", "payee"]
    return [name for name in names if getattr(settled, name) is None]


def _facts(payment: PaymentEvidence, settled: SettlementTx) -> dict[str, Any]:
    return {
        "amount": settled.amount,
        "cap": payment.authorisation.cap,
        "shared": dict(settled.shared),
        "remainder": settled.remainder,
        "payee": settled.payee,
        "transaction": settled.tx_hash,
        "chain_id": settled.chain_id,
        "block_number": settled.block_number,
        "rpcs": settled.rpcs,
    }


def _sentence(payment: PaymentEvidence, settled: SettlementTx) -> str:
    paid, cap = (
        Money(settled.amount or 0, payment.token),
        Money(payment.authorisation.cap, payment.token),
    )
    calls = len(settled.shared)
    session = f" for {calls} calls of one session" if calls > 1 else ""
    # What does not divide evenly among a session's calls is nobody's.
    left = settled.remainder >= max(1, calls)
    rest = (
        f", {Money(settled.remainder, payment.token)} of it for no call that is known"
        if left
        else ""
    )
    payee = payment.authorisation.pay_to
    return f"{paid} (at most {cap}) was paid to {payee[:6]}…{payee[-4:]}{session}{rest}."
