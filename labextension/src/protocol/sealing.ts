/** The key for sealed requests that a registry entry lists (RFC 9458, RFC 9180). */

import { fromBase64, toHex } from '../crypto/bytes';

/** In hex: the seven bytes that open a request, and the X25519 key. */
export interface ListedKey {
  readonly header: string;
  readonly publicKey: string;
}

/** DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305: the one suite that is known. */
const SUITE = [0x0020n, 0x0001n, 0x0003n];

/** The key in an entry's `ohttp_config`, or why there is none that can be used. */
export function listedKey(config: Readonly<Record<string, unknown>> | null): ListedKey | string {
  const key = bytesIn(config?.publicKey);
  if (config === null || (config.publicKey ?? null) === null || key?.length === 0) {
    return 'the registry lists no key for sealed requests';
  }
  const suite = ['kemId', 'kdfId', 'aeadId'].map(name => integerIn(config[name]));
  if (suite.some((id, place) => id !== SUITE[place])) {
    const shown = suite
      .map(id => (id === null || id < 0n || id > 0xffffn ? 'none' : `0x${id.toString(16).padStart(4, '0')}`))
      .join(', ');
    return `its key for sealed requests is of another suite (${shown})`;
  }
  if (key?.length !== 32) {
    return 'its key for sealed requests has not 32 bytes';
  }
  const id = integerIn(config.keyId);
  if (id === null || id < 0n || id > 255n) {
    return 'the id of its key for sealed requests is no byte';
  }
  return { header: `${id.toString(16).padStart(2, '0')}002000010003`, publicKey: toHex(key) };
}

/** Registry values as a receipt packs them: bytes as `{base64}`, integers as `{int}`. */
function bytesIn(value: unknown): Uint8Array | null {
  const text = memberOf(value, 'base64');
  return text === null ? null : fromBase64(text);
}

function integerIn(value: unknown): bigint | null {
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) ? BigInt(value) : null;
  }
  const text = memberOf(value, 'int');
  return text === null ? null : BigInt(text);
}

function memberOf(value: unknown, name: string): string | null {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) {
    return null;
  }
  const found = (value as Record<string, unknown>)[name];
  return typeof found === 'string' ? found : null;
}
