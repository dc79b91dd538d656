/**
 * Calls that run in a notebook's kernel and were not begun by this page: those of before it was loaded anew, and those of
 * another window. JupyterLab forgets where their output belongs; here their display goes on, and they can be stopped.
 */

import { Notification } from '@jupyterlab/apputils';
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { IDisplayUpdate } from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { KernelMessage } from '@jupyterlab/services';

import { besideUntil, DISPLAY, displayOf, heard } from './beside';
import { MIME_TYPE } from '../receipt/receipt';

/** Milliseconds in which a kernel that is free has said so. */
const PATIENCE = 1500;

const UNSEEN_WORDS = '– The end of this call was not seen here: the kernel was restarted, or this page was away. How it ended, and what was charged:';
/** What stands in the place of a display that would say for ever that its call runs. */
const UNSEEN = {
  'text/plain': `${UNSEEN_WORDS} %opg receipts`,
  'text/markdown': `${UNSEEN_WORDS} \`%opg receipts\`\n`,
  'text/html': `<div style="font-family:inherit">${UNSEEN_WORDS} <code>%opg receipts</code></div>`
};

/** Requests that a kernel answers in turn; others it answers while a cell runs. */
const IN_TURN: readonly (string | undefined)[] = ['execute_request', 'kernel_info_request'];

/** The outputs of a notebook whose calls had not ended when it was saved. */
function* left(panel: NotebookPanel): Generator<{ cell: Cell; at: number; id: string; until: number }> {
  for (const cell of panel.content.widgets) {
    const { outputs } = cell.model as ICodeCellModel;
    for (let at = 0; at < (outputs?.length ?? 0); at++) {
      const { metadata } = outputs.get(at);
      const id = displayOf(metadata);
      if (id !== null) {
        yield { cell, at, id, until: besideUntil(metadata) };
      }
    }
  }
}

/** Watches one notebook; `changed` is called when {@link running} differs. */
export class Elsewhere {
  /** The request under which the call runs, where it was seen; and its cell, where that is known. */
  private _call: { readonly request: string | null; readonly cell: Cell | null } | null = null;
  private _wait = 0;
  /** No word yet of a kernel that is free: something may run since before this page was there. */
  private _midway = true;
  /** Displays that cells of this page began: JupyterLab keeps them up to date. */
  private readonly _mine = new Set<string>();

  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _changed: () => void
  ) {
    const { sessionContext } = _panel;
    sessionContext.iopubMessage.connect((_, message) => this._hear(message as KernelMessage.IIOPubMessage));
    sessionContext.kernelChanged.connect((_, changed) => {
      if (changed?.oldValue) {
        this._lose();
      }
      this._begin();
    });
    void _panel.context.ready.then(() => this._begin());
    _panel.disposed.connect(() => window.clearTimeout(this._wait));
  }

  /** Such a call runs, as far as can be known; `cell` null: in which cell is not. */
  get running(): { readonly cell: Cell | null } | null {
    return this._call;
  }

  /** A kernel that is not free when the page finds it, and a call in the file that had not ended: it may be that one. */
  private _begin(): void {
    this._set(null);
    this._midway = true;
    window.clearTimeout(this._wait);
    this._wait = window.setTimeout(() => {
      const kernel = this._panel.isDisposed ? null : this._panel.sessionContext.session?.kernel;
      const [open] = kernel && this._call === null && ['unknown', 'busy'].includes(kernel.status) ? [...left(this._panel)].filter(({ until }) => until === 0) : [];
      if (open !== undefined) {
        this._set({ request: null, cell: open.cell });
      }
    }, PATIENCE);
  }

  private _hear(message: KernelMessage.IIOPubMessage): void {
    const kernel = this._panel.sessionContext.session?.kernel;
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    const content = message.content as { execution_state?: string; transient?: { display_id?: unknown } };
    if (message.header.msg_type === 'status') {
      if (content.execution_state === 'restarting' || (content.execution_state === 'idle' && IN_TURN.includes(parent.msg_type))) {
        window.clearTimeout(this._wait);
        this._midway = false;
        this._set(null);
        if (content.execution_state === 'restarting') {
          this._lose();
        }
        window.setTimeout(() => this._close(), PATIENCE);
      }
      return;
    }
    const id = content.transient?.display_id;
    if (!/^(update_)?display_data$/.test(message.header.msg_type) || typeof id !== 'string' || !DISPLAY.test(id)) {
      return;
    }
    const { metadata } = message.content as IDisplayUpdate;
    const own = parent.session === undefined || parent.session === kernel?.clientId;
    if (own && message.header.msg_type === 'display_data') {
      this._mine.add(id);
    }
    // Updates of a call beside the work come under the name of whichever cell ran last.
    const beside = heard.has(id) || [...left(this._panel)].some(place => place.id === id && place.until > 0);
    heard.delete(id);
    if (besideUntil(metadata)) {
      heard.add(id);
    }
    if (beside ? !this._mine.has(id) : !own) {
      this._update(id, message.content as IDisplayUpdate, parent.msg_id ?? null);
    }
  }

  /** The kernel is gone, and with it what ran beside the work. */
  private _lose(): void {
    const lost = new Set([...left(this._panel)].map(({ id }) => id));
    lost.forEach(id => heard.delete(id));
    window.setTimeout(() => this._close(lost), PATIENCE);
  }

  private _update(id: string, { data, metadata }: Pick<IDisplayUpdate, 'data' | 'metadata'>, request: string | null): void {
    const [place] = [...left(this._panel)].filter(one => one.id === id);
    if (place !== undefined) {
      (place.cell.model as ICodeCellModel).outputs.set(place.at, { output_type: 'display_data', data, metadata });
    }
    if (displayOf(metadata) !== null) {
      // An interrupt does not end what runs beside the work.
      if (!besideUntil(metadata)) {
        this._set({ request, cell: place?.cell ?? null });
      }
    } else if (place === undefined && this._midway) {
      const { id: receipt } = (data[MIME_TYPE] ?? {}) as { id?: unknown };
      const where = typeof receipt === 'string' && /^[0-9A-Za-z]{10}$/.test(receipt) ? `%opg show ${receipt}` : '%opg receipts';
      // It stays until it is read: nothing else on the page tells it.
      Notification.info(`The AI call that ran when this page was loaded has ended. Its cell does not show it: ${where} does.`, {
        autoClose: false
      });
    }
  }

  /**
   * A kernel that is free runs no call, but beside the work: a display that says so says no longer what is true. `lost`: those of
   * a kernel that is gone.
   */
  private _close(lost: ReadonlySet<string> = new Set()): void {
    if (this._panel.isDisposed) {
      return;
    }
    const { kernel } = this._panel.sessionContext.session ?? {};
    const free = kernel && this._call === null && ['idle', 'restarting', 'autorestarting', 'starting'].includes(kernel.status);
    for (const { cell, at, id, until } of [...left(this._panel)]) {
      if (lost.has(id) || (free && until * 1000 <= Date.now())) {
        (cell.model as ICodeCellModel).outputs.set(at, { output_type: 'display_data', data: UNSEEN, metadata: {} });
      }
    }
  }

  private _set(call: Elsewhere['_call']): void {
    const same = call === this._call || (call !== null && this._call?.request === call.request && this._call.cell === call.cell);
    this._call = call;
    if (!same) {
      this._changed();
    }
  }
}
