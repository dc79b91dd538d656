/**
 * ECDSA over P-384 with SHA-384: what enclaves' documents and their certificates are signed with. By WebCrypto, or by
 * noble-curves where there is none: on plain HTTP.
 */

import { part } from '../base/load';
import { concat, subtleCrypto } from './bytes';
import * as der from './der';

/** Bytes of one coordinate, and of each half of a signature. */
const FIELD = 48;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-384' };

/** Loaded only where it is needed: it is as large as half of the verifier. */
const inScript = part(() => import('./p384'));

/** Lets typing and drawing have their turn: a signature in script takes longer than anything else here. */
function breath(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve));
}

function hasForm(key: Uint8Array): boolean {
  return key.length === 1 + 2 * FIELD && key[0] === 4;
}

/** Whether these bytes are an uncompressed point of the curve. Rejects with `NotLoaded`. */
export async function isPoint(key: Uint8Array): Promise<boolean> {
  if (!hasForm(key)) {
    return false;
  }
  const subtle = subtleCrypto();
  if (subtle === undefined) {
    return (await inScript()).isPoint(key);
  }
  try {
    await subtle.importKey('raw', key, ALGORITHM, false, ['verify']);
    return true;
  } catch {
    // Whether it is the key's fault or the browser's: a script of our own knows.
    return (await inScript()).isPoint(key);
  }
}

/**
 * Whether `key` (an uncompressed point) signed `message`; the signature is r and s, 48 bytes each. Rejects with
 * `NotLoaded`.
 */
export async function holds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (!hasForm(key)) {
    return false;
  }
  const subtle = subtleCrypto();
  if (subtle === undefined) {
    const { holds: holdsInScript } = await inScript();
    await breath();
    return holdsInScript(key, message, signature);
  }
  try {
    const ready = await subtle.importKey('raw', key, ALGORITHM, false, ['verify']);
    return await subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, ready, signature, message);
  } catch {
    return (await inScript()).holds(key, message, signature);
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
  } catch (error) {
    if (error instanceof der.DerError) {
      return null;
    }
    throw error;
  }
}
