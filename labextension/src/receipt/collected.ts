/**
 * What became of a call's money, out of its receipt: claimed by the host, or what the chain shows.
 *
 * A receipt keeps what its kernel saw when the call ended: `charged` means there that the host answered with a 2xx, so that
 * it claims its cost. Only the nonce on the chain is a charge. The kernel's twin is `opg_magic/receipt/collected.py`.
 */

import type { PaymentPart, Receipt, SettledPart } from './receipt';

export interface ICollected {
  readonly charge: 'not charged' | 'claimed' | 'charged' | 'unknown';
  /** This call's share of what was taken, in base units; null while that is not known. */
  readonly settled: bigint | null;
}

export function collected({ id, payment }: Pick<Receipt, 'id' | 'payment'>): ICollected {
  return payment === null ? { charge: 'not charged', settled: null } : ofPayment(payment, id);
}

/** What a call is counted with: what was settled, and before that what its host claims. */
export function counted(receipt: Pick<Receipt, 'id' | 'payment'>): bigint | null {
  const { charge, settled } = collected(receipt);
  if (charge === 'unknown' || charge === 'not charged') {
    return null;
  }
  return settled ?? (receipt.payment!.cost === null ? null : BigInt(receipt.payment!.cost.amount));
}

export function ofPayment({ charge: said, settled }: Pick<PaymentPart, 'charge' | 'settled'>, id: string): ICollected {
  const claimed = said === 'charged' ? 'claimed' : said;
  const share = settled === undefined ? null : settledShare(settled, id);
  if (settled === undefined || share === null) {
    return { charge: claimed, settled: null };
  }
  if (said === 'unknown' && share !== 0n && settled.shared.length > 1) {
    // The chain tells the sum of several calls: whether this one is in it is not known.
    return { charge: 'unknown', settled: share };
  }
  if (said === 'unknown' && share === 0n && settled.amount !== null && settled.amount !== '0') {
    return { charge: 'unknown', settled: null };
  }
  return { charge: share === 0n ? 'not charged' : 'charged', settled: share };
}

function settledShare(settled: Pick<SettledPart, 'status' | 'amount' | 'shared'>, id: string): bigint | null {
  if (settled.status === 'unspent') {
    return 0n;
  }
  if (settled.status !== 'spent' || settled.amount === null) {
    return null;
  }
  if (settled.shared.length === 0) {
    return BigInt(settled.amount);
  }
  const mine = settled.shared.find(one => one.receipt === id);
  return mine === undefined ? null : BigInt(mine.amount);
}
