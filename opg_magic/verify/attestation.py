"""The attestation claim: this very signing key and TLS certificate were made inside a Nitro enclave
running code P.

A document is what protocol section 4 describes: an untagged COSE_Sign1 (ES384) over a CBOR payload,
under a certificate path that is judged **at the document's own time**, because an enclave's
certificate lives for three hours only.

:func:`examine` looks at one document and tells each step; :func:`check` makes the claim out of
evidence; :func:`attest_for_registry` is what a registry asks when a host registers."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import AWS_ROOT_SHA256, Basis, Claim, Evidence, Status, Trust

#: How old a document may be when the prompt is sent: hosts are asked for a fresh one at least once
#: a day.
MAX_DOCUMENT_AGE = timedelta(hours=24)
#: How far a registering host's clock may be ahead of the chain's.
REGISTRATION_SKEW = timedelta(seconds=300)

#: Genuine documents have 4 to 5 KiB.
MAX_DOCUMENT_BYTES = 64 * 1024
PCR_BYTES = 48
#: ``12 20`` (multihash: SHA2-256, 32 bytes), then the hash; once for the certificate, once for the
#: key.
_MULTIHASH = b"\x12\x20"
USER_DATA_BYTES = 68

_MAX_CERTIFICATE = 4096
_MAX_BUNDLE = 8
_MAX_PCRS = 32
_MAX_FIELD = 1024
_MAX_MODULE_ID = 256
_MAX_TIMESTAMP_MS = 253_402_300_799_999  # the last millisecond of the year 9999

#: Faults that still leave an attestation document to talk about: refused, where everything else is
#: unreadable.
_REFUSED_FORMS = frozenset(
    {"duplicate-keys", "tagged", "header", "signature", "field", "certificate"}
)


@dataclass(frozen=True, slots=True)
class AttestationDocument:
    """The payload of one document.

    ``pcrs`` maps an index (0 to 31) to 48 bytes, ``certificate`` and ``cabundle`` (root first) are
    DER, ``pcr_hash`` is ``0x`` + keccak256(PCR0 || PCR1 || PCR2) in hex.  The two ``…_sha256`` are
    what ``user_data`` binds, lower-case hex, None where ``user_data`` has another form."""

    module_id: str
    timestamp: datetime
    digest: str
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    pcr_hash: str
    tls_certificate_sha256: str | None
    signing_key_sha256: str | None


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


# ----------------------------------------------------------------- what one document says by itself


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
        document = _read_payload(payload)
        leaf = _x509.load(document.certificate, "certificate")
        bundle = [_x509.load(der, f"cabundle[{i}]") for i, der in enumerate(document.cabundle)]
        key = _x509.leaf_key(leaf)
    except MalformedMessage as error:
        if error.code not in _REFUSED_FORMS:
            return _Inspection(None, None, (), (error.code, error.message))
        return _Inspection(None, None, (_failed("form", error.code, error.message),))

    trailing = envelope.trailing + after
    if trailing:
        where = "the document" if envelope.trailing else "the payload"
        form = _failed("form", "trailing-bytes", f"{_bytes(trailing)} after the end of {where}")
    else:
        form = _passed("form", "COSE_Sign1 with ES384 around a Nitro document")

    try:
        _x509.check_path(leaf, bundle, document.timestamp)
        path = _passed(
            "path", f"{len(bundle) + 1} certificates, all valid at {_time(document.timestamp)}"
        )
    except MalformedMessage as error:
        path = _failed("path", error.code, error.message)

    if _cose.signature_holds(envelope, key):
        signature = _passed("signature", f"signed by {_x509.common_name(leaf)}")
    else:
        signature = _failed(
            "signature",
            "signature",
            "the signature is not by the key of the document's certificate",
        )

    zero = [str(i) for i in range(3) if not any(document.pcrs[i])]
    if zero:
        measured = _failed(
            "measurements",
            "debug-mode",
            f"PCR {', '.join(zero)} zero: the enclave runs in debug mode",
        )
    else:
        measured = _passed("measurements", f"pcrHash {document.pcr_hash}")
    root = hashlib.sha256(document.cabundle[0]).hexdigest()
    return _Inspection(document, root, (form, path, signature, measured))


def _read_payload(payload: Mapping[Any, Any]) -> AttestationDocument:
    """The fields, each of exactly the type and size that the Nitro document has.  Unknown further
    fields are signed too and do no harm."""

    def fail(what: str) -> MalformedMessage:
        return MalformedMessage(what, code="field")

    needed = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
    if not any(name in payload for name in needed):
        raise MalformedMessage("the payload is not a Nitro document", code="not-nitro")
    for name in needed:
        if name not in payload:
            raise fail(f"{name} is missing")

    module_id = payload["module_id"]
    if type(module_id) is not str or not 0 < len(module_id) <= _MAX_MODULE_ID:
        raise fail("module_id is not a short text")
    if not (module_id.isascii() and module_id.isprintable()):
        raise fail("module_id holds more than printable ASCII")
    if type(payload["digest"]) is not str or payload["digest"] != "SHA384":
        raise fail("digest is not SHA384")
    timestamp = payload["timestamp"]
    if type(timestamp) is not int or not 0 < timestamp <= _MAX_TIMESTAMP_MS:
        raise fail("timestamp is not a time in milliseconds")
    pcrs = payload["pcrs"]
    if type(pcrs) is not dict or not 0 < len(pcrs) <= _MAX_PCRS:
        raise fail("pcrs is not a map of 1 to 32 entries")
    for index, value in pcrs.items():
        if type(index) is not int or not 0 <= index < _MAX_PCRS:
            raise fail("pcrs has a key that is not an index from 0 to 31")
        if type(value) is not bytes or len(value) != PCR_BYTES:
            raise fail(f"PCR{index} does not have {PCR_BYTES} bytes")
    for index in range(3):
        if index not in pcrs:
            raise fail(f"PCR{index} is missing")
    certificate = _der(payload["certificate"], "certificate")
    bundle = payload["cabundle"]
    if type(bundle) is not list or not 0 < len(bundle) <= _MAX_BUNDLE:
        raise fail(f"cabundle is not a list of 1 to {_MAX_BUNDLE} certificates")
    cabundle = tuple(_der(item, f"cabundle[{i}]") for i, item in enumerate(bundle))
    user_data = _optional(payload, "user_data")
    tls_hash = key_hash = None
    if (
        user_data is not None
        and len(user_data) == USER_DATA_BYTES
        and user_data[:2] == _MULTIHASH
        and user_data[34:36] == _MULTIHASH
    ):
        tls_hash, key_hash = user_data[2:34].hex(), user_data[36:].hex()
    return AttestationDocument(
        module_id=module_id,
        # Not fromtimestamp(ms / 1000): a float would round.
        timestamp=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=timestamp),
        digest=payload["digest"],
        pcrs=MappingProxyType(dict(sorted(pcrs.items()))),
        certificate=certificate,
        cabundle=cabundle,
        public_key=_optional(payload, "public_key"),
        user_data=user_data,
        nonce=_optional(payload, "nonce"),
        pcr_hash=pcr_hash(pcrs),
        tls_certificate_sha256=tls_hash,
        signing_key_sha256=key_hash,
    )


def _der(value: Any, name: str) -> bytes:
    if type(value) is not bytes or not 0 < len(value) <= _MAX_CERTIFICATE:
        raise MalformedMessage(
            f"{name} is not a certificate of 1 to {_MAX_CERTIFICATE} bytes", code="field"
        )
    return value


def _optional(payload: Mapping[Any, Any], name: str) -> bytes | None:
    value = payload.get(name)
    if value is None:
        return None
    if type(value) is not bytes or len(value) > _MAX_FIELD:
        raise MalformedMessage(
            f"{name} is not a byte string of at most {_MAX_FIELD} bytes", code="field"
        )
    return value


def pcr_hash(pcrs: Mapping[int, bytes]) -> str:
    """``0x`` + hex of keccak256(PCR0 || PCR1 || PCR2), each 48 bytes: what the registry names code
    by (section 2)."""
    from opg_magic.protocol.keccak import keccak256

    return "0x" + keccak256(b"".join(pcrs[i] for i in range(3))).hex()


def user_data_for(signing_key: bytes, tls_certificate: bytes) -> bytes:
    """The 68 bytes by which a document binds a signing key and a certificate, both DER (section
    4)."""
    return b"".join(
        _MULTIHASH + hashlib.sha256(der).digest() for der in (tls_certificate, signing_key)
    )


# -------------------------------------------------------------------------- what the caller expects


def _root_step(root: str, simulated: bool, simulated_roots: Collection[str]) -> Step:
    if not simulated:
        return _passed("root", "AWS Nitro Enclaves' own root certificate")
    if root in simulated_roots:
        return _passed(
            "root", f"not AWS' root, but one that is accepted here as simulated: SHA-256 {root}"
        )
    return _failed(
        "root", "unknown-root", f"the root is not AWS' and not known here: SHA-256 {root}"
    )


def _nonce_step(document: AttestationDocument, nonce: bytes | None) -> Step:
    if nonce is None:
        return Step("nonce", Status.MISSING, "no nonce given to compare with")
    if document.nonce is None:
        return _failed("nonce", "wrong-nonce", "the document carries no nonce")
    if document.nonce != nonce:
        return _failed(
            "nonce",
            "wrong-nonce",
            f"the document carries {document.nonce.hex()}, asked was {nonce.hex()}",
        )
    return _passed("nonce", f"the one that was asked for, {nonce.hex()}")


def _binding_step(document: AttestationDocument) -> Step:
    if document.signing_key_sha256 is None or document.tls_certificate_sha256 is None:
        return _failed(
            "binding", "no-binding", "user_data does not bind a signing key and a TLS certificate"
        )
    unset = "0" * 64
    if document.signing_key_sha256 == unset:
        return _failed(
            "binding", "unset-key", "the signing key's hash is unset: the enclave had no key yet"
        )
    if document.tls_certificate_sha256 == unset:
        return _failed("binding", "unset-certificate", "the TLS certificate's hash is unset")
    return _passed(
        "binding",
        f"binds key {document.signing_key_sha256}, certificate {document.tls_certificate_sha256}",
    )


def _hash_step(name: str, what: str, code: str, bound: str | None, der: bytes | None) -> Step:
    if der is None:
        return Step(name, Status.MISSING, f"no {what} given to compare with")
    given = hashlib.sha256(der).hexdigest()
    if bound != given:
        return _failed(
            name, code, f"the document binds {what} {bound or 'none'}, this one is {given}"
        )
    return _passed(name, f"the document binds this very {what}")


def _passed(name: str, detail: str) -> Step:
    return Step(name, Status.PASSED, detail)


def _failed(name: str, code: str, detail: str) -> Step:
    return Step(name, Status.FAILED, detail, code)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"


# ---------------------------------------------------------------------------------------- the claim


def check(evidence: Evidence, trust: Trust) -> Claim:
    """The attestation claim.

    Passed means proven: under AWS' pinned root, or (``facts["simulated"]``) under one of
    ``trust.simulated_roots``, the document binds the key that signed and the registered
    certificate, carries the nonce that was asked for (where the evidence keeps one), names the code
    that the registry and the user's own allow-list name, and its time lies no more than
    ``trust.skew_seconds`` after receiving and no more than 24 hours (:data:`MAX_DOCUMENT_AGE`)
    before sending.

    Missing: no document, no key to compare with, or (``foreign-simulation``) a reader opens a
    receipt of somebody else's simulated network, whose root is not known here.

    Facts: ``simulated``, ``root_sha256``, ``pcr_hash``, ``module_id``, ``timestamp`` (ISO 8601),
    ``nonce`` (whether one was compared), ``binds_certificate`` (whether the registered certificate,
    and the one that the peer presented where that is recorded, is the one bound)."""
    offered = evidence.attestation
    if offered is None:
        return Claim(
            "attestation",
            Status.MISSING,
            None,
            "No attestation of the host's enclave was to be had.",
            reason="none offered",
            code="none",
            facts={"simulated": evidence.declared_simulated, "binds_certificate": False},
        )
    try:
        report = examine(
            offered.document,
            aws_root_sha256=trust.aws_root_sha256,
            simulated_roots=trust.simulated_roots,
            nonce=offered.nonce,
            signing_key=evidence.signing_key,
            tls_certificate=evidence.host.tls_certificate if evidence.host is not None else None,
        )
    except MalformedMessage as error:
        nothing = {"simulated": evidence.declared_simulated, "binds_certificate": False}
        return _refusal("unreadable", f"the document cannot be read: {error.message}", nothing)

    document = report.document
    facts: dict[str, Any] = {
        # Simulated is a root that is known to be, or what calls itself so; a root that nobody knows
        # is a fault.
        "simulated": (report.simulated or report.root_sha256 is None)
        and (
            evidence.declared_simulated
            or report.root_sha256 in {root.lower() for root in trust.simulated_roots}
        ),
        "root_sha256": report.root_sha256,
        "binds_certificate": False,
        "nonce": offered.nonce is not None,
    }
    if document is None:
        return _refusal(*_worst(report.failures), facts)
    facts |= {
        "pcr_hash": document.pcr_hash,
        "module_id": document.module_id,
        "timestamp": document.timestamp.isoformat(),
    }
    failures = report.failures + _compared(evidence, trust, document)
    if not failures:
        facts["binds_certificate"] = _binds_certificate(evidence, document)
    elif (
        [step.code for step in failures] == ["unknown-root"]
        and evidence.declared_simulated
        and trust.reader
    ):
        return Claim(
            "attestation",
            Status.MISSING,
            None,
            "The attestation is of somebody else's simulated network, whose root is not known "
            "here.",
            reason=failures[0].detail,
            code="foreign-simulation",
            facts=facts,
        )
    else:
        return _refusal(*_worst(failures), facts)

    if evidence.signing_key is None:
        return Claim(
            "attestation",
            Status.MISSING,
            None,
            "There is an attestation, but no signing key to compare with the one that it binds.",
            reason="no signing key",
            code="no-key",
            facts=facts,
        )
    bound = (
        "signing key and TLS certificate belong"
        if facts["binds_certificate"]
        else "signing key belongs"
    )
    made = "in a simulated enclave (not AWS')" if report.simulated else "in an AWS Nitro enclave"
    return Claim(
        "attestation",
        Status.PASSED,
        Basis.PROVEN,
        f"The host's {bound} to code {document.pcr_hash[:10]}… {made}.",
        facts=facts,
    )


def _refusal(code: str, reason: str, facts: Mapping[str, Any]) -> Claim:
    return Claim(
        "attestation",
        Status.FAILED,
        Basis.PROVEN,
        "The host's attestation does not hold.",
        reason=reason,
        code=code,
        facts=facts,
    )


def _worst(failures: tuple[Step, ...]) -> tuple[str, str]:
    """The first failure in the order of the steps: the later ones mean little where an earlier one
    fails."""
    first = failures[0]
    # For a claim about this key, a document that binds nothing binds the wrong key.
    code = "wrong-key" if first.code == "no-binding" else first.code or first.name
    return code, first.detail


def _compared(evidence: Evidence, trust: Trust, document: AttestationDocument) -> tuple[Step, ...]:
    """What the rest of the evidence says about the document: its time, the code it names, the
    peer's certificate."""
    steps = []
    # Differences, not sums: a receipt may name the first or the last day that there is.
    if document.timestamp - evidence.received_at > timedelta(seconds=trust.skew_seconds):
        when = f"dated {_time(document.timestamp)}, received {_time(evidence.received_at)}"
        steps.append(_failed("time", "future", f"the document comes from the future: {when}"))
    if evidence.sent_at - document.timestamp > MAX_DOCUMENT_AGE:
        when = f"dated {_time(document.timestamp)}, used {_time(evidence.sent_at)}"
        steps.append(_failed("time", "stale", f"the document is older than a day: {when}"))

    entry = evidence.registry.entry if evidence.registry is not None else None
    for named in (entry, evidence.host):
        if named is not None and named.pcr_hash.lower() != document.pcr_hash:
            detail = f"attested is code {document.pcr_hash}, the registry names {named.pcr_hash}"
            steps.append(_failed("code", "wrong-pcrs", detail))
            break
    if trust.pinned_pcrs and document.pcr_hash not in {
        pinned.lower() for pinned in trust.pinned_pcrs
    }:
        steps.append(
            _failed("code", "not-pinned", f"code {document.pcr_hash} is not in your allow-list")
        )

    if evidence.host is None and evidence.channel is not None:
        presented = evidence.channel.certificate_sha256.lower()
        if presented != document.tls_certificate_sha256:
            detail = f"the document binds {document.tls_certificate_sha256}, the peer presented {presented}"
            steps.append(_failed("tls_certificate", "wrong-certificate", detail))
    return tuple(steps)


