"""Attestation documents: whole, forged, broken (attack 18)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from corpus.build import (
    ANNA,
    ASKING,
    BORIS,
    PINNING,
    READING,
    SIM,
    WORD,
    Case,
    F,
    P,
    V,
    case,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from support.signing import (
    NONCE,
    PCR_HASH,
    PCRS,
    SENT,
    SIGNED,
    as_aws,
    authority,
    evidence,
    host,
    registry,
)

from opg_magic.models import (
    AttestationEvidence,
    ChannelEvidence,
    Evidence,
)
from opg_magic.simnet.host.nitro import Authority
from opg_magic.verify._cose import to_be_signed
from opg_magic.verify.nitro import user_data_for


def document(by: Authority | None = None, **changes: Any) -> bytes:
    entry = host(ANNA)
    arguments: dict[str, Any] = {
        "pcrs": PCRS,
        "nonce": NONCE,
        "signing_key_der": entry.public_key,
        "tls_certificate_der": entry.tls_certificate,
        "timestamp_ms": (SIGNED - 60) * 1000,
    }
    return (by or authority()).document(**(arguments | changes))


def offered(raw: bytes, nonce: bytes | None = NONCE, **more: Any) -> Evidence:
    return evidence(attestation=AttestationEvidence(raw, nonce, SENT), **more)


def attestations() -> Iterator[Case]:
    now = datetime.fromtimestamp(SIGNED - 60, UTC)
    stranger = Authority.create(now=now)
    entry = host(ANNA)
    good = document()
    protected, _, payload, signature = cbor2.loads(good)
    bundle, leaf = cbor2.loads(payload)["cabundle"], cbor2.loads(payload)["certificate"]
    bound = user_data_for(entry.public_key, entry.tls_certificate)
    refused: dict[str, bytes] = {
        "another root": document(stranger),
        "expired at its own time": document(expired=True),
        "debug measurements": document(pcrs=dict.fromkeys(range(3), bytes(48))),
        **{f"PCR{i} zero": document(pcrs=PCRS | {i: bytes(48)}) for i in range(3)},
        "the key's hash unset": document(signing_key_der=None),
        "the certificate's hash unset": document(tls_certificate_der=None),
        "another nonce": document(nonce=b"\x09" * 20),
        "no nonce": document(nonce=None),
        "bytes after it": document(trailing=b"\0"),
        "bytes after the payload": document(trailing_payload=b"\xf6"),
        "one field twice": document(duplicate_key="nonce"),
        "one measurement twice": cbor2.dumps(
            [
                protected,
                {},
                payload.replace(b"\x01\x58\x30" + PCRS[1], b"\x00\x58\x30" + PCRS[1]),
                signature,
            ]
        ),
        "another key": document(signing_key_der=BORIS.der),
        "another certificate": document(tls_certificate_der=b"another"),
        "the two hashes exchanged": document(
            user_data=user_data_for(entry.tls_certificate, entry.public_key)
        ),
        "no user data": document(user_data=None),
        "other user data": document(user_data=b"hello"),
        "another multihash": document(user_data=b"\x12\x21" + bound[2:]),
        "other measurements": document(pcrs=PCRS | {2: b"\x0d" * 48}),
        "of yesterday": document(timestamp_ms=(SIGNED - 86405) * 1000),
        "of tomorrow": document(timestamp_ms=(SIGNED + 400) * 1000),
        "another algorithm": document(protected={1: -7}),
        "a key id beside": document(protected={1: -35, 4: b"kid"}),
        "a header with text": document(protected={"1": -35}),
        "a tag": b"\xd2" + good,
        "unprotected headers": cbor2.dumps([protected, {4: b"key"}, payload, signature]),
        "bytes after its header": cbor2.dumps([protected + b"\0", {}, payload, signature]),
        "a short signature": cbor2.dumps([protected, {}, payload, signature[:95]]),
        "a signature of zeros": cbor2.dumps([protected, {}, payload, bytes(96)]),
        "a signature of ones": cbor2.dumps([protected, {}, payload, b"\xff" * 96]),
        "another enclave's signature": document(
            fields={
                "certificate": cbor2.loads(cbor2.loads(document(module_id="i-9-enc9"))[2])[
                    "certificate"
                ]
            }
        ),
        "a bundle out of order": document(
            fields={"cabundle": [bundle[0], bundle[2], bundle[1], bundle[3]]}
        ),
        "a stranger in the bundle": document(fields={"cabundle": [*bundle, bundle[1]]}),
        "a bundle cut short": document(fields={"cabundle": bundle[:-1]}),
        "the root alone": document(fields={"cabundle": bundle[:1]}),
        "a name that is no text": document(
            fields={"cabundle": [bundle[0].replace(b"Not AWS", b"Not\xd4AWS", 1)]}
        ),
        "a serial number in another form": document(
            fields={"certificate": _with_serial(leaf, b"\0" + _serial(leaf)[1:])}
        ),
        "a bundle without root": document(fields={"cabundle": bundle[1:]}),
        "an enclave as authority": _issued_by_an_enclave(now),
        **{f"unreadable, {name}": raw for name, raw in _garbage(good).items()},
        **{f"field {i} wrong": document(fields=fields) for i, fields in enumerate(WRONG_FIELDS)},
    }
    for name, raw in refused.items():
        yield case(f"attack_18 {name}", F, offered(raw), fails="attestation")
    for name, raw in _twins(now).items():
        root = cbor2.loads(cbor2.loads(raw)[2])["cabundle"][0]
        trust = replace(ASKING, aws_root_sha256=hashlib.sha256(root).hexdigest())
        yield case(f"attack_18 {name}", F, offered(raw), trust, fails="attestation")
    for harmless in (True, False):
        for name, raw in _chains(now, harmless=harmless).items():
            # Whose root is the reader's own: nothing but the chain's fault is in its way.
            root = cbor2.loads(cbor2.loads(raw)[2])["cabundle"][0]
            trust = replace(ASKING, aws_root_sha256=hashlib.sha256(root).hexdigest())
            if harmless:
                yield case(name, V, offered(raw), trust)
            else:
                yield case(f"attack_18 {name}", F, offered(raw), trust, fails="attestation")
    for at in range(0, len(good), 211):
        flipped = good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :]
        yield case(f"attack_18 byte {at} changed", F, offered(flipped), fails="attestation")
    yield case("attack_18 no document", P, evidence(attestation=None))
    yield case(
        "attack_18 a foreign simulation", P, offered(document(stranger)), READING, network=SIM
    )
    broken = document(stranger, nonce=b"x")
    yield case(
        "attack_18 a foreign simulation that contradicts itself",
        F,
        offered(broken),
        READING,
        network=SIM,
    )
    yield case(
        "attack_18 a simulation, for its kernel",
        F,
        offered(document(stranger)),
        as_aws(),
        network=SIM,
    )
    yield case("no nonce kept", V, offered(good, None))
    yield case("a nonce of nothing", F, offered(good, b""))
    yield case(
        "further signed fields",
        V,
        offered(document(fields={"later": {"addition": [1, 2.5, None]}})),
    )
    yield case("PCRs 3 to 15 zero", V, offered(document()))
    yield case("milliseconds", V, offered(document(timestamp_ms=(SIGNED - 60) * 1000 + 999)))
    yield case(
        "not in the allow-list",
        F,
        evidence(),
        replace(ASKING, pinned_pcrs=frozenset({WORD})),
        fails="attestation",
    )
    upper = replace(PINNING, pinned_pcrs=frozenset({PCR_HASH.upper().replace("0X", "0x"), WORD}))
    yield case("an allow-list in upper case", V, evidence(), upper)
    yield case(
        "a root in upper case",
        V,
        evidence(),
        replace(PINNING, aws_root_sha256=PINNING.aws_root_sha256),
    )
    for name, pcr in {"upper": PCR_HASH.upper().replace("0X", "0x"), "other": WORD}.items():
        named = replace(entry, pcr_hash=pcr)
        yield case(
            f"attack_18 code named {name}",
            V if name == "upper" else F,
            evidence(host=named, registry=registry(named)),
        )
    yield case(
        "another code in the registry",
        F,
        evidence(registry=registry(replace(entry, pcr_hash=WORD))),
    )
    peer = ChannelEvidence("00" * 32, "TLSv1.3")
    yield case(
        "attack_19 another peer, no host known", F, evidence(host=None, registry=None, channel=peer)
    )


WRONG_FIELDS: list[dict[str, Any]] = [
    {"digest": "SHA256"},
    {"digest": b"SHA384"},
    {"digest": ...},
    {"timestamp": -1},
    {"timestamp": 0},
    {"timestamp": True},
    {"timestamp": float((SIGNED - 60) * 1000)},
    {"timestamp": 2**64 - 1},
    {"timestamp": 2**70},
    {"module_id": ""},
    {"module_id": b"i-0"},
    {"module_id": "\x1b[2J"},
    {"module_id": "i" * 257},
    {"pcrs": {}},
    {"pcrs": ...},
    {"pcrs": [PCRS[0]] * 3},
    {"pcrs": PCRS | {0: b"\x01" * 47}},
    {"pcrs": PCRS | {0: "a" * 48}},
    {"pcrs": PCRS | {32: b"\x01" * 48}},
    {"pcrs": PCRS | {-1: b"\x01" * 48}},
    {"pcrs": PCRS | {"3": b"\x01" * 48}},
    {"pcrs": {True: b"\x01" * 48, 0: b"\x01" * 48, 2: b"\x01" * 48}},
    {"pcrs": {0: PCRS[0], 1: PCRS[1]}},
    {"cabundle": []},
    {"cabundle": ...},
    {"cabundle": [b"x"] * 9},
    {"cabundle": [b""]},
    {"cabundle": ["certificate"]},
    {"cabundle": [b"no certificate"]},
    {"certificate": ...},
    {"certificate": b"no certificate"},
    {"certificate": b"x" * 4097},
    {"user_data": "text"},
    {"user_data": b"x" * 1025},
    {"nonce": 5},
    {"public_key": [b"dummy"]},
]


def _garbage(good: bytes) -> dict[str, bytes]:
    header, _, payload, signature = cbor2.loads(good)
    tagged = payload[:-1] + cbor2.dumps("more") + b"\xc1\x1a\x00\x00\x00\x01\xff"
    deep = payload[:-1] + cbor2.dumps("more") + b"\x81" * 20 + b"\x00\xff"
    return {
        "empty": b"",
        "text": b"hello",
        "truncated": good[:-1],
        "array of three": cbor2.dumps([b"", {}, b""]),
        "a map": cbor2.dumps({"a": 1}),
        "payload not a map": cbor2.dumps([header, {}, cbor2.dumps([1]), bytes(96)]),
        "another map": cbor2.dumps([header, {}, cbor2.dumps({"a": 1}), bytes(96)]),
        "payload as text": cbor2.dumps([header, {}, "payload", bytes(96)]),
        "indefinite envelope": b"\x9f" + good[1:] + b"\xff",
        "deep": b"\x81" * 60_000,
        "a million announced": b"\x9a\x00\x0f\x42\x40",
        "a string beyond the end": b"\x5b" + b"\xff" * 8,
        "too large": b"\x84" + bytes(64 * 1024),
        "a tag inside": cbor2.dumps([header, {}, tagged, signature]),
        "deep inside": cbor2.dumps([header, {}, deep, signature]),
        "a list as a key": cbor2.dumps([header, {}, payload[:-1] + b"\x80\x00\xff", signature]),
        "a map as a key": cbor2.dumps([header, {}, payload[:-1] + b"\xa0\x00\xff", signature]),
        "text that is not UTF-8": cbor2.dumps(
            [header, {}, payload[:-1] + b"\x61\xff\x00\xff", signature]
        ),
        "a simple value": b"\xf8\x10",
        "a reserved length": b"\x1c",
        "a lonely break": b"\xff",
    }


def _sign(key: ec.EllipticCurvePrivateKey, raw: bytes) -> bytes:
    """The same document, signed anew by that key."""
    header, unprotected, payload, _ = cbor2.loads(raw)
    r, s = decode_dss_signature(key.sign(to_be_signed(header, payload), ec.ECDSA(hashes.SHA384())))
    return cbor2.dumps(
        [header, unprotected, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")]
    )


def _serial(der: bytes) -> bytes:
    number = x509.load_der_x509_certificate(der).serial_number
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _with_serial(der: bytes, content: bytes) -> bytes:
    """The same certificate (and so no longer signed) with that content of its serial number."""
    old = _serial(der)
    assert len(old) == len(content) and der.count(old) == 1
    return der.replace(old, content)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _usage(*, sign: bool = True, certify: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certify,
        crl_sign=certify,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by_an_enclave(now: datetime) -> bytes:
    renter = authority()._leaf("i-5-enc5", now)
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.load_der_x509_certificate(renter.certificate).subject
    forged = _certificate(
        key, subject, renter.key, subject, now, [(x509.BasicConstraints(False, None), True)]
    )
    fields = {"certificate": forged, "cabundle": [*renter.bundle, renter.certificate]}
    return _sign(key, document(fields=fields))


def _certificate(
    key: Any,
    subject: x509.Name,
    by: Any,
    issuer: x509.Name,
    now: datetime,
    extensions: list[tuple[x509.ExtensionType, bool]],
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by, algorithm or hashes.SHA384()).public_bytes(serialization.Encoding.DER)


REVOCATIONS = x509.CRLDistributionPoints(
    [
        x509.DistributionPoint(
            [x509.UniformResourceIdentifier("http://crl.test/1.crl")], None, None, None
        )
    ]
)
CLIENTS = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
OTHER_NAME = x509.SubjectAlternativeName([x509.DNSName("enclave.test")])
NONSENSE = x509.UnrecognizedExtension(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x04\x00")
NAMES = x509.NameConstraints([x509.DNSName("enclave.test")], None)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def _twins(now: datetime) -> dict[str, bytes]:
    """Documents with a certificate twice, or two authorities of one name: more than one path could
    be meant."""
    root_key, key, other, leaf_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(4))

    def authority_of(of: Any, named: str, by: Any, issuer: str, length: int | None = None) -> bytes:
        own: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(True, length), True),
            (_usage(sign=False, certify=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(of.public_key()), False),
        ]
        return _certificate(of, _name(named), by, _name(issuer), now, own)

    def made(*bundle: bytes, by: Any = key, issuer: str = "middle") -> bytes:
        plain: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
        end = _certificate(leaf_key, _name("leaf"), by, _name(issuer), now, plain)
        return _sign(leaf_key, document(fields={"certificate": end, "cabundle": list(bundle)}))

    root, middle = (
        authority_of(root_key, "root", root_key, "root"),
        authority_of(key, "middle", root_key, "root"),
    )
    again = authority_of(root_key, "root", root_key, "root")
    return {
        "the root twice": made(root, root, middle),
        "the root at both ends": made(root, middle, root),
        "the root and nothing else, twice": made(root, root, by=root_key, issuer="root"),
        "an authority twice": made(root, middle, middle),
        "another certificate of the root's own key": made(root, again, middle),
        "a second root under the first": made(
            root,
            authority_of(other, "root", root_key, "root"),
            authority_of(key, "middle", other, "root"),
        ),
        "an authority that issues itself": made(
            root,
            authority_of(key, "middle", root_key, "root"),
            authority_of(other, "middle", key, "middle"),
            by=other,
        ),
        "an authority that issues itself where none is allowed": made(
            root,
            authority_of(key, "middle", root_key, "root", 0),
            authority_of(other, "middle", key, "middle"),
            by=other,
        ),
        "authorities in a circle": made(
            root, *(authority_of(key, "middle", key, "middle") for _ in range(7))
        ),
    }


def _chains(now: datetime, *, harmless: bool = False) -> dict[str, bytes]:
    """Documents under a root, one authority and a leaf made here; in each one certificate has one
    fault (or none)."""
    root_key, key, leaf_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(3))
    ca, usage = x509.BasicConstraints(True, 0), _usage(sign=False, certify=True)

    def key_id(of: Any) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(of.public_key())

    def made(
        extensions: list[tuple[x509.ExtensionType, bool]],
        root_extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
        *,
        by: Any = root_key,
        named: str = "root",
        leaf_issuer: str = "middle",
        algorithm: hashes.HashAlgorithm | None = None,
        key: Any = key,
        leaf_algorithm: hashes.HashAlgorithm | None = None,
        leaf_key: Any = leaf_key,
        leaf: list[tuple[x509.ExtensionType, bool]] | None = None,
    ) -> bytes:
        own = [(x509.BasicConstraints(True, None), True), (usage, True), (key_id(root_key), False)]
        root = _certificate(
            root_key, _name("root"), root_key, _name("root"), now, root_extensions or own
        )
        middle = _certificate(key, _name("middle"), by, _name(named), now, extensions, algorithm)
        plain: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
        extensions = plain if leaf is None else leaf
        end = _certificate(
            leaf_key, _name("leaf"), key, _name(leaf_issuer), now, extensions, leaf_algorithm
        )
        return _sign(leaf_key, document(fields={"certificate": end, "cabundle": [root, middle]}))

    whole: list[tuple[x509.ExtensionType, bool]] = [(ca, True), (usage, True), (key_id(key), False)]
    if harmless:
        return {
            "an authority as it should be": made(whole),
            "an authority with an unknown extension": made([*whole, (UNKNOWN, False)]),
            "an authority that does not name its key, as genuine ones of 2022": made(whole[:2]),
            "an authority that names a list of revocations": made([*whole, (REVOCATIONS, False)]),
            "an authority whose key usage is not critical": made(
                [(ca, True), (usage, False), (key_id(key), False)]
            ),
            "an authority without a limit of its path": made(
                [(x509.BasicConstraints(True, None), True), *whole[1:]]
            ),
            "a certificate without extensions": made(whole, leaf=[]),
            "a certificate whose key may sign": made(whole, leaf=[(_usage(), True)]),
            "a certificate for clients": made(whole, leaf=[(CLIENTS, False)]),
            "a certificate with another name": made(whole, leaf=[(OTHER_NAME, False)]),
            "a certificate with an unknown extension": made(whole, leaf=[(UNKNOWN, False)]),
            "a certificate that names its issuer's key": made(
                whole,
                leaf=[
                    (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
                ],
            ),
        }
    short_root: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(True, 0), True),
        (usage, True),
        (key_id(root_key), False),
    ]
    return {
        "an authority that is none": made([(x509.BasicConstraints(False, None), True), *whole[1:]]),
        "an authority that does not say so": made(whole[1:]),
        "an authority that says so without weight": made([(ca, False), *whole[1:]]),
        "an authority that may not certify": made(
            [(ca, True), (_usage(), True), (key_id(key), False)]
        ),
        "an authority without key usage": made([(ca, True), (key_id(key), False)]),
        "an authority with an unknown critical extension": made([*whole, (UNKNOWN, True)]),
        "an authority under a root that allows none": made(whole, short_root),
        "an authority signed by another": made(whole, by=leaf_key),
        "an authority with another issuer": made(whole, named="else"),
        "an authority that the leaf does not name": made(whole, leaf_issuer="else"),
        "an authority for clients": made([*whole, (CLIENTS, False)]),
        "an authority for servers": made(
            [*whole, (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False)]
        ),
        "an authority for some names": made([*whole, (NAMES, True)]),
        "an authority for some names, without weight": made([*whole, (NAMES, False)]),
        "an authority that must name its key": made([*whole[:2], (key_id(key), True)]),
        "an authority that must name its issuer's key": made(
            [
                *whole,
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), True),
            ]
        ),
        "an authority with a key of another curve": made(
            whole, key=ec.generate_private_key(ec.SECP256R1())
        ),
        "an authority with an RSA key": made(whole, key=rsa.generate_private_key(65537, 2048)),
        "an authority signed with SHA-256": made(whole, algorithm=hashes.SHA256()),
        "an authority signed with SHA-512": made(whole, algorithm=hashes.SHA512()),
        "an authority that signs with SHA-256": made(whole, leaf_algorithm=hashes.SHA256()),
        "a certificate on another curve": made(
            whole, leaf_key=ec.generate_private_key(ec.SECP256R1())
        ),
        "a certificate of an authority": made(whole, leaf=[(ca, True)]),
        "a certificate whose key may not sign": made(whole, leaf=[(usage, True)]),
        "a certificate with an unknown critical extension": made(whole, leaf=[(UNKNOWN, True)]),
        "a certificate with nonsense for a name": made(whole, leaf=[(NONSENSE, False)]),
        "an authority with nonsense for a name": made([*whole, (NONSENSE, False)]),
        "a certificate that must be for clients": made(whole, leaf=[(CLIENTS, True)]),
        "a certificate that must have another name": made(whole, leaf=[(OTHER_NAME, True)]),
    }
