/** Long work in slices, so that typing and drawing have their turn between them. */

export class Pace {
  private _since = performance.now();

  constructor(
    private readonly _sliceMs: number,
    private readonly _signal?: AbortSignal
  ) {}

  /** Let others have the event loop if the slice of time is used up; whether it was. Rejects once the signal aborts. */
  async rest(): Promise<boolean> {
    if (performance.now() - this._since < this._sliceMs) {
      return false;
    }
    await turn();
    this._signal?.throwIfAborted();
    this._since = performance.now();
    return true;
  }
}

/** Until the event loop has gone round. Not a timer where it can be helped: browsers make nested ones wait for 4 ms. */
function turn(): Promise<void> {
  return new Promise(resolve => {
    if (typeof MessageChannel === 'undefined') {
      setTimeout(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
