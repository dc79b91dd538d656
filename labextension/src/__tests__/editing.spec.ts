/** @jest-environment jsdom */
import '@jupyterlab/testing/lib/jest-shim';
import { costOf, LedgerView, verdictOf } from '../views/ledger-view';
import { Signal } from '@lumino/signaling';
import { displayOf, runsBeside } from '../lab/beside';
import { Elsewhere } from '../lab/elsewhere';
import { hashIn, PinBody, pinnable } from '../lab/pinning';
import { OpgCompletion } from '../editing/completer';
import { content, pythonSpec } from '../views/launcher';
import { Running, untilSeen } from '../lab/live';
import { IServerStatus, OpgServer, ServerRefused, StatusSource } from '../lab/status';
import { StatusItem, words } from '../views/status-bar';
import { isOpg } from '../cells/magic';

// JupyterLab itself is not needed here, and slow to load: its names stand for nothing.
jest.mock('@jupyterlab/apputils', () => ({ Notification: { warning: jest.fn(), info: jest.fn() } }));
jest.mock('@jupyterlab/completer', () => ({}));
jest.mock('@jupyterlab/launcher', () => ({}));
jest.mock('@jupyterlab/mainmenu', () => ({}));
jest.mock('@jupyterlab/notebook', () => ({}));
jest.mock('@jupyterlab/services', () => ({}));
jest.mock('@jupyterlab/settingregistry', () => ({}));
jest.mock('@jupyterlab/statusbar', () => ({}));
jest.mock('@jupyterlab/ui-components', () => ({ LabIcon: class {} }));

const STATUS: IServerStatus = {
  version: '0.1.0',
  network: { name: 'sim', title: 'Simulated network', simulated: true, up: true, run_id: 'r' },
  token: { symbol: 'sim-OPG', decimals: 18 },
  limits: { call: '100000000000000000', kernel: '1000000000000000000', day: '5000000000000000000' },
  today: { reserved: '300000000000000000', cost: '4100000000000000' },
  running: 0,
  policy: 'default',
  model: 'openai/gpt-5',
  registry_rpcs: 0,
  hosts: [{ name: 'anna', tee_id: '0xab' }],
  simulated_roots: []
};

function editor(source: string, offset: number): any {
  return {
    model: { sharedModel: { getSource: () => source } },
    getCursorPosition: () => offset,
    getOffsetAt: (position: number) => position
  };
}

describe('completion', () => {
  const provider = new OpgCompletion(() => STATUS);

  test('stands in the lines of the magics and in %%opg cells', async () => {
    const applies = (source: string) => provider.isApplicable({ widget: null as any, editor: editor(source, source.length) });
    expect(await applies('%%opg --m')).toBe(true);
    expect(await applies('x = %opg st')).toBe(true);
    expect(await applies('import os')).toBe(false);
    expect(await provider.isApplicable({ widget: null as any })).toBe(false);
  });

  test('counts characters as the completer does', async () => {
    const text = '%%opg --system "😀" --mo';
    const length = Array.from(text).length;
    expect(await provider.fetch({ text, offset: length })).toMatchObject({
      start: length - 4,
      end: length,
      items: [{ label: '--model', insertText: '--model', type: 'flag' }]
    });
  });

  test('knows hosts from the status', async () => {
    const { items } = await provider.fetch({ text: '%%opg --host ', offset: 13 });
    expect(items.map(item => item.label)).toEqual(['0xab']);
  });

  test('as one types: in the line, never in the prompt', () => {
    const typed = (source: string, insert: string) =>
      provider.shouldShowContinuousHint(false, { sourceChange: [{ insert }] } as any, {
        widget: null as any,
        editor: editor(source, source.length)
      });
    expect(typed('%%opg --m', 'm')).toBe(true);
    expect(typed('%%opg -', '-')).toBe(true);
    expect(typed('%%opg\nthe', 'e')).toBe(false);
    expect(typed('%%opg --model pasted', 'pasted')).toBe(false);
  });
});

