/** Written by scripts/vocabulary.py from opg_magic/receipt/schema/receipt-v1.json: do not edit. */

/** A host's entry in the on-chain registry. */
export interface HostEntry {
  readonly tee_id: string;
  readonly owner: string;
  readonly payment_address: string;
  readonly endpoint: string;
  readonly public_key: string;
  readonly tls_certificate: string;
  readonly pcr_hash: string;
  readonly tee_type: number;
  readonly enabled: boolean;
  readonly registered_at: string;
  readonly last_heartbeat_at: string;
  readonly ohttp_config: Readonly<Record<string, unknown>> | null;
}

export interface TokenPart {
  readonly symbol: string;
  readonly address: string;
  readonly decimals: number;
  readonly chain_id: number;
}

/** Base units of the token. */
export interface MoneyPart {
  readonly amount: string;
  readonly token: TokenPart;
}

/** The network that the author's kernel was set to. No URL of it is kept. */
export interface NetworkPart {
  readonly name: string;
  readonly simulated: boolean;
  readonly run_id: string | null;
  readonly registry_chain_id: number;
  readonly registry_address: string;
  readonly payment_chain_id: number;
}

/** Where the call was made, as the author's kernel says; cell is the execution count. */
export interface NotebookPart {
  readonly name: string | null;
  readonly kernel: string | null;
  readonly cell: number | null;
}

export interface PromptPart {
  readonly text: string;
  readonly template: string | null;
  readonly variables: readonly string[];
  readonly source_sha256: string | null;
}

export interface RequestPart {
  readonly kind: 'chat' | 'completion';
  readonly body: string;
  readonly canonical: string;
  readonly canonicaliser: string;
  readonly model_requested: string;
  readonly model_sent: string | null;
  readonly stream: boolean;
  readonly settlement: 'private' | 'batch' | 'individual';
}

/** The conversation that the request continues, by the author's word: after its system messages, the request begins with the messages of these calls, in order, and the last message of each is its answer. */
export interface ThreadPart {
  readonly name: string | null;
  readonly earlier: readonly {
    readonly receipt: string;
    readonly digest: string;
    readonly messages: number;
  }[];
}

export interface ResponsePart {
  readonly stream: boolean;
  readonly text: string | null;
  readonly tool_calls: string | null;
  readonly finish_reason: string | null;
  readonly frame: string | null;
  readonly raw_sha256: string;
  readonly raw_size: number;
  readonly model: string | null;
  readonly usage: Readonly<Record<string, number>> | null;
  readonly problem: {
    readonly code: string;
    readonly message: string;
  } | null;
  readonly unsigned_text: string | null;
}

/** The enclave's attestation document (raw COSE_Sign1), the nonce it was asked to sign, and the root it chains to, as found by the author. */
export interface AttestationPart {
  readonly document: string;
  readonly nonce: string | null;
  readonly fetched_at: string;
  readonly root_sha256: string | null;
}

/** The host's registry entry at one block, as the author's kernel read it. */
export interface RegistryPart {
  readonly chain_id: number;
  readonly contract: string;
  readonly block_number: string;
  readonly block_hash: string;
  readonly block_time: string;
  readonly entry: 'host' | HostEntry | null;
  readonly active: boolean;
  readonly inactive_reason: string | null;
  readonly pcr_approved: boolean | null;
  readonly pcr_version: string | null;
  readonly rpcs: readonly string[];
  readonly disagreement?: string;
  readonly since?: string;
}

export interface ChannelPart {
  readonly certificate_sha256: string;
  readonly tls_version: string | null;
}

/** On the private route: the relay's name, and what the request was sealed with and to. */
export interface SealedPart {
  readonly relay: string;
  readonly header: string;
  readonly public_key: string;
}

export interface PaymentPart {
  readonly network: string;
  readonly authorisation: {
    readonly chain_id: number;
    readonly payer: string;
    readonly token: string;
    readonly cap: string;
    readonly spender: string;
    readonly nonce: string;
    readonly deadline: string;
    readonly pay_to: string;
    readonly facilitator: string;
    readonly valid_after: string;
  };
  readonly token: TokenPart;
  readonly first_call: boolean;
  readonly charge: 'not charged' | 'charged' | 'unknown';
  readonly cap: MoneyPart | null;
  readonly estimate: MoneyPart | null;
  readonly cost: MoneyPart | null;
  readonly cost_usd: string | null;
  readonly token_usd: string | null;
  readonly price: {
    readonly input_usd: string;
    readonly output_usd: string;
    readonly as_of: string;
    readonly source: string;
  } | null;
  readonly basis: string;
  readonly settled?: {
    readonly status: 'open' | 'spent' | 'unspent' | 'reverted';
    readonly chain_id: number;
    readonly tx_hash: string | null;
    readonly block_number: string | null;
    readonly block_hash: string | null;
    readonly block_time: string | null;
    readonly token: string | null;
    readonly payer: string | null;
    readonly payee: string | null;
    readonly facilitator: string | null;
    readonly amount: string | null;
    readonly cap: string | null;
    readonly nonce: string | null;
    readonly seen_at_block: string | null;
    readonly rpcs: readonly string[];
    readonly shared: readonly {
      readonly receipt: string;
      readonly amount: string;
    }[];
    readonly remainder: string;
  };
}

