/** Written by scripts/vocabulary.py from opg_magic/models/claims.py: do not edit. */

export const CLAIM_NAMES = [
  'request',
  'response',
  'signature',
  'freshness',
  'attestation',
  'registry',
  'channel',
  'payment',
  'settlement',
  'agreement',
  'weights'
] as const;

export type ClaimName = (typeof CLAIM_NAMES)[number];

/** How one claim came out. */
export type Status = 'passed' | 'failed' | 'pending' | 'missing' | 'not_applicable';

/** What the reader relies on for one claim, best first. */
export type Basis = 'proven' | 'asked' | 're-run' | 'recorded';

/** The verdict's word. Simulated is a flag beside it, never a status. */
export type VerdictStatus = 'VERIFIED' | 'PARTIAL' | 'UNVERIFIED' | 'FAILED';

/** What each policy requires, the stricter one all. */
export const REQUIRED: Readonly<Record<'default' | 'audit', readonly ClaimName[]>> = {
  default: ['request', 'response', 'signature', 'freshness', 'attestation', 'registry', 'channel'],
  audit: ['request', 'response', 'signature', 'freshness', 'attestation', 'registry', 'channel', 'payment', 'settlement']
};

export const STATUS_MARKS: Readonly<Record<Status, string>> = {
  passed: '✓',
  failed: '✗',
  pending: '◌',
  missing: '○',
  not_applicable: '–'
};

export const STATUS_WORDS: Readonly<Record<Status, string>> = {
  passed: 'passed',
  failed: 'failed',
  pending: 'pending',
  missing: 'missing',
  not_applicable: 'not applicable'
};

/** A basis beside a claim, and what that means. */
export const BASIS_WORDS: Readonly<Record<Basis, readonly [string, string]>> = {
  proven: ['proven', 'Follows from this receipt and pinned roots: anyone can compute it again.'],
  asked: ['asked live', 'Asked of RPCs of your own, or seen by your own kernel.'],
  're-run': ['re-run', 'The open weights were run again and compared: a statistic, never a proof.'],
  recorded: ["author's word", "Stated by the author's kernel; not asked here."]
};
