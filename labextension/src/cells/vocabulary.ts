/** Written by scripts/vocabulary.py from the tables of the magics: do not edit. */

/**
 * One flag of `%%opg`. `value`: what its value is called, null if it takes none; `form`: what one
 * looks like; `former`: choices that older versions had; `free`: text in which braces mean nothing;
 * `short`: another way to write the flag;
 * `source`: which list its values are in.
 */
export interface IFlag {
  readonly flag: string;
  readonly help: string;
  readonly value: string | null;
  readonly form: 'text' | 'number' | 'count' | 'amount' | 'name' | 'list';
  readonly choices: readonly string[];
  readonly former: readonly string[];
  readonly repeat: boolean;
  readonly free: boolean;
  readonly short: string | null;
  readonly source: 'model' | 'host' | 'network' | null;
}

/** A command of `%opg`, or a setting. */
export interface INamed {
  readonly name: string;
  readonly help: string;
}

const PLAIN = {"value": null, "form": "text", "choices": [], "former": [], "repeat": false, "free": false, "short": null, "source": null} as const;

const ROWS: readonly (Pick<IFlag, 'flag' | 'help'> & Partial<IFlag>)[] = [
  {"flag": "--model", "help": "ask this model, as provider/name or @alias", "value": "M", "source": "model"},
  {"flag": "--system", "help": "send this system message before the prompt", "value": "S", "free": true},
  {"flag": "--temperature", "help": "set the sampling temperature", "value": "T", "form": "number"},
  {"flag": "--max-tokens", "help": "limit the answer to this many tokens", "value": "N", "form": "count"},
  {"flag": "--stop", "help": "end the answer before this text; up to four", "value": "S", "repeat": true, "free": true},
  {"flag": "--no-stream", "help": "wait for the whole answer instead of streaming it"},
  {"flag": "--settle", "help": "publish nothing on chain (private) or hashes (batch)", "value": "MODE", "choices": ["private", "batch"], "former": ["individual"]},
  {"flag": "--host", "help": "ask this host: its ID or the beginning of it", "value": "ID", "source": "host"},
  {"flag": "--hosts", "help": "ask this many hosts of different owners, and compare their answers; with --over they share the rows", "value": "N", "form": "count"},
  {"flag": "--quorum", "help": "with --hosts: require this many to give the same answer (default: more than half)", "value": "N", "form": "count"},
  {"flag": "--network", "help": "use this network instead of the one in your settings", "value": "N", "source": "network"},
  {"flag": "--route", "help": "use the direct route (wallet) or the private one (a relay pays)", "value": "R", "choices": ["direct", "private"]},
  {"flag": "--max-cost", "help": "refuse the call if its cap exceeds C OPG", "value": "C", "form": "amount"},
  {"flag": "--fresh", "help": "pay even if this notebook asked the same before"},
  {"flag": "--dry-run", "help": "show host, model, price and cap; sign and pay nothing"},
  {"flag": "--policy", "help": "choose which checks must pass; can only be stricter than your settings", "value": "P", "choices": ["default", "strict", "audit"]},
  {"flag": "--timeout", "help": "give up the call after this many seconds", "value": "S", "form": "number"},
  {"flag": "--template", "help": "fill the prompt into a template from your settings (-t)", "value": "NAME", "short": "-t"},
  {"flag": "--file", "help": "send this text file after the prompt; its size is shown first", "value": "PATH", "repeat": true, "free": true},
  {"flag": "--schema", "help": "ask for data: \"name, year int\", a type, a JSON Schema or its file; it is answer.data", "value": "S", "free": true},
  {"flag": "--format", "help": "read and show the answer in this format; df: a table of --schema (-f)", "value": "F", "choices": ["text", "markdown", "json", "code", "df"], "free": true, "short": "-f"},
  {"flag": "--over", "help": "ask the prompt for each row of this list or table; {{column}} is its cell", "value": "DATA"},
  {"flag": "--output", "help": "with --over: name the column of the answers (default: answer)", "value": "COLUMN"},
  {"flag": "--chat", "help": "continue the chat of this name: its earlier messages are sent again", "value": "NAME", "form": "name"},
  {"flag": "--tools", "help": "let the model call these functions of yours: f, g; you are asked first", "value": "F,G", "form": "list"},
  {"flag": "--tools-confirm", "help": "ask once per round before functions run, or never", "value": "HOW", "choices": ["ask", "never"]},
  {"flag": "--max-rounds", "help": "with --tools: make at most this many calls (default: 8)", "value": "N", "form": "count"},
  {"flag": "--vars", "help": "fill {{name}} in the prompt from your variables (str, int or float)"},
  {"flag": "--bg", "help": "free the kernel at once; name.wait() gives the answer"},
  {"flag": "--quiet", "help": "show the receipt card only, neither progress nor text"},
  {"flag": "--help", "help": "show this and send nothing"}
];

