import { NotLoaded, part } from '../base/load';

describe('a part of the program', () => {
  test('is loaded once', async () => {
    let loads = 0;
    const get = part(async () => ++loads, []);
    expect(await Promise.all([get(), get()])).toEqual([1, 1]);
    expect(await get()).toBe(1);
  });

  test('is tried again when it does not come, and when it is asked for later', async () => {
    let loads = 0;
    const get = part(async () => {
      if (++loads < 4) {
        throw new Error('no server');
      }
      return loads;
    }, [0]);
    await expect(get()).rejects.toBeInstanceOf(NotLoaded);
    expect(loads).toBe(2);
    expect(await get()).toBe(4);
  });
});
