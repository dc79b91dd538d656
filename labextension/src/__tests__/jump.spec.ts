/** @jest-environment jsdom */
/** A jump to a cell goes on until one is there, and not against the reader. */

import type { Cell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';
import { Signal } from '@lumino/signaling';

import { jump } from '../lab/jump';

/** A notebook that shows 500 pixels; a cell of 40 that is where a test puts it. */
class Place {
  top: number | null = null;
  scrolls = 0;
  arrives = true;
  readonly node = document.createElement('div');
  readonly cell: Cell;
  readonly notebook: Notebook;

  constructor(windowingMode: string) {
    const outerNode = document.createElement('div');
    outerNode.getBoundingClientRect = () => ({ top: 100, bottom: 600, height: 500 }) as DOMRect;
    this.node.getBoundingClientRect = () => ({ top: this.top, bottom: this.top! + 40, height: 40 }) as DOMRect;
    const cell = { node: this.node };
    this.cell = Object.assign(cell, { disposed: new Signal<unknown, void>(cell) }) as unknown as Cell;
    this.notebook = {
      outerNode,
      notebookConfig: { windowingMode },
      scrollToCell: async () => {
        this.scrolls++;
        if (this.arrives && (this.node.isConnected || windowingMode === 'full')) {
          this.put(100);
        }
      }
    } as unknown as Notebook;
  }

  /** Have the cell in the page, that far from its upper edge. */
  put(top: number): void {
    this.top = top;
    document.body.append(this.node);
  }
}

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
  document.body.replaceChildren();
});

function begin(place: Place): { ended: boolean | null } {
  const state = { ended: null as boolean | null };
  void jump(place.notebook, place.cell).then(ended => (state.ended = ended));
  return state;
}

test('a cell that comes after JupyterLab gave up is gone to when it comes', async () => {
  const place = new Place('contentVisibility');
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(20_000);
  expect(place.scrolls).toBe(1);
  expect(jumped.ended).toBeNull();
  place.put(9_000);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(place.scrolls).toBe(2);
  expect(jumped.ended).toBe(true);
});

test('a cell that others push away while it settles is gone to again', async () => {
  const place = new Place('defer');
  place.put(3_000);
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(150);
  expect(place.top).toBe(100);
  place.top = 700;
  await jest.advanceTimersByTimeAsync(150);
  expect(jumped.ended).toBeNull();
  await jest.advanceTimersByTimeAsync(1_000);
  expect(place.top).toBe(100);
  expect(place.scrolls).toBe(2);
  expect(jumped.ended).toBe(true);
});

test('a cell that is pushed away after it settled is gone to again, until the reader goes on', async () => {
  const place = new Place('contentVisibility');
  place.put(3_000);
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(jumped.ended).toBe(true);
  place.top = 7_000;
  await jest.advanceTimersByTimeAsync(500);
  expect([place.top, place.scrolls]).toEqual([100, 2]);
  // Its beginning alone, at the lower edge, is not a cell in view.
  place.top = 590;
  await jest.advanceTimersByTimeAsync(500);
  expect([place.top, place.scrolls]).toEqual([100, 3]);
  document.body.dispatchEvent(new Event('wheel', { bubbles: true }));
  place.top = 7_000;
  await jest.advanceTimersByTimeAsync(1_000);
  expect(place.scrolls).toBe(3);
});

test('with full windowing, scrolling is what brings the cell', async () => {
  const place = new Place('full');
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(place.node.isConnected).toBe(true);
  expect(jumped.ended).toBe(true);
});

test.each(['wheel', 'pointerdown', 'keydown'])('a reader who goes on (%s) is not pulled back', async kind => {
  const place = new Place('contentVisibility');
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(1_000);
  document.body.dispatchEvent(new Event(kind, { bubbles: true }));
  await jest.advanceTimersByTimeAsync(0);
  expect(jumped.ended).toBe(false);
  place.put(9_000);
  await jest.advanceTimersByTimeAsync(5_000);
  expect(place.scrolls).toBe(1);
});

test('the next jump ends the one before', async () => {
  const place = new Place('contentVisibility');
  const first = begin(place);
  await jest.advanceTimersByTimeAsync(500);
  const second = begin(place);
  await jest.advanceTimersByTimeAsync(500);
  expect([first.ended, second.ended]).toEqual([false, null]);
  place.put(9_000);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(second.ended).toBe(true);
});

test('a cell that is taken away ends it', async () => {
  const gone = new Place('contentVisibility');
  const jumped = begin(gone);
  await jest.advanceTimersByTimeAsync(500);
  (gone.cell.disposed as Signal<Cell, void>).emit();
  await jest.advanceTimersByTimeAsync(0);
  expect(jumped.ended).toBe(false);
});

test('a cell that never comes is not waited for without end', async () => {
  const place = new Place('contentVisibility');
  place.arrives = false;
  place.put(9_000);
  const jumped = begin(place);
  await jest.advanceTimersByTimeAsync(1_000);
  const scrolls = place.scrolls;
  expect(scrolls).toBeGreaterThan(5);
  expect(jumped.ended).toBeNull();
  // The clock alone goes on: thousands of looks, each a real turn of the event loop, would say no more.
  const now = performance.now();
  jest.spyOn(performance, 'now').mockReturnValue(now + 301_000);
  await jest.advanceTimersByTimeAsync(200);
  expect(jumped.ended).toBe(false);
  expect(place.scrolls).toBeLessThanOrEqual(scrolls + 1);
});
