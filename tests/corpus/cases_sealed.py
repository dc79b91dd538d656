"""Calls on the private route: the key that the request was sealed to, who pays, what a reader
knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from corpus.build import (
    ANNA,
    ASKING,
    BORIS,
    MEANING,
    PINNING,
    READING,
    Case,
    F,
    P,
    V,
    case,
    document_of,
    redigested,
    written,
)
from support.signing import evidence, host, registry, sealed_call, stream

from opg_magic.models import ChannelEvidence
from opg_magic.verify import AUDIT, STRICT
from opg_magic.verify.policy import DEFAULT, requiring

ONLY_PRIVATE = requiring(DEFAULT, [], "private")
ONLY_DIRECT = requiring(DEFAULT, [], "direct")


def sealed() -> Iterator[Case]:
    call = sealed_call(ANNA)
    yield case("sealed to the listed key", V, call)
    yield case("sealed, of a registry that is named", V, call, MEANING)
    yield case("sealed, the registry recorded", P, call, READING)
    # No attestation binds the key, so that a pinned build does not stand for the registry here.
    yield case("sealed, the build pinned", P, call, PINNING)
    yield case("sealed, without an attestation", P, replace(call, attestation=None))
    yield case("sealed, without the registry", P, replace(call, registry=None), PINNING)
    yield case("sealed, strict", V, call, ASKING, STRICT)
    yield case("sealed, audit", P, call, MEANING, AUDIT)
    yield case("sealed, as required", V, call, ASKING, ONLY_PRIVATE)
    yield case("sealed, where the direct route is required", P, call, ASKING, ONLY_DIRECT)
    yield case("direct, where the private route is required", P, evidence(), ASKING, ONLY_PRIVATE)
    yield case("direct, as required", V, evidence(), ASKING, ONLY_DIRECT)
    yield from _keys()
    yield from _answers()
    yield from _forms()


def _keys() -> Iterator[Case]:
    call = sealed_call(ANNA)
    assert call.sealed is not None and call.host is not None
    other_key = replace(call.sealed, public_key=b"k" * 32)
    yield case(
        "attack_20 another key than the listed one",
        F,
        replace(call, sealed=other_key),
        fails="channel",
    )
    yield case(
        "attack_20 another key, recorded",
        F,
        replace(call, sealed=other_key),
        PINNING,
        fails="channel",
    )
    for name, header in {"key id": "02002000010003", "suite": "01002000010001"}.items():
        bent = replace(call.sealed, header=bytes.fromhex(header))
        yield case(
            f"attack_20 another {name} than the listed one",
            F,
            replace(call, sealed=bent),
            fails="channel",
        )
    config = dict(call.host.ohttp_config or {})
    listed: dict[str, Any] = {
        "none": None,
        "an empty one": {**config, "publicKey": b""},
        "one without a key": {"keyId": 1},
        "a short one": {**config, "publicKey": b"k" * 31},
        "a text": {**config, "publicKey": "k" * 32},
        "another suite": {**config, "aeadId": 1},
        "a suite of no number": {**config, "kdfId": "1"},
        "a suite out of range": {**config, "kemId": 2**40},
        "another id": {**config, "keyId": 2},
        "an id out of range": {**config, "keyId": 256},
        "a negative id": {**config, "keyId": -1},
    }
    for name, ohttp_config in listed.items():
        entry = replace(call.host, ohttp_config=ohttp_config)
        yield case(
            f"attack_20 the registry lists {name}",
            F,
            replace(call, registry=registry(entry)),
            fails="channel",
        )
    yield case(
        "the key of an entry that is not this host's",
        F,
        replace(call, registry=registry(sealed_call(BORIS).host)),
        fails="channel registry",
    )


def _answers() -> Iterator[Case]:
    call = sealed_call(ANNA)
    borrowed = evidence(stream(BORIS))
    yield case(
        "attack_20 another enclave's answer",
        F,
        replace(call, response=borrowed.response),
        fails="signature",
    )
    both = replace(call, channel=ChannelEvidence("00" * 32, "TLSv1.3"))
    yield case("two ways for one call", F, both, fails="channel")
    yield case(
        "two ways for one call, recorded",
        F,
        replace(call, channel=evidence(host=host(ANNA)).channel),
        PINNING,
        fails="channel",
    )


def _forms() -> Iterator[Case]:
    document = document_of(sealed_call(ANNA))
    for name, change in {
        "a header of six bytes": {"header": "010020000100"},
        "a header in upper case": {"header": "0100200001000A"},
        "a key that is no base64": {"public_key": "a"},
        "no relay": {"relay": ""},
        "a member more": {"url": "https://relay.example/"},
    }.items():
        bent = redigested({**document, "sealed": {**document["sealed"], **change}})
        yield Case(f"sealed with {name}", None, written(bent))
    yield Case("sealed with nothing", None, written(redigested({**document, "sealed": None})))
