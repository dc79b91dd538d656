/** @jest-environment jsdom */
import { readFileSync } from 'node:fs';

import '@jupyterlab/testing/lib/jest-shim';

import { badgeOf } from '../views/badge';
import { ofPayment } from '../receipt/collected';
import { field, guarded, toCsv, toJsonl } from '../lab/exporting';
import { toneOf } from '../views/mark';
import { besideFindings } from '../audit/implied';
import { codeOf } from '../lab/model';
import { summarise } from '../card/summary';
import { IOutputLike, lookInto, wholeCellFindings } from '../audit/notebook';
import { arrange, arrangeCells } from '../views/listing';
import { MIME_TYPE } from '../receipt/receipt';
import { readSettings } from '../lab/settings';
import { briefLine, cost, figure, notebookLine } from '../card/words';
import { entry, receipt, verdict } from './receipts';

jest.mock('@jupyterlab/cells', () => ({ CodeCell: class {} }));
jest.mock('@jupyterlab/notebook', () => ({}));
jest.mock('@jupyterlab/services', () => ({}));
jest.mock('@jupyterlab/coreutils', () => ({}));
jest.mock('@jupyterlab/settingregistry', () => ({}));
jest.mock('@jupyterlab/ui-components', () => ({ LabIcon: class {}, ReactWidget: class {} }));

const good = entry();
const bad = entry({ verdict: verdict('FAILED', { response: 'failed' }) });
const differing = entry({
  verdict: verdict('FAILED', { signature: 'failed' }),
  findings: [{ level: 'failed', code: 'saved-differs', message: 'The saved card says verified.' }]
});
const edited = entry({ findings: [{ level: 'failed', code: 'prompt-differs', message: 'edited' }] });
const unread = entry({ receipt: null, verdict: null, error: 'not a receipt' });

describe('a notebook in figures', () => {
  it('says nothing of signatures where an answer was altered: its signature is valid, over another text', () => {
    const altered = entry({ verdict: verdict('FAILED', { response: 'failed' }) });
    const sum = summarise([good, altered]);
    expect(sum).toMatchObject({ valid: 1, failed: 1 });
    expect(notebookLine(sum)).toMatch(/^2 answers · 1 as signed, 1 failed · /);
    expect(notebookLine(sum)).not.toContain('signature');
  });

  it('counts only what was computed', () => {
    const sum = summarise([good, bad, edited]);
    expect(sum).toMatchObject({ answers: 3, checked: 3, valid: 2, failed: 1, asked: 0, edited: 1, cost: ['0.012 OPG'] });
    expect(notebookLine(sum)).toBe('3 answers · 2 as signed, 1 failed · 1 cell edited since · registry not asked · 0.012 OPG');
    expect(briefLine(sum)).toBe('1 of 3 failed');
    expect(toneOf(sum)).toBe('bad');
  });

  it('counts a receipt once, however often it is shown, and what cannot be read as failed', () => {
    expect(summarise([good, { ...good, cellId: 'again' }, unread])).toMatchObject({ answers: 2, failed: 1, valid: 1, cost: ['0.0041 OPG'] });
  });

  it('says that it is still checking, and claims nothing before', () => {
    const sum = summarise([good, entry({ verdict: null })]);
    expect(notebookLine(sum)).toBe('2 answers · checking, 1 to go');
    expect(toneOf(sum)).toBe('quiet');
  });

  it('says at once what is simulated', () => {
    const simulated = entry({ verdict: verdict('VERIFIED', {}, true) });
    expect(notebookLine(summarise([simulated]))).toMatch(/^1 simulated answer · 1 as signed/);
    expect(toneOf(summarise([simulated]))).toBe('sim');
    expect(notebookLine(summarise([simulated, good]))).toMatch(/^2 answers · 1 of them simulated/);
  });

  it('adds up each token by itself, and names unknown charges', () => {
    const unknown = receipt({ id: 'B000000000' });
    const sum = summarise([entry({ receipt: { ...unknown, payment: { ...unknown.payment!, charge: 'unknown' } } }), good]);
    expect(sum).toMatchObject({ cost: ['0.0041 OPG'], unknownCharges: 1 });
    expect(notebookLine(sum)).toContain('1 charge unknown');
  });
});

