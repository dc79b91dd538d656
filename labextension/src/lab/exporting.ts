/** Receipts out of a notebook, as files: JSON lines that `opg verify` reads, and a table for spreadsheets. */

import { audited } from '../audit/audited';
import { AUDIT_COLUMNS } from '../audit/audit-columns';
import { collected } from '../receipt/collected';
import { IEntry } from '../card/tokens';
import { elapsed, headline, hasFailed, model } from '../card/words';
import { formatUnits } from '../receipt/money';

/** One receipt a line, exactly as it stands in the notebook; each once. */
export function toJsonl(entries: readonly IEntry[]): string {
  return [...new Set(entries.map(entry => JSON.stringify(entry.document)))].map(line => `${line}\n`).join('');
}

const COLUMNS: readonly [string, (entry: IEntry) => string][] = [
  ['cell', entry => String(entry.cell + 1)],
  ['receipt', ({ receipt }) => receipt?.id ?? ''],
  ['verdict_here', entry => entry.verdict?.label ?? (entry.error === null ? '' : entry.receipt === null ? 'UNREADABLE' : 'NOT CHECKED')],
  ['verdict_saved', ({ receipt }) => receipt?.checked?.verdict ?? ''],
  ['failed', entry => (hasFailed(entry) ? 'yes' : 'no')],
  ['simulated', ({ receipt, verdict }) => (receipt === null ? '' : receipt.network.simulated || verdict?.simulated ? 'yes' : 'no')],
  ['registry', ({ verdict }) => verdict?.claims.registry.basis ?? verdict?.claims.registry.status ?? ''],
  ['model', ({ receipt }) => (receipt === null ? '' : model(receipt))],
  ['host', ({ receipt }) => receipt?.host?.tee_id ?? ''],
  ['cost', ({ receipt }) => costOf(receipt)],
  ['settled', ({ receipt }) => settledOf(receipt)],
  ['token', ({ receipt }) => receipt?.payment?.token.symbol ?? ''],
  ['charge', ({ receipt }) => (receipt === null || receipt.payment === null ? '' : collected(receipt).charge)],
  ['sent_at', ({ receipt }) => receipt?.sent_at ?? ''],
  ['seconds', ({ receipt }) => (receipt === null ? '' : elapsed(receipt).toFixed(3))],
  ['prompt', ({ receipt }) => receipt?.prompt.text ?? ''],
  ['findings', entry => [entry.error, ...entry.findings.map(finding => finding.message)].filter(Boolean).join(' ')],
  ['headline', entry => headline(entry).text]
];

function costOf(receipt: IEntry['receipt']): string {
  const cost = receipt?.payment?.cost;
  return cost ? formatUnits(BigInt(cost.amount), cost.token.decimals) : '';
}

function settledOf(receipt: IEntry['receipt']): string {
  const settled = receipt === null ? null : collected(receipt).settled;
  return settled === null ? '' : formatUnits(settled, receipt!.payment!.token.decimals);
}

/** A table (RFC 4180) of which no cell is a formula, whatever a notebook holds. */
export function toCsv(entries: readonly IEntry[]): string {
  const rows = [[...COLUMNS.map(([name]) => name), ...AUDIT_COLUMNS], ...entries.map(cellsOf)];
  return rows.map(row => row.map(field).join(',')).join('\r\n') + '\r\n';
}

function cellsOf(entry: IEntry): string[] {
  const more = entry.receipt === null ? {} : audited(entry.receipt);
  return [...COLUMNS.map(([, value]) => value(entry)), ...AUDIT_COLUMNS.map(name => more[name] ?? '')];
}

// The same as in opg_magic/ledger/formats/csv.py: tests/corpus/guarded.json holds both to it.
const BREAKS = '\\t\\n\\v\\f\\r\\u001c\\u001d\\u001e\\u0085\\u2028\\u2029';
/** What a formula begins with, in the forms that spreadsheets of the East take for the same. */
const FORMULA = '=+\\-@＝＋－＠﹢﹣﹦﹫';
/** What may stand before it and count for nothing. */
const FILL = '[ "\'\\u0000\\u00a0\\u1680\\u2000-\\u200f\\u202f\\u205f\\u3000\\ufeff]*';
const FIRST = new RegExp(`^(?=${FILL}[${FORMULA}%|${BREAKS}])`);
const LATER = new RegExp(`([${BREAKS},;|])(?=${FILL}[${FORMULA}])`, 'g');

/** The text with an apostrophe wherever a spreadsheet, told whatever separator, could see a formula begin. */
export function guarded(text: string): string {
  return text.replace(LATER, "$1'").replace(FIRST, "'");
}

export function field(value: string): string {
  return `"${guarded(value).replace(/"/g, '""')}"`;
}

/** Save the receipts of the notebook with this name. */
export function saveAs(type: 'jsonl' | 'csv', notebook: string, entries: readonly IEntry[]): void {
  const name = `${notebook.replace(/\.ipynb$/, '')}-receipts.${type}`;
  if (type === 'jsonl') {
    download(name, 'application/jsonl', toJsonl(entries));
  } else {
    download(name, 'text/csv', toCsv(entries));
  }
}

/** Hand a file to the browser's own saving. */
function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
