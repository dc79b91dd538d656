/**
 * A certificate out of its DER bytes.
 *
 * Only what the chains of enclaves hold is read: X.509 v3 with keys on P-384 and signatures by ECDSA with SHA-384.
 */

import { MalformedMessage } from '../base/json';
import { equal, fromHex } from './bytes';
import * as der from './der';
import * as ecdsa from './ecdsa';

export interface Certificate {
  readonly der: Uint8Array;
  /** DER of the names. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly commonName: string | null;
  /** Seconds since 1970; both ends belong to the time of validity. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** What should be an uncompressed point on P-384, or null for a key of another kind. */
  readonly key: Uint8Array | null;
  /** What is signed, and the signature (r and s), null where another algorithm made it. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array | null;
  readonly version: number;
  /** Content of the serial number's INTEGER. */
  readonly serial: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
}

export interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
  /** Whether the certificate holds it more than once, which no good one does. */
  readonly twice: boolean;
}

/** Object identifiers, as the hex of their DER content. */
const COMMON_NAME = '550403';
const EC_KEY = '2a8648ce3d0201';
const DH_KEY = '2a8648ce3e0201';

/** SEQUENCE { ecdsa-with-SHA384 }. */
const ECDSA_SHA384 = fromHex('300a06082a8648ce3d040303');
/** SEQUENCE { id-ecPublicKey, secp384r1 }. */
const P384_KEY = fromHex('301006072a8648ce3d020106052b81040022');

const UNIVERSAL_STRING = 0x1c;
const BMP_STRING = 0x1e;

/** What is thrown of a certificate or a path that is refused. */
export function refused(message: string, code = 'certificate'): MalformedMessage {
  return new MalformedMessage(message, code);
}

/** A certificate from DER. Throws {@link MalformedMessage} (`certificate`) where it is none. */
export function load(bytes: Uint8Array, what: string): Certificate {
  try {
    return read(bytes);
  } catch (error) {
    if (error instanceof der.DerError) {
      throw refused(`${what} is not a certificate: ${error.message}`);
    }
    throw error;
  }
}

function read(bytes: Uint8Array): Certificate {
  const outer = new der.Reader(der.only(bytes, der.SEQUENCE).content);
  const tbs = outer.next(der.SEQUENCE);
  const algorithm = outer.next(der.SEQUENCE);
  const signature = der.checkedBits(outer.next(der.BIT_STRING)).content.subarray(1);
  outer.end();

  const fields = new der.Reader(tbs.content);
  let version = 1;
  if (fields.peek() === 0xa0) {
    const told = der.unsigned(der.only(fields.next().content, der.INTEGER));
    // Version 1 is the default, and defaults are left out.
    if (told.length !== 1 || told[0] < 1 || told[0] > 2) {
      throw new der.DerError('an unknown version');
    }
    version = 1 + told[0];
  }
  const serial = fields.next(der.INTEGER).content;
  if (!serial.length || (serial.length > 1 && (serial[0] === 0 || serial[0] === 0xff) && serial[0] >> 7 === serial[1] >> 7)) {
    throw new der.DerError('a serial number that is not DER');
  }
  const inner = fields.next(der.SEQUENCE);
  const issuer = fields.next(der.SEQUENCE);
  checkAlgorithm(algorithm);
  checkAlgorithm(inner);
  commonName(issuer.content);
  const validity = new der.Reader(fields.next(der.SEQUENCE).content);
  const notBefore = time(validity.next());
  const notAfter = time(validity.next());
  validity.end();
  const subject = fields.next(der.SEQUENCE);
  const key = fields.next(der.SEQUENCE);
  let extensions = new Map<string, Extension>();
  while (!fields.done) {
    const field = fields.next();
    if (field.tag === 0xa3 && fields.done) {
      extensions = readExtensions(der.only(field.content, der.SEQUENCE).content);
    } else if (field.tag !== 0x81 && field.tag !== 0x82) {
      throw new der.DerError('an unknown field');
    }
  }
  const known = equal(algorithm.whole, inner.whole) && equal(algorithm.whole, ECDSA_SHA384);
  return {
    der: bytes,
    issuer: issuer.whole,
    subject: subject.whole,
    commonName: commonName(subject.content),
    notBefore,
    notAfter,
    key: readKey(key.content),
    signed: tbs.whole,
    signature: known ? ecdsa.fromDer(signature) : null,
    version,
    serial,
    extensions
  };
}

