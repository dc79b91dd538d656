/**
 * Which receipts the user's own kernels wrote, as the user's own server tells: by the digest that this browser computed,
 * never by what a receipt says of itself. What such a kernel asked counts as asked.
 */

import { computedDigest, Receipt } from '../receipt/receipt';

/** What the user's own kernel asked, and when. */
export interface IOwn {
  readonly asked: readonly string[];
  readonly at: string;
}

/** Asks for receipts, each as `ID~DIGEST`; answers by digest. */
export type AskLedger = (receipts: readonly string[]) => Promise<Readonly<Record<string, IOwn>>>;

/** Milliseconds in which receipts that are looked at are asked for together, and most of them in one question. */
const TOGETHER_MS = 5;
const MOST = 40;
/** So long a verdict waits for the server; then it is a reader's. */
const PATIENCE_MS = 2000;

interface IWaiting {
  readonly settle: (own: IOwn | null) => void;
  readonly asked: string;
}

export class OwnLedger {
  private readonly _known = new Map<string, IOwn | null>();
  private readonly _waiting = new Map<string, IWaiting[]>();
  private _timer = 0;

  constructor(private readonly _ask: AskLedger) {}

  /** What is known already; undefined: nothing yet. */
  known(receipt: Receipt): IOwn | null | undefined {
    return this._known.get(computedDigest(receipt));
  }

  forget(): void {
    this._known.clear();
  }

  async of(receipt: Receipt): Promise<IOwn | null> {
    const digest = computedDigest(receipt);
    const known = this._known.get(digest);
    if (known !== undefined) {
      return known;
    }
    if (!/^[0-9A-Z]{10}$/.test(receipt.id)) {
      return null;
    }
    return new Promise(settle => {
      this._waiting.set(digest, [...(this._waiting.get(digest) ?? []), { settle, asked: `${receipt.id}~${digest}` }]);
      setTimeout(() => settle(null), PATIENCE_MS);
      this._timer ||= setTimeout(() => void this._askAll(), TOGETHER_MS) as unknown as number;
    });
  }

  private async _askAll(): Promise<void> {
    this._timer = 0;
    const all = [...this._waiting];
    this._waiting.clear();
    for (let start = 0; start < all.length; start += MOST) {
      const some = all.slice(start, start + MOST);
      // Without an answer it is nobody's, and is asked for again.
      const found = await this._ask(some.map(([, [first]]) => first.asked)).catch(() => null);
      for (const [digest, waiting] of some) {
        const own = found?.[digest] ?? null;
        if (found !== null) {
          this._known.set(digest, own);
        }
        waiting.forEach(one => one.settle(own));
      }
    }
  }
}
