/**
 * RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of exactly 32 bytes (RFC 8017, section 8.1.2), by WebCrypto, or with
 * BigInt where there is none: on plain HTTP.
 */

import { concat, equal, fromBigInt, fromHex, sha256Of, subtleCrypto, toBigInt } from './bytes';
import * as der from './der';

export const MIN_KEY_BITS = 2048;
/** Above this, checking one signature would cost more than any host's key is worth. */
export const MAX_KEY_BITS = 16384;
export const SALT_BYTES = 32;

const HASH_BYTES = 32;
/** SEQUENCE { rsaEncryption, NULL }. */
const ALGORITHM = fromHex('300d06092a864886f70d0101010500');
/** OpenSSL takes no longer public exponent with a modulus beyond 3072 bits. */
const LARGE_MODULUS_BITS = 3072;
const LARGE_MODULUS_EXPONENT_BITS = 64;

export interface RsaKey {
  readonly der: Uint8Array;
  readonly modulus: bigint;
  readonly exponent: bigint;
  /** Of the modulus. */
  readonly bits: number;
}

/** Why a key is not acceptable. */
export class KeyRefused extends Error {}

/** A key from canonical DER SubjectPublicKeyInfo; throws {@link KeyRefused} with why it is not acceptable. */
export function readKey(bytes: Uint8Array): RsaKey {
  let key: RsaKey;
  try {
    const info = new der.Reader(der.only(bytes, der.SEQUENCE).content);
    const algorithm = info.next(der.SEQUENCE);
    const subject = info.next(der.BIT_STRING);
    info.end();
    if (!equal(algorithm.whole, ALGORITHM)) {
      throw new KeyRefused('the key is not an RSA key');
    }
    const pair = new der.Reader(der.only(der.bits(subject), der.SEQUENCE).content);
    const modulus = toBigInt(der.unsigned(pair.next()));
    const exponent = toBigInt(der.unsigned(pair.next()));
    pair.end();
    key = { der: bytes, modulus, exponent, bits: bitLength(modulus) };
  } catch (error) {
    if (error instanceof der.DerError) {
      throw new KeyRefused('the key is not a DER SubjectPublicKeyInfo');
    }
    throw error;
  }
  if (key.bits < MIN_KEY_BITS || key.bits > MAX_KEY_BITS) {
    throw new KeyRefused(`the key has ${key.bits} bits, not ${MIN_KEY_BITS} to ${MAX_KEY_BITS}`);
  }
  if (key.exponent < 3n || !(key.exponent & 1n) || !(key.modulus & 1n) || key.exponent >= key.modulus) {
    throw new KeyRefused('the key has an impossible exponent or modulus');
  }
  return key;
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** Whether `key` signed `message` so. */
export async function pssHolds(key: RsaKey, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const subtle = subtleCrypto();
  if (subtle !== undefined) {
    try {
      return await subtle.verify({ name: 'RSA-PSS', saltLength: SALT_BYTES }, await imported(subtle, key), signature, message);
    } catch {
      // Some browsers refuse rare keys that are good; the slow way knows them all.
    }
  }
  return pssHoldsSlowly(key, message, signature);
}

const importedKeys = new WeakMap<RsaKey, Promise<CryptoKey>>();

function imported(subtle: SubtleCrypto, key: RsaKey): Promise<CryptoKey> {
  let found = importedKeys.get(key);
  if (found === undefined) {
    found = subtle.importKey('spki', key.der, { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['verify']);
    importedKeys.set(key, found);
  }
  return found;
}

/** The same without WebCrypto. Nothing here is secret, so nothing takes constant time. */
export function pssHoldsSlowly(key: RsaKey, message: Uint8Array, signature: Uint8Array): boolean {
  const size = Math.ceil(key.bits / 8);
  const value = toBigInt(signature);
  if (signature.length !== size || value >= key.modulus) {
    return false;
  }
  if (key.bits > LARGE_MODULUS_BITS && bitLength(key.exponent) > LARGE_MODULUS_EXPONENT_BITS) {
    return false;
  }
  const encodedBits = key.bits - 1;
  const encodedSize = Math.ceil(encodedBits / 8);
  const opened = power(value, key.exponent, key.modulus);
  if (opened >> BigInt(8 * encodedSize)) {
    return false;
  }
  return encodingHolds(fromBigInt(opened, encodedSize), encodedBits, sha256Of(message));
}

/** EMSA-PSS-VERIFY (RFC 8017, section 9.1.2). */
function encodingHolds(encoded: Uint8Array, bits: number, hash: Uint8Array): boolean {
  const maskedSize = encoded.length - HASH_BYTES - 1;
  const padding = maskedSize - SALT_BYTES - 1;
  const unused = 8 * encoded.length - bits;
  const masked = encoded.subarray(0, maskedSize);
  const expected = encoded.subarray(maskedSize, -1);
  if (padding < 0 || encoded[encoded.length - 1] !== 0xbc || masked[0] >> (8 - unused)) {
    return false;
  }
  const block = mask(expected, maskedSize).map((byte, i) => byte ^ masked[i]);
  block[0] &= 0xff >> unused;
  if (block.subarray(0, padding).some(byte => byte !== 0) || block[padding] !== 1) {
    return false;
  }
  const salt = block.subarray(padding + 1);
  return equal(expected, sha256Of(concat(new Uint8Array(8), hash, salt)));
}

/** MGF1 with SHA-256 (RFC 8017, appendix B.2.1). */
function mask(seed: Uint8Array, length: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let counter = 0; counter * HASH_BYTES < length; counter++) {
    blocks.push(sha256Of(concat(seed, fromBigInt(BigInt(counter), 4))));
  }
  return concat(...blocks).slice(0, length);
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === '1') {
      result = (result * base) % modulus;
    }
  }
  return result;
}
