/** What looks at receipts and at the cells around them; nothing of it is needed before there is a receipt. */

export { askedOf, besideThePrompt } from '../receipt/asked';
export { shownAnswer, shownCalls } from './answer';
export type { IShownAnswer } from './answer';
export { besideFindings } from '../audit/implied';
export { renderMarkdown } from './markdown';
export { comparedTexts } from '../audit/showing';
export { togetherFindings } from '../audit/together';
