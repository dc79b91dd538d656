"""COSE_Sign1 (RFC 9052 section 4.2) as the Nitro Security Module writes it: untagged, ES384,
nothing unprotected."""

from __future__ import annotations

from dataclasses import dataclass

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from opg_magic.errors import MalformedMessage
from opg_magic.verify import _cbor, _works

#: COSE algorithm ES384 (RFC 9053 section 2.1), under header label 1.
ES384 = -35
ALG = 1
SIGNATURE_BYTES = 96
_TAG_SIGN1 = 0xD2


@dataclass(frozen=True, slots=True)
class Sign1:
    """The three byte strings of an envelope, and how many bytes followed it (0 in a good
    document)."""

    protected: bytes
    payload: bytes
    signature: bytes
    trailing: int


def read_sign1(raw: bytes) -> Sign1:
    """The envelope in ``raw``.

    Raises:
        MalformedMessage: not CBOR, not an untagged array of four, another algorithm than ES384,
        unprotected headers,
            or a signature that is not 96 bytes; its ``code`` says which.
    """
    if raw[:1] == bytes([_TAG_SIGN1]):
        raise MalformedMessage("a tagged COSE_Sign1; Nitro documents are untagged", code="tagged")
    value, trailing = _cbor.decode(raw, indefinite=False)
    if type(value) is not list or len(value) != 4:
        raise MalformedMessage("not a COSE_Sign1: no array of four", code="not-cose")
    protected, unprotected, payload, signature = value
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise MalformedMessage(
            "not a COSE_Sign1: header, payload and signature must be byte strings", code="not-cose"
        )
    if type(unprotected) is not dict or unprotected:
        raise MalformedMessage("the unprotected header is not an empty map", code="header")
    header, after = _cbor.decode(protected, indefinite=False)
    if (
        type(header) is not dict
        or after
        or [(type(k), k) for k in header] != [(int, ALG)]
        or header[ALG] != ES384
    ):
        raise MalformedMessage(
            "the protected header does not say ES384 and that alone", code="header"
        )
    if len(signature) != SIGNATURE_BYTES:
        raise MalformedMessage(
            f"the signature has {len(signature)} bytes, not {SIGNATURE_BYTES}", code="signature"
        )
    return Sign1(protected, payload, signature, trailing)


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """The Sig_structure (RFC 9052 section 4.4) with no external data."""
    return cbor2.dumps(["Signature1", protected, b"", payload])


def signature_holds(envelope: Sign1, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether ``key`` (P-384) signed the envelope."""
    r, s = (
        int.from_bytes(half, "big") for half in (envelope.signature[:48], envelope.signature[48:])
    )
    try:
        key.verify(
            encode_dss_signature(r, s),
            to_be_signed(envelope.protected, envelope.payload),
            ec.ECDSA(hashes.SHA384()),
        )
    except InvalidSignature as refusal:
        _works.insist("cbor2 and cryptography", _takes_what_it_must, refusal)
        return False
    return True


def _takes_what_it_must() -> bool:
    from cryptography import x509

    root, leaf = (x509.load_der_x509_certificate(der) for der in (_works.root(), _works.leaf()))
    key = root.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    key.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(hashes.SHA384()))
    return to_be_signed(b"p", b"q") == b"\x84\x6aSignature1\x41p\x40\x41q"
