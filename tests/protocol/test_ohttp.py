"""Sealed requests and answers: the RFCs' own examples, and every way to bend an answer
(attack 20)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
from pyhpke.kem_key import KEMKeyPair

from opg_magic.errors import MalformedMessage
from opg_magic.protocol import ohttp

EXAMPLES = json.loads((Path(__file__).parent / "hpke_examples.json").read_text("utf-8"))


def raw(example: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(example[name])


def private(data: bytes) -> Any:
    return KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(data))


def public(data: bytes) -> Any:
    return KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(data).public_key())


def suite(aead: Any) -> Any:
    return CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, aead)


CHACHA = suite(AEADId.CHACHA20_POLY1305)
HOST_KEY = bytes(range(1, 33))
HOST = ohttp.SealingKey(
    7, X25519PrivateKey.from_private_bytes(HOST_KEY).public_key().public_bytes_raw()
)
ENTRY: dict[str, Any] = {
    "keyId": 7,
    "kemId": 0x20,
    "kdfId": 1,
    "aeadId": 3,
    "publicKey": HOST.public_key,
    "keyConfig": b"",
    "registeredAt": 1,
}


def unsealed(request: ohttp.SealedRequest) -> tuple[bytes, Any]:
    """The request as its recipient reads it, and the recipient's HPKE context."""
    header, enc, sealed = request.wire[:7], request.wire[7:39], request.wire[39:]
    context = CHACHA.create_recipient_context(enc, private(HOST_KEY), info=ohttp.info_of(header))
    return context.open(sealed), context


def sealed_single(request: ohttp.SealedRequest, answer: bytes, nonce: bytes = b"n" * 32) -> bytes:
    _, context = unsealed(request)
    secret = context.export(ohttp.RESPONSE_LABEL, 32)
    key, base = ohttp.response_keys(secret, request.encapsulated, nonce)
    return nonce + ChaCha20Poly1305(key).encrypt(base, answer, b"")


def sealed_chunks(
    request: ohttp.SealedRequest, pieces: Sequence[bytes], nonce: bytes = b"n" * 32
) -> list[bytes]:
    """The nonce, each chunk with its length, and the last one behind its marker."""
    _, context = unsealed(request)
    secret = context.export(ohttp.CHUNKED_LABEL, 32)
    key, base = ohttp.response_keys(secret, request.encapsulated, nonce)
    out = [nonce]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        sealed = ChaCha20Poly1305(key).encrypt(
            ohttp.chunk_nonce(base, number), piece, b"final" if last else b""
        )
        out.append(ohttp.write_varint(0 if last else len(sealed)) + sealed)
    return out


