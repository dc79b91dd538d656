/** @jest-environment jsdom */
import '@jupyterlab/testing/lib/jest-shim';

import { MessageLoop } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { LedgerView, said } from '../views/ledger-view';
import { Listing } from '../views/listing';
import { summarise } from '../card/summary';
import { spanOf } from '../views/scrolled';
import type { ILedgerPage, ILedgerRow, OpgServer } from '../lab/status';
import type { IEntry, INotebookReceipts } from '../card/tokens';
import { entry, receipt, verdict } from './receipts';

// React's scheduler would hold a channel open, and this process with it.
jest.mock('react-dom/client', () => {
  Reflect.deleteProperty(globalThis, 'MessageChannel');
  return jest.requireActual('react-dom/client');
});
jest.mock('@jupyterlab/apputils', () => ({}));
jest.mock('@jupyterlab/cells', () => ({ CodeCell: class {} }));
jest.mock('@jupyterlab/notebook', () => ({}));
jest.mock('@jupyterlab/services', () => ({}));
jest.mock('@jupyterlab/coreutils', () => ({}));
jest.mock('@jupyterlab/settingregistry', () => ({}));
jest.mock('@jupyterlab/ui-components', () => ({ LabIcon: class {}, ReactWidget: class {} }));

const MANY = 5000;
const settled = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 60));

/** Wait for what a busy machine may draw late. */
async function until(check: () => unknown): Promise<void> {
  for (let waited = 0; !check() && waited < 100; waited++) {
    await settled();
  }
}

/** Lay a list out as a browser would: rows of one height, the list moved up by so much. */
function scroll(list: Element, up: number): Promise<void> {
  list.getBoundingClientRect = () => ({ top: -up, bottom: 1 - up, height: 1 }) as DOMRect;
  document.dispatchEvent(new Event('scroll'));
  return settled();
}

beforeAll(() => {
  (globalThis as any).IS_REACT_ACT_ENVIRONMENT = false;
});

describe('what is in view', () => {
  const rows = Array.from({ length: 100 }, () => 10);

  it.each([
    [0, 50, { first: 0, last: 5, before: 0, after: 950 }],
    [-600, 25, { first: 0, last: 3, before: 0, after: 970 }],
    [500, 530, { first: 49, last: 53, before: 490, after: 470 }],
    [5000, 6000, { first: 100, last: 100, before: 1000, after: 0 }]
  ])('between %d and %d', (top, bottom, span) => {
    expect(spanOf(rows, top, bottom)).toEqual(span);
  });

  it('leaves the list as long as all of its rows', () => {
    for (const top of [-100, 0, 3, 333, 990, 2000]) {
      const { first, last, before, after } = spanOf(rows, top, top + 77);
      expect(before + (last - first) * 10 + after).toBe(1000);
    }
  });
});

describe('the rows of a table', () => {
  it('say what tells them apart, what was answered unless it failed, and what is wrong with which', async () => {
    const template = 'Is this review good or bad? {{review}}';
    const variables = { level: 'note', code: 'from-variables', message: 'Not in the cell; from variables, files or settings: table df.' } as const;
    const made = (row: number, review: string, text: string, changes: Partial<IEntry> = {}): IEntry => {
      const one = receipt({ id: `B${String(row).padStart(9, '0')}` });
      const asked = { ...one, prompt: { ...one.prompt, text: `Is this review good or bad? ${review}`, template }, response: { ...one.response, text } };
      return entry({ cell: 2, cellId: 'c', row, receipt: asked, findings: [variables], ...changes });
    };
    const entries = [
      made(0, 'Lovely lamp', 'It is good.'),
      made(1, 'Smells odd', 'It is forged.', { verdict: verdict('FAILED', { response: 'failed' }) }),
      made(2, 'Too small', 'It is bad.', { verdict: verdict('FAILED', { signature: 'failed' }) }),
      entry({ receipt: receipt({ id: 'C000000000', prompt: { ...receipt().prompt, text: 'Is this review good or bad? Mine', template } }) })
    ];
    const model = { entries, cells: [], summary: summarise(entries), changed: new Signal({}), reveal: jest.fn() };
    const host = document.body.appendChild(document.createElement('div'));
    const root = createRoot(host);
    root.render(<Listing model={model as unknown as INotebookReceipts} name="table.ipynb" />);
    await until(() => host.querySelectorAll('.opg-entry').length === 4);
    const [odd, small, lamp, single] = [...host.querySelectorAll('.opg-entry')].map(one => one.textContent!);
    expect(lamp).toContain('… Lovely lamp→ It is good.');
    expect(lamp).toContain('signature valid');
    expect(lamp).toContain('Not in the cell');
    expect(odd).toContain('… Smells odd');
    expect(odd).toContain('not what the host signed');
    expect(odd).not.toMatch(/forged|signature|Not in the cell/);
    expect(small).toContain('signature not valid');
    expect(single).toContain('Is this review good or bad? Mine');
    expect(single).not.toContain('→');
    root.unmount();
    host.remove();
  });
});