describe('money follows the chain', () => {
  const settled = (status: string, amount: string | null, shared: object[] = []): any => ({ status, amount, shared, remainder: '0' });
  const mine = (amount: string): object => ({ receipt: 'A000000000', amount });
  const other = { receipt: 'B000000000', amount: '7' };
  const nothing = { charge: 'not charged', settled: 0n };

  it.each([
    ['charged', undefined, { charge: 'claimed', settled: null }],
    ['unknown', undefined, { charge: 'unknown', settled: null }],
    ['not charged', undefined, { charge: 'not charged', settled: null }],
    ['charged', settled('open', null), { charge: 'claimed', settled: null }],
    ['charged', settled('spent', null), { charge: 'claimed', settled: null }],
    ['charged', settled('unspent', null), nothing],
    ['unknown', settled('unspent', null), nothing],
    ['charged', settled('spent', '12', [mine('5'), other]), { charge: 'charged', settled: 5n }],
    ['charged', settled('spent', '7', [mine('0'), other]), nothing],
    ['not charged', settled('spent', '7', [mine('7')]), { charge: 'charged', settled: 7n }],
    ['not charged', settled('spent', '7', [mine('0'), other]), nothing],
    ['unknown', settled('spent', '7', [mine('7')]), { charge: 'charged', settled: 7n }],
    ['unknown', settled('spent', '12', [mine('5'), other]), { charge: 'unknown', settled: 5n }],
    ['unknown', settled('spent', '7', [mine('0'), other]), { charge: 'unknown', settled: null }],
    ['charged', settled('spent', '7', [other]), { charge: 'claimed', settled: null }],
    ['charged', settled('spent', '7'), { charge: 'charged', settled: 7n }]
  ])('said %s, found %j', (charge, found, became) => {
    expect(ofPayment({ charge: charge as any, settled: found }, 'A000000000')).toEqual(became);
  });

  it('is said and summed as the chain has it', () => {
    const made = receipt({ id: 'A000000000' });
    expect(cost(made)).toBe('0.0041 OPG claimed ≈ $0.00041');
    const later = (found: any): any => ({ ...made, payment: { ...made.payment!, settled: found } });
    const paid = later(settled('spent', '2000000000000000', [mine('2000000000000000')]));
    expect(cost(paid)).toBe('0.002 OPG settled');
    expect(summarise([entry({ receipt: paid })]).cost).toEqual(['0.002 OPG']);
    const unpaid = later(settled('unspent', null));
    expect(cost(unpaid)).toBe('not charged');
    expect(summarise([entry({ receipt: unpaid })]).cost).toEqual([]);
    expect(figure(1n, { decimals: 18, symbol: 'OPG' })).toBe('<0.000000001 OPG');
    expect(figure(0n, { decimals: 18, symbol: 'OPG' })).toBe('0 OPG');
  });
});

describe('cells without a receipt, and output that none covers', () => {
  const beside = entry({ findings: [{ level: 'incomplete', code: 'beside', message: 'This cell also shows output that no receipt covers.' }] });
  const forged = { cell: 3, cellId: 'forged', run: true, finding: { level: 'incomplete', code: 'no-receipt', message: 'This %%opg cell has no receipt.' } } as const;
  const unrun = { ...forged, cellId: 'unrun', run: false };

  it('are counted, and no green mark stands over them', () => {
    const sum = summarise([good], [forged, unrun]);
    expect(sum).toMatchObject({ answers: 1, valid: 1, failed: 0, without: 1, unrun: 1, beside: 0 });
    expect(notebookLine(sum)).toBe('1 answer · 1 as signed · 1 %%opg cell without receipt · 1 %%opg cell not run · registry not asked · 0.0041 OPG');
    expect(briefLine(sum)).toBe('1 without receipt');
    expect(toneOf(sum)).toBe('warn');
    expect(toneOf(summarise([good], [unrun]))).toBe('ok');
    expect(toneOf(summarise([beside]))).toBe('warn');
    expect(notebookLine(summarise([beside]))).toContain('1 cell with unsigned output');
    expect(notebookLine(summarise([], [forged, { ...forged, cellId: 'other' }]))).toBe('No receipts · 2 %%opg cells without receipt');
    expect(briefLine(summarise([good, bad], [forged]))).toBe('1 of 2 failed');
  });

  it('have a badge', () => {
    expect(badgeOf([], forged)).toMatchObject({ tone: 'warn', text: '! no receipt', edited: null });
    expect(badgeOf([], unrun)).toBeNull();
    expect(badgeOf([beside])).toMatchObject({ tone: 'warn', text: '+ unsigned', title: expect.stringContaining('no receipt covers') });
    expect(badgeOf([{ ...bad, findings: beside.findings }])).toMatchObject({ tone: 'bad', text: '✗ failed' });
    expect(badgeOf([beside, edited])).toMatchObject({ tone: 'warn', text: '≠ edited', title: expect.stringContaining('no receipt covers') });
  });

  it('are listed', () => {
    expect(arrange([good, beside, bad], 'cell', 'all', '')).toEqual([bad, beside, good]);
    expect(arrangeCells([forged, unrun], 'all', ' ')).toEqual([forged, unrun]);
    expect(arrangeCells([forged], 'failed', '')).toEqual([]);
    expect(arrangeCells([forged], 'all', 'prompt')).toEqual([]);
    expect(arrange([good], 'cell', 'without', '')).toEqual([]);
  });
});