def opened(opener: ohttp.SingleOpener | ohttp.ChunkedOpener, *parts: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    for part in parts:
        pieces += opener.feed(part)
    return pieces + opener.finish()


def refused(opener: Any, *parts: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        opened(opener, *parts)
    return caught.value


REQUEST = ohttp.seal_request(HOST, b'{"model": "gpt-5"}')
PIECES = [b'data: {"a": 1}\n\n', b"data: two\n\n", b"", b"data: [DONE]\n\n"]
CHUNKS = sealed_chunks(REQUEST, PIECES)


def single() -> ohttp.SingleOpener:
    return ohttp.SingleOpener(REQUEST)


def chunked() -> ohttp.ChunkedOpener:
    return ohttp.ChunkedOpener(REQUEST)


# ------------------------------------------------------------------------------------- the examples


def test_hpke_is_that_of_rfc_9180() -> None:
    example = EXAMPLES["hpke"]
    sender_key = raw(example, "sender_key")
    pair = KEMKeyPair(private(sender_key), public(sender_key))
    enc, sender = CHACHA.create_sender_context(
        public(raw(example, "recipient_key")), info=raw(example, "info"), eks=pair
    )
    recipient = CHACHA.create_recipient_context(
        enc, private(raw(example, "recipient_key")), info=raw(example, "info")
    )
    assert enc == raw(example, "encapsulated")
    for aad, sealed in example["sealed"]:
        given_aad = bytes.fromhex(aad)
        assert sender.seal(raw(example, "plaintext"), given_aad).hex() == sealed
        assert recipient.open(bytes.fromhex(sealed), given_aad) == raw(example, "plaintext")
    for context, exported in example["exported"]:
        assert sender.export(bytes.fromhex(context), 32).hex() == exported


def test_chunks_are_numbered_as_hpke_numbers_its_messages() -> None:
    example = EXAMPLES["hpke"]
    for number, nonce in example["nonces"]:
        assert ohttp.chunk_nonce(raw(example, "base_nonce"), number).hex() == nonce


def test_the_example_of_rfc_9458_comes_out() -> None:
    example = EXAMPLES["oblivious"]
    assert ohttp.info_of(raw(example, "header")) == raw(example, "info")
    sender_key, wire = raw(example, "sender_key"), raw(example, "sealed_request")
    aes = suite(AEADId.AES128_GCM)
    enc, sender = aes.create_sender_context(
        public(raw(example, "recipient_key")),
        info=ohttp.info_of(wire[:7]),
        eks=KEMKeyPair(private(sender_key), public(sender_key)),
    )
    assert wire == raw(example, "header") + enc + sender.seal(raw(example, "request"))
    secret = sender.export(ohttp.RESPONSE_LABEL, 16)
    assert secret == raw(example, "secret")
    key, nonce = ohttp.response_keys(
        secret, raw(example, "encapsulated"), raw(example, "response_nonce"), key_size=16
    )
    assert (key, nonce) == (raw(example, "key"), raw(example, "nonce"))
    sealed = raw(example, "sealed_response")[16:]
    assert AESGCM(key).decrypt(nonce, sealed, b"") == raw(example, "response")


# -------------------------------------------------------------------------------------- the request


def test_a_request_is_header_key_and_ciphertext_for_the_listed_key_alone() -> None:
    plaintext, _ = unsealed(REQUEST)
    assert plaintext == b'{"model": "gpt-5"}'
    assert REQUEST.wire[:7].hex() == "07" + "0020" + "0001" + "0003"
    assert REQUEST.wire[7:39] == REQUEST.encapsulated
    assert b"gpt-5" not in REQUEST.wire
    again = ohttp.seal_request(HOST, b'{"model": "gpt-5"}')
    assert again.encapsulated != REQUEST.encapsulated
    assert "secret" in repr(REQUEST.single)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kemId": 0x10}, "suite"),
        ({"kdfId": 2}, "suite"),
        ({"aeadId": 1}, "suite"),
        ({"aeadId": None}, "suite"),
        ({"publicKey": b"k" * 31}, "key-size"),
        ({"publicKey": b"k" * 33}, "key-size"),
        ({"publicKey": "k" * 32}, "key-size"),
        ({"publicKey": b""}, "no-key"),
        ({"keyId": 256}, "key-id"),
        ({"keyId": -1}, "key-id"),
        ({"keyId": True}, "key-id"),
    ],
)
def test_a_key_of_another_kind_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        ohttp.sealing_key({**ENTRY, **changes})
    assert caught.value.code == code


def test_the_listed_key_is_read_and_none_is_said_to_be_missing() -> None:
    assert ohttp.sealing_key(ENTRY) == HOST
    with pytest.raises(MalformedMessage, match="lists no key"):
        ohttp.sealing_key(None)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_nothing_is_sealed_to_a_point_that_gives_no_secret(point: bytes) -> None:
    with pytest.raises(MalformedMessage, match="nothing can be sealed"):
        ohttp.seal_request(ohttp.SealingKey(1, point), b"secret prompt")


# --------------------------------------------------------------------------------------- the answer


@given(answer=st.binary(max_size=200), cuts=st.lists(st.integers(0, 300), max_size=4))
@settings(max_examples=50)
def test_an_answer_in_one_piece_opens_in_whatever_parts_it_comes(
    answer: bytes, cuts: list[int]
) -> None:
    assert opened(single(), *in_parts(sealed_single(REQUEST, answer), cuts)) == [answer]


