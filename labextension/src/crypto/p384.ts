/**
 * ECDSA verification over secp384r1 in BigInt (SEC 1, section 4.1.4), for browsers without WebCrypto.
 *
 * Only verification: everything here is public, so nothing needs constant time, and a library that also signs would be
 * half of the extension's size. The tests hold it together with WebCrypto.
 */

import { toBigInt } from './bytes';

/** secp384r1 (SEC 2, section 2.5.1): y² = x³ − 3x + b over GF(p), with a generator of order n. */
const P = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn;
const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;
const B = 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn;
const GX = 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n;
const GY = 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn;

/** Bytes of one coordinate, and of each half of a signature. */
export const FIELD = 48;

/** In Jacobian coordinates: x = X / Z², y = Y / Z³; Z is 0 at infinity. */
type Point = readonly [x: bigint, y: bigint, z: bigint];

const INFINITY: Point = [1n, 1n, 0n];

function mod(value: bigint, modulus = P): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/** By the extended Euclidean algorithm; `modulus` is prime and `value` no multiple of it. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [mod(value, modulus), modulus, 1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b, x, y] = [b - quotient * a, a, y - quotient * x, x];
  }
  return mod(x, modulus);
}

/** The point that these bytes are in uncompressed form, or null where they are none of the curve. */
export function readPoint(key: Uint8Array): Point | null {
  if (key.length !== 1 + 2 * FIELD || key[0] !== 4) {
    return null;
  }
  const [x, y] = [toBigInt(key.subarray(1, 1 + FIELD)), toBigInt(key.subarray(1 + FIELD))];
  return x < P && y < P && mod(y * y - (x * x - 3n) * x - B) === 0n ? [x, y, 1n] : null;
}

/** "dbl-2001-b", for curves with a = −3. */
function double([x, y, z]: Point): Point {
  const delta = mod(z * z);
  const gamma = mod(y * y);
  const beta = mod(x * gamma);
  const alpha = mod(3n * (x - delta) * (x + delta));
  const x3 = mod(alpha * alpha - 8n * beta);
  return [x3, mod(alpha * (4n * beta - x3) - 8n * gamma * gamma), mod((y + z) * (y + z) - gamma - delta)];
}

/** "add-2007-bl", and the cases that it does not cover. */
function add(one: Point, other: Point): Point {
  const [x1, y1, z1] = one;
  const [x2, y2, z2] = other;
  if (z1 === 0n) {
    return other;
  }
  if (z2 === 0n) {
    return one;
  }
  const [zz1, zz2] = [mod(z1 * z1), mod(z2 * z2)];
  const [u1, u2] = [mod(x1 * zz2), mod(x2 * zz1)];
  const [s1, s2] = [mod(y1 * z2 * zz2), mod(y2 * z1 * zz1)];
  if (u1 === u2) {
    return s1 === s2 ? double(one) : INFINITY;
  }
  const h = u2 - u1;
  const r = 2n * (s2 - s1);
  const i = mod(4n * h * h);
  const [j, v] = [mod(h * i), mod(u1 * i)];
  const x3 = mod(r * r - j - 2n * v);
  return [x3, mod(r * (v - x3) - 2n * s1 * j), mod(2n * z1 * z2 * h)];
}

/** u·G + v·Q, both at once. */
function sum(u: bigint, v: bigint, q: Point): Point {
  const g: Point = [GX, GY, 1n];
  const both = add(g, q);
  let result = INFINITY;
  for (let bit = 383n; bit >= 0n; bit--) {
    result = double(result);
    const [first, second] = [(u >> bit) & 1n, (v >> bit) & 1n];
    if (first || second) {
      result = add(result, first ? (second ? both : g) : q);
    }
  }
  return result;
}

/** Whether `key` (an uncompressed point) signed what has this SHA-384 hash; the signature is r and s, 48 bytes each. */
export function verify(key: Uint8Array, hash: Uint8Array, signature: Uint8Array): boolean {
  const point = readPoint(key);
  const [r, s] = [toBigInt(signature.subarray(0, FIELD)), toBigInt(signature.subarray(FIELD))];
  if (point === null || signature.length !== 2 * FIELD || r <= 0n || r >= N || s <= 0n || s >= N) {
    return false;
  }
  const w = inverse(s, N);
  const [x, , z] = sum(mod(toBigInt(hash) * w, N), mod(r * w, N), point);
  if (z === 0n) {
    return false;
  }
  const affine = mod(x * inverse(mod(z * z), P));
  return mod(affine, N) === r;
}
