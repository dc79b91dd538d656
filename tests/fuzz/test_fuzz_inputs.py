"""Five readers of what strangers send: no input gives anything but evidence or the documented
error.

Beyond not crashing, each target holds what comes out against what was signed: spoilt bytes never
pass for good ones. The bounds are told in ``docs/bounds.md``."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import signing
from support.chains import agreement, batch, individual, settled
from support.fuzzing import FUZZ, ODD, peak_of, replaced, spoilt
from support.receipts import SIM
from support.signed_receipts import signed

from opg_magic.errors import ArgumentError, MalformedMessage, PaymentRefused, UnreadableReceipt
from opg_magic.models import (
    CLAIM_NAMES,
    AttestationEvidence,
    Claim,
    Evidence,
    ResponseEvidence,
    Status,
    VerdictStatus,
)
from opg_magic.protocol import merkle, payment_terms, reply, sse, x402
from opg_magic.protocol.merkle import BatchDump, BatchItem, Tree, read_dump, write_dump
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.form import digest
from opg_magic.receipt.supplements import supplement_json, supplement_kind
from opg_magic.verify import AUDIT, attestation, examination, judge, verify_exchange

MIB = 1024 * 1024


def judged(found: Evidence) -> dict[str, Claim]:
    """All claims, for the kernel and for a reader; whatever is in the evidence, they are claims."""
    verdicts = [
        judge(found, policy=AUDIT, trust=trust) for trust in (signing.live(), signing.reader())
    ]
    for verdict in verdicts:
        assert tuple(verdict.claims) == CLAIM_NAMES
        for name, claim in verdict.claims.items():
            assert isinstance(claim, Claim) and claim.name == name and claim.sentence
            assert claim.status is Status.PASSED or claim.reason
    return dict(verdicts[0].claims)


# ---------------------------------------------------------------------------------------------- SSE

BY = signing.signer()
STREAMS = (
    signing.stream(BY),
    signing.stream(BY, signed=False),
    signing.stream(
        BY,
        {**signing.CHAT, "tools": signing.TOOLS},
        pieces=(),
        fragments=({"index": 0, **signing.TOOL_CALL},),
        output=json.dumps([signing.TOOL_CALL], sort_keys=True),
    ),
    b'data: {"error": "Stream processing failed"}\n\n',
)
CALL = signing.evidence(STREAMS[0])


@FUZZ
@given(spoilt(*STREAMS), st.lists(st.integers(0, 400), max_size=4), st.booleans())
def test_event_streams(raw: bytes, cuts: list[int], ended: bool) -> None:
    reader = sse.StreamReader()
    start = 0
    for cut in sorted(cuts):
        assert all(
            isinstance(piece, str) for piece in reader.feed(raw[start:cut] if cut > start else b"")
        )
        start = max(start, cut)
    reader.feed(raw[start:])
    found = reader.finish(ended)
    assert isinstance(found, ResponseEvidence) and found.raw_size == len(raw)
    claims = judged(replace(CALL, response=found))
    if claims["response"].passed and claims["signature"].passed:
        assert found.text == CALL.response.text and ended
    assert not ended or sse.read_stream(raw) == found


@FUZZ
@given(
    replaced(
        *(
            json.loads(line[6:])
            for raw in STREAMS
            for line in raw.split(b"\n\n")
            if line.startswith(b"data: {")
        )
    )
)
def test_event_streams_of_sound_json(message: Any) -> None:
    final = STREAMS[0].split(b"\n\n")[-3]
    for raw in (
        signing.sse(json.dumps(message)),
        signing.sse(json.dumps(message), final[6:].decode()),
        signing.sse(
            *[line[6:].decode() for line in STREAMS[0].split(b"\n\n")[:2]], json.dumps(message)
        ),
    ):
        claims = judged(replace(CALL, response=sse.read_stream(raw)))
        if claims["response"].passed and claims["signature"].passed:
            assert sse.read_stream(raw).text == CALL.response.text


@FUZZ
@given(
    spoilt(signing.reply(BY).encode(), signing.reply(BY, signed=False).encode()),
    replaced(json.loads(signing.reply(BY))),
)
def test_answers_that_are_not_streamed(raw: bytes, message: Any) -> None:
    for text in (raw, json.dumps(message).encode()):
        found = reply.read_reply(text, "chat")
        assert isinstance(found, ResponseEvidence)
        judged(replace(CALL, response=found))
    times = {"sent_at": signing.SIGNED - 1, "received_at": signing.SIGNED + 1}
    try:
        verdict = verify_exchange(signing.CHAT, message, signing_key=BY.der, **times)
    except ArgumentError:
        assert not isinstance(message, dict | str), "what can be an answer is judged"
        return
    assert verdict.status in (VerdictStatus.FAILED, VerdictStatus.UNVERIFIED)


# ----------------------------------------------------------------------------------------- receipts


def receipts() -> list[Receipt]:
    one = signed()
    evidence = one.evidence()
    parts = [settled(evidence, shared=((one.id, 5),)), batch(evidence), agreement(one)]
    whole = supplemented(one, {supplement_kind(p): supplement_json(p) for p in parts})  # type: ignore[misc]
    alone = supplemented(one, {"settlement": supplement_json(individual(evidence))})
    return [one, whole, alone]


RECEIPTS = receipts()
TEXTS = tuple(one.to_json().encode() for one in RECEIPTS)


@FUZZ
@given(spoilt(*TEXTS))
def test_receipts_of_any_bytes(raw: bytes) -> None:
    read_as_receipt(raw)


@FUZZ
@given(replaced(*(one.document for one in RECEIPTS)), st.booleans())
def test_receipts_of_sound_json(document: Any, redigested: bool) -> None:
    if redigested and isinstance(document, dict):
        # Numbers and texts that have no RFC 8785 form stay under a wrong digest.
        with contextlib.suppress(ValueError):
            document["digest"] = digest(document)
    read_as_receipt(json.dumps(document))


def test_every_time_and_number_of_a_receipt_at_its_ends() -> None:
    for one in RECEIPTS:
        for holder, key, values in extremes(one.document):
            before = holder[key]
            for value in values:
                holder[key] = value
                read_as_receipt(json.dumps(one.document))
            holder[key] = before


def extremes(value: Any) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Every place of a time or of a number from a chain, and the first and the last that it may
    hold."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from extremes(inner)
        elif isinstance(inner, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", inner):
            yield value, key, ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z")
        elif isinstance(inner, str) and inner.isdigit() and key != "text":
            yield value, key, ("0", "9" * 78)


def read_as_receipt(raw: bytes | str) -> None:
    try:
        one = Receipt.from_json(raw)
    except UnreadableReceipt as error:
        assert error.message and len(error.message) < 1000 and error.message.isprintable()
        return
    for same in (one, one.original()):
        assert Receipt.from_json(same.to_json()) == same
    claims = judged(one.evidence())
    assert isinstance(one.is_faithful, bool) and isinstance(one.withheld, bool) and one.label
    assert one.cost is not None
    # What the host signed cannot be edited, whatever else is.
    good = RECEIPTS[0]
    if all(claims[name].passed for name in ("request", "response", "signature")):
        assert (
            one.text == good.text
            and one.document["request"]["canonical"] == good.document["request"]["canonical"]
        )
    reader = judge(one.evidence(), trust=signing.reader())
    assert reader.outcome is not VerdictStatus.VERIFIED, (
        "what a stranger only recorded has verified"
    )


# ---------------------------------------------------------------------------------------------- 402

OFFER: dict[str, Any] = {
    "x402Version": 2,
    "error": "payment required",
    "resource": {
        "url": "https://127.0.0.1:4000/v1/chat/completions",
        "description": "",
        "mimeType": "application/json",
    },
    "accepts": [
        {
            "scheme": "upto",
            "network": "eip155:8453",
            "asset": SIM.token.address,
            "amount": "100000000000000000",
            "payTo": signing.host().payment_address,
            "maxTimeoutSeconds": 300,
            "extra": {
                "name": "OPG",
                "version": "1",
                "assetTransferMethod": "permit2",
                "facilitatorAddress": SIM.facilitators[0],
            },
        }
    ],
    "extensions": {},
}
HEADER = base64.b64encode(json.dumps(OFFER).encode())


@FUZZ
@given(spoilt(HEADER), spoilt(json.dumps(OFFER).encode()), replaced(OFFER), ODD)
def test_402_headers(header: bytes, inside: bytes, offer: Any, entry: Any) -> None:
    ask(header.decode("latin-1"))
    ask(header.decode("utf-8", "surrogateescape"))
    ask(base64.b64encode(inside).decode())
    ask(base64.b64encode(json.dumps(offer).encode()).decode())
    ask(
        base64.b64encode(
            json.dumps({**OFFER, "accepts": [entry, OFFER["accepts"][0]]}).encode()
        ).decode()
    )


def ask(header: str) -> None:
    try:
        required = x402.parse_payment_required(header)
    except MalformedMessage as error:
        assert len(error.message) < 1000
        return
    host = signing.host()
    try:
        terms, notes = payment_terms.choose_terms(required, SIM, host)
    except PaymentRefused as error:
        assert error.message
        return
    assert 0 < terms.amount < 2**256 and terms.max_timeout_seconds > 0
    assert (terms.scheme, terms.network, terms.asset) == ("upto", "eip155:8453", SIM.token.address)
    assert (terms.pay_to.lower(), terms.facilitator.lower()) == (
        host.payment_address,
        SIM.facilitators[0],
    )
    assert all(isinstance(note, str) for note in notes)
    authorisation = x402.authorise(
        terms, SIM, "0x" + "0a" * 20, now=signing.SIGNED, nonce=secrets.randbits(256)
    )
    assert authorisation.deadline - signing.SIGNED <= x402.MAX_SECONDS
    x402.typed_data(authorisation, SIM)


def test_an_honest_402_is_accepted_by_this_very_target() -> None:
    assert (
        payment_terms.choose_terms(
            x402.parse_payment_required(HEADER.decode()), SIM, signing.host()
        )[0].amount
        == 10**17
    )


# --------------------------------------------------------------------------------------------- COSE

HOST = signing.host()
DOCUMENT = signing.attestation(HOST).document
OTHERS = (
    signing.attestation(HOST, nonce=None).document,
    signing.attestation(HOST, pcrs={**signing.PCRS, 0: bytes(48)}).document,
)
GOOD = examination.examine(DOCUMENT, simulated_roots={signing.authority().root_sha256})


@FUZZ
@given(spoilt(DOCUMENT, *OTHERS))
def test_attestation_documents(raw: bytes) -> None:
    claim = attestation.check(
        replace(CALL, attestation=AttestationEvidence(raw, None, signing.SENT)), signing.live()
    )
    assert isinstance(claim, Claim)
    try:
        report = examination.examine(raw, simulated_roots={signing.authority().root_sha256})
    except MalformedMessage as error:
        assert claim.status is Status.FAILED and error.message
        return
    if report.accepted and raw not in OTHERS:
        # Only the signature's own bytes have more than one form; what is signed has one.
        assert report.document == GOOD.document or report.document in [
            examination.examine(other).document for other in OTHERS
        ]


@FUZZ
@given(ODD, st.binary(max_size=60))
def test_attestation_documents_of_sound_cbor(value: Any, junk: bytes) -> None:
    import cbor2

    outer = cbor2.loads(DOCUMENT)
    payload = cbor2.loads(outer[2])
    for name in (
        "module_id",
        "timestamp",
        "digest",
        "pcrs",
        "certificate",
        "cabundle",
        "public_key",
        "user_data",
    ):
        for other in (value, junk):
            spoilt_payload = cbor2.dumps({**payload, name: other})
            report_of(cbor2.dumps([outer[0], outer[1], spoilt_payload, outer[3]]))
    for position in range(4):
        parts = list(outer)
        parts[position] = value
        if parts != outer:
            report_of(cbor2.dumps(parts))


def report_of(raw: bytes) -> None:
    try:
        report = examination.examine(raw, simulated_roots={signing.authority().root_sha256})
    except MalformedMessage:
        return
    assert not report.accepted and report.failures


# --------------------------------------------------------------------------------------- blob dumps

ITEMS = [
    BatchItem(bytes([n]) * 32, b"i" * 32, b"o" * 32, b"\xd3" if n == 2 else b"s" * 256, n)
    for n in range(5)
]
DUMP = write_dump(ITEMS)


@FUZZ
@given(spoilt(DUMP.encode(), write_dump(ITEMS[:1]).encode()), replaced(json.loads(DUMP)))
def test_blob_dumps(raw: bytes, dump: Any) -> None:
    for text in (raw, json.dumps(dump)):
        try:
            found = read_dump(text)
        except MalformedMessage as error:
            assert error.message and len(error.message) < 500
            continue
        assert isinstance(found, BatchDump) and 1 <= len(found.items) <= merkle.MAX_ITEMS
        tree = Tree(item.leaf for item in found.items)
        assert found.root == tree.root
        assert all(
            merkle.verify_proof(found.root, i.leaf, found.tree.proof(i.leaf)) for i in found.items
        )


# ------------------------------------------------------------------------------------------- bounds


#: A long run has streams of the whole size; else bounds and streams have a quarter of theirs.
SHRUNK = 1 if "OPG_FUZZ_EXAMPLES" in os.environ else 4


def big(what: str) -> Any:
    line = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 60 + b'"}}]}\n\n'
    part = MIB // SHRUNK
    return {
        "one endless line": b"data: " + b"x" * (40 * part),
        "many lines": line * (34 * part // len(line)),
        "deep": b"data: " + b"[" * (3 * part) + b"\n\n",
        "empty lines": b"\n" * (2 * part),
        "many calls": signing.sse(
            *(
                signing.chunk({"tool_calls": [{"index": n, "id": "x", "function": {"name": "f"}}]})
                for n in range(3000)
            )
        ),
    }[what]


@pytest.mark.parametrize(
    "what", ["one endless line", "many lines", "deep", "empty lines", "many calls"]
)
def test_a_stream_is_bounded(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("MAX_STREAM_BYTES", "MAX_LINE", "MAX_LINES"):
        monkeypatch.setattr(sse, bound, getattr(sse, bound) // SHRUNK)
    raw = big(what)

    def work() -> None:
        reader = sse.StreamReader()
        for start in range(0, len(raw), 65536):
            reader.feed(raw[start : start + 65536])
        found.append(reader.finish())

    found: list[ResponseEvidence] = []
    assert peak_of(work) < 3 * sse.MAX_STREAM_BYTES
    assert found[0].problem is not None and found[0].raw_size == len(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"x" * (33 * MIB),
        b"[" * (8 * MIB),
        b'{"type":' + b"9" * MIB + b"}",
        b'{"type": "opg-receipt", "version": 1, "x": [' + b"0," * MIB + b"0]}",
    ],
    ids=["long", "deep", "number", "list"],
)
def test_a_receipt_is_bounded(raw: bytes) -> None:
    def work() -> None:
        with pytest.raises(UnreadableReceipt):
            Receipt.from_json(raw)

    assert peak_of(work) < 256 * MIB


def test_a_402_header_is_bounded() -> None:
    for header in (
        "A" * (10 * MIB),
        base64.b64encode(b"[" * 40_000).decode(),
        base64.b64encode(b" " * 40_000).decode(),
    ):
        assert peak_of(lambda header=header: ask(header)) < MIB  # type: ignore[misc]


def test_a_document_is_bounded() -> None:
    claims_much = [
        b"\x84\x44\xa1\x01\x38\x22\xa0" + head for head in (b"\x5b", b"\x9b", b"\xbb", b"\x7b")
    ]
    for raw in (
        b"\x84" * MIB,
        b"\x9f" * 60_000,
        *(head + b"\x7f" + b"\xff" * 7 for head in claims_much),
    ):
        assert peak_of(lambda raw=raw: report_of(raw)) < 4 * MIB  # type: ignore[misc]


def test_a_dump_is_bounded() -> None:
    def refused(text: str | bytes) -> None:
        with pytest.raises(MalformedMessage):
            read_dump(text)

    deep = b"[" * (merkle.MAX_DUMP_BYTES - 1)
    wide = b'{"format":"standard-v1","tree":[' + b"0," * (MIB) + b"0]}"
    many = DUMP.replace('"values":[', '"values":[' + '{"value":[],"treeIndex":1},' * 100_000)
    for text in (b"x" * (merkle.MAX_DUMP_BYTES + 1), deep, wide, many):
        assert peak_of(lambda text=text: refused(text)) < 16 * merkle.MAX_DUMP_BYTES  # type: ignore[misc]