describe('the status bar', () => {
  test('a simulated network in plain sight, and the day’s sums', () => {
    const { text, title } = words({ ...STATUS, running: 2 });
    expect(text).toBe('opg: simulated network · 0.3 of 5 sim-OPG today · 2 running');
    expect(title).toContain('no real money');
    expect(title).toContain('0.0041 sim-OPG');
  });

  test('not running, and a real network', () => {
    expect(words({ ...STATUS, today: null, network: { ...STATUS.network, up: false } }).text).toBe('opg: simulated network · not running');
    const real = { ...STATUS, network: { name: 'opengradient', title: 'OpenGradient', simulated: false, up: true, run_id: null } };
    expect(words(real).text).not.toContain('simulated');
    expect(words(real).text).toContain('OpenGradient');
  });

  test('follows what the server says, and opens on a click', async () => {
    let fails = false;
    const server = {
      status: () => (fails ? Promise.reject(new ServerRefused('settings broken', 500, 'settings')) : Promise.resolve(STATUS))
    } as unknown as OpgServer;
    const source = new StatusSource(server);
    expect(await source.ready).toBe(true);
    const opened = jest.fn();
    const item = new StatusItem(source, opened);
    expect(item.node.textContent).toContain('simulated network');
    item.node.click();
    expect(opened).toHaveBeenCalledTimes(1);
    fails = true;
    await source.refresh();
    expect(item.node.textContent).toBe('opg: status unknown');
    expect(item.node.title).toBe('settings broken');
    source.dispose();
  });

  test('a server without the extension is asked once', async () => {
    const status = jest.fn(() => Promise.reject(new ServerRefused('no', 404, null)));
    const source = new StatusSource({ status } as unknown as OpgServer);
    expect(await source.ready).toBe(false);
    await source.refresh();
    expect(status).toHaveBeenCalledTimes(1);
    source.dispose();
  });
});

/** As much of a cell as the stop button needs. */
function cell(source: string): any {
  const node = document.createElement('div');
  return { isDisposed: false, inputArea: { node }, node, model: { type: 'code', sharedModel: { getSource: () => source } } };
}

const button = (at: any): HTMLButtonElement | null => at.node.querySelector('button.opg-stop');

describe('the stop button', () => {
  test('stands at the cell that runs, and goes with its end', () => {
    const running = new Running(async () => undefined);
    const [python, first, second] = [cell('x = 1'), cell('%%opg\na'), cell('%%opg\nb')];
    for (const each of [python, first, second]) {
      running.scheduled(each);
    }
    expect([first, second].map(button)).toEqual([null, null]);
    running.ended(python);
    expect(button(first)).not.toBeNull();
    expect(button(second)).toBeNull();
    running.ended(first);
    expect(button(first)).toBeNull();
    expect(button(second)).not.toBeNull();
    running.clear();
    expect(button(second)).toBeNull();
  });

  test('interrupts once', async () => {
    const interrupt = jest.fn(async () => undefined);
    const running = new Running(interrupt);
    const only = cell('%%opg\na');
    running.scheduled(only);
    button(only)!.click();
    button(only)!.click();
    await running.stop();
    expect(interrupt).toHaveBeenCalledTimes(1);
    expect(button(only)!.disabled).toBe(true);
  });

  test('a cell that was deleted while it ran', () => {
    const running = new Running(async () => undefined);
    const [first, second] = [cell('%%opg\na'), cell('%%opg\nb')];
    running.scheduled(first);
    first.isDisposed = true;
    running.scheduled(second);
    expect(running.now).toBe(second);
  });
});

/** A notebook whose one cell was saved while its call ran, and a kernel that says what a test lets it say. */
function panel(saved: any[]): any {
  const outputs = { length: saved.length, get: (at: number) => saved[at], set: (at: number, value: any) => void (saved[at] = value) };
  const only = cell('%%opg\na');
  only.model.outputs = outputs;
  const it: any = { content: { widgets: [only] }, context: { ready: Promise.resolve() }, isDisposed: false };
  it.disposed = new Signal<any, void>(it);
  const session = { kernel: { status: 'unknown', clientId: 'this page' } };
  it.sessionContext = { session, iopubMessage: new Signal<any, any>(it), kernelChanged: new Signal<any, void>(it) };
  it.say = (msg_type: string, content: any, session = 'another page') =>
    it.sessionContext.iopubMessage.emit({
      header: { msg_type },
      parent_header: { msg_id: 'request', msg_type: 'execute_request', session },
      content
    });
  return it;
}