function checkAlgorithm(element: der.Element): void {
  const fields = new der.Reader(element.content);
  const algorithm = der.identifier(fields.next(der.OID));
  if (!fields.done) {
    const parameters = fields.next();
    if (algorithm === DH_KEY && parameters.tag !== der.SEQUENCE) {
      throw new der.DerError('a group without parameters');
    } else if (parameters.tag === der.OID) {
      der.identifier(parameters);
    } else if (algorithm === EC_KEY && parameters.tag !== der.NULL && parameters.tag !== der.SEQUENCE) {
      throw new der.DerError('a curve that is not named');
    }
  }
  fields.end();
}

function readKey(content: Uint8Array): Uint8Array | null {
  const fields = new der.Reader(content);
  const algorithm = fields.next(der.SEQUENCE);
  const { content: key } = der.checkedBits(fields.next(der.BIT_STRING));
  fields.end();
  checkAlgorithm(algorithm);
  if (key[0] !== 0 || !equal(algorithm.whole, P384_KEY)) {
    return null;
  }
  // Whether it is a point of the curve shows when it is used.
  return key.subarray(1);
}

function readExtensions(content: Uint8Array): Map<string, Extension> {
  const found = new Map<string, Extension>();
  const list = new der.Reader(content);
  while (!list.done) {
    const fields = new der.Reader(list.next(der.SEQUENCE).content);
    const name = der.identifier(fields.next(der.OID));
    let critical = false;
    if (fields.peek() === der.BOOLEAN) {
      const value = fields.next().content;
      // DER leaves the default out, and knows one true.
      if (value.length !== 1 || value[0] !== 0xff) {
        throw new der.DerError('a truth value that is not DER');
      }
      critical = true;
    }
    const value = fields.next(der.OCTET_STRING).content;
    fields.end();
    found.set(name, { critical, value, twice: found.has(name) });
  }
  return found;
}

/** The first common name of a Name, null where there is none that can be shown; throws for what is no Name. */
function commonName(name: Uint8Array): string | null {
  let found: string | null | undefined;
  const sets = new der.Reader(name);
  while (!sets.done) {
    const members = new der.Reader(sets.next(0x31).content);
    while (!members.done) {
      const pair = new der.Reader(members.next(der.SEQUENCE).content);
      const type = der.identifier(pair.next(der.OID));
      const text = nameText(pair.next());
      pair.end();
      if (type === COMMON_NAME && found === undefined) {
        found = text !== '' && !/[\p{C}]/u.test(text) ? text : null;
      }
    }
  }
  return found ?? null;
}

/** Kinds of text whose bytes are read as UTF-8, by tag. */
const UTF8 = new Set([0x04, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a]);

function nameText({ tag, content }: der.Element): string {
  let text: string;
  try {
    if (UTF8.has(tag)) {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    } else if (tag === BMP_STRING) {
      text = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true }).decode(content);
    } else if (tag === UNIVERSAL_STRING && content.length % 4 === 0) {
      const view = new DataView(content.buffer, content.byteOffset, content.length);
      text = Array.from({ length: content.length / 4 }, (_, i) => String.fromCodePoint(view.getUint32(4 * i))).join('');
      if (/\p{Cs}/u.test(text)) {
        throw new RangeError('half a character');
      }
    } else {
      throw new RangeError('no text');
    }
  } catch {
    throw new der.DerError('a name that is no text');
  }
  if (tag === der.PRINTABLE_STRING && !/^[A-Za-z0-9 '()+,./:=?-]*$/.test(text)) {
    throw new der.DerError('a name with characters that its kind of text does not have');
  }
  return text;
}

function time(element: der.Element): number {
  const text = new TextDecoder('latin1').decode(element.content);
  const short = element.tag === der.UTC_TIME;
  if (!short && element.tag !== der.GENERALIZED_TIME) {
    throw new der.DerError('a time of another kind');
  }
  const found = (short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(text);
  if (found === null) {
    throw new der.DerError('a time in another form');
  }
  const [year, month, day, hour, minute, second] = found.slice(1).map(Number);
  const full = short ? year + (year < 50 ? 2000 : 1900) : year;
  const at = new Date(0);
  at.setUTCFullYear(full, month - 1, day);
  at.setUTCHours(hour, minute, second);
  if (at.getUTCMonth() !== month - 1 || at.getUTCDate() !== day || at.getUTCHours() !== hour || at.getUTCSeconds() !== second) {
    throw new der.DerError('a time that is not in the calendar');
  }
  return at.getTime() / 1000;
}

/** The subject's common name for people, or a placeholder; never control characters. */
export function named(certificate: Certificate): string {
  return certificate.commonName ?? 'a certificate without a readable name';
}