/** Where the call's hashes were put on a chain: a batch with the proof that the call is in it, or by itself. */
export type SettlementPart = {
  readonly kind: 'batch';
  readonly root: string;
  readonly leaf: string;
  readonly proof: readonly string[];
  readonly tx_hash: string;
  readonly block_number: string;
  readonly block_hash: string;
  readonly block_time: string;
  readonly relay: string;
  readonly chain_id: number;
  readonly batch_size: string;
  readonly blob_id: string;
  readonly sender: string | null;
  readonly rpcs: readonly string[];
  readonly committed: boolean;
} | {
  readonly kind: 'individual';
  readonly tx_hash: string;
  readonly block_number: string;
  readonly block_hash: string;
  readonly block_time: string;
  readonly relay: string;
  readonly chain_id: number;
  readonly tee_id: string;
  readonly input_hash: string;
  readonly output_hash: string;
  readonly timestamp: string;
  readonly signature: string;
  readonly blob_id: string;
  readonly sender: string | null;
  readonly rpcs: readonly string[];
  readonly committed: boolean;
};

/** The answers of several hosts to this prompt, this one among them. */
export interface AgreementPart {
  readonly asked: number;
  readonly quorum: number;
  readonly group: string;
  readonly answers: readonly {
    readonly receipt: string;
    readonly digest: string;
    readonly tee_id: string;
    readonly owner: string;
    readonly text_sha256: string | null;
    readonly normal_sha256: string | null;
    readonly json_sha256: string | null;
    readonly verdict: 'VERIFIED' | 'PARTIAL' | 'UNVERIFIED' | 'FAILED';
  }[];
}

/** One run of open weights over this request and answer, by whoever kept it. */
export interface WeightsPart {
  readonly model: string;
  readonly weights_sha256: string;
  readonly tokenizer_sha256: string;
  readonly template_sha256: string | null;
  readonly runtime: string;
  readonly sampling: {
    readonly top_k: number;
    readonly top_p: string;
    readonly min_p: string;
  };
  readonly request_sha256: string;
  readonly answer_sha256: string;
  readonly prompt_tokens: number;
  readonly tokens: readonly number[];
  readonly end: boolean;
  readonly misses: readonly (readonly number[])[];
  readonly tolerance: number;
  readonly surplus: number | null;
  readonly variance: number | null;
  readonly outside: number | null;
  readonly at: string;
}

/** The verdict at creation: history. A reader judges the evidence again. */
export interface CheckedPart {
  readonly at: string;
  readonly by: string;
  readonly verdict: 'VERIFIED' | 'PARTIAL' | 'UNVERIFIED' | 'FAILED';
  readonly simulated: boolean;
  readonly policy: string;
  readonly withheld: boolean;
  readonly because: readonly string[];
  readonly claims: readonly {
    readonly name: 'request' | 'response' | 'signature' | 'freshness' | 'attestation' | 'registry' | 'channel' | 'payment' | 'settlement' | 'agreement' | 'weights';
    readonly status: 'passed' | 'failed' | 'pending' | 'missing' | 'not_applicable';
    readonly basis: 'proven' | 'asked' | 're-run' | 'recorded' | null;
    readonly sentence: string;
    readonly reason: string | null;
    readonly code: string | null;
    readonly expires: string | null;
  }[];
}

/** A document that has the published form; `readReceipt` makes one of unknown JSON. */
export interface Receipt {
  readonly type: 'opg-receipt';
  readonly version: 1;
  readonly id: string;
  readonly created_at: string;
  readonly software: string;
  readonly network: NetworkPart;
  readonly notebook: NotebookPart;
  readonly prompt: PromptPart;
  readonly request: RequestPart;
  readonly thread?: ThreadPart;
  readonly response: ResponsePart;
  readonly sent_at: string;
  readonly received_at: string;
  readonly signing_key: string | null;
  readonly host: HostEntry | null;
  readonly attestation: AttestationPart | null;
  readonly registry: RegistryPart | null;
  readonly channel: ChannelPart | null;
  readonly sealed?: SealedPart;
  readonly payment: PaymentPart | null;
  readonly settlement: SettlementPart | null;
  readonly agreement: AgreementPart | null;
  readonly weights?: WeightsPart;
  readonly checked: CheckedPart | null;
  readonly supersedes?: string;
  readonly digest: string;
}
