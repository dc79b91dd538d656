/**
 * The freshness claim: signed between sending and receiving, and in no other receipt.
 *
 * The signed time is the enclave's own. That it fell inside the call is the word of whoever wrote the times down, unless
 * blocks that this verifier asked about lie before and after it.
 */

import { SignedFields } from '../protocol/frame';
import { microseconds } from '../receipt/receipt';
import { Trust } from './trust';
import { basisOf, Claim, Evidence, failed, isProblem, LAST_MOMENT, missing, passed, utc } from './shared';

/** The chain's own bounds for an acceptable signature time, inclusive, in seconds. */
const MAX_AGE_SECONDS = 3600n;
const MAX_AHEAD_SECONDS = 300n;
const LAST_SECOND = BigInt(Math.floor(LAST_MOMENT / 1000));
const SECOND = 1_000_000n;

/** `sent − skew ≤ T ≤ received + skew` and, at receipt, at most 3600 s old and 300 s ahead. Never counted from "now". */
export function check(evidence: Evidence, trust: Trust): Claim {
  // What contradicts the receipt's own times follows from the receipt.
  const basis = trust.reader ? 'proven' : 'asked';
  const { fields } = evidence;
  if (isProblem(fields)) {
    return missing('freshness', 'Nothing signed says when the answer was made.', fields.code, fields.message);
  }
  const facts = { timestamp: Number(fields.timestamp), skew_seconds: trust.skewSeconds };
  const others = evidence.seen.signatureIn ?? [];
  if (others.length) {
    const reason = `same signature in ${others.slice(0, 3).join(', ')}`;
    return failed('freshness', basis, 'This is an old answer, shown again.', 'replayed', reason, facts);
  }
  const fault = timeFault(evidence, fields, trust.skewSeconds);
  if (fault !== null) {
    return failed('freshness', basis, 'The answer was not signed during this call.', 'stale-time', fault, facts);
  }
  const when = utc(Number(fields.timestamp) * 1000);
  if (basisOf('freshness', trust) === 'asked') {
    const sentence = `The host signed it during the call, at ${when.slice(11)} UTC, and only for it.`;
    return passed('freshness', 'asked', sentence, facts);
  }
  const said = `The signed time, ${when} UTC, is proven`;
  const between = bounds(evidence, trust, fields);
  if (between === null) {
    return passed('freshness', 'recorded', `${said}; that it fell inside the call is the author's word.`, facts);
  }
  const [first, last] = between.map(micro => `${utc(Number(micro / 1000n))} UTC`);
  return passed('freshness', 'asked', `${said}; registry block (${first}) and payment block (${last}) bound the call.`, {
    ...facts,
    between: [first, last]
  });
}

/** Times of the registry's block before and the payment's block after signing, if this verifier asked about both. */
function bounds(evidence: Evidence, trust: Trust, fields: SignedFields): [bigint, bigint] | null {
  const { registry, payment } = evidence.receipt;
  const settled = payment?.settled;
  if (!trust.asked.includes('registry') || !trust.asked.includes('payment') || registry === null) {
    return null;
  }
  if (settled?.status !== 'spent' || settled.block_time === null) {
    return null;
  }
  const [first, last, signed] = [microseconds(registry.block_time), microseconds(settled.block_time), fields.timestamp * SECOND];
  return first <= signed && signed <= last ? [first, last] : null;
}

function timeFault(evidence: Evidence, fields: SignedFields, skew: number): string | null {
  const signed = fields.timestamp;
  if (signed > LAST_SECOND) {
    return 'signed at a time beyond the year 9999';
  }
  const { sentAt, receivedAt } = evidence;
  const allowed = BigInt(Math.round(skew * 1e6));
  const at = signed * SECOND;
  if (at < sentAt - allowed) {
    return `signed ${rounded(sentAt - at)} s before sending; ${skew} s are allowed`;
  }
  if (at > receivedAt + allowed) {
    return `signed ${rounded(at - receivedAt)} s after receiving; ${skew} s are allowed`;
  }
  // The chain counts whole seconds.
  const received = floor(receivedAt);
  if (received - signed > MAX_AGE_SECONDS) {
    return `signed ${received - signed} s before receiving; the chain allows ${MAX_AGE_SECONDS} s`;
  }
  if (signed - received > MAX_AHEAD_SECONDS) {
    return `signed ${signed - received} s after receiving; the chain allows ${MAX_AHEAD_SECONDS} s`;
  }
  return null;
}

function floor(micro: bigint): bigint {
  const seconds = micro / SECOND;
  return micro < 0n && seconds * SECOND !== micro ? seconds - 1n : seconds;
}

function rounded(micro: bigint): string {
  return (Number(micro) / 1e6).toFixed(0);
}
