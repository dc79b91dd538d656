/** What the plugins of this extension, and others, share. */

import type { NotebookPanel } from '@jupyterlab/notebook';
import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { Finding } from '../receipt/findings';
import type { Receipt } from '../receipt/receipt';
import type { Verdict } from '../verify/verdict';

/** One receipt of a notebook, where it stands, and what became of it here and now. */
export interface IEntry {
  /** The cell's place, from 0, and its id. */
  readonly cell: number;
  readonly cellId: string;
  /** Which of the cell's outputs, from 0. */
  readonly output: number;
  /** Of a receipt among those of a table: its place there, from 0. */
  readonly row?: number;
  /** The value as it stands in the notebook; not changed, not trusted. */
  readonly document: unknown;
  /** null if it cannot be read: `error` says why. */
  readonly receipt: Receipt | null;
  /** Beside a receipt: why it could not be judged. */
  readonly error: string | null;
  /** Computed by this browser; null until it is. */
  readonly verdict: Verdict | null;
  /** What else is wrong: an altered digest, a shown text that is not the signed one, a cell edited since. */
  readonly findings: readonly Finding[];
}

/** What is to be said of a cell that bears no receipt. */
export interface ICellFinding {
  readonly cell: number;
  readonly cellId: string;
  /** Whether the cell was run: one that is still being written has no receipt either. */
  readonly run: boolean;
  readonly finding: Finding;
}

/** One notebook in a few figures; no figure counts what was not computed here. */
export interface ISummary {
  readonly answers: number;
  /** Receipts that were checked here already. */
  readonly checked: number;
  /** Receipts that could not be checked, because the verifier could not be loaded. */
  readonly unchecked: number;
  /** Signatures that hold over request and response as they stand. */
  readonly valid: number;
  /** Receipts of which a claim failed, or that were altered, or that cannot be read. */
  readonly failed: number;
  /** Receipts whose registry entry the reader's own RPC confirmed or denied. */
  readonly asked: number;
  readonly edited: number;
  /** `%%opg` cells that were run and bear no receipt: nobody signed what they show. */
  readonly without: number;
  /** `%%opg` cells that were not run. */
  readonly unrun: number;
  /** Cells that show output beside their receipts. */
  readonly beside: number;
  /** Cells of which not all could be compared with their receipts. */
  readonly uncompared: number;
  readonly simulated: number;
  /** `0.0042 OPG`; one item a token, charges unknown are not in it. */
  readonly cost: readonly string[];
  readonly unknownCharges: number;
}

/** All receipts of one open notebook, in the order of its cells, kept up to date. */
export interface INotebookReceipts extends IDisposable {
  readonly entries: readonly IEntry[];
  /** `%%opg` cells without a receipt. */
  readonly cells: readonly ICellFinding[];
  readonly summary: ISummary;
  /** Whether a check is under way. */
  readonly busy: boolean;
  readonly changed: ISignal<INotebookReceipts, void>;
  /** Check all again, also what is remembered. */
  refresh(): Promise<void>;
  /** Ask the registry for all of them through the reader's own RPC, and judge again. */
  askRegistry(): Promise<void>;
  /** Show that cell. */
  reveal(entry: { readonly cellId: string }): Promise<void>;
}

/** The receipts of the open notebooks. */
export interface IReceipts {
  /** Of the notebook that has the focus; null where there is none. */
  readonly current: INotebookReceipts | null;
  readonly currentChanged: ISignal<IReceipts, INotebookReceipts | null>;
  of(notebook: NotebookPanel): INotebookReceipts | null;
}

export const IReceipts = new Token<IReceipts>('opg-magic:IReceipts', 'The receipts of the open notebooks, checked in this browser.');

/** The panel in the side bar. Others may add tabs to it. */
export interface IReceiptsPanel {
  /** Shown in the order in which they come; `rank` 0 is the open notebook's own. Dispose of it to take it away. */
  addTab(tab: { id: string; title: string; content: Widget }): IDisposable;
  /** Bring the panel to the front, with that tab if one is named. */
  show(id?: string): void;
}

export const IReceiptsPanel = new Token<IReceiptsPanel>('opg-magic:IReceiptsPanel', 'The side bar panel of receipts, which takes tabs.');

/** Ids of this part's commands. */
export namespace CommandIDs {
  /** Bring the panel to the front. */
  export const showPanel = 'opg-magic:show-panel';
  /** Check the receipts of the open notebook again. */
  export const recheck = 'opg-magic:check-notebook';
  /** Ask the registry for the hosts in the open notebook. */
  export const askRegistry = 'opg-magic:ask-registry';
  /** Save the receipts of the open notebook as JSON lines, or as a table. */
  export const exportJsonl = 'opg-magic:export-jsonl';
  export const exportCsv = 'opg-magic:export-csv';
  /** Go to the next receipt that failed. */
  export const nextFailed = 'opg-magic:next-failed';
}
