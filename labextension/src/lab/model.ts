/** The receipts of each open notebook: found in its cells, judged here, kept up to date, let go with it. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ICodeCellModel } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { Debouncer } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { runsBeside } from './beside';
import { checker, IJudged, IScope, relate, SLICE_MS, unreadable } from '../audit/check';
import { Seen } from '../verify/shared';
import { Finding } from '../receipt/findings';
import { jump } from './jump';
import { part } from '../base/load';
import { looker, Looker } from '../card/looker';
import { displayFindings, ICodeCell, IDisplay, IOutputLike, lookInto, wholeCellFindings } from '../audit/notebook';
import { Pace } from '../base/pace';
import { computedDigest, MIME_TYPE, Receipt, UnreadableReceipt } from '../receipt/receipt';
import { dress } from '../card/style';
import { summarise } from '../card/summary';
import { ICellFinding, IEntry, INotebookReceipts, IReceipts, ISummary } from '../card/tokens';

/** How long a notebook must rest before it is looked through again, in milliseconds. */
const REST = 250;

/** What is needed of a cell's model. */
export interface ICellLike {
  readonly id: string;
  readonly executionCount?: number | null;
  readonly sharedModel: { getSource(): string };
  readonly outputs?: { readonly length: number; get(index: number): IOutputLike };
}

/** A code cell's source and outputs as they stand now; null of a cell of another kind. */
export function codeOf(cell: ICellLike): ICodeCell | null {
  const { outputs } = cell;
  if (outputs === undefined) {
    return null;
  }
  const list = Array.from({ length: outputs.length }, (_, index) => outputs.get(index));
  return { source: cell.sharedModel.getSource(), outputs: list, run: list.length > 0 || (cell.executionCount ?? null) !== null };
}

/** Where a receipt stands. `whole`: what is to be said of its cell. */
interface IPlace extends IDisplay {
  readonly cell: number;
  readonly cellId: string;
  readonly source: string;
  readonly whole: readonly Finding[];
  /** What was found in this display alone. */
  readonly own: readonly Finding[];
}

type IReadable = IPlace & { readonly read: Receipt };

/** Needed by notebooks that asked several hosts at once, or hold a conversation. */
const related = part(() => import('./related'));
/** Needed by those with a table's receipts. */
const tabled = part(() => import('../audit/tables'));

/** All receipts of one notebook. */
export class NotebookReceipts implements INotebookReceipts {
  private _entries: readonly IEntry[] = [];
  private _cells: readonly ICellFinding[] = [];
  /** Findings by cell and digest. */
  private _around: ReadonlyMap<string, readonly Finding[]> = new Map();
  private _summary: ISummary = summarise([]);
  private _busy = false;
  private _turn = 0;
  private _looking: Promise<void> = Promise.resolve();
  private _looksNow = false;
  private _disposed = false;
  private readonly _scope: IScope & { seen: Map<string, Seen> };
  private readonly _leave: () => void;
  private readonly _scan: Debouncer;
  private readonly _changed = new Signal<INotebookReceipts, void>(this);

  constructor(private readonly _panel: NotebookPanel) {
    this._scope = {
      node: _panel.node,
      seen: new Map(),
      get name() {
        return _panel.context.path.replace(/^.*\//, '');
      },
      around: (node, digest) => {
        const cell = _panel.content.widgets.find(widget => widget.node.contains(node));
        return this._around.get(`${cell?.model.id} ${digest}`) ?? [];
      }
    };
    this._leave = checker.addScope(this._scope);
    this._scan = new Debouncer(() => this._look(), REST);
    checker.changed.connect(this._onChecker, this);
    _panel.disposed.connect(this.dispose, this);
    void _panel.context.ready.then(() => {
      const { model } = _panel.context;
      if (!this._disposed) {
        model.contentChanged.connect(this.lookAgain, this);
        // The command on each card names the file.
        _panel.context.pathChanged?.connect(() => checker.announce(new Set(this._receipts().map(computedDigest))));
        void this._look();
      }
    });
  }

  get entries(): readonly IEntry[] {
    return this._entries;
  }

  get cells(): readonly ICellFinding[] {
    return this._cells;
  }

  get summary(): ISummary {
    return this._summary;
  }

  get busy(): boolean {
    return this._busy;
  }

  get changed(): ISignal<INotebookReceipts, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._scan.dispose();
    this._leave();
    checker.changed.disconnect(this._onChecker, this);
    Signal.clearData(this);
    this._entries = [];
  }

  async refresh(): Promise<void> {
    // Other notebooks look again when they come to it; this one does so now.
    this._looksNow = true;
    checker.forget();
    this._looksNow = false;
    await this._look();
  }

