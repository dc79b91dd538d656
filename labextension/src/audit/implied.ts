/**
 * What a cell shows beside its receipts, where these imply it: the question before a model's functions run, the error of a paid
 * answer that has another shape or was withheld, the answer as a table or as text. The twin of opg_magic/audit/implied.py; whole notebooks in the corpus hold both together.
 */

import { Finding, isWithheldAtCreation, joined } from '../receipt/findings';
import {
  BESIDE, BY_TYPE, FROM_LEDGER, IN_WORDS, MOST_SHOWN, MOST_WORDS, NOBODY, NOT_CONFIRMED, OTHER_ANSWER, OTHER_ERROR, OTHER_QUESTION, STILL_ASKS, TOO_LONG,
  TOOLS, UNASKED, WORDS_NOT_COMPARED
} from '../receipt/implied-words';
import { isObject, JsonObject } from '../base/json';
import { callProblem, reason } from '../cells/misfit';
import { rowsIn } from '../cells/rows';
import { oneLine, told } from '../face/figures';
import { tableBundle, textBundle } from '../face/formats';
import type { IBeside, IDisplay, IOutputLike } from './notebook';
import { computedDigest, originalOf, Receipt, UnreadableReceipt } from '../receipt/receipt';
import { callText, lengthOf, looksLikeAQuestion, parsed, question, readCalls, unrunText } from '../receipt/tool-calls';
import { POLICIES } from '../verify/policy';

type Told = readonly [level: Finding['level'], code: Finding['code'], message: string];

/** What is typed below a question; a front end puts a space of its own before it. */
const YES = /^ *[yY](?:[eE][sS])? *\n$/;
const NO = /^ *(?:[nN][oO]?)? *\n$/;

/** Longest reason that a card tells whole. */
const CARD = 160;

/** What is to be said of a cell's outputs that bear no receipt, each thing once. `displays`: those that bear one, in order. */
export function besideFindings(others: readonly IBeside[], displays: readonly IDisplay[]): Finding[] {
  const receipts = displays.filter(({ row }) => row === undefined).map(({ read }) => (read instanceof UnreadableReceipt ? null : read));
  const readable = receipts.filter(receipt => receipt !== null);
  const told = others.map(other => faultOf(other, receipts));
  const found: Told[] = told.filter((fault, place): fault is Told => fault !== null && told.indexOf(fault) === place);
  const questioned = others.some(({ output }) => looksLikeAQuestion(joined(fileOf(output).text) ?? ''));
  if (readable.some(hasResults) || (questioned && told.includes(null))) {
    found.push(TOOLS);
  }
  return found.map(([level, code, message]) => ({ level, code, message }));
}

/** What is wrong with one output; null if the receipts imply it. */
function faultOf({ output: held, before }: IBeside, receipts: readonly (Receipt | null)[]): Told | null {
  const above = receipts.slice(0, before).filter(receipt => receipt !== null);
  const output = fileOf(held);
  const below = receipts[before] ?? null;
  if (held !== null && below !== null && held.type === 'display_data') {
    return isInAFormat(held, below) ? null : BESIDE;
  }
  if (!above.length) {
    return BESIDE;
  }
  if (output.output_type === 'stream' && keysOf(output) === 'name,output_type,text') {
    const text = joined(output.text);
    return text === null || !looksLikeAQuestion(text) ? BESIDE : ofQuestion(output.name, text, above[above.length - 1], below);
  }
  const named = output.output_type === 'error' && (output.ename === 'ShapeMismatch' || output.ename === 'ToolsStopped');
  if (named) {
    return ofError(output, above);
  }
  return above.some(receipt => isOfWithheld(output, receipt)) ? null : BESIDE;
}

/** An output as it stands in the file; nothing of kinds that are not looked into. */
const fileOf = (output: IBeside['output']): Record<string, unknown> =>
  output !== null && ['stream', 'error'].includes(output.type) ? (output.toJSON() as Record<string, unknown>) : {};
const keysOf = (output: Record<string, unknown>): string => Object.keys(output).sort().join();

