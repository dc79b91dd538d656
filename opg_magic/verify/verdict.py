"""The verdict over all claims: the first rule that applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from opg_magic.models import (
    CLAIM_NAMES,
    Basis,
    Claim,
    ClaimName,
    Evidence,
    Status,
    Trust,
    Verdict,
    VerdictStatus,
)
from opg_magic.models.prompts import RouteName
from opg_magic.verify._claims import missing
from opg_magic.verify.policy import DEFAULT, Policy

#: One check a claim: ``check`` in the module of its name, so that the table of claims is the only
#: list of them.
CHECKS: Mapping[ClaimName, Callable[[Evidence, Trust], Claim]] = {
    name: import_module(f"opg_magic.verify.{name}").check for name in CLAIM_NAMES
}


def judge(evidence: Evidence, *, policy: Policy = DEFAULT, trust: Trust) -> Verdict:
    """Check every claim on one exchange and return the verdict.  The same evidence, policy and
    trust always give the same one."""
    claims: dict[str, Claim] = {name: check(evidence, trust) for name, check in CHECKS.items()}
    return decide(claims, policy=policy, trust=trust, simulated=_simulated(evidence, claims))


def decide(
    claims: Mapping[str, Claim], *, policy: Policy = DEFAULT, trust: Trust, simulated: bool
) -> Verdict:
    """Return the verdict over claims that were checked: the first of FAILED, UNVERIFIED, PARTIAL,
    VERIFIED that applies, with the reason."""
    claims = _with_missing(claims, policy)
    unmet = _unmet(claims, policy, trust)
    lacking = any(_lacks(claims[name]) and name in unmet for name in policy.required)
    short_of_rpcs = "registry" in unmet and _too_few_rpcs(claims["registry"], policy)

    failures = [claim for claim in claims.values() if claim.status is Status.FAILED]
    if failures:
        status, because = VerdictStatus.FAILED, tuple(_told(claim) for claim in failures)
    elif reasons := _unverified(claims, trust):
        status, because = VerdictStatus.UNVERIFIED, reasons
    elif unmet:
        status, because = VerdictStatus.PARTIAL, tuple(unmet.values())
    else:
        status, because = VerdictStatus.VERIFIED, ()

    withheld = status is VerdictStatus.FAILED or (
        policy.withhold_missing and (status is VerdictStatus.UNVERIFIED or lacking or short_of_rpcs)
    )
    return Verdict(status, simulated, claims, policy.name, because, withheld)


def _simulated(evidence: Evidence, claims: Mapping[str, Claim]) -> bool:
    # Either word suffices, and nothing unsets it.
    return evidence.declared_simulated or bool(claims["attestation"].facts.get("simulated"))


def _with_missing(claims: Mapping[str, Claim], policy: Policy) -> dict[str, Claim]:
    """The claims in their usual order, with one that says "missing" for each required one that
    nobody checked."""
    complete: dict[str, Claim] = {}
    for name in CLAIM_NAMES:
        if name in claims:
            complete[name] = claims[name]
        elif name in policy.required:
            complete[name] = missing(
                name, f"Nothing was checked about {name}.", "unchecked", "there is no evidence"
            )
    return complete


def _unverified(claims: Mapping[str, Claim], trust: Trust) -> tuple[str, ...]:
    if not claims["signature"].passed:
        return tuple(
            _told(claims[name]) for name in ("response", "signature") if not claims[name].passed
        )
    if not claims["registry"].passed and not claims["attestation"].passed:
        return _told(claims["registry"]), _told(claims["attestation"])
    return ()


def _lacks(claim: Claim) -> bool:
    """Whether evidence is missing for which an answer may be withheld: that a host did not collect
    is not such."""
    return claim.status is Status.MISSING and not (
        claim.name == "payment" and claim.code == "expired"
    )


def _unmet(claims: Mapping[str, Claim], policy: Policy, trust: Trust) -> dict[str, str]:
    """Reason of each required claim that is not met for this verifier, by name."""
    unmet: dict[str, str] = {}
    for name in CLAIM_NAMES:
        if name not in policy.required:
            continue
        reason = _why_unmet(claims[name], claims, policy, trust)
        if reason is not None:
            unmet[name] = reason
    taken = route_of(claims["channel"])
    if policy.route is not None and taken != policy.route:
        unmet["route"] = f"route: the call took the {taken} route, required is {policy.route}"
    return unmet


def _why_unmet(
    claim: Claim, claims: Mapping[str, Claim], policy: Policy, trust: Trust
) -> str | None:
    attested = claims["attestation"]
    proven = _attested(attested, trust)
    if claim.name == "attestation":
        return None if proven else _told(claim)
    if claim.name == "registry" and claim.status is not Status.FAILED and _pinned(attested, trust):
        return None
    if not claim.passed:
        return _told(claim)
    if claim.basis is Basis.RECORDED and trust.reader:
        # A certificate that the enclave itself names needs no witness; the signed time is proven,
        # whenever it was sent.
        if claim.name == "channel" and proven and _binds_channel(claim, attested):
            return None
        if claim.name == "freshness":
            return None
        return f"{claim.name}: only recorded by the author of the receipt"
    if claim.name == "registry" and _too_few_rpcs(claim, policy):
        return f"registry: {len(claim.facts.get('rpcs', ()))} RPC asked, {policy.rpcs} must agree"
    return None


def _binds_channel(claim: Claim, attested: Claim) -> bool:
    # No attestation binds the key of the private route.
    return attested.facts.get("binds_certificate") is True and route_of(claim) == "direct"


def route_of(channel: Claim) -> RouteName:
    """The way that a call took, by its claim ``channel``."""
    return "private" if channel.facts.get("route") == "private" else "direct"


def _attested(claim: Claim, trust: Trust) -> bool:
    """A document under AWS' pinned root, or under a root known as simulated, that binds this very
    key."""
    facts = claim.facts
    root_known = facts.get("simulated") is True or facts.get("root_sha256") == trust.aws_root_sha256
    return (
        claim.passed
        and claim.basis is Basis.PROVEN
        and root_known
        and facts.get("binds_key") is not False
    )


def _pinned(claim: Claim, trust: Trust) -> bool:
    """The reader's own allow-list names the attested code: that stands for the registry."""
    return _attested(claim, trust) and claim.facts.get("pcr_hash") in {
        pcr.lower() for pcr in trust.pinned_pcrs
    }


def _too_few_rpcs(claim: Claim, policy: Policy) -> bool:
    return len(set(claim.facts.get("rpcs", ()))) < policy.rpcs


def _told(claim: Claim) -> str:
    return f"{claim.name}: {claim.reason or claim.sentence}"
