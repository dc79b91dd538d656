"""The channel claim: the TLS peer presented exactly the registered certificate."""

from __future__ import annotations

import hashlib

from opg_magic.models import Claim, Evidence, Trust
from opg_magic.verify._claims import basis_of, failed, missing, passed


def check(evidence: Evidence, trust: Trust) -> Claim:
    """Compare the SHA-256 of the certificate presented with that of the host's registered one.

    Facts: ``certificate_sha256``, ``tls_version``.
    """
    channel, host = evidence.channel, evidence.host
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
