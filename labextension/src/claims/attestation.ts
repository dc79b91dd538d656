/**
 * The attestation claim: this very signing key and TLS certificate were made inside a Nitro enclave running code P.
 *
 * A document is what protocol section 4 describes: an untagged COSE_Sign1 (ES384) over a CBOR payload, under a certificate
 * path that is judged at the document's own time, because an enclave's certificate lives for three hours only.
 */

import { concat, equal, fromHex, keccak256, sha256Hex, toHex } from '../crypto/bytes';
import { Cbor, CborMap, decode } from '../crypto/cbor';
import { readSign1, signatureHolds } from '../crypto/cose';
import { checkPath, leafKey, load, named } from '../crypto/x509';
import { MalformedMessage } from '../json';
import { Trust } from '../trust';
import { bytesOf, Claim, Evidence, failed, Facts, missing, passed, utc } from './shared';

/** How old a document may be when the prompt is sent: hosts are asked for a fresh one at least once a day. */
const MAX_DOCUMENT_AGE_SECONDS = 24 * 3600;
/** Genuine documents have 4 to 5 KiB. */
const MAX_DOCUMENT_BYTES = 64 * 1024;
const PCR_BYTES = 48;
/** `12 20` (multihash: SHA2-256, 32 bytes), then the hash; once for the certificate, once for the key. */
const USER_DATA_BYTES = 68;
const MAX_CERTIFICATE = 4096;
const MAX_BUNDLE = 8;
const MAX_PCRS = 32;
const MAX_FIELD = 1024;
const MAX_MODULE_ID = 256;
/** The last millisecond of the year 9999. */
const MAX_TIMESTAMP_MS = 253_402_300_799_999n;
const UNSET = '0'.repeat(64);

/** Faults that still leave an attestation document to talk about: refused, where everything else is unreadable. */
const REFUSED_FORMS = new Set(['duplicate-keys', 'tagged', 'header', 'signature', 'field', 'certificate']);

/** The payload of one document. Hashes are lower-case hex, `pcrHash` with 0x. */
export interface AttestationDocument {
  readonly moduleId: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly certificate: Uint8Array;
  readonly cabundle: readonly Uint8Array[];
  readonly nonce: Uint8Array | null;
  readonly pcrHash: string;
  readonly tlsCertificateSha256: string | null;
  readonly signingKeySha256: string | null;
}

/** One thing looked at; `code` where it failed. */
export interface Step {
  readonly name:
    | 'form'
    | 'root'
    | 'path'
    | 'signature'
    | 'measurements'
    | 'nonce'
    | 'binding'
    | 'signing_key'
    | 'tls_certificate'
    | 'time'
    | 'code';
  readonly status: 'passed' | 'failed' | 'missing';
  readonly detail: string;
  readonly code: string | null;
}

/** What one document says by itself, whatever it is compared with. */
export interface Inspection {
  readonly document: AttestationDocument | null;
  readonly rootSha256: string | null;
  readonly steps: readonly Step[];
  /** Set where the bytes are no attestation document at all. */
  readonly unreadable: string | null;
}

const inspections = new Map<string, Promise<Inspection>>();

/** Most documents that are remembered: many receipts share one, and its signatures cost milliseconds. */
const MAX_INSPECTIONS = 256;

/** Look at one document (base64), once: the answer is kept under the document itself. */
export function inspect(base64: string): Promise<Inspection> {
  let found = inspections.get(base64);
  if (found === undefined) {
    found = inspectBytes(bytesOf(base64) ?? new Uint8Array(0));
    if (inspections.size >= MAX_INSPECTIONS) {
      inspections.clear();
    }
    inspections.set(base64, found);
  }
  return found;
}

