"""One attestation document looked at, step by step, under the roots and the keys that the caller
names.

A document is an untagged COSE_Sign1 (ES384) over a CBOR payload, under a certificate path that is
judged **at the document's own time**, because an enclave's certificate lives for three hours only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from opg_magic.errors import MalformedMessage
from opg_magic.models import AWS_ROOT_SHA256, Status
from opg_magic.verify.nitro import MAX_DOCUMENT_BYTES, AttestationDocument, read_payload

#: Faults that still leave an attestation document to talk about: refused, where everything else is
#: unreadable.
_REFUSED_FORMS = frozenset(
    {"duplicate-keys", "tagged", "header", "signature", "field", "certificate"}
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing looked at: ``status`` is passed, failed or missing (nothing to compare with);
    ``detail`` for people.

    Names: ``form``, ``root``, ``path``, ``signature``, ``measurements``, ``nonce``, ``binding``,
    ``signing_key``, ``tls_certificate``."""

    name: str
    status: Status
    detail: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class AttestationReport:
    """What was found.  ``document`` is None where its form is so wrong that no field can be relied
    on.

    ``genuine``: no step failed and the root is AWS'.  ``simulated``: the root is not AWS', whatever
    else holds."""

    document: AttestationDocument | None
    steps: tuple[Step, ...]
    root_sha256: str | None
    genuine: bool
    simulated: bool

    @property
    def accepted(self) -> bool:
        """No step failed: the document stands under AWS' root, or under one that the caller
        named."""
        return not self.failures

    @property
    def failures(self) -> tuple[Step, ...]:
        """The steps that found a fault, in the order of the steps."""
        return tuple(step for step in self.steps if step.status is Status.FAILED)

    def step(self, name: str) -> Step | None:
        """The step of that name, or None where it was not reached."""
        return next((step for step in self.steps if step.name == name), None)


def examine(
    raw: bytes,
    *,
    aws_root_sha256: str = AWS_ROOT_SHA256,
    simulated_roots: Collection[str] = frozenset(),
    nonce: bytes | None = None,
    signing_key: bytes | None = None,
    tls_certificate: bytes | None = None,
) -> AttestationReport:
    """Look at one attestation document: raw COSE bytes, not base64.

    Roots are SHA-256 fingerprints of the DER certificate in hex.  ``nonce`` is what the enclave was
    asked to sign, ``signing_key`` the DER SubjectPublicKeyInfo and ``tls_certificate`` the DER
    certificate that the document should bind; each of the three left out makes its step
    ``missing``.  What does not depend on them is computed once per document.

    Raises:
        MalformedMessage: the bytes are no COSE_Sign1 around a CBOR map at all.  Whatever else is
        wrong is a failed
            step.
    """
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise MalformedMessage(
            f"{len(raw)} bytes; a document has at most {MAX_DOCUMENT_BYTES}", code="too-large"
        )
    found = _inspect(bytes(raw))
    if found.unreadable is not None:
        code, message = found.unreadable
        raise MalformedMessage(message, code=code)
    document = found.document
    if document is None or found.root_sha256 is None:
        return AttestationReport(
            document, found.steps, found.root_sha256, genuine=False, simulated=False
        )
    simulated = found.root_sha256 != aws_root_sha256.lower()
    steps = (
        *found.steps,
        _root_step(found.root_sha256, simulated, {root.lower() for root in simulated_roots}),
        _nonce_step(document, nonce),
        _binding_step(document),
        _hash_step(
            "signing_key", "signing key", "wrong-key", document.signing_key_sha256, signing_key
        ),
        _hash_step(
            "tls_certificate",
            "TLS certificate",
            "wrong-certificate",
            document.tls_certificate_sha256,
            tls_certificate,
        ),
    )
    steps = tuple(sorted(steps, key=lambda step: _ORDER.index(step.name)))
    sound = all(step.status is not Status.FAILED for step in steps)
    return AttestationReport(
        document, steps, found.root_sha256, genuine=sound and not simulated, simulated=simulated
    )


_ORDER = (
    "form",
    "root",
    "path",
    "signature",
    "measurements",
    "nonce",
    "binding",
    "signing_key",
    "tls_certificate",
)


@dataclass(frozen=True, slots=True)
class _Inspection:
    document: AttestationDocument | None
    root_sha256: str | None
    steps: tuple[Step, ...]
    unreadable: tuple[str, str] | None = None


