/** To a cell of a notebook, and seeing that one arrives. */

import type { Cell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';

/** How long a cell is waited for, how often one looks, and how long it must have stayed in view, in milliseconds. */
const PATIENCE = 300_000;
const BETWEEN = 100;
const STEADY = 300;
/** How long it is kept there after that: cells around it are drawn, and take their heights, when they come near. */
const HELD = 5_000;

/** What says that the reader now goes their own way. */
const OWN_WAY = ['wheel', 'touchstart', 'pointerdown', 'keydown'] as const;

/** A notebook's latest jump ends the one before. */
const jumps = new WeakMap<Notebook, AbortController>();

/**
 * Scroll a notebook to a cell, until the cell is in view and stays there; whether it is.
 *
 * JupyterLab puts a long notebook's cells into the page in its idle time. It gives up on a cell that has not come within
 * 10 s, and cells that come later, or are drawn only now, move the one that was reached: so it is kept in view for a while
 * after that, too. Ends at once when the reader goes their own way.
 */
export async function jump(notebook: Notebook, cell: Cell): Promise<boolean> {
  jumps.get(notebook)?.abort();
  const own = new AbortController();
  jumps.set(notebook, own);
  const leave = () => own.abort();
  for (const kind of OWN_WAY) {
    document.addEventListener(kind, leave, { capture: true, passive: true, signal: own.signal });
  }
  cell.disposed.connect(leave);
  return new Promise((resolve, reject) => {
    follow(notebook, cell, own.signal, () => resolve(true))
      .then(() => resolve(false), reject)
      .finally(() => {
        cell.disposed.disconnect(leave);
        own.abort();
      });
  });
}

/** Keep going to a cell; `arrived` is called when it has stayed in view, and it is held there until this ends. */
async function follow(notebook: Notebook, cell: Cell, signal: AbortSignal, arrived: () => void): Promise<void> {
  const left = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
  const scroll = () => Promise.race([notebook.scrollToCell(cell, 'start'), left]);
  const end = performance.now() + PATIENCE;
  await scroll();
  let since = performance.now();
  while (!signal.aborted && performance.now() < end) {
    if (inView(notebook, cell)) {
      const steady = performance.now() - since;
      if (steady >= STEADY) {
        arrived();
      }
      if (steady >= HELD) {
        return;
      }
    } else {
      // Only "full" windowing puts a cell into the page because one scrolls to it.
      if (cell.node.isConnected || notebook.notebookConfig.windowingMode === 'full') {
        await scroll();
      }
      since = performance.now();
    }
    await Promise.race([new Promise(resolve => setTimeout(resolve, BETWEEN)), left]);
  }
}

/** Whether a cell is where the notebook is seen: all of it, or its beginning in the upper half. */
function inView(notebook: Notebook, cell: Cell): boolean {
  if (!cell.node.isConnected) {
    return false;
  }
  const here = cell.node.getBoundingClientRect();
  const view = notebook.outerNode.getBoundingClientRect();
  // A cell that starts at the edge may be off by a rounded pixel.
  const begins = here.top >= view.top - 1 && here.top < view.bottom - 1;
  return here.height > 0 && begins && (here.bottom <= view.bottom + 1 || here.top < (view.top + view.bottom) / 2);
}