async function inspectBytes(raw: Uint8Array): Promise<Inspection> {
  if (raw.length > MAX_DOCUMENT_BYTES) {
    return unreadable(`${raw.length} bytes; a document has at most ${MAX_DOCUMENT_BYTES}`);
  }
  try {
    return await inspectReadable(raw);
  } catch (error) {
    if (!(error instanceof MalformedMessage)) {
      throw error;
    }
    return REFUSED_FORMS.has(error.code)
      ? { document: null, rootSha256: null, steps: [bad('form', error.code, error.message)], unreadable: null }
      : unreadable(error.message);
  }
}

async function inspectReadable(raw: Uint8Array): Promise<Inspection> {
  const envelope = readSign1(raw);
  const { value: payload, after } = decode(envelope.payload, true);
  if (!(payload instanceof CborMap)) {
    throw new MalformedMessage('the payload is not a map', 'not-nitro');
  }
  const document = readPayload(payload);
  const leaf = load(document.certificate, 'certificate');
  const bundle = document.cabundle.map((der, i) => load(der, `cabundle[${i}]`));
  const key = await leafKey(leaf);

  const steps: Step[] = [];
  const trailing = envelope.trailing + after;
  steps.push(
    trailing
      ? bad('form', 'trailing-bytes', `${trailing} bytes after the end of the ${envelope.trailing ? 'document' : 'payload'}`)
      : good('form', 'COSE_Sign1 with ES384 around a Nitro document')
  );
  try {
    await checkPath(leaf, bundle, Math.floor(document.timestamp / 1000));
    steps.push(good('path', `${bundle.length + 1} certificates, all valid at ${utc(document.timestamp)} UTC`));
  } catch (error) {
    if (!(error instanceof MalformedMessage)) {
      throw error;
    }
    steps.push(bad('path', error.code, error.message));
  }
  steps.push(
    (await signatureHolds(envelope, key))
      ? good('signature', `signed by ${named(leaf)}`)
      : bad('signature', 'signature', "the signature is not by the key of the document's certificate")
  );
  const zero = [0, 1, 2].filter(index => document.pcrs.get(index)!.every(byte => byte === 0));
  steps.push(
    zero.length
      ? bad('measurements', 'debug-mode', `PCR ${zero.join(', ')} zero: the enclave runs in debug mode`)
      : good('measurements', `pcrHash ${document.pcrHash}`)
  );
  return { document, rootSha256: sha256Hex(document.cabundle[0]), steps, unreadable: null };
}

function unreadable(message: string): Inspection {
  return { document: null, rootSha256: null, steps: [], unreadable: message };
}

function good(name: Step['name'], detail: string): Step {
  return { name, status: 'passed', detail, code: null };
}

function bad(name: Step['name'], code: string, detail: string): Step {
  return { name, status: 'failed', detail, code };
}

function absent(name: Step['name'], detail: string): Step {
  return { name, status: 'missing', detail, code: null };
}

// ----------------------------------------------------------------------------------------------------------- the payload

const NEEDED = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle'];

function wrongField(what: string): MalformedMessage {
  return new MalformedMessage(what, 'field');
}

