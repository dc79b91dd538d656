"""What the simulated registry chain verifies natively, at address 0x…0900, as OpenGradient's does.

Two functions, called like those of a contract (ABI-encoded, dispatched by selector)::

    verifyAttestation(bytes document, bytes signingKey, bytes tlsCertificate) returns (bool valid,
    bytes32 pcrHash) verifyRSAPSS(bytes publicKey, bytes32 digest, bytes signature) returns (bool
    valid)

Both run the very code with which a client verifies (:mod:`opg_magic.verify`): a host that the chain
accepts is a host that a client accepts, for the same reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opg_magic.protocol.keccak import keccak256

if TYPE_CHECKING:
    from eth.abc import ComputationAPI

#: Where both chains of OpenGradient have it.
ADDRESS = (0x900).to_bytes(20, "big")

ATTESTATION = keccak256(b"verifyAttestation(bytes,bytes,bytes)")[:4]
RSA_PSS = keccak256(b"verifyRSAPSS(bytes,bytes32,bytes)")[:4]

#: Gas of one call: of the order of what the work costs beside a native one (ecrecover: 3000), plus
#: each byte read.
ATTESTATION_GAS = 60_000
RSA_PSS_GAS = 10_000
GAS_PER_BYTE = 3


class Verifier:
    """A py-evm precompile.  ``roots`` are the SHA-256 fingerprints (lower-case hex) of attestation
    roots that count.

    A call that cannot be decoded, or of an unknown function, reverts; a well-formed one always
    answers."""

    def __init__(self, roots: frozenset[str]) -> None:
        self.roots = roots

    def __call__(self, computation: ComputationAPI) -> ComputationAPI:
        from eth.exceptions import Revert

        data = computation.msg.data_as_bytes
        selector, arguments = data[:4], data[4:]
        if selector == ATTESTATION:
            computation.consume_gas(
                ATTESTATION_GAS + GAS_PER_BYTE * len(data), reason="attestation verification"
            )
            document, signing_key, certificate = _decode(("bytes", "bytes", "bytes"), arguments)
            pcr_hash = self._attest(document, signing_key, certificate, computation.state.timestamp)
            computation.output = _word(pcr_hash is not None) + (pcr_hash or bytes(32))
        elif selector == RSA_PSS:
            computation.consume_gas(
                RSA_PSS_GAS + GAS_PER_BYTE * len(data), reason="RSA-PSS verification"
            )
            public_key, digest, signature = _decode(("bytes", "bytes32", "bytes"), arguments)
            computation.output = _word(_verify_pss(public_key, digest, signature))
        else:
            raise Revert(b"")
        return computation

    def _attest(
        self, document: bytes, signing_key: bytes, certificate: bytes, now: int
    ) -> bytes | None:
        from opg_magic.verify.attestation import attest_for_registry

        return attest_for_registry(
            document,
            roots=self.roots,
            signing_key=signing_key,
            tls_certificate=certificate,
            now=now,
        )


def _decode(types: tuple[str, ...], arguments: bytes) -> tuple[Any, ...]:
    from eth.exceptions import Revert
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        return decode(types, arguments)
    except (DecodingError, OverflowError) as error:
        raise Revert(b"") from error


def _word(value: bool) -> bytes:
    return int(value).to_bytes(32, "big")


def _verify_pss(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
    from cryptography.hazmat.primitives.hashes import SHA256

    from opg_magic.verify.signature import SALT_BYTES, load_key

    try:
        load_key(public_key).verify(signature, digest, PSS(MGF1(SHA256()), SALT_BYTES), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
