/** A stop button beside a `%%opg` cell while it runs: it interrupts the kernel, and goes when the cell has ended. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

import { isOpg } from './magic';
import { IStatusSource, tell } from './status';

export const STOP = 'opg-magic:stop';

/** The code cells of one notebook that were sent and have not ended, in order: the first is the one that runs. */
export class Running {
  private readonly _cells: Cell[] = [];
  private _shown: { cell: Cell; button: HTMLButtonElement } | null = null;

  /** `interrupt` stops the kernel; it is asked once a cell. */
  constructor(private readonly _interrupt: () => Promise<void>) {}

  /** The `%%opg` cell that runs now. */
  get now(): Cell | null {
    const cell = this._cells[0];
    return cell && !cell.isDisposed && isOpg(cell.model.sharedModel.getSource()) ? cell : null;
  }

  scheduled(cell: Cell): void {
    if (cell.model.type === 'code' && !this._cells.includes(cell)) {
      this._cells.push(cell);
      this._show();
    }
  }

  ended(cell: Cell): void {
    const at = this._cells.indexOf(cell);
    if (at >= 0) {
      this._cells.splice(at, 1);
      this._show();
    }
  }

  /** The kernel is gone, and with it all that it was asked. */
  clear(): void {
    this._cells.length = 0;
    this._show();
  }

  async stop(): Promise<void> {
    const shown = this._shown;
    if (shown === null || shown.button.disabled) {
      return;
    }
    shown.button.disabled = true;
    shown.button.textContent = '■ …';
    try {
      await this._interrupt();
    } catch (problem) {
      tell(problem);
      shown.button.disabled = false;
      shown.button.textContent = '■ Stop';
    }
  }

  private _show(): void {
    while (this._cells[0]?.isDisposed) {
      this._cells.shift();
    }
    const cell = this.now;
    if (this._shown?.cell === cell) {
      return;
    }
    this._shown?.button.remove();
    this._shown = null;
    if (cell !== null) {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'opg-stop';
      button.textContent = '■ Stop';
      button.title = 'Interrupt the kernel. What was already sent may be charged; the card says so.';
      button.setAttribute('aria-label', 'Stop this call: interrupts the kernel');
      // A press selects no cell and moves no focus out of an editor.
      button.addEventListener('mousedown', event => event.preventDefault());
      button.addEventListener('click', () => void this.stop());
      (cell.inputArea?.node ?? cell.node).append(button);
      this._shown = { cell, button };
    }
  }
}

/** Keeps one list for each open notebook. */
class Lists {
  private readonly _lists = new Map<Notebook, Running>();

  of(notebook: Notebook): Running | null {
    return this._lists.get(notebook) ?? null;
  }

  add(panel: NotebookPanel): void {
    const { content, sessionContext } = panel;
    if (this._lists.has(content)) {
      return;
    }
    const running = new Running(async () => {
      await sessionContext.session?.kernel?.interrupt();
    });
    this._lists.set(content, running);
    const gone = ['restarting', 'autorestarting', 'dead', 'terminating'];
    sessionContext.statusChanged.connect((_, status) => {
      if (gone.includes(status)) {
        running.clear();
      }
    });
    sessionContext.kernelChanged.connect(() => running.clear());
    content.disposed.connect(() => {
      running.clear();
      this._lists.delete(content);
    });
  }
}

export const livePlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:live',
  description: 'A stop button beside a running %%opg cell.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [IStatusSource],
  activate: (app: JupyterFrontEnd, notebooks: INotebookTracker, status: IStatusSource | null) => {
    const lists = new Lists();
    notebooks.widgetAdded.connect((_, panel) => lists.add(panel));
    notebooks.forEach(panel => lists.add(panel));
    const look = (cell: Cell): void => {
      if (status !== null && isOpg(cell.model.sharedModel.getSource())) {
        void status.refresh();
      }
    };
    NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
      lists.of(notebook)?.scheduled(cell);
      setTimeout(() => !cell.isDisposed && look(cell), 1000);
    });
    NotebookActions.executed.connect((_, { notebook, cell }) => {
      lists.of(notebook)?.ended(cell);
      if (!cell.isDisposed) {
        look(cell);
      }
    });
    const now = (): Running | null => {
      const panel = notebooks.currentWidget;
      const running = panel && lists.of(panel.content);
      return running?.now ? running : null;
    };
    app.commands.addCommand(STOP, {
      label: 'Stop the Running AI Call',
      caption: 'Interrupts the kernel of this notebook',
      isEnabled: () => now() !== null,
      execute: () => now()?.stop()
    });
  }
};
