"""The attacks of docs/trust.md, by number, against crafted bytes: never a crash, never a
green.

Each runs on whole evidence that is VERIFIED (simulated) before the attack, so that what turns it is
the attack."""

from __future__ import annotations

import base64
import json
import unicodedata
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.signing import (
    CHAT,
    COMPLETION,
    RECEIVED,
    SENT,
    SIGNED,
    TOOL_CALL,
    TOOLS,
    Signer,
    attestation,
    chunk,
    chunks,
    evidence,
    host,
    live,
    reader,
    registry,
    reply,
    signed_keys,
    signer,
    sse,
    stream,
)

from opg_magic.models import Evidence, SimulatedStatus, Status, Trust, Verdict, VerdictStatus
from opg_magic.protocol import canonical
from opg_magic.verify import AUDIT, DEFAULT, STRICT, Policy, judge, verify_exchange

ANNA, BORIS = signer("anna"), signer("boris")
WITH_TOOLS = {**CHAT, "tools": TOOLS}
CALLS_TEXT = json.dumps([TOOL_CALL], sort_keys=True)
FORMS = pytest.mark.parametrize("answer", [reply, stream], ids=["plain", "stream"])
POLICIES = pytest.mark.parametrize(
    "policy", [DEFAULT, STRICT, AUDIT], ids=lambda policy: policy.name
)


def verdict(found: Evidence, trust: Trust | None = None, policy: Policy = DEFAULT) -> Verdict:
    return judge(found, trust=trust or live(), policy=policy)


def assert_failed(
    found: Evidence, claim: str, code: str | None = None, trust: Trust | None = None
) -> None:
    """FAILED by exactly that claim, for every policy, withheld, never a green label."""
    for policy in (DEFAULT, STRICT, AUDIT):
        result = verdict(found, trust, policy)
        assert result.status is VerdictStatus.FAILED
        assert [c.name for c in result.failed_claims] == [claim]
        assert result.withheld
        assert "FAILED" in result.label
        assert any(text.startswith(f"{claim}: ") for text in result.because)
        if code is not None:
            assert result.claims[claim].code == code
    assert result.claims[claim].reason


def test_before_any_attack_the_evidence_is_verified() -> None:
    for raw in (reply(ANNA), stream(ANNA)):
        result = verdict(evidence(raw), policy=STRICT)
        assert (result.status, result.simulated, result.label) == (
            SimulatedStatus.SIMULATED,
            True,
            "SIMULATED",
        )
        assert all(
            claim.passed for name, claim in result.claims.items() if name in DEFAULT.required
        )
        assert not result.withheld and not result.because


# ------------------------------------------------------------------------------------------- 1 to 5


def test_attack_01_one_output_byte_changed_in_a_stream() -> None:
    found = chunks(ANNA, pieces=("hi ", "there"))
    found[1]["choices"][0]["delta"]["content"] = "theRe"
    assert_failed(evidence(sse(*found)), "response", "other-output")


def test_attack_01_one_output_byte_changed_in_an_answer() -> None:
    assert_failed(evidence(reply(ANNA, shown="hi therE")), "response", "other-output")
    raw = reply(ANNA, COMPLETION, kind="completion", shown="hi there ")
    assert_failed(evidence(raw, COMPLETION, kind="completion"), "response", "other-output")


def test_attack_01_one_byte_of_a_tool_call_changed() -> None:
    fragments = ({"index": 0, **TOOL_CALL},)
    raw = stream(
        ANNA, WITH_TOOLS, pieces=(), fragments=fragments, output=CALLS_TEXT.replace("Graz", "Linz")
    )
    assert_failed(evidence(raw, WITH_TOOLS), "response", "other-output")


def test_attack_01_the_signed_output_hash_changed_with_the_output() -> None:
    forged = canonical.output_hash("bye").hex()
    raw = stream(ANNA, pieces=("bye",), output="hi there", tee_output_hash=forged)
    assert_failed(evidence(raw), "signature", "bad-signature")


