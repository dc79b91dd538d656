/**
 * What the receipts of a notebook come to together, and with their cells. The rules are those of `opg verify`
 * (opg_magic/audit/judgement.py and notebook.py); whole notebooks in the corpus hold both together. Loaded with the first receipt.
 */

import { asks } from '../cells/calls';
import { cellFindings, comparedName, showsAgain } from './cells';
import { documentFindings } from '../verify/documents';
import { Compare, Finding, joined } from '../receipt/findings';
import { besideFindings } from './implied';
import { displayFindings, ICodeCell, IDisplay, ITable, lookInto, wholeCellFindings } from './notebook';
import { computedDigest, digestMatches, isFaithful, originalOf, Receipt, UnreadableReceipt } from '../receipt/receipt';

/** One place where a receipt is shown. */
export interface IShown {
  readonly receipt: Receipt;
  readonly cell: number | string;
  readonly source: string;
  /** Whether it is one of a table's receipts. */
  readonly row: boolean;
}

/** What receipts come to together: for each place, one call shown as several, or several as one; and its cell. */
export function togetherFindings(places: readonly IShown[]): Finding[][] {
  // A later version is the same receipt as long as only what was learnt since sets it apart.
  const calls = places.map(({ receipt }) => originalDigest(receipt));
  const versionsOf = new Map<string, Set<string>>();
  const askingOf = new Map<string, Set<unknown>>();
  const cellsOf = new Map<string, Set<unknown>>();
  for (const [index, { receipt, source, cell }] of places.entries()) {
    put(versionsOf, receipt.id, calls[index]);
    put(cellsOf, computedDigest(receipt), cell);
    if (asks(source)) {
      put(askingOf, calls[index], cell);
    }
  }
  const later = new Set(places.filter(({ receipt }) => receipt.supersedes !== undefined && isWhole(receipt)).map(({ receipt }) => `${receipt.id} ${receipt.supersedes}`));
  // Of each call that stands in its own cell, to the letter: the names that its answer was given.
  const compared = new Map<string, Set<string>>();
  for (const [index, { receipt, source, row }] of places.entries()) {
    const name = comparedName(source, receipt, row);
    if (name !== null) {
      put(compared, calls[index], name);
    }
  }
  return places.map(({ receipt, source, row }, index) => {
    const found: Finding[] = [];
    const names = compared.get(calls[index]);
    const again = names !== undefined && showsAgain(source, receipt.id, names);
    if (!again) {
      found.push(...cellFindings(source, receipt, row));
    }
    const versions = versionsOf.get(receipt.id)!.size;
    if (versions > 1) {
      found.push({ level: 'failed', code: 'two-versions', message: `${versions} different receipts have the same ID.` });
    }
    const asking = askingOf.get(calls[index])?.size ?? 0;
    if (asking > 1) {
      found.push({ level: 'note', code: 'shown-again', message: `The same answer again: one call, and ${asking} cells show it.` });
    } else if (again || cellsOf.get(computedDigest(receipt))!.size > 1) {
      found.push({ level: 'note', code: 'shown-again', message: 'This receipt is shown again in another cell.' });
    }
    if (receipt.supersedes === undefined && isWhole(receipt) && later.has(`${receipt.id} ${computedDigest(receipt)}`)) {
      found.push({ level: 'note', code: 'later-version', message: 'The file also holds a later version of this receipt.' });
    }
    return found;
  });
}

const originalDigest = (receipt: Receipt): string => computedDigest(originalOf(receipt));
const isWhole = (receipt: Receipt): boolean => digestMatches(receipt) && isFaithful(receipt);

function put<T>(groups: Map<string, Set<T>>, key: string, one: T): void {
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, new Set([one]));
  } else {
    group.add(one);
  }
}

/** A finding, in the cell with this number (from 1, all kinds of cells counted), of this receipt. */
export interface IPlaced extends Finding {
  readonly cell: number;
  readonly receipt: string | null;
}

/** Reads the tables of a cell (`tables.ts`). */
type RowsOf = (tables: readonly ITable[], source: string) => Promise<{ readonly displays: readonly IDisplay[]; readonly findings: readonly Finding[] }>;

/** All findings in a notebook's file beyond its receipts' claims. */
export async function notebookFindings(notebook: { readonly cells: readonly Record<string, unknown>[] }, compare: Compare, rowsOf: RowsOf): Promise<IPlaced[]> {
  const found: IPlaced[] = [];
  const places: (IShown & { readonly number: number })[] = [];
  for (const [index, cell] of notebook.cells.entries()) {
    if (cell.cell_type !== 'code') {
      continue;
    }
    const number = index + 1;
    const outputs = (cell.outputs ?? []) as { output_type: string; data?: unknown; metadata?: unknown }[];
    const code: ICodeCell = {
      source: joined(cell.source) ?? '',
      outputs: outputs.map(output => ({ type: output.output_type, data: output.data, metadata: output.metadata, toJSON: () => output })),
      run: outputs.length > 0 || (cell.execution_count ?? null) !== null
    };
    const { displays: single, tables, others } = lookInto(code);
    const rows = await rowsOf(tables, code.source);
    const displays = [...single, ...rows.displays];
    const whole = rows.findings.length ? rows.findings : wholeCellFindings(code, displays, others, besideFindings);
    found.push(...whole.map(finding => ({ ...finding, cell: number, receipt: null })));
    for (const display of displays) {
      const { read } = display;
      if (read instanceof UnreadableReceipt) {
        found.push({ level: 'unreadable', code: 'unreadable', message: read.message, cell: number, receipt: null });
        found.push(...displayFindings(display, compare).map(finding => ({ ...finding, cell: number, receipt: null })));
        continue;
      }
      const own = [...documentFindings(read), ...displayFindings(display, compare)];
      found.push(...own.map(finding => ({ ...finding, cell: number, receipt: read.id })));
      places.push({ receipt: read, cell: number, number, source: code.source, row: display.row !== undefined });
    }
  }
  for (const [index, more] of togetherFindings(places).entries()) {
    found.push(...more.map(finding => ({ ...finding, cell: places[index].number, receipt: places[index].receipt.id })));
  }
  return found;
}
