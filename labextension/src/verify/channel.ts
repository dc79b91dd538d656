/**
 * The channel claim: the TLS peer presented exactly the registered certificate; on the private route, the request was
 * encrypted to the key that the registry lists.
 */

import { toHex } from '../crypto/bytes';
import { SealedPart } from '../receipt/receipt';
import { listedKey } from '../protocol/sealing';
import { Trust } from './trust';
import { basisOf, bytesOf, Claim, Evidence, failed, missing, passed } from './shared';

/** Compare the SHA-256 of the certificate presented with that of the host's registered one. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { channel, sealed } = evidence.receipt;
  if (sealed !== undefined) {
    return sealedTo(evidence, sealed, trust);
  }
  if (channel === null) {
    return missing('channel', 'It is not known which TLS peer answered.', 'none', 'no certificate was recorded');
  }
  const facts = { certificate_sha256: channel.certificate_sha256, tls_version: channel.tls_version };
  if (evidence.host === null) {
    const sentence = 'There is no registered certificate to compare with.';
    return missing('channel', sentence, 'no-host', 'no host is known', facts);
  }
  // That this is the registry's own certificate too is the registry claim's to say.
  const registered = evidence.host.certificateSha256;
  const basis = basisOf('channel', trust);
  if (registered !== channel.certificate_sha256.toLowerCase()) {
    return failed(
      'channel',
      basis,
      'The TLS peer did not present the registered certificate.',
      'wrong-certificate',
      `presented ${channel.certificate_sha256}, registered ${registered}`,
      facts
    );
  }
  return passed('channel', basis, 'The TLS peer presented exactly the registered certificate.', facts);
}

/** Compare the key that the request was sealed to with the one in the host's registry entry: it rests on that alone. */
function sealedTo(evidence: Evidence, sealed: SealedPart, trust: Trust): Claim {
  const key = toHex(bytesOf(sealed.public_key) ?? new Uint8Array(0));
  const keyId = parseInt(sealed.header.slice(0, 2), 16);
  const facts = { route: 'private', relay: sealed.relay, key_id: keyId, sealing_key: key };
  if (evidence.receipt.channel !== null) {
    const reason = 'a certificate and a relay are both recorded';
    const sentence = 'The receipt names two ways to the host for one call.';
    return failed('channel', basisOf('channel', trust), sentence, 'two-ways', reason, facts);
  }
  if (evidence.entry === null) {
    const sentence = 'There is no registry entry to compare the encryption key with.';
    return missing('channel', sentence, 'no-entry', 'no registry entry is known', facts);
  }
  const basis = basisOf('registry', trust);
  const listed = listedKey(evidence.entry.ohttp_config);
  let reason: string | null = null;
  if (typeof listed === 'string') {
    reason = listed;
  } else if (key !== listed.publicKey) {
    reason = 'the key used is not the listed one';
  } else if (sealed.header !== listed.header) {
    reason = `the header used is ${sealed.header}, listed is ${listed.header}`;
  }
  if (reason !== null) {
    const sentence = 'The request was not encrypted to the key that the registry lists for this host.';
    return failed('channel', basis, sentence, 'wrong-key', reason, facts);
  }
  const sentence =
    'The request was encrypted to the key that the registry lists for this host; no attestation binds that key.';
  return passed('channel', basis, sentence, facts);
}
