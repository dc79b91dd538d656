"""Lies in the attestation: debug mode, an old nonce, a foreign root, another key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opg_magic.simnet.host.conduct import (
    Enclave,
    Honest,
)

if TYPE_CHECKING:
    pass


class DebugPcrs(Honest):
    mode = "debug-pcrs"
    says = "attests an enclave in debug mode: PCR0 to PCR2 are zero"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, pcrs={})


class WrongNonce(Honest):
    mode = "wrong-nonce"
    says = "gives an old attestation, made for another nonce"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(bytes(20))


class NoAttestation(Honest):
    mode = "no-attestation"
    says = "has no attestation to give"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return None


class ForeignRoot(Honest):
    mode = "foreign-root"
    says = "attests under a root of its own making"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, authority=host.foreign_authority())


class ExpiredAttestation(Honest):
    mode = "expired-attestation"
    says = "attests with a certificate that had ended before the document's time"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, expired=True)


class UnsetKeyHash(Honest):
    mode = "unset-key-hash"
    says = "attests without having set its signing key"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, signing_key_der=None)


class OtherKeyHash(Honest):
    mode = "other-key-hash"
    says = "attests another host's signing key"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, signing_key_der=host.other_signer().der)


class OtherCertificateHash(Honest):
    mode = "other-certificate-hash"
    says = "attests another TLS certificate"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, tls_certificate_der=host.foreign_certificate_der())


class TrailingBytes(Honest):
    mode = "trailing-bytes"
    says = "puts bytes behind its attestation document"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, trailing=b"\x00\x01\x02")


class DuplicateCbor(Honest):
    mode = "duplicate-cbor"
    says = "writes a field of its attestation document twice"

    def attestation(self, host: Enclave, nonce: bytes) -> bytes | None:
        return host.attest(nonce, duplicate_key="user_data")
