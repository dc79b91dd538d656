/** CBOR (RFC 8949) read strictly: no tags, little depth, no map that says two things about one key. */

import { MalformedMessage } from '../base/json';
import { toHex } from './bytes';

/** Integers are `bigint`, floats `number`; simple values that documents have no use for are `undefined`. */
export type Cbor = null | undefined | boolean | bigint | number | string | Uint8Array | Cbor[] | CborMap;

/** Maps by what a key is (`i1`, `tpcrs`, `b00ff`); no key twice. */
export class CborMap {
  readonly entries = new Map<string, [Cbor, Cbor]>();

  get size(): number {
    return this.entries.size;
  }

  has(key: string): boolean {
    return this.entries.has(`t${key}`);
  }

  /** What a text key names. */
  get(key: string): Cbor {
    return this.entries.get(`t${key}`)?.[1];
  }
}

/** A payload nests a map in a map; anything deeper is not an attestation document. */
const MAX_DEPTH = 6;

/**
 * The first item of `data` and the number of bytes after it.
 *
 * `indefinite` allows maps, arrays and strings of indefinite length (genuine payloads use one, the envelope does not).
 * Throws {@link MalformedMessage}: `duplicate-keys` where one map holds a key twice and nothing else is wrong, `not-cbor`
 * for all else that cannot be read.
 */
export function decode(data: Uint8Array, indefinite: boolean): { value: Cbor; after: number } {
  const decoder = new Decoder(data, indefinite);
  const value = decoder.item(0);
  if (decoder.duplicates) {
    throw new MalformedMessage('a map holds one key twice', 'duplicate-keys');
  }
  return { value, after: data.length - decoder.at };
}

const BREAK = Symbol('break');
/** The number of the simple value that is called undefined. */
const UNDEFINED = 23;
const decoderUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Decoder {
  at = 0;
  duplicates = false;
  /** The number of the simple value that was read last. */
  private lastSimple = UNDEFINED;
  private readonly view: DataView;

  constructor(
    private readonly data: Uint8Array,
    private readonly indefinite: boolean
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  item(depth: number): Cbor {
    const value = this.itemOrBreak(depth);
    if (value === BREAK) {
      throw unreadable('a break outside of anything that it could end');
    }
    return value as Cbor;
  }

  private itemOrBreak(depth: number): Cbor | typeof BREAK {
    const first = this.take(1)[0];
    const major = first >> 5;
    const info = first & 0x1f;
    if (major === 7) {
      return this.simple(info);
    }
    if (major === 6) {
      throw unreadable('a tag');
    }
    if (info === 31) {
      if (!this.indefinite || major < 2) {
        throw unreadable('an indefinite length');
      }
      return this.open(major, depth);
    }
    const argument = this.argument(info);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1n - argument;
      case 2:
        return this.take(this.count(argument)).slice();
      case 3:
        return text(this.take(this.count(argument)));
      case 4: {
        const inner = deeper(depth);
        return Array.from({ length: this.count(argument) }, () => this.item(inner));
      }
      default: {
        const inner = deeper(depth);
        const map = new CborMap();
        for (let left = this.count(argument); left > 0; left--) {
          this.entry(map, this.item(inner), inner);
        }
        return map;
      }
    }
  }

  private open(major: number, depth: number): Cbor {
    if (major === 2 || major === 3) {
      return this.chunks(major);
    }
    const inner = deeper(depth);
    if (major === 4) {
      const list: Cbor[] = [];
      for (let next = this.itemOrBreak(inner); next !== BREAK; next = this.itemOrBreak(inner)) {
        list.push(next as Cbor);
      }
      return list;
    }
    const map = new CborMap();
    for (let key = this.itemOrBreak(inner); key !== BREAK; key = this.itemOrBreak(inner)) {
      this.entry(map, key as Cbor, inner);
    }
    return map;
  }

  private entry(map: CborMap, key: Cbor, depth: number): void {
    // Simple values but the named ones compare equal to their number in Python.
    const name = key === undefined && this.lastSimple !== UNDEFINED ? `i${this.lastSimple}` : nameOf(key);
    this.duplicates ||= map.entries.has(name);
    map.entries.set(name, [key, this.item(depth)]);
  }

  private chunks(major: number): Uint8Array | string {
    const bytes: number[] = [];
    let joined = '';
    for (;;) {
      const first = this.take(1)[0];
      if (first === 0xff) {
        return major === 2 ? Uint8Array.from(bytes) : joined;
      }
      if (first >> 5 !== major || (first & 0x1f) === 31) {
        throw unreadable('a piece of a string that is none');
      }
      const piece = this.take(this.count(this.argument(first & 0x1f)));
      if (major === 2) {
        bytes.push(...piece);
      } else {
        joined += text(piece);
      }
    }
  }

  private simple(info: number): Cbor | typeof BREAK {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 25:
        return half(this.view.getUint16(this.skip(2)));
      case 26:
        return this.view.getFloat32(this.skip(4));
      case 27:
        return this.view.getFloat64(this.skip(8));
      case 31:
        return BREAK;
      case 28:
      case 29:
      case 30:
        throw unreadable('a reserved form');
      case 24:
        this.lastSimple = this.take(1)[0];
        if (this.lastSimple < 32) {
          throw unreadable('a simple value of two bytes that has one');
        }
        return undefined;
      default:
        this.lastSimple = info;
        return undefined;
    }
  }

  private argument(info: number): bigint {
    switch (info) {
      case 24:
        return BigInt(this.take(1)[0]);
      case 25:
        return BigInt(this.view.getUint16(this.skip(2)));
      case 26:
        return BigInt(this.view.getUint32(this.skip(4)));
      case 27:
        return this.view.getBigUint64(this.skip(8));
    }
    if (info > 27) {
      throw unreadable('a reserved form');
    }
    return BigInt(info);
  }

  private count(argument: bigint): number {
    // Every item has at least one byte.
    if (argument > BigInt(this.data.length - this.at)) {
      throw unreadable('cut short');
    }
    return Number(argument);
  }

  /** Step over `count` bytes; where they began. */
  private skip(count: number): number {
    if (this.at + count > this.data.length) {
      throw unreadable('cut short');
    }
    this.at += count;
    return this.at - count;
  }

  private take(count: number): Uint8Array {
    const start = this.skip(count);
    return this.data.subarray(start, start + count);
  }
}

function unreadable(what: string): MalformedMessage {
  return new MalformedMessage(`not readable as CBOR: ${what}`, 'not-cbor');
}

function deeper(depth: number): number {
  if (depth >= MAX_DEPTH) {
    throw unreadable('nested too deeply');
  }
  return depth + 1;
}

function text(bytes: Uint8Array): string {
  try {
    return decoderUtf8.decode(bytes);
  } catch {
    throw unreadable('text that is not UTF-8');
  }
}

/** Keys that compare equal in Python have one name: 1, 1.0 and true are one key there. */
function nameOf(key: Cbor): string {
  switch (typeof key) {
    case 'string':
      return `t${key}`;
    case 'bigint':
    case 'number':
      return `i${key}`;
    case 'boolean':
      return `i${key ? 1 : 0}`;
  }
  if (key instanceof Uint8Array) {
    return `b${toHex(key)}`;
  }
  if (key === null || key === undefined) {
    return `s${key}`;
  }
  throw unreadable('a map or list as a key');
}

function half(value: number): number {
  const sign = value & 0x8000 ? -1 : 1;
  const exponent = (value >> 10) & 0x1f;
  const fraction = value & 0x3ff;
  if (exponent === 31) {
    return fraction ? NaN : sign * Infinity;
  }
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
