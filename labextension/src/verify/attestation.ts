/** The attestation claim: this very signing key and TLS certificate were made inside a Nitro enclave running code P. */

import { equal, fromHex, sha256Hex, toHex } from '../crypto/bytes';
import { Trust } from './trust';
import { absent, bad, good, inspect, Inspection, Step } from './inspection';
import { AttestationDocument } from './nitro';
import { Claim, Evidence, failed, Facts, missing, passed, utc } from './shared';

/** How old a document may be when the prompt is sent: hosts are asked for a fresh one at least once a day. */
const MAX_DOCUMENT_AGE_SECONDS = 24 * 3600;
const UNSET = '0'.repeat(64);

/** All steps for one receipt, in the order in which they matter. */
function stepsFor(
  found: Inspection,
  document: AttestationDocument,
  evidence: Evidence,
  trust: Trust,
  nonce: Uint8Array | null
): Step[] {
  const [form, path, signature, measurements] = found.steps;
  return [
    form,
    rootStep(found.rootSha256!, trust),
    path,
    signature,
    measurements,
    nonceStep(document, nonce),
    bindingStep(document),
    hashStep(
      'signing_key',
      'signing key',
      'wrong-key',
      document.signingKeySha256,
      evidence.signingKey === null ? null : sha256Hex(evidence.signingKey)
    ),
    hashStep(
      'tls_certificate',
      'TLS certificate',
      'wrong-certificate',
      document.tlsCertificateSha256,
      evidence.host?.certificateSha256 ?? null
    )
  ];
}

function rootStep(root: string, trust: Trust): Step {
  if (root === trust.awsRootSha256.toLowerCase()) {
    return good('root', "AWS Nitro Enclaves' own root certificate");
  }
  if (trust.simulatedRoots.some(known => known.toLowerCase() === root)) {
    return good('root', `not AWS' root, but one that is accepted here as simulated: SHA-256 ${root}`);
  }
  return bad('root', 'unknown-root', `the root is not AWS' and not known here: SHA-256 ${root}`);
}

function nonceStep(document: AttestationDocument, nonce: Uint8Array | null): Step {
  if (nonce === null) {
    return absent('nonce', 'no nonce given to compare with');
  }
  if (document.nonce === null) {
    return bad('nonce', 'wrong-nonce', 'the document carries no nonce');
  }
  if (!equal(document.nonce, nonce)) {
    const detail = `the document carries ${toHex(document.nonce)}, asked was ${toHex(nonce)}`;
    return bad('nonce', 'wrong-nonce', detail);
  }
  return good('nonce', `the one that was asked for, ${toHex(nonce)}`);
}

function bindingStep(document: AttestationDocument): Step {
  const { signingKeySha256: key, tlsCertificateSha256: tls } = document;
  if (key === null || tls === null) {
    return bad('binding', 'no-binding', 'user_data does not bind a signing key and a TLS certificate');
  }
  if (key === UNSET) {
    return bad('binding', 'unset-key', "the signing key's hash is unset: the enclave had no key yet");
  }
  if (tls === UNSET) {
    return bad('binding', 'unset-certificate', "the TLS certificate's hash is unset");
  }
  return good('binding', `binds key ${key}, certificate ${tls}`);
}

function hashStep(name: Step['name'], what: string, code: string, bound: string | null, given: string | null): Step {
  if (given === null) {
    return absent(name, `no ${what} given to compare with`);
  }
  return bound === given
    ? good(name, `the document binds this very ${what}`)
    : bad(name, code, `the document binds ${what} ${bound ?? 'none'}, this one is ${given}`);
}

/**
 * Passed means proven: under AWS' pinned root, or (`facts.simulated`) under one that is known as simulated, the document
 * binds the key that signed and the registered certificate, carries the nonce that was asked for, names the code that
 * the registry and the reader's own allow-list name, and is of the time of the call.
 *
 * Missing: no document, no key to compare with, or (`foreign-simulation`) somebody else's simulated network.
 */