@FORMS
@pytest.mark.parametrize(
    "other",
    [
        {**CHAT, "messages": [{"role": "user", "content": "Say bye"}]},
        {**CHAT, "messages": [{"role": "system", "content": "lie"}, *CHAT["messages"]]},
        {**CHAT, "model": "gpt-5-mini"},
        {**CHAT, "temperature": 0.5},
        {**CHAT, "max_tokens": 51},
        {**CHAT, "stop": ["x"]},
        {**CHAT, "tools": TOOLS},
        {key: value for key, value in CHAT.items() if key != "max_tokens"},
    ],
)
def test_attack_02_the_host_signs_another_request(answer: Any, other: dict[str, Any]) -> None:
    assert_failed(evidence(answer(ANNA, other)), "request", "other-request")


@FORMS
def test_attack_03_a_valid_signature_by_another_registered_host(answer: Any) -> None:
    assert_failed(evidence(answer(BORIS)), "signature", "wrong-tee-id")
    # … which claims to be the host that was asked …
    assert_failed(evidence(answer(BORIS, tee_id=ANNA.tee_id)), "signature", "bad-signature")
    # … or whose key was put in the place of the host's.
    result = verdict(evidence(answer(BORIS), host=host(ANNA), signing_key=BORIS.der))
    assert result.status is VerdictStatus.FAILED and not result.claims["signature"].passed


def test_attack_04_a_key_that_is_not_in_the_registry() -> None:
    assert_failed(evidence(registry=registry(None)), "registry", "not-listed")
    # Another host's entry does not vouch for this key, nor an entry whose id does not fit its key.
    assert_failed(evidence(registry=registry(host(BORIS))), "registry", "not-listed")
    assert_failed(
        evidence(registry=registry(host(ANNA, tee_id=BORIS.tee_id))), "registry", "wrong-entry"
    )
    assert_failed(
        evidence(registry=registry(host(ANNA, tls_certificate=b"other"))), "registry", "wrong-entry"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"active": False, "inactive_reason": "disabled"}, "inactive"),
        ({"active": False, "inactive_reason": "heartbeat too old"}, "inactive"),
        ({"active": False, "pcr_approved": False, "inactive_reason": "PCR revoked"}, "pcr-revoked"),
        ({"pcr_approved": False}, "pcr-revoked"),
        ({"entry": host(ANNA, enabled=False)}, "inactive"),
    ],
)
def test_attack_05_disabled_or_revoked_at_that_block(changes: dict[str, Any], code: str) -> None:
    found = evidence(registry=replace(registry(host(ANNA)), **changes))
    assert_failed(found, "registry", code)
    assert_failed(found, "registry", code, reader(asked=frozenset({"registry"})))
    assert verdict(found).claims["registry"].reason == changes.get(
        "inactive_reason", "disabled" if "entry" in changes else "PCR revoked"
    )


def test_attack_05_active_at_its_block_stays_verified_whatever_came_later() -> None:
    # Evidence of the block before the call; what the registry says now is not part of it.
    assert (
        verdict(evidence(), reader(asked=frozenset({"registry"}))).outcome is VerdictStatus.VERIFIED
    )


# ------------------------------------------------------------------------------------------ 9 to 11


@POLICIES
def test_attack_09_a_truncated_stream_is_withheld(policy: Policy) -> None:
    found = chunks(ANNA)
    for raw in (
        sse(*found[:-1], done=False),
        sse(*found, done=False),
        sse(*found[:-1]),
        b"",
        sse(*found)[:-20],
    ):
        result = verdict(evidence(raw), policy=policy)
        assert (result.status, result.withheld) == (VerdictStatus.FAILED, True)
        assert result.claims["response"].code in {"truncated", "framing"}


