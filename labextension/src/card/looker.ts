/** Loads what compares displays and cells with their receipts, when the first receipt is met. */

import { Finding } from '../receipt/findings';
import { part } from '../base/load';

const looking = part(() => import('./looking'));

/** What looks at receipts and their cells. */
export type Looker = Pick<typeof import('./looking'), 'besideFindings' | 'comparedTexts' | 'togetherFindings'> & Partial<typeof import('./looking')>;

/** Where it could not be loaded: what says that nothing was compared. */
export async function looker(): Promise<Looker> {
  try {
    return await looking();
  } catch (error) {
    const message = `What the cell shows elsewhere was not compared with the receipt. ${error instanceof Error ? error.message : ''}`;
    const finding: Finding = { level: 'incomplete', code: 'not-compared', message: message.trim() };
    return { besideFindings: others => (others.length ? [finding] : []), comparedTexts: () => [finding], togetherFindings: places => places.map(() => []) };
  }
}