@given(
    pieces=st.lists(st.binary(max_size=100), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 900), max_size=6),
)
@settings(max_examples=50)
def test_a_stream_opens_in_whatever_parts_it_comes(pieces: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(sealed_chunks(REQUEST, pieces))
    assert opened(chunked(), *in_parts(whole, cuts)) == pieces


def in_parts(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(places)]


def test_chunks_come_out_as_they_arrive() -> None:
    opener = chunked()
    assert opener.feed(CHUNKS[0] + CHUNKS[1][:10]) == []
    assert opener.feed(CHUNKS[1][10:]) == PIECES[:1]
    assert opener.feed(CHUNKS[2] + CHUNKS[3]) == PIECES[1:3]


@given(cut=st.integers(0, len(b"".join(CHUNKS)) - 1))
def test_attack_20_a_cut_stream_never_ends_well(cut: int) -> None:
    assert refused(chunked(), b"".join(CHUNKS)[:cut]).code in {"truncated", "framing"}


@given(cut=st.integers(0, 59))
def test_attack_20_a_cut_answer_does_not_open(cut: int) -> None:
    assert refused(single(), sealed_single(REQUEST, b"0123456789ab")[:cut]).code in {
        "truncated",
        "framing",
    }


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([0, 2, 1, 3, 4], id="reordered"),
        pytest.param([0, 1, 1, 2, 3, 4], id="duplicated"),
        pytest.param([0, 2, 3, 4], id="first dropped"),
        pytest.param([0, 1, 3, 4], id="dropped"),
        pytest.param([0, 1, 2, 4], id="empty one dropped"),
        pytest.param([0, 1, 2, 3], id="last missing"),
        pytest.param([0, 4], id="only the last"),
        pytest.param([1, 2, 3, 4], id="nonce missing"),
    ],
)
def test_attack_20_a_chunk_opens_in_its_own_place_only(order: list[int]) -> None:
    refused(chunked(), b"".join(CHUNKS[place] for place in order))


@given(place=st.integers(0, len(b"".join(CHUNKS)) - 1), bit=st.integers(0, 7))
def test_attack_20_no_bit_can_be_changed(place: int, bit: int) -> None:
    bent = bytearray(b"".join(CHUNKS))
    bent[place] ^= 1 << bit
    refused(chunked(), bytes(bent))


@pytest.mark.parametrize(
    "more", [b"\0", b"data: more\n\n", CHUNKS[1]], ids=["nul", "line", "chunk"]
)
def test_attack_20_nothing_can_follow_the_end(more: bytes) -> None:
    assert refused(chunked(), *CHUNKS, more).code == "framing"
    assert refused(single(), sealed_single(REQUEST, b"answer"), more).code == "framing"


def test_attack_20_an_inner_chunk_is_not_taken_for_the_last() -> None:
    inner = CHUNKS[2][1:]
    assert refused(chunked(), *CHUNKS[:2], b"\0" + inner).code == "framing"
    last = CHUNKS[4][1:]
    assert refused(chunked(), *CHUNKS[:4], bytes([len(last)]) + last).code == "framing"


@pytest.mark.parametrize("length", [ohttp.MAX_CHUNK + 1, 2**30, 2**62 - 1])
def test_attack_20_a_huge_length_is_refused_before_its_bytes_come(length: int) -> None:
    with pytest.raises(MalformedMessage) as caught:
        chunked().feed(CHUNKS[0] + ohttp.write_varint(length))
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("length", [1, 15])
def test_attack_20_a_chunk_without_room_for_its_tag_is_refused(length: int) -> None:
    assert refused(chunked(), CHUNKS[0], bytes([length]) + bytes(length)).code == "framing"


@pytest.mark.parametrize("form", ["4000", "4020", "80000020", "c000000000000000", "7fff"])
def test_a_length_has_one_form(form: str) -> None:
    data = bytes.fromhex(form)
    if form == "7fff":
        assert ohttp.read_varint(data) == (2**14 - 1, 2)
        return
    with pytest.raises(MalformedMessage, match="shortest"):
        ohttp.read_varint(data)


@given(value=st.integers(0, 2**62 - 1))
def test_lengths_are_read_as_they_are_written(value: int) -> None:
    data = ohttp.write_varint(value)
    assert ohttp.read_varint(data + b"more") == (value, len(data))
    assert all(ohttp.read_varint(data[:size]) is None for size in range(len(data)))


def test_attack_20_memory_is_bounded_where_the_end_never_comes() -> None:
    opener, part = chunked(), bytes(1024 * 1024)
    opener.feed(CHUNKS[0] + b"\0")
    with pytest.raises(MalformedMessage) as caught:
        for _ in range(ohttp.MAX_CHUNK // len(part) + 1):
            opener.feed(part)
    assert caught.value.code == "too-large"
    other = single()
    with pytest.raises(MalformedMessage):
        for _ in range(ohttp.MAX_SEALED // len(part) + 1):
            other.feed(part)


def test_attack_20_the_two_forms_do_not_mix() -> None:
    refused(single(), *CHUNKS)
    refused(chunked(), sealed_single(REQUEST, b"answer"))


def test_attack_20_an_answer_to_another_request_does_not_open() -> None:
    other = ohttp.seal_request(HOST, b'{"model": "gpt-5"}')
    refused(ohttp.SingleOpener(other), sealed_single(REQUEST, b"answer"))
    refused(ohttp.ChunkedOpener(other), *CHUNKS)