/** Whether an output is the answer of the card below it, as its text or as a table. */
function isInAFormat({ data, metadata }: IOutputLike, receipt: Receipt): boolean {
  const { text } = receipt.response;
  if (!isRecord(data) || !isRecord(metadata) || Object.keys(metadata).length || !text || isWithheldAtCreation(receipt)) {
    return false;
  }
  const is = (made: Record<string, string>): boolean => {
    const types = Object.keys(made);
    return Object.keys(data).length === types.length && types.every(type => joined(data[type]) === made[type]);
  };
  return formatsOf(receipt).some(is);
}

/** An answer in the formats that a cell may ask for. */
const formatsOf = once(({ request, response }: Receipt): Record<string, string>[] => {
  const found = rowsIn(bodyOf(request).get('response_format'), response.text!);
  return [textBundle(response.text!), ...(found === null ? [] : [tableBundle(found.columns, found.rows)])];
});

/** A notebook is looked through with every change: what a receipt implies is made once. */
function once<T>(make: (receipt: Receipt) => T): (receipt: Receipt) => T {
  const known = new WeakMap<Receipt, { readonly made: T }>();
  return receipt => {
    const found = known.get(receipt) ?? { made: make(receipt) };
    known.set(receipt, found);
    return found.made;
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

// ---------------------------------------------------------------------------------------------------------- the question

function ofQuestion(name: unknown, text: string, asked: Receipt, below: Receipt | null): Told | null {
  const wanted = readCalls(asked.response.tool_calls);
  const told = text.split('\n').slice(1, 1 + (wanted?.length ?? 0));
  if (name !== 'stdin' || wanted === null || told.length < wanted.length) {
    return OTHER_QUESTION;
  }
  const offered = offeredBy(asked);
  let inWords = false;
  for (const [place, call] of wanted.entries()) {
    const whole = callText(call);
    if (`  ${whole}` === told[place] && offered.has(call.name) && parsed(call.arguments) !== undefined) {
      continue;
    }
    const problem = callProblem(offered, call.name, call.arguments);
    if (problem !== null && `  ${unrunText(whole, problem)}` === told[place]) {
      continue;
    }
    if (!offered.has(call.name) || !told[place].startsWith(`  ${unrunText(whole, BY_TYPE)} `)) {
      return OTHER_QUESTION;
    }
    inWords = true;
  }
  const whole = question(told.map(line => line.replace(/^ {2}/, ''))).replace(/ +$/, '');
  if (!text.startsWith(whole)) {
    return OTHER_QUESTION;
  }
  const typed = text.slice(whole.length);
  const goesOn = below !== null && continues(below, asked);
  if (NO.test(typed) && goesOn) {
    return OTHER_ANSWER;
  }
  if (!(NO.test(typed) || (YES.test(typed) && goesOn))) {
    return BESIDE;
  }
  return inWords ? WORDS_NOT_COMPARED : null;
}

function bodyOf(request: Receipt['request']): JsonObject {
  const body = parsed(request.body);
  return isObject(body) ? body : new Map();
}

/** The definitions of the functions that a request offers, by name. */
function offeredBy(receipt: Receipt): Map<string, JsonObject> {
  const tools = bodyOf(receipt.request).get('tools');
  const found = new Map<string, JsonObject>();
  for (const tool of Array.isArray(tools) ? tools : []) {
    const described = isObject(tool) ? tool.get('function') : undefined;
    const name = isObject(described) ? described.get('name') : undefined;
    if (isObject(tool) && typeof name === 'string') {
      found.set(name, tool);
    }
  }
  return found;
}

/** Whether a request sends on the answer of another call, with results. */
function continues(later: Receipt, earlier: Receipt): boolean {
  const last = later.thread?.earlier.at(-1);
  return last !== undefined && last.digest === computedDigest(originalOf(earlier)) && hasResults(later);
}

/** Whether a request ends in what functions returned. */
const hasResults = once(({ request }: Receipt): boolean => {
  const messages = request.kind === 'chat' ? bodyOf(request).get('messages') : undefined;
  return Array.isArray(messages) && messages.every(isObject) && (messages as JsonObject[]).at(-1)?.get('role') === 'tool';
});

// ------------------------------------------------------------------------------------------------------------ the errors

function ofError(output: Record<string, unknown>, above: readonly Receipt[]): Told | null {
  const name = output.ename as string;
  const makes = name === 'ShapeMismatch' ? misfits : stops;
  // It names its receipt: no other is made anew.
  const end = Array.isArray(output.traceback) ? String(output.traceback.at(-1)).slice(-40) : '';
  const named = [...above].reverse().filter(({ id }) => end.endsWith(` ${id}`));
  if (named.some(receipt => makes(receipt, above.length).some(([message, hint]) => isShown(output, name, message, hint, receipt)))) {
    return null;
  }
  if (name === 'ShapeMismatch' && typeof output.evalue === 'string') {
    for (const hint of [null, FROM_LEDGER]) {
      const end = `\n${hint}`;
      const message = hint !== null && output.evalue.endsWith(end) ? output.evalue.slice(0, -end.length) : output.evalue;
      const isInWords = IN_WORDS.some(words => message.startsWith(words)) && lengthOf(message) <= MOST_WORDS && !message.includes('\n');
      if (isInWords && named.some(receipt => isShown(output, name, message, hint, receipt))) {
        return WORDS_NOT_COMPARED;
      }
    }
  }
  return OTHER_ERROR;
}

/**
 * Whether an output is the error below the card of this withheld answer. Any other error of that name may be honest as well:
 * what was learnt since is not in the receipt.
 */
function isOfWithheld(output: Record<string, unknown>, receipt: Receipt): boolean {
  const { id } = receipt;
  const { checked } = originalOf(receipt);
  if (checked === null || !checked.withheld) {
    return false;
  }
  const failed = checked.claims.find(({ status }) => status === 'failed');
  const words = failed === undefined ? checked.because[0] : failed.reason || failed.sentence;
  // The card says why, too: the error would else carry any words of the author's kernel past the reader.
  const onlyReason = checked.because.length === 1 && POLICIES.some(({ name }) => name === checked.policy);
  if ((failed === undefined && !onlyReason) || oneLine(words, lengthOf(words)) !== words || told(words, CARD) !== told(words, lengthOf(words))) {
    return false;
  }
  const message = failed === undefined ? `answer withheld under policy ${checked.policy}: ${words}` : `the ${failed.name} check failed: ${words}`;
  const { traceback } = output;
  return (
    keysOf(output) === 'ename,evalue,output_type,traceback' &&
    output.output_type === 'error' &&
    output.ename === 'AnswerWithheld' &&
    output.evalue === `${message}\nTo read the text all the same: %opg show ${id} --unverified` &&
    Array.isArray(traceback) &&
    traceback.length === 1 &&
    traceback[0] === `AnswerWithheld: ${message.replace(/\.+$/, '')}.\nSee the card above (receipt ${id}).`
  );
}

/** Whether an output is this error, as a cell shows it: of what was charged, the chain may have told more since. */
function isShown(output: Record<string, unknown>, name: string, message: string, hint: string | null, receipt: Receipt): boolean {
  const value = hint === null ? message : `${message}\n${hint}`;
  const { traceback } = output;
  return (
    keysOf(output) === 'ename,evalue,output_type,traceback' &&
    output.evalue === value &&
    Array.isArray(traceback) &&
    traceback.length === 1 &&
    chargesOf(receipt).some(charge => traceback[0] === `${name}: ${value}\nCharge: ${charge}\nKept as receipt ${receipt.id}: %opg show ${receipt.id}`)
  );
}

function chargesOf({ payment }: Receipt): string[] {
  if (payment === null) {
    return ['not charged'];
  }
  const first = payment.charge === 'charged' ? 'claimed' : payment.charge;
  return payment.settled === undefined ? [first] : [first, 'charged', 'not charged'];
}

type Message = readonly [message: string, hint: string | null];

const misfits = once(({ request, response }: Receipt): Message[] => {
  const format = bodyOf(request).get('response_format') ?? null;
  const message = format === null ? null : reason(format, response.text ?? '');
  return message === null ? [] : [[message, null], [message, FROM_LEDGER]];
});

function stops(receipt: Receipt, rounds: number): Message[] {
  const wanted = readCalls(receipt.response.tool_calls);
  if (wanted === null) {
    return [];
  }
  const long = wanted.reduce((sum, call) => sum + lengthOf(callText(call)), 0) > MOST_SHOWN;
  const whys: Message[] = [[NOT_CONFIRMED, null], [NOBODY, UNASKED], [`${STILL_ASKS} ${rounds}`, null], ...(long ? [[TOO_LONG, null] as const] : [])];
  return whys.map(([why, hint]) => [`Call ${receipt.id} is kept, but ${why}.`, hint]);
}
