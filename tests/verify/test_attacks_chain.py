"""Attacks 5 (since), 6, 22, 23, 24, 30: what chains and other hosts show of a call, against what
was signed."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chains import (
    DEADLINE,
    FACILITATOR,
    PAYEE,
    RELAY,
    agreed,
    authorisation,
    batch,
    individual,
    member,
    payment,
    settled,
)
from support.signing import (
    RECEIVED,
    SENT,
    SIGNED,
    as_aws,
    evidence,
    host,
    live,
    reader,
    registry,
    reply,
    signer,
    stream,
)

from opg_magic.models import (
    AgreementEvidence,
    AgreementMember,
    Basis,
    Charge,
    Claim,
    Evidence,
    Money,
    Status,
    Trust,
    VerdictStatus,
)
from opg_magic.network.profiles import REGISTRY_CHAIN_ID, SIM_OPG
from opg_magic.protocol import merkle
from opg_magic.verify import AUDIT, DEFAULT, STRICT, judge, requiring
from opg_magic.verify.agreement import independent, normalise
from opg_magic.verify.payment import MARGIN_SECONDS
from opg_magic.verify.settlement import PENDING

OTHER = "0x" + "99" * 20
#: One call, signed once: a signature differs each time that it is made.
CALL = evidence()
PAID = replace(CALL, payment=payment(settled=settled()))
BATCHED = replace(CALL, settlement_mode="batch", settlement=batch(CALL))
ALONE = replace(CALL, settlement_mode="individual", settlement=individual(CALL))
MEANT = live(relay=(REGISTRY_CHAIN_ID, RELAY), relay_senders=frozenset({FACILITATOR}))


def claim(found: Evidence, name: str, trust: Trust | None = None) -> Claim:
    return judge(found, trust=trust or live()).claims[name]


def assert_failed(found: Evidence, name: str, code: str, trust: Trust | None = None) -> Claim:
    """FAILED by exactly that claim under every policy, withheld, never green."""
    for policy in (DEFAULT, STRICT, AUDIT):
        verdict = judge(found, policy=policy, trust=trust or live())
        assert verdict.status is VerdictStatus.FAILED and verdict.withheld
        assert [c.name for c in verdict.failed_claims] == [name]
        assert verdict.claims[name].code == code
        assert verdict.because[0].startswith(f"{name}: ")
    assert verdict.claims[name].reason
    return verdict.claims[name]


def paid(**changes: Any) -> Evidence:
    return evidence(payment=payment(settled=settled(**changes)))


def test_before_any_attack_audit_is_met() -> None:
    whole = replace(BATCHED, payment=payment(settled=settled()))
    verdict = judge(
        whole, policy=AUDIT, trust=as_aws(relay=MEANT.relay, relay_senders=MEANT.relay_senders)
    )
    assert (verdict.status, verdict.label, verdict.because) == (
        VerdictStatus.VERIFIED,
        "VERIFIED",
        (),
    )
    names = ("payment", "settlement")
    assert all(
        verdict.claims[name].passed and verdict.claims[name].basis is Basis.ASKED for name in names
    )


# ----------------------------------------------------------------------------------------- registry


def test_attack_05_what_was_revoked_since_is_said_and_undoes_nothing() -> None:
    since = "PCR revoked on 2026-05-06 12:00 UTC"
    found = evidence(registry=registry(host(), since=since))
    verdict = judge(found, trust=reader(asked=frozenset({"registry"})))
    assert verdict.outcome is VerdictStatus.VERIFIED
    assert (
        since in verdict.claims["registry"].sentence
        and verdict.claims["registry"].facts["since"] == since
    )


@pytest.mark.parametrize("trust", [live(), reader(asked=frozenset({"registry"})), reader()])
def test_attack_06_rpcs_that_disagree_about_one_block(trust: Trust) -> None:
    said = "RPC b gives other hosts or measurements at block 1234 than RPC a"
    found = evidence(registry=registry(host(), disagreement=said))
    assert assert_failed(found, "registry", "rpcs-disagree", trust).reason == said


def test_attack_06_a_single_rpc_is_said() -> None:
    alone = evidence(registry=registry(host(), rpcs=("a",)))
    assert "one RPC says so" in claim(alone, "registry").sentence
    assert "2 RPCs agree" in claim(evidence(), "registry").sentence
    verdict = judge(alone, policy=STRICT, trust=live())
    assert (verdict.status, verdict.withheld) == (VerdictStatus.PARTIAL, True)


# ------------------------------------------------------------------------------------------ payment


def test_a_payment_as_signed_passes_and_says_what_was_paid() -> None:
    good = claim(PAID, "payment")
    assert good.passed and good.basis is Basis.ASKED
    assert good.sentence == "0.0041 sim-OPG (at most 0.1 sim-OPG) was paid to 0x2222…2222."
    assert good.facts["amount"] == 4_100_000_000_000_000 and good.facts["block_number"] == 91
    assert claim(PAID, "payment", reader()).basis is Basis.RECORDED
    assert (
        claim(PAID, "payment", reader(asked=frozenset({"payment", "registry"}))).basis
        is Basis.ASKED
    )


def test_attack_40_the_chain_tells_of_a_payment_and_not_whose_payee_it_is() -> None:
    """The payment chain was asked, the registry was not: that the payee is this host's is its
    author's word."""
    alone = reader(asked=frozenset({"payment"}))
    assert claim(PAID, "payment", alone).basis is Basis.RECORDED
    assert claim(PAID, "payment", replace(alone, payees=frozenset({PAYEE}))).basis is Basis.ASKED
    unknown = replace(PAID, registry=None, host=None)
    for trust in (alone, reader(asked=frozenset({"payment", "registry"}))):
        found = claim(unknown, "payment", trust)
        assert (found.status, found.code) == (Status.MISSING, "no-payee")
    assert claim(unknown, "payment", replace(alone, payees=frozenset({PAYEE}))).basis is Basis.ASKED