describe('the list', () => {
  it('puts differences first, then failures, then edited cells, then cell order', () => {
    expect(arrange([good, edited, bad, differing], 'cell', 'all', '')).toEqual([differing, bad, edited, good]);
  });

  it('filters, searches and sorts', () => {
    expect(arrange([good, bad, unread], 'cell', 'failed', '')).toEqual([bad, unread]);
    expect(arrange([good, edited], 'cell', 'edited', '')).toEqual([edited]);
    const slow = entry({ receipt: receipt({ id: 'C000000000', received_at: '2026-05-04T12:00:09.000000Z', prompt: { text: 'Else', template: null, variables: [], source_sha256: null } }) });
    expect(arrange([good, slow], 'time', 'all', '')).toEqual([slow, good]);
    expect(arrange([good, slow], 'cell', 'all', 'ELSE')).toEqual([slow]);
  });
});

describe('badges', () => {
  it('shows the worst of a cell, in a word', () => {
    expect(badgeOf([])).toBeNull();
    expect(badgeOf([good])).toMatchObject({ tone: 'ok', text: '✓ all 11 pass', edited: null });
    expect(badgeOf([good, bad])).toMatchObject({ tone: 'bad', text: '✗ failed' });
    const partial = entry({ verdict: verdict('PARTIAL', { signature: 'missing' }) });
    expect(badgeOf([good, partial])).toMatchObject({ tone: 'warn', text: '◐ partial' });
    expect(badgeOf([edited])).toMatchObject({ tone: 'warn', text: '≠ edited', edited: 'edited' });
  });
});

describe('a cell of a notebook', () => {
  const cell = (source: string, ...outputs: IOutputLike[]) => ({
    id: 'a',
    executionCount: null,
    sharedModel: { getSource: () => source },
    outputs: { length: outputs.length, get: (i: number) => outputs[i] }
  });
  const like = (type: string, data: unknown): IOutputLike => ({ type, data, metadata: {}, toJSON: () => ({ output_type: type, data, metadata: {} }) });
  const display = (data: unknown): IOutputLike => like('display_data', data);

  it('is looked into for receipts, and for what stands beside them', () => {
    expect(codeOf({ id: 'm', sharedModel: { getSource: () => '# text' } })).toBeNull();
    const code = codeOf(cell('%%opg', display({ 'text/plain': 'x' }), display({ [MIME_TYPE]: receipt() })))!;
    const { displays, others } = lookInto(code);
    expect([displays.map(one => one.output), others.map(one => one.before)]).toEqual([[1], [0]]);
    expect(wholeCellFindings(code, displays, others, besideFindings).map(one => one.code)).toEqual(['beside']);
    expect(wholeCellFindings(codeOf(cell('%%opg'))!, [], [])).toMatchObject([{ code: 'no-receipt', message: expect.stringContaining('not run') }]);
    expect(wholeCellFindings(codeOf(cell('print(1)', display({})))!, [], others)).toEqual([]);
  });

  it('shows a stream, and not a receipt that stands in it', () => {
    const { displays, others } = lookInto(codeOf(cell('%%opg', like('stream', { [MIME_TYPE]: receipt() })))!);
    expect([displays.length, others]).toEqual([1, [{ output: null, before: 1 }]]);
  });
});

describe('export', () => {
  const cases = JSON.parse(readFileSync('../tests/corpus/guarded.json', 'utf8')) as { text: string; guarded: string }[];
  it.each(cases)('a spreadsheet takes $text for text, as in the kernel’s exports', one => {
    expect(guarded(one.text)).toBe(one.guarded);
    expect(field(one.text)).toBe(`"${one.guarded.replace(/"/g, '""')}"`);
  });

  it('quotes as RFC 4180 says', () => {
    expect(field('a "b", c')).toBe('"a ""b"", c"');
    expect(field('plain')).toBe('"plain"');
  });

  it('makes a row an entry, and a line a receipt', () => {
    const evil = entry({ receipt: receipt({ prompt: { text: '=HYPERLINK("x")', template: null, variables: [], source_sha256: null } }) });
    const rows = toCsv([evil, unread]).trimEnd().split('\r\n');
    expect(rows).toHaveLength(3);
    expect(rows[1]).toContain(`"'=HYPERLINK(""x"")"`);
    expect(rows[2]).toContain('"UNREADABLE"');
    expect(toJsonl([{ ...good, document: { a: 1 } }, { ...good, document: { a: 1 } }])).toBe('{"a":1}\n');
  });
});

describe('the reader’s settings', () => {
  it('take only what has its form', () => {
    const hash = 'AB'.repeat(32);
    expect(
      readSettings({
        policy: 'strict',
        pinnedPcrs: [`0x${hash}`, 'x', 7],
        simulatedRoots: [hash, `0x${hash}`],
        skewSeconds: -1,
        explorers: { '8453': 'https://e.example', '1': 'http://e.example', '2': 'javascript:x', '3': 'https://a@b.example' },
        askRegistry: 'yes'
      })
    ).toEqual({
      policy: 'strict',
      pinnedPcrs: [`0x${hash.toLowerCase()}`],
      simulatedRoots: [hash.toLowerCase()],
      skewSeconds: 300,
      explorers: { '8453': 'https://e.example' },
      askRegistry: false,
      mark: true,
      badges: true
    });
  });
});
