/** What one verifier relies on beyond the receipt, and how it stands to it. */

/** SHA-256 of the AWS Nitro Enclaves root certificate. */
export const AWS_ROOT_SHA256 = '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b';

/** Fingerprints and hashes are lower-case hex; the code hashes of `pinnedPcrs` and addresses carry 0x. */
export interface Trust {
  readonly awsRootSha256: string;
  /** Attestation roots that are known to be simulated. */
  readonly simulatedRoots: readonly string[];
  /** Code that the reader accepts, by pcrHash; where there is any, only that. */
  readonly pinnedPcrs: readonly string[];
  /** How far a host's clock may be off. */
  readonly skewSeconds: number;
  /** True for someone who opens another's receipt; only the kernel that made the call sets it false. */
  readonly reader: boolean;
  /** Claims whose evidence this verifier fetched itself just now. */
  readonly asked: readonly string[];
  /** Chain id and contract of the registry that this verifier means; null: any, and the claim says so. */
  readonly registry: readonly [number, string] | null;
  /** The same of the settlement relay, and who may commit to it (empty: anyone). */
  readonly relay: readonly [number, string] | null;
  readonly relaySenders: readonly string[];
  /** Addresses that this verifier knows to be paid for a host besides the one that the registry lists for it. */
  readonly payees: readonly string[];
  /** When this is judged: a pending claim past its expiry is missing. null: pending claims stay so. */
  readonly now: Date | null;
}

/** A reader who has pinned and asked nothing but AWS' root. */
export const READER: Trust = {
  awsRootSha256: AWS_ROOT_SHA256,
  simulatedRoots: [],
  pinnedPcrs: [],
  skewSeconds: 300,
  reader: true,
  asked: [],
  registry: null,
  relay: null,
  relaySenders: [],
  payees: [],
  now: null
};
