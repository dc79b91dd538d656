/**
 * Several hosts on the face of one receipt: what its comparison says, a line a host (opg_magic/receipt/face/hosts.py).
 *
 * It tells what the author's kernel wrote down; whether that holds is the claim `agreement`.
 */

import { COUNTED, independent } from '../verify/agreement';
import { oneLine, shortHash } from './figures';
import { AgreementMember, Receipt } from '../receipt/receipt';

type Key = 'text_sha256' | 'normal_sha256' | 'json_sha256';

/** Ways to be the same, the strictest first. */
const WAYS: readonly (readonly [Key, string])[] = [
  ['text_sha256', 'the same answer'],
  ['normal_sha256', 'the same but for white space'],
  ['json_sha256', 'the same JSON']
];
/** So many hosts have a line; the others are counted. */
const MOST_LINES = 16;

export interface ICompared {
  readonly agrees: boolean;
  readonly headline: string;
  /** Mark, name and words of each host. */
  readonly lines: readonly (readonly [mark: string, name: string, words: string])[];
}

/** The comparison that a receipt holds; null where one host was asked, or it does not name this receipt. */
export function compared({ id, agreement }: Receipt): ICompared | null {
  const own = agreement?.answers.find(one => one.receipt === id);
  if (agreement === null || own === undefined) {
    return null;
  }
  const lines = linesOf(agreement.answers, own);
  let most = 0;
  for (const [key] of WAYS) {
    const same = agreement.answers.filter(one => isSame(one, own, key) && COUNTED.has(one.verdict));
    most = Math.max(most, independent(same));
    if (most >= agreement.quorum) {
      return { agrees: true, headline: `✓ ${most} of ${agreement.asked} independent hosts say the same`, lines };
    }
  }
  return { agrees: false, headline: `! Hosts disagree: ${most} of ${agreement.asked} gave this answer, ${agreement.quorum} must`, lines };
}

function isSame(one: AgreementMember, own: AgreementMember, key: Key): boolean {
  return own[key] !== null && one[key] === own[key];
}

function linesOf(answers: readonly AgreementMember[], own: AgreementMember): ICompared['lines'] {
  const lines = answers.slice(0, MOST_LINES).map((one): ICompared['lines'][number] => {
    const way = WAYS.find(([key]) => isSame(one, own, key))?.[1];
    const counts = COUNTED.has(one.verdict);
    const said = `${way ?? 'another answer'}${counts ? '' : `, ${one.verdict.toLowerCase()}`}`;
    return [counts && way !== undefined ? '✓' : '✗', `host ${oneLine(shortHash(one.tee_id), 9)}`, `${said} (receipt ${one.receipt})`];
  });
  return answers.length > MOST_LINES ? [...lines, ['·', `${answers.length - MOST_LINES} more`, 'see the receipt']] : lines;
}
