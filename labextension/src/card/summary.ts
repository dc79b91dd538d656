/** What a notebook's receipts come to together. */

import { collected, counted } from '../receipt/collected';
import { EDITED } from '../receipt/findings';
import { computedDigest, TokenPart } from '../receipt/receipt';
import { ICellFinding, IEntry, ISummary } from './tokens';
import { figure, hasFailed, signatureValid, unclear } from './words';

/** One notebook in figures. Each receipt counts once, however often it is shown. */
export function summarise(entries: readonly IEntry[], cells: readonly ICellFinding[] = []): ISummary {
  const sums = new Map<string, { amount: bigint; token: TokenPart }>();
  const seen = new Set<string>();
  const edited = new Set<string>();
  const beside = new Set<string>();
  const uncompared = new Set<string>();
  const count = { answers: 0, checked: 0, unchecked: 0, valid: 0, failed: 0, asked: 0, simulated: 0, unknownCharges: 0 };
  for (const entry of entries) {
    const { receipt, verdict } = entry;
    if (entry.findings.some(finding => EDITED.has(finding.code))) {
      edited.add(entry.cellId);
    }
    for (const { code } of unclear(entry)) {
      (code === 'beside' ? beside : uncompared).add(entry.cellId);
    }
    if (receipt !== null) {
      const digest = `${computedDigest(receipt)} ${receipt.digest}`;
      if (seen.has(digest)) {
        continue;
      }
      seen.add(digest);
    }
    count.answers++;
    if (receipt === null) {
      count.checked++;
      count.failed++;
      continue;
    }
    count.unchecked += Number(verdict === null && entry.error !== null);
    if (verdict !== null) {
      const failed = hasFailed(entry);
      count.checked++;
      count.failed += Number(failed);
      count.valid += Number(!failed && signatureValid(verdict));
      count.asked += Number(verdict.claims.registry.basis === 'asked');
    }
    count.simulated += Number(receipt.network.simulated || verdict?.simulated === true);
    const amount = counted(receipt);
    if (collected(receipt).charge === 'unknown') {
      count.unknownCharges++;
    } else if (amount !== null) {
      const { token } = receipt.payment!;
      const key = `${token.chain_id} ${token.address} ${token.symbol} ${token.decimals}`;
      sums.set(key, { amount: (sums.get(key)?.amount ?? 0n) + amount, token });
    }
  }
  const cost = [...sums.values()].map(({ amount, token }) => figure(amount, token));
  const without = cells.filter(cell => cell.run).length;
  return { ...count, edited: edited.size, beside: beside.size, uncompared: uncompared.size, without, unrun: cells.length - without, cost };
}
