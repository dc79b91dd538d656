/**
 * A stop button beside a `%%opg` cell while it runs: it interrupts the kernel, and goes when the cell has ended. A call that
 * this page did not begin has one too, in the toolbar where its cell is not known.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { Widget } from '@lumino/widgets';

import { Elsewhere } from './elsewhere';
import { isOpg } from '../cells/magic';
import { IStatusSource, tell } from './status';
import { dress, ours } from '../card/style';

export const STOP = 'opg-magic:stop';

/** The code cells of one notebook that were sent and have not ended, in order: the first is the one that runs. */
export class Running {
  private readonly _cells: Cell[] = [];
  private _elsewhere: { readonly cell: Cell | null } | null = null;
  private _shown: { cell: Cell | null; button: HTMLButtonElement; remove: () => void } | null = null;

  /**
   * `interrupt` stops the kernel; it is asked once a cell. `bar` takes a button that belongs to no cell. `changed`:
   * another call can be stopped, or none.
   */
  constructor(
    private readonly _interrupt: () => Promise<void>,
    private readonly _bar: ((button: HTMLElement) => () => void) | null = null,
    private readonly _changed: () => void = () => undefined
  ) {}

  /** The `%%opg` cell that runs now. */
  get now(): Cell | null {
    const cell = this._cells[0];
    return cell && !cell.isDisposed && isOpg(cell.model.sharedModel.getSource()) ? cell : null;
  }

  /** Whether there is a call to stop, whoever began it. */
  get stoppable(): boolean {
    return this._shown !== null;
  }

  /** A call that this page did not begin; null: there is none. */
  elsewhere(call: { readonly cell: Cell | null } | null): void {
    this._elsewhere = call;
    this._show();
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
    this._elsewhere = null;
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
      shown.button.textContent = shown.cell === null ? '■ Stop AI call' : '■ Stop';
    }
  }

  private _show(): void {
    while (this._cells[0]?.isDisposed) {
      this._cells.shift();
    }
    const mine = this.now;
    // What another page began runs before what this one has in the queue.
    const call = this._elsewhere ?? (mine && { cell: mine });
    if (this._shown === null ? call === null : call !== null && this._shown.cell === call.cell) {
      return;
    }
    this._shown?.remove();
    this._shown = null;
    if (call !== null) {
      const { cell } = call;
      const button = document.createElement('button');
      button.type = 'button';
      button.className = ours('opg-stop');
      button.textContent = cell === null ? '■ Stop AI call' : '■ Stop';
      const what = this._elsewhere === null ? '' : 'An AI call that this page did not begin runs in this kernel. ';
      button.title = `${what}Interrupts the kernel. What was already sent may be charged; the card says so.`;
      button.setAttribute('aria-label', 'Stop this call: interrupts the kernel');
      // A press selects no cell and moves no focus out of an editor.
      button.addEventListener('mousedown', event => event.preventDefault());
      button.addEventListener('click', () => void this.stop());
      if (cell !== null) {
        (cell.inputArea?.node ?? cell.node).append(button);
      }
      const remove = cell === null ? this._bar?.(button) : () => button.remove();
      this._shown = { cell, button, remove: remove ?? (() => undefined) };
    }
    this._changed();
  }
}

/** Into the toolbar, before its empty middle; the answer takes it out again. */
function inToolbar({ toolbar }: NotebookPanel, button: HTMLElement): () => void {
  const item = new Widget();
  dress(item.node, 'opg-StopItem');
  item.node.append(button);
  if (![...toolbar.names()].includes('spacer') || !toolbar.insertBefore('spacer', 'opg-stop', item)) {
    toolbar.addItem('opg-stop', item);
  }
  return () => item.dispose();
}

/**
 * Ask the server until it knows of a call that this page began: the first of a kernel waits for libraries and network
 * before it is one. `runs`: whether its cell still does.
 */
export async function untilSeen(
  status: Pick<IStatusSource, 'current' | 'refresh'>,
  runs: () => boolean,
  pause: () => Promise<unknown> = () => new Promise(done => setTimeout(done, 1500))
): Promise<void> {
  for (let asked = 0; asked < 10 && runs(); asked++) {
    await status.refresh();
    if (status.current === null || status.current.running > 0) {
      return;
    }
    await pause();
  }
}

/** Keeps one list for each open notebook. */
class Lists {
  private readonly _lists = new Map<Notebook, Running>();

  /** `changed`: another call can be stopped, or none. */
  constructor(private readonly _changed: () => void) {}

  of(notebook: Notebook): Running | null {
    return this._lists.get(notebook) ?? null;
  }

  add(panel: NotebookPanel): void {
    const { content, sessionContext } = panel;
    if (this._lists.has(content)) {
      return;
    }
    const running: Running = new Running(
      async () => {
        await sessionContext.session?.kernel?.interrupt();
      },
      button => inToolbar(panel, button),
      this._changed
    );
    this._lists.set(content, running);
    const elsewhere = new Elsewhere(panel, () => running.elsewhere(elsewhere.running));
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
    const lists = new Lists(() => {
      app.commands.notifyCommandChanged(STOP);
      void status?.refresh();
    });
    notebooks.widgetAdded.connect((_, panel) => lists.add(panel));
    notebooks.forEach(panel => lists.add(panel));
    const look = (cell: Cell): void => {
      if (status !== null && isOpg(cell.model.sharedModel.getSource())) {
        void status.refresh();
      }
    };
    NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
      const running = lists.of(notebook);
      running?.scheduled(cell);
      setTimeout(() => status !== null && void untilSeen(status, () => running?.now === cell), 1000);
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
      return running?.stoppable ? running : null;
    };
    app.commands.addCommand(STOP, {
      label: 'Stop the Running AI Call',
      caption: 'Interrupts the kernel of this notebook',
      isEnabled: () => now() !== null,
      execute: () => now()?.stop()
    });
  }
};
