/** COSE_Sign1 (RFC 9052 section 4.2) as the Nitro Security Module writes it: untagged, ES384, nothing unprotected. */

import { MalformedMessage } from '../base/json';
import { concat, utf8 } from './bytes';
import { CborMap, decode } from './cbor';
import * as ecdsa from './ecdsa';

/** COSE algorithm ES384 (RFC 9053 section 2.1), under header label 1. */
const ES384 = -35n;
const ALG = 'i1';
const SIGNATURE_BYTES = 96;
const TAG_SIGN1 = 0xd2;

/** The three byte strings of an envelope, and how many bytes followed it (0 in a good document). */
export interface Sign1 {
  readonly protected: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly trailing: number;
}

/**
 * The envelope in `raw`. Throws {@link MalformedMessage}: not CBOR, not an untagged array of four, another algorithm than
 * ES384, unprotected headers, or a signature that is not 96 bytes; its code says which.
 */
export function readSign1(raw: Uint8Array): Sign1 {
  if (raw[0] === TAG_SIGN1) {
    throw new MalformedMessage('a tagged COSE_Sign1; Nitro documents are untagged', 'tagged');
  }
  const { value, after } = decode(raw, false);
  if (!Array.isArray(value) || value.length !== 4) {
    throw new MalformedMessage('not a COSE_Sign1: no array of four', 'not-cose');
  }
  const [header, unprotected, payload, signature] = value;
  if (!(header instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw new MalformedMessage('not a COSE_Sign1: header, payload and signature must be byte strings', 'not-cose');
  }
  if (!(unprotected instanceof CborMap) || unprotected.size) {
    throw new MalformedMessage('the unprotected header is not an empty map', 'header');
  }
  const { value: fields, after: rest } = decode(header, false);
  const alg = fields instanceof CborMap ? fields.entries.get(ALG) : undefined;
  if (!(fields instanceof CborMap) || rest || fields.size !== 1 || typeof alg?.[0] !== 'bigint' || alg[1] !== ES384) {
    throw new MalformedMessage('the protected header does not say ES384 and that alone', 'header');
  }
  if (signature.length !== SIGNATURE_BYTES) {
    throw new MalformedMessage(`the signature has ${signature.length} bytes, not ${SIGNATURE_BYTES}`, 'signature');
  }
  return { protected: header, payload, signature, trailing: after };
}

/** Whether `key` (an uncompressed point on P-384) signed the envelope (RFC 9052 section 4.4, no external data). */
export function signatureHolds(envelope: Sign1, key: Uint8Array): Promise<boolean> {
  const structure = concat(
    Uint8Array.of(0x84),
    string(3, utf8('Signature1')),
    string(2, envelope.protected),
    string(2, new Uint8Array(0)),
    string(2, envelope.payload)
  );
  return ecdsa.holds(key, structure, envelope.signature);
}

/** A CBOR string of that major type, its length in the shortest form. */
function string(major: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  const type = major << 5;
  const head =
    length < 24
      ? [type | length]
      : length < 0x100
        ? [type | 24, length]
        : length < 0x10000
          ? [type | 25, length >> 8, length & 0xff]
          : [type | 26, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return concat(Uint8Array.from(head), content);
}
