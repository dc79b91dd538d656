/**
 * An answer as people expect it: code with colours and a copy button, JSON that folds, formulas, long ones folded. Beside
 * it, and out of its reach, what shows the exact text that was signed.
 */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { copyButton, h, verbatim } from './dom';
import { inert } from '../receipt/findings';
import { callText, readCalls } from '../receipt/tool-calls';
import { highlighter } from './highlighter';
import { jsonTree } from './json-tree';
import { renderMarkdown } from './markdown';
import { typeset } from './math';
import { dress } from './style';

/** Beyond so many lines or characters an answer is folded. */
const LONG_LINES = 40;
const LONG_CHARACTERS = 4000;
/** Most code blocks that get colours, and the longest. */
const MOST_BLOCKS = 50;
const LONGEST_BLOCK = 20_000;

export interface IShownAnswer {
  /** What stands in the answer's own box. */
  readonly node: HTMLElement;
  /** What stands below the box; null where there is nothing to choose. */
  readonly bar: HTMLElement | null;
  /** How many characters of the signed text are not shown as they were written. */
  readonly dropped: number;
  /** To be called when it stands on the page. */
  settle(): void;
}

interface IHelpers {
  readonly parser: IRenderMime.IMarkdownParser | null;
  readonly typesetter: IRenderMime.ILatexTypesetter | null;
}

export async function shownAnswer(text: string, { parser, typesetter }: IHelpers): Promise<IShownAnswer> {
  const formulas: HTMLElement[] = [];
  const tree = jsonTree(text);
  const made = tree ?? (await renderMarkdown(text, parser, typesetter === null ? null : formulas));
  const isPlain = made.classList.contains('opg-verbatim');
  const dropped = isPlain || tree !== null ? 0 : droppedFrom(text, made);
  if (tree === null && !isPlain) {
    await dressCode(made);
  }
  const node = h('div', { class: 'opg-shown' }, made);
  let settled = false;
  return {
    node,
    bar: barOf(text, node, made, dropped, isPlain || !text.trim()),
    dropped,
    settle: () => {
      if (!settled && typesetter !== null) {
        settled = true;
        void typeset(formulas, typesetter);
      }
    }
  };
}

/** Calls of tools as a person reads them; undefined where the signed text has no such form. */
export function shownCalls(text: string): IShownAnswer | undefined {
  const calls = readCalls(text);
  if (calls === null) {
    return undefined;
  }
  // Made here of a text that is inert already, isolates of right-to-left text included.
  const lines = h('pre', {});
  lines.textContent = calls.map(callText).join('\n');
  const made = h('div', { class: 'opg-markdown' }, lines);
  const node = h('div', { class: 'opg-shown' }, made);
  return { node, bar: barOf(text, node, made, 0, false), dropped: 0, settle: () => undefined };
}

/** How many characters of a text its rendering lacks, white space apart. */
export function droppedFrom(text: string, made: HTMLElement): number {
  const copy = made.cloneNode(true) as HTMLElement;
  copy.querySelectorAll('.opg-where').forEach(ours => ours.remove());
  const left = new Map<string, number>();
  for (const char of copy.textContent ?? '') {
    left.set(char, (left.get(char) ?? 0) + 1);
  }
  let dropped = 0;
  for (const char of inert(text)) {
    const count = left.get(char) ?? 0;
    if (count > 0) {
      left.set(char, count - 1);
    } else if (/\S/.test(char)) {
      dropped++;
    }
  }
  return dropped;
}

/** Colours by the front end's own highlighter, and a button that copies the block. */
async function dressCode(made: HTMLElement): Promise<void> {
  const blocks = Array.from(made.querySelectorAll<HTMLElement>('pre')).slice(0, MOST_BLOCKS);
  for (const pre of blocks) {
    const code = pre.querySelector('code') ?? pre;
    const source = code.textContent ?? '';
    const label = pre.previousElementSibling?.classList.contains('opg-language') ? pre.previousElementSibling : null;
    const language = label?.textContent ?? '';
    if (language && highlighter.highlight !== null && source.length <= LONGEST_BLOCK) {
      const coloured = document.createElement('code');
      const done = await highlighter.highlight(source, language, coloured).catch(() => false);
      // Nothing but the same text in spans.
      if (done && coloured.textContent === source && coloured.querySelector(':not(span)') === null) {
        code.replaceChildren(...Array.from(coloured.childNodes));
      }
    }
    const head = h('div', { class: 'opg-codehead' }, h('span', { class: 'opg-faint' }, language), copyButton(source.replace(/\n$/, ''), 'this code'));
    if (label === null) {
      pre.before(head);
    } else {
      label.replaceWith(head);
    }
  }
}

/** Choices about the answer: as signed, all of it. They stand outside its box. */
function barOf(text: string, node: HTMLElement, made: HTMLElement, dropped: number, isPlain: boolean): HTMLElement | null {
  const parts: (Node | string)[] = [];
  if (!isPlain) {
    const exact = verbatim(text);
    const button = h('button', { type: 'button', class: 'opg-copy', 'aria-pressed': 'false', title: 'Show the exact text that was signed' }, 'As signed');
    button.addEventListener('click', () => {
      const shows = button.getAttribute('aria-pressed') === 'true';
      button.setAttribute('aria-pressed', String(!shows));
      node.replaceChildren(shows ? made : exact);
    });
    parts.push(button, copyButton(text, 'the exact answer'));
    if (dropped) {
      parts.push(h('span', { class: 'opg-faint' }, ` ${dropped} character${dropped === 1 ? '' : 's'} of markup not shown`));
    }
  }
  if (isLong(text)) {
    dress(node, 'opg-folded');
    const button = h('button', { type: 'button', class: 'opg-copy', 'aria-expanded': 'false' }, `Show all ${text.length.toLocaleString('en')} characters`);
    button.addEventListener('click', () => {
      const folded = node.classList.toggle('opg-folded');
      button.setAttribute('aria-expanded', String(!folded));
      button.textContent = folded ? `Show all ${text.length.toLocaleString('en')} characters` : 'Fold';
    });
    parts.unshift(button);
  }
  // A short answer of plain words needs no choice.
  return parts.length && (dropped || isLong(text) || made.querySelector('pre, table, .opg-json-node, .opg-math') !== null || made.classList.contains('opg-json'))
    ? h('div', { class: 'opg-bar' }, ...parts)
    : null;
}

function isLong(text: string): boolean {
  return text.length > LONG_CHARACTERS || (text.match(/\n/g)?.length ?? 0) > LONG_LINES;
}
