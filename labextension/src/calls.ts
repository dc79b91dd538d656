/** Which cells are `%%opg` calls: all that is known of a notebook before there is a receipt in it. */

import { readCell } from './grammar';

/** Whether a cell is a `%%opg` call to the letter, which is paid: not its help, and not a dry run. */
export function asks(source: string): boolean {
  return readCell(source).kind === 'call';
}

/** Whether a cell begins with `%%opg`, also with a line that no kernel takes, and is neither dry run nor help. */
export function wantsReceipt(source: string): boolean {
  const { head: top, line } = readCell(source);
  return top !== null && !(line !== null && ('dry_run' in line.given || 'help' in line.given));
}
