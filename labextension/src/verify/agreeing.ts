/** An agreement of hosts, held against the receipts of its answers that stand in the same notebook. */

import { COUNTED, textHashes } from './agreement';
import type { Finding } from '../receipt/findings';
import { AgreementMember, computedDigest, originalOf, Receipt, VerdictStatus } from '../receipt/receipt';

/** What a receipt was judged to be; null if it was not. */
export type StatusOf = (receipt: Receipt) => VerdictStatus | 'SIMULATED' | null;

/** For each receipt, that its agreement tells of another one here what that one does not hold; or null. */
export function agreementFindings(receipts: readonly Receipt[], statusOf: StatusOf = () => null): (Finding | null)[] {
  const byDigest = new Map(receipts.map(receipt => [computedDigest(originalOf(receipt)), receipt]));
  return receipts.map(({ agreement }) => {
    const member = agreement?.answers.find(one => {
      const other = byDigest.get(one.digest);
      return other !== undefined && !fits(one, other, statusOf(other));
    });
    return member === undefined
      ? null
      : {
          level: 'failed',
          code: 'agreement-differs',
          message: `The agreement does not tell of receipt ${member.receipt} what that receipt holds.`
        };
  });
}

/** Whether that receipt holds what the agreement tells of it. */
export function fits(member: AgreementMember, other: Receipt, status: VerdictStatus | 'SIMULATED' | null): boolean {
  const { host, response } = other;
  const told = textHashes(response.tool_calls ?? response.text);
  return (
    other.id === member.receipt &&
    host !== null &&
    host.tee_id.toLowerCase() === member.tee_id.toLowerCase() &&
    host.owner.toLowerCase() === member.owner.toLowerCase() &&
    (['text_sha256', 'normal_sha256', 'json_sha256'] as const).every(key => told[key] === member[key]) &&
    ((status !== 'FAILED' && status !== 'UNVERIFIED') || !COUNTED.has(member.verdict))
  );
}
