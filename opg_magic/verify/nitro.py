"""A Nitro attestation document's payload: its fields, each of exactly the type and size that the
hypervisor writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from opg_magic.errors import MalformedMessage

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

_NEEDED = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")


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


def read_payload(payload: Mapping[Any, Any]) -> AttestationDocument:
    """The document out of its CBOR map.  Unknown further fields are signed too and do no harm.

    Raises:
        MalformedMessage: ``not-nitro`` for a map that is none of it, ``field`` for a field that is
            missing or has another type or size.
    """
    if not any(name in payload for name in _NEEDED):
        raise MalformedMessage("the payload is not a Nitro document", code="not-nitro")
    for name in _NEEDED:
        if name not in payload:
            raise _wrong(f"{name} is missing")
    module_id = _module_id(payload["module_id"])
    if type(payload["digest"]) is not str or payload["digest"] != "SHA384":
        raise _wrong("digest is not SHA384")
    timestamp = payload["timestamp"]
    if type(timestamp) is not int or not 0 < timestamp <= _MAX_TIMESTAMP_MS:
        raise _wrong("timestamp is not a time in milliseconds")
    pcrs = _pcrs(payload["pcrs"])
    certificate = _der(payload["certificate"], "certificate")
    bundle = payload["cabundle"]
    if type(bundle) is not list or not 0 < len(bundle) <= _MAX_BUNDLE:
        raise _wrong(f"cabundle is not a list of 1 to {_MAX_BUNDLE} certificates")
    cabundle = tuple(_der(item, f"cabundle[{i}]") for i, item in enumerate(bundle))
    user_data = _optional(payload, "user_data")
    tls_hash, key_hash = _bound(user_data)
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


def _wrong(what: str) -> MalformedMessage:
    return MalformedMessage(what, code="field")


def _module_id(value: Any) -> str:
    if type(value) is not str or not 0 < len(value) <= _MAX_MODULE_ID:
        raise _wrong("module_id is not a short text")
    if not (value.isascii() and value.isprintable()):
        raise _wrong("module_id holds more than printable ASCII")
    return value


def _pcrs(value: Any) -> dict[int, bytes]:
    if type(value) is not dict or not 0 < len(value) <= _MAX_PCRS:
        raise _wrong("pcrs is not a map of 1 to 32 entries")
    for index, measured in value.items():
        if type(index) is not int or not 0 <= index < _MAX_PCRS:
            raise _wrong("pcrs has a key that is not an index from 0 to 31")
        if type(measured) is not bytes or len(measured) != PCR_BYTES:
            raise _wrong(f"PCR{index} does not have {PCR_BYTES} bytes")
    for index in range(3):
        if index not in value:
            raise _wrong(f"PCR{index} is missing")
    return value


def _bound(user_data: bytes | None) -> tuple[str | None, str | None]:
    """The certificate's and the key's SHA-256 that ``user_data`` binds; None where it has another
    form."""
    if (
        user_data is not None
        and len(user_data) == USER_DATA_BYTES
        and user_data[:2] == _MULTIHASH
        and user_data[34:36] == _MULTIHASH
    ):
        return user_data[2:34].hex(), user_data[36:].hex()
    return None, None


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
    """``0x`` + hex of keccak256(PCR0 || PCR1 || PCR2), each 48 bytes: the
    name of a build in the registry."""
    from opg_magic.protocol.keccak import keccak256

    return "0x" + keccak256(b"".join(pcrs[i] for i in range(3))).hex()


def user_data_for(signing_key: bytes, tls_certificate: bytes) -> bytes:
    """The 68 bytes by which a document binds a signing key and a certificate, both DER (section
    4)."""
    return b"".join(
        _MULTIHASH + hashlib.sha256(der).digest() for der in (tls_certificate, signing_key)
    )