@pytest.mark.parametrize("found", [None, settled(status="open", amount=None, tx_hash=None)])
def test_attack_23_a_payment_that_is_not_mined_yet_is_pending_with_an_expiry(found: Any) -> None:
    waiting = claim(evidence(payment=payment(settled=found)), "payment")
    end = datetime.fromtimestamp(DEADLINE + MARGIN_SECONDS, UTC)
    assert (waiting.status, waiting.expires, waiting.basis) == (Status.PENDING, end, None)
    audit = judge(evidence(payment=payment(settled=found)), policy=AUDIT, trust=live())
    assert audit.status is VerdictStatus.PARTIAL and not audit.withheld
    late = live(now=end + timedelta(seconds=1))
    expired = claim(evidence(payment=payment(settled=found)), "payment", late)
    assert (expired.status, expired.code) == (Status.MISSING, "expired")
    assert claim(evidence(payment=payment()), "payment", live(now=end)).status is Status.PENDING


def test_attack_23_absent_past_the_deadline() -> None:
    absent = settled(status="unspent", amount=None)
    assert absent.tx_hash is not None
    assert_failed(evidence(payment=payment(settled=absent)), "payment", "absent")
    assert claim(evidence(payment=payment(charge=Charge.NONE)), "payment").code == "not-charged"


@pytest.mark.parametrize("charge", list(Charge))
@pytest.mark.parametrize(
    "trust", [live(), as_aws(reader=True, asked=frozenset({"registry", "payment"}))]
)
def test_what_a_host_did_not_collect_never_fails_its_answer(charge: Charge, trust: Trust) -> None:
    unspent = settled(status="unspent", tx_hash=None, amount=None)
    found = replace(BATCHED, payment=payment(settled=unspent, charge=charge))
    spared = claim(found, "payment", trust)
    assert (spared.status, spared.code) == (Status.NOT_APPLICABLE, "unspent")
    assert spared.sentence == "Nothing was taken for this call." and "nothing was taken" in (
        spared.reason or ""
    )
    assert judge(found, trust=trust).outcome is VerdictStatus.VERIFIED
    audit = judge(found, policy=AUDIT, trust=trust)
    assert audit.status is VerdictStatus.PARTIAL and not audit.withheld
    assert [reason.partition(":")[0] for reason in audit.because if "payment" in reason] == [
        "payment"
    ]


