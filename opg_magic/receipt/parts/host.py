"""The host as the registry lists it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import Host
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import b64, decoded


def write(judged: Judged) -> dict[str, Any] | None:
    """The host that was asked; None where none was chosen."""
    host = judged.evidence.host
    return None if host is None else entry_json(host)


def read(document: Mapping[str, Any]) -> Host | None:
    """The host that was asked."""
    entry = document["host"]
    return None if entry is None else entry_of(entry)


def entry_json(host: Host) -> dict[str, Any]:
    """A registry entry as JSON data."""
    return {
        "tee_id": host.tee_id,
        "owner": host.owner,
        "payment_address": host.payment_address,
        "endpoint": host.endpoint,
        "public_key": b64(host.public_key),
        "tls_certificate": b64(host.tls_certificate),
        "pcr_hash": host.pcr_hash,
        "tee_type": host.tee_type,
        "enabled": host.enabled,
        "registered_at": str(host.registered_at),
        "last_heartbeat_at": str(host.last_heartbeat_at),
        "ohttp_config": None if host.ohttp_config is None else _pack(dict(host.ohttp_config)),
    }


def entry_of(d: Mapping[str, Any]) -> Host:
    """A registry entry out of its JSON data; ValueError for a value that cannot be."""
    return Host(
        tee_id=d["tee_id"],
        owner=d["owner"],
        payment_address=d["payment_address"],
        endpoint=d["endpoint"],
        public_key=decoded(d["public_key"]),
        tls_certificate=decoded(d["tls_certificate"]),
        pcr_hash=d["pcr_hash"],
        tee_type=d["tee_type"],
        enabled=d["enabled"],
        registered_at=int(d["registered_at"]),
        last_heartbeat_at=int(d["last_heartbeat_at"]),
        ohttp_config=None if d["ohttp_config"] is None else _unpack(d["ohttp_config"]),
    )


def _pack(value: Any) -> Any:
    """Registry values as JSON: bytes as ``{"base64": ...}``, integers as ``{"int": "..."}``."""
    if isinstance(value, bytes):
        return {"base64": b64(value)}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, Mapping):
        return {str(k): _pack(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(v) for v in value]
    raise TypeError(f"{type(value).__name__} in a registry entry")


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"base64"}:
            return decoded(value["base64"])
        if set(value) == {"int"}:
            return int(value["int"])
        return {k: _unpack(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    return value
