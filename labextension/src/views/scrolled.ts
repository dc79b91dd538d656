/** Lists of any length, of which only what is in view is drawn, and a little around it. */

/** The rows from `first` up to, without, `last`, and the pixels that stand for those before and after. */
export interface ISpan {
  readonly first: number;
  readonly last: number;
  readonly before: number;
  readonly after: number;
}

/** Pixels drawn above and below the view, so that Tab and a short scroll find rows there. */
const MARGIN = 600;

/** The rows of these heights that show between `top` and `bottom`, in pixels from the list's own top. */
export function spanOf(heights: readonly number[], top: number, bottom: number): ISpan {
  let [at, first, before] = [0, 0, 0];
  while (first < heights.length && at + heights[first] < top) {
    at += heights[first++];
  }
  before = at;
  let last = first;
  while (last < heights.length && at < bottom) {
    at += heights[last++];
  }
  let after = 0;
  for (let index = last; index < heights.length; index++) {
    after += heights[index];
  }
  return { first, last, before, after };
}

/** Follows a list in whatever scrolls around it. A drawn row says its number in `data-row`. */
export class Scrolled {
  private _keys: readonly string[] = [];
  private readonly _known = new Map<string, number>();
  private _span: ISpan = { first: 0, last: 0, before: 0, after: 0 };
  private _frame: number | null = null;
  // In a frame of its own: what is drawn then may change the size that is observed.
  private readonly _resized = typeof ResizeObserver === 'undefined' ? null : new ResizeObserver(() => this._soon());
  private readonly _scrolled = ({ target }: Event): void => {
    if (target instanceof Node && target.contains(this._list)) {
      this._soon();
    }
  };

  /** `guess`: the height of a row that was never drawn; `changed` is told when other rows are to be drawn. */
  constructor(
    private readonly _list: HTMLElement,
    private readonly _guess: number,
    private readonly _changed: () => void
  ) {
    // Scrolling does not bubble; caught on its way down, it is heard whichever box scrolls.
    window.addEventListener('scroll', this._scrolled, { capture: true, passive: true });
    this._resized?.observe(_list);
  }

  get span(): ISpan {
    return this._span;
  }

  /** The rows that there are, each by a name of its own; once they are drawn, again, to learn their heights. */
  set(keys: readonly string[]): void {
    this._keys = keys;
    this._look();
  }

  dispose(): void {
    window.removeEventListener('scroll', this._scrolled, { capture: true });
    this._resized?.disconnect();
    if (this._frame !== null) {
      cancelAnimationFrame(this._frame);
    }
  }

  private _soon(): void {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      this._look();
    });
  }

  private _look(): void {
    for (const row of this._list.children) {
      const key = this._keys[Number((row as HTMLElement).dataset.row)];
      const { height } = row.getBoundingClientRect();
      if (key !== undefined && height > 0) {
        this._known.set(key, height);
      }
    }
    const view = viewOf(this._list);
    const top = this._list.getBoundingClientRect().top;
    const heights = this._keys.map(key => this._known.get(key) ?? this._guess);
    const { first, last, before, after } = spanOf(heights, view.top - top - MARGIN, view.bottom - top + MARGIN);
    const old = this._span;
    if (first !== old.first || last !== old.last || Math.abs(before - old.before) > 1 || Math.abs(after - old.after) > 1) {
      this._span = { first, last, before, after };
      this._changed();
    }
  }
}

/** What shows of the nearest box around `node` that scrolls, within the window. */
function viewOf(node: HTMLElement): { top: number; bottom: number } {
  for (let at = node.parentElement; at !== null; at = at.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(at).overflowY) && at.clientHeight > 0) {
      const { top, bottom } = at.getBoundingClientRect();
      return { top: Math.max(0, top), bottom: Math.min(window.innerHeight, bottom) };
    }
  }
  return { top: 0, bottom: window.innerHeight };
}
