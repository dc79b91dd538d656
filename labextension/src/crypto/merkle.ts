/** Batches of the settlement relay: OpenZeppelin's `StandardMerkleTree` over signed exchanges. */

import { concat, equal, fromBigInt, keccak256 } from './bytes';

/** Longest proof that is checked: a tree with more leaves cannot be built. */
const MAX_PROOF = 64;

/** `keccak256(keccak256(abi.encode(bytes32, bytes32, bytes32, bytes, uint256)))`: what stands for one exchange. */
export function leafHash(
  teeId: Uint8Array,
  inputHash: Uint8Array,
  outputHash: Uint8Array,
  signature: Uint8Array,
  timestamp: bigint
): Uint8Array {
  const number = (value: number | bigint): Uint8Array => fromBigInt(BigInt(value), 32);
  const padding = new Uint8Array((32 - (signature.length % 32)) % 32);
  const encoded = concat(
    teeId,
    inputHash,
    outputHash,
    number(5 * 32),
    number(timestamp),
    number(signature.length),
    signature,
    padding
  );
  return keccak256(keccak256(encoded));
}

/** Whether `proof` leads from `leaf` to `root`; the leaf must come from {@link leafHash}. */
export function proofHolds(root: Uint8Array, leaf: Uint8Array, proof: readonly Uint8Array[]): boolean {
  if (proof.length > MAX_PROOF || [root, leaf, ...proof].some(node => node.length !== 32)) {
    return false;
  }
  return equal(root, proof.reduce(nodeHash, leaf));
}

/** The parent of two nodes: the smaller comes first. */
function nodeHash(one: Uint8Array, other: Uint8Array): Uint8Array {
  const place = one.findIndex((byte, i) => byte !== other[i]);
  return place < 0 || one[place] < other[place] ? keccak256(concat(one, other)) : keccak256(concat(other, one));
}
