/**
 * What can be wrong with a receipt beyond its claims: its own digest, the text that is shown beside it, the cell above it.
 * The rules and the words are those of `opg verify` (opg_magic/receipts: audit.py, cells.py, showing.py).
 */

import { sha256Hex, utf8 } from './crypto/bytes';
import { digestMatches, isFaithful, MIME_TYPE, Receipt } from './receipt';

/** `failed`: something is not as the notebook says; `incomplete`: not enough to say; `note`: no harm. */
export type Level = 'failed' | 'unreadable' | 'incomplete' | 'note';
export type FindingCode =
  | 'unreadable'
  | 'no-receipt'
  | 'beside'
  | 'other-types'
  | 'isolated'
  | 'shown-card'
  | 'not-compared'
  | 'two-versions'
  | 'later-version'
  | 'shown-again'
  | 'agreement-differs'
  | 'altered'
  | 'prompt-altered'
  | 'template-altered'
  | 'shown-text'
  | 'prompt-differs'
  | 'model-differs'
  | 'cell-changed'
  | 'shown-twice'
  | 'saved-differs'
  | 'registry-not-asked'
  | 'other-chain'
  | 'other-block';

export interface Finding {
  readonly level: Level;
  readonly code: FindingCode;
  readonly message: string;
}

/** Begins the line between an answer and its card in `text/plain` (opg_magic/shown.py). */
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

/** What the document says about itself and about what was signed. */
export function documentFindings(receipt: Receipt): Finding[] {
  const found: Finding[] = [];
  if (!digestMatches(receipt)) {
    found.push(failure('altered', 'The receipt was altered after it was made: its digest is not that of its content.'));
  } else if (!isFaithful(receipt)) {
    found.push(failure('altered', 'More sets this receipt apart from the one that it supersedes than what was learnt later.'));
  }
  const signed = signedPrompt(receipt);
  if (signed !== null && receipt.prompt.text !== signed) {
    found.push(failure('prompt-altered', 'The prompt that the receipt shows is not the one in the request that was sent.'));
  }
  if (receipt.prompt.template !== null && !fills(receipt.prompt.template, receipt.prompt.text)) {
    found.push(failure('template-altered', 'The prompt that was sent cannot have come from the template that the receipt shows.'));
  }
  return found;
}

/** All that a receipt's display is made of. */
const TYPES: readonly string[] = ['text/plain', 'text/markdown', 'text/html', MIME_TYPE];

/** Compares the texts of a display with those that are made anew of its receipt (`face.ts`). */
export type Compare = (bundle: Readonly<Record<string, unknown>>, receipt: Receipt) => Finding[];

