/**
 * The notebooks that the Python package writes (`tests/corpus/notebooks.py`): in each of them, the browser must find what
 * `opg verify` finds.
 */

import { readFileSync } from 'node:fs';

import { agreementFindings } from '../verify/agreeing';
import { readBundle } from '../audit/notebook';
import { MIME_TYPE, Receipt, UnreadableReceipt } from '../receipt/receipt';
import { Pace } from '../base/pace';
import { comparedTexts } from '../audit/showing';
import { readTables } from '../audit/tables';
import { threadFindings } from '../audit/threads';
import { notebookFindings } from '../audit/together';

interface Line {
  name: string;
  notebook: Parameters<typeof notebookFindings>[0];
  finds: string[];
  /** `code: message` of each. */
  says: string[];
}

/** Findings about a receipt's document, which `opg verify` says once, where it stands first. */
const OF_DOCUMENTS: readonly string[] = ['altered', 'prompt-altered', 'template-altered', 'model-altered'];

/** Findings whose words are each judge's own: a parser's, or which of two versions counts. */
const OWN_WORDS: readonly string[] = ['unreadable', 'later-version'];

// Without the variable this file is left out (jest.config.js): `pytest tests/corpus` sets it.
const lines = readFileSync(process.env.OPG_NOTEBOOKS!, 'utf8')
  .split('\n')
  .filter(line => line !== '')
  .map(line => JSON.parse(line) as Line);

/** The readable receipts of a notebook and the cells in which they stand. */
function receiptsIn({ cells }: Line['notebook']): [Receipt, number][] {
  return cells.flatMap((cell, index) =>
    ((cell.outputs ?? []) as { data?: Record<string, unknown> }[]).flatMap(({ data }) => {
      const found = data?.[MIME_TYPE] === undefined ? null : readBundle(data);
      return found === null || found instanceof UnreadableReceipt ? [] : [[found, index + 1] as [Receipt, number]];
    })
  );
}

test.each(lines.map(line => [line.name, line] as const))('%s', async (_, { notebook, finds, says }) => {
  const placed = await notebookFindings(notebook, comparedTexts, (tables, source) => readTables(tables, source, new Pace(1000)));
  const read = receiptsIn(notebook);
  const receipts = read.map(([receipt]) => receipt);
  for (const findings of [agreementFindings(receipts), threadFindings(receipts)]) {
    for (const [index, finding] of findings.entries()) {
      if (finding !== null) {
        placed.push({ ...finding, cell: read[index][1], receipt: null });
      }
    }
  }
  const found = placed.map(
    ({ cell, level, code }) => `${OF_DOCUMENTS.includes(code) ? '' : cell}: ${level} ${code}`
  );
  expect([...new Set(found)].sort()).toEqual(finds);
  const said = placed.filter(({ code }) => !OWN_WORDS.includes(code)).map(({ code, message }) => `${code}: ${message}`);
  expect([...new Set(said)].sort()).toEqual(says);
});
