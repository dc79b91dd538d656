/**
 * Whose hosts an agreement compares, by the registry that the reader asks, and whether all their answers are here. The rules
 * and the words are those of `opg verify` (opg_magic/audit/agreement.py).
 */

import { fits } from './agreeing';
import { COUNTED } from './agreement';
import { AgreementMember, AgreementPart, Receipt, RegistryPart } from '../receipt/receipt';
import { Verdict } from './verdict';

/** What came of asking for one host: the registry's answer, or why there is none. */
export type AskedEntry = { readonly registry: RegistryPart } | { readonly problem: string } | undefined;

export interface Compared {
  /** Whether neither the answers nor whose hosts they are of rest on the author's word. */
  readonly asked: boolean;
  /** What the registry says otherwise of a host's owner. */
  readonly contradicted: string | null;
  readonly finding: { readonly level: 'failed' | 'note'; readonly code: 'rpcs-disagree' | 'registry-not-asked'; readonly message: string } | null;
}

const RECORDED: Compared = { asked: false, contradicted: null, finding: null };

/** Judges one receipt, as a reader who asked nothing. */
type Judge = (receipt: Receipt) => Promise<Verdict>;

/**
 * `members`: the receipts here that the agreement tells of, by its digests. `entryOf`: what was asked of the registry about
 * a host, at this receipt's block; null where the reader did not ask it.
 */
export async function compareAnswers(
  agreement: AgreementPart,
  members: ReadonlyMap<string, Receipt>,
  block: string,
  entryOf: ((teeId: string) => AskedEntry) | null,
  judge: Judge
): Promise<Compared> {
  for (const member of agreement.answers) {
    const other = members.get(member.digest);
    if (other !== undefined && !fits(member, other, (await judge(other)).status)) {
      // That is a finding of its own (agreeing.ts).
      return RECORDED;
    }
  }
  if (entryOf === null) {
    return RECORDED;
  }
  for (const member of agreement.answers.filter(one => COUNTED.has(one.verdict))) {
    const asked = entryOf(member.tee_id);
    if (asked === undefined) {
      return RECORDED;
    }
    if ('problem' in asked) {
      const message = `The registry could not be asked about host ${member.tee_id}: ${asked.problem}`;
      return { ...RECORDED, finding: { level: 'note', code: 'registry-not-asked', message } };
    }
    if (asked.registry.disagreement !== undefined) {
      return { ...RECORDED, finding: { level: 'failed', code: 'rpcs-disagree', message: asked.registry.disagreement } };
    }
    const contradicted = ownerFault(member, asked.registry, block);
    if (contradicted !== null) {
      return { ...RECORDED, contradicted };
    }
  }
  return { ...RECORDED, asked: agreement.answers.every(member => members.has(member.digest)) };
}

/** What the registry says otherwise of that host's owner at that block, in words. */
function ownerFault(member: AgreementMember, registry: RegistryPart, block: string): string | null {
  const { entry } = registry;
  if (entry === null || entry === 'host' || entry.tee_id.toLowerCase() !== member.tee_id.toLowerCase()) {
    return `the registry that was asked does not list host ${member.tee_id} at block ${block}`;
  }
  return entry.owner.toLowerCase() === member.owner.toLowerCase()
    ? null
    : `the owner of host ${member.tee_id} is ${entry.owner} by the registry that was asked, not ${member.owner}`;
}

