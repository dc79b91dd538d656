/** The settlement claim: hash pair and signature are in batch R, committed in transaction Z, or settled by themselves. */

import { equal, fromHex, toHex } from '../crypto/bytes';
import { leafHash, proofHolds } from '../crypto/merkle';
import { SignedFields } from '../protocol/frame';
import { BatchPart, IndividualPart, microseconds } from '../receipt/receipt';
import { Trust } from './trust';
import { basisOf, bytesOf, Claim, Evidence, failed, isProblem, LAST_MOMENT, missing, notApplicable, passed, utc, waiting, word } from './shared';

/** How long after an answer its batch can still come: the facilitator's 15 minutes, and some for the chain. */
const PENDING_MINUTES = 20n;

const NOT_THERE = 'The settlement that this call claims is not on the chain.';
const OTHER = "The settlement is not this call's.";

/** The Merkle proof follows from the receipt; that its root was committed is the chain's word, asked or recorded. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { settlement: found, request } = evidence.receipt;
  if (found === null && request.settlement === 'private') {
    const sentence = 'The call was private: nothing of it was put on a chain.';
    return notApplicable('settlement', sentence, 'private', 'it was asked to be private', { mode: 'private' });
  }
  const { fields } = evidence;
  if (isProblem(fields)) {
    return missing('settlement', 'Nothing was signed that could be settled.', fields.code, fields.message);
  }
  if (found === null) {
    return waiting(
      'settlement',
      trust,
      Number((evidence.receivedAt + PENDING_MINUTES * 60_000_000n) / 1000n),
      'Its hashes are not on the chain yet; batches are committed some minutes later.',
      'Its hashes were not seen on the chain in time; the facilitator may have lost them.',
      { mode: request.settlement }
    );
  }
  const facts = factsOf(found, trust);
  const own = found.kind === 'batch' ? proofFault(found, fields) : eventFault(found, fields);
  if (own !== null) {
    return failed('settlement', 'proven', ...own, facts);
  }
  const basis = basisOf('settlement', trust);
  const fault = chainFault(found, fields, trust);
  if (fault !== null) {
    return failed('settlement', basis, ...fault, facts);
  }
  return passed('settlement', basis, sentence(found, trust), facts);
}

type Fault = [sentence: string, code: string, reason: string];

function proofFault(found: BatchPart, fields: SignedFields): Fault | null {
  const leaf = leafHash(
    fromHex(fields.teeId.slice(2)),
    fields.requestHash,
    fields.outputHash,
    fields.signature,
    fields.timestamp
  );
  const [told, root, ...siblings] = [found.leaf, found.root, ...found.proof].map(text => {
    const digits = word(text);
    return digits === null ? null : fromHex(digits);
  });
  const proof = siblings.filter(sibling => sibling !== null);
  if (told === null || root === null || proof.length < siblings.length) {
    return ['The Merkle proof is malformed.', 'format', 'root, leaf and proof are 32 bytes each, in hex'];
  }
  if (!equal(told, leaf)) {
    return [OTHER, 'wrong-leaf', `this call's leaf is 0x${toHex(leaf)}, the settlement's is ${found.leaf}`];
  }
  if (!proofHolds(root, leaf, proof)) {
    const reason = 'the proof does not lead from the leaf to the root';
    return ['The Merkle proof does not hold.', 'wrong-proof', reason];
  }
  const size = BigInt(found.batch_size);
  if (proof.length > (size > 1n ? (size - 1n).toString(2).length : 0)) {
    const reason = `a proof of ${proof.length} steps, in a batch of ${found.batch_size}`;
    return ['The Merkle proof does not hold.', 'wrong-proof', reason];
  }
  return null;
}

function eventFault(found: IndividualPart, fields: SignedFields): Fault | null {
  const signature = bytesOf(found.signature);
  if (signature === null) {
    return ["The settlement's signature is malformed.", 'format', 'it is not base64'];
  }
  const pairs: [string, boolean][] = [
    ['host', word(found.tee_id) === word(fields.teeId)],
    ['request hash', word(found.input_hash) === toHex(fields.requestHash)],
    ['answer hash', word(found.output_hash) === toHex(fields.outputHash)],
    ['time', BigInt(found.timestamp) === fields.timestamp],
    ['signature', equal(signature, fields.signature)]
  ];
  const other = pairs.find(([, same]) => !same);
  return other === undefined ? null : [OTHER, 'wrong-leaf', `its ${other[0]} is not that of this call`];
}

function chainFault(found: BatchPart | IndividualPart, fields: SignedFields, trust: Trust): Fault | null {
  if (!found.committed) {
    const what = found.kind === 'batch' ? `root ${found.root}` : 'this call';
    return [NOT_THERE, 'absent', `no event of the relay for ${what} in transaction ${found.tx_hash}`];
  }
  if (trust.relay !== null) {
    const [chainId, relay] = trust.relay;
    if (found.chain_id !== chainId || found.relay.toLowerCase() !== relay.toLowerCase()) {
      const reason = `an event of ${found.relay} on chain ${found.chain_id}, meant is ${relay} on ${chainId}`;
      return ['The settlement is of another contract than the relay.', 'wrong-relay', reason];
    }
  }
  const sender = (found.sender ?? '').toLowerCase();
  if (trust.relaySenders.length && !trust.relaySenders.some(address => address.toLowerCase() === sender)) {
    const reason = `sent by ${found.sender || 'nobody that is known'}, which is not the network's facilitator`;
    return ['Somebody else than the facilitator committed it.', 'wrong-sender', reason];
  }
  // No upper bound: a batch that was committed late is committed all the same.
  const block = microseconds(found.block_time);
  if (block + BigInt(Math.round(trust.skewSeconds * 1e6)) < fields.timestamp * 1_000_000n) {
    const signed = Number(fields.timestamp) * 1000;
    const when = signed <= LAST_MOMENT ? `${utc(signed)} UTC` : `${fields.timestamp} s`;
    const reason = `committed at ${utc(Number(block / 1000n))} UTC, signed at ${when}`;
    return ['It is said to have been settled before it was signed.', 'too-early', reason];
  }
  return null;
}

function factsOf(found: BatchPart | IndividualPart, trust: Trust): Record<string, unknown> {
  return {
    mode: found.kind,
    transaction: found.tx_hash,
    block_number: found.block_number,
    chain_id: found.chain_id,
    relay: found.relay,
    relay_pinned: trust.relay !== null,
    sender_pinned: trust.relaySenders.length > 0,
    rpcs: found.rpcs,
    ...(found.kind === 'batch' ? { root: found.root, batch_size: found.batch_size } : {})
  };
}

function sentence(found: BatchPart | IndividualPart, trust: Trust): string {
  const unnamed = trust.relay !== null ? '' : '; not compared with a relay that you name';
  const where = `on chain ${found.chain_id} in block ${found.block_number}`;
  if (found.kind === 'individual') {
    return `Request hash, answer hash and signature were settled by themselves ${where}${unnamed}.`;
  }
  const others = BigInt(found.batch_size) - 1n;
  const beside = others === 0n ? 'alone' : `with ${others} other${others === 1n ? '' : 's'}`;
  return `Request hash, answer hash and signature were committed ${beside} ${where}${unnamed}.`;
}
