/**
 * The weights claim: these open weights give this answer for this request (attacks 31 to 35).
 *
 * A statistic with a known false-alarm rate, never a proof. No weights are run in a browser: the figures are their
 * author's word, and `opg verify --weights` does the run again.
 */

import { sha256Hex, utf8 } from '../crypto/bytes';
import { isObject, JsonObject, MalformedMessage, parseStrict } from '../base/json';
import { WeightsPart } from '../receipt/receipt';
import { Trust } from './trust';
import { Claim, Evidence, failed, notApplicable, passed } from './shared';

/** How hosts draw a token, where the request does not say otherwise: llama.cpp's own defaults. */
const TOP_K = 40;
const TOP_P = 0.95;
const MIN_P = 0.05;
/** The widest gap, in millionths of a nat, that is put down to another processor or version. */
const ANY_RUNTIME = 300_000;
/** Each so many tokens may add the tolerance once more to what goes beyond it. */
const TOKENS = 300;
/** How many standard deviations the likelihood of an answer may be from its mean. */
const DEVIATIONS = 4.5;
/** Tokens that an honest sampler may seem never to draw: texts cut into tokens in another way. */
const OUTSIDE = 2;
/** Most that one token drawn from `TOP_K` adds to the variance: ln(k - 1)^2 / 4 + 1, in millionths of a square nat. */
const MOST_VARIANCE = 4_356_000;
/** Most by which one such token is likelier than the average one, in millionths of a nat: ln(k). */
const MOST_LIKELY = 3_689_000;
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
  const request = objectOf(evidence.receipt.request.canonical);
  const heated = isHeated(request);
  const fault = faultOf(evidence, run, request, heated);
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

/** Code and reason where the run is about another call, or cannot have come out of any. */
function faultOf(evidence: Evidence, run: WeightsPart, asked: JsonObject, heated: boolean): [string, string] | null {
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
  const name = asked.get('model');
  if (typeof name !== 'string' || run.model !== Array.from(name).slice(0, 256).join('')) {
    return ['not-ours', 'the model that was run is not the one asked for'];
  }
  if (request.kind !== 'chat' || isByGrammar(asked)) {
    return ['not-ours', 'not the weights alone chose the tokens of this answer'];
  }
  const reason = contradictionOf(run, utf8(response.text).length, topP(objectOf(request.body)));
  if (reason === null && [run.surplus, run.variance, run.outside].some(figure => (figure === null) === heated)) {
    return ['format', 'the figures are not those of this temperature'];
  }
  return reason === null ? null : ['format', reason];
}

/**
 * Why no run over an answer of `size` bytes, drawn with that `share` as top-p, gives such figures; null if one may.
 *
 * More tokens and more variance allow more, so that both have a bound.
 */
function contradictionOf(run: WeightsPart, size: number, share: number): string | null {
  const { sampling, tokens, misses } = run;
  const count = tokens.length + Number(run.end);
  if (count === 0) {
    return 'no token was compared';
  }
  // A token has a byte; some vocabularies put one before the text that stands for no byte of it.
  if (tokens.length > size + 1) {
    return 'the answer is too short for so many tokens';
  }
  if (run.tolerance > ANY_RUNTIME) {
    return 'more was allowed than rounding explains';
  }
  const stated = [Number(sampling.top_p) - share, Number(sampling.min_p) - MIN_P, sampling.top_k - TOP_K];
  if (stated.some(difference => Math.abs(difference) > 1e-6)) {
    return 'the tokens were judged by another sampler than hosts use';
  }
  const [surplus, variance, outside] = [run.surplus ?? 0, run.variance ?? 0, run.outside ?? 0];
  let before = -1;
  // The sampler leaves out no first choice.
  let possible = outside <= misses.length && variance <= MOST_VARIANCE * count && -surplus <= MOST_LIKELY * count;
  for (const [at, rank] of misses) {
    possible &&= at > before && at < count && rank >= 2;
    before = at;
  }
  return possible ? null : 'the figures of the run contradict each other';
}

/** Whether a request has tools or a schema: a grammar then chose tokens together with the model. */
function isByGrammar(request: JsonObject): boolean {
  const tools = request.get('tools') ?? null;
  const form = request.get('response_format') ?? null;
  const plain =
    form === null || (isObject(form) && (form.size === 0 || (form.size === 1 && form.get('type') === 'text')));
  return !plain || !(tools === null || (Array.isArray(tools) && tools.length === 0));
}

/** The request's `top_p`, which no signature covers, as it was sent; the hosts' own if it has none that can be used. */
function topP(sent: JsonObject): number {
  const value = sent.get('top_p');
  return (typeof value === 'number' || typeof value === 'bigint') && value > 0 && value <= 1 ? Number(value) : TOP_P;
}

function hashed(text: string): string {
  return sha256Hex(utf8(text));
}

/** Whether a temperature above 0 was signed; not where the request cannot be read. */
function isHeated(request: JsonObject): boolean {
  const value = request.get('temperature');
  return (typeof value === 'number' || typeof value === 'bigint') && value > 0;
}

/** The JSON object of a text; an empty one where there is none. */
function objectOf(text: string): JsonObject {
  try {
    const found = parseStrict(text);
    return isObject(found) ? found : new Map();
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return new Map();
    }
    throw error;
  }
}

/** Millionths of a nat, rounded up to hundredths. */
function nats(gap: number): string {
  const hundredths = Math.ceil(gap / 10_000);
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}`;
}
