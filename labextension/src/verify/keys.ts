/** Hosts' keys: read once, for many receipts name few hosts. */

import { teeIdOf } from '../protocol/canonical';
import { KeyRefused, readKey, RsaKey } from '../crypto/rsa';

export interface KnownKey {
  readonly teeId: string;
  /** The key, or why it is not acceptable. */
  readonly key: RsaKey | string;
}

const MAX_KEYS = 64;
const keys = new Map<string, KnownKey>();

/** A key's id and its numbers, from its DER (and the same in base64, under which it is remembered). */
export function knownKey(base64: string, der: Uint8Array): KnownKey {
  let found = keys.get(base64);
  if (found === undefined) {
    let key: RsaKey | string;
    try {
      key = readKey(der);
    } catch (error) {
      if (!(error instanceof KeyRefused)) {
        throw error;
      }
      key = error.message;
    }
    found = { teeId: teeIdOf(der), key };
    if (keys.size >= MAX_KEYS) {
      keys.clear();
    }
    keys.set(base64, found);
  }
  return found;
}