/** What a display shows that is not its receipt's. */
export function shownFindings(
  bundle: Readonly<Record<string, unknown>>,
  metadata: unknown,
  receipt: Receipt,
  compare: Compare
): Finding[] {
  const found: Finding[] = [];
  const beyond = Object.keys(bundle).filter(type => !TYPES.includes(type)).sort();
  if (beyond.length) {
    const names = beyond.slice(0, 3).map(name => inert(name).slice(0, 80)).join(', ') + (beyond.length > 3 ? ', …' : '');
    found.push(failure('other-types', `Beside the receipt the cell shows content of other types: ${names}.`));
  }
  if (isIsolated(metadata)) {
    found.push(failure('isolated', 'The display asks for a frame of its own (isolated), where a front end shows no check of it.'));
  }
  return [...found, ...compare(bundle, receipt)];
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

/** Whether a cell is a `%%opg` call: not its help, and not a dry run, which pay nothing. */
export function asks(source: string): boolean {
  return (
    /^%%opg(\s|$)/.test(firstLine(source)) && !magicWords(source).some(word => ['--dry-run', '--help', '-h'].includes(word))
  );
}

function firstLine(source: string): string {
  return source.trimStart().split('\n', 1)[0];
}

/** The words of the magic's line; quotes join, as in a shell. */
export function magicWords(source: string): string[] {
  const line = firstLine(source).replace(/^%%opg/, '');
  return [...line.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(found => found[0].replace(/["']/g, ''));
}

function magicBody(source: string): string {
  const text = source.trimStart().replace(/\r\n/g, '\n');
  const at = text.indexOf('\n');
  return at < 0 ? '' : text.slice(at + 1);
}

function option(words: readonly string[], name: string): string | null {
  for (const [index, word] of words.entries()) {
    if (word === name) {
      return words[index + 1] ?? null;
    }
    if (word.startsWith(`${name}=`)) {
      return word.slice(name.length + 1);
    }
  }
  return null;
}

const bare = (model: string): string => model.slice(model.lastIndexOf('/') + 1);

/** Whether the cell as it stands is the one that this receipt answers; null if it is, or if it is no call. */
export function cellFinding(source: string, receipt: Receipt): Finding | null {
  if (!asks(source)) {
    return null;
  }
  const words = magicWords(source);
  const body = magicBody(source);
  const signed = signedPrompt(receipt);
  if (signed !== null && !(words.includes('--vars') ? fills(body, signed) : body.trim() === signed.trim())) {
    return failure('prompt-differs', 'The cell was edited: its prompt is not the one that this answer was given to.');
  }
  const [wanted, sent] = [option(words, '--model'), receipt.request.model_sent];
  if (wanted !== null && sent !== null && bare(wanted) !== bare(sent)) {
    return failure('model-differs', `The cell asks for ${inert(wanted)}; ${inert(sent)} was asked.`);
  }
  const { source_sha256 } = receipt.prompt;
  if (source_sha256 !== null && source_sha256 !== sourceSha256(source)) {
    return { level: 'incomplete', code: 'cell-changed', message: 'The cell was edited after the call (its prompt was not).' };
  }
  return null;
}

/** Codes of findings that say that the cell was edited since. */
export const EDITED: ReadonlySet<FindingCode> = new Set<FindingCode>(['prompt-differs', 'model-differs', 'cell-changed']);

/** SHA-256 of a cell's source, such that the notebook file and the running kernel give the same. */
export function sourceSha256(source: string): string {
  const text = source.replace(/\r\n?/g, '\n').trimStart();
  const at = text.indexOf('\n');
  const first = (at < 0 ? text : text.slice(0, at)).trim();
  const gap = first.indexOf(' ');
  const name = gap < 0 ? first : first.slice(0, gap);
  const line = gap < 0 ? '' : first.slice(gap + 1).trim();
  const whole = `${name} ${line}`.trim() + (at < 0 ? '' : text.slice(at));
  // Lone surrogates have no UTF-8: three replacement characters stand for each, one a byte, as in Python.
  return sha256Hex(utf8(whole.replace(/[\ud800-\udfff]/gu, '\ufffd\ufffd\ufffd').replace(/\n+$/, '')));
}

/** The prompt in the request's own words, which the host signed: the last user message, or a completion's prompt. */
export function signedPrompt(receipt: Receipt): string | null {
  let body: unknown;
  try {
    body = JSON.parse(receipt.request.body);
  } catch {
    return null;
  }
  if (!isRecord(body)) {
    return null;
  }
  if (receipt.request.kind === 'completion') {
    return typeof body.prompt === 'string' ? body.prompt : null;
  }
  const messages = Array.isArray(body.messages) ? body.messages : [];
  for (const message of [...messages].reverse()) {
    if (isRecord(message) && message.role === 'user') {
      return contentText(message.content);
    }
  }
  return null;
}

function contentText(content: unknown): string | null {
  if (typeof content === 'string') {
    return content;
  }
  if (Array.isArray(content)) {
    const parts = content.filter(part => isRecord(part) && part.type === 'text').map(part => part.text);
    return parts.every(part => typeof part === 'string') ? parts.join('') : null;
  }
  return null;
}

/** Whether `text` can be `template` with each `{{name}}` filled in: its fixed parts, in order. */
export function fills(template: string, text: string): boolean {
  const parts = template.trim().split(/\{\{\s*\w+\s*\}\}/);
  const whole = text.trim();
  if (parts.length === 1) {
    return parts[0] === whole;
  }
  const first = parts[0].trimStart();
  const last = parts[parts.length - 1].trimEnd();
  if (!whole.startsWith(first) || !whole.endsWith(last)) {
    return false;
  }
  let position = first.length;
  const end = whole.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = whole.indexOf(part, position);
    if (found < 0 || found + part.length > end) {
      return false;
    }
    position = found + part.length;
  }
  return position <= end;
}

function failure(code: FindingCode, message: string): Finding {
  return { level: 'failed', code, message };
}

function isRecord(value: unknown): value is Record<string, any> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
