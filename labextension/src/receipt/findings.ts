/**
 * What can be wrong with a receipt beyond its claims: its own digest, the text that is shown beside it, the cell above it.
 * The rules and the words are those of `opg verify` (opg_magic/receipts: audit.py, cells.py, showing.py).
 */

import { MIME_TYPE, Receipt } from './receipt';

/** `failed`: something is not as the notebook says; `incomplete`: not enough to say; `note`: no harm. */
export type Level = 'failed' | 'unreadable' | 'incomplete' | 'note';
export type FindingCode =
  | 'unreadable'
  | 'no-receipt'
  | 'beside'
  | 'other-types'
  | 'isolated'
  | 'shown-card'
  | 'shown-question'
  | 'shown-error'
  | 'tools'
  | 'table'
  | 'rows-without-receipt'
  | 'table-cost'
  | 'receipts-elsewhere'
  | 'twice'
  | 'not-compared'
  | 'two-versions'
  | 'later-version'
  | 'shown-again'
  | 'agreement-differs'
  | 'thread-differs'
  | 'thread-missing'
  | 'altered'
  | 'prompt-altered'
  | 'template-altered'
  | 'model-altered'
  | 'shown-text'
  | 'prompt-differs'
  | 'model-differs'
  | 'hosts-differ'
  | 'route-differs'
  | 'request-differs'
  | 'not-the-call'
  | 'from-variables'
  | 'cell-changed'
  | 'saved-differs'
  | 'registry-not-asked'
  | 'rpcs-disagree'
  | 'other-chain'
  | 'other-block';

export interface Finding {
  readonly level: Level;
  readonly code: FindingCode;
  readonly message: string;
}

/** Begins the line between an answer and its card in `text/plain` (opg_magic/models/plain_text.py). */
export const RULE = '──── opg receipt ';
// C0 without newline and tab, DEL, C1, bidirectional controls, separators, byte order mark, lone surrogates.
const ACTIVE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/gu;

/** Text with control characters made visible, so that nothing obeys them. */
export function inert(text: string): string {
  return text.replace(ACTIVE, char => {
    const code = char.charCodeAt(0);
    if (code < 0x20) {
      return String.fromCharCode(0x2400 + code);
    }
    return code === 0x7f ? '␡' : `⟦U+${code.toString(16).toUpperCase().padStart(4, '0')}⟧`;
  });
}

/** Text as notebooks hold it: a string, or a list of lines; null of what is neither. */
export function joined(value: unknown): string | null {
  if (Array.isArray(value) && value.every(line => typeof line === 'string')) {
    return value.join('');
  }
  return typeof value === 'string' ? value : null;
}

/** What stands for the answer in a saved `text/plain`; null if none is shown (`--quiet`, withheld). */
export function answerPart(plain: string): string | null {
  if (plain.startsWith(RULE) && !plain.includes(`\n\n${RULE}`)) {
    return null;
  }
  const at = plain.lastIndexOf(`\n\n${RULE}`);
  return at < 0 ? null : plain.slice(0, at);
}

/** Whether the cell that made this display chose to show no answer. */
export function showsNoAnswer(bundle: Readonly<Record<string, unknown>>): boolean {
  const plain = joined(bundle['text/plain']) ?? '';
  return plain.includes(RULE) && answerPart(plain) === null;
}

/** What is shown of an answer: its text, or the exact string of its tool calls. */
export function signedText(receipt: Receipt): string | null {
  const { text, tool_calls } = receipt.response;
  return text || tool_calls || text;
}

/** All that a receipt's display is made of. */
const TYPES: readonly string[] = ['text/plain', 'text/markdown', 'text/html', MIME_TYPE];

/** Compares the texts of a display with those that are made anew of its receipt (`audit/showing.ts`). */
export type Compare = (bundle: Readonly<Record<string, unknown>>, receipt: Receipt) => Finding[];

/** What a display shows that is not its receipt's. */
export function shownFindings(
  bundle: Readonly<Record<string, unknown>>,
  metadata: unknown,
  receipt: Receipt,
  compare: Compare
): Finding[] {
  return [...formFindings(bundle, metadata, TYPES), ...compare(bundle, receipt)];
}

/** What a display holds besides these types, and where it asks to be shown apart. */
export function formFindings(bundle: Readonly<Record<string, unknown>>, metadata: unknown, types: readonly string[]): Finding[] {
  const found: Finding[] = [];
  const beyond = Object.keys(bundle).filter(type => !types.includes(type)).sort();
  if (beyond.length) {
    const names = beyond.slice(0, 3).map(name => inert(name).slice(0, 80)).join(', ') + (beyond.length > 3 ? ', …' : '');
    found.push(failure('other-types', `Beside the receipt the cell shows content of other types: ${names}.`));
  }
  if (isIsolated(metadata)) {
    found.push(failure('isolated', 'The display asks for a frame of its own (isolated), where a front end shows no check of it.'));
  }
  return found;
}

/** Whether a front end is told, for all types or for one, to show the output in a frame of its own. */
function isIsolated(metadata: unknown): boolean {
  return isRecord(metadata) && [metadata, ...Object.values(metadata)].some(part => isRecord(part) && part.isolated !== undefined && part.isolated !== false);
}

/** Whether the author's kernel handed no answer out: it failed, was cut off, or the policy withheld it. */
export function isWithheldAtCreation({ checked, response }: Receipt): boolean {
  return (
    checked === null || checked.withheld || checked.verdict === 'FAILED' || (response.problem !== null && response.problem.code !== 'unsigned')
  );
}

/** Codes of findings that say that the cell was edited since. */
export const EDITED: ReadonlySet<FindingCode> = new Set<FindingCode>(['prompt-differs', 'model-differs', 'hosts-differ', 'route-differs', 'request-differs', 'cell-changed']);

function failure(code: FindingCode, message: string): Finding {
  return { level: 'failed', code, message };
}

function isRecord(value: unknown): value is Record<string, any> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