@POLICIES
@pytest.mark.parametrize("before", [0, 1, 2])
def test_attack_09_a_host_s_own_error_is_no_failure_of_the_check(
    policy: Policy, before: int
) -> None:
    raw = sse(*chunks(ANNA)[:before], {"error": "Stream processing failed"}, done=False)
    result = verdict(evidence(raw), policy=policy)
    assert result.status is VerdictStatus.UNVERIFIED
    assert result.claims["response"].status is Status.MISSING
    assert result.claims["response"].code == "host-failure"
    assert "host reports failure" in " ".join(result.because)


@POLICIES
@FORMS
def test_attack_10_complete_but_unsigned(answer: Any, policy: Policy) -> None:
    result = verdict(evidence(answer(ANNA, signed=False)), policy=policy)
    assert result.status is VerdictStatus.UNVERIFIED
    assert result.claims["signature"].status is Status.MISSING
    assert result.withheld is policy.withhold_missing


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: sse(*found, found[-1]),
        lambda found: sse(*found, chunk({"content": "and now obey"})),
        lambda found: sse(*found) + sse(chunk({"content": "and now obey"})),
        lambda found: sse(*found[:-1], found[-1], {"x": 1}),
        lambda found: sse(found[0], '{"choices": [', *found[1:]),
        lambda found: sse(*found) + b"data: [DONE]\n\n",
        lambda found: b"event: x\n" + sse(*found),
    ],
)
def test_attack_11_bad_framing(spoil: Any) -> None:
    result = verdict(evidence(spoil(chunks(ANNA))))
    assert (result.status, result.claims["response"].code) == (VerdictStatus.FAILED, "framing")


# ----------------------------------------------------------------------------------------- 12 to 14


@FORMS
@pytest.mark.parametrize(
    ("timestamp", "good"),
    [
        (int(SENT.timestamp()) - 300, True),
        (int(SENT.timestamp()) - 301, False),
        (int(RECEIVED.timestamp()) + 300, True),
        (int(RECEIVED.timestamp()) + 301, False),
        (0, False),
        (2**256 - 1, False),
    ],
)
def test_attack_12_a_time_outside_the_call(answer: Any, timestamp: int, good: bool) -> None:
    found = evidence(answer(ANNA, timestamp=timestamp))
    if good:
        assert verdict(found).outcome is VerdictStatus.VERIFIED
    else:
        assert_failed(found, "freshness", "stale-time")


@pytest.mark.parametrize(
    ("age", "good"),
    [(3600, True), (3601, False), (-300, True), (-301, False)],
    ids=lambda value: str(value),
)
def test_attack_12_the_chain_s_own_bounds_hold_whatever_the_skew(age: int, good: bool) -> None:
    signed = int(RECEIVED.timestamp()) - age
    found = evidence(stream(ANNA, timestamp=signed))
    trust = live(skew_seconds=86400)
    if good:
        assert verdict(found, trust).outcome is VerdictStatus.VERIFIED
    else:
        assert_failed(found, "freshness", "stale-time", trust)


def test_attack_12_the_skew_is_a_setting() -> None:
    found = evidence(stream(ANNA, timestamp=SIGNED + 60))
    assert verdict(found, live(skew_seconds=60)).outcome is VerdictStatus.VERIFIED
    assert_failed(found, "freshness", "stale-time", live(skew_seconds=5))


@FORMS
@pytest.mark.parametrize(
    "bad", [-1, 2**256, str(SIGNED), float(SIGNED), True, False, [SIGNED], ...]
)
def test_attack_13_a_timestamp_of_another_form(answer: Any, bad: Any) -> None:
    assert_failed(evidence(answer(ANNA, tee_timestamp=bad)), "signature", "format")


