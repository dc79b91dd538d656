/**
 * The notebooks that the Python package writes (`tests/corpus/notebooks.py`): in each of them, the browser must find what
 * `opg verify` finds.
 */

import { readFileSync } from 'node:fs';

import { comparedTexts } from '../face';
import { notebookFindings } from '../notebook';

interface Line {
  name: string;
  notebook: Parameters<typeof notebookFindings>[0];
  finds: string[];
}

/** Findings about a receipt's document, which `opg verify` says once, where it stands first. */
const OF_DOCUMENTS: readonly string[] = ['altered', 'prompt-altered', 'template-altered'];

// Without the variable this file is left out (jest.config.js): `pytest tests/corpus` sets it.
const lines = readFileSync(process.env.OPG_NOTEBOOKS!, 'utf8')
  .split('\n')
  .filter(line => line !== '')
  .map(line => JSON.parse(line) as Line);

test.each(lines.map(line => [line.name, line] as const))('%s', (_, { notebook, finds }) => {
  const found = notebookFindings(notebook, comparedTexts).map(
    ({ cell, level, code }) => `${OF_DOCUMENTS.includes(code) ? '' : cell}: ${level} ${code}`
  );
  expect([...new Set(found)].sort()).toEqual(finds);
});
