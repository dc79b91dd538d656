/** P-384 for browsers without WebCrypto, by noble-curves. The tests hold it together with WebCrypto. */

import { p384 } from '@noble/curves/nist.js';

/** Whether these bytes are an uncompressed point of the curve. */
export function isPoint(key: Uint8Array): boolean {
  return p384.utils.isValidPublicKey(key, false);
}

/** Whether `key` (an uncompressed point) signed `message` with SHA-384; the signature is r and s, 48 bytes each. */
export function holds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  // Enclaves, as NIST's curves everywhere, may sign with either s.
  return signature.length === 96 && isPoint(key) && p384.verify(signature, message, key, { prehash: true, lowS: false, format: 'compact' });
}
