"""The channel claim: the TLS peer presented exactly the registered certificate; on the private
route, the request was encrypted to the key that the registry lists."""

from __future__ import annotations

import hashlib
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import Claim, Evidence, SealedEvidence, Trust
from opg_magic.protocol.ohttp import sealing_key
from opg_magic.verify._claims import basis_of, failed, missing, passed


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Compare the SHA-256 of the certificate presented with that of the host's registered one.

    Facts: ``certificate_sha256``, ``tls_version``.  On the private route :func:`_sealed` has its
    own.
    """
    channel, host = evidence.channel, evidence.host
    if evidence.sealed is not None:
        return _sealed(evidence, evidence.sealed, trust)
    if channel is None:
        return missing(
            "channel",
            "It is not known which TLS peer answered.",
            "none",
            "no certificate was recorded",
        )
    facts = {"certificate_sha256": channel.certificate_sha256, "tls_version": channel.tls_version}
    if host is None:
        return missing(
            "channel",
            "There is no registered certificate to compare with.",
            "no-host",
            "no host is known",
            **facts,
        )
    # That this is the registry's own certificate too is the registry claim's to say.
    registered = hashlib.sha256(host.tls_certificate).hexdigest()
    basis = basis_of("channel", trust)
    if registered != channel.certificate_sha256.lower():
        return failed(
            "channel",
            basis,
            "The TLS peer did not present the registered certificate.",
            "wrong-certificate",
            f"presented {channel.certificate_sha256}, registered {registered}",
            **facts,
        )
    return passed(
        "channel", basis, "The TLS peer presented exactly the registered certificate.", **facts
    )


def _sealed(evidence: Evidence, sealed: SealedEvidence, trust: Trust) -> Claim:
    """Compare the key that the request was sealed to with the one in the host's registry entry.

    It rests on the registry alone: no attestation is known that binds this key.  Facts: ``route``
    (``private``), ``relay``, ``key_id``, ``sealing_key`` (hex)."""
    facts: dict[str, Any] = {
        "route": "private",
        "relay": sealed.relay,
        "key_id": sealed.header[0],
        "sealing_key": sealed.public_key.hex(),
    }
    if evidence.channel is not None:
        return failed(
            "channel",
            basis_of("channel", trust),
            "The receipt names two ways to the host for one call.",
            "two-ways",
            "a certificate and a relay are both recorded",
            **facts,
        )
    entry = evidence.registry.entry if evidence.registry is not None else None
    if entry is None:
        return missing(
            "channel",
            "There is no registry entry to compare the encryption key with.",
            "no-entry",
            "no registry entry is known",
            **facts,
        )
    basis = basis_of("registry", trust)
    try:
        listed = sealing_key(entry.ohttp_config)
        reason = None
        if sealed.public_key != listed.public_key:
            reason = "the key used is not the listed one"
        elif sealed.header != listed.header:
            reason = f"the header used is {sealed.header.hex()}, listed is {listed.header.hex()}"
    except MalformedMessage as unusable:
        reason = unusable.message
    if reason is not None:
        return failed(
            "channel",
            basis,
            "The request was not encrypted to the key that the registry lists for this host.",
            "wrong-key",
            reason,
            **facts,
        )
    return passed(
        "channel",
        basis,
        "The request was encrypted to the key that the registry lists for this host; no "
        "attestation binds that key.",
        **facts,
    )