/** The fields, each of exactly the type and size that the Nitro document has. */
function readPayload(payload: CborMap): AttestationDocument {
  if (!NEEDED.some(name => payload.has(name))) {
    throw new MalformedMessage('the payload is not a Nitro document', 'not-nitro');
  }
  for (const name of NEEDED) {
    if (!payload.has(name)) {
      throw wrongField(`${name} is missing`);
    }
  }
  const moduleId = payload.get('module_id');
  if (typeof moduleId !== 'string' || !moduleId || [...moduleId].length > MAX_MODULE_ID) {
    throw wrongField('module_id is not a short text');
  }
  if (!/^[ -~]*$/.test(moduleId)) {
    throw wrongField('module_id holds more than printable ASCII');
  }
  if (payload.get('digest') !== 'SHA384') {
    throw wrongField('digest is not SHA384');
  }
  const timestamp = payload.get('timestamp');
  if (typeof timestamp !== 'bigint' || timestamp <= 0n || timestamp > MAX_TIMESTAMP_MS) {
    throw wrongField('timestamp is not a time in milliseconds');
  }
  const pcrs = readPcrs(payload.get('pcrs'));
  const certificate = certificateBytes(payload.get('certificate'), 'certificate');
  const bundle = payload.get('cabundle');
  if (!Array.isArray(bundle) || !bundle.length || bundle.length > MAX_BUNDLE) {
    throw wrongField(`cabundle is not a list of 1 to ${MAX_BUNDLE} certificates`);
  }
  const cabundle = bundle.map((item, i) => certificateBytes(item, `cabundle[${i}]`));
  const userData = optional(payload, 'user_data');
  const bound = userData === null ? null : readBinding(userData);
  optional(payload, 'public_key');
  return {
    moduleId,
    timestamp: Number(timestamp),
    pcrs,
    certificate,
    cabundle,
    nonce: optional(payload, 'nonce'),
    pcrHash: `0x${toHex(keccak256(concat(pcrs.get(0)!, pcrs.get(1)!, pcrs.get(2)!)))}`,
    tlsCertificateSha256: bound?.tls ?? null,
    signingKeySha256: bound?.key ?? null
  };
}

function readPcrs(value: Cbor): Map<number, Uint8Array> {
  if (!(value instanceof CborMap) || !value.size || value.size > MAX_PCRS) {
    throw wrongField('pcrs is not a map of 1 to 32 entries');
  }
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, bytes] of value.entries.values()) {
    if (typeof index !== 'bigint' || index < 0n || index >= BigInt(MAX_PCRS)) {
      throw wrongField('pcrs has a key that is not an index from 0 to 31');
    }
    if (!(bytes instanceof Uint8Array) || bytes.length !== PCR_BYTES) {
      throw wrongField(`PCR${index} does not have ${PCR_BYTES} bytes`);
    }
    pcrs.set(Number(index), bytes);
  }
  for (const index of [0, 1, 2]) {
    if (!pcrs.has(index)) {
      throw wrongField(`PCR${index} is missing`);
    }
  }
  return pcrs;
}

function certificateBytes(value: Cbor, name: string): Uint8Array {
  if (!(value instanceof Uint8Array) || !value.length || value.length > MAX_CERTIFICATE) {
    throw wrongField(`${name} is not a certificate of 1 to ${MAX_CERTIFICATE} bytes`);
  }
  return value;
}

function optional(payload: CborMap, name: string): Uint8Array | null {
  if (!payload.has(name)) {
    return null;
  }
  const value = payload.get(name);
  if (value === null) {
    return null;
  }
  if (!(value instanceof Uint8Array) || value.length > MAX_FIELD) {
    throw wrongField(`${name} is not a byte string of at most ${MAX_FIELD} bytes`);
  }
  return value;
}

function readBinding(userData: Uint8Array): { tls: string; key: string } | null {
  const text = toHex(userData);
  if (userData.length !== USER_DATA_BYTES || text.slice(0, 4) !== '1220' || text.slice(68, 72) !== '1220') {
    return null;
  }
  return { tls: text.slice(4, 68), key: text.slice(72) };
}

// ------------------------------------------------------------------------------------------------ what it is compared with

/** All steps for one receipt, in the order in which they matter. */
function stepsFor(
  found: Inspection,
  document: AttestationDocument,
  evidence: Evidence,
  trust: Trust,
  nonce: Uint8Array | null
): Step[] {
  const [form, path, signature, measurements] = found.steps;
  return [
    form,
    rootStep(found.rootSha256!, trust),
    path,
    signature,
    measurements,
    nonceStep(document, nonce),
    bindingStep(document),
    hashStep(
      'signing_key',
      'signing key',
      'wrong-key',
      document.signingKeySha256,
      evidence.signingKey === null ? null : sha256Hex(evidence.signingKey)
    ),
    hashStep(
      'tls_certificate',
      'TLS certificate',
      'wrong-certificate',
      document.tlsCertificateSha256,
      evidence.host?.certificateSha256 ?? null
    )
  ];
}