describe('five thousand entries', () => {
  it('cost the panel no more elements than fill the view', async () => {
    const entries = Array.from({ length: MANY }, (_, index) => entry({ cell: index, cellId: `cell-${index}` }));
    const model = { entries, cells: [], summary: summarise(entries.slice(0, 1)), changed: new Signal({}), reveal: jest.fn() };
    const host = document.body.appendChild(document.createElement('div'));
    const root = createRoot(host);
    root.render(<Listing model={model as unknown as INotebookReceipts} name="long.ipynb" />);
    await until(() => host.querySelectorAll('.opg-entry').length > 5);
    const list = host.querySelector('.opg-entries')!;
    const first = list.querySelectorAll('.opg-entry').length;
    expect(first).toBeGreaterThan(5);
    expect(host.querySelectorAll('*').length).toBeLessThan(600);
    expect(list.querySelector('li')!.getAttribute('aria-setsize')).toBe(String(MANY));

    await scroll(list, 92 * 2500);
    await until(() => list.textContent!.includes('cell 2501'));
    expect(list.textContent).toContain('cell 2501');
    expect(list.textContent).not.toContain('cell 1 ');
    expect(host.querySelectorAll('*').length).toBeLessThan(600);
    (list.querySelector('[data-row="2500"] button') as HTMLElement).click();
    expect(model.reveal).toHaveBeenCalledWith(entries[2500]);
    root.unmount();
    host.remove();
  });

  it('cost the ledger no more, and come page by page', async () => {
    const rows = Array.from({ length: MANY }, (_, index) => row(index));
    const asked: string[] = [];
    const server = {
      ledger: async (after: string | null, limit: number, words: string): Promise<ILedgerPage> => {
        asked.push(words);
        const found = rows.filter(one => one.prompt!.includes(words));
        const start = Number(after ?? 0);
        const end = start + limit;
        return { rows: found.slice(start, end), next: end < found.length ? String(end) : null, total: found.length, state: '1' };
      },
      ledgerUnless: async () => null
    };
    const view = new LedgerView(server as unknown as OpgServer, () => 18);
    Widget.attach(view, document.body);
    MessageLoop.sendMessage(view, Widget.Msg.AfterShow);
    await until(() => view.node.textContent!.includes('calls, newest first'));
    const list = view.node.querySelector('.opg-ledger-list')!;
    expect(asked).toEqual(['']);
    expect(view.node.textContent).toContain('5,000 calls, newest first.');
    let most = 0;
    for (let page = 0; asked.length < MANY / 100; page++) {
      await scroll(list, 84 * 100 * page);
      most = Math.max(most, view.node.querySelectorAll('*').length);
      expect(page).toBeLessThan(80);
    }
    await scroll(list, 84 * (MANY - 8));
    await until(() => list.textContent!.includes('question 4999'));
    most = Math.max(most, view.node.querySelectorAll('*').length);
    expect(list.textContent).toContain('question 4999');
    expect(most).toBeLessThan(400);

    const search = view.node.querySelector('input')!;
    search.value = ' question 321 ';
    search.dispatchEvent(new Event('input'));
    await until(() => view.node.textContent!.includes('calls with these words'));
    await scroll(list, 0);
    await until(() => list.querySelectorAll('li').length === 11);
    expect(asked.pop()).toBe('question 321');
    expect(list.querySelectorAll('li')).toHaveLength(11);
    expect(view.node.textContent).toContain('11 calls with these words');
    view.dispose();
  });

  it('are searched for what was typed last, whichever answer comes last', async () => {
    const answers = new Map<string, (page: ILedgerPage) => void>();
    const server = { ledger: (_: unknown, __: number, words: string) => new Promise<ILedgerPage>(resolve => answers.set(words, resolve)) };
    const view = new LedgerView(server as unknown as OpgServer, () => 18);
    const search = view.node.querySelector('input')!;
    for (const words of ['slow', 'late']) {
      search.value = words;
      void view.load(true);
    }
    answers.get('late')!({ rows: [row(2)], next: null, total: 1, state: '1' });
    await settled();
    answers.get('slow')!({ rows: [row(1), row(3)], next: null, total: 2, state: '1' });
    await settled();
    expect(view.node.textContent).toContain('1 call with these words');
    expect([...view.node.querySelectorAll('li')].map(one => one.dataset.receipt)).toEqual([row(2).id]);
    view.dispose();
  });
});

