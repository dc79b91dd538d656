"""A receipt as the ledger stores it: its document without the bytes that many receipts share, and those bytes once."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from opg_magic.receipts.receipt import SupplementKind

#: Where a receipt's document holds bytes that many receipts share.
_SHARED = (
    ("signing_key",),
    ("host", "public_key"),
    ("host", "tls_certificate"),
    ("registry", "entry", "public_key"),
    ("registry", "entry", "tls_certificate"),
    ("attestation", "document"),
)


def deflate(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    slim: dict[str, Any] = json.loads(json.dumps(document))
    blobs: dict[str, bytes] = {}
    for holder, key in shared_places(slim):
        text = holder[key]
        if not isinstance(text, str):
            continue
        content = base64.b64decode(text)
        if base64.b64encode(content).decode() == text:
            sha256 = hashlib.sha256(content).hexdigest()
            blobs[sha256] = content
            holder[key] = {"blob": sha256}
    return slim, blobs


def with_parts(document: dict[str, Any], parts: Mapping[SupplementKind, dict[str, Any]] | None) -> dict[str, Any]:
    for kind, part in (parts or {}).items():
        if kind == "payment":
            document["payment"] = {**(document["payment"] or {}), "settled": part}
        else:
            document[kind] = part
    return document


def shared_places(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for *way, key in _SHARED:
        holder: Any = document
        for step in way:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(key) is not None:
            yield holder, key