export const FLAGS: readonly IFlag[] = ROWS.map(row => ({ ...PLAIN, ...row }));

export const COMMANDS: readonly INamed[] = [
  {"name": "status", "help": "show this kernel's network, policy, limits and wallet"},
  {"name": "doctor", "help": "check whether a call can be made now, and how to fix what prevents it"},
  {"name": "use", "help": "choose the network of this kernel"},
  {"name": "config", "help": "show each setting and where it comes from; set one for this kernel"},
  {"name": "hosts", "help": "check all hosts now: registry, certificate, attestation"},
  {"name": "models", "help": "list models and their prices, as last seen"},
  {"name": "receipts", "help": "show the ledger as a DataFrame, one row per call; search for words"},
  {"name": "show", "help": "show a saved answer again, at no cost"},
  {"name": "verify", "help": "check a saved answer again; run the open weights that you trust over it"},
  {"name": "code", "help": "make a cell of a saved answer's code; it is not run"},
  {"name": "fix", "help": "make a cell that asks a model to explain the last error"},
  {"name": "audit-model", "help": "compare a model's answers to short questions with a reference; each is paid: --max-cost C"},
  {"name": "chat", "help": "list the chats of --chat; show one, branch it off, send it no more, write its receipts"},
  {"name": "cost", "help": "show spending against each limit"},
  {"name": "reconcile", "help": "look up on the chain what open payments came to"},
  {"name": "settle", "help": "look for batches that hold your calls' hashes"},
  {"name": "stop", "help": "end the calls that run beside your work (--bg)"},
  {"name": "pin", "help": "list host builds; trust one by your own review"},
  {"name": "wallet", "help": "show address, balance and allowance; never the key"},
  {"name": "login", "help": "sign in at a relay, for calls without a wallet"},
  {"name": "logout", "help": "delete the sign-in from this machine"},
  {"name": "whoami", "help": "show who is signed in, at which relay, until when"},
  {"name": "simnet", "help": "control the simulated network"},
  {"name": "dashboard", "help": "watch hosts, spending and receipts, live"},
  {"name": "help", "help": "show this"}
];

