/** The channel claim: the TLS peer presented exactly the registered certificate. */

import { Trust } from '../trust';
import { basisOf, Claim, Evidence, failed, missing, passed } from './shared';

/** Compare the SHA-256 of the certificate presented with that of the host's registered one. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { channel } = evidence.receipt;
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
