"""Attestation: each step of a document, the claim, attack 18, and the genuine recordings."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opg_magic.errors import MalformedMessage
from opg_magic.models import (
    AWS_ROOT_SHA256,
    AttestationEvidence,
    Basis,
    ChannelEvidence,
    Claim,
    Evidence,
    Host,
    RegistryEvidence,
    RequestEvidence,
    ResponseEvidence,
    Status,
    Trust,
)
from opg_magic.protocol.keccak import keccak256
from opg_magic.simnet.host.nitro import Authority
from opg_magic.verify import _cose, _works, _x509, attestation
from opg_magic.verify.attestation import check
from opg_magic.verify.examination import examine
from opg_magic.verify.nitro import MAX_DOCUMENT_BYTES, user_data_for

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "nitro"

NOW = datetime(2026, 5, 4, 12, 0, 0, 250_000, tzinfo=UTC)
MS = int((NOW - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
NONCE = bytes(range(20))
KEY, CERTIFICATE = b"the DER of a signing key", b"the DER of a TLS certificate"
PCRS = {0: b"\x0a" * 48, 1: b"\x0b" * 48, 2: b"\x0c" * 48}
PCR_HASH = "0x" + keccak256(PCRS[0] + PCRS[1] + PCRS[2]).hex()

AUTHORITY = Authority.create(now=NOW)
OTHER_AUTHORITY = Authority.create(now=NOW)
ROOTS = frozenset({AUTHORITY.root_sha256})


def document(authority: Authority = AUTHORITY, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "pcrs": PCRS,
        "nonce": NONCE,
        "signing_key_der": KEY,
        "tls_certificate_der": CERTIFICATE,
        "timestamp_ms": MS,
    }
    return authority.document(**(arguments | changes))


GOOD = document()


def host(**changes: Any) -> Host:
    base = Host(
        tee_id="0x" + keccak256(KEY).hex(),
        owner="0x" + "11" * 20,
        payment_address="0x" + "22" * 20,
        endpoint="https://localhost:1",
        public_key=KEY,
        tls_certificate=CERTIFICATE,
        pcr_hash=PCR_HASH,
        tee_type=0,
        enabled=True,
        registered_at=0,
        last_heartbeat_at=0,
    )
    return dataclasses.replace(base, **changes)


def registry(entry: Host | None) -> RegistryEvidence:
    return RegistryEvidence(
        10740, "0x" + "33" * 20, 7, "0x" + "44" * 32, NOW, entry, True, True, "v1", ("rpc",)
    )


def evidence(raw: bytes | None = GOOD, **changes: Any) -> Evidence:
    base = Evidence(
        request=RequestEvidence("chat", "{}", "{}", "2026-04"),
        response=ResponseEvidence(True, "hello", None, "stop", "{}", "00" * 32, 2),
        sent_at=NOW + timedelta(seconds=5),
        received_at=NOW + timedelta(seconds=9),
        signing_key=KEY,
        host=host(),
        registry=registry(host()),
        channel=ChannelEvidence(hashlib.sha256(CERTIFICATE).hexdigest()),
        attestation=AttestationEvidence(raw, NONCE, NOW) if raw is not None else None,
        declared_simulated=True,
    )
    return dataclasses.replace(base, **changes)


TRUST = Trust(simulated_roots=ROOTS, reader=False)


def claim(raw: bytes | None = GOOD, trust: Trust = TRUST, **changes: Any) -> Claim:
    return check(evidence(raw, **changes), trust)


def refused(claim: Claim, code: str) -> None:
    assert (claim.name, claim.status, claim.code) == ("attestation", Status.FAILED, code), (
        claim.reason
    )
    assert claim.reason


def _usage(*, ca: bool, digital_signature: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


# --------------------------------------------------------------------------------------- what holds


def test_every_step_of_a_good_document_passes() -> None:
    report = examine(
        GOOD, simulated_roots=ROOTS, nonce=NONCE, signing_key=KEY, tls_certificate=CERTIFICATE
    )
    assert [step.name for step in report.steps] == [
        "form",
        "root",
        "path",
        "signature",
        "measurements",
        "nonce",
        "binding",
        "signing_key",
        "tls_certificate",
    ]
    assert {step.status for step in report.steps} == {Status.PASSED}
    assert report.accepted
    assert report.simulated
    assert not report.genuine
    assert report.root_sha256 == AUTHORITY.root_sha256


def test_fields_are_read_exactly() -> None:
    found = examine(GOOD).document
    assert found is not None
    assert found.timestamp == NOW
    assert found.pcr_hash == PCR_HASH
    assert found.pcrs[2] == PCRS[2]
    assert found.nonce == NONCE
    assert found.user_data == user_data_for(KEY, CERTIFICATE)
    assert found.user_data[:2] == found.user_data[34:36] == b"\x12\x20"
    assert found.tls_certificate_sha256 == hashlib.sha256(CERTIFICATE).hexdigest()
    assert found.signing_key_sha256 == hashlib.sha256(KEY).hexdigest()


def test_what_is_not_given_to_compare_is_missing() -> None:
    report = examine(GOOD, simulated_roots=ROOTS)
    missing = [step.name for step in report.steps if step.status is Status.MISSING]
    assert missing == ["nonce", "signing_key", "tls_certificate"]
    assert report.accepted


def test_a_root_counts_as_genuine_only_where_it_is_the_pinned_one() -> None:
    report = examine(GOOD, aws_root_sha256=AUTHORITY.root_sha256.upper())
    assert report.genuine
    assert not report.simulated


def test_good_attestation_passes_as_proven_and_simulated() -> None:
    found = claim()
    assert (found.status, found.basis) == (Status.PASSED, Basis.PROVEN)
    assert found.facts["simulated"] is True
    assert found.facts["root_sha256"] == AUTHORITY.root_sha256
    assert found.facts["pcr_hash"] == PCR_HASH
    assert found.facts["binds_certificate"] is True
    assert "simulated" in found.sentence


def test_under_the_pinned_root_it_is_not_simulated() -> None:
    found = claim(trust=Trust(aws_root_sha256=AUTHORITY.root_sha256), declared_simulated=False)
    assert found.passed
    assert found.facts["simulated"] is False
    assert "AWS Nitro enclave" in found.sentence


def test_one_document_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    reading = _cose.read_sign1
    monkeypatch.setattr(_cose, "read_sign1", lambda raw: seen.append(raw) or reading(raw))
    raw = document(nonce=b"asked once")
    for key in (KEY, b"another key", None):
        examine(raw, simulated_roots=ROOTS, signing_key=key)
    assert seen == [raw]


def test_the_cache_does_not_carry_an_answer_to_other_keys() -> None:
    assert examine(GOOD, simulated_roots=ROOTS, signing_key=KEY).accepted
    assert not examine(GOOD, simulated_roots=ROOTS, signing_key=b"another").accepted
    assert not examine(GOOD, signing_key=KEY).accepted


# ---------------------------------------------------------------------------------------- attack 18


def test_attack_18_no_document_is_missing() -> None:
    found = claim(None)
    assert (found.status, found.basis, found.code) == (Status.MISSING, None, "none")


def test_attack_18_other_root() -> None:
    found = claim(document(OTHER_AUTHORITY))
    refused(found, "unknown-root")
    assert found.facts["simulated"] is True


def test_a_root_that_nobody_knows_is_no_simulation() -> None:
    """On the real network a foreign root is a failure, not a simulation that failed."""
    found = claim(document(OTHER_AUTHORITY), declared_simulated=False)
    refused(found, "unknown-root")
    assert found.facts["simulated"] is False
    # Known as simulated it is one, whatever the receipt says of itself.
    assert claim(declared_simulated=False).facts["simulated"] is True


def test_attack_18_simulated_root_never_passes_where_none_is_accepted() -> None:
    refused(claim(trust=Trust(reader=False)), "unknown-root")


def test_attack_18_other_root_that_copies_names_of_a_known_one() -> None:
    """The root is pinned by its bytes: a root of the same name and another key is another root."""
    assert OTHER_AUTHORITY.root_der != AUTHORITY.root_der
    fields = {"cabundle": [AUTHORITY.root_der, *_bundle(document(OTHER_AUTHORITY))[1:]]}
    refused(claim(document(OTHER_AUTHORITY, fields=fields)), "path")


def test_attack_18_expired_at_its_own_time() -> None:
    refused(claim(document(expired=True)), "expired")


def test_attack_18_debug_measurements() -> None:
    refused(claim(document(pcrs={})), "debug-mode")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_attack_18_one_zero_measurement_is_debug_mode(index: int) -> None:
    pcrs = PCRS | {index: bytes(48)}
    refused(claim(document(pcrs=pcrs)), "debug-mode")


def test_attack_18_unset_key_hash() -> None:
    refused(claim(document(signing_key_der=None)), "unset-key")


def test_attack_18_unset_certificate_hash() -> None:
    refused(claim(document(tls_certificate_der=None)), "unset-certificate")


@pytest.mark.parametrize("nonce", [bytes(20), NONCE[:-1], NONCE + b"\0", None, b""])
def test_attack_18_wrong_nonce(nonce: bytes | None) -> None:
    refused(claim(document(nonce=nonce)), "wrong-nonce")


@pytest.mark.parametrize("tail", [b"\0", b"\xf6", b"\xff", GOOD])
def test_attack_18_trailing_cbor(tail: bytes) -> None:
    refused(claim(document(trailing=tail)), "trailing-bytes")


@pytest.mark.parametrize("tail", [b"\0", b"\xf6", b"\xff"])
def test_attack_18_trailing_cbor_inside_the_signed_payload(tail: bytes) -> None:
    refused(claim(document(trailing_payload=tail)), "trailing-bytes")


@pytest.mark.parametrize("name", ["pcrs", "user_data", "certificate", "nonce", "module_id"])
def test_attack_18_duplicate_keys(name: str) -> None:
    refused(claim(document(duplicate_key=name)), "duplicate-keys")


def test_attack_18_duplicate_measurement() -> None:
    twice = b"\xa2" + (b"\x00" + cbor2.dumps(PCRS[0])) * 2
    envelope = cbor2.loads(GOOD)
    placed = envelope[2].replace(cbor2.dumps(cbor2.loads(envelope[2])["pcrs"]), twice)
    assert placed != envelope[2]
    refused(claim(cbor2.dumps([envelope[0], {}, placed, envelope[3]])), "duplicate-keys")


def test_attack_18_wrong_key_hash() -> None:
    refused(claim(document(signing_key_der=b"another key")), "wrong-key")


def test_attack_18_wrong_certificate_hash() -> None:
    refused(claim(document(tls_certificate_der=b"another certificate")), "wrong-certificate")


def test_attack_18_key_and_certificate_hash_exchanged() -> None:
    refused(claim(document(user_data=user_data_for(CERTIFICATE, KEY))), "wrong-key")


BOUND = user_data_for(KEY, CERTIFICATE)


@pytest.mark.parametrize(
    "user_data",
    [
        None,
        b"",
        b"hello",
        bytes(68),
        BOUND + b"\0",
        b"\x12\x21" + BOUND[2:],
        BOUND[:34] + b"\x13\x20" + BOUND[36:],
    ],
)
def test_attack_18_document_that_binds_no_key(user_data: bytes | None) -> None:
    refused(claim(document(user_data=user_data)), "wrong-key")


# ---------------------------------------------------------------------- beside the numbered attacks


def test_signature_by_another_enclave_is_refused() -> None:
    certificate = cbor2.loads(cbor2.loads(document(module_id="i-9-enc9"))[2])["certificate"]
    report = examine(document(fields={"certificate": certificate}), simulated_roots=ROOTS)
    assert not report.accepted
    step = report.step("signature")
    assert step is not None
    assert step.status is Status.FAILED


def test_bundle_out_of_order_or_with_strangers_is_refused() -> None:
    root, region, zonal, instance = _bundle(GOOD)
    stranger = _bundle(document(OTHER_AUTHORITY))[1]
    for bundle in (
        [root, zonal, region, instance],
        [root, region, zonal, instance, stranger],
        [root, region, zonal],
        [root, region, zonal, instance, instance],
        [root],
    ):
        report = examine(document(fields={"cabundle": bundle}), simulated_roots=ROOTS)
        step = report.step("path")
        assert step is not None
        assert (step.status, step.code) == (Status.FAILED, "path"), len(bundle)


def test_an_enclave_cannot_issue_enclaves() -> None:
    """A leaf that signs a further certificate: its key is an enclave's, so anybody who rents one
    could do it."""
    renter = AUTHORITY._leaf("i-5-enc5", NOW)
    key = ec.generate_private_key(ec.SECP384R1())
    issuer = x509.load_der_x509_certificate(renter.certificate)
    forged = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(renter.key, hashes.SHA384())
        .public_bytes(serialization.Encoding.DER)
    )
    fields = {"certificate": forged, "cabundle": [*renter.bundle, renter.certificate]}
    raw = _signed_by(key, document(fields=fields))
    report = examine(raw, simulated_roots=ROOTS)
    assert [step.name for step in report.failures] == ["path"]


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": "SHA256"},
        {"digest": b"SHA384"},
        {"digest": ...},
        {"timestamp": -1},
        {"timestamp": 0},
        {"timestamp": True},
        {"timestamp": float(MS)},
        {"timestamp": str(MS)},
        {"timestamp": 2**64 - 1},
        {"module_id": ""},
        {"module_id": b"i-0"},
        {"module_id": "\x1b[2J"},
        {"module_id": "i" * 257},
        {"pcrs": {}},
        {"pcrs": ...},
        {"pcrs": [PCRS[0]] * 3},
        {"pcrs": PCRS | {0: b"\x01" * 47}},
        {"pcrs": PCRS | {0: b"\x01" * 32}},
        {"pcrs": PCRS | {0: "a" * 48}},
        {"pcrs": PCRS | {32: b"\x01" * 48}},
        {"pcrs": PCRS | {-1: b"\x01" * 48}},
        {"pcrs": PCRS | {"3": b"\x01" * 48}},
        {"pcrs": {True: b"\x01" * 48, 0: b"\x01" * 48, 2: b"\x01" * 48}},
        {"pcrs": {0: PCRS[0], 1: PCRS[1]}},
        {"cabundle": []},
        {"cabundle": ...},
        {"cabundle": [AUTHORITY.root_der] * 9},
        {"cabundle": [b""]},
        {"cabundle": ["certificate"]},
        {"cabundle": [b"no certificate"]},
        {"certificate": ...},
        {"certificate": b"no certificate"},
        {"certificate": AUTHORITY.root_der},
        {"user_data": "text"},
        {"user_data": b"x" * 1025},
        {"nonce": 5},
        {"public_key": [b"dummy"]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_of_another_type_or_size_is_refused(fields: dict[str, Any]) -> None:
    report = examine(document(fields=fields), simulated_roots=ROOTS)
    assert report.document is None
    assert not report.genuine
    assert [(step.name, step.status) for step in report.steps] == [("form", Status.FAILED)]
    assert claim(document(fields=fields)).status is Status.FAILED


@pytest.mark.parametrize(
    "header", [{1: -7}, {1: -36}, {}, {1: -35, 4: b"kid"}, {"1": -35}, {1: "ES384"}]
)
def test_another_algorithm_is_refused(header: dict[Any, Any]) -> None:
    report = examine(document(protected=header), simulated_roots=ROOTS)
    assert [(step.name, step.code) for step in report.failures] == [("form", "header")]


def test_tagged_envelope_is_refused() -> None:
    report = examine(b"\xd2" + GOOD, simulated_roots=ROOTS)
    assert [(step.name, step.code) for step in report.failures] == [("form", "tagged")]


@pytest.mark.parametrize("unprotected", [{1: -35}, {4: b"key"}, {"alg": "none"}])
def test_unprotected_headers_are_refused(unprotected: dict[Any, Any]) -> None:
    protected, _, payload, signature = cbor2.loads(GOOD)
    report = examine(cbor2.dumps([protected, unprotected, payload, signature]))
    assert [(step.name, step.code) for step in report.failures] == [("form", "header")]


def test_protected_header_with_bytes_after_it_is_refused() -> None:
    protected, _, payload, signature = cbor2.loads(GOOD)
    report = examine(cbor2.dumps([protected + b"\0", {}, payload, signature]))
    assert [(step.name, step.code) for step in report.failures] == [("form", "header")]


@pytest.mark.parametrize("size", [0, 95, 97, 104])
def test_signature_of_another_length_is_refused(size: int) -> None:
    protected, _, payload, signature = cbor2.loads(GOOD)
    report = examine(cbor2.dumps([protected, {}, payload, (signature * 2)[:size]]))
    assert [(step.name, step.code) for step in report.failures] == [("form", "signature")]


@pytest.mark.parametrize("numbers", [bytes(96), b"\xff" * 96])
def test_signature_with_numbers_out_of_range_is_refused(numbers: bytes) -> None:
    protected, _, payload, _ = cbor2.loads(GOOD)
    report = examine(cbor2.dumps([protected, {}, payload, numbers]), simulated_roots=ROOTS)
    assert [step.name for step in report.failures] == ["signature"]


UNREADABLE = {
    "empty": b"",
    "text": b"hello",
    "truncated": GOOD[:-1],
    "array of three": cbor2.dumps([b"", {}, b""]),
    "a map": cbor2.dumps({"a": 1}),
    "payload not a map": cbor2.dumps([cbor2.dumps({1: -35}), {}, cbor2.dumps([1]), bytes(96)]),
    "another map": cbor2.dumps([cbor2.dumps({1: -35}), {}, cbor2.dumps({"a": 1}), bytes(96)]),
    "payload as text": cbor2.dumps([cbor2.dumps({1: -35}), {}, "payload", bytes(96)]),
    "indefinite envelope": b"\x9f" + GOOD[1:] + b"\xff",
    "deep": b"\x81" * 60_000,
    "a million announced": b"\x9a\x00\x0f\x42\x40",
    "a string beyond the end": b"\x5b" + b"\xff" * 8,
    "too large": b"\x84" + bytes(64 * 1024),
    "a tag with a regular expression": b"\x84\xd8\x23\x66(a+)+$" + b"\xa0\x40\x40",
    "a shared reference": b"\xd8\x1c\x81\xd8\x1d\x00",
    "base64": base64.b64encode(GOOD),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_bytes_say_so_and_fail_the_claim(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        examine(raw)
    refused(claim(raw), "unreadable")


@pytest.mark.parametrize(
    "tagged", [b"\xc1\x1a\x00\x00\x00\x01", b"\xc2\x41\x05", b"\xd8\x1c\x01", b"\xd8\x23\x61a"]
)
def test_tags_inside_the_payload_are_not_followed(tagged: bytes) -> None:
    """CBOR tags turn into dates, big numbers, references, regular expressions: none is decoded, not
    even unused."""
    envelope = cbor2.loads(GOOD)
    placed = envelope[2][:-1] + cbor2.dumps("more") + tagged + b"\xff"
    with pytest.raises(MalformedMessage, match="tag"):
        examine(cbor2.dumps([envelope[0], {}, placed, envelope[3]]))


def test_deep_nesting_is_not_followed() -> None:
    nested: list[Any] = []
    for _ in range(20):
        nested = [nested]
    with pytest.raises(MalformedMessage, match="depth"):
        examine(document(fields={"later": nested}))


def test_more_bytes_than_a_document_has_are_not_read() -> None:
    with pytest.raises(MalformedMessage) as caught:
        examine(GOOD + bytes(MAX_DOCUMENT_BYTES))
    assert caught.value.code == "too-large"


@pytest.mark.parametrize(
    ("curve", "extension", "critical"),
    [
        (ec.SECP256R1(), x509.BasicConstraints(ca=False, path_length=None), True),
        (ec.SECP384R1(), x509.BasicConstraints(ca=True, path_length=None), True),
        (ec.SECP384R1(), _usage(ca=True, digital_signature=False), True),
        (
            ec.SECP384R1(),
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
            True,
        ),
    ],
    ids=["another curve", "a CA", "a key that may not sign", "an unknown critical extension"],
)
def test_certificate_that_is_no_enclaves_is_refused(
    curve: ec.EllipticCurve, extension: x509.ExtensionType, critical: bool
) -> None:
    der = _leaf(curve, extension, critical)
    report = examine(document(fields={"certificate": der}), simulated_roots=ROOTS)
    assert [(step.name, step.code) for step in report.failures] == [("form", "certificate")]


def test_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    der = _leaf(ec.SECP384R1(), extension, critical=False)
    report = examine(document(fields={"certificate": der}), simulated_roots=ROOTS)
    assert {step.name for step in report.failures} == {"path", "signature"}


def test_further_signed_fields_do_no_harm() -> None:
    assert examine(document(fields={"later": {"addition": 1}}), simulated_roots=ROOTS).accepted


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(position=st.integers(0, len(GOOD) - 1), flip=st.integers(1, 255))
def test_any_single_changed_byte_is_refused_or_unreadable(position: int, flip: int) -> None:
    raw = bytearray(GOOD)
    raw[position] ^= flip
    try:
        report = examine(
            bytes(raw),
            simulated_roots=ROOTS,
            nonce=NONCE,
            signing_key=KEY,
            tls_certificate=CERTIFICATE,
        )
    except MalformedMessage:
        return
    assert not report.accepted
    assert not report.genuine


def test_any_changed_byte_of_the_envelope_around_the_payload_is_refused() -> None:
    """The few bytes that no signature covers, exhaustively: heads of array, strings and map."""
    _, _, payload, _ = cbor2.loads(GOOD)
    start = GOOD.index(payload)
    for position in [*range(start), start + len(payload), start + len(payload) + 1]:
        for value in range(256):
            raw = GOOD[:position] + bytes([value]) + GOOD[position + 1 :]
            if raw == GOOD:
                continue
            with contextlib.suppress(MalformedMessage):
                assert not examine(raw, simulated_roots=ROOTS).accepted, (position, value)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_crash(raw: bytes) -> None:
    assert claim(raw).status is Status.FAILED
    assert claim(b"\x84\x44\xa1\x01\x38\x22\xa0\x58" + raw).status is Status.FAILED


# ----------------------------------------------------------------- the claim against other evidence


def test_a_reader_of_a_foreign_simulation_is_told_so() -> None:
    reader = Trust(reader=True)
    found = claim(trust=reader)
    assert (found.status, found.code) == (Status.MISSING, "foreign-simulation")
    assert found.facts["simulated"] is True


def test_a_foreign_simulation_must_be_consistent_in_itself() -> None:
    reader = Trust(reader=True)
    refused(claim(document(pcrs={}), trust=reader), "unknown-root")
    refused(claim(trust=reader, signing_key=b"another key"), "unknown-root")
    refused(claim(trust=reader, declared_simulated=False), "unknown-root")
    refused(claim(trust=Trust(reader=False)), "unknown-root")


def test_without_a_key_to_compare_nothing_is_claimed() -> None:
    found = claim(signing_key=None)
    assert (found.status, found.code) == (Status.MISSING, "no-key")


def test_without_a_nonce_kept_the_claim_says_so() -> None:
    found = claim(attestation=AttestationEvidence(GOOD, None, NOW))
    assert found.passed
    assert found.facts["nonce"] is False
    assert claim().facts["nonce"] is True


@pytest.mark.parametrize("where", ["host", "registry"])
def test_code_that_the_registry_does_not_name_is_refused(where: str) -> None:
    other = host(pcr_hash="0x" + "ab" * 32)
    changes = {"host": other} if where == "host" else {"registry": registry(other)}
    refused(claim(**changes), "wrong-pcrs")


def test_code_hash_compares_without_regard_to_case() -> None:
    upper = host(pcr_hash="0x" + PCR_HASH[2:].upper())
    assert claim(host=upper, registry=registry(upper)).passed


def test_the_users_allow_list_must_name_the_code() -> None:
    assert claim(
        trust=dataclasses.replace(
            TRUST, pinned_pcrs=frozenset({PCR_HASH.upper().replace("X", "x")})
        )
    ).passed
    refused(
        claim(trust=dataclasses.replace(TRUST, pinned_pcrs=frozenset({"0x" + "00" * 32}))),
        "not-pinned",
    )


def test_document_older_than_a_day_is_refused() -> None:
    late = NOW + attestation.MAX_DOCUMENT_AGE
    assert claim(sent_at=late, received_at=late).passed
    late += timedelta(seconds=1)
    refused(claim(sent_at=late, received_at=late), "stale")


def test_document_from_the_future_is_refused() -> None:
    early = NOW - timedelta(seconds=300)
    assert claim(sent_at=early, received_at=early).passed
    early -= timedelta(seconds=1)
    refused(claim(sent_at=early, received_at=early), "future")


def test_peer_that_presented_another_certificate_is_not_bound() -> None:
    found = claim(channel=ChannelEvidence("ab" * 32))
    assert found.facts["binds_certificate"] is False
    assert "TLS certificate" not in found.sentence


def test_presented_certificate_counts_where_no_entry_is_known() -> None:
    found = claim(host=None, registry=None)
    assert found.passed
    assert found.facts["binds_certificate"] is True
    refused(
        claim(host=None, registry=None, channel=ChannelEvidence("ab" * 32)), "wrong-certificate"
    )


def test_key_alone_is_claimed_where_no_certificate_is_known() -> None:
    found = claim(host=None, registry=None, channel=None)
    assert found.passed
    assert found.facts["binds_certificate"] is False


# -------------------------------------------------------------------------------- genuine documents


def vector(name: str) -> bytes:
    path = VECTORS / name
    if not path.exists():
        pytest.skip("the recorded documents are not here")
    data = path.read_bytes()
    return data if data[0] >= 0x80 else base64.b64decode(data)


def test_genuine_recorded_document_holds_under_the_aws_root() -> None:
    report = examine(vector("opengradient_2026-02-12.bin"))
    assert report.genuine
    assert not report.simulated
    assert report.root_sha256 == AWS_ROOT_SHA256
    assert report.document is not None
    assert report.document.pcr_hash.startswith("0x8082af22")
    assert report.document.timestamp.date().isoformat() == "2026-02-12"
    missing = [step.name for step in report.steps if step.status is Status.MISSING]
    assert missing == ["nonce", "signing_key", "tls_certificate"]


def test_genuine_recorded_document_binds_no_other_key() -> None:
    report = examine(
        vector("opengradient_2026-02-12.bin"), signing_key=KEY, tls_certificate=CERTIFICATE
    )
    assert [step.name for step in report.failures] == ["signing_key", "tls_certificate"]
    assert not report.genuine


def test_genuine_recorded_document_carries_the_nonce_it_was_asked_for() -> None:
    raw = vector("opengradient_2026-02-12.bin")
    nonce = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")
    assert examine(raw, nonce=nonce).genuine
    assert not examine(raw, nonce=bytes(20)).genuine


def test_recorded_debug_document_is_refused_for_its_measurements() -> None:
    report = examine(vector("debug_mode_2022.bin"))
    assert not report.genuine
    assert "debug-mode" in [step.code for step in report.failures]
    # Its path and signature are AWS' own: only what it measured, and what it binds, is wrong.
    assert {step.name for step in report.failures} == {"measurements", "binding"}


def test_simulated_documents_have_the_shape_of_genuine_ones() -> None:
    real, made = (cbor2.loads(raw) for raw in (vector("opengradient_2026-02-12.bin"), GOOD))
    assert real[:2] == made[:2]
    real_fields, made_fields = cbor2.loads(real[2]), cbor2.loads(made[2])
    assert list(real_fields) == list(made_fields)
    assert real[2][:1] == made[2][:1]
    assert [type(v) for v in real_fields.values()] == [type(v) for v in made_fields.values()]
    assert real_fields["pcrs"].keys() == made_fields["pcrs"].keys()
    assert len(real_fields["cabundle"]) == len(made_fields["cabundle"])

    def extensions(der: bytes) -> set[str]:
        found = x509.load_der_x509_certificate(der).extensions
        return {e.oid._name for e in found} - {"cRLDistributionPoints"}

    assert extensions(real_fields["certificate"]) == extensions(made_fields["certificate"])
    for theirs, ours in zip(real_fields["cabundle"], made_fields["cabundle"], strict=True):
        assert extensions(theirs) == extensions(ours)


# ------------------------------------------------------------------------------------------ helpers


def _bundle(raw: bytes) -> list[bytes]:
    return cbor2.loads(cbor2.loads(raw)[2])["cabundle"]


def _leaf(curve: ec.EllipticCurve, extension: x509.ExtensionType, critical: bool) -> bytes:
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "enclave")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(extension, critical=critical)
        .sign(key, hashes.SHA384())
        .public_bytes(serialization.Encoding.DER)
    )


def _signed_by(key: ec.EllipticCurvePrivateKey, raw: bytes) -> bytes:
    protected, _, payload, _ = cbor2.loads(raw)
    signature = key.sign(_cose.to_be_signed(protected, payload), ec.ECDSA(hashes.SHA384()))
    r, s = decode_dss_signature(signature)
    return cbor2.dumps([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


def test_a_path_is_judged_to_the_second_at_both_ends() -> None:
    root, leaf = _x509.load(_works.root(), "root"), _x509.load(_works.leaf(), "leaf")
    second = timedelta(seconds=1)
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    for at in (first, last, last + second - timedelta(microseconds=1)):
        _x509.check_path(leaf, [root], at)
    for at in (first - second, first - timedelta(microseconds=1), last + second):
        with pytest.raises(MalformedMessage) as refused_:
            _x509.check_path(leaf, [root], at)
        assert refused_.value.code == "expired" and "was valid from" in refused_.value.message
