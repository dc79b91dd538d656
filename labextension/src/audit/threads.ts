/**
 * The threads of receipts: whether each earlier message of a request is what the receipt that it comes from holds.
 * The rules are those of `opg verify` (opg_magic/receipt/thread.py); notebooks in the corpus hold both together.
 */

import type { Finding } from '../receipt/findings';
import { dumpsPython, isObject, type Json, type JsonObject, MalformedMessage, parseStrict } from '../base/json';
import { computedDigest, originalOf, Receipt } from '../receipt/receipt';

/** For each receipt, what its thread says that its request, or another receipt here, does not. */
export function threadFindings(receipts: readonly Receipt[]): (Finding | null)[] {
  if (!receipts.some(({ thread }) => thread !== undefined)) {
    return receipts.map(() => null);
  }
  const byDigest = new Map(receipts.map(receipt => [computedDigest(originalOf(receipt)), receipt]));
  const ids = new Set(receipts.map(({ id }) => id));
  return receipts.map(receipt => findingOf(receipt, byDigest, ids));
}

function findingOf(receipt: Receipt, byDigest: ReadonlyMap<string, Receipt>, ids: ReadonlySet<string>): Finding | null {
  if (receipt.thread === undefined) {
    return null;
  }
  const messages = messagesOf(receipt);
  const start = opening(messages);
  let at = start;
  let missing = 0;
  for (const one of receipt.thread.earlier) {
    const begins = at;
    at += one.messages;
    if (at >= messages.length) {
      return differs('The thread names more earlier messages than the request holds.');
    }
    const other = byDigest.get(one.digest);
    if (other !== undefined) {
      if (other.id !== one.receipt || !holds(other, messages.slice(0, at))) {
        return differs(`Earlier messages ${begins - start + 1} to ${at - start} of the request are not what receipt ${one.receipt} holds.`);
      }
    } else if (ids.has(one.receipt)) {
      return differs(`The receipt ${one.receipt} here is not the one that the thread names: its digest is another.`);
    } else {
      missing += 1;
    }
  }
  const asked = messages.slice(at).map(message => message.get('role'));
  // The first round of tools may begin with messages of the caller's own, and claims no call.
  if (asked.includes('assistant') && (receipt.thread.name || receipt.thread.earlier.length)) {
    return differs('The request holds an answer for which its thread names no receipt.');
  }
  if (receipt.thread.earlier.length && !(asked.length === 1 && asked[0] === 'user') && !asked.every(role => role === 'tool')) {
    return differs('The request holds a message that comes neither from an earlier receipt nor from this call.');
  }
  const message = `${missing} earlier ${missing === 1 ? 'receipt' : 'receipts'} of this conversation not at hand: not compared.`;
  return missing ? { level: 'note', code: 'thread-missing', message } : null;
}

const differs = (message: string): Finding => ({ level: 'failed', code: 'thread-differs', message });

/** JSON that is read in one way only; null of what is not. */
function parsed(text: string): Json {
  try {
    return parseStrict(text);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return null;
    }
    throw error;
  }
}

/** The messages of a request as they were sent; none if it is not a readable chat. */
function messagesOf({ request }: Receipt): JsonObject[] {
  const body = request.kind === 'chat' ? parsed(request.body) : null;
  const held = isObject(body) ? body.get('messages') : null;
  return Array.isArray(held) && held.every(isObject) ? held : [];
}

/** How many system messages stand before the conversation. */
function opening(messages: readonly JsonObject[]): number {
  const first = messages.findIndex(message => message.get('role') !== 'system');
  return first < 0 ? messages.length : first;
}

/** Whether the messages up to an answer, system messages too, are those of that receipt, with its answer. */
function holds(other: Receipt, sent: readonly JsonObject[]): boolean {
  const held = messagesOf(other).map(dumpsPython);
  return JSON.stringify([...held, answerText(other)]) === JSON.stringify(sent.map(dumpsPython));
}

/** The answer as the message that a later request sends again: what the host signed. */
function answerText({ response }: Receipt): string {
  const entries: [string, Json][] = [['role', 'assistant']];
  if (response.tool_calls === null) {
    if (response.text === null) {
      return 'null';
    }
    return dumpsPython(new Map([...entries, ['content', response.text]]));
  }
  try {
    return dumpsPython(new Map([...entries, ['content', ''], ['tool_calls', parseStrict(response.tool_calls)]]));
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return 'null';
    }
    throw error;
  }
}