  /** Ask the registry for all of them, again, through the reader's own RPC. */
  async askRegistry(): Promise<void> {
    // An answer that has just come is asked about too.
    await this._look();
    await checker.askRegistry(this._receipts(), true);
    await this._look();
  }

  async reveal(entry: { readonly cellId: string }): Promise<void> {
    const { content } = this._panel;
    const index = content.widgets.findIndex(cell => cell.model.id === entry.cellId);
    if (index < 0) {
      return;
    }
    const cell = content.widgets[index];
    content.activeCellIndex = index;
    if (!(await jump(content, cell))) {
      return;
    }
    cell.node.classList.remove('opg-found');
    void cell.node.offsetWidth;
    dress(cell.node, 'opg-found');
  }

  private _receipts(): Receipt[] {
    return this._entries.flatMap(entry => (entry.receipt === null ? [] : [entry.receipt]));
  }

  /** Look through the notebook once it rests. */
  lookAgain(): void {
    // Rejected only when it is disposed of.
    this._scan.invoke().catch(() => undefined);
  }

  private _onChecker(_: unknown, digests: ReadonlySet<string> | null): void {
    if (digests === null && !this._looksNow) {
      this.lookAgain();
    }
  }

  /** Look through the notebook, to the end: of several looks only the last counts, and the others wait for it. */
  private async _look(): Promise<void> {
    let turn = ++this._turn;
    this._looking = this._lookThrough(turn);
    await this._looking;
    while (turn !== this._turn) {
      turn = this._turn;
      await this._looking;
    }
  }

  private async _lookThrough(turn: number): Promise<void> {
    if (this._disposed || !this._panel.context?.model || this._panel.context.model.isDisposed) {
      return;
    }
    const isOver = (): boolean => turn !== this._turn || this._disposed;
    const pace = new Pace(SLICE_MS);
    const found = await this._find(pace, isOver);
    if (found === null) {
      return;
    }
    this._cells = found.without;
    const readable = found.places.filter((place): place is IReadable => !(place.read instanceof UnreadableReceipt));
    const receipts = readable.map(({ read }) => read);
    this._relate(receipts);
    this._busy = true;
    const shown = readable.map(({ read, cellId, source, row }) => ({ receipt: read, cell: cellId, source, row: row !== undefined }));
    const together = found.looking?.togetherFindings(shown) ?? [];
    const around = new Map<IPlace, Finding[]>(
      readable.map((place, index) => [
        place,
        [...place.own, ...place.whole, ...together[index]]
      ])
    );
    this._setAround(new Map(readable.map(place => [`${place.cellId} ${computedDigest(place.read)}`, around.get(place)!])));
    const entries = await this._judge(found.places, around, pace, isOver);
    if (entries === null) {
      return;
    }
    if (receipts.some(({ agreement, thread }) => agreement !== null || thread !== undefined)) {
      // Without it agreements and threads stay what they are by themselves: their author's word.
      (await related().catch(() => null))?.addRelated(entries);
    }
    if (isOver()) {
      return;
    }
    this._busy = false;
    this._publish(entries);
    // What was asked once is not asked again; answers are judged in another look.
    if (checker.reader.askRegistry && (await checker.askRegistry(receipts)) && !isOver()) {
      await this._look();
    }
  }

  /** All displays that bear a receipt, and the cells that lack one; null where another look has begun. */
  private async _find(pace: Pace, isOver: () => boolean): Promise<{ places: IPlace[]; without: ICellFinding[]; looking: Looker | null } | null> {
    const places: IPlace[] = [];
    const without: ICellFinding[] = [];
    let looking: Looker | null = null;
    const cells = Array.from(this._panel.context.model.cells as Iterable<unknown> as Iterable<ICodeCellModel>);
    for (const [index, cell] of cells.entries()) {
      const code = cell.isDisposed ? null : codeOf(cell);
      if (code !== null) {
        const { displays, tables, others } = lookInto(code);
        const rows = tables.length ? await (await tabled()).readTables(tables, code.source, pace) : null;
        displays.push(...(rows?.displays ?? []));
        looking ??= displays.length ? await looker() : null;
        const whole = rows?.findings.length ? rows.findings.slice(0, 1) : wholeCellFindings(code, displays, others, looking?.besideFindings);
        for (const display of displays) {
          const own = displayFindings(display, looking!.comparedTexts);
          places.push({ ...display, cell: index, cellId: cell.id, source: code.source, whole, own });
          await pace.rest();
        }
        if (whole.length && !displays.length && !this._isRunning(cell, index)) {
          without.push({ cell: index, cellId: cell.id, run: code.run, finding: whole[0] });
        }
      }
      await pace.rest();
      if (isOver()) {
        return null;
      }
    }
    return { places, without, looking };
  }

