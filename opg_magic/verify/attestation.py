"""The attestation claim: this very signing key and TLS certificate were made inside a Nitro enclave
running code P.

:func:`check` makes the claim out of evidence; :func:`attest_for_registry` is what a registry asks
when a host registers."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from opg_magic.errors import MalformedMessage
from opg_magic.models import AttestationEvidence, Basis, Claim, Evidence, Trust
from opg_magic.verify._claims import failed, missing, passed
from opg_magic.verify.examination import (
    AttestationReport,
    Step,
    examine,
    failed_step,
    utc_seconds,
)
from opg_magic.verify.nitro import AttestationDocument

#: How old a document may be when the prompt is sent: hosts are asked for a fresh one at least once
#: a day.
MAX_DOCUMENT_AGE = timedelta(hours=24)
#: How far a registering host's clock may be ahead of the chain's.
REGISTRATION_SKEW = timedelta(seconds=300)


def check(evidence: Evidence, trust: Trust) -> Claim:
    """The attestation claim.

    Passed means proven: under AWS' pinned root, or (``facts["simulated"]``) under one of
    ``trust.simulated_roots``, the document binds the key that signed and the registered
    certificate, carries the nonce that was asked for (where the evidence keeps one), names the code
    that the registry and the user's own allow-list name, and its time lies no more than
    ``trust.skew_seconds`` after receiving and no more than 24 hours (:data:`MAX_DOCUMENT_AGE`)
    before sending.

    Missing: no document, no key to compare with, or (``foreign-simulation``) a reader opens a
    receipt of somebody else's simulated network, whose root is not known here.

    Facts: ``simulated``, ``root_sha256``, ``pcr_hash``, ``module_id``, ``timestamp`` (ISO 8601),
    ``nonce`` (whether one was compared), ``binds_certificate`` (whether the registered certificate,
    and the one that the peer presented where that is recorded, is the one bound)."""
    offered = evidence.attestation
    nothing: dict[str, Any] = {
        "simulated": evidence.declared_simulated,
        "binds_certificate": False,
    }
    if offered is None:
        sentence = "No attestation of the host's enclave was to be had."
        return missing("attestation", sentence, "none", "none offered", **nothing)
    try:
        report = examine(
            offered.document,
            aws_root_sha256=trust.aws_root_sha256,
            simulated_roots=trust.simulated_roots,
            nonce=offered.nonce,
            signing_key=evidence.signing_key,
            tls_certificate=evidence.host.tls_certificate if evidence.host is not None else None,
        )
    except MalformedMessage as error:
        return _refusal("unreadable", f"the document cannot be read: {error.message}", nothing)
    facts = _facts(report, offered, evidence, trust)
    if report.document is None:
        return _refusal(*_worst(report.failures), facts)
    failures = report.failures + _compared(evidence, trust, report.document)
    if failures:
        return _refused(failures, evidence, trust, facts)
    facts["binds_certificate"] = _binds_certificate(evidence, report.document)
    if evidence.signing_key is None:
        sentence = (
            "There is an attestation, but no signing key to compare with the one that it binds."
        )
        return missing("attestation", sentence, "no-key", "no signing key", **facts)
    sentence = _sentence(report.document, facts["binds_certificate"], report.simulated)
    return passed("attestation", Basis.PROVEN, sentence, **facts)


def _facts(
    report: AttestationReport, offered: AttestationEvidence, evidence: Evidence, trust: Trust
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        # Simulated is a root that is known to be, or what calls itself so; a root that nobody knows
        # is a fault.
        "simulated": (report.simulated or report.root_sha256 is None)
        and (
            evidence.declared_simulated
            or report.root_sha256 in {root.lower() for root in trust.simulated_roots}
        ),
        "root_sha256": report.root_sha256,
        "binds_certificate": False,
        "nonce": offered.nonce is not None,
    }
    if report.document is not None:
        facts |= {
            "pcr_hash": report.document.pcr_hash,
            "module_id": report.document.module_id,
            "timestamp": report.document.timestamp.isoformat(),
        }
    return facts


def _refused(
    failures: tuple[Step, ...], evidence: Evidence, trust: Trust, facts: Mapping[str, Any]
) -> Claim:
    """Failed, unless all that is wrong is that a stranger's simulated network has its own root."""
    unknown_root = [step.code for step in failures] == ["unknown-root"]
    if unknown_root and evidence.declared_simulated and trust.reader:
        return missing(
            "attestation",
            "The attestation is of somebody else's simulated network, whose root is not known "
            "here.",
            "foreign-simulation",
            failures[0].detail,
            **facts,
        )
    return _refusal(*_worst(failures), facts)


