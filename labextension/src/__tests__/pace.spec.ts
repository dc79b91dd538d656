import { Pace } from '../base/pace';

describe('slices of time', () => {
  let clock = 0;
  let spy: jest.SpyInstance;

  beforeEach(() => {
    clock = 0;
    spy = jest.spyOn(performance, 'now').mockImplementation(() => clock);
  });
  afterEach(() => spy.mockRestore());

  /** Whether a task that waited already had its turn before the rest was over. */
  async function letsOthersIn(pace: Pace): Promise<boolean> {
    let others = false;
    const { port1, port2 } = new MessageChannel();
    const other = new Promise<void>(resolve => (port1.onmessage = () => resolve(void (others = true))));
    port2.postMessage(null);
    const rested = await pace.rest();
    const had = others;
    await other;
    port1.close();
    expect(had).toBe(rested);
    return had;
  }

  it('goes on while there is time', async () => {
    const pace = new Pace(10);
    clock = 9.9;
    expect(await letsOthersIn(pace)).toBe(false);
  });

  it('rests when the slice is used up, and then has a new one', async () => {
    const pace = new Pace(10);
    clock = 10;
    expect(await letsOthersIn(pace)).toBe(true);
    clock = 19;
    expect(await pace.rest()).toBe(false);
    clock = 20;
    expect(await pace.rest()).toBe(true);
  });

  it('stops at a rest once nobody wants the result', async () => {
    const controller = new AbortController();
    const pace = new Pace(10, controller.signal);
    controller.abort(new Error('closed'));
    expect(await pace.rest()).toBe(false);
    clock = 10;
    await expect(pace.rest()).rejects.toThrow('closed');
  });
});
