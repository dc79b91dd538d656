/**
 * What a notebook holds beyond its receipts' own claims: cells without one, output beside one, one call shown as several.
 * The rules are those of `opg verify` (opg_magic/receipts/audit.py and notebook.py); whole notebooks in the corpus hold both together.
 */

import { readDocument } from './check';
import { asks, cellFindings, comparedName, showsAgain, wantsReceipt } from './cells';
import { Compare, documentFindings, Finding, joined, shownFindings } from './findings';
import { part } from './load';
import { computedDigest, digestMatches, isFaithful, MIME_TYPE, originalOf, parseReceipt, Receipt, UnreadableReceipt } from './receipt';

export type Bundle = Readonly<Record<string, unknown>>;

/** One output as a cell holds it. */
export interface IOutputLike {
  readonly type: string;
  readonly data?: unknown;
  readonly metadata?: unknown;
}

/** One code cell. `run`: it has outputs or a count. */
export interface ICodeCell {
  readonly source: string;
  readonly outputs: readonly IOutputLike[];
  readonly run: boolean;
}

/** One output that bears a receipt. */
export interface IDisplay {
  /** Which of the cell's outputs, from 0. */
  readonly output: number;
  readonly bundle: Bundle;
  readonly metadata: unknown;
  readonly read: Receipt | UnreadableReceipt;
}

/** What a front end shows by its MIME types; every other kind of output it shows by other means. */
const DISPLAYS: readonly string[] = ['display_data', 'execute_result'];

/** The displays of a cell, and what it shows beside them. */
export function lookInto(cell: ICodeCell): { displays: IDisplay[]; beside: boolean } {
  const displays: IDisplay[] = [];
  let beside = false;
  for (const [output, { type, data, metadata }] of cell.outputs.entries()) {
    if (isRecord(data) && data[MIME_TYPE] !== undefined) {
      displays.push({ output, bundle: data, metadata, read: readBundle(data) });
      beside ||= !DISPLAYS.includes(type);
    } else {
      beside = true;
    }
  }
  return { displays, beside };
}

/** The receipt in a display: a document, or its JSON text, which is read as strictly as a file. */
export function readBundle(bundle: Bundle, type = MIME_TYPE): Receipt | UnreadableReceipt {
  const held = bundle[type];
  if (typeof held !== 'string' && !Array.isArray(held)) {
    return readDocument(held);
  }
  try {
    return parseReceipt(joined(held) ?? '');
  } catch (error) {
    return error instanceof UnreadableReceipt ? error : new UnreadableReceipt('This receipt cannot be read.');
  }
}

/** Loaded when the first receipt is met. */
const showing = part(() => import('./showing'));

/** Compares displays with their receipts; where it could not be loaded, says that nothing was compared. */
export async function comparing(): Promise<Compare> {
  try {
    return (await showing()).comparedTexts;
  } catch (error) {
    const message = `What the cell shows elsewhere was not compared with the receipt. ${error instanceof Error ? error.message : ''}`;
    return () => [{ level: 'incomplete', code: 'not-compared', message: message.trim() }];
  }
}

/** What one display shows that is not its receipt's. */
export function displayFindings(display: IDisplay, compare: Compare): Finding[] {
  const { read, bundle, metadata } = display;
  if (read instanceof UnreadableReceipt) {
    return [];
  }
  return shownFindings(bundle, metadata, read, compare);
}

/** What is to be said of a cell as a whole, or null. */
export function wholeCellFinding(cell: ICodeCell, displays: readonly IDisplay[], beside: boolean): Finding | null {
  const readable = displays.some(({ read }) => !(read instanceof UnreadableReceipt));
  if (!readable && wantsReceipt(cell.source)) {
    return { level: 'incomplete', code: 'no-receipt', message: `This %%opg cell has no receipt${cell.run ? '.' : ': it was not run.'}` };
  }
  return readable && beside ? { level: 'incomplete', code: 'beside', message: 'This cell also shows output that no receipt covers.' } : null;
}

/** One place where a receipt is shown. */
export interface IShown {
  readonly receipt: Receipt;
  readonly cell: number | string;
  readonly source: string;
}

