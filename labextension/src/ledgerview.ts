/** The user's own ledger, all notebooks and kernels, page by page. */

import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { checker, readDocument } from './check';
import { h } from './dom';
import { inert } from './findings';
import { formatUnits } from './money';
import { Receipt, UnreadableReceipt } from './receipt';
import { ILedgerRow, OpgServer, tell } from './status';
import { dress } from './style';
import { labelOf } from './verdict';

const PAGE = 50;

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

/** The list. It asks the server when it is first shown, and again on demand. */
export class LedgerView extends Widget {
  private readonly _list = h('ul', { class: 'opg-ledger-list' });
  private readonly _note = h('p', { class: 'opg-ledger-note', role: 'status' });
  private readonly _filter = h('input', {
    type: 'search',
    class: 'jp-mod-styled opg-ledger-filter',
    placeholder: 'Filter what is loaded',
    'aria-label': 'Filter the loaded calls'
  });
  private readonly _more = h('button', { type: 'button', class: 'jp-mod-styled' }, 'Load older');
  private readonly _again = h('button', { type: 'button', class: 'jp-mod-styled' }, 'Refresh');
  private _rows: ILedgerRow[] = [];
  private _next: string | null = null;
  private _total = 0;
  private _asked = false;

  constructor(
    private readonly _server: OpgServer,
    private readonly _decimals: () => number
  ) {
    super();
    dress(this.node, 'opg-ledger');
    this.node.append(h('div', { class: 'opg-ledger-bar' }, this._filter, this._again), this._note, this._list, this._more);
    this._filter.addEventListener('input', () => this._show());
    this._more.addEventListener('click', () => void this.load(false));
    this._again.addEventListener('click', () => void this.load(true));
    this._show();
  }

  /** The first page, or the one after those that are there. */
  async load(anew: boolean): Promise<void> {
    this._asked = true;
    this._more.disabled = this._again.disabled = true;
    try {
      const page = await this._server.ledger(anew ? null : this._next, PAGE);
      this._rows = anew ? [...page.rows] : [...this._rows, ...page.rows];
      this._next = page.next;
      this._total = page.total;
      this._show();
    } catch (problem) {
      this._note.textContent = problem instanceof Error ? problem.message : String(problem);
    } finally {
      this._more.disabled = this._again.disabled = false;
    }
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

  private _first(): void {
    if (!this._asked) {
      void this.load(true);
    }
  }

  private _show(): void {
    const wanted = this._filter.value.trim().toLowerCase();
    const shown = this._rows.filter(
      row =>
        !wanted ||
        [row.id, row.model, row.prompt, row.verdict, row.notebook, row.host].some(part => part?.toLowerCase().includes(wanted))
    );
    this._list.replaceChildren(...shown.map(row => this._row(row)));
    this._note.textContent = !this._asked
      ? ''
      : this._total === 0
        ? 'Your ledger holds no call yet.'
        : `${shown.length} of ${this._total} calls, newest first. Verdicts are those of the kernels; “Check” lets this browser judge.`;
    this._more.hidden = this._next === null;
  }

  private _row(row: ILedgerRow): HTMLLIElement {
    const verdict = h('b', { class: 'opg-ledger-verdict', title: 'As the kernel recorded it' }, verdictOf(row));
    const check = h('button', { type: 'button', class: 'opg-copy', 'aria-label': `Check receipt ${row.id}` }, 'Check');
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
    } catch (problem) {
      tell(problem);
    } finally {
      button.disabled = false;
    }
  }
}