  /** Each place with its verdict, those that are known shown at once; null where another look has begun. */
  private async _judge(
    places: readonly IPlace[],
    around: ReadonlyMap<IPlace, Finding[]>,
    pace: Pace,
    isOver: () => boolean
  ): Promise<IEntry[] | null> {
    const entryOf = (place: IPlace, judged: IJudged): IEntry => {
      const { cell, cellId, output, bundle, row } = place;
      const findings = [...judged.findings, ...(around.get(place) ?? [...place.own, ...place.whole])];
      return { cell, cellId, output, row, document: bundle[MIME_TYPE], ...judged, findings };
    };
    const known = places.map(place => {
      const { read } = place;
      const judged =
        read instanceof UnreadableReceipt ? unreadable(read) : checker.recall(read, this._scope.seen.get(computedDigest(read)));
      return entryOf(place, judged ?? { receipt: read as Receipt, error: null, verdict: null, findings: [] });
    });
    const isOpen = ({ receipt, verdict }: IEntry): boolean => receipt !== null && verdict === null;
    if (known.some(isOpen)) {
      this._publish(known);
      for (const [index, place] of places.entries()) {
        if (isOpen(known[index])) {
          const read = place.read as Receipt;
          known[index] = entryOf(place, await checker.judgeRead(read, this._scope.seen.get(computedDigest(read))));
          await pace.rest();
          if (isOver()) {
            return null;
          }
        }
      }
    }
    return known;
  }

  /** Whether a cell runs, or waits for its turn: what it shows is not its last word. Nothing in a file says so. */
  private _isRunning(cell: ICodeCellModel, index: number): boolean {
    if (runsBeside(cell.outputs)) {
      return true;
    }
    const { executionState } = cell as { executionState?: string };
    // JupyterLab 4.2 knows it by the prompt alone.
    return executionState === undefined ? Boolean(this._panel.content.widgets[index]?.promptNode?.textContent?.includes('*')) : executionState === 'running';
  }

  /** Tell the renderers what is wrong where they stand. */
  private _setAround(now: ReadonlyMap<string, readonly Finding[]>): void {
    const before = this._around;
    this._around = now;
    const differing = [...new Set([...before.keys(), ...now.keys()])].filter(
      key => JSON.stringify(before.get(key) ?? []) !== JSON.stringify(now.get(key) ?? [])
    );
    checker.announce(new Set(differing.map(key => key.slice(key.indexOf(' ') + 1))));
  }

  /** Tell the renderers which receipts here bear one signature. */
  private _relate(receipts: readonly Receipt[]): void {
    const before = this._scope.seen;
    const now = relate(receipts);
    const differing = new Set<string>();
    for (const digest of new Set([...before.keys(), ...now.keys()])) {
      if (JSON.stringify(before.get(digest)) !== JSON.stringify(now.get(digest))) {
        differing.add(digest);
      }
    }
    this._scope.seen = now;
    checker.announce(differing);
  }

  private _publish(entries: readonly IEntry[]): void {
    this._entries = [...entries];
    this._summary = summarise(this._entries, this._cells);
    this._changed.emit();
  }
}

/** The receipts of all open notebooks. */
class Receipts implements IReceipts {
  private readonly _models = new Map<NotebookPanel, NotebookReceipts>();
  private readonly _currentChanged = new Signal<IReceipts, INotebookReceipts | null>(this);

  constructor(private readonly _tracker: INotebookTracker) {
    _tracker.widgetAdded.connect((_, panel) => void this.of(panel));
    _tracker.forEach(panel => void this.of(panel));
    _tracker.currentChanged.connect(() => this._currentChanged.emit(this.current));
    // What ends without a word changes nothing in the notebook's content.
    NotebookActions.executed.connect((_, { notebook }) => {
      for (const [panel, model] of this._models) {
        if (panel.content === notebook) {
          model.lookAgain();
        }
      }
    });
  }

  get current(): NotebookReceipts | null {
    const panel = this._tracker.currentWidget;
    return panel === null ? null : this.of(panel);
  }

  get currentChanged(): ISignal<IReceipts, INotebookReceipts | null> {
    return this._currentChanged;
  }

  of(panel: NotebookPanel): NotebookReceipts | null {
    let model = this._models.get(panel) ?? null;
    if (model === null && !panel.isDisposed) {
      model = new NotebookReceipts(panel);
      this._models.set(panel, model);
      panel.disposed.connect(() => this._models.delete(panel));
    }
    return model;
  }
}

export const receiptsPlugin: JupyterFrontEndPlugin<IReceipts> = {
  id: 'opg-magic:receipts',
  description: 'Finds and judges the receipts of open notebooks.',
  autoStart: true,
  requires: [INotebookTracker],
  provides: IReceipts,
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker): IReceipts => new Receipts(tracker)
};
