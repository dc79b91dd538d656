/** One grammar: the cases that the Python package's reading of a cell is held to as well (`tests/grammar`). */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { fills, lstrip, normal, readCell, strip } from '../cells/grammar';

interface ICases {
  readonly cells: readonly { source: string; kind: string }[];
  readonly normal: readonly [string, string][];
  readonly fills: readonly [string, string, boolean][];
  readonly strip: readonly [string, string][];
}

const CASES = JSON.parse(readFileSync(join(__dirname, '../../../tests/grammar/cases.json'), 'utf8')) as ICases;

function read(source: string): Record<string, unknown> {
  const { kind, head, line } = readCell(source);
  return { source, kind, ...(head ?? {}), ...(line ?? {}) };
}

test.each(CASES.cells.map(one => [JSON.stringify(one.source), one] as const))('%s is what it says', (_, one) =>
  expect(read(one.source)).toEqual(one)
);

test.each(CASES.normal)('%j is compared as %j', (text, form) => expect([normal(text), normal(form)]).toEqual([form, form]));

test.each(CASES.fills)('%j can become %j: %j', (template, text, fits) => expect(fills(template, text)).toBe(fits));

test.each(CASES.strip)('%j has white space around %j', (text, stripped) => {
  expect(strip(text)).toBe(stripped);
  expect(lstrip(`${text}x`)).toBe(`${text}x`.slice(text.length - lstrip(text).length));
});

test('hostile text is read in no time', () => {
  const size = 1_000_000;
  for (const text of ['%%time\n'.repeat(size / 7), '{{'.repeat(size), ' \n'.repeat(size), '%%opg ' + '\\'.repeat(size), '%%opg ' + '--stop a '.repeat(size / 9), '%%capture ' + '-a 1 '.repeat(size / 5) + '!\n%%opg', ' '.repeat(size) + 'x']) {
    expect(['other', 'unclear', 'free']).toContain(readCell(text).kind);
    expect(fills(text, text)).toBe(true);
    expect(strip(text).length).toBeLessThanOrEqual(text.length);
  }
});
