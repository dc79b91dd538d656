/**
 * What a cell shows beside its receipt, held against what is made anew of the receipt, byte for byte; nothing here reads HTML
 * or Markdown. The rules and the words are those of `opg verify` (opg_magic/audit/displays.py).
 */

import { beginnings, FORMS, REMARKS, rule, Texts, Type } from '../face/third';
import { inert, isWithheldAtCreation, joined, RULE, signedText } from '../receipt/findings';
import type { Finding } from '../receipt/findings';
import { Receipt } from '../receipt/receipt';

/** The texts of a display, as a person calls them. */
const NAMES: Texts = { 'text/plain': 'plain text', 'text/markdown': 'Markdown', 'text/html': 'HTML' };
const TYPES = Object.keys(NAMES) as Type[];

/** What the texts of a display show that is not their receipt's, and what could not be compared. */
export function comparedTexts(bundle: Readonly<Record<string, unknown>>, receipt: Receipt): Finding[] {
  const texts: Partial<Texts> = {};
  for (const type of TYPES) {
    if (bundle[type] !== undefined) {
      texts[type] = joined(bundle[type]) ?? '';
    }
  }
  const plain = texts['text/plain'];
  if (!plain) {
    return [failure('shown-text', 'The cell shows no plain text of this receipt.')];
  }
  for (const show of [true, false]) {
    for (const [form, [former, calls, make]] of FORMS) {
      const starts = beginnings(receipt, show, former, calls);
      if (plain.startsWith(starts['text/plain'] + rule(receipt, form, show, calls))) {
        // An answer may say the same: only the card's own lines count.
        const card = plain.slice(starts['text/plain'].length);
        const remarks = REMARKS.filter(remark => card.includes(`\n  ${remark}\n`));
        return differences(texts, starts, make === null ? null : make(receipt, show, remarks));
      }
    }
  }
  return otherForm(texts, plain, receipt);
}

function differences(texts: Partial<Texts>, starts: Texts, made: Texts | null): Finding[] {
  const types = TYPES.filter(type => texts[type] !== undefined);
  const found: Finding[] = [];
  const answers = types.filter(type => !texts[type]!.startsWith(starts[type]));
  if (answers.length) {
    found.push(failure('shown-text', `The text that the cell shows as ${listed(answers)} is not the text that was signed.`));
  }
  if (made === null) {
    return [...found, notCompared('The saved card says more than its receipt holds; those words were not compared with anything.')];
  }
  const cards = types.filter(type => texts[type]!.startsWith(starts[type]) && texts[type] !== made[type]);
  if (cards.length) {
    found.push(failure('shown-card', `The card that the cell shows as ${listed(cards)} is not the one of this receipt.`));
  }
  return found;
}

function listed(types: readonly Type[]): string {
  const names = types.map(type => NAMES[type]);
  return names.length === 1 ? names[0] : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}

/** How all HTML of version 0.1 began. */
const BOX = '<div style="font-family:inherit">';

/** A display of version 0.1, or of one to come: its text and Markdown are compared, no card, no HTML. */
function otherForm(texts: Partial<Texts>, plain: string, receipt: Receipt): Finding[] {
  if (!plain.includes(RULE)) {
    return [failure('shown-text', 'The shown text does not say where the answer ends.')];
  }
  const signed = signedText(receipt);
  const at = plain.lastIndexOf(`\n\n${RULE}`);
  let part = at < 0 ? null : plain.slice(0, at);
  if (part !== null && isWithheldAtCreation(receipt) && part.startsWith('✗ ')) {
    part = after(part, '\n\n');
  }
  if (part !== null && (signed === null || part !== inert(signed))) {
    return [failure('shown-text', 'The text that the cell shows as plain text is not the text that was signed.')];
  }
  const line = plain.slice(plain.lastIndexOf(RULE) + RULE.length).split('\n', 1)[0].replace(/ ────$/, '');
  const form = line.split(' · ').pop()!;
  if (FORMS.has(form)) {
    return [failure('shown-card', 'The card that the cell shows as plain text is not the one of this receipt.')];
  }
  const markdown = texts['text/markdown'];
  if (markdown !== undefined && fencedPart(markdown, receipt) !== part) {
    return [failure('shown-text', 'The text that the cell shows as Markdown is not the text that was signed.')];
  }
  const isOf01 = form === 'no answer is shown' || form.endsWith(' above are the answer');
  if (isOf01 && !(texts['text/html'] ?? BOX).startsWith(BOX)) {
    return [failure('shown-text', 'The text that the cell shows as HTML is not the text that was signed.')];
  }
  return [notCompared('The display is of another version: its HTML and its card were not compared with the receipt.')];
}

function fencedPart(markdown: string, receipt: Receipt): string | null {
  const text = isWithheldAtCreation(receipt) && markdown.startsWith('**') ? after(markdown, '\n').replace(/^\n+/, '') : markdown;
  const opening = /^(~{3,})text\n/.exec(text);
  if (opening === null) {
    return null;
  }
  const rest = text.slice(opening[0].length);
  const end = rest.indexOf(`\n${opening[1]}\n`);
  return end < 0 ? null : rest.slice(0, end);
}

function after(text: string, mark: string): string {
  const at = text.indexOf(mark);
  return at < 0 ? '' : text.slice(at + mark.length);
}

function failure(code: 'shown-text' | 'shown-card', message: string): Finding {
  return { level: 'failed', code, message };
}

function notCompared(message: string): Finding {
  return { level: 'incomplete', code: 'not-compared', message };
}