@FORMS
def test_attack_14_an_old_answer_replayed(answer: Any) -> None:
    assert_failed(evidence(answer(ANNA), signature_seen_in=("01J0",)), "freshness", "replayed")
    # On a fresh ledger its time gives it away.
    later = timedelta(hours=2)
    old = evidence(
        answer(ANNA), sent_at=SENT + later, received_at=RECEIVED + later, attestation=None
    )
    result = verdict(replace(old, registry=registry(host(ANNA), block_time=SENT + later)))
    assert (result.status, result.claims["freshness"].code) == (VerdictStatus.FAILED, "stale-time")


# ---------------------------------------------------------------------------------------- 15 and 16


def junk(signature: str) -> dict[str, Any]:
    return {
        "newline": signature + "\n",
        "space": " " + signature,
        "inside": signature[:10] + "!" + signature[10:],
        "url-safe": signature.replace("+", "-").replace("/", "_") + "-",
        "unpadded": signature.rstrip("="),
        "overpadded": signature + "=",
        # 256 bytes end in one byte of which base64 leaves four bits loose.
        "loose bits": signature[:-3] + chr(ord(signature[-3]) + 1) + "==",
        "empty": "",
        "short": base64.b64encode(base64.b64decode(signature)[:-1]).decode(),
        "long": base64.b64encode(base64.b64decode(signature) + b"\0").decode(),
        "list": [signature],
    }


@FORMS
@pytest.mark.parametrize("how", sorted(junk("AAAA")))
def test_attack_15_a_signature_that_is_not_canonical(answer: Any, how: str) -> None:
    good = signed_keys(ANNA, CHAT, "hi there")["tee_signature"]
    assert_failed(evidence(answer(ANNA, tee_signature=junk(good)[how])), "signature", "format")


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 64])
def test_attack_15_a_salt_of_another_length(salt: int) -> None:
    assert_failed(evidence(stream(ANNA, salt=salt)), "signature", "bad-signature")


def attested_key(der: bytes) -> dict[str, Any]:
    entry = host(ANNA, public_key=der, tee_id=canonical.tee_id(der))
    return {
        "host": entry,
        "signing_key": der,
        "registry": registry(entry),
        "attestation": attestation(entry),
    }


def test_attack_15_a_key_of_less_than_2048_bits() -> None:
    short = Signer(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    assert_failed(evidence(stream(short), **attested_key(short.der)), "signature", "wrong-key")


def test_attack_15_a_key_that_is_not_rsa() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = stream(ANNA, tee_id=canonical.tee_id(der))
    assert_failed(evidence(raw, **attested_key(der)), "signature", "wrong-key")


@pytest.mark.parametrize(
    "der", [b"", b"junk", b"0\x82", signer("anna").der + b"\0", signer("anna").pem.encode()]
)
def test_attack_15_a_key_that_is_not_canonical_der(der: bytes) -> None:
    raw = stream(ANNA, tee_id=canonical.tee_id(der))
    assert_failed(evidence(raw, **attested_key(der)), "signature", "wrong-key")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw.replace(b'"tee_timestamp"', b'"tee_timestamp": 1, "tee_timestamp"'),
        lambda raw: raw.replace(b'"content": "hi ', b'"content": "bye ", "content": "hi '),
        lambda raw: raw.replace(b'"content": "hi ', b'"content": "hi \\ud800'),
        lambda raw: raw.replace(b'"index": 0', b'"index": 0, "x": NaN', 1),
        lambda raw: raw.replace(b'"index": 0', b'"index": 0, "x": -Infinity', 1),
        lambda raw: raw.replace(b'"index": 0', b'"index": 0, "x": 1e999', 1),
        lambda raw: raw.replace(b"hi ", b"hi \xff", 1),
    ],
)
def test_attack_16_an_answer_with_two_readings(spoil: Any) -> None:
    for raw in (stream(ANNA), reply(ANNA).encode()):
        assert spoil(raw) != raw
        result = verdict(evidence(spoil(raw)))
        assert (result.status, result.claims["response"].code) == (
            VerdictStatus.FAILED,
            "ambiguous-json",
        )


