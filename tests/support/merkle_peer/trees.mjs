// Reads a JSON list of batches (lists of leaf values) from standard input; writes for each the root, the dump as a
// facilitator stores it, and the proof of every value, as OpenZeppelin's package has them.
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

// The package lies in a cache folder that the caller names, not beside this script.
const { StandardMerkleTree } = createRequire(join(process.argv[2], "package.json"))("@openzeppelin/merkle-tree");
const encoding = ["bytes32", "bytes32", "bytes32", "bytes", "uint256"];

const batches = JSON.parse(await text(process.stdin));
const answers = batches.map((values) => {
  const tree = StandardMerkleTree.of(values, encoding);
  return {
    root: tree.root,
    dump: JSON.stringify(tree.dump()),
    proofs: values.map((_, index) => tree.getProof(index)),
  };
});
process.stdout.write(JSON.stringify(answers));