function rootStep(root: string, trust: Trust): Step {
  if (root === trust.awsRootSha256.toLowerCase()) {
    return good('root', "AWS Nitro Enclaves' own root certificate");
  }
  if (trust.simulatedRoots.some(known => known.toLowerCase() === root)) {
    return good('root', `not AWS' root, but one that is accepted here as simulated: SHA-256 ${root}`);
  }
  return bad('root', 'unknown-root', `the root is not AWS' and not known here: SHA-256 ${root}`);
}

function nonceStep(document: AttestationDocument, nonce: Uint8Array | null): Step {
  if (nonce === null) {
    return absent('nonce', 'no nonce given to compare with');
  }
  if (document.nonce === null) {
    return bad('nonce', 'wrong-nonce', 'the document carries no nonce');
  }
  if (!equal(document.nonce, nonce)) {
    const detail = `the document carries ${toHex(document.nonce)}, asked was ${toHex(nonce)}`;
    return bad('nonce', 'wrong-nonce', detail);
  }
  return good('nonce', `the one that was asked for, ${toHex(nonce)}`);
}

function bindingStep(document: AttestationDocument): Step {
  const { signingKeySha256: key, tlsCertificateSha256: tls } = document;
  if (key === null || tls === null) {
    return bad('binding', 'no-binding', 'user_data does not bind a signing key and a TLS certificate');
  }
  if (key === UNSET) {
    return bad('binding', 'unset-key', "the signing key's hash is unset: the enclave had no key yet");
  }
  if (tls === UNSET) {
    return bad('binding', 'unset-certificate', "the TLS certificate's hash is unset");
  }
  return good('binding', `binds key ${key}, certificate ${tls}`);
}

function hashStep(name: Step['name'], what: string, code: string, bound: string | null, given: string | null): Step {
  if (given === null) {
    return absent(name, `no ${what} given to compare with`);
  }
  return bound === given
    ? good(name, `the document binds this very ${what}`)
    : bad(name, code, `the document binds ${what} ${bound ?? 'none'}, this one is ${given}`);
}

// -------------------------------------------------------------------------------------------------------------- the claim

/**
 * Passed means proven: under AWS' pinned root, or (`facts.simulated`) under one that is known as simulated, the document
 * binds the key that signed and the registered certificate, carries the nonce that was asked for, names the code that
 * the registry and the reader's own allow-list name, and is of the time of the call.
 *
 * Missing: no document, no key to compare with, or (`foreign-simulation`) somebody else's simulated network.
 */
export async function check(evidence: Evidence, trust: Trust): Promise<Claim> {
  const offered = evidence.receipt.attestation;
  const nothing: Facts = { simulated: evidence.declaredSimulated, binds_certificate: false };
  if (offered === null) {
    const sentence = "No attestation of the host's enclave was to be had.";
    return missing('attestation', sentence, 'none', 'none offered', nothing);
  }
  const found = await inspect(offered.document);
  if (found.unreadable !== null) {
    return refusal('unreadable', `the document cannot be read: ${found.unreadable}`, nothing);
  }
  const { document } = found;
  if (document === null) {
    const facts = { ...nothing, root_sha256: null, nonce: offered.nonce !== null };
    return refusal(...worst(found.steps.filter(isFailed)), facts);
  }
  const nonce = offered.nonce === null ? null : fromHex(offered.nonce);
  const simulated = found.rootSha256 !== trust.awsRootSha256.toLowerCase();
  const steps = [...stepsFor(found, document, evidence, trust, nonce), ...compared(evidence, trust, document)];
  const failures = steps.filter(isFailed);
  const bound = failures.length === 0 && bindsCertificate(evidence, document);
  const facts: Facts = {
    // Simulated is a root that is known to be, or what calls itself so; a root that nobody knows is a fault.
    simulated:
      simulated &&
      (evidence.declaredSimulated || trust.simulatedRoots.some(root => root.toLowerCase() === found.rootSha256)),
    root_sha256: found.rootSha256,
    binds_certificate: bound,
    nonce: nonce !== null,
    pcr_hash: document.pcrHash,
    module_id: document.moduleId,
    timestamp: new Date(document.timestamp).toISOString()
  };
  if (failures.length) {
    if (failures.length === 1 && failures[0].code === 'unknown-root' && evidence.declaredSimulated && trust.reader) {
      const sentence = "The attestation is of somebody else's simulated network, whose root is not known here.";
      return missing('attestation', sentence, 'foreign-simulation', failures[0].detail, facts);
    }
    return refusal(...worst(failures), facts);
  }
  if (evidence.signingKey === null) {
    const sentence = 'There is an attestation, but no signing key to compare with the one that it binds.';
    return missing('attestation', sentence, 'no-key', 'no signing key', facts);
  }
  const what = bound ? 'signing key and TLS certificate belong' : 'signing key belongs';
  const made = simulated ? "in a simulated enclave (not AWS')" : 'in an AWS Nitro enclave';
  const sentence = `The host's ${what} to code ${document.pcrHash.slice(0, 10)}… ${made}.`;
  return passed('attestation', 'proven', sentence, facts);
}

