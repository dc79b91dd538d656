/** The evidence of a receipt, named and grouped for a person who wants to look closer. */

import { readFrame, isProblem } from '../protocol/frame';
import { teeIdOf } from '../protocol/canonical';
import { sha256Hex, toHex } from '../crypto/bytes';
import { bytesOf, LAST_MOMENT, utc } from '../verify/shared';
import { askedOf, besideThePrompt } from '../receipt/asked';
import { collected } from '../receipt/collected';
import { formatPart, formatUnits } from '../receipt/money';
import { computedDigest, Receipt, signatureOf } from '../receipt/receipt';
import { Verdict } from '../verify/verdict';
import { plural } from './words';

export interface IFact {
  readonly name: string;
  readonly value: string;
  readonly copy: boolean;
  /** Of several lines: shown in a box of its own. */
  readonly long: boolean;
  /** To an explorer that the reader named; never an address from a receipt. */
  readonly link: string | null;
}

export interface IGroup {
  readonly title: string;
  readonly facts: readonly IFact[];
}

type Explorers = Readonly<Record<string, string>>;

export function evidenceOf(receipt: Receipt, verdict: Verdict, explorers: Explorers): IGroup[] {
  return [signed(receipt), conversation(receipt), host(receipt, verdict), registry(receipt, explorers), payment(receipt, explorers), settlement(receipt, explorers), file(receipt)].filter(
    group => group.facts.length > 0
  );
}

function signed(receipt: Receipt): IGroup {
  const facts: IFact[] = [];
  const asked = askedOf(receipt);
  if (asked !== null) {
    facts.push(...(asked.prompt === null ? [] : [text('Prompt as signed', asked.prompt)]));
    facts.push(...besideThePrompt(asked).map(([name, value]) => text(name.charAt(0).toUpperCase() + name.slice(1), value)));
  }
  facts.push(text('Signed request', receipt.request.canonical));
  const frame = receipt.response.frame === null ? null : readFrame(receipt.response.frame).fields;
  if (frame !== null && !isProblem(frame)) {
    facts.push(
      hash('Request hash', `0x${toHex(frame.requestHash)}`),
      hash('Response hash', `0x${toHex(frame.outputHash)}`),
      plain('Signed at', frame.timestamp * 1000n <= BigInt(LAST_MOMENT) ? `${utc(Number(frame.timestamp) * 1000)} UTC` : String(frame.timestamp))
    );
  }
  const signature = signatureOf(receipt);
  if (signature !== null) {
    facts.push(hash('Signature (RSA-PSS, base64)', signature));
  }
  return { title: 'Signed', facts };
}

/** Which receipts the earlier messages of its request come from, as its author says: `audit/threads.ts` holds them to that. */
function conversation({ thread }: Receipt): IGroup {
  const facts = thread?.name ? [plain('Chat', thread.name)] : [];
  for (const one of thread?.earlier ?? []) {
    facts.push(hash(`${plural(one.messages, 'message')} from receipt ${one.receipt}`, one.digest));
  }
  return { title: 'Conversation', facts };
}

function host(receipt: Receipt, verdict: Verdict): IGroup {
  const facts: IFact[] = [];
  const key = bytesOf(receipt.signing_key);
  if (key !== null) {
    facts.push(hash('Host (hash of its key)', teeIdOf(key)), hash('Signing key (DER, base64)', receipt.signing_key!));
  }
  const { facts: attested } = verdict.claims.attestation;
  for (const [name, value] of [
    ['Code (PCR hash)', attested.pcr_hash],
    ['Enclave', attested.module_id],
    ['Attestation root (SHA-256)', attested.root_sha256]
  ]) {
    if (typeof value === 'string') {
      facts.push(hash(String(name), value));
    }
  }
  if (receipt.attestation !== null) {
    facts.push(hash('Attestation document (COSE, base64)', receipt.attestation.document));
  }
  if (receipt.channel !== null) {
    facts.push(hash('TLS certificate (SHA-256)', receipt.channel.certificate_sha256));
  }
  if (receipt.sealed !== undefined) {
    const { relay, header, public_key } = receipt.sealed;
    facts.push(plain('Relay', relay), hash('Sealed request begins with', header), hash('Sealed to (X25519, base64)', public_key));
  }
  return { title: 'Host', facts };
}

