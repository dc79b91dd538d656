/** What a receipt's document says about itself (opg_magic/audit/judgement.py). Loaded with the first receipt. */

import { askedOf } from '../receipt/asked';
import type { Finding } from '../receipt/findings';
import { fills } from '../cells/grammar';
import { digestMatches, isFaithful, Receipt } from '../receipt/receipt';

/** What the document says about itself and about what was signed. */
export function documentFindings(receipt: Receipt): Finding[] {
  const found: Finding[] = [];
  if (!digestMatches(receipt)) {
    found.push(failure('altered', 'The receipt was altered after it was made: its digest is not that of its content.'));
  } else if (!isFaithful(receipt)) {
    found.push(failure('altered', 'This receipt differs from the one that it supersedes in more than what was learnt later.'));
  }
  const signed = askedOf(receipt);
  if (signed !== null && signed.prompt !== null && receipt.prompt.text !== signed.prompt) {
    found.push(failure('prompt-altered', 'The prompt that the receipt shows is not the one in the request that was sent.'));
  }
  if (signed !== null && receipt.request.model_sent !== (signed.model === null ? null : clipped(signed.model, 256))) {
    found.push(failure('model-altered', 'The model that the receipt names is not the one in the request that was sent.'));
  }
  if (receipt.prompt.template !== null && !fills(receipt.prompt.template, receipt.prompt.text)) {
    found.push(failure('template-altered', 'The prompt that was sent cannot have come from the template that the receipt shows.'));
  }
  return found;
}

/** As a receipt keeps a name that is too long for it. */
function clipped(text: string, length: number): string {
  const points = [...text];
  return points.length <= length ? text : `${points.slice(0, length - 1).join('')}…`;
}

function failure(code: Finding['code'], message: string): Finding {
  return { level: 'failed', code, message };
}