@pytest.mark.parametrize(
    "request_text",
    [
        '{"model": "gpt-5", "model": "gpt-5", "messages": []}',
        '{"model": "gpt-5", "messages": [], "temperature": NaN}',
        '{"model": "\\ud800", "messages": []}',
    ],
)
def test_attack_16_a_request_with_two_readings(request_text: str) -> None:
    found = evidence()
    spoilt = replace(found, request=replace(found.request, body=request_text))
    assert_failed(spoilt, "request", "ambiguous-json")


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('"temperature": 1e-07', '"temperature": 0.0000001'),
        ('"temperature": 0', '"temperature": 0.0'),
        ('"temperature": 0', ""),
        ('"temperature": 0, "stop": ""', '"temperature": 0.0, "stop": []'),
        ('"temperature": 0, "max_tokens": null', '"temperature": 0'),
    ],
)
def test_attack_16_two_ways_to_say_one_request_hash_alike(sent: str, signed: str) -> None:
    whole = '{"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]%s}'
    one, other = (whole % (", " + text if text else "") for text in (sent, signed))
    assert verdict(evidence(stream(ANNA, json.loads(other)), one)).outcome is VerdictStatus.VERIFIED


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('"temperature": -0.0', '"temperature": 0.0'),
        (
            '"temperature": 0, "tools": [{"function": {"n": 0}}]',
            '"temperature": 0, "tools": [{"function": {"n": 0.0}}]',
        ),
        ('"temperature": 0, "max_tokens": 0', '"temperature": 0'),
        ('"temperature": 0, "stop": [""]', '"temperature": 0'),
    ],
)
def test_attack_16_two_requests_that_only_look_alike_hash_differently(
    sent: str, signed: str
) -> None:
    whole = '{"model": "gpt-5", "messages": [{"role": "user", "content": "x"}], %s}'
    found = evidence(stream(ANNA, json.loads(whole % signed)), whole % sent)
    assert_failed(found, "request", "other-request")


def test_attack_16_composed_and_decomposed_text_are_two_texts() -> None:
    nfc, nfd = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert_failed(evidence(stream(ANNA, pieces=(nfc,), output=nfd)), "response", "other-output")
    one, other = ({**CHAT, "messages": [{"role": "user", "content": text}]} for text in (nfc, nfd))
    assert_failed(evidence(stream(ANNA, one), other), "request", "other-request")


# ----------------------------------------------------------------------------------------------- 17


@pytest.mark.parametrize(
    "extra",
    [
        {"model": "another"},
        {"usage": {"prompt_tokens": 0}},
        {"images": ["x"]},
        {"citations": [1]},
        {"created": 5, "id": "y"},
    ],
)
def test_attack_17_unsigned_fields_altered(extra: dict[str, Any]) -> None:
    result = verdict(evidence(reply(ANNA, extra=extra)))
    assert result.outcome is VerdictStatus.VERIFIED
    assert {"model", "usage", "finish_reason"} <= set(result.claims["response"].facts["not_signed"])


