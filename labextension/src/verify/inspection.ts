/**
 * What one attestation document says by itself: an untagged COSE_Sign1 (ES384) over a CBOR payload, under a certificate
 * path that is judged at the document's own time, because an enclave's certificate lives for three hours only.
 */

import { sha256Hex } from '../crypto/bytes';
import { CborMap, decode } from '../crypto/cbor';
import { checkPath, leafKey } from '../crypto/certificate-path';
import { readSign1, signatureHolds } from '../crypto/cose';
import { load, named } from '../crypto/x509';
import { MalformedMessage } from '../base/json';
import { AttestationDocument, readPayload } from './nitro';
import { bytesOf, utc } from './shared';

/** Genuine documents have 4 to 5 KiB. */
const MAX_DOCUMENT_BYTES = 64 * 1024;

/** Faults that still leave an attestation document to talk about: refused, where everything else is unreadable. */
const REFUSED_FORMS = new Set(['duplicate-keys', 'tagged', 'header', 'signature', 'field', 'certificate']);

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

export function good(name: Step['name'], detail: string): Step {
  return { name, status: 'passed', detail, code: null };
}

export function bad(name: Step['name'], code: string, detail: string): Step {
  return { name, status: 'failed', detail, code };
}

export function absent(name: Step['name'], detail: string): Step {
  return { name, status: 'missing', detail, code: null };
}
