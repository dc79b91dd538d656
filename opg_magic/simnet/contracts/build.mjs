// Compiles the contracts beside this file into artifacts.json, and the ABI that clients use into ../../network/abi.json.
// A stub that tests alone use goes beside its source in tests/support/contracts, where that folder is there.
// Run: npm ci && npm run build.   A folder as argument receives all files instead (the test compares them).
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const [out] = process.argv.slice(2);
const artifactsFile = join(out ?? here, "artifacts.json");
const clientFile = join(out ?? join(here, "..", "..", "network"), "abi.json");

const names = readdirSync(here).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(names.map((name) => [name, { content: readFileSync(join(here, name), "utf8") }]));
const settings = {
  evmVersion: "shanghai",
  viaIR: true,
  optimizer: { enabled: true, runs: 200 },
  // The bytecode is to depend on the sources alone.
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"] } },
};
const compile = (sources, wanted) => {
  const output = JSON.parse(solc.compile(JSON.stringify({ language: "Solidity", sources, settings })));
  for (const { severity, formattedMessage } of output.errors ?? []) {
    console.error(formattedMessage);
    if (severity === "error") process.exit(1);
  }
  const compiled = (name) => {
    const { abi, evm, storageLayout } = output.contracts[`${name}.sol`][name];
    return {
      abi,
      bytecode: `0x${evm.bytecode.object}`,
      runtimeBytecode: `0x${evm.deployedBytecode.object}`,
      storage: Object.fromEntries(storageLayout.storage.map(({ label, slot }) => [label, Number(slot)])),
    };
  };
  return Object.fromEntries(wanted.map((name) => [name, compiled(name)]));
};
const contracts = compile(sources, [
  "CrookedProxy",
  "OPGToken",
  "Permit2",
  "SettlementRelay",
  "TEERegistry",
  "X402UptoPermit2Proxy",
]);
// The same rule as in tests/simnet/test_contracts.py: name, NUL, content, NUL of each source, in order of name.
const hash = createHash("sha256");
for (const name of names) hash.update(`${name}\0${sources[name].content}\0`);
const { outputSelection: _, ...compilerSettings } = settings;
const artifacts = { compiler: solc.version(), settings: compilerSettings, sourcesSha256: hash.digest("hex"), contracts };

// ------------------------------------------------------------------------------------------------------ the client's ABI

const pick = (contract, ...keep) => {
  const entries = contracts[contract].abi.filter(({ type, name }) => keep.includes(name) && type !== "error");
  for (const name of keep) if (!entries.some((entry) => entry.name === name)) throw new Error(`${contract} has no ${name}`);
  return entries;
};
const registryViews = ["getActiveTEEs", "getEnabledTEEs", "getTEEsByType", "getTEE", "isTEEActive", "isTEEEnabled"];
const registryMore = ["pcrRecords", "getApprovedPCRs", "heartbeatMaxAge"];
const registryEvents = ["TEERegistered", "TEEEnabled", "TEEDisabled", "PCRApproved", "PCRRevoked", "HeartbeatReceived"];
// Registries of before oblivious HTTP answer with a tuple that ends at lastHeartbeatAt.
const withoutOhttp = (entry) => ({
  ...entry,
  outputs: entry.outputs.map((o) => ({ ...o, components: o.components.filter(({ name }) => name !== "ohttpConfig") })),
});
const client = {
  registry: pick("TEERegistry", ...registryViews, ...registryMore, ...registryEvents),
  registry_without_ohttp: pick("TEERegistry", "getActiveTEEs", "getTEE").map(withoutOhttp),
  erc20: pick("OPGToken", "balanceOf", "allowance", "approve", "decimals", "symbol", "Transfer", "Approval"),
  permit2: pick("Permit2", "nonceBitmap", "UnorderedNonceInvalidation"),
  upto_proxy: pick("X402UptoPermit2Proxy", "settle", "Settled"),
  settlement_relay: pick("SettlementRelay", "BatchSettlement", "IndividualSettlement"),
};

const files = [[artifactsFile, artifacts], [clientFile, client]];
const stubFolder = join(here, "..", "..", "..", "tests", "support", "contracts");
if (existsSync(stubFolder)) {
  const stub = { "VerifierStub.sol": { content: readFileSync(join(stubFolder, "VerifierStub.sol"), "utf8") } };
  const { abi, runtimeBytecode } = compile(stub, ["VerifierStub"]).VerifierStub;
  files.push([join(out ?? stubFolder, "VerifierStub.json"), { abi, runtimeBytecode }]);
}
for (const [file, content] of files) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(content, null, 1)}\n`);
}
