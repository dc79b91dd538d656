/** Policies: which claims a verdict requires. They can only tighten. */

import { CLAIM_NAMES, ClaimName, REQUIRED } from '../base/claims';

/**
 * `required` claims must pass; `rpcs` is how many RPCs must agree on the registry entry. `withholdMissing`: an answer that
 * lacks the evidence of a required claim is not handed out.
 */
export interface Policy {
  readonly name: string;
  readonly required: ReadonlySet<ClaimName>;
  readonly rpcs: number;
  readonly withholdMissing: boolean;
  /** The way that a call must take; null: either. */
  readonly route: Route | null;
}

/** To each host directly, or sealed through a relay. */
export type Route = 'direct' | 'private';

/** A policy of that name; what the default policy requires is always required. */
export function makePolicy(
  name: string,
  more: readonly ClaimName[] = [],
  rpcs = 1,
  withholdMissing = false,
  route: Route | null = null
): Policy {
  return { name, required: new Set([...REQUIRED.default, ...more]), rpcs: Math.max(1, rpcs), withholdMissing, route };
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

function isRoute(word: string): word is Route {
  return word === 'direct' || word === 'private';
}

/** A policy by its name (`strict`, or `default+payment` as a user's own); the default one for a name that is unknown. */
export function policyNamed(name: string): Policy {
  const [base, ...words] = name.split('+');
  const found = POLICIES.find(policy => policy.name === base);
  const routes = words.filter(isRoute);
  const more = words.filter(word => !isRoute(word));
  if (found === undefined || !more.every(isClaimName) || routes.length > 1) {
    return DEFAULT;
  }
  return words.length
    ? makePolicy(name, [...found.required, ...(more as ClaimName[])], found.rpcs, found.withholdMissing, routes[0] ?? null)
    : found;
}

/**
 * All of them at once: the union of what they require, and of how they withhold. Throws if one requires the direct route
 * and another the private one.
 */
export function combine(...policies: Policy[]): Policy {
  const all = policies.length ? policies : [DEFAULT];
  const routes = new Set(all.flatMap(({ route }) => (route === null ? [] : [route])));
  if (routes.size > 1) {
    throw new Error('One policy requires the direct route, another the private one.');
  }
  const union = makePolicy(
    [...new Set(all.map(policy => policy.name))].join('+'),
    all.flatMap(policy => [...policy.required]),
    Math.max(...all.map(policy => policy.rpcs)),
    all.some(policy => policy.withholdMissing),
    [...routes][0] ?? null
  );
  const same = [...POLICIES, ...all].find(
    policy =>
      policy.rpcs === union.rpcs &&
      policy.withholdMissing === union.withholdMissing &&
      policy.route === union.route &&
      policy.required.size === union.required.size
  );
  return same !== undefined && [...union.required].every(name => same.required.has(name)) ? same : union;
}