function registry(receipt: Receipt, explorers: Explorers): IGroup {
  const { registry: part } = receipt;
  if (part === null) {
    return { title: 'Registry', facts: [] };
  }
  const facts = [
    plain('Chain', String(part.chain_id)),
    hash('Contract', part.contract, explorer(explorers, part.chain_id, 'address', part.contract)),
    hash('Block', part.block_number, explorer(explorers, part.chain_id, 'block', part.block_number)),
    hash('Block hash', part.block_hash),
    plain('RPCs that agreed', part.rpcs.join(', ') || 'none named')
  ];
  if (part.pcr_version !== null) {
    facts.push(plain('Version by the registry', part.pcr_version));
  }
  return { title: "Registry, as recorded by the author's kernel", facts };
}

function payment(receipt: Receipt, explorers: Explorers): IGroup {
  const { payment: part } = receipt;
  if (part === null) {
    return { title: 'Payment', facts: [] };
  }
  const { authorisation, settled } = part;
  const facts = [
    plain('Network', part.network),
    hash('Payer', authorisation.payer),
    hash('Payee', authorisation.pay_to),
    plain('Cap', `${formatUnits(BigInt(authorisation.cap), part.token.decimals)} ${part.token.symbol}`),
    hash('Nonce', authorisation.nonce)
  ];
  if (part.cost !== null) {
    facts.push(plain("Cost (host's figure)", formatPart(part.cost)));
  }
  const { charge, settled: share } = collected(receipt);
  facts.push(plain('Charge', charge));
  if (share !== null) {
    facts.push(plain('Settled (its share)', `${formatUnits(share, part.token.decimals)} ${part.token.symbol}`));
  }
  if (settled?.tx_hash) {
    facts.push(hash('Transaction', settled.tx_hash, explorer(explorers, settled.chain_id, 'tx', settled.tx_hash)));
  }
  return { title: 'Payment, by the author and the host', facts };
}

function settlement(receipt: Receipt, explorers: Explorers): IGroup {
  const { settlement: part } = receipt;
  if (part === null) {
    return { title: 'Settlement', facts: [] };
  }
  const facts = [
    hash('Transaction', part.tx_hash, explorer(explorers, part.chain_id, 'tx', part.tx_hash)),
    hash('Relay', part.relay, explorer(explorers, part.chain_id, 'address', part.relay)),
    hash('Blob', part.blob_id)
  ];
  if (part.kind === 'batch') {
    facts.push(hash('Root', part.root), hash('Leaf', part.leaf), text('Proof', part.proof.join('\n') || '(the only leaf)'));
  }
  return { title: 'Settlement', facts };
}

function file(receipt: Receipt): IGroup {
  const own = computedDigest(receipt);
  const facts = [plain('Receipt', receipt.id), hash('Digest', receipt.digest)];
  if (own !== receipt.digest) {
    facts.push(hash('Digest of what stands here', own));
  }
  if (receipt.response.text !== null) {
    facts.push(hash('Answer (SHA-256)', sha256Hex(new TextEncoder().encode(receipt.response.text))));
  }
  return { title: 'Document', facts };
}

function plain(name: string, value: string): IFact {
  return { name, value, copy: false, long: false, link: null };
}

function hash(name: string, value: string, link: string | null = null): IFact {
  return { name, value, copy: true, long: value.length > 200, link };
}

function text(name: string, value: string): IFact {
  return { name, value, copy: true, long: true, link: null };
}

function explorer(explorers: Explorers, chain: number, kind: 'tx' | 'block' | 'address', value: string): string | null {
  const base = explorers[String(chain)];
  if (base === undefined || !base.startsWith('https://')) {
    return null;
  }
  return `${base.replace(/\/+$/, '')}/${kind}/${encodeURIComponent(value)}`;
}
