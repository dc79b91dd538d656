/** Written by scripts/vocabulary.py from opg_magic/receipt/table.py and face/table.py: do not edit. */

/** Characters that are read as they stand there. */
export const MOST_PACKED = 2000000;

/** Bytes that are unpacked. */
export const MOST_UNPACKED = 16777216;

/** Bytes of all receipts together. */
export const MOST_WHOLE = 67108864;

/** How many receipts are read. */
export const MOST = 10000;

/** So many digests are as long as receipts may be. */
export const MOST_NAMED = 23437;

/** Where a receipt's document holds what many rows share. */
export const SHARED = [
  [
    "attestation"
  ],
  [
    "channel"
  ],
  [
    "host"
  ],
  [
    "network"
  ],
  [
    "notebook"
  ],
  [
    "registry"
  ],
  [
    "sealed"
  ],
  [
    "signing_key"
  ],
  [
    "checked",
    "because"
  ],
  [
    "checked",
    "claims"
  ],
  [
    "payment",
    "authorisation"
  ],
  [
    "payment",
    "basis"
  ],
  [
    "payment",
    "cap"
  ],
  [
    "payment",
    "cost"
  ],
  [
    "payment",
    "estimate"
  ],
  [
    "payment",
    "price"
  ],
  [
    "payment",
    "token"
  ],
  [
    "prompt",
    "source_sha256"
  ],
  [
    "prompt",
    "template"
  ],
  [
    "prompt",
    "variables"
  ],
  [
    "response",
    "usage"
  ]
] as const;

/** The form of the author's line. */
export const FIGURES = "[0-9]{1,3}(?:,[0-9]{3}){0,5} of [0-9]{1,3}(?:,[0-9]{3}){0,5} prompts(?: · [0-9]{1,3}(?:,[0-9]{3}){0,5} failed)?(?: · [0-9]{1,3}(?:,[0-9]{3}){0,5} from the ledger)?(?: · [0-9]{1,3}(?:,[0-9]{3}){0,5} on record do not fit)?(?: · cost [0-9]{1,40}(?:\\.[0-9]{1,40})? [A-Za-z][A-Za-z0-9-]{0,11} of at most [0-9]{1,40}(?:\\.[0-9]{1,40})? [A-Za-z][A-Za-z0-9-]{0,11})?(?: · [0-9.e+-]{1,12}/s)?";

/** What the author's kernel found, as it is counted. */
export const FOUND = [
  "verified",
  "partially verified",
  "not verified",
  "withheld",
  "failed",
  "without an answer",
  "not checked"
] as const;
