/** Receipts for tests, made by the project's own Python side and kept small: see `tests/support/lab_notebooks.py`. */

import { IJudged } from '../audit/check';
import { Claim } from '../verify/shared';
import { CLAIM_NAMES, ClaimName, Receipt, Status, VerdictStatus } from '../receipt/receipt';
import { IEntry } from '../card/tokens';
import { Claims, labelOf, Verdict } from '../verify/verdict';

const WORD = `0x${'11'.repeat(32)}`;
const TOKEN = { symbol: 'OPG', address: `0x${'22'.repeat(20)}`, decimals: 18, chain_id: 8453 };

/** Of the documented form; its signature is nobody's. */
export function receipt(changes: Partial<Receipt> = {}): Receipt {
  return {
    type: 'opg-receipt',
    version: 1,
    id: '7Q4K2M0000',
    created_at: '2026-05-04T12:00:00.000000Z',
    software: 'opg_magic 0.1.0',
    network: {
      name: 'opengradient',
      simulated: false,
      run_id: null,
      registry_chain_id: 10740,
      registry_address: `0x${'33'.repeat(20)}`,
      payment_chain_id: 8453
    },
    notebook: { name: 'study.ipynb', kernel: 'k1', cell: 1 },
    prompt: { text: 'Say hi', template: null, variables: [], source_sha256: null },
    request: {
      kind: 'chat',
      body: '{"model": "gpt-5", "messages": [{"role": "user", "content": "Say hi"}]}',
      canonical: '{}',
      canonicaliser: '2026-04',
      model_requested: 'openai/gpt-5',
      model_sent: 'gpt-5',
      stream: true,
      settlement: 'private'
    },
    response: {
      stream: true,
      text: 'SECRET WORDS of the answer',
      tool_calls: null,
      finish_reason: 'stop',
      frame: null,
      raw_sha256: 'aa'.repeat(32),
      raw_size: 1,
      model: 'gpt-5',
      usage: null,
      problem: null,
      unsigned_text: null
    },
    sent_at: '2026-05-04T12:00:00.000000Z',
    received_at: '2026-05-04T12:00:01.800000Z',
    signing_key: null,
    host: null,
    attestation: null,
    registry: null,
    channel: null,
    payment: {
      network: 'eip155:8453',
      authorisation: {
        chain_id: 8453,
        payer: WORD,
        token: TOKEN.address,
        cap: '100000000000000000',
        spender: WORD,
        nonce: '7',
        deadline: '9',
        pay_to: WORD,
        facilitator: WORD,
        valid_after: '0'
      },
      token: TOKEN,
      first_call: true,
      charge: 'charged',
      cap: { amount: '100000000000000000', token: TOKEN },
      estimate: null,
      cost: { amount: '4100000000000000', token: TOKEN },
      cost_usd: '0.00041',
      token_usd: null,
      price: null,
      basis: 'host'
    },
    settlement: null,
    agreement: null,
    checked: null,
    digest: `sha256:${'0'.repeat(64)}`,
    ...changes
  } as Receipt;
}

export function verdict(status: VerdictStatus, odd: Partial<Record<ClaimName, Status>> = {}, simulated = false): Verdict {
  const claims = Object.fromEntries(
    CLAIM_NAMES.map(name => {
      const claim: Claim = {
        name,
        status: odd[name] ?? 'passed',
        basis: name === 'registry' || name === 'channel' ? 'recorded' : 'proven',
        sentence: `Sentence of ${name}.`,
        reason: odd[name] ? `reason of ${name}` : null,
        code: null,
        expires: null,
        facts: {}
      };
      return [name, claim];
    })
  ) as unknown as Claims;
  return {
    status,
    simulated,
    label: labelOf(status, simulated),
    claims,
    policy: 'default',
    because: status === 'PARTIAL' ? ['registry: only recorded by the author of the receipt'] : ['response: why'],
    withheld: status === 'FAILED'
  };
}

export function judged(changes: Partial<IJudged> = {}): IJudged {
  return { receipt: receipt(), error: null, verdict: verdict('VERIFIED'), findings: [], ...changes };
}

let count = 0;

export function entry(changes: Partial<IEntry> = {}): IEntry {
  count++;
  // Two entries without their own receipt are two calls.
  return { cell: count, cellId: `c${count}`, output: 0, document: {}, ...judged(), receipt: receipt({ id: `A${String(count).padStart(9, '0')}` }), ...changes };
}
