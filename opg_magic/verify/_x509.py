"""The path from an enclave's certificate to the root that its document brings along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from opg_magic.errors import MalformedMessage
from opg_magic.verify import _works


def load(der: bytes, what: str) -> x509.Certificate:
    """A certificate from DER.  Raises MalformedMessage (``certificate``) where it is none."""
    try:
        return _load(der)
    except Exception as error:
        _insist(error)
        raise MalformedMessage(
            f"{what} is not a certificate: {error}", code="certificate"
        ) from None


def _load(der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    # Both are read only now, and fail only now where they are no names.
    _ = certificate.subject, certificate.issuer
    return certificate


#: What cryptography says of certificates that it cannot take.  TypeError: of names whose values
#: have another type.
_REFUSALS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    verification.VerificationError,
)


def _insist(refusal: Exception) -> None:
    """Return where ``refusal`` is of a certificate; raise it, or InstallationError, where it is of
    the library."""
    if isinstance(refusal, MalformedMessage):
        raise refusal
    _works.insist("cryptography", _takes_what_it_must, refusal)
    if not isinstance(refusal, _REFUSALS):
        raise refusal


def _takes_what_it_must() -> bool:
    root, leaf = _load(_works.root()), _load(_works.leaf())
    key, extensions = leaf.public_key(), list(leaf.extensions)
    known = isinstance(key, ec.EllipticCurvePublicKey) and len(extensions) == 2
    return known and _verified(leaf, [root], _works.AT) == [leaf, root]


def leaf_key(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The P-384 key of an enclave's certificate, which must be an end entity's that may sign.

    The path's leaf policy permits everything (the genuine ones carry no authority key identifier,
    which every stricter policy demands), so the rules that matter for a leaf are here.

    Raises:
        MalformedMessage: code ``certificate``.
    """
    try:
        key = leaf.public_key()
        extensions = list(leaf.extensions)
    except Exception as error:
        _insist(error)
        raise MalformedMessage(
            f"the enclave's certificate cannot be read: {error}", code="certificate"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise MalformedMessage("the enclave's key is not on P-384", code="certificate")
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise MalformedMessage("the enclave's certificate is a CA's", code="certificate")
        elif isinstance(value, x509.KeyUsage):
            if not value.digital_signature:
                raise MalformedMessage("the enclave's key may not sign", code="certificate")
        elif extension.critical:
            raise MalformedMessage(
                f"unknown critical extension {extension.oid.dotted_string} in the enclave's "
                f"certificate",
                code="certificate",
            )
    return key


def _check_kind(certificate: x509.Certificate, *, authority: bool) -> None:
    """These chains hold one kind of key and signature, and authorities without constraints of names
    or purposes.

    What else a general verifier would take is refused, so that every verifier of ours can do the
    same."""
    who = common_name(certificate)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise MalformedMessage(
            f"no valid path to the document's own root: the key of {who} is not on P-384",
            code="path",
        )
    if certificate.signature_algorithm_oid != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise MalformedMessage(
            f"no valid path to the document's own root: {who} is not signed by ECDSA with SHA-384",
            code="path",
        )
    if not authority:
        return
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints | x509.ExtendedKeyUsage) or (
            extension.critical
            and not isinstance(extension.value, x509.BasicConstraints | x509.KeyUsage)
        ):
            raise MalformedMessage(
                f"no valid path to the document's own root: {who} has an extension that is not "
                f"understood here",
                code="path",
            )


def _check_names(bundle: Sequence[x509.Certificate]) -> None:
    """Two authorities of one name, or one that is there twice, make several paths of a bundle;
    verifiers of different making take different ones.  Genuine chains have a name of its own for
    each."""
    if len({_subject(certificate) for certificate in bundle}) < len(bundle):
        raise MalformedMessage(
            "no valid path to the document's own root: two certificates of the bundle have one "
            "name",
            code="path",
        )


def _subject(certificate: x509.Certificate) -> bytes:
    """The subject's own bytes: the fifth field of what is signed, after a version."""
    rest = _content(certificate.tbs_certificate_bytes)[0]
    for _ in range(5 if rest[0] == 0xA0 else 4):
        rest = _content(rest)[1]
    return rest[: len(rest) - len(_content(rest)[1])]


def _content(der: bytes) -> tuple[bytes, bytes]:
    """What the first element of DER that was read before holds, and what follows it."""
    length, start = der[1], 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return der[start : start + length], der[start + length :]


def check_path(leaf: x509.Certificate, bundle: Sequence[x509.Certificate], at: datetime) -> None:
    """Whether ``leaf`` chains through the whole of ``bundle`` (root first) to its first
    certificate, at that time.

    Raises:
        MalformedMessage: code ``expired`` where a certificate was not valid at ``at``, else
        ``path``.
    """
    at = at.replace(microsecond=0)  # certificates count in whole seconds
    for certificate in (leaf, *bundle):
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise MalformedMessage(
                f"{common_name(certificate)} was valid from "
                f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC, not at the document's "
                f"time",
                code="expired",
            )
    try:
        for certificate in (leaf, *bundle):
            _check_kind(certificate, authority=certificate is not leaf)
        _check_names(bundle)
        chain = _verified(leaf, bundle, at)
    except Exception as error:
        _insist(error)
        raise MalformedMessage(
            f"no valid path to the document's own root: {error}", code="path"
        ) from None
    if chain != [leaf, *reversed(bundle)]:
        raise MalformedMessage(
            "the bundle holds certificates that are not on the path, or out of order", code="path"
        )


def _verified(
    leaf: x509.Certificate, bundle: Sequence[x509.Certificate], at: datetime
) -> list[x509.Certificate]:
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([bundle[0]]))
        .time(at)
        .max_chain_depth(len(bundle))
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
            ee_policy=verification.ExtensionPolicy.permit_all(),
        )
        .build_client_verifier()
    )
    return list(verifier.verify(leaf, list(bundle[1:])).chain)


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name for people, or a placeholder; never control characters."""
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        text = str(names[0].value) if names else ""
    except _REFUSALS:
        text = ""
    return text if text and text.isprintable() else "a certificate without a readable name"
