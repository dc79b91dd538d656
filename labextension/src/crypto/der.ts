/** DER (X.690) read strictly: definite, minimal lengths, and nothing left over. */

import { toHex } from './bytes';

export class DerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DerError';
  }
}

/** One element: its tag byte, its content, and the bytes of the whole. */
export interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly whole: Uint8Array;
}

export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const NULL = 0x05;
export const OID = 0x06;
export const PRINTABLE_STRING = 0x13;
export const SEQUENCE = 0x30;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;

/** Reads the elements of some content one after the other. */
export class Reader {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  /** The tag of the next element, or undefined at the end. */
  peek(): number | undefined {
    return this.bytes[this.at];
  }

  /** The next element, which must have that tag where one is given. */
  next(tag?: number): Element {
    const start = this.at;
    const found = this.byte();
    if ((found & 0x1f) === 0x1f) {
      throw new DerError('a tag of more than one byte');
    }
    if (tag !== undefined && found !== tag) {
      throw new DerError(`tag ${found} where ${tag} should be`);
    }
    const length = this.length();
    const from = this.at;
    if (length > this.bytes.length - from) {
      throw new DerError('an element longer than its container');
    }
    this.at = from + length;
    return {
      tag: found,
      content: this.bytes.subarray(from, this.at),
      whole: this.bytes.subarray(start, this.at)
    };
  }

  /** Throws unless everything has been read. */
  end(): void {
    if (!this.done) {
      throw new DerError('bytes after the end');
    }
  }

  private byte(): number {
    if (this.at >= this.bytes.length) {
      throw new DerError('cut short');
    }
    return this.bytes[this.at++];
  }

  private length(): number {
    const first = this.byte();
    if (first < 0x80) {
      return first;
    }
    const count = first & 0x7f;
    if (count === 0 || count > 3) {
      throw new DerError('an indefinite or huge length');
    }
    let value = 0;
    for (let i = 0; i < count; i++) {
      value = value * 256 + this.byte();
    }
    if (value < 0x80 || value < 2 ** (8 * (count - 1))) {
      throw new DerError('a length that is not minimal');
    }
    return value;
  }
}

/** The only element of some bytes. */
export function only(bytes: Uint8Array, tag?: number): Element {
  const reader = new Reader(bytes);
  const element = reader.next(tag);
  reader.end();
  return element;
}

/** The bytes of an INTEGER that is not negative, without a leading zero; throws for other forms. */
export function unsigned(element: Element): Uint8Array {
  const { content } = element;
  if (element.tag !== INTEGER || content.length === 0 || content[0] & 0x80) {
    throw new DerError('not an unsigned integer');
  }
  if (content.length > 1 && content[0] === 0) {
    if (!(content[1] & 0x80)) {
      throw new DerError('an integer that is not minimal');
    }
    return content.subarray(1);
  }
  return content;
}

/** An OBJECT IDENTIFIER as the hex of its content, which must be whole numbers in their shortest form. */
export function identifier(element: Element): string {
  const { content } = element;
  const last = content[content.length - 1];
  const padded = content.some((byte, i) => byte === 0x80 && (i === 0 || content[i - 1] < 0x80));
  if (element.tag !== OID || last === undefined || last >= 0x80 || padded) {
    throw new DerError('not an object identifier');
  }
  return toHex(content);
}

/** A BIT STRING whose count of unused bits is possible, and those bits zero. */
export function checkedBits(element: Element): Element {
  const { content } = element;
  const unused = content[0];
  const last = content[content.length - 1];
  if (element.tag !== BIT_STRING || !(unused <= 7) || (unused > 0 && (content.length < 2 || last & ((1 << unused) - 1)))) {
    throw new DerError('not a bit string');
  }
  return element;
}

/** The content of a BIT STRING of whole bytes. */
export function bits(element: Element): Uint8Array {
  if (element.tag !== BIT_STRING || element.content[0] !== 0) {
    throw new DerError('not a bit string of whole bytes');
  }
  return element.content.subarray(1);
}
