/** Making elements: text is text, and nothing is ever parsed as HTML. */

import { inert } from '../receipt/findings';
import { ours } from './style';

type Child = Node | string | null | undefined | false;

/** An element with attributes and children; strings become text nodes. A null attribute is left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | null>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) {
      element.setAttribute(name, name === 'class' && value.includes('opg-') ? ours(value) : value);
    }
  }
  for (const child of children) {
    if (child) {
      element.append(child);
    }
  }
  return element;
}

/** The text as it is, in one block, wrapped at the edge. */
export function verbatim(text: string): HTMLElement {
  return h('div', { class: 'opg-verbatim' }, inert(text));
}

/** A button that puts `text` on the clipboard and says so. */
export function copyButton(text: string, what: string): HTMLButtonElement {
  const button = h('button', { type: 'button', class: 'opg-copy', 'aria-label': `Copy ${what}`, title: `Copy ${what}` }, 'Copy');
  button.addEventListener('click', event => {
    event.preventDefault();
    void copy(text).then(done => {
      button.textContent = done ? 'Copied' : 'Not copied';
      window.setTimeout(() => (button.textContent = 'Copy'), 1500);
    });
  });
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain HTTP has no clipboard of that kind.
    const area = h('textarea', { readonly: '', 'aria-hidden': 'true', style: 'position:fixed;opacity:0' });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