/** What receipts come to together: for each place, one call shown as several, or several as one; and its cell. */
export function togetherFindings(places: readonly IShown[]): Finding[][] {
  const byDigest = groups(places, ({ receipt }) => computedDigest(receipt));
  // A later version is the same receipt as long as only what was learnt since sets it apart.
  const byId = groups(places, ({ receipt }) => receipt.id);
  const later = new Set(places.filter(({ receipt }) => receipt.supersedes !== undefined && isWhole(receipt)).map(({ receipt }) => `${receipt.id} ${receipt.supersedes}`));
  // Of each call that stands in its own cell, to the letter: the names that its answer was given.
  const compared = new Map<string, Set<string>>();
  for (const { receipt, source } of places) {
    const name = comparedName(source, receipt);
    if (name !== null) {
      compared.set(originalDigest(receipt), (compared.get(originalDigest(receipt)) ?? new Set()).add(name));
    }
  }
  return places.map(({ receipt, source }) => {
    const found: Finding[] = [];
    const names = compared.get(originalDigest(receipt));
    const again = names !== undefined && showsAgain(source, receipt.id, names);
    if (!again) {
      found.push(...cellFindings(source, receipt));
    }
    const versions = new Set(byId.get(receipt.id)!.map(other => originalDigest(other.receipt))).size;
    if (versions > 1) {
      found.push({ level: 'failed', code: 'two-versions', message: `There are ${versions} different receipts with one id.` });
    }
    const same = byDigest.get(computedDigest(receipt))!;
    const asking = new Set(same.filter(other => asks(other.source)).map(other => other.cell)).size;
    if (asking > 1) {
      found.push({ level: 'failed', code: 'shown-twice', message: `One call is shown as the answer of ${asking} cells.` });
    } else if (again || new Set(same.map(other => other.cell)).size > 1) {
      found.push({ level: 'note', code: 'shown-again', message: 'This receipt is shown again in another cell.' });
    }
    if (receipt.supersedes === undefined && isWhole(receipt) && later.has(`${receipt.id} ${computedDigest(receipt)}`)) {
      found.push({ level: 'note', code: 'later-version', message: 'A later version of this receipt is there too, and is the one that counts.' });
    }
    return found;
  });
}

const originalDigest = (receipt: Receipt): string => computedDigest(originalOf(receipt));
const isWhole = (receipt: Receipt): boolean => digestMatches(receipt) && isFaithful(receipt);

function groups(places: readonly IShown[], key: (place: IShown) => string): Map<string, IShown[]> {
  const found = new Map<string, IShown[]>();
  for (const place of places) {
    found.set(key(place), [...(found.get(key(place)) ?? []), place]);
  }
  return found;
}

/** A finding, in the cell with this number (from 1, all kinds of cells counted), of this receipt. */
export interface IPlaced extends Finding {
  readonly cell: number;
  readonly receipt: string | null;
}

/** All findings in a notebook's file beyond its receipts' claims. */
export function notebookFindings(notebook: { readonly cells: readonly Record<string, unknown>[] }, compare: Compare): IPlaced[] {
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
      outputs: outputs.map(({ output_type, data, metadata }) => ({ type: output_type, data, metadata })),
      run: outputs.length > 0 || (cell.execution_count ?? null) !== null
    };
    const { displays, beside } = lookInto(code);
    const whole = wholeCellFinding(code, displays, beside);
    if (whole !== null) {
      found.push({ ...whole, cell: number, receipt: null });
    }
    for (const display of displays) {
      const { read } = display;
      if (read instanceof UnreadableReceipt) {
        found.push({ level: 'unreadable', code: 'unreadable', message: read.message, cell: number, receipt: null });
        continue;
      }
      const own = [...documentFindings(read), ...displayFindings(display, compare)];
      found.push(...own.map(finding => ({ ...finding, cell: number, receipt: read.id })));
      places.push({ receipt: read, cell: number, number, source: code.source });
    }
  }
  for (const [index, more] of togetherFindings(places).entries()) {
    found.push(...more.map(finding => ({ ...finding, cell: places[index].number, receipt: places[index].receipt.id })));
  }
  return found;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
