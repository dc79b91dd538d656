/**
 * The payment claim: at most N was paid to Y for it, in transaction Z.
 *
 * It follows the chain: what a host says that it charged is claimed, until the authorisation's nonce is seen spent. A host
 * that did not collect has done no wrong. A payment counts for this call alone: made to this host's own payee, under an
 * authorisation that could be used while the call ran.
 */

import { formatMoney } from '../receipt/money';
import { Basis, microseconds, PaymentPart, SettledPart } from '../receipt/receipt';
import { Trust } from './trust';
import { basisOf, Claim, Evidence, failed, LAST_MOMENT, missing, notApplicable, passed, utc, waiting } from './shared';

/** Seconds past the signed deadline until which a settlement may still come into sight: blocks lag, RPCs lag. */
const MARGIN_SECONDS = 120n;
const NOTHING = 'Nothing was taken for this call.';
const NOT_ITS_OWN = "It is not known here that the payment is this host's.";
const OTHER_TIME = 'The payment is not of the time of this call.';
const SECOND = 1_000_000n;

/** What the payment chain shows of the authorisation, found by its nonce, against what was signed. */
export function check(evidence: Evidence, trust: Trust): Claim {
  const { payment, sealed } = evidence.receipt;
  if (payment === null && sealed !== undefined) {
    const reason = `the relay ${sealed.relay} pays; what it costs is not known here`;
    return notApplicable('payment', 'The relay pays for it.', 'relay-pays', reason);
  }
  if (payment === null) {
    return missing('payment', 'It is not known what was paid for it.', 'none', 'no authorisation is known');
  }
  const basis = basisOf('payment', trust);
  const others = evidence.seen.paymentIn ?? [];
  if (others.length) {
    const reason = `the same transaction, under another nonce, in ${others.slice(0, 3).join(', ')}`;
    return failed('payment', basis, 'One payment is claimed under two authorisations.', 'two-nonces', reason);
  }
  const unbound = timeFault(evidence, payment, trust);
  if (unbound !== null) {
    return failed('payment', basis, ...unbound);
  }
  const { settled } = payment;
  if (settled === undefined || settled.status === 'open') {
    return open(evidence, payment, trust);
  }
  const facts = factsOf(payment, settled);
  const other = faultOf(payment, settled);
  if (other === null && settled.status === 'unspent') {
    // Whoever did not collect has done no wrong: of the answer that says nothing, whomever it would have paid.
    return notApplicable('payment', NOTHING, 'unspent', 'nothing was taken: its nonce was never spent', facts);
  }
  const fault = other ?? payeeFault(evidence, payment, trust) ?? tooEarly(evidence, settled, trust);
  if (fault !== null) {
    return failed('payment', basis, ...fault, facts);
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
  const bound = boundBy(evidence, payment, trust);
  if (bound === null) {
    return missing('payment', NOT_ITS_OWN, 'no-payee', 'no entry of the registry says whom payments of this host go to', facts);
  }
  return passed('payment', bound, sentence(payment, settled), facts);
}

/**
 * What the claim rests on: the chain that was asked tells of a payment, not that its payee is this host's. That is asked of the
 * registry, or the reader's own pin; else its author's word.
 */
function boundBy(evidence: Evidence, payment: PaymentPart, trust: Trust): Basis | null {
  const own = trust.payees.some(known => known.toLowerCase() === payment.authorisation.pay_to.toLowerCase());
  if (own || (evidence.entry !== null && basisOf('registry', trust) === 'asked')) {
    return basisOf('payment', trust);
  }
  return evidence.entry !== null || evidence.host !== null ? 'recorded' : null;
}

/** When a payment that is not in sight yet cannot come any more, in microseconds since 1970. */
function expires(payment: PaymentPart): bigint {
  const last = BigInt(LAST_MOMENT) * 1000n + 999n;
  const end = (BigInt(payment.authorisation.deadline) + MARGIN_SECONDS) * 1_000_000n;
  return end > last ? last : end;
}

function open(evidence: Evidence, payment: PaymentPart, trust: Trust): Claim {
  if (payment.charge === 'not charged') {
    return notApplicable('payment', NOTHING, 'not-charged', 'the host charged nothing');
  }
  const unknown = payeeFault(evidence, payment, trust);
  if (unknown !== null) {
    // Operators may be paid elsewhere than the registry says. Nothing was taken yet, so nothing is borrowed either.
    return missing('payment', NOT_ITS_OWN, unknown[1], unknown[2]);
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

/** An authorisation to another payee than this host's (attack 40). */
function payeeFault(evidence: Evidence, payment: PaymentPart, trust: Trust): Fault | null {
  const { pay_to } = payment.authorisation;
  const listed = evidence.entry ?? evidence.host;
  if (listed === null || [listed.payment_address, ...trust.payees].some(known => known.toLowerCase() === pay_to.toLowerCase())) {
    return null;
  }
  const reason =
    `it pays ${pay_to}; the registry lists ${listed.payment_address} for this host` +
    ', and your setting payees does not name it';
  return ['The payment is to somebody else than this host.', 'other-payee', reason];
}

/** An authorisation that could not be used while the call ran (attack 40). */
function timeFault(evidence: Evidence, payment: PaymentPart, trust: Trust): Fault | null {
  const signed = payment.authorisation;
  const skew = BigInt(Math.round(trust.skewSeconds * 1e6));
  const [first, last] = [BigInt(signed.valid_after), BigInt(signed.deadline)];
  if (first * SECOND > evidence.sentAt + skew) {
    return [OTHER_TIME, 'other-time', `it could be used from ${moment(first)}, the call was sent before`];
  }
  if (evidence.receivedAt > last * SECOND + skew) {
    return [OTHER_TIME, 'other-time', `it could be used until ${moment(last)}, the call ended after that`];
  }
  return null;
}

/** A settlement that was made before the call was sent has not paid for it. */
function tooEarly(evidence: Evidence, settled: SettledPart, trust: Trust): Fault | null {
  if (settled.block_time === null) {
    return null;
  }
  const block = microseconds(settled.block_time);
  if (block + BigInt(Math.round(trust.skewSeconds * 1e6)) >= evidence.sentAt) {
    return null;
  }
  return [OTHER_TIME, 'too-early', `its block is of ${utc(Number(block / 1000n))} UTC, before the call was sent`];
}

function moment(seconds: bigint): string {
  const milliseconds = Number(seconds) * 1000;
  return milliseconds <= LAST_MOMENT ? `${utc(milliseconds)} UTC` : `${seconds} s`;
}

/** The first thing that is wrong. */
function faultOf(payment: PaymentPart, settled: SettledPart): Fault | null {
  const { authorisation } = payment;
  if (settled.chain_id !== authorisation.chain_id) {
    const reason = `looked up on chain ${settled.chain_id}, signed for chain ${authorisation.chain_id}`;
    return ['The payment was looked up on another chain.', 'wrong-chain', reason];
  }
  switch (settled.status) {
    case 'unspent': {
      const reason = `transaction ${settled.tx_hash} is named, and the nonce was never spent`;
      return settled.tx_hash === null ? null : ['The payment that this receipt names was never made.', 'absent', reason];
    }
    case 'reverted':
      return ['The payment that this receipt names failed.', 'reverted', `transaction ${settled.tx_hash} was reverted`];
    default:
      return transactionFault(payment, settled);
  }
}

function transactionFault(payment: PaymentPart, settled: SettledPart): Fault | null {
  const signed = payment.authorisation;
  const sum = (units: string | bigint): string => formatMoney(BigInt(units), payment.token);
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
    return wrong('wrong-amount', `the transaction names a cap of ${sum(settled.cap)}, signed is ${sum(signed.cap)}`);
  }
  if (settled.amount !== null) {
    const amount = BigInt(settled.amount);
    if (amount > BigInt(signed.cap)) {
      return wrong('wrong-amount', `${sum(amount)} were taken, at most ${sum(signed.cap)} are signed`);
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
  // What does not divide evenly among a session's calls is nobody's.
  const left = BigInt(settled.remainder) >= BigInt(Math.max(1, calls));
  const rest = left ? `, ${money(settled.remainder)} of it for no call that is known` : '';
  const payee = payment.authorisation.pay_to;
  const most = money(payment.authorisation.cap);
  return `${money(settled.amount ?? '0')} (at most ${most}) was paid to ${payee.slice(0, 6)}…${payee.slice(-4)}${session}${rest}.`;
}
