/**
 * What was asked: all that the request holds, in words for a reader (opg_magic/receipt/question.py).
 *
 * The host signed the whole request, not its last message alone: what stands before and after the prompt, attachments
 * and tools shape the answer as much. So every card names them, and what no signature covers besides.
 */

import { TRANSPORT, unsignedParts } from '../protocol/canonical';
import { dumpsPython, isObject, Json, JsonObject, MalformedMessage, parseStrict, truthy } from '../base/json';
import { Receipt } from './receipt';

/** A message as far as it is text; of other parts their kinds. */
export interface ITurn {
  readonly role: string;
  readonly text: string;
}

/** A request, taken apart. `prompt` is the last user message (or a completion's prompt). */
export interface IAsked {
  readonly kind: 'chat' | 'completion';
  readonly model: string | null;
  readonly prompt: string | null;
  readonly before: readonly ITurn[];
  readonly after: readonly ITurn[];
  readonly attachments: readonly string[];
  readonly tools: readonly string[];
  readonly options: ReadonlyMap<string, Json>;
  readonly notSigned: readonly string[];
}

const OPTIONS = ['temperature', 'max_tokens', 'stop', 'response_format', 'web_search'];

const MOST_REMEMBERED = 1024;
const remembered = new Map<string, IAsked | null>();

/** What the request of a receipt asks; null if it is not readable in one way only. */
export function askedOf({ request }: Receipt): IAsked | null {
  // Looked at with every change of its notebook.
  const key = `${request.kind} ${request.canonicaliser} ${request.body}`;
  let asked = remembered.get(key);
  if (asked === undefined) {
    asked = takenApart(request);
    if (remembered.size >= MOST_REMEMBERED) {
      remembered.clear();
    }
    remembered.set(key, asked);
  }
  return asked;
}

function takenApart({ kind, body, canonicaliser }: Receipt['request']): IAsked | null {
  let parsed: Json;
  try {
    parsed = parseStrict(body);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return null;
    }
    throw error;
  }
  if (!isObject(parsed)) {
    return null;
  }
  const model = text(parsed.get('model'));
  const options = new Map(OPTIONS.filter(key => isGiven(key, parsed.get(key))).map(key => [key, parsed.get(key)!]));
  const notSigned = unsignedParts(kind, parsed, canonicaliser).filter(name => !TRANSPORT.has(name));
  if (kind === 'completion') {
    return { kind, model, prompt: text(parsed.get('prompt')), before: [], after: [], attachments: [], tools: [], options, notSigned };
  }
  const messages = list(parsed.get('messages')).filter(isObject);
  const last = messages.map(message => message.get('role')).lastIndexOf('user');
  return {
    kind,
    model,
    prompt: last < 0 ? null : textOf(messages[last].get('content')),
    before: (last < 0 ? messages : messages.slice(0, last)).map(turn),
    after: last < 0 ? [] : messages.slice(last + 1).map(turn),
    attachments: messages.flatMap(message => attachments(message.get('content'))),
    tools: list(parsed.get('tools')).map(toolName),
    options,
    notSigned
  };
}

/** [what, its text] of all but the prompt and what every request has, for a person. */
export function besideThePrompt(asked: IAsked, options = true): [string, string][] {
  const found: [string, string][] = [];
  for (const { role, text: said } of asked.before) {
    found.push([role === 'system' ? 'system message' : `before the prompt, ${role}`, said]);
  }
  for (const { role, text: said } of asked.after) {
    found.push([`after the prompt, ${role}`, said]);
  }
  if (asked.attachments.length) {
    found.push(['attachments', asked.attachments.join(', ')]);
  }
  if (asked.tools.length) {
    found.push(['tools', asked.tools.join(', ')]);
  }
  for (const [key, value] of options ? asked.options : []) {
    if (key !== 'temperature' || Number(value) !== 0) {
      found.push([key, dumpsPython(value)]);
    }
  }
  if (asked.notSigned.length) {
    found.push(['not signed', asked.notSigned.join(', ')]);
  }
  return found;
}

/** The prompt in the request's own words: the last user message, or a completion's prompt. */
export function signedPrompt(receipt: Receipt): string | null {
  return askedOf(receipt)?.prompt ?? null;
}

function isGiven(key: string, value: Json | undefined): boolean {
  // Nothing, and what is empty, is left out by hosts; of this key it is signed as it stands.
  return value !== undefined && (truthy(value) || (key === 'max_tokens' && value !== null));
}

const text = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null);
const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** The text of a message's content: a string, or the text parts of a list; null if it is neither. */
function textOf(content: Json | undefined): string | null {
  if (!Array.isArray(content)) {
    return text(content);
  }
  const parts = content.filter(isObject).filter(part => part.get('type') === 'text');
  return parts.map(part => text(part.get('text')) ?? '').join('');
}

function turn(message: JsonObject): ITurn {
  const content = message.get('content') ?? null;
  const said = textOf(content) ?? (content === null ? '' : dumpsPython(content));
  const calls = message.get('tool_calls');
  const more = calls !== undefined && truthy(calls) ? dumpsPython(calls) : '';
  return { role: text(message.get('role')) ?? '?', text: said && more ? `${said} ${more}` : said || more };
}

/** Kinds of the parts that are no text, of text that is none, and of text that brings more along. */
function attachments(content: Json | undefined): string[] {
  return list(content).flatMap(part => {
    const type = isObject(part) ? part.get('type') : null;
    if (type !== 'text') {
      return [text(type ?? null) ?? 'a part of no kind'];
    }
    if (text((part as JsonObject).get('text')) === null) {
      return ['text that is none'];
    }
    return (part as JsonObject).size > 2 ? ['text with more'] : [];
  });
}

function toolName(tool: Json): string {
  const inner = isObject(tool) ? tool.get('function') : null;
  return (isObject(inner) ? text(inner.get('name')) : null) ?? 'unnamed';
}
