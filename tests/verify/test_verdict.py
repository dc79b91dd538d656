"""The verdict's order, the policies, and what a reader may count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signing import (
    CHAT,
    PCR_HASH,
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

from opg_magic.errors import ConfigError
from opg_magic.models import (
    AWS_ROOT_SHA256,
    CLAIM_NAMES,
    Basis,
    Claim,
    SimulatedStatus,
    Status,
    Trust,
    VerdictStatus,
)
from opg_magic.verify import (
    AUDIT,
    DEFAULT,
    STRICT,
    Policy,
    combine,
    decide,
    judge,
    policy,
    requiring,
)

SEVEN = ("request", "response", "signature", "freshness", "attestation", "registry", "channel")
FACTS: Mapping[str, Mapping[str, Any]] = {
    "attestation": {
        "simulated": False,
        "root_sha256": AWS_ROOT_SHA256,
        "pcr_hash": PCR_HASH,
        "binds_certificate": True,
    },
    "registry": {"rpcs": ("a", "b")},
}
LIVE, READER = Trust(reader=False), Trust(reader=True)


def claims(basis: Basis = Basis.ASKED, **changes: Status | Claim) -> dict[str, Claim]:
    """All seven passed, registry and channel on that basis, but for the changes."""
    found = {}
    for name in SEVEN:
        own = basis if name in {"registry", "channel"} else Basis.PROVEN
        found[name] = Claim(name, Status.PASSED, own, f"{name} holds.", facts=FACTS.get(name, {}))
    for name, change in changes.items():
        found[name] = (
            change
            if isinstance(change, Claim)
            else Claim(name, change, None, f"{name}?", f"why {name}")
        )
    return found


def status(found: Mapping[str, Claim], trust: Trust = LIVE, by: Policy = DEFAULT) -> VerdictStatus:
    return decide(found, policy=by, trust=trust, simulated=False).status


# ---------------------------------------------------------------------------------------- the order


def test_all_passed_under_the_pinned_root_is_verified() -> None:
    verdict = decide(claims(), policy=STRICT, trust=LIVE, simulated=False)
    assert (verdict.status, verdict.label, verdict.because, verdict.withheld) == (
        VerdictStatus.VERIFIED,
        "VERIFIED",
        (),
        False,
    )


@pytest.mark.parametrize("name", CLAIM_NAMES)
def test_one_failed_claim_is_failed_whatever_else_holds_and_whether_required_or_not(
    name: Any,
) -> None:
    found = claims(**{name: Status.FAILED})
    verdict = decide(found, policy=DEFAULT, trust=LIVE, simulated=False)
    assert (verdict.status, verdict.withheld) == (VerdictStatus.FAILED, True)
    assert verdict.because == (f"{name}: why {name}",)
    assert (
        status(claims(**{"signature": Status.MISSING, name: Status.FAILED})) is VerdictStatus.FAILED
    )


@pytest.mark.parametrize("other", [Status.MISSING, Status.PENDING, Status.NOT_APPLICABLE])
def test_without_signature_it_is_unverified(other: Status) -> None:
    assert status(claims(signature=other)) is VerdictStatus.UNVERIFIED


def test_without_registry_and_attestation_it_is_unverified() -> None:
    both = claims(registry=Status.MISSING, attestation=Status.MISSING)
    assert status(both) is VerdictStatus.UNVERIFIED
    assert status(claims(registry=Status.MISSING)) is VerdictStatus.PARTIAL
    assert status(claims(attestation=Status.MISSING)) is VerdictStatus.PARTIAL


@pytest.mark.parametrize("name", [name for name in SEVEN if name != "signature"])
@pytest.mark.parametrize("other", [Status.MISSING, Status.PENDING])
def test_a_required_claim_that_is_open_makes_it_partial_and_is_named(
    name: Any, other: Status
) -> None:
    verdict = decide(claims(**{name: other}), policy=DEFAULT, trust=LIVE, simulated=False)
    assert (verdict.status, verdict.because) == (VerdictStatus.PARTIAL, (f"{name}: why {name}",))
    assert not verdict.withheld


def test_several_open_claims_are_all_named() -> None:
    verdict = decide(
        claims(channel=Status.MISSING, request=Status.PENDING),
        policy=DEFAULT,
        trust=LIVE,
        simulated=False,
    )
    assert verdict.because == ("request: why request", "channel: why channel")


# -------------------------------------------------------------------------------------- attestation


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {**FACTS["attestation"], "root_sha256": "00" * 32}},
        {"facts": {}},
        {"basis": Basis.RECORDED},
        {"facts": {**FACTS["attestation"], "binds_key": False}},
    ],
)
def test_verified_always_needs_the_pinned_root_and_this_very_key(change: dict[str, Any]) -> None:
    weak = replace(claims()["attestation"], **change)
    assert status(claims(attestation=weak)) is VerdictStatus.PARTIAL


def test_a_policy_cannot_do_without_attestation() -> None:
    loose = Policy("mine", frozenset({"signature"}), rpcs=0)
    assert loose.required == DEFAULT.required and loose.rpcs == 1
    assert status(claims(attestation=Status.MISSING), by=loose) is VerdictStatus.PARTIAL


def test_simulated_is_a_flag_that_nothing_unsets() -> None:
    found = evidence()
    verdict = judge(found, trust=live())
    assert (verdict.status, verdict.simulated, verdict.label) == (
        SimulatedStatus.SIMULATED,
        True,
        "SIMULATED",
    )
    declared = judge(replace(found, declared_simulated=True), trust=as_aws())
    assert declared.simulated and declared.label == "SIMULATED"
    bare = judge(replace(found, declared_simulated=True, attestation=None), trust=live())
    assert (bare.status, bare.label) == (VerdictStatus.PARTIAL, "SIMULATED · PARTIAL")
    real = judge(found, trust=as_aws())
    assert (real.status, real.simulated, real.label) == (VerdictStatus.VERIFIED, False, "VERIFIED")


def test_the_real_profile_pointed_at_a_simulator_does_not_turn_green() -> None:
    verdict = judge(evidence(), trust=Trust(reader=False, asked=frozenset({"registry", "channel"})))
    assert verdict.status is VerdictStatus.FAILED
    bare = judge(evidence(attestation=None), trust=Trust(reader=False))
    assert bare.status is VerdictStatus.PARTIAL


# ------------------------------------------------------------------------------------------ readers


def test_for_a_reader_what_is_only_recorded_is_partial() -> None:
    verdict = decide(claims(Basis.RECORDED), policy=DEFAULT, trust=READER, simulated=False)
    assert verdict.status is VerdictStatus.PARTIAL
    assert verdict.because == ("registry: only recorded by the author of the receipt",)
    # The enclave itself names the certificate: the channel needs no witness. Without that it is
    # only recorded too.
    unbound = replace(
        claims()["attestation"], facts={**FACTS["attestation"], "binds_certificate": False}
    )
    verdict = decide(
        claims(Basis.RECORDED, attestation=unbound), policy=DEFAULT, trust=READER, simulated=False
    )
    assert [text.split(":")[0] for text in verdict.because] == ["registry", "channel"]


def test_a_reader_who_asked_the_registry_has_it_verified() -> None:
    trust = reader(asked=frozenset({"registry"}))
    verdict = judge(evidence(), trust=trust)
    assert verdict.outcome is VerdictStatus.VERIFIED
    assert verdict.claims["registry"].basis is Basis.ASKED
    assert (verdict.claims["channel"].status, verdict.claims["channel"].basis) == (
        Status.PASSED,
        Basis.RECORDED,
    )


@pytest.mark.parametrize("pinned", [PCR_HASH, PCR_HASH.upper().replace("0X", "0x")])
def test_a_pinned_code_hash_stands_for_the_registry(pinned: str) -> None:
    trust = reader(pinned_pcrs=frozenset({pinned}))
    assert judge(evidence(), trust=trust).outcome is VerdictStatus.VERIFIED
    assert judge(evidence(registry=None), trust=trust).outcome is VerdictStatus.VERIFIED
    assert (
        judge(evidence(registry=None), trust=trust, policy=STRICT).outcome is VerdictStatus.VERIFIED
    )


def test_a_pinned_code_hash_excuses_no_failure_and_needs_a_proven_attestation() -> None:
    trust = reader(pinned_pcrs=frozenset({PCR_HASH}))
    assert judge(evidence(registry=registry(None)), trust=trust).status is VerdictStatus.FAILED
    assert (
        judge(evidence(registry=None, attestation=None), trust=trust).status
        is VerdictStatus.UNVERIFIED
    )
    other = reader(pinned_pcrs=frozenset({"0x" + "00" * 32}))
    assert judge(evidence(), trust=other).status is VerdictStatus.FAILED


# ----------------------------------------------------------------------------------------- policies


def test_strict_wants_two_rpcs_that_agree() -> None:
    for rpcs, expected in ((("a",), VerdictStatus.PARTIAL), (("a", "a"), VerdictStatus.PARTIAL)):
        found = evidence(registry=registry(host(), rpcs=rpcs))
        verdict = judge(found, trust=live(), policy=STRICT)
        assert (verdict.status, verdict.withheld) == (expected, True)
        assert verdict.because == ("registry: 1 RPC asked, 2 must agree",)
        assert judge(found, trust=live()).outcome is VerdictStatus.VERIFIED
    assert judge(evidence(), trust=live(), policy=STRICT).outcome is VerdictStatus.VERIFIED


@pytest.mark.parametrize("by", [STRICT, AUDIT])
def test_strict_and_audit_withhold_what_lacks_evidence_but_not_what_can_still_come(
    by: Policy,
) -> None:
    extra = {} if by is STRICT else {"payment": Status.PENDING, "settlement": Status.PENDING}
    for other, withheld in ((Status.MISSING, True), (Status.PENDING, False)):
        verdict = decide(claims(channel=other, **extra), policy=by, trust=LIVE, simulated=False)
        assert (verdict.status, verdict.withheld) == (VerdictStatus.PARTIAL, withheld)
    unsigned = decide(claims(signature=Status.MISSING), policy=by, trust=LIVE, simulated=False)
    assert unsigned.withheld


def test_audit_wants_payment_and_settlement() -> None:
    verdict = judge(evidence(), trust=live(), policy=AUDIT)
    assert (verdict.status, verdict.withheld, verdict.policy) == (
        VerdictStatus.PARTIAL,
        True,
        "audit",
    )
    assert [text.split(":")[0] for text in verdict.because] == ["payment", "settlement"]
    assert verdict.claims["payment"].status is Status.MISSING
    # A private call is settled nowhere: whoever requires settlement cannot have it so, but nothing
    # is withheld for it.
    assert verdict.claims["settlement"].status is Status.NOT_APPLICABLE
    private = claims(
        payment=Claim("payment", Status.PASSED, Basis.PROVEN, ""), settlement=Status.NOT_APPLICABLE
    )
    verdict = decide(private, policy=AUDIT, trust=LIVE, simulated=False)
    assert (verdict.status, verdict.withheld, verdict.because) == (
        VerdictStatus.PARTIAL,
        False,
        ("settlement: why settlement",),
    )
    paid = {
        name: Claim(name, Status.PASSED, Basis.PROVEN, "") for name in ("payment", "settlement")
    }  # type: ignore[arg-type]
    assert status(claims(**paid), by=AUDIT) is VerdictStatus.VERIFIED


def test_the_default_policy_hands_out_what_is_unverified_or_partial() -> None:
    for raw in (reply(signer(), signed=False), stream(signer(), signed=False)):
        assert not judge(evidence(raw), trust=live()).withheld
    assert not judge(evidence(attestation=None), trust=live()).withheld


def test_policies_by_name_and_combined() -> None:
    assert [policy(name) for name in ("default", "strict", "audit")] == [DEFAULT, STRICT, AUDIT]
    with pytest.raises(ConfigError):
        policy("lax")
    with pytest.raises(ConfigError):
        Policy("mine", frozenset({"truth"}))
    assert combine() is DEFAULT
    assert combine(DEFAULT, STRICT) is STRICT is combine(STRICT, DEFAULT)
    assert combine(AUDIT, STRICT, DEFAULT) is AUDIT
    paid = Policy("paid", frozenset({"payment"}))
    assert combine(paid, DEFAULT) is paid
    both = combine(paid, STRICT)
    assert (both.name, both.required, both.rpcs, both.withhold_missing) == (
        "paid+strict",
        STRICT.required | {"payment"},
        2,
        True,
    )


policies = st.builds(
    Policy,
    st.just("p"),
    st.frozensets(st.sampled_from(CLAIM_NAMES)),
    st.integers(0, 3),
    st.booleans(),
)


def test_a_policy_of_one_s_own_lists_what_it_requires_besides() -> None:
    own = requiring(DEFAULT, ["payment", "agreement", "request"])
    assert own.required == DEFAULT.required | {"payment", "agreement"}
    assert (own.name, own.rpcs, own.withhold_missing) == ("default+agreement+payment", 1, False)
    assert requiring(STRICT, ["channel"]) is STRICT
    assert combine(own, STRICT).required == own.required and combine(own, STRICT).withhold_missing
    verdict = decide(claims(payment=Status.PENDING), policy=own, trust=LIVE, simulated=False)
    assert verdict.status is VerdictStatus.PARTIAL
    assert [text.split(":")[0] for text in verdict.because] == ["payment", "agreement"]
    with pytest.raises(ConfigError, match="No claim is called truth"):
        requiring(DEFAULT, ["truth"])


@given(policies, policies)
def test_combining_only_tightens(one: Policy, other: Policy) -> None:
    both = combine(one, other)
    for part in (one, other, DEFAULT):
        assert both.required >= part.required
        assert both.rpcs >= part.rpcs
        assert both.withhold_missing or not part.withhold_missing


any_claims = st.fixed_dictionaries(
    {name: st.tuples(st.sampled_from(Status), st.sampled_from(Basis)) for name in SEVEN}
).map(
    lambda found: {
        n: Claim(n, s, b, f"{n}.", facts=FACTS.get(n, {})) for n, (s, b) in found.items()
    }
)  # type: ignore[arg-type]


@given(any_claims, st.booleans(), policies, st.booleans())
def test_whatever_the_claims_the_first_rule_that_applies_decides(
    found: dict[str, Claim], reads: bool, by: Policy, simulated: bool
) -> None:
    verdict = decide(found, policy=by, trust=READER if reads else LIVE, simulated=simulated)
    passed = {name for name, claim in found.items() if claim.passed}
    if any(claim.status is Status.FAILED for claim in found.values()):
        assert verdict.status is VerdictStatus.FAILED
    elif "signature" not in passed or not passed & {"registry", "attestation"}:
        assert verdict.status is VerdictStatus.UNVERIFIED
    else:
        assert verdict.outcome in {VerdictStatus.PARTIAL, VerdictStatus.VERIFIED}
    if verdict.outcome is VerdictStatus.VERIFIED:
        assert passed == set(SEVEN) and found["attestation"].basis is Basis.PROVEN
        assert not reads or found["registry"].basis is not Basis.RECORDED
        assert by.required == DEFAULT.required and by.rpcs <= 2 and not verdict.withheld
    assert bool(verdict.because) is (verdict.outcome is not VerdictStatus.VERIFIED)
    assert verdict.withheld or verdict.status is not VerdictStatus.FAILED
    assert verdict.simulated is simulated and not (simulated and verdict.label == "VERIFIED")


def test_the_same_evidence_gives_the_same_verdict() -> None:
    found = evidence(reply(signer()), CHAT)
    assert judge(found, trust=live()) == judge(found, trust=live())


def test_claims_come_in_their_usual_order_with_one_sentence_each() -> None:
    for raw in (stream(signer()), stream(signer(), signed=False), b"junk", stream(signer("boris"))):
        verdict = judge(evidence(raw, by=signer()), trust=live(), policy=AUDIT)
        assert list(verdict.claims) == [name for name in CLAIM_NAMES if name in verdict.claims]
        for name, claim in verdict.claims.items():
            assert claim.name == name
            assert (
                claim.sentence.endswith(".")
                and claim.sentence[0].isupper()
                and "\n" not in claim.sentence
            )
            assert claim.passed or (claim.reason and claim.code)
            assert (claim.basis is None) is (claim.status not in (Status.PASSED, Status.FAILED))


def test_the_plain_comparison_says_what_the_label_says() -> None:
    """The first line that a user writes: ``answer.verdict.status == "VERIFIED"``."""
    simulated, real = judge(evidence(), trust=live()), judge(evidence(), trust=as_aws())
    assert real.status == "VERIFIED" == real.label and real.outcome is VerdictStatus.VERIFIED
    assert simulated.status != "VERIFIED" and simulated.status != VerdictStatus.VERIFIED
    assert (
        simulated.status == "SIMULATED" == simulated.label and f"{simulated.status}" == "SIMULATED"
    )
    assert json.loads(json.dumps({"status": simulated.status})) == {"status": "SIMULATED"}
    # However it is made, and whatever is replaced in it later.
    assert replace(real, simulated=True).status == "SIMULATED"
    assert replace(simulated, because=("why",)).outcome is VerdictStatus.VERIFIED
    # A failure is one on both: nobody should miss it for a flag.
    failed = judge(
        evidence(attestation=None, registry=registry(None)), trust=live(simulated_roots=frozenset())
    )
    assert replace(failed, simulated=True).status == "FAILED"


def test_a_reason_that_several_claims_share_is_said_once() -> None:
    unsigned = judge(evidence(stream(signer(), signed=False)), trust=live())
    assert [reason.partition(":")[0] for reason in unsigned.because] == ["response", "signature"]
    assert unsigned.why.startswith("response, signature: ") and unsigned.why.count("sign") == 2
    assert judge(evidence(), trust=live()).why == ""