export async function check(evidence: Evidence, trust: Trust): Promise<Claim> {
  const offered = evidence.receipt.attestation;
  const nothing: Facts = { simulated: evidence.declaredSimulated, binds_certificate: false };
  if (offered === null) {
    const sentence = "No attestation of the host's enclave was to be had.";
    return missing('attestation', sentence, 'none', 'none offered', nothing);
  }
  const found = await inspect(offered.document);
  if (found.unreadable !== null) {
    return refusal('unreadable', `the document cannot be read: ${found.unreadable}`, nothing);
  }
  const { document } = found;
  if (document === null) {
    const facts = { ...nothing, root_sha256: null, nonce: offered.nonce !== null };
    return refusal(...worst(found.steps.filter(isFailed)), facts);
  }
  const nonce = offered.nonce === null ? null : fromHex(offered.nonce);
  const simulated = found.rootSha256 !== trust.awsRootSha256.toLowerCase();
  const steps = [...stepsFor(found, document, evidence, trust, nonce), ...compared(evidence, trust, document)];
  const failures = steps.filter(isFailed);
  const bound = failures.length === 0 && bindsCertificate(evidence, document);
  const facts: Facts = {
    // Simulated is a root that is known to be, or what calls itself so; a root that nobody knows is a fault.
    simulated:
      simulated &&
      (evidence.declaredSimulated || trust.simulatedRoots.some(root => root.toLowerCase() === found.rootSha256)),
    root_sha256: found.rootSha256,
    binds_certificate: bound,
    nonce: nonce !== null,
    pcr_hash: document.pcrHash,
    module_id: document.moduleId,
    timestamp: new Date(document.timestamp).toISOString()
  };
  if (failures.length) {
    if (failures.length === 1 && failures[0].code === 'unknown-root' && evidence.declaredSimulated && trust.reader) {
      const sentence = "The attestation is of somebody else's simulated network, whose root is not known here.";
      return missing('attestation', sentence, 'foreign-simulation', failures[0].detail, facts);
    }
    return refusal(...worst(failures), facts);
  }
  if (evidence.signingKey === null) {
    const sentence = 'There is an attestation, but no signing key to compare with the one that it binds.';
    return missing('attestation', sentence, 'no-key', 'no signing key', facts);
  }
  const what = bound ? 'signing key and TLS certificate belong' : 'signing key belongs';
  const made = simulated ? "in a simulated enclave (not AWS')" : 'in an AWS Nitro enclave';
  const sentence = `The host's ${what} to code ${document.pcrHash.slice(0, 10)}… ${made}.`;
  return passed('attestation', 'proven', sentence, facts);
}

function isFailed(step: Step): boolean {
  return step.status === 'failed';
}

function refusal(code: string, reason: string, facts: Facts): Claim {
  return failed('attestation', 'proven', "The host's attestation does not hold.", code, reason, facts);
}

/** The first failure in the order of the steps: the later ones mean little where an earlier one fails. */
function worst(failures: readonly Step[]): [code: string, reason: string] {
  const [first] = failures;
  // For a claim about this key, a document that binds nothing binds the wrong key.
  return [first.code === 'no-binding' ? 'wrong-key' : (first.code ?? first.name), first.detail];
}

/** What the rest of the evidence says about the document: its time, the code it names, the peer's certificate. */
function compared(evidence: Evidence, trust: Trust, document: AttestationDocument): Step[] {
  const steps: Step[] = [];
  const dated = BigInt(document.timestamp) * 1000n;
  if (dated > evidence.receivedAt + BigInt(Math.round(trust.skewSeconds * 1e6))) {
    steps.push(bad('time', 'future', `the document comes from the future: dated ${utc(document.timestamp)} UTC`));
  }
  if (dated < evidence.sentAt - BigInt(MAX_DOCUMENT_AGE_SECONDS) * 1_000_000n) {
    steps.push(bad('time', 'stale', `the document is older than a day: dated ${utc(document.timestamp)} UTC`));
  }
  const other = [evidence.entry, evidence.host].find(host => host && host.pcr_hash.toLowerCase() !== document.pcrHash);
  if (other) {
    const detail = `attested is code ${document.pcrHash}, the registry names ${other.pcr_hash}`;
    steps.push(bad('code', 'wrong-pcrs', detail));
  }
  if (trust.pinnedPcrs.length && !trust.pinnedPcrs.some(pinned => pinned.toLowerCase() === document.pcrHash)) {
    steps.push(bad('code', 'not-pinned', `code ${document.pcrHash} is not in your allow-list`));
  }
  const presented = evidence.receipt.channel?.certificate_sha256.toLowerCase();
  if (evidence.host === null && presented !== undefined && presented !== document.tlsCertificateSha256) {
    const detail = `the document binds ${document.tlsCertificateSha256}, the peer presented ${presented}`;
    steps.push(bad('tls_certificate', 'wrong-certificate', detail));
  }
  return steps;
}

function bindsCertificate(evidence: Evidence, document: AttestationDocument): boolean {
  const hashes = [evidence.host?.certificateSha256, evidence.receipt.channel?.certificate_sha256.toLowerCase()].filter(
    hash => hash !== undefined
  );
  return hashes.length > 0 && hashes.every(hash => hash === document.tlsCertificateSha256);
}
