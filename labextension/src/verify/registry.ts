/** The registry claim: the host was active in the registry of chain C at block B. */

import { equal } from '../crypto/bytes';
import { microseconds, RegistryPart } from '../receipt/receipt';
import { Trust } from './trust';
import { knownKey } from './keys';
import { basisOf, Claim, Evidence, failed, missing, passed } from './shared';

/** A block further than this from the call says nothing about it: the registry's own `heartbeatMaxAge`. */
const MAX_BLOCK_DISTANCE_SECONDS = 1800;
/** The registry's type of a host that answers prompts; the other type validates. */
const LLM_PROXY = 0;

const NOT_LISTED = 'The registry does not list this host.';

/** The entry at that block must be this very host's, enabled, with approved code. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { registry } = evidence.receipt;
  if (registry === null) {
    return missing('registry', 'The registry was not asked about this host.', 'none', 'no registry entry is known');
  }
  const rpcs = [...new Set(registry.rpcs)];
  const facts: Record<string, unknown> = {
    chain_id: registry.chain_id,
    contract: registry.contract,
    block_number: registry.block_number,
    block_hash: registry.block_hash,
    rpcs,
    pcr_version: registry.pcr_version,
    registry_pinned: trust.registry !== null
  };
  if (evidence.signingKey === null && evidence.host === null) {
    return missing('registry', 'It is not known which host to look for.', 'no-key', 'no key is known', facts);
  }
  const basis = basisOf('registry', trust);
  if (registry.since !== undefined) {
    facts.since = registry.since;
  }
  if (registry.disagreement !== undefined) {
    const sentence = 'The RPCs that were asked disagree about this host.';
    return failed('registry', basis, sentence, 'rpcs-disagree', registry.disagreement, facts);
  }
  const fault = faultOf(evidence, registry, trust);
  if (fault !== null) {
    return failed('registry', basis, ...fault, facts);
  }
  const seconds = distance(evidence, registry);
  if (seconds > MAX_BLOCK_DISTANCE_SECONDS + trust.skewSeconds) {
    const reason = `block ${registry.block_number} lies ${seconds.toFixed(0)} s from the call`;
    return missing('registry', "The registry's entry is not of the time of the call.", 'stale', reason, facts);
  }
  const said = rpcs.length === 1 ? 'one RPC says so' : `${rpcs.length} RPCs agree`;
  const unnamed = trust.registry !== null ? '' : ', not compared with a registry that you name';
  const since = registry.since !== undefined ? `; ${registry.since}` : '';
  return passed(
    'registry',
    basis,
    `The host was active in the registry of chain ${registry.chain_id} at block ${registry.block_number} (${said}${unnamed})${since}.`,
    { ...facts, pcr_hash: evidence.entry?.pcr_hash ?? null }
  );
}

type Fault = [sentence: string, code: string, reason: string];

/** The first thing that is wrong. */
function faultOf(evidence: Evidence, registry: RegistryPart, trust: Trust): Fault | null {
  if (trust.registry !== null) {
    const [chainId, contract] = trust.registry;
    if (registry.chain_id !== chainId || registry.contract.toLowerCase() !== contract.toLowerCase()) {
      const reason = `asked was ${registry.contract} on chain ${registry.chain_id}, meant is ${contract} on ${chainId}`;
      return ['Another registry was asked than the one that is meant.', 'wrong-registry', reason];
    }
  }
  const { entry, host, signingKey } = evidence;
  if (entry === null) {
    return [NOT_LISTED, 'not-listed', registry.inactive_reason || 'not listed'];
  }
  if (entry.tee_id.toLowerCase() !== knownKey(entry.public_key, entry.publicKey).teeId) {
    return ["The registry's entry does not fit itself.", 'wrong-entry', 'tee_id is not the hash of the key'];
  }
  if (entry.tee_type !== LLM_PROXY) {
    const reason = `the registered type is ${entry.tee_type}, not that of a host for prompts`;
    return [NOT_LISTED, 'wrong-entry', reason];
  }
  const other = (name: string, code = 'wrong-entry'): Fault => [NOT_LISTED, code, `the registered ${name} is not this host's`];
  if (signingKey !== null && !equal(signingKey, entry.publicKey)) {
    return other('signing key', 'not-listed');
  }
  if (host !== null) {
    if (!equal(host.publicKey, entry.publicKey)) {
      return other('signing key', 'not-listed');
    }
    if (host.tee_id.toLowerCase() !== entry.tee_id.toLowerCase()) {
      return other('id');
    }
    if (host.tls_certificate !== entry.tls_certificate) {
      return other('certificate');
    }
    if (host.pcr_hash.toLowerCase() !== entry.pcr_hash.toLowerCase()) {
      return other('PCR hash');
    }
    if (host.owner.toLowerCase() !== entry.owner.toLowerCase()) {
      return other('owner');
    }
    if (host.payment_address.toLowerCase() !== entry.payment_address.toLowerCase()) {
      return other('payment address');
    }
  }
  if (registry.pcr_approved === false) {
    const reason = registry.inactive_reason || 'PCR revoked';
    return ['The registry does not approve the code that this host runs.', 'pcr-revoked', reason];
  }
  if (!registry.active || !entry.enabled) {
    const reason = registry.inactive_reason || (entry.enabled ? 'not active' : 'disabled');
    return ['The host was not active in the registry.', 'inactive', reason];
  }
  return null;
}

/** Seconds between the block and the call, 0 for a block during it. */
function distance(evidence: Evidence, registry: RegistryPart): number {
  const block = microseconds(registry.block_time);
  const before = evidence.sentAt - block;
  const after = block - evidence.receivedAt;
  const most = before > after ? before : after;
  return most > 0n ? Number(most) / 1e6 : 0;
}
