/** Parts of the program that are loaded when they are first needed. */

/** A part could not be loaded: nothing is known of what it was to judge. */
export class NotLoaded extends Error {
  constructor(readonly reason: unknown) {
    super('A part of the opg_magic extension could not be loaded: is the Jupyter server running? Reload the page, or check this notebook again.');
    this.name = 'NotLoaded';
  }
}

const AGAIN_AFTER_MS = [500, 2000];

/** A part, loaded once; a load that fails is tried again, also when it is asked for later. Rejects with {@link NotLoaded}. */
export function part<T>(load: () => Promise<T>, waits: readonly number[] = AGAIN_AFTER_MS): () => Promise<T> {
  let loading: Promise<T> | null = null;
  return () => {
    loading ??= loadWith(load, waits).catch(reason => {
      loading = null;
      throw new NotLoaded(reason);
    });
    return loading;
  };
}

async function loadWith<T>(load: () => Promise<T>, waits: readonly number[]): Promise<T> {
  for (const wait of waits) {
    try {
      return await load();
    } catch {
      await new Promise(resolve => setTimeout(resolve, wait));
    }
  }
  return load();
}
