/** What the claims share: the evidence at hand, and making claims. */

import { fromBase64, sha256Hex } from '../crypto/bytes';
import { Frame, isProblem, Problem, readFrame, SignedFields } from '../protocol/frame';
import { Basis, ClaimName, HostEntry, microseconds, Receipt, Status } from '../receipt/receipt';
import { Trust } from './trust';

/**
 * One claim: what is said (one plain sentence), how it came out, on what basis, and why where it did not pass. `code` is
 * a short word for programs; `expires` ends a pending claim.
 */
export interface Claim {
  readonly name: ClaimName;
  readonly status: Status;
  readonly basis: Basis | null;
  readonly sentence: string;
  readonly reason: string | null;
  readonly code: string | null;
  readonly expires: Date | null;
  readonly facts: Facts;
}

export type Facts = Readonly<Record<string, unknown>>;

/** What only the caller can know: ids of other receipts. */
export interface Seen {
  /** That bear this very signature. */
  readonly signatureIn?: readonly string[];
  /** That claim the same payment transaction under another nonce. */
  readonly paymentIn?: readonly string[];
  /** What the registry that was asked says otherwise of the hosts that were compared. */
  readonly contradicted?: string | null;
  /** Receipts here that this one's agreement tells of, by the digests that it names; and those digests, to compare. */
  readonly members?: ReadonlyMap<string, Receipt>;
  readonly memberDigests?: readonly string[];
}

/** A registry entry with its bytes. */
export interface Host extends HostEntry {
  readonly publicKey: Uint8Array;
  readonly certificateSha256: string;
}

/** All that is judged, read from a receipt once. */
export class Evidence {
  readonly frame: Frame | null;
  readonly sentAt: bigint;
  readonly receivedAt: bigint;
  readonly signingKey: Uint8Array | null;
  readonly host: Host | null;
  readonly entry: Host | null;

  constructor(
    readonly receipt: Receipt,
    readonly seen: Seen = {}
  ) {
    const { frame } = receipt.response;
    this.frame = frame === null ? null : readFrame(frame);
    this.sentAt = microseconds(receipt.sent_at);
    this.receivedAt = microseconds(receipt.received_at);
    this.signingKey = bytesOf(receipt.signing_key);
    this.host = hostOf(receipt.host);
    const entry = receipt.registry?.entry ?? null;
    this.entry = entry === 'host' ? this.host : hostOf(entry);
  }

  /** The signed fields, or why there are none. */
  get fields(): SignedFields | Problem {
    if (this.frame !== null) {
      return this.frame.fields;
    }
    return this.receipt.response.problem ?? { code: 'unsigned', message: 'the host did not sign this answer' };
  }

  /** What is shown and hashed: the text, or the tool calls' string. */
  get shown(): string | null {
    const { text, tool_calls } = this.receipt.response;
    return tool_calls ?? text;
  }

  get declaredSimulated(): boolean {
    return this.receipt.network.simulated;
  }
}

export function bytesOf(text: string | null): Uint8Array | null {
  return text === null ? null : fromBase64(text);
}

const certificates = new Map<string, string>();

function hostOf(entry: HostEntry | null): Host | null {
  if (entry === null) {
    return null;
  }
  const publicKey = bytesOf(entry.public_key) ?? new Uint8Array(0);
  return { ...entry, publicKey, certificateSha256: certificateHash(entry.tls_certificate) };
}

/** SHA-256 of a certificate in base64; remembered, for many receipts name few hosts. */
function certificateHash(text: string): string {
  let found = certificates.get(text);
  if (found === undefined) {
    found = sha256Hex(bytesOf(text) ?? new Uint8Array(0));
    if (certificates.size >= 64) {
      certificates.clear();
    }
    certificates.set(text, found);
  }
  return found;
}

/** Problems that leave nothing to judge: no answer was completed and signed. All others are faults of what came. */
export const NOTHING_SIGNED: ReadonlySet<string> = new Set([
  'unsigned',
  'host-failure',
  'http-status',
  'timeout',
  'interrupted'
]);

export { isProblem };

function claim(
  name: ClaimName,
  status: Status,
  basis: Basis | null,
  sentence: string,
  code: string | null,
  reason: string | null,
  facts: Facts,
  expires: Date | null = null
): Claim {
  return { name, status, basis, sentence, reason, code, expires, facts };
}

export function passed(name: ClaimName, basis: Basis, sentence: string, facts: Facts = {}): Claim {
  return claim(name, 'passed', basis, sentence, null, null, facts);
}

export function failed(name: ClaimName, basis: Basis, sentence: string, code: string, reason: string, facts: Facts = {}): Claim {
  return claim(name, 'failed', basis, sentence, code, reason, facts);
}

export function missing(name: ClaimName, sentence: string, code: string, reason: string, facts: Facts = {}): Claim {
  return claim(name, 'missing', null, sentence, code, reason, facts);
}

export function notApplicable(name: ClaimName, sentence: string, code: string, reason: string, facts: Facts = {}): Claim {
  return claim(name, 'not_applicable', null, sentence, code, reason, facts);
}

/** Pending until `expires` (milliseconds since 1970); after it, as far as the trust tells, missing. */
export function waiting(
  name: ClaimName,
  trust: Trust,
  expires: number,
  yet: string,
  tooLate: string,
  facts: Facts = {}
): Claim {
  const end = new Date(Math.min(expires, LAST_MOMENT));
  const until = `${utc(end.getTime()).slice(0, 16)} UTC`;
  if (trust.now !== null && trust.now.getTime() > end.getTime()) {
    return missing(name, tooLate, 'expired', `it could come until ${until}`, facts);
  }
  return claim(name, 'pending', null, yet, 'not-yet', `it can come until ${until}`, facts, end);
}

/** The last millisecond of the year 9999. */
export const LAST_MOMENT = 253_402_300_799_999;

/** `2026-05-04 12:00:00` from milliseconds since 1970. */
export function utc(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ');
}

/** `asked` where this verifier asked just now (or made the call); else the author's word. */
export function basisOf(name: ClaimName, trust: Trust): Basis {
  return !trust.reader || trust.asked.includes(name) ? 'asked' : 'recorded';
}

/** Hex digits without 0x, lower case; null unless they are 32 bytes. */
export function word(text: string): string | null {
  const digits = text.replace(/^0x/, '').toLowerCase();
  return /^[0-9a-f]{64}$/.test(digits) ? digits : null;
}
