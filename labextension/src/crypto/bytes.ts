/** Bytes and the hashes of this project. */

import { sha256 } from '@noble/hashes/sha2.js';
import { keccak_256 } from '@noble/hashes/sha3.js';

const encoder = new TextEncoder();

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    out += HEX[byte];
  }
  return out;
}

/** Lower- or upper-case hex without prefix; throws a RangeError for anything else. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 || /[^0-9a-fA-F]/.test(text)) {
    throw new RangeError('not hex');
  }
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** Base64 with padding, and only in the one form that its bytes have; null for anything else. */
export function fromBase64(text: string): Uint8Array | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  // Several texts decode to the same bytes (loose last bits, spaces); only one of them is canonical.
  if (btoa(binary) !== text) {
    return null;
  }
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) {
    out[i] = binary.charCodeAt(i);
  }
  return out;
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

/** Big-endian, unsigned. */
export function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length ? BigInt(`0x${toHex(bytes)}`) : 0n;
}

/** Big-endian, unsigned, in exactly `length` bytes. */
export function fromBigInt(value: bigint, length: number): Uint8Array {
  return fromHex(value.toString(16).padStart(2 * length, '0'));
}

export function keccak256(bytes: Uint8Array): Uint8Array {
  return keccak_256(bytes);
}

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}

export function sha256Hex(bytes: Uint8Array): string {
  return toHex(sha256(bytes));
}

/** The same, by the browser's own means where it has them. */
export async function sha256HexNatively(bytes: Uint8Array): Promise<string> {
  const subtle = subtleCrypto();
  return subtle === undefined ? sha256Hex(bytes) : toHex(new Uint8Array(await subtle.digest('SHA-256', bytes)));
}

/** WebCrypto, which browsers offer on HTTPS and on localhost alone. */
export function subtleCrypto(): SubtleCrypto | undefined {
  return globalThis.crypto?.subtle as SubtleCrypto | undefined;
}