# At most 128 documents of at most 64 KiB: many receipts share one document, and its signature and
# its path cost milliseconds. The key is the document itself, so no two documents are ever taken for
# one another.
@lru_cache(maxsize=128)
def _inspect(raw: bytes) -> _Inspection:
    from opg_magic.verify import _cbor, _cose, _x509

    try:
        envelope = _cose.read_sign1(raw)
        payload, after = _cbor.decode(envelope.payload, indefinite=True)
        if type(payload) is not dict:
            raise MalformedMessage("the payload is not a map", code="not-nitro")
        document = read_payload(payload)
        leaf = _x509.load(document.certificate, "certificate")
        bundle = [_x509.load(der, f"cabundle[{i}]") for i, der in enumerate(document.cabundle)]
        key = _x509.leaf_key(leaf)
    except MalformedMessage as error:
        if error.code not in _REFUSED_FORMS:
            return _Inspection(None, None, (), (error.code, error.message))
        return _Inspection(None, None, (failed_step("form", error.code, error.message),))

    trailing = envelope.trailing + after
    if trailing:
        where = "the document" if envelope.trailing else "the payload"
        form = failed_step("form", "trailing-bytes", f"{_bytes(trailing)} after the end of {where}")
    else:
        form = _passed("form", "COSE_Sign1 with ES384 around a Nitro document")

    try:
        _x509.check_path(leaf, bundle, document.timestamp)
        when = utc_seconds(document.timestamp)
        path = _passed("path", f"{len(bundle) + 1} certificates, all valid at {when}")
    except MalformedMessage as error:
        path = failed_step("path", error.code, error.message)

    if _cose.signature_holds(envelope, key):
        signature = _passed("signature", f"signed by {_x509.common_name(leaf)}")
    else:
        signature = failed_step(
            "signature",
            "signature",
            "the signature is not by the key of the document's certificate",
        )

    root = hashlib.sha256(document.cabundle[0]).hexdigest()
    return _Inspection(document, root, (form, path, signature, _measurements_step(document)))


def _measurements_step(document: AttestationDocument) -> Step:
    zero = [str(i) for i in range(3) if not any(document.pcrs[i])]
    if zero:
        detail = f"PCR {', '.join(zero)} zero: the enclave runs in debug mode"
        return failed_step("measurements", "debug-mode", detail)
    return _passed("measurements", f"pcrHash {document.pcr_hash}")


def _root_step(root: str, simulated: bool, simulated_roots: Collection[str]) -> Step:
    if not simulated:
        return _passed("root", "AWS Nitro Enclaves' own root certificate")
    if root in simulated_roots:
        return _passed(
            "root", f"not AWS' root, but one that is accepted here as simulated: SHA-256 {root}"
        )
    return failed_step(
        "root", "unknown-root", f"the root is not AWS' and not known here: SHA-256 {root}"
    )


def _nonce_step(document: AttestationDocument, nonce: bytes | None) -> Step:
    if nonce is None:
        return Step("nonce", Status.MISSING, "no nonce given to compare with")
    if document.nonce is None:
        return failed_step("nonce", "wrong-nonce", "the document carries no nonce")
    if document.nonce != nonce:
        return failed_step(
            "nonce",
            "wrong-nonce",
            f"the document carries {document.nonce.hex()}, asked was {nonce.hex()}",
        )
    return _passed("nonce", f"the one that was asked for, {nonce.hex()}")


def _binding_step(document: AttestationDocument) -> Step:
    if document.signing_key_sha256 is None or document.tls_certificate_sha256 is None:
        return failed_step(
            "binding", "no-binding", "user_data does not bind a signing key and a TLS certificate"
        )
    unset = "0" * 64
    if document.signing_key_sha256 == unset:
        return failed_step(
            "binding", "unset-key", "the signing key's hash is unset: the enclave had no key yet"
        )
    if document.tls_certificate_sha256 == unset:
        return failed_step("binding", "unset-certificate", "the TLS certificate's hash is unset")
    return _passed(
        "binding",
        f"binds key {document.signing_key_sha256}, certificate {document.tls_certificate_sha256}",
    )


def _hash_step(name: str, what: str, code: str, bound: str | None, der: bytes | None) -> Step:
    if der is None:
        return Step(name, Status.MISSING, f"no {what} given to compare with")
    given = hashlib.sha256(der).hexdigest()
    if bound != given:
        return failed_step(
            name, code, f"the document binds {what} {bound or 'none'}, this one is {given}"
        )
    return _passed(name, f"the document binds this very {what}")


def _passed(name: str, detail: str) -> Step:
    return Step(name, Status.PASSED, detail)


def failed_step(name: str, code: str, detail: str) -> Step:
    """A step that found a fault."""
    return Step(name, Status.FAILED, detail, code)


def utc_seconds(moment: datetime) -> str:
    """A moment as a step tells it: ``2026-05-04 12:00:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"
