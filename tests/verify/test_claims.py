"""Edges of single claims that no attack names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import chains
from support.signing import (
    CHAT,
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

from opg_magic.models import Basis, ChannelEvidence, Claim, Problem, Status, VerdictStatus
from opg_magic.network.profiles import REGISTRY_ADDRESS, REGISTRY_CHAIN_ID
from opg_magic.protocol.canonical import CANONICALISER, NEWER
from opg_magic.verify import channel, freshness, judge, request, response, signature
from opg_magic.verify import registry as registry_claim

ANNA = signer()
LIST_BODY = {
    **CHAT,
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}],
        }
    ],
}


@pytest.mark.parametrize("recorded", [CANONICALISER, NEWER])
@pytest.mark.parametrize("signed", [CANONICALISER, NEWER])
def test_the_request_is_tried_under_every_version_and_the_match_is_recorded(
    recorded: str, signed: str
) -> None:
    found = evidence(stream(ANNA, LIST_BODY, version=signed), LIST_BODY, version=recorded)
    claim = request.check(found, live())
    assert (claim.status, claim.basis) == (Status.PASSED, Basis.PROVEN)
    assert claim.facts["canonicaliser"] == signed
    assert claim.facts["attachments_by_name"] is (signed == NEWER)


def test_where_versions_agree_the_recorded_one_is_named() -> None:
    for version in (CANONICALISER, NEWER):
        claim = request.check(evidence(version=version), live())
        assert claim.facts["canonicaliser"] == version


def test_rules_that_this_verifier_does_not_know_are_no_fault_where_known_ones_match() -> None:
    found = evidence()
    later = replace(found, request=replace(found.request, canonicaliser="2031-01"))
    assert request.check(later, live()).facts["canonicaliser"] == NEWER


def test_a_request_that_no_host_takes_fails() -> None:
    found = evidence()
    body = json.dumps({**CHAT, "messages": [{"role": "developer", "content": "x"}]})
    claim = request.check(replace(found, request=replace(found.request, body=body)), live())
    assert (claim.status, claim.code) == (Status.FAILED, "request")


@pytest.mark.parametrize(
    "code", ["unsigned", "host-failure", "http-status", "timeout", "interrupted"]
)
def test_where_nothing_was_signed_nothing_fails(code: str) -> None:
    found = evidence()
    broken = replace(
        found, response=replace(found.response, frame=None, problem=Problem(code, "why"))
    )
    for check in (request.check, response.check, signature.check, freshness.check):
        claim = check(broken, live())
        assert (claim.status, claim.code, claim.reason) == (Status.MISSING, code, "why")


@pytest.mark.parametrize(
    "code", ["truncated", "framing", "ambiguous-json", "format", "too-large", "news-to-us"]
)
def test_every_other_problem_fails_the_response(code: str) -> None:
    found = evidence()
    broken = replace(found, response=replace(found.response, problem=Problem(code, "why")))
    claim = response.check(broken, live())
    assert (claim.status, claim.code, claim.reason) == (Status.FAILED, code, "why")


def test_a_host_s_own_words_are_bounded_and_carry_no_control_characters() -> None:
    raw = json.dumps({"error": "\x1b[2J\x1b]0;x\x07\n" + "x" * 10_000})
    reason = response.check(evidence(raw), live()).reason or ""
    assert reason.isprintable() and len(reason) < 300
    spoilt = response.check(
        evidence(reply(ANNA, finish_reason="\x1b" * 9999, tool_calls=[{"function": {}}])), live()
    )
    assert (
        spoilt.status is Status.FAILED
        and (spoilt.reason or "").isprintable()
        and len(spoilt.reason or "") < 300
    )


def test_an_empty_answer_is_an_answer() -> None:
    for raw in (reply(ANNA, text=""), stream(ANNA, pieces=())):
        assert response.check(evidence(raw), live()).passed


def test_no_key_is_missing_not_failed() -> None:
    assert signature.check(evidence(signing_key=None), live()).code == "no-key"
    assert signature.check(evidence(signing_key=None), live()).status is Status.MISSING


def test_larger_keys_are_good() -> None:
    large = signer("large", 3072)
    claim = signature.check(evidence(by=large), live())
    assert claim.passed and claim.facts["key_bits"] == 3072


RSA_PSS = (
    Path(__file__).parents[3]
    / "shared"
    / "vectors"
    / "rsa_pss"
    / "rsa_pss_2048_sha256_mgf1_32_test.json"
)


@pytest.mark.skipif(not RSA_PSS.is_file(), reason="the RSA-PSS vectors are not here")
def test_pss_agrees_with_foreign_vectors() -> None:
    seen = {"valid": 0, "invalid": 0, "acceptable": 0}
    for group in json.loads(RSA_PSS.read_text())["testGroups"]:
        key = signature.load_key(
            bytes.fromhex(
                group["publicKeyAsn"] if "publicKeyDer" not in group else group["publicKeyDer"]
            )
        )
        for case in group["tests"]:
            holds = signature.pss_holds(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert holds is (case["result"] == "valid"), case["comment"]
            seen[case["result"]] += 1
    assert seen["valid"] > 20 and seen["invalid"] > 20


def test_freshness_relies_on_one_s_own_clock_or_on_the_receipt_s_times() -> None:
    own = freshness.check(evidence(), live())
    assert own.basis is Basis.ASKED and own.sentence.startswith(
        "The host signed it during the call"
    )
    theirs = freshness.check(evidence(), reader())
    assert theirs.passed and theirs.basis is Basis.RECORDED
    assert "is proven; that it fell inside the call is the author's word" in theirs.sentence


def test_freshness_says_between_which_blocks_that_were_asked_about() -> None:
    def found(**changes: Any) -> Claim:
        paid = chains.payment(settled=chains.settled(**changes.pop("settled", {})))
        asked = changes.pop("asked", frozenset({"registry", "payment"}))
        return freshness.check(evidence(payment=paid, **changes), reader(asked=asked))

    between = found()
    assert between.basis is Basis.ASKED and len(between.facts["between"]) == 2
    assert "registry block (2026-05-04 11:59:30 UTC) and payment block" in between.sentence
    for name in ("registry", "payment"):
        assert found(asked=frozenset({name})).basis is Basis.RECORDED
    assert found(settled={"block_time": None}).basis is Basis.RECORDED
    assert found(settled={"status": "open"}).basis is Basis.RECORDED
    # Blocks that do not enclose the signed time bound nothing; its very second does.
    signed = datetime.fromtimestamp(SIGNED, UTC)
    late = timedelta(microseconds=1)
    assert found(settled={"block_time": signed}).basis is Basis.ASKED
    assert found(settled={"block_time": signed - late}).basis is Basis.RECORDED
    assert found(registry=registry(host(), block_time=signed)).basis is Basis.ASKED
    assert found(registry=registry(host(), block_time=signed + late)).basis is Basis.RECORDED
    assert found(registry=None).basis is Basis.RECORDED


def test_for_a_reader_freshness_neither_makes_nor_breaks_a_verdict() -> None:
    asked = as_aws(reader=True, asked=frozenset({"registry"}))
    verdict = judge(evidence(), trust=asked)
    assert (verdict.status, verdict.claims["freshness"].basis) == (
        VerdictStatus.VERIFIED,
        Basis.RECORDED,
    )
    recorded = judge(evidence(), trust=as_aws(reader=True))
    assert (recorded.status, recorded.because) == (
        VerdictStatus.PARTIAL,
        ("registry: only recorded by the author of the receipt",),
    )


def test_a_fraction_of_a_second_is_not_lost_at_the_edges() -> None:
    half = timedelta(seconds=0.5)
    found = evidence(stream(ANNA, timestamp=int(SENT.timestamp()) - 300), sent_at=SENT + half)
    assert freshness.check(found, live()).code == "stale-time"
    found = evidence(
        stream(ANNA, timestamp=int(RECEIVED.timestamp()) - 3600), received_at=RECEIVED + half
    )
    assert freshness.check(found, live(skew_seconds=9999)).passed


def test_a_receipt_received_long_before_it_was_sent_fails() -> None:
    found = evidence(sent_at=RECEIVED + timedelta(hours=1))
    assert freshness.check(found, live()).status is Status.FAILED


def test_a_registry_entry_of_another_time_does_not_count() -> None:
    for block_time in (SENT - timedelta(seconds=2101), RECEIVED + timedelta(seconds=2101)):
        claim = registry_claim.check(
            evidence(registry=registry(host(), block_time=block_time)), live()
        )
        assert (claim.status, claim.code) == (Status.MISSING, "stale")
    for block_time in (SENT - timedelta(seconds=2100), RECEIVED + timedelta(seconds=2100)):
        assert registry_claim.check(
            evidence(registry=registry(host(), block_time=block_time)), live()
        ).passed


def test_the_registry_that_is_meant_must_have_been_asked() -> None:
    meant = (REGISTRY_CHAIN_ID, REGISTRY_ADDRESS.lower())
    claim = registry_claim.check(evidence(), live(registry=meant))
    assert claim.passed and claim.facts["registry_pinned"]
    assert not registry_claim.check(evidence(), live()).facts["registry_pinned"]
    for other in ((1, REGISTRY_ADDRESS), (REGISTRY_CHAIN_ID, "0x" + "00" * 20)):
        claim = registry_claim.check(evidence(), live(registry=other))
        assert (claim.status, claim.code) == (Status.FAILED, "wrong-registry")


def test_the_registry_claim_stands_without_an_exchange() -> None:
    """The engine asks it before it pays: no request, no answer, the times those of asking."""
    found = replace(evidence(), sent_at=SENT, received_at=SENT)
    claim = registry_claim.check(found, live())
    assert claim.passed and claim.facts["rpcs"] == ("127.0.0.1:1", "127.0.0.1:2")


def test_how_many_rpcs_agreed_is_said() -> None:
    one = registry_claim.check(evidence(registry=registry(host(), rpcs=("a",))), live())
    assert (
        "one RPC says so" in one.sentence
        and "2 RPCs agree" in registry_claim.check(evidence(), live()).sentence
    )


def test_a_validator_s_entry_is_no_host_for_prompts() -> None:
    entry = host(tee_type=1)
    claim = registry_claim.check(evidence(host=entry), live())
    assert (claim.status, claim.code) == (Status.FAILED, "wrong-entry")


def test_without_key_and_host_there_is_nobody_to_look_for() -> None:
    nobody = replace(evidence(), signing_key=None, host=None)
    assert registry_claim.check(nobody, live()).code == "no-key"


def test_an_unknown_approval_is_not_a_refusal() -> None:
    assert registry_claim.check(
        evidence(registry=registry(host(), pcr_approved=None)), live()
    ).passed


def test_the_channel_is_the_registered_certificate_exactly() -> None:
    good = evidence()
    assert channel.check(good, live()).basis is Basis.ASKED
    assert channel.check(good, reader()).basis is Basis.RECORDED
    other = replace(good, channel=ChannelEvidence("00" * 32))
    assert (channel.check(other, live()).status, channel.check(other, live()).code) == (
        Status.FAILED,
        "wrong-certificate",
    )
    assert channel.check(replace(good, channel=None), live()).status is Status.MISSING
    assert channel.check(replace(good, host=None), live()).status is Status.MISSING


def test_facts_hold_no_secret_and_no_bytes() -> None:
    found = evidence()
    for check in (
        request.check,
        response.check,
        signature.check,
        freshness.check,
        registry_claim.check,
        channel.check,
    ):
        json.dumps(dict(check(found, live()).facts))
    assert signature.check(found, live()).facts == {
        "tee_id": ANNA.tee_id,
        "timestamp": SIGNED,
        "key_bits": 2048,
    }


def test_a_host_of_the_right_name_with_another_key_is_refused() -> None:
    """The name alone says nothing: it stands beside the key in a receipt, and could be anyone's."""
    entry = replace(host(ANNA), public_key=signer("boris").der)
    claim = signature.check(evidence(host=entry), live())
    assert (claim.status, claim.code) == (Status.FAILED, "wrong-key")
    assert signature.check(evidence(host=replace(entry, public_key=ANNA.der)), live()).passed


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        (int(SENT.timestamp()) - 301, "signed 301 s before sending; 300 s are allowed"),
        (int(RECEIVED.timestamp()) + 302, "signed 302 s after receiving; 300 s are allowed"),
    ],
)
def test_how_far_off_a_time_is_is_said(signed: int, reason: str) -> None:
    assert freshness.check(evidence(stream(ANNA, timestamp=signed)), live()).reason == reason


def test_the_chain_s_own_bounds_are_said() -> None:
    lenient = live(skew_seconds=9999)
    received = int(RECEIVED.timestamp())
    old = freshness.check(evidence(stream(ANNA, timestamp=received - 3601)), lenient)
    assert old.reason == "signed 3601 s before receiving; the chain allows 3600 s"
    ahead = freshness.check(evidence(stream(ANNA, timestamp=received + 301)), lenient)
    assert ahead.reason == "signed 301 s after receiving; the chain allows 300 s"
