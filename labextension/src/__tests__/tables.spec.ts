/** @jest-environment jsdom */
import { deflateSync } from 'node:zlib';

import '@jupyterlab/testing/lib/jest-shim';
import { Signal } from '@lumino/signaling';

import { toJsonl } from '../lab/exporting';
import { toneOf } from '../views/mark';
import { NotebookReceipts } from '../lab/model';
import { Pace } from '../base/pace';
import { MIME_TYPE, Receipt, TABLE_TYPE, UnreadableReceipt } from '../receipt/receipt';
import { readTables } from '../audit/tables';
import { notebookLine } from '../card/words';
import { receipt } from './receipts';

jest.mock('@jupyterlab/cells', () => ({ CodeCell: class {} }));
jest.mock('@jupyterlab/notebook', () => ({ NotebookActions: {} }));
jest.mock('@jupyterlab/services', () => ({}));
jest.mock('@jupyterlab/coreutils', () => ({}));
jest.mock('@jupyterlab/settingregistry', () => ({}));
jest.mock('@jupyterlab/ui-components', () => ({ LabIcon: class {}, ReactWidget: class {} }));

const SOURCE = '%%opg labels --over data\nIs {{n}} prime?';

function row(n: number): Receipt {
  const body = JSON.stringify({ model: 'gpt-5', messages: [{ role: 'user', content: `Is ${n} prime?` }], temperature: 0 });
  const like = receipt();
  return receipt({
    id: `R${String(n).padStart(9, '0')}`,
    prompt: { ...like.prompt, text: `Is ${n} prime?`, template: 'Is {{n}} prime?', variables: ['n'] },
    request: { ...like.request, body }
  });
}

/** As Python packs them: what they share once, and each receipt on its line. */
function packed(receipts: readonly Receipt[]): Record<string, unknown> {
  const lines = receipts.map(one => JSON.stringify({ ...one, network: { part: 0 } }));
  const text = `${lines.join('\n')}\n\n${JSON.stringify(receipts[0].network)}`;
  const count = receipts.length;
  const content = deflateSync(Buffer.from(text)).toString('base64');
  return { type: 'opg-receipts', version: 1, rows: count, prompts: count, figures: `${count} of ${count} prompts`, packed: content };
}

const display = (data: Record<string, unknown>): any => ({ type: 'display_data', data, metadata: {} });

/** A notebook of one cell, as JupyterLab's models have it. */
function opened(...outputs: any[]): NotebookReceipts {
  const cell = {
    id: 'c1',
    isDisposed: false,
    executionCount: 1,
    executionState: 'idle',
    sharedModel: { getSource: () => SOURCE },
    outputs: { length: outputs.length, get: (index: number) => outputs[index] }
  };
  const node = document.createElement('div');
  const signal = new Signal<any, void>({});
  const model = { isDisposed: false, cells: [cell], contentChanged: signal };
  const context = { path: 'study.ipynb', ready: Promise.resolve(), model, pathChanged: signal };
  return new NotebookReceipts({ node, context, disposed: new Signal<any, void>({}), content: { widgets: [] } } as any);
}

describe('a table in a notebook', () => {
  it('has each of its receipts listed, judged, and counted in the mark', async () => {
    const rows = [2, 3, 5].map(row);
    const held = packed(rows);
    const model = opened(display({ 'text/plain': 'All 3,000 verified', [TABLE_TYPE]: held }));
    await model.refresh();
    const { entries, summary, cells } = model;
    expect(entries.map(({ receipt: one, row: place }) => [one?.id, place])).toEqual(rows.map((one, place) => [one.id, place]));
    expect(entries.every(({ verdict }) => verdict !== null)).toBe(true);
    expect(cells).toEqual([]);
    expect(summary).toMatchObject({ answers: 3, checked: 3, without: 0, edited: 0 });
    expect(notebookLine(summary)).toContain('3 answers');
    expect(toneOf(summary)).toBe('bad');
    // The text is nobody's but the author's, and is told at the first.
    expect(entries[0].findings.map(({ code }) => code)).toEqual(expect.arrayContaining(['shown-card', 'table', 'from-variables']));
    expect(entries[1].findings.map(({ code }) => code)).not.toContain('shown-card');
    expect(toJsonl(entries).split('\n').filter(Boolean).map(line => JSON.parse(line))).toEqual(rows.map(one => JSON.parse(JSON.stringify(one))));
    model.dispose();
  });

  it('whose receipts are elsewhere is a cell without receipts, in words', async () => {
    const { packed: _, ...head } = packed([row(2)]);
    const held = { ...head, digests: Buffer.alloc(64, 7).toString('base64') };
    const model = opened(display({ 'text/plain': 'x', [TABLE_TYPE]: held }));
    await model.refresh();
    expect(model.entries).toEqual([]);
    expect(model.cells.map(({ finding }) => finding.code)).toEqual(['shown-card']);
    expect(model.summary.without).toBe(1);
    model.dispose();
  });

  it('that cannot be read is one entry that says so', async () => {
    const model = opened(display({ 'text/plain': 'x', [TABLE_TYPE]: { ...packed([row(2)]), packed: 'AAAA' } }));
    await model.refresh();
    expect(model.entries.map(({ receipt: one, error }) => [one, error])).toEqual([[null, expect.stringContaining('cut or damaged')]]);
    expect(model.summary).toMatchObject({ answers: 1, failed: 1 });
    model.dispose();
  });
});

describe('reading', () => {
  const read = async (value: unknown): Promise<readonly (Receipt | UnreadableReceipt)[]> => {
    const table = { output: 0, bundle: { [TABLE_TYPE]: value }, metadata: {} };
    return (await readTables([table], SOURCE, new Pace(1000))).displays.map(one => one.read);
  };

  it('is done once for one value', async () => {
    const held = packed([2, 3].map(row));
    expect((await read(held))[1]).toBe((await read(held))[1]);
  });

  it.each([0, 1, 5552, 3800, 70_000])('knows the sum of %d bytes', async length => {
    const text = `${JSON.stringify(row(2))}\n\n"${'é'.repeat(length)}"`;
    const held = { ...packed([row(2)]), packed: deflateSync(Buffer.from(text)).toString('base64') };
    expect((await read(held))[0]).toMatchObject({ id: 'R000000002' });
    const spoilt = Buffer.concat([deflateSync(Buffer.from(text)), Buffer.from('x')]);
    expect((await read({ ...held, packed: spoilt.toString('base64') }))[0]).toBeInstanceOf(UnreadableReceipt);
  });

  it('takes nothing for a reference that is inherited, or stands elsewhere', async () => {
    const one = JSON.stringify(row(2));
    for (const line of [one.replace('{"type"', '{"__proto__":{"host":{"part":0}},"type"'), one.replace('"host":null', '"host":{"part":0,"more":1}')]) {
      const held = { ...packed([row(2)]), packed: deflateSync(Buffer.from(`${line}\n\n{}`)).toString('base64') };
      expect((await read(held))[0]).toBeInstanceOf(UnreadableReceipt);
    }
  });
});

test('a receipt beside a table in one output is read as the receipt', async () => {
  const data = { 'text/plain': 'x', [TABLE_TYPE]: packed([row(2)]), [MIME_TYPE]: row(3) };
  const model = opened(display(data));
  await model.refresh();
  expect(model.entries.map(({ receipt: one }) => one?.id)).toEqual(['R000000003']);
  expect(model.entries[0].findings.map(({ code }) => code)).toContain('other-types');
  model.dispose();
});