def test_an_answer_whose_payment_nobody_looked_up_in_time_is_not_withheld() -> None:
    late = live(now=RECEIVED + timedelta(days=30))
    verdict = judge(replace(BATCHED, payment=payment()), policy=AUDIT, trust=late)
    assert verdict.claims["payment"].code == "expired"
    assert verdict.status is VerdictStatus.PARTIAL and not verdict.withheld


@pytest.mark.parametrize("trust", [live(), reader(), reader(asked=frozenset({"payment"}))])
def test_attack_40_a_payment_to_another_payee(trust: Trust) -> None:
    elsewhere = payment(authorisation=authorisation(pay_to=OTHER), settled=settled(payee=OTHER))
    found = assert_failed(evidence(payment=elsewhere), "payment", "other-payee", trust)
    assert (
        OTHER in (found.reason or "")
        and PAYEE in (found.reason or "")
        and "payees" in (found.reason or "")
    )
    # The verifier's own pin is of an address, however it is written.
    known = replace(trust, payees=frozenset({OTHER.upper().replace("X", "x")}))
    assert claim(evidence(payment=elsewhere), "payment", known).status is not Status.FAILED


@pytest.mark.parametrize("trust", [live(), reader(), reader(asked=frozenset({"payment"}))])
def test_a_payment_elsewhere_of_which_nothing_was_taken_vouches_for_nothing_and_accuses_nobody(
    trust: Trust,
) -> None:
    """An operator may be paid elsewhere than the registry says; the author pinned that address, the
    reader did not."""
    elsewhere = payment(authorisation=authorisation(pay_to=OTHER))
    found = claim(evidence(payment=elsewhere), "payment", trust)
    assert (found.status, found.code) == (Status.MISSING, "other-payee") and "payees" in (
        found.reason or ""
    )
    for nothing in (
        replace(elsewhere, charge=Charge.NONE),
        replace(elsewhere, settled=settled(status="unspent", tx_hash=None, amount=None)),
    ):
        assert claim(evidence(payment=nothing), "payment", trust).status is Status.NOT_APPLICABLE


def test_attack_40_the_payee_is_that_of_the_registry_s_entry() -> None:
    """A receipt's host may say what it likes: the entry that was asked counts."""
    mine = host(payment_address=OTHER)
    told = evidence(
        host=mine,
        registry=registry(host()),
        payment=payment(authorisation=authorisation(pay_to=OTHER)),
    )
    assert claim(told, "payment").code == "other-payee"
    bare = replace(told, registry=None)
    assert claim(bare, "payment").status is Status.PENDING
    assert claim(replace(bare, host=None), "payment").status is Status.PENDING


def test_attack_40_a_payment_of_another_time() -> None:
    months = 16 * 30 * 86400
    old = authorisation(valid_after=SIGNED - months - 600, deadline=SIGNED - months)
    block = datetime.fromtimestamp(SIGNED - months - 60, UTC)
    found = payment(authorisation=old, settled=settled(block_time=block))
    for trust in (live(), reader(asked=frozenset({"payment"}))):
        assert_failed(evidence(payment=found), "payment", "other-time", trust)
    sent, received = int(SENT.timestamp()), int(RECEIVED.timestamp())
    for window, code in (
        ({"valid_after": sent + 300}, "not-yet"),
        ({"valid_after": sent + 301}, "other-time"),
        ({"deadline": received - 300}, "not-yet"),
        ({"deadline": received - 301}, "other-time"),
    ):
        bound = payment(authorisation=authorisation(**window))
        assert claim(evidence(payment=bound), "payment").code == code, window
    exact = live(skew_seconds=0)
    assert (
        claim(
            evidence(payment=payment(authorisation=authorisation(valid_after=sent))),
            "payment",
            exact,
        ).code
        == "not-yet"
    )
    # A block before the call has not paid for it.
    early = payment(settled=settled(block_time=SENT - timedelta(seconds=301)))
    assert_failed(evidence(payment=early), "payment", "too-early")
    assert claim(paid(block_time=SENT - timedelta(seconds=300)), "payment").passed


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "reverted"}, "reverted"),
        ({"token": OTHER}, "wrong-token"),
        ({"payer": OTHER}, "wrong-payer"),
        ({"payee": OTHER}, "wrong-payee"),
        ({"facilitator": OTHER}, "wrong-facilitator"),
        ({"amount": authorisation().cap + 1}, "wrong-amount"),
        ({"amount": -1}, "wrong-amount"),
        ({"cap": authorisation().cap + 1}, "wrong-amount"),
        ({"nonce": 5}, "two-nonces"),
        ({"chain_id": 1}, "wrong-chain"),
        ({"block_time": datetime.fromtimestamp(DEADLINE + MARGIN_SECONDS + 1, UTC)}, "too-late"),
        ({"shared": (("0123456789", 5), ("9876543210", 7)), "remainder": 1}, "wrong-shares"),
        ({"status": "perhaps"}, "format"),
    ],
)
@pytest.mark.parametrize("trust", [live(), reader()], ids=["kernel", "reader"])
def test_attack_23_a_payment_that_is_not_what_was_signed(
    change: dict[str, Any], code: str, trust: Trust
) -> None:
    found = settled(**({"amount": 11} if "shared" in change else {}) | change)
    claim = assert_failed(evidence(payment=payment(settled=found)), "payment", code, trust)
    # Sums as people write them.
    assert "base units" not in claim.reason and str(authorisation().cap) not in claim.reason


