"""The fast way to RFC 8785 bytes gives what the library gives."""

import copy
from datetime import UTC, datetime

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from opg_magic.ledger.stored import deflate
from opg_magic.receipt.form import canonical_bytes, digest, states_its_digest
from opg_magic.receipt.parts.values import time_of

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUE)
def test_it_is_the_librarys_form_byte_for_byte(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)


def test_control_characters_and_separators_are_written_alike():
    value = {
        "a": "".join(map(chr, range(0x80))) + "\u2028\u2029\x7f\u00e9\U0001f600",
        "": [True, None, 0, -1],
    }
    assert canonical_bytes(value) == rfc8785.dumps(value)


DOCUMENT = st.dictionaries(TEXT, VALUE, max_size=4).map(
    lambda more: {"a": more, "digest": "", "z": more, **more}
)


@given(DOCUMENT, st.booleans(), st.booleans())
def test_the_digest_is_read_out_of_the_bytes_as_it_is_made_of_the_document(document, right, inside):
    stated = digest(document) if right else digest({})
    if inside:
        # The same member once more, where it belongs to what is digested.
        document["y"] = {"digest": "sha256:0", "more": 1}
        stated = digest(document) if right else "sha256:0"
    document["digest"] = stated
    assert states_its_digest(document, canonical_bytes(document)) is (digest(document) == stated)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T22:11:18.000000Z",
        "2026-11-20T22:11:18.123456Z",
        "2024-02-29T00:00:00.000001Z",
        "0001-01-01T00:00:00.000000Z",
        "2026-11-20T22:11:18.5Z",
    ],
)
def test_a_time_is_read_as_strptime_reads_it(text):
    form = "%Y-%m-%dT%H:%M:%S.%fZ"
    assert time_of(text) == datetime.strptime(text, form).replace(tzinfo=UTC)
    assert time_of(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00.000000Z",
        "2026-13-01T00:00:00.000000Z",
        "2026-11-20T24:00:00.000000Z",
        "2026-11-20T22:11:60.000000Z",
        "2026-11-20T22:11:18.000000",
        "2026-11-20T22:11:18.000000Z\n",
        "2026-W47-5T22:11:18.000000Z",
    ],
)
def test_a_time_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        time_of(text)


def test_what_the_ledger_stores_leaves_the_document_as_it_is():
    shared = {"public_key": "AAAA", "tls_certificate": "BBBB"}
    document = {
        "signing_key": "AAAA",
        "host": shared,
        "registry": {"entry": shared, "block": 1},
        "attestation": {"document": None},
    }
    before = copy.deepcopy(document)
    slim, blobs = deflate(document)
    assert document == before
    key, certificate = ({"blob": sha256} for sha256 in blobs)
    assert slim["signing_key"] == slim["host"]["public_key"] == key
    assert slim["registry"]["entry"] == {"public_key": key, "tls_certificate": certificate}
    assert slim["attestation"] == {"document": None}
    assert [*blobs.values()] == [b"\x00\x00\x00", b"\x04\x10\x41"]