describe('a call that another page began', () => {
  const display = 'opg-0123456789abcdef';
  const running = { data: { 'text/plain': 'answering' }, metadata: { opg: { display } }, transient: { display_id: display } };
  const settled = { data: { 'text/plain': 'card' }, metadata: {}, transient: { display_id: display } };
  const { info } = jest.requireMock('@jupyterlab/apputils').Notification;
  beforeEach(() => {
    jest.useFakeTimers();
    info.mockClear();
  });
  afterEach(() => jest.useRealTimers());

  test('goes on in the output that it was saved with, and ends there', () => {
    const saved = [{ metadata: { opg: { display } } }] as any[];
    const page = panel(saved);
    const changed = jest.fn();
    const elsewhere = new Elsewhere(page, changed);
    page.say('update_display_data', running);
    expect(saved[0].data['text/plain']).toBe('answering');
    expect(elsewhere.running?.cell).toBe(page.content.widgets[0]);
    page.say('update_display_data', settled);
    page.say('status', { execution_state: 'idle' });
    expect(saved[0].data['text/plain']).toBe('card');
    expect(displayOf(saved[0].metadata)).toBeNull();
    expect(elsewhere.running).toBeNull();
    expect(changed).toHaveBeenCalledTimes(2);
    expect(info).not.toHaveBeenCalled();
  });

  test('has no cell where the file does not hold it: its end is told', () => {
    const page = panel([{ metadata: {} }]);
    const elsewhere = new Elsewhere(page, () => undefined);
    page.say('update_display_data', running);
    expect(elsewhere.running).toEqual({ request: 'request', cell: null });
    page.say('update_display_data', { ...settled, data: { 'application/vnd.opg.receipt.v1+json': { id: 'M6Q01SQH6T' } } });
    expect(info.mock.calls[0][0]).toContain('%opg show M6Q01SQH6T');
  });

  test('may be what a kernel is busy with that says nothing', async () => {
    const page = panel([{ metadata: { opg: { display } } }]);
    const elsewhere = new Elsewhere(page, () => undefined);
    await page.context.ready;
    jest.advanceTimersByTime(1600);
    expect(elsewhere.running?.cell).toBe(page.content.widgets[0]);
    page.say('status', { execution_state: 'idle' });
    expect(elsewhere.running).toBeNull();
  });

  test.each(['idle', 'restarting'])('whose end nobody saw does not seem to run for ever (%s)', status => {
    const saved = [{ metadata: { opg: { display } }, data: { 'text/plain': 'answering' } }] as any[];
    const page = panel(saved);
    const elsewhere = new Elsewhere(page, () => undefined);
    page.sessionContext.session.kernel.status = status;
    page.say('status', { execution_state: status });
    jest.advanceTimersByTime(1600);
    expect(saved[0].data['text/plain']).toMatch(/was not seen here.*restarted.*%opg receipts$/);
    expect(displayOf(saved[0].metadata)).toBeNull();
    expect(elsewhere.running).toBeNull();
  });

  test('that still runs keeps its display', () => {
    const saved = [{ metadata: { opg: { display } }, data: { 'text/plain': 'answering' } }] as any[];
    const page = panel(saved);
    const elsewhere = new Elsewhere(page, () => undefined);
    page.say('status', { execution_state: 'idle' });
    page.say('update_display_data', running);
    page.sessionContext.session.kernel.status = 'busy';
    jest.advanceTimersByTime(1600);
    expect(saved[0].data['text/plain']).toBe('answering');
    expect(elsewhere.running).not.toBeNull();
  });

  test('is not one of this page, nor a display of somebody else', () => {
    const page = panel([{ metadata: { opg: { display } } }]);
    const elsewhere = new Elsewhere(page, () => undefined);
    page.say('update_display_data', running, 'this page');
    page.say('update_display_data', { ...running, transient: { display_id: 'widget' } });
    expect(elsewhere.running).toBeNull();
  });

  describe('beside the work', () => {
    const besides = () => ({ opg: { display, beside: Date.now() / 1000 + 600 } });
    const more = () => ({ ...running, metadata: besides() });
    const kernelOf = (page: any) => page.sessionContext.session.kernel;
    const outputsOf = (page: any) => page.content.widgets[0].model.outputs;

    test('runs on in a kernel that is free, and ends by its own word', () => {
      const saved = [{ metadata: besides(), data: { 'text/plain': 'answering' } }] as any[];
      const page = panel(saved);
      const elsewhere = new Elsewhere(page, () => undefined);
      kernelOf(page).status = 'idle';
      page.say('display_data', more(), 'this page');
      page.say('status', { execution_state: 'idle' }, 'this page');
      jest.advanceTimersByTime(60_000);
      expect(saved[0].data['text/plain']).toBe('answering');
      expect(runsBeside(outputsOf(page))).toBe(true);
      expect(elsewhere.running).toBeNull(); // an interrupt would not stop it
      page.say('update_display_data', settled, 'this page');
      expect(saved[0].data['text/plain']).toBe('answering'); // JupyterLab's own to update
      expect(runsBeside(outputsOf(page))).toBe(false);
    });

    test('goes on where the page was loaded anew, under whichever cell ran last', () => {
      const saved = [{ metadata: besides(), data: { 'text/plain': 'answering' } }] as any[];
      const page = panel(saved);
      const elsewhere = new Elsewhere(page, () => undefined);
      expect(runsBeside(outputsOf(page))).toBe(false); // the file alone is nobody's word
      page.say('update_display_data', { ...more(), data: { 'text/plain': 'more' } }, 'this page');
      expect(saved[0].data['text/plain']).toBe('more');
      expect(runsBeside(outputsOf(page))).toBe(true);
      page.say('update_display_data', settled, 'this page');
      expect(saved[0].data['text/plain']).toBe('card');
      expect(elsewhere.running).toBeNull();
    });

    test.each(['idle', 'busy'])('ends with its kernel (%s again)', status => {
      const saved = [{ metadata: besides(), data: { 'text/plain': 'answering' } }] as any[];
      const page = panel(saved);
      new Elsewhere(page, () => undefined);
      page.say('display_data', more(), 'this page');
      page.say('status', { execution_state: 'restarting' });
      kernelOf(page).status = status;
      jest.advanceTimersByTime(1600);
      expect(saved[0].data['text/plain']).toMatch(/was not seen here/);
    });

    test('does not seem to run for ever', () => {
      const saved = [{ metadata: besides(), data: { 'text/plain': 'answering' } }] as any[];
      const page = panel(saved);
      new Elsewhere(page, () => undefined);
      kernelOf(page).status = 'idle';
      jest.setSystemTime(Date.now() + 700_000);
      page.say('status', { execution_state: 'idle' });
      jest.advanceTimersByTime(1600);
      expect(saved[0].data['text/plain']).toMatch(/was not seen here/);
    });
  });

  test('is stopped first, then what this page has in the queue', () => {
    const bar = jest.fn((node: HTMLElement) => () => node.remove());
    const list = new Running(async () => undefined, bar);
    const mine = cell('%%opg\na');
    list.elsewhere({ cell: null });
    list.scheduled(mine);
    expect(bar.mock.calls[0][0].textContent).toBe('■ Stop AI call');
    expect(button(mine)).toBeNull();
    list.elsewhere(null);
    expect(button(mine)?.textContent).toBe('■ Stop');
  });
});