describe('the ledger that other kernels and shells write', () => {
  it('is followed while the list shows, and what is drawn stays', async () => {
    let rows = Array.from({ length: 130 }, (_, index) => row(index + 1));
    const pages: (string | null)[] = [];
    const states: string[] = [];
    let state = 'a';
    const page = (start: number, end: number): ILedgerPage => ({ rows: rows.slice(start, end), next: end < rows.length ? String(end) : null, total: rows.length, state });
    const server = {
      ledger: async (after: string | null, limit: number): Promise<ILedgerPage> => {
        pages.push(after);
        return page(Number(after ?? 0), Number(after ?? 0) + limit);
      },
      ledgerUnless: async (known: string, limit: number): Promise<ILedgerPage | null> => {
        states.push(known);
        return known === state ? null : page(0, limit);
      }
    };
    const view = new LedgerView(server as unknown as OpgServer, () => 18, 10);
    const drawn = (): (string | undefined)[] => [...view.node.querySelectorAll('li')].map(one => one.dataset.receipt);
    Widget.attach(view, document.body);
    await until(() => view.node.textContent!.includes('130 calls, newest first'));
    await view.load(false);
    const first = view.node.querySelector('li');

    rows = [{ ...row(0), verdict: null, has_receipt: false }, ...rows];
    state = 'b';
    await until(() => view.node.textContent!.includes('131 calls, newest first'));
    expect(drawn().slice(0, 3)).toEqual([row(0).id, row(1).id, row(2).id]);
    expect(view.node.querySelectorAll('li')[1]).toBe(first);
    expect(first!.dataset.row).toBe('1');
    expect(view.node.querySelector('li')!.textContent).toContain('no receipt');

    rows = [row(0), ...rows.slice(1)];
    state = 'c';
    await until(() => view.node.querySelector('li')!.textContent!.includes('VERIFIED'));
    expect(view.node.textContent).toContain('131 calls, newest first');
    // The rows beyond the first page are not fetched again, and there is none twice.
    expect(pages).toEqual([null, '100']);
    expect((view as any)._rows.map((one: ILedgerRow) => one.id)).toEqual(rows.map(one => one.id));

    view.hide();
    const asked = states.length;
    state = 'd';
    await new Promise(resolve => setTimeout(resolve, 60));
    expect(states.length).toBe(asked);
    rows = [row(200), ...rows];
    view.show();
    await until(() => view.node.textContent!.includes('132 calls, newest first'));
    view.dispose();
  });
});

it('says how many calls there are, or were found', () => {
  expect(said(0, '')).toBe('Your ledger has no calls yet.');
  expect(said(0, 'x')).toBe('No call in your ledger has these words.');
  expect(said(20000, '')).toMatch(/^20,000 calls, newest first\./);
});

function row(index: number): ILedgerRow {
  return {
    id: String(index).padStart(10, 'A'),
    time: '2026-11-25T10:00:00Z',
    has_receipt: true,
    notebook: 'a.ipynb',
    cell: 1,
    model: 'openai/gpt-5',
    host: null,
    verdict: 'VERIFIED',
    simulated: false,
    withheld: false,
    charge: 'charged',
    cost_base_units: '1',
    settled_base_units: '1',
    token: 'OPG',
    prompt: `question ${index}`,
    answer: null,
    problem: null
  };
}