def test_attack_17_unsigned_keys_of_the_request_are_named() -> None:
    body = {**CHAT, "top_p": 0.1, "seed": 7, "stream": True}
    result = verdict(evidence(stream(ANNA), body))
    assert result.outcome is VerdictStatus.VERIFIED
    claim = result.claims["request"]
    assert claim.facts["not_signed"] == ("seed", "stream", "top_p")
    assert (
        claim.sentence
        == "The host signed the request, but not all of it: no signature covers seed, top_p."
    )
    plain = verdict(evidence(stream(ANNA), {**CHAT, "stream": True})).claims["request"]
    assert plain.sentence == "The host signed the request that was sent."


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_attack_17_another_finish_reason_of_a_text_is_only_the_host_s_word(
    finish_reason: str,
) -> None:
    assert (
        verdict(evidence(reply(ANNA, finish_reason=finish_reason))).outcome
        is VerdictStatus.VERIFIED
    )


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        # A finish reason that contradicts what came.
        (reply(ANNA, finish_reason="tool_calls"), CHAT),
        (reply(ANNA, WITH_TOOLS, finish_reason="tool_calls"), WITH_TOOLS),
        (stream(ANNA, finish_reason="tool_calls"), CHAT),
        (reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL], finish_reason="stop"), WITH_TOOLS),
        # Tool calls that nobody offered: a text that the model wrote, dressed up.
        (reply(ANNA, CHAT, tool_calls=[TOOL_CALL]), CHAT),
        (
            stream(
                ANNA, CHAT, pieces=(), fragments=({"index": 0, **TOOL_CALL},), output=CALLS_TEXT
            ),
            CHAT,
        ),
        # Signed tool calls shown as text.
        (reply(ANNA, WITH_TOOLS, text=CALLS_TEXT), WITH_TOOLS),
        (stream(ANNA, WITH_TOOLS, pieces=(CALLS_TEXT,)), WITH_TOOLS),
    ],
)
def test_attack_17_text_and_tool_calls_are_never_mistaken_for_each_other(
    raw: Any, body: dict[str, Any]
) -> None:
    assert_failed(evidence(raw, body), "response", "ambiguous-reading")


def test_attack_17_each_reading_by_itself_is_verified() -> None:
    fragments = ({"index": 0, **TOOL_CALL},)
    for raw, body, reading in (
        (reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL]), WITH_TOOLS, "tool_calls"),
        (
            stream(ANNA, WITH_TOOLS, pieces=(), fragments=fragments, output=CALLS_TEXT),
            WITH_TOOLS,
            "tool_calls",
        ),
        (reply(ANNA, text=CALLS_TEXT), CHAT, "text"),
        (reply(ANNA, WITH_TOOLS), WITH_TOOLS, "text"),
    ):
        result = verdict(evidence(raw, body))
        assert result.outcome is VerdictStatus.VERIFIED
        assert result.claims["response"].facts["reading"] == reading


def test_attack_17_the_host_s_two_renderings_of_a_tool_call_hash_differently() -> None:
    raw_arguments = {**TOOL_CALL, "function": {"name": "weather", "arguments": '{"city":"Graz"}'}}
    signed = json.dumps([raw_arguments], sort_keys=True)
    found = evidence(
        stream(ANNA, WITH_TOOLS, pieces=(), fragments=({"index": 0, **TOOL_CALL},), output=signed),
        WITH_TOOLS,
    )
    assert_failed(found, "response", "other-output")


def test_attack_17_text_beside_tool_calls_is_not_signed() -> None:
    result = verdict(
        evidence(reply(ANNA, WITH_TOOLS, tool_calls=[TOOL_CALL], shown="trust me"), WITH_TOOLS)
    )
    assert result.outcome is VerdictStatus.VERIFIED
    assert "text beside tool calls" in result.claims["response"].facts["not_signed"]


# ----------------------------------------------------------------------------------------------- 25


FOUND = evidence(reply(ANNA))
STREAMED = evidence()


def edited(found: Evidence, **response: Any) -> Evidence:
    return replace(found, response=replace(found.response, **response))


def frame_with(found: Evidence, **changes: Any) -> str:
    return json.dumps(json.loads(found.response.frame or "") | changes)


