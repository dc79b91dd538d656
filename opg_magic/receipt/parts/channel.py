"""The certificate that the TLS peer presented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import ChannelEvidence
from opg_magic.receipt.parts.interface import Judged


def write(judged: Judged) -> dict[str, Any] | None:
    """What the author's kernel saw of the connection."""
    channel = judged.evidence.channel
    if channel is None:
        return None
    return {
        "certificate_sha256": channel.certificate_sha256,
        "tls_version": channel.tls_version,
    }


def read(document: Mapping[str, Any]) -> ChannelEvidence | None:
    """The connection as it is judged."""
    channel = document["channel"]
    return None if channel is None else ChannelEvidence(**channel)
