/** An answer that is JSON, as a tree that folds; every name and value in the characters that were signed. */

import { h } from './dom';
import { inert } from '../receipt/findings';
import { parseStrict } from '../base/json';

/** Longer ones are shown as text. */
const LONGEST = 200_000;
/** So many entries of one object or list are made at once; the others when they are asked for. */
const AT_ONCE = 200;
const OPEN_TO_DEPTH = 2;

interface INode {
  /** `{`, `[`, or the value as it was written. */
  readonly text: string;
  readonly entries: readonly (readonly [name: string | null, value: INode])[] | null;
}

/** The tree; null for a text that is no JSON object or list, or ambiguous. */
export function jsonTree(text: string): HTMLElement | null {
  if (text.length > LONGEST || !/^\s*[[{]/.test(text)) {
    return null;
  }
  try {
    parseStrict(text);
  } catch {
    return null;
  }
  const tokens = text.match(/[{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/g) ?? [];
  let at = 0;
  const read = (): INode => {
    const token = tokens[at++];
    if (token !== '{' && token !== '[') {
      return { text: token, entries: null };
    }
    const entries: [string | null, INode][] = [];
    const close = token === '{' ? '}' : ']';
    while (tokens[at] !== close) {
      let name: string | null = null;
      if (token === '{') {
        name = tokens[at];
        at += 2;
      }
      entries.push([name, read()]);
      at += tokens[at] === ',' ? 1 : 0;
    }
    at++;
    return { text: token, entries };
  };
  return h('div', { class: 'opg-json' }, drawn(null, read(), 0));
}

function drawn(name: string | null, node: INode, depth: number): HTMLElement {
  const label = name === null ? [] : [h('span', { class: 'opg-json-name' }, inert(name)), ': '];
  if (node.entries === null) {
    const kind = node.text.startsWith('"') ? 'text' : /^[-0-9]/.test(node.text) ? 'number' : 'word';
    return h('div', { class: 'opg-json-line' }, ...label, h('span', { class: `opg-json-${kind}` }, inert(node.text)));
  }
  const { entries } = node;
  const [open, close] = node.text === '{' ? ['{', '}'] : ['[', ']'];
  if (!entries.length) {
    return h('div', { class: 'opg-json-line' }, ...label, `${open}${close}`);
  }
  const many = `${entries.length} ${open === '{' ? 'name' : 'item'}${entries.length === 1 ? '' : 's'}`;
  const summary = h('summary', {}, ...label, `${open} `, h('span', { class: 'opg-faint' }, many), ` ${close}`);
  const details = h('details', { class: 'opg-json-node' }, summary);
  let made = 0;
  const fill = (): void => {
    const body = h('div', { class: 'opg-json-body' }, ...entries.slice(made, made + AT_ONCE).map(([key, value]) => drawn(key, value, depth + 1)));
    made += AT_ONCE;
    details.append(body);
    if (made < entries.length) {
      const more = h('button', { type: 'button', class: 'opg-copy' }, `${entries.length - made} more`);
      more.addEventListener('click', () => (more.remove(), fill()));
      details.append(more);
    }
  };
  if (depth < OPEN_TO_DEPTH) {
    details.open = true;
    fill();
  } else {
    details.addEventListener('toggle', fill, { once: true });
  }
  return details;
}
