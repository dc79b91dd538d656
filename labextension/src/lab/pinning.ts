/** The dialog in which a reader accepts code by their own review, or takes that back. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Widget } from '@lumino/widgets';

import { h } from '../card/dom';
import { addStyles, dress } from '../card/style';
import css from '../../style/asked.raw.css';
import { SETTINGS_ID } from './settings';
import type { IEntry } from '../card/tokens';
import { plural } from '../card/words';

addStyles(css);

const HASH = /^0x[0-9a-f]{64}$/;

/**
 * Code that an attestation proves here and now, and that is not pinned yet: hash to how many answers it gave. That it is not
 * pinned is the one thing that may be wrong with them.
 */
export function pinnable(entries: readonly IEntry[], pinned: readonly string[]): Map<string, number> {
  const known = new Set(pinned.map(hash => hash.toLowerCase()));
  const found = new Map<string, number>();
  for (const { verdict, findings } of entries) {
    const claim = verdict?.claims.attestation;
    const wrong =
      Object.values(verdict?.claims ?? {}).some(one => one.status === 'failed' && one.code !== 'not-pinned') ||
      findings.some(one => one.level === 'failed' && one.code !== 'saved-differs');
    const isProven = claim?.basis === 'proven' && (claim.status === 'passed' || claim.code === 'not-pinned');
    const hash = isProven && !wrong ? claim.facts.pcr_hash : null;
    if (typeof hash === 'string' && !known.has(hash.toLowerCase())) {
      found.set(hash.toLowerCase(), (found.get(hash.toLowerCase()) ?? 0) + 1);
    }
  }
  return found;
}

/** A PCR hash as a person may write it; null where it is none. */
export function hashIn(text: string): string | null {
  const bare = text.trim().toLowerCase().replace(/^0x/, '');
  return HASH.test(`0x${bare}`) ? `0x${bare}` : null;
}

/** What is pinned, what this notebook's answers come from, and a line for another hash. */
export class PinBody extends Widget implements Dialog.IBodyWidget<string[] | null> {
  private readonly _other = h('input', {
    type: 'text',
    class: 'jp-mod-styled opg-pin-other',
    id: 'opg-pin-other',
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: '0x and 64 hex digits',
    // The dialog looks for what is not valid before this widget hears of it.
    pattern: '\\s*(0[xX])?[0-9a-fA-F]{64}\\s*',
    'aria-describedby': 'opg-pin-problem'
  });
  private readonly _problem = h('p', { class: 'opg-pin-problem', id: 'opg-pin-problem', role: 'alert' });
  private readonly _boxes: HTMLInputElement[] = [];

  constructor(pinned: readonly string[], found: ReadonlyMap<string, number>) {
    super();
    dress(this.node, 'opg-Pins');
    const group = (title: string, hashes: readonly (readonly [string, string])[], checked: boolean): HTMLElement | null =>
      hashes.length === 0
        ? null
        : h('fieldset', {}, h('legend', {}, title), ...hashes.map(([hash, more]) => this._box(hash, more, checked)));
    this.node.append(
      h(
        'p',
        {},
        'Code is named by its PCR hash. Accept what you reviewed yourself. Where any is accepted here, no other is, in every ' +
          'notebook that you open; where none is, the registry decides.'
      )
    );
    const parts = [
      group('Accepted now', pinned.map(hash => [hash, '']), true),
      group(
        "Attested in this notebook's answers",
        [...found].map(([hash, answers]) => [hash, plural(answers, 'answer')]),
        false
      )
    ];
    this.node.append(...parts.filter((part): part is HTMLElement => part !== null));
    this.node.append(h('label', { for: 'opg-pin-other' }, 'Another PCR hash'), this._other, this._problem);
    this._other.addEventListener('input', () => this._judge());
  }

  /** What is to be pinned; null where the line holds something that is no hash. */
  getValue(): string[] | null {
    const other = this._other.value.trim() ? hashIn(this._other.value) : '';
    return other === null
      ? null
      : [...new Set([...this._boxes.filter(box => box.checked).map(box => box.value), other].filter(Boolean))];
  }

  private _box(hash: string, more: string, checked: boolean): HTMLElement {
    const box = h('input', { type: 'checkbox', value: hash });
    box.checked = checked;
    this._boxes.push(box);
    return h('label', { class: 'opg-pin' }, box, h('code', {}, hash), more && h('span', { class: 'opg-faint' }, more));
  }

  /** Say what is wrong; the button cannot be pressed meanwhile. */
  private _judge(): void {
    const wrong = this.getValue() === null;
    const said = wrong ? 'This is no PCR hash: it needs 64 hex digits.' : '';
    this._other.setAttribute('aria-invalid', String(wrong));
    this._problem.textContent = said;
  }
}

/** Show the dialog; what is chosen is kept in the reader's settings. */
export async function pin(entries: readonly IEntry[], registry: ISettingRegistry): Promise<void> {
  const settings = await registry.load(SETTINGS_ID);
  const pinned = ((settings.composite['pinnedPcrs'] ?? []) as string[]).map(hash => hash.toLowerCase());
  const body = new PinBody(pinned, pinnable(entries, pinned));
  const { button, value } = await showDialog({
    title: 'Code that you accept',
    body,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Accept this code' })],
    focusNodeSelector: 'input'
  });
  if (!button.accept) {
    return;
  }
  if (value === null) {
    throw new Error('Nothing was changed: what was entered is no PCR hash.');
  }
  await settings.set('pinnedPcrs', value);
}
