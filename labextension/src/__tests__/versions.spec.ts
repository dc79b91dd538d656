/**
 * A receipt of version 1 verifies with every later version: the receipts of `tests/versions`, stored with the code of
 * each version, come to what they came to then. Python's twin is `tests/versions/test_versions.py`.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { Claim, computedDigest, digestMatches, isFaithful, parseReceipt, policyNamed, Receipt, Seen, Trust, UnreadableReceipt, verify } from '../verify/verify';

interface Outcome {
  readonly status: string;
  readonly basis: string | null;
  readonly code: string | null;
}

interface Line {
  readonly name: string;
  readonly text: string;
  readonly trust: Omit<Trust, 'now'> & { now: string | null };
  readonly policy: string;
  readonly seen: Seen;
  readonly judged: {
    readonly status: string;
    readonly withheld: boolean;
    readonly computed_digest: string;
    readonly digest_matches: boolean;
    readonly faithful: boolean;
    readonly claims: Readonly<Record<string, Outcome>>;
  } | null;
}

interface Change {
  /** The version whose receipts come to something else now. */
  readonly of: string;
  readonly claim: string;
  readonly then: string;
  readonly now: readonly string[];
  readonly status?: { readonly then: string; readonly now: string };
  readonly withheld?: { readonly then: boolean; readonly now: boolean };
}

const folder = join(__dirname, '..', '..', '..', 'tests', 'versions');
const changed = JSON.parse(readFileSync(join(folder, 'changed.json'), 'utf8')) as Change[];
const files = readdirSync(folder).filter(name => name.endsWith('.jsonl.gz'));

function stored(file: string): Line[] {
  const text = gunzipSync(readFileSync(join(folder, file))).toString('utf8');
  return text.split('\n').filter(Boolean).map(line => JSON.parse(line) as Line);
}

function words({ status, basis, code }: Outcome): string {
  return [status, basis, code].filter(Boolean).join(' ');
}

test('there are stored receipts', () => {
  expect(files.length).toBeGreaterThan(0);
});

describe.each(files)('%s', file => {
  test.each(stored(file).map(line => [line.name, line] as const))('%s', async (_, line) => {
    const then = line.judged;
    if (then === null) {
      expect(() => parseReceipt(line.text)).toThrow(UnreadableReceipt);
      return;
    }
    const receipt: Receipt = parseReceipt(line.text);
    expect(computedDigest(receipt)).toBe(then.computed_digest);
    expect(digestMatches(receipt)).toBe(then.digest_matches);
    expect(isFaithful(receipt)).toBe(then.faithful);
    const trust = { ...line.trust, now: line.trust.now === null ? null : new Date(line.trust.now) };
    const now = await verify(receipt, trust, { policy: policyNamed(line.policy), seen: line.seen });
    let { status, withheld } = then;
    for (const [name, was] of Object.entries(then.claims)) {
      const [before, after] = [words(was), words((now.claims as Record<string, Claim>)[name])];
      const change = changed.find(one => file.startsWith(`${one.of}.`) && one.claim === name && one.then === before);
      expect([before, ...(change?.now ?? [])]).toContain(after);
      status = change?.status?.then === status ? change.status.now : status;
      withheld = change?.withheld?.then === withheld ? change.withheld.now : withheld;
    }
    // SIMULATED is what VERIFIED is called on a simulated network.
    expect(now.status.replace('SIMULATED', 'VERIFIED')).toBe(status.replace('SIMULATED', 'VERIFIED'));
    expect(now.withheld).toBe(withheld);
  });
});
