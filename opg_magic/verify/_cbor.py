"""CBOR (RFC 8949) read strictly: no tags, little depth, no map that says two things about one
key."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NoReturn

import cbor2

from opg_magic.errors import MalformedMessage
from opg_magic.verify import _works

#: A payload nests a map in a map; anything deeper is not an attestation document.
MAX_DEPTH = 6

#: What the decoder, and the checks here, say of bytes that cannot be read.
_REFUSALS = (cbor2.CBORError, ValueError)


class _NoTags(dict[int, Any]):
    """Tags decode into dates, references, regular expressions, big numbers: none has a place in
    these documents."""

    def __getitem__(self, tag: int) -> NoReturn:
        raise ValueError(f"tag {tag} is not allowed")


def decode(data: bytes, *, indefinite: bool) -> tuple[Any, int]:
    """The first CBOR item of ``data`` and the number of bytes after it.

    ``indefinite`` allows maps, arrays and strings of indefinite length (genuine payloads use one,
    the envelope does not).

    Raises:
        MalformedMessage: code ``duplicate-keys`` where one map holds a key twice, ``not-cbor`` for
        all else that
            cannot be read.
        InstallationError: the decoder refuses what it must take.
    """
    try:
        return _decode(data, indefinite=indefinite, duplicates=False)
    except Exception as strict:
        _works.insist("cbor2", _takes_what_it_must, strict)
        if not isinstance(strict, _REFUSALS):
            raise
        try:
            _decode(data, indefinite=indefinite, duplicates=True)
        except _REFUSALS:
            reason = str(strict.__cause__ or strict)
            raise MalformedMessage(f"not readable as CBOR: {reason}", code="not-cbor") from None
        raise MalformedMessage("a map holds one key twice", code="duplicate-keys") from None


def _takes_what_it_must() -> bool:
    definite, indefinite = _works.CBOR
    return _decode(definite, indefinite=False, duplicates=False) == (
        {"a": [1, -2, b"b", None], 3: "t"},
        0,
    ) and _decode(indefinite, indefinite=True, duplicates=False) == ({"a": [1]}, 0)


def _decode(data: bytes, *, indefinite: bool, duplicates: bool) -> tuple[Any, int]:
    source = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        source,
        semantic_decoders=_NoTags(),
        max_depth=MAX_DEPTH,
        allow_indefinite=indefinite,
        allow_duplicate_keys=duplicates,
    )
    value = decoder.decode()
    _check_keys(value)
    return value, len(data) - source.tell()


def _check_keys(value: Any) -> None:
    """ValueError where a map or a list is a key: the decoder makes hashable values of them,
    documents have none."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, tuple | Mapping | frozenset):
                raise ValueError("a map or list as a key")  # noqa: TRY004 - as what else is wrong with the bytes
            _check_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_keys(inner)
