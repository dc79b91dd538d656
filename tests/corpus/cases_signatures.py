"""Signatures, keys and times."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from corpus.build import (
    ANNA,
    ASKING,
    BORIS,
    Case,
    F,
    V,
    case,
)
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.signing import (
    CHAT,
    RECEIVED,
    SENT,
    Signer,
    attestation,
    evidence,
    host,
    registry,
    signed_keys,
    stream,
)

from opg_magic.protocol import canonical


def signatures() -> Iterator[Case]:
    yield case(
        "attack_03 signed by another host",
        F,
        evidence(stream(BORIS, tee_id=ANNA.tee_id)),
        fails="signature",
    )
    yield case(
        "attack_03 another registered host answers", F, evidence(stream(BORIS)), fails="signature"
    )
    good = signed_keys(ANNA, CHAT, "hi there")["tee_signature"]
    junk: dict[str, Any] = {
        "newline": good + "\n",
        "space": " " + good,
        "inside": good[:10] + "!" + good[10:],
        "url-safe": good.replace("+", "-").replace("/", "_") + "-",
        "unpadded": good.rstrip("="),
        "overpadded": good + "=",
        "loose bits": good[:-3] + chr(ord(good[-3]) + 1) + "==",
        "empty": "",
        "short": base64.b64encode(base64.b64decode(good)[:-1]).decode(),
        "long": base64.b64encode(base64.b64decode(good) + b"\0").decode(),
        "list": [good],
        "huge": "A" * 2744,
    }
    for name, value in junk.items():
        yield case(
            f"attack_15 signature {name}",
            F,
            evidence(stream(ANNA, tee_signature=value)),
            fails="signature",
        )
    for salt in (0, 20, 31, 33, 64):
        yield case(
            f"attack_15 salt of {salt}", F, evidence(stream(ANNA, salt=salt)), fails="signature"
        )
    zeros, ones = base64.b64encode(bytes(256)).decode(), base64.b64encode(b"\xff" * 256).decode()
    for name, value in {"zeros": zeros, "ones": ones}.items():
        yield case(
            f"attack_15 signature of {name}",
            F,
            evidence(stream(ANNA, tee_signature=value)),
            fails="signature",
        )
    for name, edits in {
        "another output hash": {"tee_output_hash": "00" * 32},
        "upper case": {"tee_output_hash": "AB" * 32},
        "a short hash": {"tee_request_hash": "ab"},
        "an upper-case id": {"tee_id": "0x" + "AB" * 32},
        "an id of a number": {"tee_id": 5},
    }.items():
        yield case(f"attack_15 {name}", F, evidence(stream(ANNA, **edits)))
    short = Signer(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    yield case(
        "attack_15 a key of 1024 bits",
        F,
        evidence(stream(short), **_attested(short.der)),
        fails="signature",
    )
    odd = Signer(rsa.generate_private_key(public_exponent=3, key_size=2048))
    yield case("a key with exponent 3", V, evidence(by=odd))
    unequal = Signer(rsa.generate_private_key(public_exponent=65537, key_size=2050))
    yield case("a key of 2050 bits", V, evidence(by=unequal))
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    ders = {
        "on a curve": elliptic.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "of nothing": b"",
        "of junk": b"junk",
        "cut short": b"0\x82",
        "with more after it": ANNA.der + b"\0",
        "as PEM": ANNA.pem.encode(),
        "with a long length": b"\x30\x83\x00" + ANNA.der[2:],
        "of exponent 1": _with_exponent(ANNA, 1),
        "of an even exponent": _with_exponent(ANNA, 4),
    }
    for name, der in ders.items():
        raw = stream(ANNA, tee_id=canonical.tee_id(der))
        yield case(f"attack_15 a key {name}", F, evidence(raw, **_attested(der)), fails="signature")


def _with_exponent(by: Signer, exponent: int) -> bytes:
    """The key with another exponent of one byte: DER by hand, for no library makes it."""
    der = by.der.replace(b"\x02\x03\x01\x00\x01", b"\x02\x01" + bytes([exponent]))
    for at in (2, 21, 26):  # the three lengths around it, two bytes shorter
        size = int.from_bytes(der[at : at + 2], "big") - 2
        der = der[:at] + size.to_bytes(2, "big") + der[at + 2 :]
    return der


def _attested(der: bytes) -> dict[str, Any]:
    entry = host(ANNA, public_key=der, tee_id=canonical.tee_id(der))
    return {
        "host": entry,
        "signing_key": der,
        "registry": registry(entry),
        "attestation": attestation(entry),
    }


def times() -> Iterator[Case]:
    sent, received = int(SENT.timestamp()), int(RECEIVED.timestamp())
    for name, at, want in (
        ("long before", sent - 301, F),
        ("as early as may be", sent - 300, V),
        ("as late as may be", received + 300, V),
        ("too late", received + 301, F),
        ("at the beginning of time", 0, F),
        ("at the end of time", 2**255, F),
    ):
        yield case(
            f"attack_12 signed {name}",
            want,
            evidence(stream(ANNA, timestamp=at)),
            fails="freshness" if want is F else "",
        )
    wide = replace(ASKING, skew_seconds=86400.0)
    for age, want in ((3600, V), (3601, F), (-300, V), (-301, F)):
        found = evidence(stream(ANNA, timestamp=received - age))
        yield case(
            f"attack_12 the chain's bounds, {age} s",
            want,
            found,
            wide,
            fails="freshness" if want is F else "",
        )
    narrow = replace(ASKING, skew_seconds=0.5)
    for micro, want in ((1_500_000, V), (1_500_001, F)):
        at = {"sent_at": SENT + timedelta(microseconds=micro)}
        yield case(f"attack_12 a fraction of a second, {micro}", want, evidence(**at), narrow)
    for count in (1, 5):
        ids = tuple(f"{n}" * 10 for n in range(count))
        yield case(f"attack_14 replayed in {count}", F, evidence(), fails="freshness", seen_in=ids)
    later = timedelta(hours=2)
    old = evidence(
        sent_at=SENT + later,
        received_at=RECEIVED + later,
        registry=registry(host(ANNA), block_time=SENT + later),
    )
    yield case("attack_14 replayed on a fresh ledger", F, old, fails="freshness")
    yield case("received before it was sent", F, evidence(received_at=SENT - timedelta(hours=1)))
