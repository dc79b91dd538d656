/** The payment claim: at most N was paid to Y for it, in transaction Z (protocol section 6; attack 23). */

import { formatMoney } from '../money';
import { microseconds, PaymentPart, SettledPart } from '../receipt';
import { Trust } from '../trust';
import { basisOf, Claim, Evidence, failed, LAST_MOMENT, missing, notApplicable, passed, utc, waiting } from './shared';

/** Seconds past the signed deadline until which a settlement may still come into sight: blocks lag, RPCs lag. */
const MARGIN_SECONDS = 120n;
const NOTHING = 'Nothing was paid for this call.';

/** What the payment chain shows of the authorisation, found by its nonce, against what was signed. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { payment } = evidence.receipt;
  if (payment === null) {
    return missing('payment', 'It is not known what was paid for it.', 'none', 'no authorisation is known');
  }
  const basis = basisOf('payment', trust);
  const others = evidence.seen.paymentIn ?? [];
  if (others.length) {
    const reason = `the same transaction, under another nonce, in ${others.slice(0, 3).join(', ')}`;
    return failed('payment', basis, 'One payment is claimed under two authorisations.', 'two-nonces', reason);
  }
  const { settled } = payment;
  if (settled === undefined || settled.status === 'open') {
    return open(payment, trust);
  }
  const facts = factsOf(payment, settled);
  const fault = faultOf(payment, settled);
  if (fault !== null) {
    return failed('payment', basis, ...fault, facts);
  }
  if (settled.status === 'unspent') {
    return notApplicable('payment', NOTHING, 'unspent', 'the authorisation ran out unused', facts);
  }
  if (settled.tx_hash === null || settled.amount === null) {
    const reason = 'the nonce is spent, but the transaction that did it was not found';
    return missing('payment', 'The payment was taken, but it is not known how much.', 'not-found', reason, facts);
  }
  const lacking = lackingOf(settled);
  if (lacking.length) {
    const reason = `not known of it: ${lacking.join(', ')}`;
    return missing('payment', 'The payment cannot be compared with what was signed.', 'incomplete', reason, facts);
  }
  return passed('payment', basis, sentence(payment, settled), facts);
}

/** When a payment that is not in sight yet cannot come any more, in microseconds since 1970. */
function expires(payment: PaymentPart): bigint {
  const last = BigInt(LAST_MOMENT) * 1000n + 999n;
  const end = (BigInt(payment.authorisation.deadline) + MARGIN_SECONDS) * 1_000_000n;
  return end > last ? last : end;
}

function open(payment: PaymentPart, trust: Trust): Claim {
  if (payment.charge === 'not charged') {
    return notApplicable('payment', NOTHING, 'not-charged', 'the host charged nothing');
  }
  const cap = formatMoney(BigInt(payment.authorisation.cap), payment.token);
  return waiting(
    'payment',
    trust,
    Number(expires(payment) / 1000n),
    `At most ${cap} can be taken for it; the payment is not on the chain yet.`,
    'The payment was not looked up on its chain after it could last be made.',
    { cap: payment.authorisation.cap }
  );
}

type Fault = [sentence: string, code: string, reason: string];

/** The first thing that is wrong. */
function faultOf(payment: PaymentPart, settled: SettledPart): Fault | null {
  const { authorisation } = payment;
  if (settled.chain_id !== authorisation.chain_id) {
    const reason = `looked up on chain ${settled.chain_id}, signed for chain ${authorisation.chain_id}`;
    return ['The payment was looked up on another chain.', 'wrong-chain', reason];
  }
  switch (settled.status) {
    case 'unspent': {
      const reason = "the authorisation's deadline has passed, and its nonce was never spent";
      return payment.charge === 'charged' ? ['The payment that this call claims was never made.', 'absent', reason] : null;
    }
    case 'reverted':
      return ['The payment that this call claims failed.', 'reverted', `transaction ${settled.tx_hash} was reverted`];
    default:
      return transactionFault(payment, settled);
  }
}

function transactionFault(payment: PaymentPart, settled: SettledPart): Fault | null {
  const signed = payment.authorisation;
  const wrong = (code: string, reason: string): Fault => ['The payment is not the one that was signed.', code, reason];
  const pairs: [string, string, string | null, string][] = [
    ['token', 'wrong-token', settled.token, signed.token],
    ['token', 'wrong-token', payment.token.address, signed.token],
    ['payer', 'wrong-payer', settled.payer, signed.payer],
    ['payee', 'wrong-payee', settled.payee, signed.pay_to],
    ['facilitator', 'wrong-facilitator', settled.facilitator, signed.facilitator]
  ];
  for (const [name, code, found, meant] of pairs) {
    if (found !== null && found.toLowerCase() !== meant.toLowerCase()) {
      return wrong(code, `the ${name} is ${found}, signed is ${meant}`);
    }
  }
  if (settled.nonce !== null && settled.nonce !== signed.nonce) {
    return wrong('two-nonces', 'the transaction spends another nonce than the one that was signed');
  }
  if (settled.cap !== null && settled.cap !== signed.cap) {
    return wrong('wrong-amount', `the transaction names a cap of ${settled.cap}, signed is ${signed.cap}`);
  }
  if (settled.amount !== null) {
    const amount = BigInt(settled.amount);
    if (amount > BigInt(signed.cap)) {
      return wrong('wrong-amount', `${settled.amount} base units were taken, at most ${signed.cap} are signed`);
    }
    const shares = settled.shared.reduce((sum, one) => sum + BigInt(one.amount), BigInt(settled.remainder));
    if (settled.shared.length && shares !== amount) {
      return wrong('wrong-shares', "the calls' shares and the remainder do not add up to what was taken");
    }
  }
  if (settled.block_time !== null && microseconds(settled.block_time) > expires(payment)) {
    // Permit2 takes no signature after its deadline: a block that says so is not of this chain.
    const when = utc(Number(microseconds(settled.block_time) / 1000n));
    return wrong('too-late', `its block is of ${when} UTC, after the deadline`);
  }
  return null;
}

/** What was not decoded of the transaction and so cannot be compared. */
function lackingOf(settled: SettledPart): string[] {
  const names: (keyof SettledPart)[] = ['nonce', 'facilitator', 'cap', 'block_number', 'block_hash', 'block_time'];
  // A settlement of nothing moves nothing: there is no transfer to name token and payee.
  if (settled.amount !== null && BigInt(settled.amount) !== 0n) {
    names.push('token', 'payer', 'payee');
  }
  return names.filter(name => settled[name] === null);
}

function factsOf(payment: PaymentPart, settled: SettledPart): Record<string, unknown> {
  return {
    amount: settled.amount,
    cap: payment.authorisation.cap,
    shared: Object.fromEntries(settled.shared.map(one => [one.receipt, one.amount])),
    remainder: settled.remainder,
    payee: settled.payee,
    transaction: settled.tx_hash,
    chain_id: settled.chain_id,
    block_number: settled.block_number,
    rpcs: settled.rpcs
  };
}

function sentence(payment: PaymentPart, settled: SettledPart): string {
  const money = (amount: string): string => formatMoney(BigInt(amount), payment.token);
  const calls = settled.shared.length;
  const session = calls > 1 ? ` for ${calls} calls of one session` : '';
  const rest = BigInt(settled.remainder) ? `, ${money(settled.remainder)} of it for no call that is known` : '';
  const payee = payment.authorisation.pay_to;
  const most = money(payment.authorisation.cap);
  return `${money(settled.amount ?? '0')} (at most ${most}) was paid to ${payee.slice(0, 6)}…${payee.slice(-4)}${session}${rest}.`;
}
