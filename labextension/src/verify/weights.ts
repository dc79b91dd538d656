/**
 * The weights claim: these open weights give this answer for this request (attacks 31 to 35).
 *
 * A statistic with a known false-alarm rate, never a proof. No weights are run in a browser: the figures are their
 * author's word, and `opg verify --weights` does the run again.
 */

import { sha256Hex, utf8 } from '../crypto/bytes';
import { isObject, Json, MalformedMessage, parseStrict } from '../base/json';
import { WeightsPart } from '../receipt/receipt';
import { Trust } from './trust';
import { Claim, Evidence, failed, notApplicable, passed } from './shared';

/** The widest gap, in millionths of a nat, that is put down to another processor or version. */
const ANY_RUNTIME = 300_000;
/** Each so many tokens may add the tolerance once more to what goes beyond it. */
const TOKENS = 300;
/** How many standard deviations the likelihood of an answer may be from its mean. */
const DEVIATIONS = 4.5;
/** Tokens that an honest sampler may seem never to draw: texts cut into tokens in another way. */
const OUTSIDE = 2;
const FIRST = 5;

/** Whether the stated weights give this answer. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const run = evidence.receipt.weights;
  if (run === undefined) {
    return notApplicable('weights', 'No weights were run again.', 'not-run', 'no run of open weights is kept here');
  }
  const basis = !trust.reader || trust.asked.includes('weights') ? 're-run' : 'recorded';
  const count = run.tokens.length + Number(run.end);
  const facts = {
    weights_sha256: run.weights_sha256,
    runtime: run.runtime,
    tokens: count,
    first: count - run.misses.length,
    largest_gap: run.misses.reduce((most, [, , gap]) => Math.max(most, gap), 0)
  };
  const heated = isHeated(evidence);
  const fault = faultOf(evidence, run, count, heated);
  if (fault !== null) {
    return failed('weights', 'proven', 'The run of the weights is not about this answer.', ...fault, facts);
  }
  return (heated ? sampled : greedy)(run, basis, facts);
}

interface Figures {
  readonly tokens: number;
  readonly first: number;
  readonly largest_gap: number;
  readonly [key: string]: unknown;
}

function greedy(run: WeightsPart, basis: 're-run' | 'recorded', facts: Figures): Claim {
  const { tokens: count, first } = facts;
  const beyond = run.misses.reduce((sum, [, , gap]) => sum + Math.max(0, gap - run.tolerance), 0);
  if (beyond * TOKENS > run.tolerance * (TOKENS + count)) {
    const far = run.misses.filter(([, rank]) => rank > FIRST).length;
    const reason = far
      ? `${far} of ${count} tokens are not among the first ${FIRST} of these weights`
      : `${count - first} of ${count} tokens are not the first choice of these weights`;
    return failed('weights', basis, 'These weights do not give this answer.', 'other-weights', reason, facts);
  }
  const others = first < count ? `, the others at most ${nats(facts.largest_gap)} nats from it` : '';
  return passed('weights', basis, `${first} of ${count} tokens are the model's first choice${others}.`, facts);
}

function sampled(run: WeightsPart, basis: 're-run' | 'recorded', facts: Figures): Claim {
  const count = facts.tokens;
  const [surplus, variance, outside] = [run.surplus ?? 0, run.variance ?? 0, run.outside ?? 0];
  if (outside > OUTSIDE + Math.floor(count / 100)) {
    const reason = `${outside} of ${count} tokens would never be drawn at this temperature`;
    return failed('weights', basis, 'These weights do not give this answer.', 'other-weights', reason, facts);
  }
  if (surplus * surplus > DEVIATIONS * DEVIATIONS * (variance * 1e6 + 1e12)) {
    const way = surplus > 0 ? 'less' : 'more';
    const reason = `the answer is far ${way} likely than answers of these weights are`;
    const sentence = 'These weights, at this temperature, do not give this answer.';
    return failed('weights', basis, sentence, 'unlikely', reason, facts);
  }
  return passed('weights', basis, `The ${count} tokens are as likely as those that these weights draw.`, facts);
}

/** Code and reason where the run contradicts itself, or is about another call. */
function faultOf(evidence: Evidence, run: WeightsPart, count: number, heated: boolean): [string, string] | null {
  const { request, response } = evidence.receipt;
  if (run.request_sha256 !== hashed(request.canonical)) {
    return ['not-ours', 'the request that was run is not this one'];
  }
  if (response.text === null || response.tool_calls !== null) {
    return ['not-ours', 'the call has no text that weights could have given'];
  }
  if (run.answer_sha256 !== hashed(response.text)) {
    return ['not-ours', 'the answer that was run is not this one'];
  }
  if (count === 0) {
    return ['format', 'no token was compared'];
  }
  if (run.tolerance > ANY_RUNTIME) {
    return ['format', 'more was allowed than rounding explains'];
  }
  let before = -1;
  for (const [at, rank] of run.misses) {
    if (at <= before || at >= count || rank < 2) {
      return ['format', 'the figures of the run contradict each other'];
    }
    before = at;
  }
  if ([run.surplus, run.variance, run.outside].some(figure => (figure === null) === heated)) {
    return ['format', 'the figures are not those of this temperature'];
  }
  return null;
}

function hashed(text: string): string {
  return sha256Hex(utf8(text));
}

/** Whether a temperature above 0 was signed; not where the request cannot be read. */
function isHeated(evidence: Evidence): boolean {
  let request: Json;
  try {
    request = parseStrict(evidence.receipt.request.canonical);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return false;
    }
    throw error;
  }
  const value = isObject(request) ? request.get('temperature') : undefined;
  return (typeof value === 'number' || typeof value === 'bigint') && value > 0;
}

/** Millionths of a nat, rounded up to hundredths. */
function nats(gap: number): string {
  const hundredths = Math.ceil(gap / 10_000);
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}`;
}
