/** A notebook's mark in its toolbar: what its receipts come to, in one line that opens the panel. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { checker } from '../audit/check';
import { h } from '../card/dom';
import { dress, ours } from '../card/style';
import { CommandIDs, INotebookReceipts, IReceipts, ISummary } from '../card/tokens';
import { briefLine, notebookLine, Tone } from '../card/words';

/** The one tone of a whole notebook: the worst there is. */
export function toneOf(sum: ISummary): Tone {
  if (sum.failed) {
    return 'bad';
  }
  if (sum.edited || sum.without || sum.beside || sum.uncompared) {
    return 'warn';
  }
  if (sum.checked < sum.answers) {
    return 'quiet';
  }
  return sum.simulated ? 'sim' : sum.valid === sum.answers ? 'ok' : 'warn';
}

/** Pixels below which the short line is shown. */
const NARROW = 320;

export class Mark extends Widget {
  private readonly _button = h('button', { type: 'button', class: 'opg-mark' });
  private readonly _open: () => void;
  /** For much room, and for little. */
  private _lines: readonly [string, string] = ['', ''];
  private readonly _resized = new ResizeObserver(() => this._fit());

  constructor(
    private readonly _receipts: INotebookReceipts,
    open: () => void
  ) {
    super();
    dress(this.node, 'opg-Mark');
    this._open = open;
    this._button.addEventListener('click', this._open);
    this.node.append(this._button);
    _receipts.changed.connect(this._draw, this);
    checker.changed.connect(this._draw, this);
    this._draw();
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._resized.disconnect();
    this._button.removeEventListener('click', this._open);
    this._receipts.changed.disconnect(this._draw, this);
    checker.changed.disconnect(this._draw, this);
    super.dispose();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._resized.disconnect();
    this._resized.observe(this.node);
    const spacer = this._spacer();
    if (spacer !== null) {
      this._resized.observe(spacer);
    }
    this._fit();
  }

  private _spacer(): Element | null {
    const next = this.node.nextElementSibling;
    return next?.classList.contains('jp-Toolbar-spacer') ? next : null;
  }

  /** The toolbar reckons with a narrow mark and so puts none of its own items away; the words use the room left over. */
  private _fit(): void {
    const room = this.node.offsetWidth + ((this._spacer() as HTMLElement | null)?.offsetWidth ?? 0);
    this._button.style.maxWidth = `${Math.max(0, room - 8)}px`;
    // Much of the long line says more than all of the short one.
    this._button.textContent = this._lines[room < NARROW ? 1 : 0];
  }

  private _draw(): void {
    const { summary } = this._receipts;
    const hidden = summary.answers + summary.without === 0 || !checker.reader.mark;
    this.setHidden(hidden);
    if (hidden) {
      return;
    }
    const sign = summary.failed ? '✗ ' : '';
    const line = `${sign}${notebookLine(summary)}`;
    if (this._lines[0] !== line) {
      this._lines = [line, `${sign}${briefLine(summary)}`];
      const told = `AI answers in this notebook, as this browser found them: ${line}. Opens the list.`;
      this._button.title = told;
      this._button.setAttribute('aria-label', told);
    }
    this._button.className = ours(`opg-mark opg-tone-${toneOf(summary)}${summary.simulated ? ' opg-simulated' : ''}`);
    this._fit();
  }
}

/** How long a toolbar may take to be filled, in milliseconds. */
const PATIENCE = 10_000;

/** Put the mark before the toolbar's empty middle; Notebook 7 fills its toolbar only after the notebook is there. */
function place(panel: NotebookPanel, mark: Mark): void {
  const { toolbar } = panel;
  const put = (): boolean => [...toolbar.names()].includes('spacer') && toolbar.insertBefore('spacer', 'opg-mark', mark);
  if (put()) {
    return;
  }
  const end = (): void => {
    window.clearTimeout(timer);
    filled.disconnect();
  };
  const filled = new MutationObserver(() => {
    if (panel.isDisposed || put()) {
      end();
    }
  });
  const timer = window.setTimeout(() => {
    end();
    if (!panel.isDisposed) {
      toolbar.addItem('opg-mark', mark);
    }
  }, PATIENCE);
  filled.observe(toolbar.node, { childList: true });
  panel.disposed.connect(end);
}

export const markPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:mark',
  description: "Sums up a notebook's receipts in its toolbar.",
  autoStart: true,
  requires: [INotebookTracker, IReceipts],
  activate: (app: JupyterFrontEnd, tracker: INotebookTracker, receipts: IReceipts): void => {
    const open = (): void => void app.commands.execute(CommandIDs.showPanel).catch(() => undefined);
    const add = (panel: NotebookPanel): void => {
      const model = receipts.of(panel);
      if (model !== null) {
        const mark = new Mark(model, open);
        place(panel, mark);
        panel.disposed.connect(() => mark.dispose());
      }
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
  }
};
