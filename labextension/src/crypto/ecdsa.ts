/**
 * ECDSA over P-384 with SHA-384: what enclaves' documents and their certificates are signed with. By WebCrypto, or with
 * BigInt where there is none: on plain HTTP.
 */

import { sha384 } from '@noble/hashes/sha2.js';

import { concat, subtleCrypto } from './bytes';
import * as der from './der';
import { FIELD, readPoint, verify } from './p384';

/** A key as WebCrypto takes it, null where there is no WebCrypto; rejects for what is no point of the curve. */
async function imported(key: Uint8Array): Promise<CryptoKey | null> {
  return (await subtleCrypto()?.importKey('raw', key, { name: 'ECDSA', namedCurve: 'P-384' }, false, ['verify'])) ?? null;
}

function hasForm(key: Uint8Array): boolean {
  return key.length === 1 + 2 * FIELD && key[0] === 4;
}

/** Whether these bytes are an uncompressed point of the curve. */
export async function isPoint(key: Uint8Array): Promise<boolean> {
  if (!hasForm(key)) {
    return false;
  }
  try {
    return (await imported(key)) !== null || readPoint(key) !== null;
  } catch {
    return false;
  }
}

/** Whether `key` (an uncompressed point) signed `message`; the signature is r and s, 48 bytes each. */
export async function holds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (!hasForm(key)) {
    return false;
  }
  try {
    const ready = await imported(key);
    return ready === null
      ? verify(key, sha384(message), signature)
      : await subtleCrypto()!.verify({ name: 'ECDSA', hash: 'SHA-384' }, ready, signature, message);
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
