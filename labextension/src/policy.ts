/** Policies: which claims a verdict requires. They can only tighten. */

import { CLAIM_NAMES, ClaimName, REQUIRED } from './claims/table';

/**
 * `required` claims must pass; `rpcs` is how many RPCs must agree on the registry entry. `withholdMissing`: an answer that
 * lacks the evidence of a required claim is not handed out.
 */
export interface Policy {
  readonly name: string;
  readonly required: ReadonlySet<ClaimName>;
  readonly rpcs: number;
  readonly withholdMissing: boolean;
}

/** A policy of that name; what the default policy requires is always required. */
export function makePolicy(name: string, more: readonly ClaimName[] = [], rpcs = 1, withholdMissing = false): Policy {
  return { name, required: new Set([...REQUIRED.default, ...more]), rpcs: Math.max(1, rpcs), withholdMissing };
}

export const DEFAULT = makePolicy('default');
export const STRICT = makePolicy('strict', [], 2, true);
export const AUDIT = makePolicy('audit', REQUIRED.audit, 2, true);
/** Loosest first. */
export const POLICIES: readonly Policy[] = [DEFAULT, STRICT, AUDIT];

/** Whether that is the name of a claim. */
export function isClaimName(name: string): name is ClaimName {
  return (CLAIM_NAMES as readonly string[]).includes(name);
}

/** A policy by its name (`strict`, or `default+payment` as a user's own); the default one for a name that is unknown. */
export function policyNamed(name: string): Policy {
  const [base, ...more] = name.split('+');
  const found = POLICIES.find(policy => policy.name === base);
  if (found === undefined || !more.every(isClaimName)) {
    return DEFAULT;
  }
  return more.length
    ? makePolicy(name, [...found.required, ...(more as ClaimName[])], found.rpcs, found.withholdMissing)
    : found;
}

/** All of them at once: the union of what they require, and of how they withhold. */
export function combine(...policies: Policy[]): Policy {
  const all = policies.length ? policies : [DEFAULT];
  const union = makePolicy(
    [...new Set(all.map(policy => policy.name))].join('+'),
    all.flatMap(policy => [...policy.required]),
    Math.max(...all.map(policy => policy.rpcs)),
    all.some(policy => policy.withholdMissing)
  );
  const same = [...POLICIES, ...all].find(
    policy =>
      policy.rpcs === union.rpcs &&
      policy.withholdMissing === union.withholdMissing &&
      policy.required.size === union.required.size
  );
  return same !== undefined && [...union.required].every(name => same.required.has(name)) ? same : union;
}
