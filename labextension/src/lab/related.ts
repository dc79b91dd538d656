/** What the receipts of one notebook tell of each other: agreements and threads. Loaded where there are any. */

import { agreementFindings } from '../verify/agreeing';
import { Finding } from '../receipt/findings';
import { Receipt } from '../receipt/receipt';
import { threadFindings } from '../audit/threads';
import type { IEntry } from '../card/tokens';

/** Add to judged entries what their agreements and threads tell otherwise of each other. */
export function addRelated(entries: IEntry[]): void {
  const places = [...entries.keys()].filter(place => entries[place].receipt !== null);
  const receipts = places.map(place => entries[place].receipt!);
  const statuses = new Map<Receipt, IEntry['verdict']>(places.map(place => [entries[place].receipt!, entries[place].verdict]));
  const agreements = agreementFindings(receipts, receipt => {
    const status = statuses.get(receipt)?.status ?? null;
    return status === 'SIMULATED' ? 'VERIFIED' : status;
  });
  add(agreements);
  add(threadFindings(receipts));

  function add(findings: readonly (Finding | null)[]): void {
    for (const [index, finding] of findings.entries()) {
      const at = places[index];
      if (finding !== null) {
        entries[at] = { ...entries[at], findings: [...entries[at].findings, finding] };
      }
    }
  }
}
