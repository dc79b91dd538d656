/**
 * What a notebook holds beyond its receipts' own claims: cells without one, output beside one, one call shown as several.
 * The rules are those of `opg verify` (opg_magic/audit/judgement.py and notebook.py); whole notebooks in the corpus hold both together.
 */

import { readDocument } from './check';
import { lacksReceipt } from '../cells/calls';
import { Compare, Finding, joined, shownFindings } from '../receipt/findings';
import { MIME_TYPE, parseReceipt, Receipt, TABLE_TYPE, UnreadableReceipt } from '../receipt/receipt';

export type Bundle = Readonly<Record<string, unknown>>;

/** One output as a cell holds it; `toJSON`: as it stands in the file. */
export interface IOutputLike {
  readonly type: string;
  readonly data?: unknown;
  readonly metadata?: unknown;
  toJSON(): unknown;
}

/** An output that bears no receipt, and how many displays stand before it; null: one that bears a receipt, and shows other parts. */
export interface IBeside {
  readonly output: IOutputLike | null;
  readonly before: number;
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
  /** Of a receipt among those of a table: its place there, from 0, and what is to be said of the table. */
  readonly row?: number;
  readonly findings?: readonly Finding[];
}

/** One output that bears the receipts of a table (`tables.ts`). */
export type ITable = Pick<IDisplay, 'output' | 'bundle' | 'metadata'>;

/** What a front end shows by its MIME types; every other kind of output it shows by other means. */
const DISPLAYS: readonly string[] = ['display_data', 'execute_result'];

/** The displays of a cell, and what it shows beside them. */
export function lookInto(cell: ICodeCell): { displays: IDisplay[]; tables: ITable[]; others: IBeside[] } {
  const displays: IDisplay[] = [];
  const tables: ITable[] = [];
  const others: IBeside[] = [];
  for (const [output, held] of cell.outputs.entries()) {
    const { type, data, metadata } = held;
    if (isRecord(data) && (data[MIME_TYPE] !== undefined || data[TABLE_TYPE] !== undefined)) {
      const found = { output, bundle: data, metadata };
      if (data[MIME_TYPE] !== undefined) {
        displays.push({ ...found, read: readBundle(data) });
      } else {
        tables.push(found);
      }
      if (!DISPLAYS.includes(type)) {
        others.push({ output: null, before: displays.length });
      }
    } else {
      others.push({ output: held, before: displays.length });
    }
  }
  return { displays, tables, others };
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

/** What one display shows that is not its receipt's. */
export function displayFindings(display: IDisplay, compare: Compare): Finding[] {
  const { read, bundle, metadata, row, findings } = display;
  if (read instanceof UnreadableReceipt || row !== undefined) {
    return [...(findings ?? [])];
  }
  return shownFindings(bundle, metadata, read, compare);
}

/** What is said of outputs that bear no receipt (`implied.ts`). */
export type Beside = (others: readonly IBeside[], displays: readonly IDisplay[]) => Finding[];

/** What is to be said of a cell as a whole. `beside` is needed where there are displays. */
export function wholeCellFindings(cell: ICodeCell, displays: readonly IDisplay[], others: readonly IBeside[], beside?: Beside): Finding[] {
  if (displays.some(({ read }) => !(read instanceof UnreadableReceipt))) {
    return beside!(others, displays);
  }
  const lacks = lacksReceipt(cell.source, cell.run, others.length > 0);
  return lacks === null ? [] : [{ level: 'incomplete', code: 'no-receipt', message: lacks }];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