def test_attack_23_the_token_shown_is_the_token_signed() -> None:
    other = replace(SIM_OPG, address=OTHER)
    assert_failed(
        evidence(payment=payment(token=other, settled=settled())), "payment", "wrong-token"
    )


def test_attack_23_one_transaction_claimed_under_two_nonces() -> None:
    found = assert_failed(replace(PAID, payment_seen_in=("0123456789",)), "payment", "two-nonces")
    assert "0123456789" in (found.reason or "")


@pytest.mark.parametrize(
    "lacking",
    [
        "token",
        "payer",
        "payee",
        "facilitator",
        "nonce",
        "cap",
        "block_number",
        "block_hash",
        "block_time",
    ],
)
def test_what_was_not_decoded_is_not_taken_as_compared(lacking: str) -> None:
    found = claim(paid(**{lacking: None}), "payment")
    assert (found.status, found.code) == (Status.MISSING, "incomplete") and lacking in (
        found.reason or ""
    )


def test_a_spent_nonce_without_its_transaction_is_missing() -> None:
    for lacking in ({"tx_hash": None}, {"amount": None}):
        assert claim(paid(**lacking), "payment").code == "not-found"
    assert claim(evidence(), "payment").code == "none"


def test_a_settlement_of_nothing_has_no_transfer() -> None:
    assert claim(paid(amount=0, token=None, payer=None, payee=None), "payment").passed


def test_calls_of_one_session_share_one_nonce_and_one_transaction() -> None:
    shares, remainder = (("0123456789", 40), ("9876543210", 50)), 10
    good = claim(paid(amount=100, shared=shares, remainder=remainder), "payment")
    assert good.passed and "for 2 calls of one session" in good.sentence
    assert str(Money(10, SIM_OPG)) in good.sentence and good.facts["remainder"] == 10
    # What does not divide is nobody's, and not worth a word.
    dust = claim(
        paid(amount=100, shared=(("0123456789", 40), ("9876543210", 59)), remainder=1), "payment"
    )
    assert dust.passed and "no call" not in dust.sentence


def test_attack_22_an_unknown_payment_is_found_by_its_nonce_later() -> None:
    nothing = evidence(stream(signer(), signed=False), payment=payment(charge=Charge.UNKNOWN))
    verdict = judge(nothing, trust=live())
    assert (
        verdict.status is VerdictStatus.UNVERIFIED
        and verdict.claims["payment"].status is Status.PENDING
    )
    later = replace(nothing, payment=payment(charge=Charge.UNKNOWN, settled=settled()))
    assert judge(later, trust=live()).claims["payment"].passed


# --------------------------------------------------------------------------------------- settlement


@pytest.mark.parametrize("found", [BATCHED, ALONE], ids=["batch", "individual"])
def test_a_settlement_passes_and_says_what_it_was_compared_with(found: Evidence) -> None:
    good = claim(found, "settlement", MEANT)
    assert good.passed and good.basis is Basis.ASKED and "relay" not in good.sentence
    assert good.facts["relay_pinned"] and good.facts["sender_pinned"]
    unnamed = claim(found, "settlement")
    assert unnamed.passed and "not compared with a relay that you name" in unnamed.sentence
    assert claim(found, "settlement", reader()).basis is Basis.RECORDED


