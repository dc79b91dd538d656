"""What a simulated enclave is known by: its signing key and its TLS certificate."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from opg_magic.protocol import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True)
class Signer:
    """An enclave's RSA-2048 key: DER SubjectPublicKeyInfo, and the id that follows from it."""

    key: rsa.RSAPrivateKey = field(repr=False)
    der: bytes = field(repr=False)
    tee_id: str

    @classmethod
    def create(cls) -> Signer:
        """A new key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(65537, 2048)
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(key, der, canonical.tee_id(der))

    @property
    def pem(self) -> str:
        """The public key as ``/signing-key`` gives it."""
        from cryptography.hazmat.primitives import serialization

        return (
            self.key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def sign(self, digest: bytes) -> bytes:
        """RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32, over 32 bytes: the hosts' own scheme."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self.key.sign(
            digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
        )


@dataclass(frozen=True)
class Certificate:
    """A TLS certificate with its key.  ``chain`` holds the issuers to present with it."""

    der: bytes = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = ()

    @classmethod
    def create(cls, name: str, issuer: Certificate | None = None) -> Certificate:
        """A certificate for 127.0.0.1 and localhost: self-signed (as ``openssl req -x509`` makes
        them), or issued."""
        from ipaddress import IPv4Address

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        parent = x509.load_der_x509_certificate(issuer.der) if issuer else None
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(IPv4Address("127.0.0.1")), x509.DNSName("localhost")]
        )
        signing = issuer.key if issuer else key
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(parent.subject if parent else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(names, critical=False)
            .add_extension(
                x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                critical=False,
            )
            .sign(signing, hashes.SHA256())
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        return cls(der, key, (issuer.der, *issuer.chain) if issuer else ())

    def load_into(self, context: ssl.SSLContext) -> None:
        """Present this certificate in new connections of the context."""
        from cryptography.hazmat.primitives import serialization

        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in (self.der, *self.chain)).encode()
        # OpenSSL reads key and chain from a file alone: one that only this user can read, gone at
        # once.
        with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
            file.write(key + pem)
        try:
            context.load_cert_chain(file.name)
        finally:
            Path(file.name).unlink()
