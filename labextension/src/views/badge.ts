/** A badge that stays beside each `%%opg` cell: what became of its answer, and whether the cell was edited since. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { type Cell, CodeCell } from '@jupyterlab/cells';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

import { checker } from '../audit/check';
import { h } from '../card/dom';
import { EDITED, FindingCode } from '../receipt/findings';
import { dress } from '../card/style';
import { SIMULATED_BRIEF } from '../face/tag';
import { ICellFinding, IEntry, INotebookReceipts, IReceipts } from '../card/tokens';
import { hasFailed, headline, Tone, unclear } from '../card/words';

export interface IBadge {
  readonly tone: Tone;
  readonly simulated: boolean;
  readonly text: string;
  readonly title: string;
  /** A line below the cell, where its text is no longer what was asked. */
  readonly edited: string | null;
}

/** For a cell that shows more than was signed: what has room in a badge. */
const UNCLEAR: Readonly<Partial<Record<FindingCode, string>>> = { beside: '+ unsigned', 'not-the-call': '≠ no call' };

/** What stands beside a cell with these receipts, or without one; null where there is nothing to say. */
export function badgeOf(entries: readonly IEntry[], without: ICellFinding | null = null): IBadge | null {
  if (!entries.length) {
    // Of a cell that was not run, its empty number says so.
    return without?.run ? { tone: 'warn', simulated: false, text: '! no receipt', title: `This browser: ${without.finding.message} Nobody signed what it shows.`, edited: null } : null;
  }
  const entry = worst(entries);
  const head = headline(entry);
  const more = entries.length > 1 ? ` (${entries.length} receipts)` : '';
  const edit = entries.flatMap(one => one.findings).find(finding => EDITED.has(finding.code));
  const unsure = entries.flatMap(unclear);
  const said = edit ? '≠ edited' : unsure.map(finding => UNCLEAR[finding.code]).find(Boolean) ?? null;
  return {
    tone: head.tone === 'bad' ? 'bad' : edit || unsure.length ? 'warn' : head.tone,
    simulated: head.simulated,
    text: said !== null && head.tone !== 'bad' ? said : head.short,
    title: [`This browser: ${head.text}${more}`, edit?.message, ...new Set(unsure.map(finding => finding.message))].filter(Boolean).join('. ').replace(/\.\. /g, '. '),
    edited: edit ? edit.message : null
  };
}

const SEVERITY: readonly Tone[] = ['ok', 'sim', 'part', 'warn', 'bad'];

/** The worst of several. Of a comparison, which has a receipt for each host, the best counts: the others are what it was held against. */
function worst(entries: readonly IEntry[]): IEntry {
  const severity = (one: IEntry): number => (one.verdict === null ? SEVERITY.length : SEVERITY.indexOf(headline(one).tone));
  const compared = new Map<unknown, IEntry>();
  for (const one of entries) {
    const group = one.receipt?.agreement?.group ?? one;
    const best = compared.get(group);
    if (best === undefined || severity(one) < severity(best)) {
      compared.set(group, one);
    }
  }
  return entries.find(hasFailed) ?? [...compared.values()].reduce((one, other) => (severity(other) > severity(one) ? other : one));
}

/** The badges of one notebook. */
class Badges {
  private readonly _watched = new Set<Cell>();

  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _receipts: INotebookReceipts
  ) {
    _receipts.changed.connect(this._draw, this);
    checker.changed.connect(this._draw, this);
    _panel.disposed.connect(this._dispose, this);
    this._draw();
  }

  private _dispose(): void {
    this._receipts.changed.disconnect(this._draw, this);
    checker.changed.disconnect(this._draw, this);
    for (const cell of this._watched) {
      cell.inViewportChanged.disconnect(this._draw, this);
    }
    this._watched.clear();
  }

  private _draw(): void {
    if (this._panel.isDisposed) {
      return;
    }
    const byCell = new Map<string, IEntry[]>();
    for (const entry of checker.reader.badges ? this._receipts.entries : []) {
      byCell.set(entry.cellId, [...(byCell.get(entry.cellId) ?? []), entry]);
    }
    const without = new Map((checker.reader.badges ? this._receipts.cells : []).map(one => [one.cellId, one]));
    for (const cell of this._panel.content.widgets) {
      if (cell instanceof CodeCell) {
        const { id } = cell.model;
        this._place(cell, badgeOf(byCell.get(id) ?? [], without.get(id)));
      }
    }
  }

  private _place(cell: CodeCell, badge: IBadge | null): void {
    const node = cell.inputArea?.node;
    if (node === undefined) {
      // A cell that was never in view has no input area yet.
      if (badge !== null && !this._watched.has(cell)) {
        this._watched.add(cell);
        cell.inViewportChanged.connect(this._draw, this);
        cell.disposed.connect(() => this._watched.delete(cell));
      }
      return;
    }
    const key = JSON.stringify(badge);
    if ((node.dataset.opgBadge ?? 'null') === key) {
      return;
    }
    node.dataset.opgBadge = key;
    node.querySelector(':scope > .opg-badge')?.remove();
    cell.node.querySelector(':scope > .opg-edited')?.remove();
    cell.node.classList.remove('opg-has-badge');
    if (badge === null) {
      return;
    }
    dress(cell.node, 'opg-has-badge');
    const classes = `opg-badge opg-tone-${badge.tone}${badge.simulated ? ' opg-simulated' : ''}`;
    node.append(
      h(
        'div',
        { class: classes, title: badge.title, role: 'note', 'aria-label': badge.title },
        badge.text,
        badge.simulated && h('small', {}, SIMULATED_BRIEF)
      )
    );
    if (badge.edited !== null) {
      const line = h('div', { class: 'opg-edited' }, `≠ ${badge.edited} Run the cell to ask again.`);
      const output = cell.node.querySelector(':scope > .jp-Cell-outputWrapper');
      cell.node.insertBefore(line, output);
    }
  }
}

export const badgePlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:badge',
  description: 'Marks each %%opg cell with what became of its answer.',
  autoStart: true,
  requires: [INotebookTracker, IReceipts],
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker, receipts: IReceipts): void => {
    const add = (panel: NotebookPanel): void => {
      const model = receipts.of(panel);
      if (model !== null) {
        void panel.context.ready.then(() => new Badges(panel, model));
      }
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
  }
};
