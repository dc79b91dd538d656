"""Hosts, as the on-chain registry lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of the on-chain registry.  Bytes are raw DER; hashes are
    0x-hex."""

    tee_id: str
    owner: str
    payment_address: str
    endpoint: str
    public_key: bytes
    tls_certificate: bytes
    pcr_hash: str
    tee_type: int
    enabled: bool
    registered_at: int
    last_heartbeat_at: int
    ohttp_config: Mapping[str, Any] | None = None

    @property
    def short_id(self) -> str:
        """First and last four hex digits, for people."""
        return f"{self.tee_id[2:6]}…{self.tee_id[-4:]}"
