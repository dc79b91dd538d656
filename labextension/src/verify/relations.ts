/** What receipts that stand together know of each other. */

import { Seen } from './shared';
import { computedDigest, originalOf, Receipt, signatureKey } from '../receipt/receipt';

/** What receipts among many have in common that they must not have. */
export class Relations {
  private readonly keys = new WeakMap<Receipt, string | null>();
  private readonly signatures = new Map<string, Receipt[]>();
  private readonly payments = new Map<string, Receipt[]>();
  private readonly calls = new Map<string, Receipt>();

  add(receipt: Receipt): void {
    const [signed, paid] = [this.keyOf(receipt), paymentKey(receipt)];
    if (signed !== null) {
      append(this.signatures, signed, receipt);
    }
    if (paid !== null) {
      append(this.payments, paid, receipt);
    }
    this.calls.set(root(receipt), receipt);
  }

  private keyOf(receipt: Receipt): string | null {
    let found = this.keys.get(receipt);
    if (found === undefined) {
      found = signatureKey(receipt);
      this.keys.set(receipt, found);
    }
    return found;
  }

  /** For a receipt that was added. */
  of(receipt: Receipt): Seen {
    const [signed, paid] = [this.keyOf(receipt), paymentKey(receipt)];
    const nonce = receipt.payment?.authorisation.nonce;
    const compared = (receipt.agreement?.answers ?? []).map(member => member.digest).filter(digest => this.calls.has(digest));
    return {
      ...(compared.length ? { members: new Map(compared.map(digest => [digest, this.calls.get(digest)!])), memberDigests: compared } : {}),
      // One receipt shown twice, or a later version of it, is no replay.
      signatureIn: idsOf(this.signatures.get(signed ?? ''), other => root(other) !== root(receipt)),
      paymentIn: idsOf(this.payments.get(paid ?? ''), other => other.payment?.authorisation.nonce !== nonce)
    };
  }
}

/** The call, by the computed digest of its receipt as it was made: what a document states of itself decides nothing. */
function root(receipt: Receipt): string {
  return computedDigest(originalOf(receipt));
}

function paymentKey(receipt: Receipt): string | null {
  return receipt.payment?.settled?.tx_hash ?? null;
}

function append(map: Map<string, Receipt[]>, key: string, receipt: Receipt): void {
  const found = map.get(key);
  if (found === undefined) {
    map.set(key, [receipt]);
  } else {
    found.push(receipt);
  }
}

function idsOf(receipts: readonly Receipt[] | undefined, wanted: (receipt: Receipt) => boolean): string[] {
  return [...new Set((receipts ?? []).filter(wanted).map(receipt => receipt.id))].sort();
}