def test_a_private_call_has_no_settlement_and_the_default_policy_does_not_mind() -> None:
    verdict = judge(evidence(), trust=live())
    assert (
        verdict.claims["settlement"].status is Status.NOT_APPLICABLE
        and verdict.outcome is VerdictStatus.VERIFIED
    )
    audit = judge(PAID, policy=AUDIT, trust=live())
    assert (audit.status, audit.withheld) == (VerdictStatus.PARTIAL, False)
    assert audit.because == ("settlement: it was asked to be private",)


@pytest.mark.parametrize("mode", ["batch", "individual"])
def test_attack_24_not_yet_batched_is_pending_with_an_expiry(mode: Any) -> None:
    found = evidence(settlement_mode=mode)
    waiting = claim(found, "settlement")
    assert (waiting.status, waiting.expires) == (Status.PENDING, RECEIVED + PENDING)
    expired = claim(found, "settlement", live(now=RECEIVED + PENDING + timedelta(seconds=1)))
    assert (expired.status, expired.code) == (
        Status.MISSING,
        "expired",
    ) and "lost" in expired.sentence
    assert (
        claim(evidence(stream(signer(), signed=False), settlement_mode=mode), "settlement").code
        == "unsigned"
    )


WORD = "0x" + "5a" * 32
GOOD = batch(CALL)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"committed": False}, "absent"),
        ({"root": WORD}, "wrong-proof"),
        ({"proof": GOOD.proof[:-1]}, "wrong-proof"),
        ({"proof": (*GOOD.proof, WORD)}, "wrong-proof"),
        ({"proof": (WORD, *GOOD.proof[1:])}, "wrong-proof"),
        ({"proof": (WORD,) * 65}, "wrong-proof"),
        ({"proof": ("0x5a",)}, "format"),
        ({"root": "rubbish"}, "format"),
        ({"leaf": WORD}, "wrong-leaf"),
        ({"batch_size": 4}, "wrong-proof"),
        ({"relay": OTHER}, "wrong-relay"),
        ({"chain_id": 1}, "wrong-relay"),
        ({"sender": OTHER}, "wrong-sender"),
        ({"sender": None}, "wrong-sender"),
        ({"block_time": SENT - timedelta(hours=1)}, "too-early"),
    ],
)
@pytest.mark.parametrize("trust", [MEANT, replace(MEANT, reader=True)], ids=["kernel", "reader"])
def test_attack_24_a_batch_that_is_not_the_call_s(
    change: dict[str, Any], code: str, trust: Trust
) -> None:
    found = assert_failed(
        replace(BATCHED, settlement=replace(GOOD, **change)), "settlement", code, trust
    )
    by_mathematics = code in ("wrong-proof", "wrong-leaf", "format")
    assert found.basis is (
        Basis.PROVEN if by_mathematics else Basis.RECORDED if trust.reader else Basis.ASKED
    )


def test_attack_24_a_leaf_of_another_call_in_a_true_batch() -> None:
    other = batch(evidence(stream(signer("boris")), by=signer("boris")))
    assert_failed(replace(BATCHED, settlement=other), "settlement", "wrong-leaf")


def test_attack_24_an_inner_node_as_leaf() -> None:
    leaf, *path = [bytes.fromhex(word[2:]) for word in (GOOD.leaf, *GOOD.proof)]
    inner = "0x" + merkle.node_hash(leaf, path[0]).hex()
    shorter = replace(GOOD, leaf=inner, proof=GOOD.proof[1:])
    assert_failed(replace(BATCHED, settlement=shorter), "settlement", "wrong-leaf")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tee_id": WORD}, "wrong-leaf"),
        ({"input_hash": WORD}, "wrong-leaf"),
        ({"output_hash": WORD}, "wrong-leaf"),
        ({"timestamp": 1}, "wrong-leaf"),
        ({"signature": base64.b64encode(b"x" * 256).decode()}, "wrong-leaf"),
        ({"signature": "%"}, "format"),
        ({"committed": False}, "absent"),
        ({"relay": OTHER}, "wrong-relay"),
        ({"sender": OTHER}, "wrong-sender"),
    ],
)
def test_attack_24_an_event_that_is_not_the_call_s(change: dict[str, Any], code: str) -> None:
    found = replace(ALONE, settlement=individual(CALL, **change))
    assert_failed(found, "settlement", code, MEANT)


