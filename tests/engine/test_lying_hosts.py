"""A host that lies: what each cheat ends in, whether it was charged, and what is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.audit.implied import beside_faults
from opg_magic.audit.notebook import Beside
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt, Status, VerdictStatus

QUESTION = "What does a TEE protect against?"


def ask(session: Session, host: str | None = "anna", *, stream: bool = True, **options):
    tee_id = (
        None
        if host is None
        else next(h["tee_id"] for h in session._simulator(None)["hosts"] if h["name"] == host)
    )
    return session.ask(
        Prompt(text=QUESTION, model="openai/gpt-5", stream=stream),
        CallOptions(host=tee_id, **options),
    )


#: mode -> claims of which one fails, and what is said of the money.
WITHHELD = {
    "change-byte": ({"response"}, Charge.CLAIMED),
    "sign-other-request": ({"request"}, Charge.CLAIMED),
    "foreign-key": ({"signature"}, Charge.CLAIMED),
    "unregistered-key": ({"signature"}, Charge.CLAIMED),
    "borrowed-name": ({"signature"}, Charge.CLAIMED),
    "stale-time": ({"freshness"}, Charge.CLAIMED),
    "future-time": ({"freshness"}, Charge.CLAIMED),
    "text-time": ({"signature", "freshness", "response"}, Charge.CLAIMED),
    "junk-signature": ({"signature"}, Charge.CLAIMED),
    "two-finals": ({"response"}, Charge.CLAIMED),
    "text-after-final": ({"response"}, Charge.CLAIMED),
    "corrupt-line": ({"response"}, Charge.CLAIMED),
    "duplicate-json": ({"response"}, Charge.CLAIMED),
    "cut-stream": ({"response"}, Charge.UNKNOWN),
}


@pytest.mark.parametrize("mode", sorted(WITHHELD))
def test_the_answer_is_withheld_and_kept(session: Session, honest_simnet: RunningSimnet, mode: str):
    claims, charge = WITHHELD[mode]
    honest_simnet.cheat("anna", mode)
    with pytest.raises(errors.AnswerWithheld) as withheld:
        ask(session)
    error = withheld.value
    assert {c.name for c in error.verdict.failed_claims} & claims
    assert error.verdict.status is VerdictStatus.FAILED
    assert error.charge is charge
    receipt = session.ledger.get(error.receipt_id)
    assert receipt.withheld
    with pytest.raises(errors.OpgError):
        session.show(error.receipt_id)
    # Below its card, a reader makes the same error of the receipt.
    error.shown = True
    shown = {
        "output_type": "error",
        "ename": "AnswerWithheld",
        "evalue": str(error),
        "traceback": error._render_traceback_(),
    }
    cell = SimpleNamespace(others=[Beside(shown, 1)])
    assert beside_faults(cell, [receipt]) == []
    labelled = session.show(error.receipt_id, unverified=True)
    assert labelled.verdict.status is VerdictStatus.FAILED


def test_a_failed_host_is_set_aside_and_another_answers(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "change-byte")
    with pytest.raises(errors.AnswerWithheld):
        ask(session, "anna")
    anna = honest_simnet.host("anna").tee_id
    for _ in range(3):
        assert ask(session, None).receipt.document["host"]["tee_id"] != anna
    assert next(row for row in session.overview.hosts() if row.host.tee_id == anna).set_aside


def test_a_host_that_is_named_is_no_longer_set_aside(
    session: Session, honest_simnet: RunningSimnet
):
    prompt, anna = Prompt("Is 561 prime?", "openai/gpt-5"), honest_simnet.host("anna").tee_id
    honest_simnet.cheat("anna", "change-byte")
    for _ in range(2):  # named, and lying again: set aside again
        with pytest.raises(errors.AnswerWithheld):
            ask(session, "anna")
        with pytest.raises(
            errors.HostUnavailable, match=r"2 can be used.* is skipped: the text received"
        ) as too_few:
            session.agree(prompt, hosts=3)
        assert "lists" not in str(too_few.value)
        assert f"--host {anna[:10]}" in too_few.value.hint
    honest_simnet.cheat("anna", "off")
    session.quote(prompt, CallOptions(host=anna))  # to ask for the price is not to use it
    with pytest.raises(errors.HostUnavailable):
        session.agree(prompt, hosts=3)
    assert ask(session, "anna").receipt.document["host"]["tee_id"] == anna
    assert session._engines["sim"][1].hosts.set_aside == {}
    assert len(session.agree(prompt, hosts=3).answers) == 3


def test_attack_14_a_replayed_answer_fails(session: Session, honest_simnet: RunningSimnet):
    first = ask(session)
    honest_simnet.cheat("anna", "replay")
    with pytest.raises(errors.AnswerWithheld) as withheld:
        # The same prompt, so that the replay fits request and response; only its signature was seen
        # before.
        ask(session)
        ask(session)
    failed = {c.name: c for c in withheld.value.verdict.failed_claims}
    assert set(failed) == {"freshness"}
    assert first.receipt.id or failed["freshness"].reason


def test_attack_10_an_unsigned_answer_is_unverified_and_withheld_only_by_strict(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "unsigned-stream")
    answer = ask(session)
    assert answer.verdict.status is VerdictStatus.UNVERIFIED
    with pytest.raises(errors.AnswerWithheld):
        ask(session, policy="strict")


def test_attack_09_the_hosts_own_error_frame_is_a_failure_without_charge(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "error-mid-stream")
    with pytest.raises(errors.HostReportsFailure) as failed:
        ask(session)
    assert failed.value.charge is Charge.NONE
    assert failed.value.verdict.status is VerdictStatus.UNVERIFIED
    assert honest_simnet.settle_now() == []


TERMS = [
    "over-cap", "other-payee", "other-asset", "other-network", "other-facilitator",
    "other-spender", "other-scheme",
]  # fmt: skip


@pytest.mark.parametrize("mode", TERMS)
def test_attack_21_foreign_terms_are_refused_before_signing(
    session: Session, honest_simnet: RunningSimnet, mode: str
):
    honest_simnet.cheat("anna", mode)
    with pytest.raises(errors.PaymentRefused):
        ask(session)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


def test_attack_21_a_deadline_of_thirty_days_is_cut_to_the_users_setting(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "long-deadline")
    answer = ask(session)
    signed = int(answer.receipt.document["payment"]["authorisation"]["deadline"])
    assert (
        0
        < signed - answer.receipt.evidence().sent_at.timestamp()
        <= session.settings.get("max_deadline")
    )


def test_attack_21_a_new_price_on_retry_is_never_signed(
    session: Session, honest_simnet: RunningSimnet
):
    before = honest_simnet.balance(honest_simnet.payer)
    honest_simnet.cheat("anna", "reprice")
    with pytest.raises(errors.OpgError) as refused:
        ask(session)
    assert refused.value.charge in (None, Charge.NONE)
    honest_simnet.settle_now()
    assert honest_simnet.balance(honest_simnet.payer) == before
    assert len(session.ledger.open_authorisations()) <= 1


CHANNEL = ["wrong-certificate", "issued-certificate", "redirect"]


@pytest.mark.parametrize("mode", CHANNEL)
def test_attack_19_another_certificate_or_a_redirect_ends_it_before_the_prompt(
    session: Session, honest_simnet: RunningSimnet, mode: str
):
    honest_simnet.cheat("anna", mode)
    with pytest.raises(errors.HostUnavailable):
        ask(session)
    assert session.ledger.count() == 0
    # Not named, another host answers: nothing that can spend had left.
    assert ask(session, None).verdict.outcome is VerdictStatus.VERIFIED


ATTESTATION = [
    "debug-pcrs", "wrong-nonce", "foreign-root", "expired-attestation", "unset-key-hash",
    "other-key-hash", "other-certificate-hash", "trailing-bytes", "duplicate-cbor",
]  # fmt: skip


@pytest.mark.parametrize("mode", ATTESTATION)
def test_attack_18_a_bad_attestation_is_refused_before_payment(
    session: Session, honest_simnet: RunningSimnet, mode: str
):
    honest_simnet.cheat("anna", mode)
    with pytest.raises(errors.AttestationRefused):
        ask(session)
    assert session.ledger.count() == 0
    assert session.overview.spending().kernel_reserved.amount == 0


def test_attack_18_no_attestation_at_all_is_partial_at_most(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "no-attestation")
    answer = ask(session)
    assert answer.verdict.status is VerdictStatus.PARTIAL
    assert answer.verdict.claims["attestation"].status is Status.MISSING


@pytest.mark.parametrize("known", [False, True])
def test_attack_18_a_call_that_needs_an_attestation_is_not_paid_without_one(
    session: Session, honest_simnet: RunningSimnet, known: bool
):
    """Not even where a call that needed none has just used that host."""
    honest_simnet.cheat("anna", "no-attestation")
    if known:
        ask(session)
    held = session.overview.spending().kernel_reserved
    count = session.ledger.count()
    with pytest.raises(errors.OpgError, match="was not paid"):
        ask(session, policy="strict")
    assert session.ledger.count() == count
    assert session.overview.spending().kernel_reserved == held


@pytest.mark.parametrize("action", ["disable", "revoke"])
def test_attack_05_a_disabled_or_revoked_host_is_not_paid(
    session: Session, honest_simnet: RunningSimnet, action: str
):
    honest_simnet.registry("anna", action)
    with pytest.raises(errors.OpgError):
        ask(session)
    assert session.ledger.count() == 0


def test_attack_22_a_timeout_after_payment_is_unknown_and_never_paid_again(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "take-and-hang")
    with pytest.raises(errors.CallFailed, match="payment unknown") as failed:
        ask(session, timeout=5.0)
    assert failed.value.charge is Charge.UNKNOWN
    assert failed.value.verdict.status is VerdictStatus.UNVERIFIED
    assert len(session.ledger.open_authorisations()) == 1
    receipt = session.ledger.get(failed.value.receipt_id)
    assert receipt.document["payment"]["charge"] == "unknown"


def test_a_closed_session_is_replaced_by_a_new_authorisation_once(
    session: Session, honest_simnet: RunningSimnet
):
    ask(session)
    honest_simnet.cheat("anna", "expired-session")
    answer = ask(session)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert len(session.ledger.open_authorisations()) == 2


def test_a_dead_host_is_passed_over_before_payment(session: Session, honest_simnet: RunningSimnet):
    honest_simnet.cheat("anna", "wrong-certificate")
    honest_simnet.cheat("bruno", "debug-pcrs")
    answer = ask(session, None)
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert answer.receipt.document["host"]["tee_id"] == honest_simnet.host("chidi").tee_id


def test_a_host_that_fails_after_payment_is_not_followed_by_another(
    session: Session, honest_simnet: RunningSimnet
):
    honest_simnet.cheat("anna", "http-500")
    with pytest.raises(errors.HostReportsFailure) as failed:
        ask(session)
    assert failed.value.charge is Charge.NONE
    assert session.ledger.count() == 1


def test_attack_27_hostile_output_is_kept_exactly(session: Session, honest_simnet: RunningSimnet):
    from opg_magic.simnet.cheats.signing import HOSTILE_TEXT

    honest_simnet.cheat("anna", "script-output")
    assert ask(session).text == HOSTILE_TEXT


def test_a_host_whose_gateway_is_dead_is_shown_so_and_tried_last(
    session: Session, honest_simnet: RunningSimnet, capsys
):
    assert {row.attestation for row in session.overview.hosts()} == {"good"}
    honest_simnet.cheat("anna", "gateway-down")
    row = next(row for row in session.overview.hosts() if row.name == "anna")
    # Its front still attests; that does not make it one that answers.
    assert (row.active, row.attestation, row.set_aside) == (True, "unreachable", None)
    assert "answers 502 to /health" in (row.reason or "")
    with pytest.raises(errors.HostUnavailable, match="answers 502"):
        ask(session)
    assert session.overview.spending().kernel_reserved.amount == 0
    hosts = session._engines["sim"][1].hosts
    order = hosts.in_order(hosts._snapshot)
    assert order[-1].tee_id == row.host.tee_id
    # Asked for now, not remembered: once it is back, it is good.
    honest_simnet.cheat("anna", "off")
    assert {row.attestation for row in session.overview.hosts()} == {"good"}


def test_calls_go_on_with_the_others_where_one_gateway_is_dead(
    session: Session, honest_simnet: RunningSimnet
):
    session.overview.hosts()
    engine = session._engines["sim"][1]
    first = engine.hosts.in_order(engine.hosts._snapshot)[0]
    name = honest_simnet.host(first.tee_id).name
    honest_simnet.cheat(name, "gateway-down")
    # Its attestation, seen a moment ago, would still do: the terms of payment are what it cannot
    # give.
    answer = ask(session, None)
    assert answer.receipt.document["host"]["tee_id"] != first.tee_id
    assert first.tee_id not in session._engines["sim"][1].hosts.set_aside
    assert engine.hosts.in_order(engine.hosts._snapshot)[-1].tee_id == first.tee_id
