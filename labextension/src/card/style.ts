/**
 * Our styles, for our own elements alone.
 *
 * JupyterLab's sanitiser leaves a notebook's HTML its class names, so names that were known before the page was loaded
 * would dress a forged card in our colours. Each page makes one more name anew, and no rule of ours holds without it.
 */

import base from '../../style/base.raw.css';
import editing from '../../style/editing.raw.css';

function anew(): string {
  return `opg${Array.from(crypto.getRandomValues(new Uint8Array(12)), byte => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** The class of all our elements on this page, beside the names that say what they are. */
export const OURS = anew();

/** A style sheet whose rules, variables and animations are for elements with `mark` only; the cascade stays as it was. */
export function only(css: string, mark: string): string {
  return css
    .replace(/\.opg-[\w-]+/g, `$&:where(.${mark})`)
    .replace(/--opg-/g, `--${mark}-`)
    .replace(/(^|[^.\w-])opg-/g, `$1${mark}-`);
}

let isThere = false;

const added = new Set<string>();

/** One more sheet of ours, of a part that is loaded later; once, however many parts bring it. */
export function addStyles(css: string): void {
  if (added.has(css)) {
    return;
  }
  added.add(css);
  const sheet = document.createElement('style');
  sheet.textContent = only(css, OURS);
  document.head.append(sheet);
}

/** These class names, such that our styles hold for them. */
export function ours(names: string): string {
  if (!isThere) {
    isThere = true;
    addStyles(base + editing);
  }
  return `${names} ${OURS}`;
}

/** The same for an element that JupyterLab made; `ours` may be on it already. */
export function dress(node: Element, ...names: string[]): void {
  node.classList.add(...ours(names.join(' ')).split(' '));
}
