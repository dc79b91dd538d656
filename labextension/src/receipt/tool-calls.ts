/**
 * Calls of tools in an answer, as a person reads them: `weather(city="Paris", days=3)`; and why an answer has another shape.
 *
 * The twin of opg_magic/receipt/calls.py and models/plain_text.py; whole notebooks in the corpus hold both together.
 */

import { inert } from './findings';
import { ASKS_FOR, LEFTWARD, MOST_UNRUN, NOT_RUN, UNSEEN, YES_OR_NO } from './implied-words';
import { isObject, Json, MalformedMessage, parseStrict } from '../base/json';

/** A call as it was signed. */
export interface ICall {
  readonly name: string;
  readonly arguments: string;
}

const BLANK = new RegExp(UNSEEN, 'gu');
const RUNS_LEFT = new RegExp(LEFTWARD, 'u');
const [ISOLATE, END] = ['\u2068', '\u2069'];

/** One line of a text for somebody who must see all of it. */
export function seen(text: string): string {
  const named = inert(text).replace(BLANK, one => `⟦U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟧`);
  return named.replace(/ {8,}/g, spaces => `⟦${grouped(spaces.length)} spaces⟧`);
}

/** Inert foreign text for a line of ours: letters that run from right to left change the order of nothing beside them. */
export function isolated(text: string): string {
  return RUNS_LEFT.test(text) ? `${ISOLATE}${text}${END}` : text;
}

/** The first `most` characters of a text, with the end of each isolate that they begin. */
export function cut(text: string, most: number): string {
  const kept = Array.from(text).slice(0, most).join('');
  return kept + END.repeat(Math.max(0, kept.split(ISOLATE).length - kept.split(END).length));
}

export const lengthOf = (text: string): number => Array.from(text).length;
export const grouped = (count: number): string => String(count).replace(/\B(?=(?:[0-9]{3})+$)/g, ',');

/** JSON that is read in one way only; undefined of what is not. */
export function parsed(text: string): Json | undefined {
  try {
    return parseStrict(text);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return undefined;
    }
    throw error;
  }
}

/** The calls in the signed text of an answer; null where it has none, or any that is no call. */
export function readCalls(signed: string | null): ICall[] | null {
  const found = signed === null ? undefined : parsed(signed);
  if (!Array.isArray(found) || !found.length) {
    return null;
  }
  const calls = found.map(callOf);
  return calls.every(call => call !== null) ? (calls as ICall[]) : null;
}

function callOf(signed: Json): ICall | null {
  const called = isObject(signed) ? signed.get('function') : undefined;
  if (!isObject(signed) || !isObject(called)) {
    return null;
  }
  const [id, name, args] = [signed.get('id'), called.get('name'), called.get('arguments')];
  return typeof id === 'string' && typeof name === 'string' && typeof args === 'string' ? { name, arguments: args } : null;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const MARK = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}:,]|[^[\]{}:,"\s]+/g;
const PYTHON: Readonly<Record<string, string>> = { true: 'True', false: 'False', null: 'None' };

/** A call on one line, all of which is seen, in the order in which it was written. */
export function callText({ name, arguments: args }: ICall): string {
  const value = NAME.test(name) ? parsed(args) : undefined;
  return value === undefined ? isolated(seen(onOneLine(`${name}(${args})`))) : `${name}(${written(args, value)})`;
}

/** JSON on one line; an object with plain names, and no other, as arguments of Python. */
function written(text: string, value: Json): string {
  const marks = text.match(MARK) ?? [];
  const plain = isObject(value) && [...value.keys()].every(key => NAME.test(key));
  const parts: string[] = [];
  let depth = 0;
  for (const [place, mark] of marks.entries()) {
    depth += Number('{['.includes(mark));
    const outermost = plain && depth === 1;
    if ('{[}]'.includes(mark)) {
      parts.push(outermost ? '' : mark);
      depth -= Number('}]'.includes(mark));
    } else if (mark === ':') {
      parts.push(outermost ? '' : ': ');
    } else if (mark === ',') {
      parts.push(', ');
    } else if (!mark.startsWith('"')) {
      parts.push(plain ? (PYTHON[mark] ?? mark) : mark);
    } else if (outermost && marks[place + 1] === ':') {
      parts.push(`${JSON.parse(mark)}=`);
    } else {
      parts.push(quoted(JSON.parse(mark)));
    }
  }
  return parts.join('');
}

/** The marks by which something unseen is named stand in no text of the model's. */
function quoted(text: string): string {
  return `"${isolated(seen(JSON.stringify(text).slice(1, -1).replace(/⟦/g, '\\u27e6')))}"`;
}

/** A call, of {@link callText}, that is not made, and why. */
export function unrunText(call: string, why: string): string {
  const length = lengthOf(call);
  return `${length > MOST_UNRUN ? `${cut(call, MOST_UNRUN)}… (${grouped(length)} characters)` : call}${NOT_RUN}${seen(onOneLine(why))}`;
}

/** The question before the calls of a round are made. */
export function question(calls: readonly string[]): string {
  return `${ASKS_FOR}${calls.map(call => `\n  ${call}`).join('')}\nRun ${calls.length === 1 ? 'it' : 'them'}${YES_OR_NO}`;
}

/** Whether a text poses as such a question. */
export const looksLikeAQuestion = (text: string): boolean => text.replace(/^\s+/, '').startsWith(ASKS_FOR);

const onOneLine = (text: string): string => text.split(/[ \t\n\r\f\v]+/).filter(Boolean).join(' ');
