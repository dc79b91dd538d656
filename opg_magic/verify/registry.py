"""The registry claim: the host was active in the registry of chain C at block B."""

from __future__ import annotations

from typing import Any

from opg_magic.models import Claim, Evidence, Host, RegistryEvidence, Trust
from opg_magic.protocol.canonical import tee_id
from opg_magic.verify._claims import basis_of, failed, missing, passed

#: A block further than this from the call says nothing about it: the registry's own
#: ``heartbeatMaxAge``.
MAX_BLOCK_DISTANCE_SECONDS = 1800

#: The registry's type of a host that answers prompts; the other type validates.
LLM_PROXY = 0

_NOT_LISTED = "The registry does not list this host."


def check(evidence: Evidence, trust: Trust) -> Claim:
    """The entry at that block must be this very host's, enabled, with approved code.

    Facts: ``chain_id``, ``contract``, ``block_number``, ``block_hash``, ``rpcs`` (host labels that
    agreed), ``pcr_hash``, ``pcr_version``, ``registry_pinned`` (whether this verifier named the
    registry it means), ``since`` (what became of the entry later, where that was asked: it does not
    undo what held at the block)."""
    registry = evidence.registry
    if registry is None:
        return missing(
            "registry",
            "The registry was not asked about this host.",
            "none",
            "no registry entry is known",
        )
    facts: dict[str, Any] = {
        "chain_id": registry.chain_id,
        "contract": registry.contract,
        "block_number": registry.block_number,
        "block_hash": registry.block_hash,
        "rpcs": tuple(dict.fromkeys(registry.rpcs)),
        "pcr_version": registry.pcr_version,
        "registry_pinned": trust.registry is not None,
    }
    if evidence.signing_key is None and evidence.host is None:
        return missing(
            "registry",
            "It is not known which host to look for.",
            "no-key",
            "no key is known",
            **facts,
        )
    basis = basis_of("registry", trust)
    if registry.since is not None:
        facts["since"] = registry.since
    if registry.disagreement is not None:
        sentence = "The RPCs that were asked disagree about this host."
        return failed("registry", basis, sentence, "rpcs-disagree", registry.disagreement, **facts)
    fault = _fault(evidence, registry, trust)
    if fault is not None:
        return failed("registry", basis, *fault, **facts)
    seconds = _distance(evidence, registry)
    if seconds > MAX_BLOCK_DISTANCE_SECONDS + trust.skew_seconds:
        reason = f"block {registry.block_number} lies {seconds:.0f} s from the call"
        return missing(
            "registry",
            "The registry's entry is not of the time of the call.",
            "stale",
            reason,
            **facts,
        )
    entry = registry.entry
    return passed(
        "registry",
        basis,
        _sentence(registry, trust),
        pcr_hash=entry.pcr_hash if entry is not None else None,
        **facts,
    )


def _sentence(registry: RegistryEvidence, trust: Trust) -> str:
    witnesses = len(set(registry.rpcs))
    said = "one RPC says so" if witnesses == 1 else f"{witnesses} RPCs agree"
    unnamed = "" if trust.registry is not None else ", not compared with a registry that you name"
    since = f"; {registry.since}" if registry.since is not None else ""
    return (
        f"The host was active in the registry of chain {registry.chain_id} at block "
        f"{registry.block_number} ({said}{unnamed}){since}."
    )


def _fault(
    evidence: Evidence, registry: RegistryEvidence, trust: Trust
) -> tuple[str, str, str] | None:
    """(sentence, code, reason) of the first thing that is wrong."""
    if trust.registry is not None:
        chain_id, contract = trust.registry
        if (registry.chain_id, registry.contract.lower()) != (chain_id, contract.lower()):
            asked = f"{registry.contract} on chain {registry.chain_id}"
            reason = f"asked was {asked}, meant is {contract} on {chain_id}"
            return (
                "Another registry was asked than the one that is meant.",
                "wrong-registry",
                reason,
            )
    entry = registry.entry
    if entry is None:
        return _NOT_LISTED, "not-listed", registry.inactive_reason or "not listed"
    if entry.tee_id.lower() != tee_id(entry.public_key):
        return (
            "The registry's entry does not fit itself.",
            "wrong-entry",
            "tee_id is not the hash of the key",
        )
    if entry.tee_type != LLM_PROXY:
        return (
            _NOT_LISTED,
            "wrong-entry",
            f"the registered type is {entry.tee_type}, not that of a host for prompts",
        )
    for name, mine, theirs in _compared(evidence, entry):
        if mine != theirs:
            code = "not-listed" if name == "signing key" else "wrong-entry"
            return _NOT_LISTED, code, f"the registered {name} is not this host's"
    if registry.pcr_approved is False:
        reason = registry.inactive_reason or "PCR revoked"
        return "The registry does not approve the code that this host runs.", "pcr-revoked", reason
    if not registry.active or not entry.enabled:
        reason = registry.inactive_reason or ("disabled" if not entry.enabled else "not active")
        return "The host was not active in the registry.", "inactive", reason
    return None


def _compared(evidence: Evidence, entry: Host) -> list[tuple[str, object, object]]:
    pairs: list[tuple[str, object, object]] = []
    host = evidence.host
    if evidence.signing_key is not None:
        pairs.append(("signing key", evidence.signing_key, entry.public_key))
    if host is not None:
        pairs += [
            ("signing key", host.public_key, entry.public_key),
            ("id", host.tee_id.lower(), entry.tee_id.lower()),
            ("certificate", host.tls_certificate, entry.tls_certificate),
            ("PCR hash", host.pcr_hash.lower(), entry.pcr_hash.lower()),
            ("owner", host.owner.lower(), entry.owner.lower()),
            ("payment address", host.payment_address.lower(), entry.payment_address.lower()),
        ]
    return pairs


def _distance(evidence: Evidence, registry: RegistryEvidence) -> float:
    """Seconds between the block and the call, 0 for a block during it."""
    block = registry.block_time
    before = (evidence.sent_at - block).total_seconds()
    after = (block - evidence.received_at).total_seconds()
    return max(before, after, 0.0)
