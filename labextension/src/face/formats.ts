/**
 * An answer in the format that its cell asked for: its exact text, or a table of its rows, made of what was signed alone. The
 * same bytes as Python makes (opg_magic/receipt/face/formats.py); whole notebooks in the corpus hold both together.
 */

import { Json, JsonObject, pythonFloat } from '../base/json';
import { inert } from '../receipt/findings';
import { grouped, isolated, lengthOf } from '../receipt/tool-calls';
import { fenced } from './answer';
import { escaped } from './figures';

/** As many of a table are shown. */
const [MOST_ROWS, MOST_LETTERS] = [60, 300];
const CELL = 'padding:3px 10px;border:1px solid rgba(128,128,128,.5);text-align:';

/** The text exactly as it was signed, with no markup rendered. */
export function textBundle(text: string): Record<string, string> {
  const shown = inert(text);
  return {
    'text/plain': shown,
    'text/markdown': fenced(shown),
    'text/html': `<div style="white-space:pre-wrap;overflow-wrap:anywhere">${escaped(shown)}</div>\n`
  };
}

/** The first rows of a table, whose cells are a model's words: nothing in them is markup. */
export function tableBundle(columns: readonly string[], rows: readonly JsonObject[]): Record<string, string> {
  const left = rows.length > MOST_ROWS ? `${grouped(rows.length)} rows; the first ${MOST_ROWS} are shown` : '';
  const few = rows.slice(0, MOST_ROWS);
  const cells = few.map(row => columns.map(name => cellText(row.get(name) ?? null)));
  const right = columns.map(name => isNumeric(few.map(row => row.get(name) ?? null)));
  const names = columns.map(cellText);
  const tags = (tag: string, texts: readonly string[]): string =>
    texts.map((text, at) => `<${tag} style="${CELL}${right[at] ? 'right' : 'left'}">${escaped(text)}</${tag}>`).join('');
  return {
    'text/plain': [...lines([names, ...cells], right), ...(left ? [left] : [])].join('\n'),
    'text/html':
      '<div style="overflow:auto;max-width:100%;margin:0 0 8px"><table style="margin:0 0 10px;border-collapse:collapse"><thead><tr>' +
      `${tags('th', names)}</tr></thead><tbody>${cells.map(row => `<tr>${tags('td', row)}</tr>`).join('')}</tbody></table>` +
      `${left ? `<div style="font-size:12px">${left}</div>` : ''}</div>`
  };
}

/** A value of JSON on one line: texts as they are, what holds others as JSON. */
function cellText(value: Json): string {
  const text = typeof value === 'string' ? value : value === null ? 'None' : value === true ? 'True' : value === false ? 'False' : written(value);
  const plain = inert(text).replace(/\n/g, '⏎');
  return lengthOf(plain) <= MOST_LETTERS ? plain : `${Array.from(plain).slice(0, MOST_LETTERS - 1).join('')}…`;
}

/** JSON as Python writes it, its letters as they are. */
function written(value: Json): string {
  if (Array.isArray(value)) {
    return `[${value.map(written).join(', ')}]`;
  }
  if (value instanceof Map) {
    return `{${[...value].map(([key, one]) => `${JSON.stringify(key)}: ${written(one)}`).join(', ')}}`;
  }
  return typeof value === 'bigint' ? value.toString() : typeof value === 'number' ? pythonFloat(value) : JSON.stringify(value);
}

function isNumeric(values: readonly Json[]): boolean {
  const there = values.filter(value => value !== null);
  return there.length > 0 && there.every(value => typeof value === 'bigint' || typeof value === 'number');
}

function lines(rows: readonly (readonly string[])[], right: readonly boolean[]): string[] {
  const widths = right.map((_, at) => Math.max(...rows.map(row => lengthOf(row[at]))));
  return rows.map(row =>
    row
      .map((text, at) => {
        const space = ' '.repeat(widths[at] - lengthOf(text));
        return right[at] ? space + isolated(text) : isolated(text) + space;
      })
      .join('  ')
      .replace(/ +$/, '')
  );
}
