/**
 * The receipt: one self-contained JSON document, from which a call can be judged again.
 *
 * Numbers that come from a chain are decimal strings, bytes are base64, times are UTC with microseconds. The digest is
 * SHA-256 over the RFC 8785 form of the document without `digest`.
 */

import { fromBase64, sha256Hex, sha256HexNatively, utf8 } from '../crypto/bytes';
import { SHORT_SCHEMA } from '../generated/receipt-schema';
import { canonicalJson, isObject, Json, MalformedMessage, parseStrict, toPlain } from '../base/json';
import type { AgreementPart, PaymentPart, Receipt, SettlementPart } from './receipt-types';
import { Check, compile, expand, Schema } from '../base/schema';

/** The published JSON Schema, without its descriptions. */
export const RECEIPT_SCHEMA: Schema = expand(SHORT_SCHEMA);

/** MIME type of a receipt in a notebook's output. */
export const MIME_TYPE = 'application/vnd.opg.receipt.v1+json';
/** MIME type of a table's receipts there (`audit/tables.ts`). */
export const TABLE_TYPE = 'application/vnd.opg.receipts.v1+json';
export const TYPE = 'opg-receipt';
export const VERSION = 1;
/** Longest receipt that is read, in bytes of UTF-8. */
export const MAX_BYTES = 32 * 1024 * 1024;

export * from './receipt-types';
export { CLAIM_NAMES } from '../base/claims';
export type { Basis, ClaimName, Status, VerdictStatus } from '../base/claims';

export type SettledPart = NonNullable<PaymentPart['settled']>;
export type BatchPart = Extract<SettlementPart, { kind: 'batch' }>;
export type IndividualPart = Extract<SettlementPart, { kind: 'individual' }>;
export type AgreementMember = AgreementPart['answers'][number];

/** This is no receipt, or none that this version reads; the message says why, for a person. */
export class UnreadableReceipt extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnreadableReceipt';
  }
}

/** Read a receipt's JSON text strictly: bounded, no ambiguous JSON, exactly the schema's form. */
export function parseReceipt(text: string): Receipt {
  // A code unit is at least one byte of UTF-8.
  if (text.length > MAX_BYTES) {
    throw tooLong();
  }
  let value: Json;
  try {
    value = parseStrict(text);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      throw new UnreadableReceipt(`This receipt is not readable as JSON: ${error.message}`);
    }
    throw error;
  }
  if (holdsHugeInteger(value)) {
    throw new UnreadableReceipt('This receipt holds a value that cannot be: a number that JSON cannot carry.');
  }
  return readReceipt(toPlain(value));
}

export function holdsHugeInteger(value: Json): boolean {
  if (typeof value === 'bigint') {
    return value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER);
  }
  if (Array.isArray(value)) {
    return value.some(holdsHugeInteger);
  }
  return isObject(value) && [...value.values()].some(holdsHugeInteger);
}

/** Digests that were computed, and RFC 8785 bytes of documents that were read and whose digest nobody asked for yet. */
const digests = new WeakMap<Receipt, string>();
const bodies = new WeakMap<Receipt, Uint8Array>();

let check: Check | undefined;

/**
 * A receipt from parsed JSON; throws {@link UnreadableReceipt}. A wrong digest is not unreadable: see
 * {@link digestMatches}. The value itself is returned, not a copy: do not change it afterwards.
 */
export function readReceipt(value: unknown): Receipt {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UnreadableReceipt('This is not a receipt: a JSON object was expected.');
  }
  const document = value as Record<string, unknown>;
  if (document.type !== TYPE) {
    throw new UnreadableReceipt('This is not a receipt of opg_magic (its type is missing or another).');
  }
  if (document.version !== VERSION) {
    throw new UnreadableReceipt('This receipt has another version than 1, which is the one that is read here.');
  }
  check ??= compile(RECEIPT_SCHEMA);
  const fault = check(document);
  if (fault !== null) {
    throw new UnreadableReceipt(
      `This receipt does not have the documented form: the rule '${fault.rule}' does not hold at ${printable(fault.where || 'top')}.`
    );
  }
  const receipt = value as Receipt;
  let canonical: string;
  try {
    canonical = canonicalBody(receipt);
    checkValues(receipt);
  } catch (error) {
    if (error instanceof RangeError) {
      throw new UnreadableReceipt(`This receipt holds a value that cannot be: ${printable(error.message)}.`);
    }
    throw error;
  }
  const bytes = utf8(canonical);
  // The digest's own member is left out above: `,"digest":"sha256:…"`.
  if (bytes.length + DIGEST_MEMBER > MAX_BYTES) {
    throw tooLong();
  }
  bodies.set(receipt, bytes);
  return receipt;
}

const DIGEST_MEMBER = ',"digest":"sha256:"'.length + 64;

function tooLong(): UnreadableReceipt {
  return new UnreadableReceipt(`This receipt is longer than ${MAX_BYTES} bytes.`);
}

function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?');
  return plain.length <= 80 ? plain : `${plain.slice(0, 77)}...`;
}

function canonicalBody(document: Receipt): string {
  const { digest: _, ...body } = document;
  return canonicalJson(body);
}

/** The digest that the document has: SHA-256 over its RFC 8785 bytes without `digest`. */
export function computedDigest(receipt: Receipt): string {
  return digests.get(receipt) ?? remember(receipt, sha256Hex(bodyOf(receipt)));
}

/** Computes the digest by the browser's own means where it has them: several times faster. */
export async function computeDigest(receipt: Receipt): Promise<string> {
  return digests.get(receipt) ?? remember(receipt, await sha256HexNatively(bodyOf(receipt)));
}

