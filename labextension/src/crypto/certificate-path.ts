/** The path from an enclave's certificate to the root that its document brings along. */

import { equal, toHex } from './bytes';
import * as der from './der';
import * as ecdsa from './ecdsa';
import { Certificate, named, refused } from './x509';

/** Object identifiers of extensions, as the hex of their DER content. */
const BASIC_CONSTRAINTS = '551d13';
const KEY_USAGE = '551d0f';
const NAME_CONSTRAINTS = '551d1e';
const EXTENDED_KEY_USAGE = '551d25';
/** Those that a path's certificates may mark as critical, because what they say is heeded here. */
const HEEDED = new Set([BASIC_CONSTRAINTS, KEY_USAGE]);

/** What else certificates commonly hold, and the tag that its value begins with: not heeded, but not nonsense either. */
const VALUE_TAGS: Readonly<Record<string, number>> = {
  '551d0e': der.OCTET_STRING, // subject key identifier
  '551d23': der.SEQUENCE, // authority key identifier
  '551d11': der.SEQUENCE, // subject alternative name
  '551d12': der.SEQUENCE, // issuer alternative name
  '551d1f': der.SEQUENCE, // revocation lists
  '551d20': der.SEQUENCE, // certificate policies
  '551d24': der.SEQUENCE, // policy constraints
  [NAME_CONSTRAINTS]: der.SEQUENCE,
  [EXTENDED_KEY_USAGE]: der.SEQUENCE,
  '2b06010505070101': der.SEQUENCE // authority information access
};

/** Most bytes of a serial number: 20, and one for the sign. */
const MAX_SERIAL = 21;

const DIGITAL_SIGNATURE = 0;
const KEY_CERT_SIGN = 5;

/** Throws where a well-known extension does not hold what such a one holds. */
function checkValues(certificate: Certificate): void {
  for (const [name, { value }] of certificate.extensions) {
    if (Object.hasOwn(VALUE_TAGS, name)) {
      der.only(value, VALUE_TAGS[name]);
    }
  }
}

interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength: number | null;
}

function basicConstraints(certificate: Certificate): BasicConstraints | null {
  const extension = certificate.extensions.get(BASIC_CONSTRAINTS);
  if (extension === undefined) {
    return null;
  }
  const fields = new der.Reader(der.only(extension.value, der.SEQUENCE).content);
  let ca = false;
  let pathLength: number | null = null;
  if (fields.peek() === der.BOOLEAN) {
    const value = fields.next().content;
    if (value.length !== 1 || value[0] !== 0xff) {
      throw new der.DerError('a truth value that is not DER');
    }
    ca = true;
  }
  if (fields.peek() === der.INTEGER) {
    const value = der.unsigned(fields.next());
    if (value.length > 1) {
      throw new der.DerError('a path length that is too large');
    }
    pathLength = value[0];
  }
  fields.end();
  return { ca, pathLength };
}

/** Whether the key may be used so; null where the certificate does not say. */
function mayBeUsed(certificate: Certificate, bit: number): boolean | null {
  const extension = certificate.extensions.get(KEY_USAGE);
  if (extension === undefined) {
    return null;
  }
  const { content } = der.checkedBits(der.only(extension.value, der.BIT_STRING));
  if (content.length < 2 || content.length > 3) {
    throw new der.DerError('a key usage in another form');
  }
  return Boolean((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7)));
}

/**
 * The P-384 key of an enclave's certificate, which must be an end entity's that may sign.
 * Throws {@link MalformedMessage} (`certificate`).
 */
export async function leafKey(leaf: Certificate): Promise<Uint8Array> {
  if (leaf.key === null) {
    throw refused("the enclave's key is not on P-384");
  }
  if (!(await ecdsa.isPoint(leaf.key))) {
    throw refused("the enclave's certificate cannot be read: a key that is no point on its curve");
  }
  try {
    checkValues(leaf);
    if (basicConstraints(leaf)?.ca) {
      throw refused("the enclave's certificate is a CA's");
    }
    if (mayBeUsed(leaf, DIGITAL_SIGNATURE) === false) {
      throw refused("the enclave's key may not sign");
    }
  } catch (error) {
    if (error instanceof der.DerError) {
      throw refused(`the enclave's certificate cannot be read: ${error.message}`);
    }
    throw error;
  }
  for (const [name, extension] of leaf.extensions) {
    if (extension.twice) {
      throw refused("the enclave's certificate cannot be read: one extension twice");
    }
    if (extension.critical && !HEEDED.has(name)) {
      throw refused(`unknown critical extension in the enclave's certificate`);
    }
  }
  return leaf.key;
}

