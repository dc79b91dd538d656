/**
 * Model text as Markdown, inert: JupyterLab's own parser makes the structure, and only tags and attributes named here
 * are copied from it, into a tree of our own.
 *
 * Raw HTML, entities, reference definitions and images are shown as text, since a reader must see all that was signed;
 * TeX is not typeset, because a typesetter could move marks over the card. Where anything unknown comes out of the
 * parser, the text is shown as it is.
 */

import { h, verbatim } from './dom';
import { inert } from '../receipt/findings';
import { withFormulas } from './math';

/** Turns Markdown into HTML; JupyterLab hands one to every renderer. */
export interface IParser {
  render(source: string): Promise<string>;
}

const LONGEST_RENDERED = 200_000;
const DEEPEST = 60;

/** What may begin something whose end a parser then looks for through the rest of its block. */
const OPENING = /[*_~`[\\!\n]/g;
/** Openings times the characters of their block, over all blocks: about a second of the slowest that was found. */
const MOST_WORK = 20_000_000;
/** Cells of tables, of which a parser fills each row up to its heading's: 20 kB could make four million. */
const MOST_CELLS = 50_000;

const TAGS = new Set(
  'p strong em del code pre ul ol li blockquote hr br table thead tbody tr th td h1 h2 h3 h4 h5 h6 a span'.split(' ')
);

/**
 * The answer's text, rendered or, where that cannot be done faithfully, as it is. `formulas` takes the places of TeX that
 * may be typeset; without it all TeX is text.
 */
export async function renderMarkdown(text: string, parser: IParser | null, formulas: HTMLElement[] | null = null): Promise<HTMLElement> {
  if (!text.trim()) {
    return h('div', { class: 'opg-faint' }, '(an answer without visible text)');
  }
  if (parser === null || text.length > LONGEST_RENDERED || isCostly(text)) {
    return verbatim(text);
  }
  try {
    const guard = new Guard(inert(text), formulas);
    const html = await parser.render(guard.source);
    // An inert document: nothing in it loads or runs.
    const parsed = new DOMParser().parseFromString(html, 'text/html');
    const body = h('div', { class: 'opg-markdown' });
    for (const child of Array.from(parsed.body.childNodes)) {
      copyInto(body, child, guard, 0);
    }
    return body;
  } catch {
    return verbatim(text);
  }
}

/** Whether a parser could hold the page for long with this: for 200 kB of open marks it takes minutes. */
export function isCostly(text: string): boolean {
  let [work, cells] = [0, 0];
  for (const block of text.split(/\n[ \t]*\n/)) {
    work += (block.match(OPENING)?.length ?? 0) * block.length;
    const lines = block.split('\n');
    const bars = lines.reduce((most, line) => Math.max(most, line.split('|').length - 1), 0);
    cells += bars * lines.length;
  }
  return work > MOST_WORK || cells > MOST_CELLS;
}

/** Stand-ins for what a parser must not see; taken from a private area that the text does not use. */
class Guard {
  readonly source: string;
  private readonly _less: string;
  private readonly _and: string;
  private readonly _nothing: string;
  private readonly _star: string;
  private readonly _math: string;
  private readonly _formulas: string[] = [];

  constructor(
    text: string,
    private readonly _places: HTMLElement[] | null = null
  ) {
    const free: string[] = [];
    for (let code = 0xe000; code < 0xf8ff && free.length < 5; code++) {
      const char = String.fromCharCode(code);
      if (!text.includes(char)) {
        free.push(char);
      }
    }
    if (free.length < 5) {
      throw new Error('no private character is free');
    }
    [this._less, this._and, this._nothing, this._star, this._math] = free;
    const stand = (formula: string): string => `${this._math}${this._formulas.push(formula) - 1}${this._math}`;
    this.source = (this._places === null ? text : withFormulas(text, stand))
      .replace(/</g, this._less)
      .replace(/&/g, this._and)
      // A product, and no emphasis: `3*11*17`.
      .replace(/(?<=[0-9)])\*(?=[0-9(])/g, this._star)
      // A definition would vanish; a fence's language would bring a highlighter, or a diagram.
      .replace(/^([ \t>*+-]*\[[^\]\n]*\]):/gm, `$1${this._nothing}:`)
      .replace(/^([ \t>*+-]*(?:\d+[.)][ \t]*)?(?:`{3,}|~{3,})[ \t]*)([^\s`~])/gm, `$1${this._nothing}$2`);
  }

  private plain(text: string): string {
    return text.split(this._less).join('<').split(this._and).join('&').split(this._nothing).join('').split(this._star).join('*');
  }

  /** What stood there; each formula in a place of its own. */
  restored(text: string): (string | Node)[] {
    return text.split(this._math).map((part, index) => {
      if (index % 2 === 0) {
        return this.plain(part);
      }
      const formula = this._formulas[Number(part)];
      const place = h('span', { class: /^(\$\$|\\\[)/.test(formula) ? 'opg-math opg-math-display' : 'opg-math' }, formula);
      this._places?.push(place);
      return place;
    });
  }

  /** What stood there. */
  restore(text: string): string {
    return this.plain(text).replace(new RegExp(`${this._math}([0-9]+)${this._math}`, 'g'), (_, index: string) => this._formulas[Number(index)]);
  }
}

function copyInto(parent: HTMLElement, node: Node, guard: Guard, depth: number): void {
  if (depth > DEEPEST) {
    throw new Error('nested too deeply');
  }
  if (node.nodeType === Node.TEXT_NODE) {
    const text = node.textContent ?? '';
    parent.append(...(parent.closest('code, pre') ? [guard.restore(text)] : guard.restored(text)));
    return;
  }
  if (!(node.nodeType === Node.ELEMENT_NODE)) {
    return;
  }
  const element = node as Element;
  const tag = element.localName;
  if (tag === 'img') {
    const [alt, where] = ['alt', 'src'].map(name => guard.restore(element.getAttribute(name) ?? ''));
    parent.append(h('span', { class: 'opg-faint' }, `[image not loaded: ${inert(`${alt} ${decoded(where)}`.trim())}]`));
    return;
  }
  if (tag === 'input' && element.getAttribute('type') === 'checkbox') {
    parent.append(element.hasAttribute('checked') ? '[x]' : '[ ]');
    return;
  }
  if (!TAGS.has(tag)) {
    throw new Error(`unexpected ${tag}`);
  }
  const made = document.createElement(tag);
  let after = '';
  if (tag === 'a') {
    const href = guard.restore(decoded(element.getAttribute('href') ?? ''));
    if (isSafeLink(href)) {
      made.setAttribute('href', href);
      made.setAttribute('rel', 'noopener noreferrer nofollow ugc');
      made.setAttribute('target', '_blank');
    }
    const title = guard.restore(element.getAttribute('title') ?? '');
    const words = guard.restore(element.textContent ?? '');
    if (words !== href || title) {
      after = ` (${inert(href)}${title ? ` “${inert(title)}”` : ''})`;
    }
  } else if (tag === 'ol' && /^\d{1,9}$/.test(element.getAttribute('start') ?? '')) {
    made.setAttribute('start', element.getAttribute('start')!);
  } else if ((tag === 'td' || tag === 'th') && /^(left|center|right)$/.test(element.getAttribute('align') ?? '')) {
    made.setAttribute('align', element.getAttribute('align')!);
  } else if (tag === 'code' && parent.localName === 'pre') {
    const language = /(?:^|\s)language-(\S+)/.exec(guard.restore(element.className))?.[1];
    if (language) {
      parent.before(h('div', { class: 'opg-faint opg-language' }, inert(language)));
    }
  }
  parent.append(made);
  for (const child of Array.from(element.childNodes)) {
    copyInto(made, child, guard, depth + 1);
  }
  if (after) {
    parent.append(h('span', { class: 'opg-faint opg-where' }, after));
  }
}

function decoded(href: string): string {
  try {
    return decodeURI(href);
  } catch {
    return href;
  }
}

/** Only absolute http, https and mailto links, without user info, which makes one host look like another. */
export function isSafeLink(href: string): boolean {
  let url: URL;
  try {
    url = new URL(href.trim());
  } catch {
    return false;
  }
  if (url.protocol === 'mailto:') {
    return url.pathname !== '';
  }
  return (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '' && !url.username && !url.password;
}