function bodyOf(receipt: Receipt): Uint8Array {
  return bodies.get(receipt) ?? utf8(canonicalBody(receipt));
}

function remember(receipt: Receipt, hash: string): string {
  const digest = `sha256:${hash}`;
  // Only of documents that were read: others are still being put together.
  if (bodies.delete(receipt)) {
    digests.set(receipt, digest);
  }
  return digest;
}

/** Whether the digest that the document states is its own. */
export function digestMatches(receipt: Receipt): boolean {
  return receipt.digest === computedDigest(receipt);
}

/** The receipt as it was made: a later version without what was added to it (see `supersedes`). */
export function originalOf(receipt: Receipt): Receipt {
  if (receipt.supersedes === undefined) {
    return receipt;
  }
  const { supersedes: _, weights: ___, ...document } = receipt;
  let payment = receipt.payment;
  if (payment !== null) {
    const { settled: __, ...rest } = payment;
    payment = rest;
  }
  const original: Receipt = { ...document, payment, settlement: null, agreement: null };
  return { ...original, digest: computedDigest(original) };
}

/** Whether nothing but additions sets this version apart from the receipt that it says it supersedes. */
export function isFaithful(receipt: Receipt): boolean {
  return receipt.supersedes === undefined || originalOf(receipt).digest === receipt.supersedes;
}

/** Microseconds since 1970 of a receipt's time; throws a RangeError for one that is not in the calendar. */
export function microseconds(time: string): bigint {
  const at = Date.parse(`${time.slice(0, 19)}Z`);
  // Dates overflow silently in some engines (30 February): what comes out must be what went in.
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 19) !== time.slice(0, 19) || time.startsWith('0000')) {
    throw new RangeError('a time that is not in the calendar');
  }
  return BigInt(at) * 1000n + BigInt(time.slice(20, 26));
}

/** What the schema cannot say: base64 has one form, times are in the calendar, an entry names a host that is there. */
function checkValues(receipt: Receipt): void {
  const { host, registry, attestation, payment, sealed, settlement, weights } = receipt;
  const times = [receipt.sent_at, receipt.received_at];
  const bytes = [receipt.signing_key];
  const hosts = [host];
  if (attestation !== null) {
    times.push(attestation.fetched_at);
    bytes.push(attestation.document);
  }
  if (registry !== null) {
    times.push(registry.block_time);
    if (registry.entry === 'host') {
      if (host === null) {
        throw new RangeError("the registry's entry names a host that is not there");
      }
    } else {
      hosts.push(registry.entry);
    }
  }
  if (payment?.settled?.block_time) {
    times.push(payment.settled.block_time);
  }
  if (weights !== undefined) {
    times.push(weights.at);
  }
  if (sealed !== undefined) {
    bytes.push(sealed.public_key);
  }
  if (settlement !== null) {
    times.push(settlement.block_time);
    if (settlement.kind === 'individual') {
      bytes.push(settlement.signature);
    }
  }
  for (const entry of hosts) {
    if (entry !== null) {
      bytes.push(entry.public_key, entry.tls_certificate);
      checkPacked(entry.ohttp_config);
    }
  }
  for (const claim of receipt.checked?.claims ?? []) {
    if (claim.expires !== null) {
      times.push(claim.expires);
    }
  }
  times.forEach(microseconds);
  if (!bytes.every(isBase64)) {
    throw new RangeError('base64 that is not canonical');
  }
}

const known = new Set<string>();
const MAX_KNOWN = 256;

/** Documents, keys and certificates come again and again: those that were good are remembered. */
function isBase64(text: string | null): boolean {
  if (text === null || known.has(text)) {
    return true;
  }
  if (fromBase64(text) === null) {
    return false;
  }
  if (known.size >= MAX_KNOWN) {
    known.clear();
  }
  known.add(text);
  return true;
}

/** Registry values as JSON: bytes as `{"base64": …}`, integers as `{"int": "…"}`. */
function checkPacked(value: unknown): void {
  if (Array.isArray(value)) {
    value.forEach(checkPacked);
  } else if (typeof value === 'object' && value !== null) {
    const keys = Object.keys(value);
    const [inner] = Object.values(value) as unknown[];
    if (keys.length === 1 && keys[0] === 'base64') {
      if (typeof inner !== 'string' || fromBase64(inner) === null) {
        throw new RangeError('base64 that is not canonical');
      }
    } else if (keys.length === 1 && keys[0] === 'int') {
      if (typeof inner !== 'string' || !/^-?[0-9]{1,4300}$/.test(inner)) {
        throw new RangeError('an integer that is none');
      }
    } else {
      Object.values(value).forEach(checkPacked);
    }
  } else if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new RangeError('a number that JSON cannot carry');
  }
}

/** The host's signature over the answer as it stands in the signed frame (base64; public), or null. Judges nothing. */
export function signatureOf(receipt: Receipt): string | null {
  try {
    const frame = parseStrict(receipt.response.frame ?? 'null');
    const value = isObject(frame) ? frame.get('tee_signature') : null;
    return typeof value === 'string' && value !== '' ? value : null;
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return null;
    }
    throw error;
  }
}

/**
 * SHA-256 (hex) of a signature's bytes, to tell whether two receipts bear the same one. Read leniently: one signature
 * with other padding, or with junk in between, is still the same signature.
 */
export function signatureKey(receipt: Receipt): string | null {
  const text = signatureOf(receipt);
  if (text === null) {
    return null;
  }
  const digits = text.split('=')[0].replace(/[^A-Za-z0-9+/]/g, '');
  const whole = digits.length % 4 === 1 ? digits.slice(0, -1) : digits;
  const binary = atob(whole);
  return binary === '' ? null : sha256Hex(Uint8Array.from(binary, char => char.charCodeAt(0)));
}