describe('a new notebook', () => {
  const spec = (name: string, language: string): any => ({ name, language, display_name: name });

  test('takes a Python kernel, the default one if it is one', () => {
    const kernelspecs = { r: spec('r', 'R'), a: spec('a', 'python'), b: spec('b', 'python') };
    expect(pythonSpec({ default: 'b', kernelspecs })?.name).toBe('b');
    expect(pythonSpec({ default: 'r', kernelspecs })?.name).toBe('a');
    expect(pythonSpec({ default: 'r', kernelspecs: { r: kernelspecs.r } })).toBeNull();
    expect(pythonSpec(null)).toBeNull();
  });

  test('loads the extension, then asks', () => {
    const { cells, metadata } = content(spec('python3', 'python'));
    expect(cells.map(one => one.cell_type)).toEqual(['markdown', 'code', 'code']);
    expect(cells[1].source).toBe('%load_ext opg_magic');
    expect(isOpg(cells[2].source as string)).toBe(true);
    expect(metadata.kernelspec?.name).toBe('python3');
  });
});

describe('rows of the ledger', () => {
  const row: any = {
    verdict: 'SIMULATED',
    has_receipt: true,
    cost_base_units: '4100000000000000',
    settled_base_units: null,
    token: 'sim-OPG',
    charge: 'claimed'
  };

  test('cost and verdict say when they are not known', () => {
    expect(costOf(row, 18)).toBe('0.0041 sim-OPG claimed');
    expect(costOf({ ...row, charge: 'charged', settled_base_units: '3000000000000000' }, 18)).toBe('0.003 sim-OPG');
    expect(costOf({ ...row, charge: 'unknown' }, 18)).toBe('charge unknown');
    expect(costOf({ ...row, charge: 'not charged', settled_base_units: '0' }, 18)).toBe('not charged');
    expect(costOf({ ...row, cost_base_units: null }, 18)).toBe('claimed');
    expect(costOf({ ...row, charge: null }, 18)).toBe('');
    expect(verdictOf({ ...row, verdict: null })).toBe('UNCHECKED');
    expect(verdictOf({ ...row, verdict: null, has_receipt: false })).toBe('no receipt');
  });
});

