"""The simulated network's attestation authority: what AWS' Nitro hypervisor is to real hosts.

Its documents have the shape of genuine ones (an untagged COSE_Sign1, the same fields in the same
order, a path of root, region, zone, instance and enclave, all on P-384, an enclave certificate of
three hours), under a root made per installation whose names say "simulated".  Nothing that it signs
means anything outside of the machine that it was made on."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from opg_magic.errors import SimnetError
from opg_magic.verify._cose import ALG, ES384, to_be_signed
from opg_magic.verify.nitro import PCR_BYTES, user_data_for

#: How long an enclave's certificate lives, as observed in genuine documents.
LEAF_LIFE = timedelta(hours=3)
ROOT_LIFE = timedelta(days=30 * 365)
#: The root is valid from before its making, so that documents of some time ago can be made too.
ROOT_BACKDATED = timedelta(days=365)
#: (label, how long such a certificate lives), from the root down, as observed.
_LEVELS = (
    ("region", timedelta(days=20)),
    ("zonal", timedelta(days=6)),
    ("instance", timedelta(days=1)),
)
REGION = "sim-local-1"
SUFFIX = "simulated.nitro-enclaves"
#: A certificate starts a little before its document's time, as in genuine ones.
_MARGIN = timedelta(seconds=3)
_PUBLIC_KEY = b"dummy"
_KEY_FILE, _ROOT_FILE = "authority-key.pem", "authority-root.pem"
_MAX_LEAVES = 64


class _Left:
    """Marks an argument that was left out, where None has a meaning."""


_LEFT = _Left()


@dataclass(frozen=True, slots=True)
class _Leaf:
    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    bundle: tuple[bytes, ...]
    not_before: datetime
    not_after: datetime


class Authority:
    """A root of simulated enclaves.  Made once per installation by :meth:`create`, kept by
    :meth:`save`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, root: x509.Certificate) -> None:
        self._key = key
        self._root = root
        self._leaves: dict[str, _Leaf] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Authority of simulated enclaves, root {self.root_sha256[:16]}…>"

    @classmethod
    def create(cls, *, now: datetime | None = None) -> Authority:
        """A new root with a new key, valid from a year before ``now`` (an aware time; left out:
        this moment)."""
        key = ec.generate_private_key(ec.SECP384R1())
        start = (now or datetime.now(UTC)) - ROOT_BACKDATED
        name = _name(SUFFIX)
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + ROOT_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(_usage(ca=True), critical=True)
            .sign(key, hashes.SHA384())
        )
        return cls(key, root)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority kept in ``folder``.  Raises FileNotFoundError where none is, SimnetError
        where it is damaged."""
        key_pem = (folder / _KEY_FILE).read_bytes()
        root_pem = (folder / _ROOT_FILE).read_bytes()
        try:
            key = serialization.load_pem_private_key(key_pem, password=None)
            root = x509.load_pem_x509_certificate(root_pem)
        except ValueError:
            raise _damaged(folder) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != root.public_key():
            raise _damaged(folder)
        return cls(key, root)

    def save(self, folder: Path) -> None:
        """Keep key and root certificate in ``folder`` (made 0700), readable by this user only."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_private(folder / _KEY_FILE, pem)
        _write_private(folder / _ROOT_FILE, self.root_pem)

    @classmethod
    def load_or_create(cls, folder: Path) -> Authority:
        """The authority kept in ``folder``; a new one, kept there, where none is."""
        with suppress(FileNotFoundError):
            return cls.load(folder)
        authority = cls.create()
        authority.save(folder)
        return authority

    @property
    def root_der(self) -> bytes:
        """The root certificate (DER)."""
        return self._root.public_bytes(serialization.Encoding.DER)

    @property
    def root_pem(self) -> bytes:
        """The root certificate (PEM)."""
        return self._root.public_bytes(serialization.Encoding.PEM)

    @property
    def root_sha256(self) -> str:
        """The root's fingerprint, lower-case hex: what a network profile lists under
        ``simulated_roots``."""
        return hashlib.sha256(self.root_der).hexdigest()

    # ------------------------------------------------------------------------------------ documents

    def document(
        self,
        *,
        pcrs: Mapping[int, bytes],
        timestamp_ms: int,
        module_id: str = "i-00000000000000000-enc0000000000000000",
        nonce: bytes | None = None,
        signing_key_der: bytes | None = None,
        tls_certificate_der: bytes | None = None,
        user_data: bytes | _Left | None = _LEFT,
        expired: bool = False,
        duplicate_key: str | None = None,
        trailing: bytes = b"",
        trailing_payload: bytes = b"",
        fields: Mapping[str, Any] | None = None,
        protected: Mapping[int, Any] | None = None,
    ) -> bytes:
        """Return one attestation document: the bytes of an untagged COSE_Sign1, as AWS has it.

        ``pcrs`` maps indices to 48 bytes; those not given up to 15 are zero, as in genuine ones.
        ``user_data`` follows from the two DER inputs (an input left out counts as unset: 32 zero
        bytes) unless it is given itself.

        What follows serves the cheats, and makes a document that must be refused: ``expired`` gives
        the enclave a certificate that ended before the document's time, ``duplicate_key`` writes
        that field twice, ``trailing`` and ``trailing_payload`` come after the envelope and after
        the payload inside it, ``fields`` replaces or adds payload fields (a value of ``...`` leaves
        one out), ``protected`` replaces the protected header."""
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=timestamp_ms)
        leaf = self._mint(module_id, at - 2 * LEAF_LIFE) if expired else self._leaf(module_id, at)
        if isinstance(user_data, _Left):
            user_data = _user_data(signing_key_der, tls_certificate_der)
        payload: dict[str, Any] = {
            "module_id": module_id,
            "digest": "SHA384",
            "timestamp": timestamp_ms,
            "pcrs": {i: bytes(PCR_BYTES) for i in range(16)} | dict(pcrs),
            "certificate": leaf.certificate,
            "cabundle": list(leaf.bundle),
            "public_key": _PUBLIC_KEY,
            "user_data": user_data,
            "nonce": nonce,
        }
        payload |= fields or {}
        pairs = [(name, value) for name, value in payload.items() if value is not ...]
        if duplicate_key is not None:
            pairs.append((duplicate_key, payload[duplicate_key]))
        # A map of indefinite length, as genuine documents have it.
        encoded = (
            b"\xbf"
            + b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in pairs)
            + b"\xff"
        )
        header = cbor2.dumps(dict(protected) if protected is not None else {ALG: ES384})
        body = encoded + trailing_payload
        r, s = decode_dss_signature(
            leaf.key.sign(to_be_signed(header, body), ec.ECDSA(hashes.SHA384()))
        )
        signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
        return cbor2.dumps([header, {}, body, signature]) + trailing

    # --------------------------------------------------------------------------------- certificates

    def _leaf(self, module_id: str, at: datetime) -> _Leaf:
        """The enclave's certificate that is valid at that time; one made earlier while it lasts."""
        with self._lock:
            leaf = self._leaves.get(module_id)
            if leaf is None or not leaf.not_before <= at < leaf.not_after:
                leaf = self._mint(module_id, at)
                if len(self._leaves) >= _MAX_LEAVES:
                    self._leaves.pop(next(iter(self._leaves)))
                self._leaves[module_id] = leaf
            return leaf

    def _mint(self, module_id: str, at: datetime) -> _Leaf:
        start = at.replace(microsecond=0) - _MARGIN
        instance = module_id.split("-enc", 1)[0]
        issuer, issuer_key = self._root, self._key
        bundle = [self._root]
        for depth, (level, life) in enumerate(_LEVELS):
            label = {
                "region": f"{os.urandom(8).hex()}.{REGION}",
                "zonal": f"{os.urandom(8).hex()}.zonal.{REGION}",
                "instance": f"{instance}.{REGION}",
            }[level]
            key = ec.generate_private_key(ec.SECP384R1())
            certificate = (
                _builder(
                    f"{label}.{SUFFIX}",
                    issuer,
                    key.public_key(),
                    start,
                    min(start + life, _end(issuer)),
                )
                .add_extension(
                    x509.BasicConstraints(ca=True, path_length=len(_LEVELS) - 1 - depth),
                    critical=True,
                )
                .add_extension(_authority_key_identifier(issuer), critical=False)
                .add_extension(
                    x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
                )
                .add_extension(_usage(ca=True), critical=True)
                .sign(issuer_key, hashes.SHA384())
            )
            bundle.append(certificate)
            issuer, issuer_key = certificate, key
        key = ec.generate_private_key(ec.SECP384R1())
        end = min(start + LEAF_LIFE, _end(issuer))
        # No authority key identifier: genuine enclave certificates have none, and stricter policies
        # stumble over that.
        leaf = (
            _builder(f"{module_id}.{REGION}.simulated", issuer, key.public_key(), start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=False)
            .sign(issuer_key, hashes.SHA384())
        )
        der = serialization.Encoding.DER
        return _Leaf(
            key, leaf.public_bytes(der), tuple(c.public_bytes(der) for c in bundle), start, end
        )


def _user_data(signing_key: bytes | None, tls_certificate: bytes | None) -> bytes:
    bound = user_data_for(signing_key or b"", tls_certificate or b"")
    if tls_certificate is None:
        bound = bound[:2] + bytes(32) + bound[34:]
    if signing_key is None:
        bound = bound[:36] + bytes(32)
    return bound


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated network"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Not AWS"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _builder(
    common_name: str,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _end(issuer: x509.Certificate) -> datetime:
    return issuer.not_valid_after_utc


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` at once by a file that is 0600 from its first byte."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _damaged(folder: Path) -> SimnetError:
    return SimnetError(
        f"The simulated network's attestation key in {folder} is damaged.",
        hint="Remove the folder; the next start makes a new one (earlier receipts are then of an "
        "unknown simulation).",
    )