@pytest.mark.parametrize("found", [FOUND, STREAMED], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda found: edited(found, text="bye"),
        lambda found: edited(found, text=None),
        lambda found: edited(found, text=""),
        lambda found: edited(found, text="\ud800"),
        lambda found: edited(found, text=None, tool_calls="hi there", finish_reason="tool_calls"),
        lambda found: edited(found, tool_calls=CALLS_TEXT),
        lambda found: edited(found, finish_reason="tool_calls"),
        lambda found: edited(found, finish_reason="length"),
        lambda found: edited(found, frame=frame_with(found, tee_timestamp=SIGNED + 1)),
        lambda found: edited(found, frame=frame_with(found, tee_output_hash="00" * 32)),
        lambda found: edited(found, frame=frame_with(found, tee_request_hash="00" * 32)),
        lambda found: edited(found, frame=frame_with(found, tee_id=BORIS.tee_id)),
        lambda found: edited(found, frame=frame_with(found, tee_signature="AAAA")),
        lambda found: edited(found, frame="{"),
        lambda found: edited(found, frame='{"tee_id": "a", "tee_id": "b"}'),
        lambda found: replace(
            found, request=replace(found.request, body='{"model": "gpt-5", "messages": []}')
        ),
        lambda found: replace(found, request=replace(found.request, body="[]")),
        lambda found: replace(found, request=replace(found.request, canonical="x")),
        lambda found: replace(found, request=replace(found.request, kind="completion")),
        lambda found: replace(found, signing_key=BORIS.der),
        lambda found: replace(found, host=host(BORIS)),
        lambda found: replace(
            found, sent_at=SENT + timedelta(hours=1), received_at=RECEIVED + timedelta(hours=1)
        ),
        lambda found: replace(found, attestation=attestation(host(BORIS))),
    ],
)
def test_attack_25_a_receipt_edited_in_a_signed_field(found: Evidence, edit: Any) -> None:
    for trust in (live(), reader(), reader(pinned_pcrs=frozenset({host(ANNA).pcr_hash}))):
        result = verdict(edit(found), trust)
        assert result.status is VerdictStatus.FAILED and result.withheld


@pytest.mark.parametrize("found", [FOUND, STREAMED], ids=["plain", "stream"])
def test_attack_25_dropping_the_frame_only_loses_the_proof(found: Evidence) -> None:
    assert verdict(edited(found, frame=None)).status is VerdictStatus.UNVERIFIED


def test_attack_25_an_edit_of_what_is_only_recorded_never_verifies_for_a_stranger() -> None:
    invented = replace(FOUND, registry=registry(host(ANNA), block_hash="0x" + "00" * 32))
    result = verdict(invented, reader())
    assert (result.status, result.because) == (
        VerdictStatus.PARTIAL,
        ("registry: only recorded by the author of the receipt",),
    )


def test_a_stranger_s_own_key_and_registry_never_verify() -> None:
    """Anyone can mint a key, an entry that agrees with it, and a simulated enclave of their own."""
    mallory = signer("mallory")
    found = evidence(by=mallory)
    for trust in (Trust(), Trust(reader=True, simulated_roots=frozenset())):
        assert (
            verdict(found, trust).status is VerdictStatus.FAILED
        )  # an attestation under no known root
        bare = verdict(replace(found, attestation=None), trust)
        assert bare.status is VerdictStatus.PARTIAL
        declared = verdict(replace(found, declared_simulated=True), trust)
        assert (declared.status, declared.simulated) == (VerdictStatus.PARTIAL, True)
        assert "VERIFIED" not in bare.label + declared.label


def test_every_attack_on_one_exchange_is_also_seen_without_registry() -> None:
    times = {"sent_at": SENT.timestamp(), "received_at": RECEIVED.timestamp()}
    ok = verify_exchange(dict(CHAT), stream(ANNA).decode(), signing_key=ANNA.der, **times)
    assert ok.status is VerdictStatus.UNVERIFIED
    for raw in (
        stream(ANNA, pieces=("hi",), output="bye"),
        stream(ANNA, {**CHAT, "model": "x"}),
        stream(BORIS),
        stream(ANNA, done=False),
        stream(ANNA, timestamp=SIGNED + 500),
        stream(ANNA, tee_timestamp=True),
        stream(ANNA, salt=20),
    ):
        found = verify_exchange(dict(CHAT), raw.decode(), signing_key=ANNA.der, **times)
        assert found.status is VerdictStatus.FAILED
