/** The user's own ledger, all notebooks and kernels: searched by the server, fetched and drawn as far as one scrolls. */

import type { Message } from '@lumino/messaging';
import { Poll } from '@lumino/polling';
import { Widget } from '@lumino/widgets';

import { checker, readDocument } from '../audit/check';
import { h } from '../card/dom';
import { inert } from '../receipt/findings';
import { formatUnits } from '../receipt/money';
import { Receipt, UnreadableReceipt } from '../receipt/receipt';
import { Scrolled } from './scrolled';
import { ILedgerPage, ILedgerRow, OpgServer, tell } from '../lab/status';
import { addStyles, dress } from '../card/style';
import css from '../../style/asked.raw.css';
import { labelOf } from '../verify/verdict';

addStyles(css);

const PAGE = 100;
/** Rows before the end at which the next page is asked for. */
const AHEAD = 30;
/** Pixels of a row that was never drawn. */
const GUESS = 84;
/** Milliseconds without a key before the server searches. */
const PAUSE = 250;
/** Milliseconds between two looks for what other kernels, shells and pages have added, while the list shows. */
const EVERY = 2000;

/** What a row says of its cost. */
export function costOf(row: ILedgerRow, decimals: number): string {
  const sum = (units: string): string => `${formatUnits(BigInt(units), decimals)} ${row.token ?? ''}`.trim();
  switch (row.charge) {
    case null:
    case 'not charged':
      return row.charge ?? '';
    case 'charged':
      return row.settled_base_units === null ? 'charged' : sum(row.settled_base_units);
    case 'claimed':
      return row.cost_base_units === null ? 'claimed' : `${sum(row.cost_base_units)} claimed`;
    default:
      return 'charge unknown';
  }
}

/** What a row says of its verdict: as the kernel recorded it, which is nothing that this browser has checked. */
export function verdictOf(row: ILedgerRow): string {
  return row.verdict ?? (row.has_receipt ? 'UNCHECKED' : 'no receipt');
}

interface IJudged {
  readonly words: string;
  readonly title: string;
}

/** The list. It asks the server when it is first shown, and follows the ledger while it shows. */
export class LedgerView extends Widget {
  private readonly _list = h('ul', { class: 'opg-ledger-list', 'aria-label': 'Calls in my ledger' });
  private readonly _note = h('p', { class: 'opg-ledger-note', role: 'status' });
  private readonly _words = h('input', {
    type: 'search',
    class: 'opg-ledger-filter',
    maxlength: '500',
    placeholder: 'Search prompt, model, ID',
    title: 'Words in the prompt, or in the name of model, notebook, host, verdict, or ID',
    'aria-label': 'Search my ledger'
  });
  private readonly _again = h('button', { type: 'button', class: 'opg-ledger-again', title: 'Refresh', 'aria-label': 'Refresh' }, '↻');
  private readonly _scrolled = new Scrolled(this._list, GUESS, () => this._draw());
  private readonly _poll: Poll;
  private readonly _judged = new Map<string, IJudged>();
  private _rows: ILedgerRow[] = [];
  private _next: string | null = null;
  /** The ledger's, when its first page was read. */
  private _state: string | null = null;
  /** The words that these rows have. */
  private _searched = '';
  private _total: number | null = null;
  private _asked = false;
  /** The question that is under way; an answer to an earlier one comes too late. */
  private _question = 0;
  private _loading = false;
  private _pause: number | undefined;

  constructor(
    private readonly _server: OpgServer,
    private readonly _decimals: () => number,
    every = EVERY
  ) {
    super();
    this._poll = new Poll({
      auto: false,
      factory: () => this._follow(),
      frequency: { interval: every, backoff: true, max: 30 * every },
      name: 'opg-magic:ledger',
      standby: 'when-hidden'
    });
    dress(this.node, 'opg-ledger');
    this.node.append(h('div', { class: 'opg-ledger-bar' }, this._words, this._again), this._note, this._list);
    this._words.addEventListener('input', () => {
      window.clearTimeout(this._pause);
      this._pause = window.setTimeout(() => void this.load(true), PAUSE);
    });
    this._again.addEventListener('click', () => void this.load(true));
  }

  dispose(): void {
    window.clearTimeout(this._pause);
    this._poll.dispose();
    this._scrolled.dispose();
    super.dispose();
  }

  /** The first page of what is searched, or the one after those that are there. */
  async load(anew: boolean): Promise<void> {
    if (!anew && (this._loading || this._next === null)) {
      return;
    }
    this._asked = this._loading = true;
    const question = ++this._question;
    // What follows belongs to the rows that are there, whatever was typed since.
    const words = anew ? this._words.value.trim() : this._searched;
    try {
      const page = await this._server.ledger(anew ? null : this._next, PAGE, words);
      if (question !== this._question || this.isDisposed) {
        return;
      }
      this._rows = anew ? [...page.rows] : [...this._rows, ...page.rows];
      this._next = page.next;
      this._searched = words;
      this._loading = false;
      if (anew) {
        this._state = page.state;
        this._list.replaceChildren();
      }
      this._tell(page);
    } catch (problem) {
      if (question === this._question) {
        this._note.textContent = problem instanceof Error ? problem.message : String(problem);
      }
    } finally {
      if (question === this._question) {
        this._loading = false;
      }
    }
  }

