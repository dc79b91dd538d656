import { webcrypto } from 'node:crypto';

import { fromHex, toHex, utf8 } from '../crypto/bytes';
import * as der from '../crypto/der';
import * as ecdsa from '../crypto/ecdsa';
import { leafHash, proofHolds } from '../crypto/merkle';
import { pssHolds, pssHoldsSlowly, readKey } from '../crypto/rsa';

const own = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;

/** Both ways: by WebCrypto, and without it. */
async function both(work: () => Promise<boolean>): Promise<boolean[]> {
  const fast = await work();
  Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
  try {
    return [fast, await work()];
  } finally {
    Object.defineProperty(globalThis, 'crypto', own);
  }
}

describe.each([2048, 2056, 3072])('RSA-PSS with %i bits', bits => {
  const message = utf8('what was signed');
  let key: webcrypto.CryptoKeyPair;
  let spki: Uint8Array;

  beforeAll(async () => {
    const kind = { name: 'RSA-PSS', modulusLength: bits, publicExponent: fromHex('010001'), hash: 'SHA-256' };
    key = (await webcrypto.subtle.generateKey(kind, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    spki = new Uint8Array(await webcrypto.subtle.exportKey('spki', key.publicKey));
  });

  async function signed(salt: number): Promise<Uint8Array> {
    return new Uint8Array(await webcrypto.subtle.sign({ name: 'RSA-PSS', saltLength: salt }, key.privateKey, message));
  }

  test('a good signature holds, and no other', async () => {
    const found = readKey(spki);
    expect(found.bits).toBe(bits);
    const good = await signed(32);
    expect(await both(() => pssHolds(found, message, good))).toEqual([true, true]);
    expect(await both(() => pssHolds(found, utf8('else'), good))).toEqual([false, false]);
    for (const salt of [0, 31, 33]) {
      const other = await signed(salt);
      expect(await both(() => pssHolds(found, message, other))).toEqual([false, false]);
    }
    for (const place of [0, 1, 100, good.length - 1]) {
      const bad = good.slice();
      bad[place] ^= 1;
      expect(pssHoldsSlowly(found, message, bad)).toBe(false);
    }
    expect(pssHoldsSlowly(found, message, good.subarray(1))).toBe(false);
    expect(pssHoldsSlowly(found, message, new Uint8Array(good.length))).toBe(false);
  });

  test('a key has one form', () => {
    for (const bad of [spki.subarray(1), Uint8Array.of(...spki, 0), spki.subarray(0, -1), new Uint8Array(0)]) {
      expect(() => readKey(bad)).toThrow();
    }
  });
});

describe('ECDSA over P-384', () => {
  const message = utf8('what was signed');
  const kind = { name: 'ECDSA', namedCurve: 'P-384' };

  test('WebCrypto and BigInt say the same', async () => {
    for (let round = 0; round < 5; round++) {
      const pair = (await webcrypto.subtle.generateKey(kind, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
      const key = new Uint8Array(await webcrypto.subtle.exportKey('raw', pair.publicKey));
      const good = new Uint8Array(await webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-384' }, pair.privateKey, message));
      expect(await both(() => ecdsa.isPoint(key))).toEqual([true, true]);
      expect(await both(() => ecdsa.holds(key, message, good))).toEqual([true, true]);
      expect(await both(() => ecdsa.holds(key, utf8('else'), good))).toEqual([false, false]);
      const bad = good.slice();
      bad[95 * (round % 2)] ^= 0x10;
      expect(await both(() => ecdsa.holds(key, message, bad))).toEqual([false, false]);
      const off = key.slice();
      off[96] ^= 1;
      expect(await both(() => ecdsa.isPoint(off))).toEqual([false, false]);
      expect(await both(() => ecdsa.holds(off, message, good))).toEqual([false, false]);
    }
  });

  test.each([
    ['zero', '00'.repeat(96)],
    ['the order itself', 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'.repeat(2)],
    ['too short', '01'.repeat(95)],
    ['too long', '01'.repeat(97)],
    ['nothing', '']
  ])('a signature of %s never holds', async (_, hex) => {
    const pair = (await webcrypto.subtle.generateKey(kind, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const key = new Uint8Array(await webcrypto.subtle.exportKey('raw', pair.publicKey));
    expect(await both(() => ecdsa.holds(key, message, fromHex(hex)))).toEqual([false, false]);
  });

  test('a browser that refuses the curve is not the key\'s fault', async () => {
    const pair = (await webcrypto.subtle.generateKey(kind, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const key = new Uint8Array(await webcrypto.subtle.exportKey('raw', pair.publicKey));
    const good = new Uint8Array(await webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-384' }, pair.privateKey, message));
    const refuse = (): Promise<never> => Promise.reject(new Error('not supported'));
    for (const subtle of [{ importKey: refuse, verify: refuse }, { importKey: () => Promise.resolve({}), verify: refuse }]) {
      Object.defineProperty(globalThis, 'crypto', { value: { subtle }, configurable: true });
      try {
        expect(await ecdsa.isPoint(key)).toBe(true);
        expect(await ecdsa.holds(key, message, good)).toBe(true);
        expect(await ecdsa.holds(key, utf8('else'), good)).toBe(false);
      } finally {
        Object.defineProperty(globalThis, 'crypto', own);
      }
    }
  });

  test('a key in another form never holds', async () => {
    for (const key of [new Uint8Array(0), new Uint8Array(97), Uint8Array.of(2, ...new Uint8Array(48)), Uint8Array.of(4, ...new Uint8Array(96))]) {
      expect(await both(() => ecdsa.isPoint(key))).toEqual([false, false]);
    }
  });

  test('a DER signature has one form', () => {
    expect(ecdsa.fromDer(fromHex('3006020101020102'))?.length).toBe(96);
    for (const bad of ['3006020101020182', '300702020001020102', '300602010102010200', '30060201010201', '3081060201010201' + '02']) {
      expect(ecdsa.fromDer(fromHex(bad))).toBeNull();
    }
  });
});

test('DER lengths are minimal, and nothing is left over', () => {
  for (const bad of ['0481020000', '0480', '04820001ff', '1f0100', '0402ff', '0401ff00']) {
    expect(() => der.only(fromHex(bad))).toThrow(der.DerError);
  }
  expect(toHex(der.only(fromHex('0402abcd')).content)).toBe('abcd');
});

test('a Merkle proof leads to one root, and pairs have no order', () => {
  const leaf = leafHash(new Uint8Array(32), new Uint8Array(32), new Uint8Array(32), utf8('signature'), 5n);
  const other = new Uint8Array(32).fill(0xff);
  const lower = new Uint8Array(32);
  // Roots by hand: the smaller of a pair comes first.
  expect(proofHolds(leaf, leaf, [])).toBe(true);
  expect(proofHolds(other, leaf, [])).toBe(false);
  expect(proofHolds(leaf, leaf, [other])).toBe(false);
  expect(proofHolds(leaf, leaf, Array.from({ length: 65 }, () => lower))).toBe(false);
  expect(proofHolds(leaf, leaf, [new Uint8Array(31)])).toBe(false);
});
