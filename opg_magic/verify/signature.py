"""The signature claim: the key of host X signed request and answer, at time T."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from opg_magic.models import Basis, Claim, Evidence, Problem, Trust
from opg_magic.protocol.canonical import signed_digest, tee_id
from opg_magic.protocol.frame import SignedFields
from opg_magic.verify import _works
from opg_magic.verify._claims import NOTHING_SIGNED, failed, fields_of, missing, passed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_KEY_BITS = 2048
#: Above this, checking one signature would cost more than any host's key is worth.
MAX_KEY_BITS = 16384
SALT_BYTES = 32

_WRONG = "The host's key did not sign this."


def check(evidence: Evidence, trust: Trust) -> Claim:
    """RSASSA-PSS, SHA-256, MGF1-SHA-256, salt of exactly 32 bytes, over the signed digest.

    The key must be RSA of at least 2048 bits in canonical DER, and its Keccak hash the ``tee_id``
    that the answer names and that the host is known by.  Facts: ``tee_id``, ``timestamp`` (Unix
    seconds), ``key_bits``."""
    fields = fields_of(evidence)
    if isinstance(fields, Problem):
        if evidence.response.frame is not None and fields.code not in NOTHING_SIGNED:
            return failed(
                "signature",
                Basis.PROVEN,
                "The signed fields are malformed.",
                fields.code,
                fields.message,
            )
        return missing("signature", "There is no signature.", fields.code, fields.message)
    der = evidence.signing_key
    if der is None:
        return missing(
            "signature",
            "There is no key to check the signature with.",
            "no-key",
            "no signing key is known",
        )
    fault = _identity_fault(evidence, der, fields)
    if fault is not None:
        return failed("signature", Basis.PROVEN, _WRONG, *fault)
    try:
        key = load_key(bytes(der))
    except ValueError as error:
        return failed(
            "signature", Basis.PROVEN, "The host's key is not acceptable.", "wrong-key", str(error)
        )
    if len(fields.signature) != (key.key_size + 7) // 8:
        reason = f"the signature has {len(fields.signature)} bytes, the key {key.key_size} bits"
        return failed("signature", Basis.PROVEN, "The signature is malformed.", "format", reason)
    if not verifies(key, fields):
        reason = "the signature is not this key's signature of these hashes and this time"
        return failed("signature", Basis.PROVEN, _WRONG, "bad-signature", reason)
    return passed(
        "signature",
        Basis.PROVEN,
        f"The key of host {short(fields.tee_id)} signed request and answer.",
        tee_id=fields.tee_id,
        timestamp=fields.timestamp,
        key_bits=key.key_size,
    )


def _identity_fault(evidence: Evidence, der: bytes, fields: SignedFields) -> tuple[str, str] | None:
    own = tee_id(der)
    if fields.tee_id != own:
        named = short(fields.tee_id)
        return "wrong-tee-id", f"the answer names host {named}, but the key belongs to {short(own)}"
    host = evidence.host
    if host is not None:
        if host.tee_id.lower() != own:
            asked = short(host.tee_id)
            return "wrong-tee-id", f"host {asked} was asked, but the key belongs to {short(own)}"
        if host.public_key != der:
            return "wrong-key", "the key is not the one that the host is registered with"
    return None


def short(id: str) -> str:
    """A host's ID as people read it; the whole stands in the receipt."""
    return f"{id[:6]}…{id[-4:]}"


@lru_cache(maxsize=64)
def load_key(der: bytes) -> RSAPublicKey:
    """A host's key from canonical DER SubjectPublicKeyInfo; ValueError with the reason if it is not
    acceptable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as refusal:
        _works.insist("cryptography", lambda: load_der_public_key(_works.rsa_key()), refusal)
        raise ValueError("the key is not a DER SubjectPublicKeyInfo") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the key is not an RSA key")  # noqa: TRY004 - one reason among others, not a type error
    if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise ValueError(f"the key has {key.key_size} bits, not {MIN_KEY_BITS} to {MAX_KEY_BITS}")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise ValueError("the key's DER is not canonical")
    return key


def verifies(key: RSAPublicKey, fields: SignedFields) -> bool:
    """Whether ``key`` signed these fields."""
    digest = signed_digest(fields.request_hash, fields.output_hash, fields.timestamp)
    return pss_holds(key, digest, fields.signature)


def pss_holds(key: RSAPublicKey, message: bytes, signature: bytes) -> bool:
    """RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of exactly 32 bytes (RFC 8017, section
    8.1.2)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.hashes import SHA256

    def verify(key: RSAPublicKey, signature: bytes, message: bytes) -> bool:
        key.verify(signature, message, PSS(mgf=MGF1(SHA256()), salt_length=SALT_BYTES), SHA256())
        return True

    try:
        return verify(key, signature, message)
    except InvalidSignature as refusal:
        known = load_key(_works.rsa_key())
        _works.insist(
            "cryptography",
            lambda: verify(known, _works.rsa_signature(), _works.RSA_MESSAGE),
            refusal,
        )
        return False