def _binds_certificate(evidence: Evidence, document: AttestationDocument) -> bool:
    hashes = []
    if evidence.host is not None:
        hashes.append(hashlib.sha256(evidence.host.tls_certificate).hexdigest())
    if evidence.channel is not None:
        hashes.append(evidence.channel.certificate_sha256.lower())
    return bool(hashes) and all(value == document.tls_certificate_sha256 for value in hashes)


# ------------------------------------------------------------------------------------- the registry


def attest_for_registry(
    document: bytes,
    *,
    roots: Collection[str],
    signing_key: bytes,
    tls_certificate: bytes,
    now: float,
) -> bytes | None:
    """The code hash (32 bytes) that a registry records for a host, or None where the document does
    not hold.

    ``roots`` are the SHA-256 fingerprints of the accepted roots, ``now`` the block's time in Unix
    seconds.  The document must bind both keys and be at most 24 hours old."""
    try:
        report = examine(
            document,
            aws_root_sha256="",
            simulated_roots=roots,
            signing_key=signing_key,
            tls_certificate=tls_certificate,
        )
    except MalformedMessage:
        return None
    if not report.accepted or report.document is None:
        return None
    age = datetime.fromtimestamp(now, UTC) - report.document.timestamp
    if not -REGISTRATION_SKEW <= age <= MAX_DOCUMENT_AGE:
        return None
    return bytes.fromhex(report.document.pcr_hash[2:])
