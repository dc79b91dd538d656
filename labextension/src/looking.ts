/** What looks at receipts and at the cells around them; nothing of it is needed before there is a receipt. */

export { askedOf, besideThePrompt } from './asked';
export { shownAnswer } from './answer';
export type { IShownAnswer } from './answer';
export { renderMarkdown } from './markdown';
export { comparedTexts } from './showing';
export { togetherFindings } from './together';
