/** The signature claim: the key of host X signed request and answer, at time T. */

import { signedDigest } from '../protocol/canonical';
import { equal } from '../crypto/bytes';
import { pssHolds } from '../crypto/rsa';
import { SignedFields } from '../protocol/frame';
import { knownKey } from './keys';
import { Claim, Evidence, failed, isProblem, missing, NOTHING_SIGNED, passed } from './shared';

const WRONG = "The host's key did not sign this.";

/**
 * RSASSA-PSS over the signed digest. The key must be RSA of at least 2048 bits in canonical DER, and
 * its Keccak hash the `tee_id` that the answer names and that the host is known by.
 */
export async function check(evidence: Evidence): Promise<Claim> {
  const { fields, signingKey } = evidence;
  if (isProblem(fields)) {
    return evidence.frame !== null && !NOTHING_SIGNED.has(fields.code)
      ? failed('signature', 'proven', 'The signed fields are malformed.', fields.code, fields.message)
      : missing('signature', 'There is no signature.', fields.code, fields.message);
  }
  if (signingKey === null) {
    return missing('signature', 'There is no key to check the signature with.', 'no-key', 'no signing key is known');
  }
  const known = knownKey(evidence.receipt.signing_key!, signingKey);
  const fault = identityFault(evidence, signingKey, known.teeId, fields);
  if (fault !== null) {
    return failed('signature', 'proven', WRONG, ...fault);
  }
  const { key } = known;
  if (typeof key === 'string') {
    return failed('signature', 'proven', "The host's key is not acceptable.", 'wrong-key', key);
  }
  if (fields.signature.length !== Math.ceil(key.bits / 8)) {
    const reason = `the signature has ${fields.signature.length} bytes, the key ${key.bits} bits`;
    return failed('signature', 'proven', 'The signature is malformed.', 'format', reason);
  }
  const digest = signedDigest(fields.requestHash, fields.outputHash, fields.timestamp);
  if (!(await pssHolds(key, digest, fields.signature))) {
    const reason = "the signature is not this key's signature of these hashes and this time";
    return failed('signature', 'proven', WRONG, 'bad-signature', reason);
  }
  const { teeId, timestamp } = fields;
  return passed('signature', 'proven', `The key of host ${short(teeId)} signed request and answer.`, {
    tee_id: teeId,
    timestamp: Number(timestamp),
    key_bits: key.bits
  });
}

/** A host's ID as people read it; the whole stands in the receipt. */
const short = (id: string): string => `${id.slice(0, 6)}…${id.slice(-4)}`;

function identityFault(evidence: Evidence, der: Uint8Array, own: string, fields: SignedFields): [string, string] | null {
  if (fields.teeId !== own) {
    return ['wrong-tee-id', `the answer names host ${short(fields.teeId)}, but the key belongs to ${short(own)}`];
  }
  const { host } = evidence;
  if (host !== null) {
    if (host.tee_id.toLowerCase() !== own) {
      return ['wrong-tee-id', `host ${short(host.tee_id)} was asked, but the key belongs to ${short(own)}`];
    }
    if (!equal(host.publicKey, der)) {
      return ['wrong-key', 'the key is not the one that the host is registered with'];
    }
  }
  return null;
}
