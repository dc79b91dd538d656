/** What a card and its body have in common: parts that open, and an answer's text. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { h, verbatim } from './dom';
import { looker } from './looker';

/** Which parts of which cards stand open: what is scrolled out and in again looks as it was left. */
const opened = new Map<string, boolean>();
const MOST_OPENED = 1000;
/** Most characters of one piece of evidence that are shown; its button copies all of it. */
export const SHOWN = 4000;

/** An answer's text as Markdown; as it is where what renders it could not be loaded. */
export async function rendered(text: string, parser: IRenderMime.IMarkdownParser | null): Promise<HTMLElement> {
  return (await looker()).renderMarkdown?.(text, parser) ?? verbatim(text);
}

/** `<details>` whose content is made when it is first opened, and which stays as it was left. */
export function foldable(
  key: string | null,
  attributes: Readonly<Record<string, string>>,
  summary: HTMLElement,
  expanded: boolean,
  content: () => HTMLElement[]
): HTMLDetailsElement {
  const details = h('details', attributes, summary);
  let made = false;
  const fill = (): void => {
    if (!made) {
      made = true;
      details.append(h('div', { class: 'opg-body' }, ...content()));
    }
  };
  if ((key !== null ? opened.get(key) : undefined) ?? expanded) {
    details.open = true;
    fill();
  }
  details.addEventListener('toggle', () => {
    if (details.open) {
      fill();
    }
    if (key !== null) {
      if (opened.size >= MOST_OPENED) {
        opened.clear();
      }
      opened.set(key, details.open);
    }
  });
  return details;
}
