/** Which cells are `%%opg` calls: all that is known of a notebook before there is a receipt in it. */

import { normal, readCell, readsLikeACall } from './grammar';

/** Whether a cell is a `%%opg` call to the letter, which is paid: not its help, and not a dry run. */
export function asks(source: string): boolean {
  return readCell(source).kind === 'call';
}

/** Whether a cell begins with `%%opg`, also with a line that no kernel takes, and is neither dry run nor help. */
export function wantsReceipt(source: string): boolean {
  const { head: top, line } = readCell(source);
  return top !== null && !(line !== null && ('dry_run' in line.given || 'help' in line.given));
}

/** A line that shows a receipt again. */
export const SHOW = /^%opg show (last|[0-9A-Za-z]{4,10})$/;

/** What is to be said of a cell that bears no receipt, or null. `run`: it was run; `shows`: it has output. */
export function lacksReceipt(source: string, run: boolean, shows: boolean): string | null {
  if (wantsReceipt(source)) {
    return `This %%opg cell has no receipt${run ? '.' : ': it was not run.'}`;
  }
  if (shows && readCell(source).head === null) {
    if (readsLikeACall(source)) {
      return 'This cell looks like a %%opg call but is not one, and shows output without a receipt.';
    }
    if (SHOW.test(normal(source))) {
      return 'This cell shows output without a receipt, and says that it shows one.';
    }
  }
  return null;
}