@given(st.binary(max_size=40), st.integers(0, 5), st.integers(-1, 2**70))
def test_no_proof_but_the_right_one_passes(junk: bytes, position: int, size: int) -> None:
    proof = list(GOOD.proof)
    proof.insert(position, "0x" + junk.hex())
    found = replace(BATCHED, settlement=replace(GOOD, proof=tuple(proof), batch_size=size))
    assert claim(found, "settlement").status is Status.FAILED


def test_a_private_call_that_was_batched_all_the_same_is_checked() -> None:
    assert claim(replace(CALL, settlement=GOOD), "settlement").passed
    assert (
        claim(replace(CALL, settlement=replace(GOOD, leaf=WORD)), "settlement").status
        is Status.FAILED
    )


# ---------------------------------------------------------------------------------------- agreement


def together(
    *members: AgreementMember, quorum: int = 2, asked: int | None = None, text: str = "hi there"
) -> Evidence:
    raw = reply(signer(), text=text)
    return evidence(raw, agreement=agreed(members, quorum, asked))


ANNA, BORIS, CARLA = member("anna"), member("boris"), member("carla")


def test_independent_hosts_that_say_the_same_agree() -> None:
    good = claim(together(ANNA, BORIS, member("carla", "no")), "agreement")
    assert (
        good.passed
        and good.sentence == "2 of 3 independent hosts gave the same answer, byte for byte."
    )
    assert good.facts["groups"] == ((ANNA.receipt_id, BORIS.receipt_id), (CARLA.receipt_id,))
    assert claim(together(ANNA, BORIS), "agreement", reader()).basis is Basis.RECORDED
    assert claim(evidence(), "agreement").status is Status.NOT_APPLICABLE


def test_attack_30_the_same_host_or_owner_twice_counts_once() -> None:
    twice = (ANNA, replace(ANNA, receipt_id="0000000001"))
    same_owner = (ANNA, member("boris", owner=ANNA.owner.upper().replace("0X", "0x")))
    same_host = (ANNA, replace(BORIS, tee_id=ANNA.tee_id))
    for members in (twice, same_owner, same_host):
        assert independent(members) == 1
        found = claim(together(*members), "agreement")
        assert (found.status, found.code) == (Status.MISSING, "hosts-disagree")
        assert found.facts["agree"] == 1
    # By way of a third: two hosts, each of which shares something with it.
    bridge = replace(BORIS, owner=CARLA.owner, tee_id=ANNA.tee_id)
    assert independent((ANNA, CARLA)) == 2 and independent((ANNA, CARLA, bridge)) == 1


def test_attack_30_disagreement_is_no_failure() -> None:
    verdict = judge(together(ANNA, member("boris", "no"), member("carla", "perhaps")), trust=live())
    found = verdict.claims["agreement"]
    assert (found.status, found.code, found.sentence) == (
        Status.MISSING,
        "hosts-disagree",
        "The hosts disagree.",
    )
    assert verdict.outcome is VerdictStatus.VERIFIED and not verdict.withheld
    required = judge(
        together(ANNA, member("boris", "no")),
        policy=requiring(DEFAULT, ["agreement"]),
        trust=live(),
    )
    assert required.status is VerdictStatus.PARTIAL and not required.withheld


def test_attack_40_hosts_that_the_registry_contradicts() -> None:
    told = "the registry that was asked lists owner 0x11 for host boris"
    found = replace(together(ANNA, BORIS), agreement_contradicted=told)
    assert assert_failed(found, "agreement", "other-owner").reason == told
    assert claim(replace(found, agreement=None), "agreement").status is Status.NOT_APPLICABLE


def test_who_is_outvoted_is_told_so() -> None:
    found = claim(together(ANNA, member("boris", "no"), member("carla", "no")), "agreement")
    assert (found.status, found.code) == (Status.MISSING, "outvoted")