describe('the list of the ledger', () => {
  // More rows than come near the end at once.
  const rows: any[] = Array.from({ length: 100 }, (_, n) => ({ id: `R${n}`, time: '2026-05-04T12:00:00Z', has_receipt: true, charge: null }));

  test('goes on with the words of the rows that are there, though others were typed and failed', async () => {
    const asked: [string | null, string][] = [];
    const server: any = {
      ledger: async (after: string | null, _limit: number, words: string) => {
        asked.push([after, words]);
        if (words === 'later') {
          throw new Error('no server');
        }
        return { rows, next: after === null ? 'cursor' : null, total: 200, state: '1' };
      }
    };
    const view = new LedgerView(server, () => 18);
    const box = view.node.querySelector('input')!;
    box.value = 'first';
    await view.load(true);
    box.value = 'later';
    await view.load(true);
    await view.load(false);
    expect(asked).toEqual([[null, 'first'], [null, 'later'], ['cursor', 'first']]);
    view.dispose();
  });
});

describe('a call that this page began', () => {
  test('is asked for until the server knows of it, and no longer than its cell runs', async () => {
    const seen = async (answers: (number | null)[], runs: number): Promise<number> => {
      let asked = 0;
      const status: any = {
        current: null,
        refresh: async () => {
          const running = answers[Math.min(asked++, answers.length - 1)];
          status.current = running === null ? null : { running };
        }
      };
      await untilSeen(status, () => asked < runs, async () => undefined);
      return asked;
    };
    expect(await seen([1], 99)).toBe(1);
    expect(await seen([0, 0, 1], 99)).toBe(3);
    expect(await seen([0], 2)).toBe(2);
    expect(await seen([1], 0)).toBe(0);
    expect(await seen([null], 99)).toBe(1);
    expect(await seen([0], 99)).toBe(10);
  });
});

describe('what can be pinned', () => {
  const hash = `0x${'ab'.repeat(32)}`;
  const entry = (status: string, basis: string, failed = false): any => ({
    verdict: { claims: { attestation: { status, basis, facts: { pcr_hash: hash } } } },
    findings: failed ? [{ level: 'failed' }] : []
  });

  test('code that is proven here, and not pinned yet', () => {
    expect([...pinnable([entry('passed', 'proven'), entry('passed', 'proven')], [])]).toEqual([[hash, 2]]);
    expect(pinnable([entry('passed', 'proven')], [hash.toUpperCase().replace('X', 'x')]).size).toBe(0);
    expect(pinnable([entry('failed', 'proven'), entry('passed', 'recorded'), entry('passed', 'proven', true)], []).size).toBe(0);
    expect(pinnable([{ verdict: null, findings: [] } as any], []).size).toBe(0);
    const unpinned = entry('failed', 'proven');
    unpinned.verdict.claims.attestation.code = 'not-pinned';
    unpinned.findings = [{ level: 'failed', code: 'saved-differs' }];
    expect([...pinnable([unpinned], ['0xother'])]).toEqual([[hash, 1]]);
    unpinned.verdict.claims.signature = { status: 'failed', code: 'signature' };
    expect(pinnable([unpinned], ['0xother']).size).toBe(0);
  });

  test('a hash as one may write it, and nothing else', () => {
    expect(hashIn(` ${hash.toUpperCase()} `)).toBe(hash);
    expect(hashIn('ab'.repeat(32))).toBe(hash);
    for (const wrong of ['', '0x', hash.slice(0, -1), `${hash}0`, hash.replace('a', 'g')]) {
      expect(hashIn(wrong)).toBeNull();
    }
  });

  test('is what stands ticked, and what was entered; nothing while that is no hash', () => {
    const other = `0x${'cd'.repeat(32)}`;
    const body = new PinBody([other], new Map([[hash, 2]]));
    const [kept, offered] = Array.from(body.node.querySelectorAll<HTMLInputElement>('input[type=checkbox]'));
    expect(body.getValue()).toEqual([other]);
    kept.checked = false;
    offered.checked = true;
    expect(body.getValue()).toEqual([hash]);
    const line = body.node.querySelector<HTMLInputElement>('input[type=text]')!;
    const enter = (text: string): void => {
      line.value = text;
      line.dispatchEvent(new Event('input'));
    };
    enter('0xabc');
    expect(body.getValue()).toBeNull();
    expect(line.validity.valid).toBe(false);
    expect(body.node.querySelector('[role=alert]')!.textContent).toContain('64 hex digits');
    enter(other);
    expect(line.validity.valid).toBe(true);
    expect(body.getValue()).toEqual([hash, other]);
  });
});
