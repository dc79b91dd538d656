/**
 * The corpus that the Python package writes (`tests/corpus/generate.py`): on every receipt, this verifier must say what
 * the Python one says.
 */

import { readFileSync } from 'node:fs';

import { audited } from '../audit/audited';
import { FORMS } from '../face/third';
import { combine, computedDigest, digestMatches, isFaithful, parseReceipt, policyNamed, readReceipt, Receipt, Seen, signatureKey, Trust, UnreadableReceipt, verify, verifyMany } from '../verify/verify';

interface Line {
  name: string;
  text: string;
  trust: Omit<Trust, 'now'> & { now: string | null };
  policy: string;
  seen: Seen;
  expected: Record<string, unknown> | null;
  audit: Record<string, string> | null;
  display: { shown: Record<string, unknown>; signature: string | null } | null;
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

function displayed(receipt: Receipt): NonNullable<Line['display']> {
  const shown = [...FORMS].flatMap(([form, [, , make]]) =>
    make === null ? [] : [true, false].map(show => [`${form}, ${show ? 'answer' : 'no answer'}`, make(receipt, show, [])])
  );
  return { shown: Object.fromEntries(shown), signature: signatureKey(receipt) };
}

test('the corpus is there, and large enough', () => {
  expect(lines.length).toBeGreaterThanOrEqual(60);
});

const ownCrypto = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;

afterEach(() => Object.defineProperty(globalThis, 'crypto', ownCrypto));

test.each(lines.map(line => [line.name, line] as const))('%s', async (_, line) => {
  const receipt = parsed(line.text);
  expect(receipt === null ? null : await judged(line, receipt)).toEqual(line.expected);
  expect(receipt === null ? null : audited(receipt)).toEqual(line.audit);
  expect(receipt === null ? null : displayed(receipt)).toEqual(line.display);
  if (receipt !== null) {
    // From a notebook, where it was parsed already.
    expect(await judged(line, readReceipt(JSON.parse(line.text)))).toEqual(line.expected);
    // Without WebCrypto, as on plain HTTP.
    Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
    expect(await judged(line, receipt)).toEqual(line.expected);
  }
});

interface PolicyLine {
  names: string[];
  expected: { name: string; required: string[]; rpcs: number; withholdMissing: boolean; route: string | null } | null;
}

test('policies combine to what Python says, and two routes contradict each other', () => {
  const cases = JSON.parse(readFileSync(process.env.OPG_POLICIES!, 'utf8')) as PolicyLine[];
  expect(cases.length).toBeGreaterThan(100);
  const combined = ({ names }: PolicyLine): PolicyLine['expected'] => {
    try {
      const { required, ...rest } = combine(...names.map(policyNamed));
      return { ...rest, required: [...required].sort() };
    } catch {
      return null;
    }
  };
  expect(cases.map(combined)).toEqual(cases.map(({ expected }) => expected));
});

describe('many at once', () => {
  const named = (name: string): Line => lines.find(line => line.name === name)!;
  const good = named('a stream, default');
  const value = (line: Line): Record<string, unknown> => JSON.parse(line.text) as Record<string, unknown>;
  const trust = { ...good.trust, now: null };

  test('each comes to its own verdict, in order, and what is no receipt is said to be none', async () => {
    const progress: number[] = [];
    const values = [value(good), { type: 'else' }, null, value(named('a whole answer'))];
    const found = await verifyMany(values, trust, { onProgress: done => progress.push(done) });
    expect(found.map(one => one.verdict?.status ?? null)).toEqual(['VERIFIED', null, null, 'VERIFIED']);
    expect(found.map(one => one.digestMatches)).toEqual([true, false, false, true]);
    expect(found[1].error).toContain('not a receipt');
    expect(progress[progress.length - 1]).toBe(4);
  });

  test('attack 14: two receipts with one signature know of each other, one receipt shown twice does not', async () => {
    const again = { ...value(good), id: 'ZZZZZZZZZZ' };
    const [one, other] = await verifyMany([value(good), { ...again, digest: computedDigest(readReceipt(again)) }], trust);
    expect([one.verdict?.claims.freshness.code, other.verdict?.claims.freshness.code]).toEqual(['replayed', 'replayed']);
    expect(one.verdict?.claims.freshness.reason).toContain('ZZZZZZZZZZ');
    const twice = await verifyMany([value(good), value(good)], trust);
    expect(twice.map(found => found.verdict?.status)).toEqual(['VERIFIED', 'VERIFIED']);
  });

  test('attack 23: one transaction claimed under two nonces', async () => {
    const paid = value(named('paid')) as unknown as Receipt;
    const payment = { ...paid.payment!, authorisation: { ...paid.payment!.authorisation, nonce: '5' } };
    const other = { ...paid, id: 'ZZZZZZZZZZ', payment };
    const [one] = await verifyMany([paid, other], trust);
    expect(one.verdict?.claims.payment.code).toBe('two-nonces');
  });

  test('others get their turn, and can end it', async () => {
    const values = Array.from({ length: 200 }, () => value(good));
    let turns = 0;
    const ticking = setInterval(() => turns++, 0);
    await verifyMany(values, trust, { sliceMs: 0 });
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(2);
    const stop = new AbortController();
    const ended = verifyMany(values, trust, { sliceMs: 0, signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(ended).rejects.toThrow('enough');
  });
});