  /** What was added or became known since, put where it belongs; the rest stays as it is drawn. */
  private async _follow(): Promise<void> {
    if (this._loading || this._state === null || this._words.value.trim() !== this._searched) {
      return;
    }
    const question = this._question;
    const page = await this._server.ledgerUnless(this._state, PAGE, this._searched);
    if (page === null || question !== this._question || this.isDisposed) {
      return;
    }
    const old = places(this._rows);
    const end = old.get(page.rows[page.rows.length - 1]?.id)?.index ?? this._rows.length;
    const newest = new Set(page.rows.map(row => row.id));
    const further = this._rows.slice(end + 1).filter(row => !newest.has(row.id));
    this._state = page.state;
    this._next = further.length ? this._next : page.next;
    this._rows = [...page.rows, ...further];
    const now = places(this._rows);
    for (const node of [...this._list.children] as HTMLElement[]) {
      const id = node.dataset.receipt!;
      const row = now.get(id);
      if (row === undefined || row.said !== old.get(id)?.said) {
        node.remove();
      } else {
        node.dataset.row = String(row.index);
      }
    }
    this._tell(page);
  }

  private _tell({ total }: ILedgerPage): void {
    this._total = total;
    this._note.textContent = said(total, this._searched);
    this._scrolled.set(this._rows.map(row => row.id));
    this._draw();
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._first();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      this._first();
    }
  }

  protected onBeforeHide(message: Message): void {
    super.onBeforeHide(message);
    void this._poll.stop();
  }

  private _first(): void {
    if (!this._asked) {
      void this.load(true);
    }
    void this._poll.refresh();
  }

  /** Put the rows in view into the list, keeping those that are there already: one of them may have the focus. */
  private _draw(): void {
    const { first, last, before, after } = this._scrolled.span;
    const there = new Map([...this._list.children].map(row => [(row as HTMLElement).dataset.receipt, row as HTMLElement]));
    const rows = this._rows.slice(first, last).map((row, index) => {
      const node = there.get(row.id) ?? this._row(row);
      node.dataset.row = String(first + index);
      node.setAttribute('aria-setsize', String(this._total ?? -1));
      node.setAttribute('aria-posinset', String(first + index + 1));
      return node;
    });
    const kept = new Set(rows);
    for (const node of there.values()) {
      if (!kept.has(node)) {
        node.remove();
      }
    }
    rows.forEach((node, index) => {
      if (this._list.children[index] !== node) {
        this._list.insertBefore(node, this._list.children[index] ?? null);
      }
    });
    this._list.style.paddingTop = `${before}px`;
    this._list.style.paddingBottom = `${after}px`;
    if (last + AHEAD > this._rows.length) {
      void this.load(false);
    }
  }

  private _row(row: ILedgerRow): HTMLElement {
    const judged = this._judged.get(row.id);
    const verdict = h(
      'b',
      { class: 'opg-ledger-verdict', title: judged?.title ?? 'As the kernel recorded it' },
      judged?.words ?? verdictOf(row)
    );
    const check = h('button', { type: 'button', class: 'opg-copy', 'aria-label': `Check receipt ${row.id}` }, judged ? 'Checked' : 'Check');
    if (judged) {
      dress(verdict, 'opg-mod-checked');
    }
    check.addEventListener('click', () => void this._check(row, verdict, check));
    const facts = [
      new Date(row.time).toLocaleString(),
      costOf(row, this._decimals()),
      row.model,
      row.host && `host ${row.host}`,
      row.notebook,
      row.problem
    ];
    return h(
      'li',
      { 'data-receipt': row.id },
      h('div', { class: 'opg-ledger-head' }, verdict, row.has_receipt && check),
      h('div', { class: 'opg-ledger-prompt', title: inert(row.answer ?? '') }, inert(row.prompt ?? '')),
      h('div', { class: 'opg-ledger-note', title: row.time }, inert(facts.filter(Boolean).join(' · ')))
    );
  }

  private async _check(row: ILedgerRow, cell: HTMLElement, button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      const receipt: Receipt | UnreadableReceipt = readDocument(await this._server.receipt(row.id));
      if (receipt instanceof UnreadableReceipt) {
        throw receipt;
      }
      const judged = await checker.judge(receipt);
      const failed = judged.findings.some(one => one.level === 'failed');
      const { verdict } = judged;
      cell.textContent = verdict === null ? (judged.receipt === null ? 'UNREADABLE' : 'NOT CHECKED') : failed ? 'ALTERED' : labelOf(verdict.status, verdict.simulated);
      dress(cell, 'opg-mod-checked');
      cell.title = 'Checked in this browser just now';
      button.textContent = 'Checked';
      this._judged.set(row.id, { words: cell.textContent, title: 'Checked in this browser' });
    } catch (problem) {
      tell(problem);
    } finally {
      button.disabled = false;
    }
  }
}

/** Where each row stands, and all that it says. */
function places(rows: readonly ILedgerRow[]): Map<string, { index: number; said: string }> {
  return new Map(rows.map((row, index) => [row.id, { index, said: JSON.stringify(row) }]));
}

/** What stands above the list. */
export function said(total: number, words: string): string {
  const calls = `${total.toLocaleString('en')} ${total === 1 ? 'call' : 'calls'}`;
  if (words) {
    return total === 0 ? 'No call in your ledger has these words.' : `${calls} with these words, newest first.`;
  }
  return total === 0
    ? 'Your ledger has no calls yet.'
    : `${calls}, newest first. Verdicts are those of the kernels; “Check” verifies a receipt in this browser.`;
}
