/** Written by scripts/vocabulary.py from opg_magic/receipt/face/third.py and hop.py: do not edit. */

/** What each check says where it passed. */
export const SAYS: Readonly<Record<string, string>> = {
  "request": "The host signed exactly this request.",
  "response": "Exactly the text that it signed.",
  "signature": "Signed with this host's own key.",
  "freshness": "Signed during this call only.",
  "attestation": "Key made in an attested enclave.",
  "registry": "The host was listed and active.",
  "channel": "TLS ended in the registered certificate.",
  "payment": "Paid to this host, within the cap.",
  "settlement": "Its hashes are on the chain.",
  "agreement": "Independent hosts gave the same answer.",
  "weights": "These open weights give this answer."
};

/** The same of the attestation of a simulated network. */
export const SAYS_SIMULATED = "Key made in a simulated enclave.";

/** The same of the channel on the private route. */
export const SAYS_SEALED = "Encrypted to the registered key.";

/** What a check rests on; `{}` is whose kernel asked. */
export const HEADINGS: Readonly<Record<string, string>> = {
  "proven": "Proven from this receipt",
  "asked": "Asked live by {}",
  "re-run": "Re-run by {}",
  "recorded": "Author's word"
};

/** Checks that did not pass, by their status. */
export const UNMET: Readonly<Record<string, string>> = {
  "failed": "Failed",
  "missing": "Missing"
};

/** Those that can still come. */
export const OPEN = "Still open";

/** Several hosts, a line each. */
export const HOSTS = "Hosts";

/** What no check says. */
export const NOT_KNOWN = "Not known: which weights ran; whether the answer is true. Model, tokens, cost: host's word.";

/** The same where the weights were run again, and gave the answer. */
export const NOT_KNOWN_RE_RUN = "Not known: whether the answer is true. Model, tokens, cost: host's word.";

/** What is known of the hop behind the enclave. */
export const HOP = "Provider: unknown.";
