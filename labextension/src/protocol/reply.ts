/** Reading an answer: what is shown, what was signed, what is only the host's word. */

import { dumpsPython, isObject, Json, JsonObject, MalformedMessage, parseStrict } from '../base/json';

/** An answer has not the documented form; its message says how. */
export class BadShape extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BadShape';
  }
}

/** What an answer shows: text, or tool calls as they are hashed. */
export interface Told {
  readonly text: string | null;
  readonly toolCalls: string | null;
  readonly finishReason: string | null;
}

/** What a whole answer tells; throws {@link BadShape}. */
export function readMessage(message: JsonObject, kind: string): Told {
  if ((message.get('error') ?? null) !== null) {
    throw new BadShape('the answer holds an error beside it');
  }
  const choice = onlyChoice(message);
  if (choice === null) {
    throw new BadShape('the answer has no choice');
  }
  const finishReason = finishReasonOf(choice);
  if (kind === 'completion') {
    const text = choice.get('text');
    if (typeof text !== 'string') {
      throw new BadShape('the completion has no text');
    }
    return { text, toolCalls: null, finishReason };
  }
  const inner = choice.get('message');
  if (!isObject(inner)) {
    throw new BadShape("the answer's choice has no message");
  }
  const text = contentText(inner.get('content'));
  const calls = inner.get('tool_calls') ?? null;
  if (calls === null || (Array.isArray(calls) && !calls.length)) {
    return { text, toolCalls: null, finishReason };
  }
  if (!isToolCallList(calls)) {
    throw new BadShape('tool_calls is not a list of tool calls');
  }
  return { text: null, toolCalls: dumpsPython(calls), finishReason };
}

/** The one choice there may be, null for an empty list or none; throws {@link BadShape} for more. */
export function onlyChoice(message: JsonObject): JsonObject | null {
  const choices = message.get('choices') ?? null;
  if (choices === null) {
    return null;
  }
  if (!Array.isArray(choices) || choices.length > 1) {
    throw new BadShape('choices is not a list of one');
  }
  if (!choices.length) {
    return null;
  }
  const [choice] = choices;
  if (!isObject(choice)) {
    throw new BadShape('a choice is not an object');
  }
  const index = choice.has('index') ? choice.get('index')! : 0n;
  if (index !== null && index !== 0n) {
    throw new BadShape('the only choice has another index than 0');
  }
  return choice;
}

export function finishReasonOf(choice: JsonObject): string | null {
  const reason = choice.get('finish_reason') ?? null;
  if (reason !== null && typeof reason !== 'string') {
    throw new BadShape('finish_reason is not a text');
  }
  return reason;
}

function contentText(content: Json | undefined): string {
  if (content === undefined || content === null) {
    return '';
  }
  if (typeof content === 'string') {
    return content;
  }
  if (!Array.isArray(content)) {
    throw new BadShape('content is neither text nor a list of parts');
  }
  return content
    .map(part => {
      const piece = isObject(part) ? (part.has('text') ? part.get('text') : '') : part;
      if (typeof piece !== 'string') {
        throw new BadShape('a part of the content is not text');
      }
      return piece;
    })
    .join('');
}

function isToolCallList(value: Json): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(call => isObject(call) && isObject(call.get('function')));
}

/** Whether `text` is byte for byte what a host would hash for some list of tool calls. */
export function isToolCallText(text: string): boolean {
  if (!text.startsWith('[{')) {
    return false;
  }
  try {
    const value = parseStrict(text);
    return isToolCallList(value) && dumpsPython(value) === text;
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return false;
    }
    throw error;
  }
}
