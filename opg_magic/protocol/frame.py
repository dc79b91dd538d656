"""The signed fields of an answer, read strictly.

Guards against attacks 13 and 15 of docs/trust.md."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Problem, strict_json

#: The keys that carry a host's signature, in a reply or in the last chunk of a stream.
SIGNED_KEYS = ("tee_signature", "tee_request_hash", "tee_output_hash", "tee_timestamp", "tee_id")

_HASH = re.compile(r"[0-9a-f]{64}")
_TEE_ID = re.compile(r"0x[0-9a-f]{64}")
_UINT256 = 2**256
#: The longest signature worth decoding: RSA-16384.
_MAX_SIGNATURE_CHARS = 2740


@dataclass(frozen=True, slots=True)
class SignedFields:
    """What a host signed: two 32-byte Keccak hashes and whole Unix seconds; ``tee_id`` (0x-hex)
    says whose key.

    ``signature`` is the raw RSA-PSS signature; ``tee_id`` itself is not covered by it.
    """

    request_hash: bytes
    output_hash: bytes
    timestamp: int
    tee_id: str
    signature: bytes


def carries_signature(message: Mapping[str, Any]) -> bool:
    """Whether any signed field is there.  A null one counts as absent."""
    return any(message.get(key) is not None for key in SIGNED_KEYS)


@lru_cache(maxsize=64)  # every claim reads the same frame
def read_signed_fields(frame: str) -> SignedFields | Problem:
    """Read the JSON text of a signed frame; else a :class:`Problem` (``ambiguous-json``,
    ``format``, ``unsigned``)."""
    try:
        message = strict_json.loads(frame)
    except MalformedMessage as error:
        return Problem(
            error.code if error.code == strict_json.AMBIGUOUS else "format", error.message
        )
    if not isinstance(message, dict):
        return Problem("format", "the signed frame is not a JSON object")
    return signed_fields(message)


def signed_fields(message: Mapping[str, Any]) -> SignedFields | Problem:
    """The same, from a parsed object.  Types are exact: no string for a number, no bool, no float,
    no junk."""
    if not carries_signature(message):
        return Problem("unsigned", "the host did not sign this answer")
    request_hash = _hash(message, "tee_request_hash")
    if isinstance(request_hash, Problem):
        return request_hash
    output_hash = _hash(message, "tee_output_hash")
    if isinstance(output_hash, Problem):
        return output_hash
    timestamp = message.get("tee_timestamp")
    # bool is an int in Python: type(), not isinstance().
    if type(timestamp) is not int or not 0 <= timestamp < _UINT256:
        return Problem("format", "tee_timestamp is not a whole number of seconds in 0 … 2^256 − 1")
    tee_id = message.get("tee_id")
    if not isinstance(tee_id, str) or not _TEE_ID.fullmatch(tee_id):
        return Problem("format", "tee_id is not 0x and 64 lower-case hex digits")
    signature = _canonical_base64(message.get("tee_signature"))
    if signature is None:
        return Problem("format", "tee_signature is not canonical base64")
    return SignedFields(request_hash, output_hash, timestamp, tee_id, signature)


def _hash(message: Mapping[str, Any], key: str) -> bytes | Problem:
    value = message.get(key)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        return Problem("format", f"{key} is not 64 lower-case hex digits")
    return bytes.fromhex(value)


def _canonical_base64(value: Any) -> bytes | None:
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not 0 < len(value) <= _MAX_SIGNATURE_CHARS
    ):
        return None
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Several texts decode to the same bytes (loose last bits); only one of them is canonical.
    return decoded if base64.b64encode(decoded).decode("ascii") == value else None