function isFailed(step: Step): boolean {
  return step.status === 'failed';
}

function refusal(code: string, reason: string, facts: Facts): Claim {
  return failed('attestation', 'proven', "The host's attestation does not hold.", code, reason, facts);
}

/** The first failure in the order of the steps: the later ones mean little where an earlier one fails. */
function worst(failures: readonly Step[]): [code: string, reason: string] {
  const [first] = failures;
  // For a claim about this key, a document that binds nothing binds the wrong key.
  return [first.code === 'no-binding' ? 'wrong-key' : (first.code ?? first.name), first.detail];
}

/** What the rest of the evidence says about the document: its time, the code it names, the peer's certificate. */
function compared(evidence: Evidence, trust: Trust, document: AttestationDocument): Step[] {
  const steps: Step[] = [];
  const dated = BigInt(document.timestamp) * 1000n;
  if (dated > evidence.receivedAt + BigInt(Math.round(trust.skewSeconds * 1e6))) {
    steps.push(bad('time', 'future', `the document comes from the future: dated ${utc(document.timestamp)} UTC`));
  }
  if (dated < evidence.sentAt - BigInt(MAX_DOCUMENT_AGE_SECONDS) * 1_000_000n) {
    steps.push(bad('time', 'stale', `the document is older than a day: dated ${utc(document.timestamp)} UTC`));
  }
  const other = [evidence.entry, evidence.host].find(host => host && host.pcr_hash.toLowerCase() !== document.pcrHash);
  if (other) {
    const detail = `attested is code ${document.pcrHash}, the registry names ${other.pcr_hash}`;
    steps.push(bad('code', 'wrong-pcrs', detail));
  }
  if (trust.pinnedPcrs.length && !trust.pinnedPcrs.some(pinned => pinned.toLowerCase() === document.pcrHash)) {
    steps.push(bad('code', 'not-pinned', `code ${document.pcrHash} is not in your allow-list`));
  }
  const presented = evidence.receipt.channel?.certificate_sha256.toLowerCase();
  if (evidence.host === null && presented !== undefined && presented !== document.tlsCertificateSha256) {
    const detail = `the document binds ${document.tlsCertificateSha256}, the peer presented ${presented}`;
    steps.push(bad('tls_certificate', 'wrong-certificate', detail));
  }
  return steps;
}

function bindsCertificate(evidence: Evidence, document: AttestationDocument): boolean {
  const hashes = [evidence.host?.certificateSha256, evidence.receipt.channel?.certificate_sha256.toLowerCase()].filter(
    hash => hash !== undefined
  );
  return hashes.length > 0 && hashes.every(hash => hash === document.tlsCertificateSha256);
}
