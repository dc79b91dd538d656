/** The verdict over all claims: the first rule that applies. */

import { Claim } from './shared';
import { DEFAULT, Policy, Route } from './policy';
import { CLAIM_NAMES, ClaimName, VerdictStatus } from '../receipt/receipt';
import { Trust } from './trust';

export type Claims = Readonly<Record<ClaimName, Claim>>;

/** The first rule that applied; `simulated` is shown wherever the verdict is. */
export interface Verdict {
  /** Never VERIFIED where `simulated` is set: it is then SIMULATED. */
  readonly status: VerdictStatus | 'SIMULATED';
  readonly simulated: boolean;
  /** What may be shown to a person: never a bare VERIFIED for a simulated network. */
  readonly label: string;
  readonly claims: Claims;
  readonly policy: string;
  /** The claims that decided it, and why, in words. */
  readonly because: readonly string[];
  /** An answer must not be handed out: failed, or a required claim is missing under strict or audit. */
  readonly withheld: boolean;
}

/** FAILED, UNVERIFIED, PARTIAL, VERIFIED: the first that applies, and the claims that decided it, in words. */
export function decide(claims: Claims, trust: Trust, simulated: boolean, policy: Policy = DEFAULT): Verdict {
  const unmet = new Map<ClaimName | 'route', string>();
  for (const name of CLAIM_NAMES) {
    const reason = policy.required.has(name) ? whyUnmet(claims[name], claims, policy, trust) : null;
    if (reason !== null) {
      unmet.set(name, reason);
    }
  }
  const lacking = [...unmet.keys()].some(name => name !== 'route' && lacks(claims[name]));
  const taken = routeOf(claims.channel);
  if (policy.route !== null && taken !== policy.route) {
    unmet.set('route', `route: the call took the ${taken} route, required is ${policy.route}`);
  }
  const shortOfRpcs = unmet.has('registry') && tooFewRpcs(claims.registry, policy);
  const failures = CLAIM_NAMES.map(name => claims[name]).filter(claim => claim.status === 'failed');
  const reasons = unverified(claims);

  let status: VerdictStatus = 'VERIFIED';
  let because: string[] = [];
  if (failures.length) {
    status = 'FAILED';
    because = failures.map(told);
  } else if (reasons.length) {
    status = 'UNVERIFIED';
    because = reasons;
  } else if (unmet.size) {
    status = 'PARTIAL';
    because = [...unmet.values()];
  }
  const withheld =
    status === 'FAILED' || (policy.withholdMissing && (status === 'UNVERIFIED' || lacking || shortOfRpcs));
  const word = simulated && status === 'VERIFIED' ? 'SIMULATED' : status;
  return { status: word, simulated, label: labelOf(status, simulated), claims, policy: policy.name, because, withheld };
}

/** What may be shown to a person of a status, simulated or not. */
export function labelOf(status: VerdictStatus | 'SIMULATED', simulated: boolean): string {
  if (!simulated) {
    return status;
  }
  return status === 'VERIFIED' || status === 'SIMULATED' ? 'SIMULATED' : `SIMULATED · ${status}`;
}

function unverified(claims: Claims): string[] {
  if (claims.signature.status !== 'passed') {
    return [claims.response, claims.signature].filter(claim => claim.status !== 'passed').map(told);
  }
  if (claims.registry.status !== 'passed' && claims.attestation.status !== 'passed') {
    return [told(claims.registry), told(claims.attestation)];
  }
  return [];
}

/** Whether evidence is missing for which an answer may be withheld: that a host did not collect is not such. */
function lacks(claim: Claim): boolean {
  return claim.status === 'missing' && !(claim.name === 'payment' && claim.code === 'expired');
}

function whyUnmet(claim: Claim, claims: Claims, policy: Policy, trust: Trust): string | null {
  const proven = attested(claims.attestation, trust);
  if (claim.name === 'attestation') {
    return proven ? null : told(claim);
  }
  if (claim.name === 'registry' && claim.status !== 'failed' && pinned(claims.attestation, trust)) {
    return null;
  }
  if (claim.status !== 'passed') {
    return told(claim);
  }
  if (claim.basis === 'recorded' && trust.reader) {
    // A certificate that the enclave itself names needs no witness; the signed time is proven, whenever it was sent.
    if (claim.name === 'channel' && proven && bindsChannel(claim, claims.attestation)) {
      return null;
    }
    if (claim.name === 'freshness') {
      return null;
    }
    return `${claim.name}: only recorded by the author of the receipt`;
  }
  if (claim.name === 'registry' && tooFewRpcs(claim, policy)) {
    return `registry: ${rpcsOf(claim).length} RPC asked, ${policy.rpcs} must agree`;
  }
  return null;
}

/** No attestation binds the key of the private route. */
function bindsChannel(claim: Claim, attestation: Claim): boolean {
  return attestation.facts.binds_certificate === true && routeOf(claim) === 'direct';
}

/** The way that a call took, by its claim `channel`. */
function routeOf(channel: Claim): Route {
  return channel.facts.route === 'private' ? 'private' : 'direct';
}

/** A document under AWS' pinned root, or under a root known as simulated, that binds this very key. */
function attested(claim: Claim, trust: Trust): boolean {
  const { facts } = claim;
  const rootKnown = facts.simulated === true || facts.root_sha256 === trust.awsRootSha256;
  return claim.status === 'passed' && claim.basis === 'proven' && rootKnown && facts.binds_key !== false;
}

/** The reader's own allow-list names the attested code: that stands for the registry. */
function pinned(claim: Claim, trust: Trust): boolean {
  return attested(claim, trust) && trust.pinnedPcrs.some(code => code.toLowerCase() === claim.facts.pcr_hash);
}

function rpcsOf(claim: Claim): readonly unknown[] {
  return Array.isArray(claim.facts.rpcs) ? claim.facts.rpcs : [];
}

function tooFewRpcs(claim: Claim, policy: Policy): boolean {
  return new Set(rpcsOf(claim)).size < policy.rpcs;
}

function told(claim: Claim): string {
  return `${claim.name}: ${claim.reason || claim.sentence}`;
}
