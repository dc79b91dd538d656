/**
 * The corpus that the Python package writes (`tests/corpus/generate.py`): on every receipt, this verifier must say what
 * the Python one says.
 */

import { readFileSync } from 'node:fs';

import { computedDigest, digestMatches, isFaithful, parseReceipt, policyNamed, readReceipt, Receipt, Seen, Trust, UnreadableReceipt, verify } from '../verify';

interface Line {
  name: string;
  text: string;
  trust: Omit<Trust, 'now'> & { now: string | null };
  policy: string;
  seen: Seen;
  expected: Record<string, unknown> | null;
}

// Without the variable this file is left out (jest.config.js): `pytest tests/corpus` sets it.
const lines = readFileSync(process.env.OPG_CORPUS!, 'utf8')
  .split('\n')
  .filter(line => line !== '')
  .map(line => JSON.parse(line) as Line);

function parsed(text: string): Receipt | null {
  try {
    return parseReceipt(text);
  } catch (error) {
    if (error instanceof UnreadableReceipt) {
      return null;
    }
    throw error;
  }
}

async function judged(line: Line, receipt: Receipt): Promise<Record<string, unknown>> {
  const trust = { ...line.trust, now: line.trust.now === null ? null : new Date(line.trust.now) };
  const verdict = await verify(receipt, trust, { policy: policyNamed(line.policy), seen: line.seen });
  return {
    status: verdict.status,
    simulated: verdict.simulated,
    label: verdict.label,
    withheld: verdict.withheld,
    policy: verdict.policy,
    because: verdict.because.map(reason => reason.split(':')[0]),
    claims: Object.fromEntries(
      Object.values(verdict.claims).map(({ name, status, basis, code, sentence, expires }) => [
        name,
        { status, basis, code, sentence, expires: expires === null ? null : expires.toISOString().replace('Z', '+00:00') }
      ])
    ),
    computed_digest: computedDigest(receipt),
    digest_matches: digestMatches(receipt),
    faithful: isFaithful(receipt)
  };
}

test('the corpus is there, and large enough', () => {
  expect(lines.length).toBeGreaterThanOrEqual(60);
});

const ownCrypto = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;

afterEach(() => Object.defineProperty(globalThis, 'crypto', ownCrypto));

test.each(lines.map(line => [line.name, line] as const))('%s', async (_, line) => {
  const receipt = parsed(line.text);
  expect(receipt === null ? null : await judged(line, receipt)).toEqual(line.expected);
  if (receipt !== null) {
    // From a notebook, where it was parsed already.
    expect(await judged(line, readReceipt(JSON.parse(line.text)))).toEqual(line.expected);
    // Without WebCrypto, as on plain HTTP.
    Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
    expect(await judged(line, receipt)).toEqual(line.expected);
  }
});