/**
 * Throws {@link MalformedMessage} unless `leaf` chains through the whole of `bundle` (root first) to its first
 * certificate, at that time (seconds since 1970): `expired` where one was not valid then, else `path`.
 */
export async function checkPath(leaf: Certificate, bundle: readonly Certificate[], at: number): Promise<void> {
  for (const certificate of [leaf, ...bundle]) {
    if (at < certificate.notBefore || at > certificate.notAfter) {
      const [from, to] = [certificate.notBefore, certificate.notAfter].map(seconds =>
        new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')
      );
      throw refused(`${named(certificate)} was valid from ${from} to ${to} UTC, not at the document's time`, 'expired');
    }
  }
  const fault = await pathFault(leaf, [...bundle].reverse());
  if (fault !== null) {
    throw refused(`no valid path to the document's own root: ${fault}`, 'path');
  }
}

async function pathFault(leaf: Certificate, issuers: readonly Certificate[]): Promise<string | null> {
  const form = formFault(leaf);
  if (form !== null) {
    return form;
  }
  // Two authorities of one name, or one that is there twice, make several paths of a bundle.
  if (new Set(issuers.map(({ subject }) => toHex(subject))).size < issuers.length) {
    return 'two certificates of the bundle have one name';
  }
  let below = leaf;
  // `depth` counts the intermediate certificates under the issuer at hand.
  for (const [depth, issuer] of issuers.entries()) {
    const fault = authorityFault(issuer, depth);
    if (fault !== null) {
      return fault;
    }
    if (!equal(below.issuer, issuer.subject)) {
      return `${named(below)} names another issuer than ${named(issuer)}`;
    }
    if (below.signature === null || issuer.key === null || !(await ecdsa.holds(issuer.key, below.signed, below.signature))) {
      return `${named(below)} is not signed by ${named(issuer)}`;
    }
    below = issuer;
  }
  return null;
}

/** What every certificate of a path must have (RFC 5280, sections 4.1.2.1 and 4.1.2.2). */
function formFault(certificate: Certificate): string | null {
  const { version, serial } = certificate;
  if (version !== 3) {
    return `${named(certificate)} is not of version 3`;
  }
  const positive = serial.length > 0 && serial[0] < 0x80 && serial.some(byte => byte !== 0);
  return positive && serial.length <= MAX_SERIAL ? null : `${named(certificate)} has an impossible serial number`;
}

function authorityFault(issuer: Certificate, depth: number): string | null {
  const form = formFault(issuer);
  if (form !== null) {
    return form;
  }
  try {
    checkValues(issuer);
    const constraints = basicConstraints(issuer);
    if (!constraints?.ca || !issuer.extensions.get(BASIC_CONSTRAINTS)?.critical) {
      return `${named(issuer)} is no authority`;
    }
    if (mayBeUsed(issuer, KEY_CERT_SIGN) !== true) {
      return `${named(issuer)} may not sign certificates`;
    }
    if (constraints.pathLength !== null && constraints.pathLength < depth) {
      return `${named(issuer)} has too many authorities under it`;
    }
  } catch (error) {
    if (error instanceof der.DerError) {
      return `${named(issuer)} cannot be read: ${error.message}`;
    }
    throw error;
  }
  for (const [name, extension] of issuer.extensions) {
    // Constraints of names and purposes have no place in these chains: refused rather than passed over.
    if (extension.twice || (extension.critical && !HEEDED.has(name)) || name === NAME_CONSTRAINTS || name === EXTENDED_KEY_USAGE) {
      return `${named(issuer)} has an extension that is not understood here`;
    }
  }
  return null;
}