def test_white_space_and_unicode_forms_do_not_count_but_case_does() -> None:
    text = "Caf\u00e9  au lait\n"
    assert normalise(text) == normalise(" Cafe\u0301 au\tlait") == "Caf\u00e9 au lait"
    good = claim(
        together(member("anna", text), member("boris", "Cafe\u0301 au lait"), text=text),
        "agreement",
    )
    assert (
        good.passed and good.facts["way"] == "normalised" and "but for white space" in good.sentence
    )
    other = claim(together(member("anna", "Yes"), member("boris", "yes"), text="Yes"), "agreement")
    assert other.code == "hosts-disagree"


def test_json_is_compared_by_value() -> None:
    one, other = '{"a": 1, "b": [1.0, 2]}', '{"b":[1,2.0],"a":1}'
    good = claim(together(member("anna", one), member("boris", other), text=one), "agreement")
    assert good.passed and good.facts["way"] == "json"
    differs = claim(
        together(member("anna", one), member("boris", other.replace("2.0", "3")), text=one),
        "agreement",
    )
    assert differs.code == "hosts-disagree"
    # What has two readings, or numbers that doubles do not hold, is compared as text alone.
    for odd in ('{"a": 1, "a": 2}', '{"a": 9007199254740993}', "[NaN]", "plain"):
        assert member("anna", odd).json_sha256 is None


def test_answers_that_were_not_good_themselves_do_not_count() -> None:
    bad = [member("boris", verdict=v) for v in (VerdictStatus.FAILED, VerdictStatus.UNVERIFIED)]
    for one in bad:
        found = claim(together(ANNA, one), "agreement")
        assert found.code == "hosts-disagree" and found.facts["not_counted"] == (one.receipt_id,)
    partial = member("boris", verdict=VerdictStatus.PARTIAL)
    assert claim(together(ANNA, partial), "agreement").passed
    silent = member("boris", None)
    assert claim(together(ANNA, silent), "agreement").code == "hosts-disagree"


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        (agreed([ANNA, BORIS], asked=1), "format"),
        (agreed([ANNA, BORIS], quorum=3), "format"),
        (agreed([ANNA, BORIS], quorum=0), "format"),
        (AgreementEvidence(2, 2, "g", ()), "format"),
        (agreed([ANNA, BORIS], asked=65), "format"),
        (agreed([BORIS, CARLA]), "not-ours"),
        (agreed([member("anna", "other"), BORIS]), "not-ours"),
        (agreed([replace(ANNA, normal_sha256="00" * 32), BORIS]), "not-ours"),
    ],
)
def test_attack_30_an_agreement_about_another_answer_fails(
    given_: AgreementEvidence, code: str
) -> None:
    found = replace(together(ANNA, BORIS), agreement=given_)
    assert_failed(found, "agreement", code)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), max_size=8))
def test_never_more_independent_hosts_than_hosts_or_owners(pairs: list[tuple[str, str]]) -> None:
    members = [replace(ANNA, tee_id=tee, owner=owner) for tee, owner in pairs]
    count = independent(members)
    assert count <= min(len({tee for tee, _ in pairs}), len({owner for _, owner in pairs}))
    assert independent(reversed(members)) == count and (count >= 1) == bool(pairs)


def test_facts_of_these_claims_are_plain_data() -> None:
    import json

    for found in (PAID, BATCHED, ALONE, together(ANNA, BORIS)):
        for one in judge(found, trust=MEANT).claims.values():
            json.dumps(
                dict(one.facts),
                default=lambda value: list(value) if isinstance(value, tuple) else str(value),
            )
    assert PAYEE


@pytest.mark.parametrize("leaves", [1, 2, 3, 4, 5, 8, 9, 16, 17])
def test_attack_24_a_proof_is_no_longer_than_its_batch_allows(leaves: int) -> None:
    found = batch(CALL, others=leaves - 1)
    steps = len(found.proof)

    def of_size(size: int) -> Claim:
        return claim(replace(BATCHED, settlement=replace(found, batch_size=size)), "settlement")

    assert of_size(leaves).passed
    # The smallest batch in which a leaf can lie that deep, and the largest in which none can.
    fewest = 2 ** (steps - 1) + 1 if steps else 1
    assert of_size(fewest).passed
    short = of_size(fewest - 1)
    if steps:
        assert (short.status, short.code) == (Status.FAILED, "wrong-proof")
        assert f"a proof of {steps} steps, in a batch of {fewest - 1}" in (short.reason or "")
