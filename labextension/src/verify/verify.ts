/**
 * The verifier: a receipt in, claims and a verdict out, computed here and now from the receipt's own evidence and what the
 * reader trusts. It asks nobody: no network, no kernel, no JupyterLab.
 *
 * The rules, and the words, are those of the Python package (`opg_magic.verify`); both are held together by a corpus of
 * receipts that both judge.
 */

import { CHECKS } from './checks';
import { Claim, Evidence, Seen } from './shared';
import { CLAIM_NAMES, ClaimName } from '../base/claims';
import { Pace } from '../base/pace';
import { DEFAULT, Policy } from './policy';
import { computeDigest, digestMatches, isFaithful, readReceipt, Receipt, UnreadableReceipt } from '../receipt/receipt';
import { Relations } from './relations';
import { READER, Trust } from './trust';
import { decide, Verdict } from './verdict';

export { documentFindings } from './documents';
export { compareAnswers } from './owners';
export type { AskedEntry, Compared } from './owners';
export type { Claim, Facts, Seen } from './shared';
export { inspect as inspectAttestation } from './inspection';
export type { Inspection, Step } from './inspection';
export type { AttestationDocument } from './nitro';
export { canonicalJson, MalformedMessage, parseStrict } from '../base/json';
export { formatMoney, formatPart, formatUnits } from '../receipt/money';
export { AUDIT, combine, DEFAULT, makePolicy, POLICIES, policyNamed, STRICT } from './policy';
export type { Policy } from './policy';
export * from '../receipt/receipt';
export { Relations } from './relations';
export { AWS_ROOT_SHA256, READER } from './trust';
export type { Trust } from './trust';
export { decide, labelOf } from './verdict';
export type { Claims, Verdict } from './verdict';

/** How a receipt is to be judged. */
export interface Options {
  readonly policy?: Policy;
  /** What only the caller can know of other receipts. */
  readonly seen?: Seen;
}

/** Check all claims of one receipt and decide. The same receipt, policy and trust give the same verdict. */
export async function verify(receipt: Receipt, trust: Partial<Trust> = {}, options: Options = {}): Promise<Verdict> {
  const known: Trust = { ...READER, ...trust };
  const evidence = new Evidence(receipt, options.seen);
  const claims = {} as Record<ClaimName, Claim>;
  for (const name of CLAIM_NAMES) {
    claims[name] = await CHECKS[name](evidence, known);
  }
  // Either word suffices, and nothing unsets it.
  const simulated = evidence.declaredSimulated || Boolean(claims.attestation.facts.simulated);
  return decide(claims, known, simulated, options.policy ?? DEFAULT);
}

/** What became of one value among many: a verdict, or why it is no receipt. */
export type Checked =
  | {
      readonly receipt: Receipt;
      readonly verdict: Verdict;
      /** Whether the digest that the document states is its own. */
      readonly digestMatches: boolean;
      /** Whether a later version differs from the receipt it supersedes by additions alone. */
      readonly faithful: boolean;
      readonly error: null;
    }
  | { readonly receipt: null; readonly verdict: null; readonly digestMatches: false; readonly faithful: false; readonly error: string };

export interface ManyOptions {
  readonly policy?: Policy;
  /** Called after each chunk, with how many are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the work: the promise is then rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How long one chunk may keep the event loop, in milliseconds. */
  readonly sliceMs?: number;
}

/** Well under the 50 ms that people feel as a pause in typing. */
const SLICE_MS = 12;

/**
 * Judge many values, receipts or not, in their order; whatever else waits (typing, drawing) gets its turn every few
 * milliseconds. Two different receipts among them that bear one signature, or claim one payment under two nonces, know
 * of each other. One attestation document is looked at once.
 */
export async function verifyMany(
  values: readonly unknown[],
  trust: Partial<Trust> = {},
  options: ManyOptions = {}
): Promise<Checked[]> {
  const sliceMs = options.sliceMs ?? SLICE_MS;
  const pace = new Pace(sliceMs, options.signal);
  const receipts: (Receipt | UnreadableReceipt)[] = [];
  const relations = new Relations();
  for (const value of values) {
    const receipt = readOne(value);
    receipts.push(receipt);
    if (!(receipt instanceof UnreadableReceipt)) {
      relations.add(receipt);
    }
    await pace.rest();
  }
  const results: Checked[] = [];
  // Several at once: what the browser computes on its own threads need not be waited for one by one.
  for (let start = 0; start < receipts.length; start += AT_ONCE) {
    results.push(
      ...(await Promise.all(
        receipts.slice(start, start + AT_ONCE).map(receipt => checkOne(receipt, relations, trust, options.policy))
      ))
    );
    if (await pace.rest()) {
      options.onProgress?.(results.length, receipts.length);
    }
  }
  options.onProgress?.(results.length, receipts.length);
  return results;
}

const AT_ONCE = 8;

async function checkOne(
  receipt: Receipt | UnreadableReceipt,
  relations: Relations,
  trust: Partial<Trust>,
  policy: Policy | undefined
): Promise<Checked> {
  if (receipt instanceof UnreadableReceipt) {
    return { receipt: null, verdict: null, digestMatches: false, faithful: false, error: receipt.message };
  }
  const [verdict] = await Promise.all([
    verify(receipt, trust, { policy, seen: relations.of(receipt) }),
    computeDigest(receipt)
  ]);
  return { receipt, verdict, digestMatches: digestMatches(receipt), faithful: isFaithful(receipt), error: null };
}

function readOne(value: unknown): Receipt | UnreadableReceipt {
  try {
    return readReceipt(value);
  } catch (error) {
    if (error instanceof UnreadableReceipt) {
      return error;
    }
    throw error;
  }
}