export const SETTINGS: readonly INamed[] = [
  {"name": "network", "help": "which network answers: sim or opengradient"},
  {"name": "model", "help": "model asked for when a cell names none"},
  {"name": "unknown_models", "help": "what to do with a model that the price list does not have: refuse it, or ask for it"},
  {"name": "aliases", "help": "model names of your own: @fast for aliases.fast"},
  {"name": "templates", "help": "prompts of your own, with {{cell}} where the cell goes: -t NAME"},
  {"name": "policy", "help": "which checks must pass: default, strict or audit"},
  {"name": "required_claims", "help": "checks that must pass besides the policy's; all places add up"},
  {"name": "weights", "help": "when to run open weights again: ask (by command), always, or sample 0.1"},
  {"name": "timeout", "help": "seconds before a call is abandoned; a payment's deadline may leave less"},
  {"name": "max_deadline", "help": "longest deadline of a payment in seconds; longer is cut"},
  {"name": "session_idle", "help": "seconds after which hosts settle (empty: the network's own)"},
  {"name": "max_cost_per_call", "help": "highest cap of one call, in OPG; 0 allows none"},
  {"name": "max_cost_per_kernel", "help": "highest sum of caps of one kernel, in OPG"},
  {"name": "max_cost_per_day", "help": "highest sum of caps of all kernels in a UTC day, in OPG"},
  {"name": "on_repeat", "help": "when a notebook asks again: the recorded answer (sampled: at any temperature), or pay"},
  {"name": "route", "help": "how to reach hosts: direct (wallet), private (sign-in), or auto"},
  {"name": "required_route", "help": "route that every call must take: any, direct or private"},
  {"name": "private_relay", "help": "URL of the relay of the private route (empty: that of your sign-in)"},
  {"name": "private_attestation", "help": "on the private route, ask the host itself for its attestation; it sees your address, not your prompt"},
  {"name": "max_calls_per_day", "help": "most calls of all kernels in a UTC day on the private route; 0 allows none"},
  {"name": "max_tokens_per_day", "help": "most tokens of all kernels in a UTC day on the private route; 0 allows none"},
  {"name": "skew", "help": "seconds that a host's clock may be off"},
  {"name": "registry_max_age", "help": "seconds that a registry reading may be reused"},
  {"name": "attestation_max_age", "help": "seconds that an attestation may be reused"},
  {"name": "wallet", "help": "where the key of a real network is"},
  {"name": "registry_rpcs", "help": "RPC URLs of the registry chain (empty: the network's own)"},
  {"name": "payment_rpcs", "help": "RPC URLs of the payment chain (empty: the network's own)"},
  {"name": "facilitators", "help": "addresses that may settle payments, pinned by you"},
  {"name": "payees", "help": "addresses that may be paid besides a host's registered one, pinned by you"},
  {"name": "settlement_relay", "help": "contract that publishes hashes on chain (empty: the network's own)"},
  {"name": "settlement_senders", "help": "addresses whose batches count, pinned by you"},
  {"name": "blob_aggregators", "help": "URLs that batches are fetched from"},
  {"name": "proxy", "help": "HTTP proxy to hosts and RPCs, as http://name:port; never for this machine"},
  {"name": "pinned_pcrs", "help": "PCR hashes that you trust by your own review"},
  {"name": "prices_file", "help": "JSON file that overrides the built-in price list"}
];

export const NETWORKS: readonly string[] = [
  "sim",
  "opengradient"
];

export const MODELS: readonly string[] = [
  "openai/gpt-4.1-2025-04-14",
  "openai/gpt-4.1-mini",
  "openai/gpt-4.1-nano",
  "openai/o3",
  "openai/o4-mini",
  "openai/gpt-5",
  "openai/gpt-5-mini",
  "openai/gpt-5.2",
  "openai/gpt-5.4",
  "openai/gpt-5.4-mini",
  "openai/gpt-5.4-nano",
  "openai/gpt-5.5",
  "openai/gpt-image-2",
  "anthropic/claude-sonnet-4-5",
  "anthropic/claude-sonnet-4-6",
  "anthropic/claude-haiku-4-5",
  "anthropic/claude-opus-4-5",
  "anthropic/claude-opus-4-6",
  "anthropic/claude-opus-4-7",
  "anthropic/claude-opus-4-8",
  "google/gemini-2.5-flash",
  "google/gemini-2.5-flash-lite",
  "google/gemini-2.5-pro",
  "google/gemini-3-flash-preview",
  "google/gemini-3.1-pro-preview",
  "google/gemini-3.1-flash-lite-preview",
  "google/gemini-3.5-flash",
  "google/gemini-2.5-flash-image",
  "google/gemini-3.1-flash-image",
  "x-ai/grok-4",
  "x-ai/grok-4-fast",
  "x-ai/grok-4-1-fast",
  "x-ai/grok-4-1-fast-non-reasoning",
  "x-ai/grok-4.20-reasoning",
  "x-ai/grok-4.20-non-reasoning",
  "x-ai/grok-code-fast-1",
  "x-ai/grok-2-image",
  "bytedance/seed-1.6",
  "bytedance/seed-1.8",
  "bytedance/seed-2.0-lite",
  "bytedance/deepseek-v4-flash",
  "bytedance/deepseek-v4-pro",
  "bytedance/seedream-4.0",
  "bytedance/seedance-4.5",
  "nous/hermes-4-405b",
  "nous/hermes-4-70b",
  "zai/glm-5.2",
  "zai/glm-image"
];