def _sentence(document: AttestationDocument, binds_certificate: bool, simulated: bool) -> str:
    bound = "signing key and TLS certificate belong" if binds_certificate else "signing key belongs"
    made = "in a simulated enclave (not AWS')" if simulated else "in an AWS Nitro enclave"
    return f"The host's {bound} to code {document.pcr_hash[:10]}… {made}."


def _refusal(code: str, reason: str, facts: Mapping[str, Any]) -> Claim:
    sentence = "The host's attestation does not hold."
    return failed("attestation", Basis.PROVEN, sentence, code, reason, **facts)


def _worst(failures: tuple[Step, ...]) -> tuple[str, str]:
    """The first failure in the order of the steps: the later ones mean little where an earlier one
    fails."""
    first = failures[0]
    # For a claim about this key, a document that binds nothing binds the wrong key.
    code = "wrong-key" if first.code == "no-binding" else first.code or first.name
    return code, first.detail


def _compared(evidence: Evidence, trust: Trust, document: AttestationDocument) -> tuple[Step, ...]:
    """What the rest of the evidence says about the document: its time, the code it names, the
    peer's certificate."""
    steps = []
    # Differences, not sums: a receipt may name the first or the last day that there is.
    if document.timestamp - evidence.received_at > timedelta(seconds=trust.skew_seconds):
        when = (
            f"dated {utc_seconds(document.timestamp)}, received {utc_seconds(evidence.received_at)}"
        )
        steps.append(failed_step("time", "future", f"the document comes from the future: {when}"))
    if evidence.sent_at - document.timestamp > MAX_DOCUMENT_AGE:
        when = f"dated {utc_seconds(document.timestamp)}, used {utc_seconds(evidence.sent_at)}"
        steps.append(failed_step("time", "stale", f"the document is older than a day: {when}"))

    entry = evidence.registry.entry if evidence.registry is not None else None
    for named in (entry, evidence.host):
        if named is not None and named.pcr_hash.lower() != document.pcr_hash:
            detail = f"attested is code {document.pcr_hash}, the registry names {named.pcr_hash}"
            steps.append(failed_step("code", "wrong-pcrs", detail))
            break
    if trust.pinned_pcrs and document.pcr_hash not in {
        pinned.lower() for pinned in trust.pinned_pcrs
    }:
        steps.append(
            failed_step("code", "not-pinned", f"code {document.pcr_hash} is not in your allow-list")
        )

    if evidence.host is None and evidence.channel is not None:
        presented = evidence.channel.certificate_sha256.lower()
        if presented != document.tls_certificate_sha256:
            bound = document.tls_certificate_sha256
            detail = f"the document binds {bound}, the peer presented {presented}"
            steps.append(failed_step("tls_certificate", "wrong-certificate", detail))
    return tuple(steps)


def _binds_certificate(evidence: Evidence, document: AttestationDocument) -> bool:
    hashes = []
    if evidence.host is not None:
        hashes.append(hashlib.sha256(evidence.host.tls_certificate).hexdigest())
    if evidence.channel is not None:
        hashes.append(evidence.channel.certificate_sha256.lower())
    return bool(hashes) and all(value == document.tls_certificate_sha256 for value in hashes)


def attest_for_registry(
    document: bytes,
    *,
    roots: Collection[str],
    signing_key: bytes,
    tls_certificate: bytes,
    now: float,
) -> bytes | None:
    """The code hash (32 bytes) that a registry records for a host, or None where the document does
    not hold.

    ``roots`` are the SHA-256 fingerprints of the accepted roots, ``now`` the block's time in Unix
    seconds.  The document must bind both keys and be at most 24 hours old."""
    try:
        report = examine(
            document,
            aws_root_sha256="",
            simulated_roots=roots,
            signing_key=signing_key,
            tls_certificate=tls_certificate,
        )
    except MalformedMessage:
        return None
    if not report.accepted or report.document is None:
        return None
    age = datetime.fromtimestamp(now, UTC) - report.document.timestamp
    if not -REGISTRATION_SKEW <= age <= MAX_DOCUMENT_AGE:
        return None
    return bytes.fromhex(report.document.pcr_hash[2:])
