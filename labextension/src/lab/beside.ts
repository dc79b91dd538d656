/** Displays of calls that run: by what marks one knows them. */

/** How our kernel side names its displays. */
export const DISPLAY = /^opg-[0-9a-f]{16}$/;

/** The display that an output was left with while its call ran; null for a settled one. */
export function displayOf(metadata: unknown): string | null {
  const id = (metadata as { opg?: { display?: unknown } } | undefined)?.opg?.display;
  return typeof id === 'string' && DISPLAY.test(id) ? id : null;
}

/** Until when (in Unix seconds) a call may run beside the work, and so while its kernel is free; 0: it does not. */
export function besideUntil(metadata: unknown): number {
  const until = (metadata as { opg?: { beside?: unknown } } | undefined)?.opg?.beside;
  return displayOf(metadata) !== null && typeof until === 'number' ? until : 0;
}

/** Displays of calls beside the work that a kernel told this page of, and whose end it has not told. */
export const heard = new Set<string>();

/** Whether a call runs in one of these outputs beside the work: by what its kernel said to this page, never by a file alone. */
export function runsBeside(outputs: { readonly length: number; get(index: number): { readonly metadata?: unknown } }): boolean {
  return Array.from({ length: outputs.length }, (_, at) => displayOf(outputs.get(at).metadata)).some(id => id !== null && heard.has(id));
}
