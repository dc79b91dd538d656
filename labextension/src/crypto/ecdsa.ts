/** ECDSA over P-384 with SHA-384: what enclaves' documents and their certificates are signed with. */

import { p384 } from '@noble/curves/nist.js';
import { sha384 } from '@noble/hashes/sha2.js';

import { concat } from './bytes';
import * as der from './der';

/** Bytes of one coordinate, and of each half of a signature. */
const FIELD = 48;

/** Whether these bytes are an uncompressed point of the curve. */
export function isPoint(key: Uint8Array): boolean {
  if (key.length !== 1 + 2 * FIELD || key[0] !== 4) {
    return false;
  }
  try {
    p384.Point.fromBytes(key).assertValidity();
    return true;
  } catch {
    return false;
  }
}

/** Whether `key` (an uncompressed point) signed `message`; the signature is r and s, 48 bytes each. */
export function holds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return isPoint(key) && p384.verify(signature, sha384(message), key, { prehash: false, lowS: false, format: 'compact' });
  } catch {
    return false;
  }
}

/** r and s of a DER signature, 48 bytes each; null where it is not strict DER or too large. */
export function fromDer(signature: Uint8Array): Uint8Array | null {
  try {
    const pair = new der.Reader(der.only(signature, der.SEQUENCE).content);
    const halves = [der.unsigned(pair.next()), der.unsigned(pair.next())];
    pair.end();
    if (halves.some(half => half.length > FIELD)) {
      return null;
    }
    return concat(...halves.map(half => concat(new Uint8Array(FIELD - half.length), half)));
  } catch {
    return null;
  }
}
