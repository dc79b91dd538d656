/**
 * What a host hashes and signs: canonical requests, output and digest.
 *
 * A canonical request is computed from the JSON text that was sent, with every digit and the order of keys kept
 * (`base/json.ts`): never from JavaScript's own objects.
 */

import { concat, fromBigInt, keccak256, toHex, utf8 } from '../crypto/bytes';
import { byCodePoint, dumpsPython, isObject, Json, JsonObject, MalformedMessage, truthy } from '../base/json';
import { NEWER as NEWER_UNICODE, OLDEST, pythonText, varies } from './python-text';

export type Kind = 'chat' | 'completion';

/** The rules of the hosts of April 2026. */
export const CANONICALISER = '2026-04';
/** The rules that the official SDK 1.1.4 states for newer hosts: reduced content lists, `web_search`. */
export const NEWER = 'sdk-1.1.4';

const CHAT_KEYS = ['model', 'messages', 'temperature', 'max_tokens', 'stop', 'tools', 'response_format'];
const COMPLETION_KEYS = ['model', 'prompt', 'temperature', 'max_tokens', 'stop'];

export function textHash(text: string): Uint8Array {
  return keccak256(utf8(text));
}

/** The 32 bytes that a host signs: `keccak256(request_hash || output_hash || uint256_be(timestamp))`. */
export function signedDigest(requestHash: Uint8Array, outputHash: Uint8Array, timestamp: bigint): Uint8Array {
  return keccak256(concat(requestHash, outputHash, fromBigInt(timestamp, 32)));
}

/** A host's id: 0x-hex of the Keccak-256 of its signing key's DER SubjectPublicKeyInfo. */
export function teeIdOf(publicKey: Uint8Array): string {
  return `0x${toHex(keccak256(publicKey))}`;
}

/** Between the rules and the Unicode version of the host's Python, where that is newer than Python 3.11's. */
const ON = '+unicode-';

/**
 * The versions of the rules to try, newest known first. Hosts hash some contents as their Python writes them: for a body
 * with one that Pythons write differently, there is a version for each.
 */
export function canonicalisers(kind: Kind, body: JsonObject): string[] {
  const known = kind === 'chat' ? [NEWER, CANONICALISER] : [CANONICALISER];
  return kind === 'chat' && isWrittenByPython(body)
    ? [...known, ...NEWER_UNICODE.flatMap(unicode => known.map(rules => `${rules}${ON}${unicode}`))]
    : known;
}

/** A version's rules, whatever the host's Python. */
export function rulesOf(version: string): string {
  return version.split(ON)[0];
}

function isWrittenByPython(body: JsonObject): boolean {
  const messages = body.get('messages');
  return (
    Array.isArray(messages) &&
    messages.some(message => {
      const content = isObject(message) ? message.get('content') : null;
      return typeof content !== 'string' && varies(content);
    })
  );
}

/** The canonical request under one version of the rules; throws {@link MalformedMessage} for what no host would take. */
export function canonicalise(kind: Kind, body: JsonObject, version: string): string {
  return kind === 'chat' ? canonicalChat(body, version) : canonicalCompletion(body);
}

/** Keys of a request that no signature covers, sorted. */
export function unsignedKeys(kind: Kind, body: JsonObject, version: string): string[] {
  const covered = new Set(kind === 'chat' ? CHAT_KEYS : COMPLETION_KEYS);
  if (kind === 'chat' && rulesOf(version) === NEWER) {
    covered.add('web_search');
  }
  return [...body.keys()].filter(key => !covered.has(key)).sort(byCodePoint);
}

/** How the answer is to come, not what it is to be. */
export const TRANSPORT: ReadonlySet<string> = new Set(['stream', 'stream_options']);
const MESSAGE_KEYS = new Map([
  ['system', ['role', 'content']],
  ['user', ['role', 'content']],
  ['assistant', ['role', 'content', 'tool_calls']],
  ['tool', ['role', 'content', 'tool_call_id']],
  ['function', ['role', 'content', 'name']]
]);

/** What a request asks that no signature covers, as paths (`seed`, `messages.name`, `messages.image_url`), sorted. */
export function unsignedParts(kind: Kind, body: JsonObject, version: string): string[] {
  const found = new Set(unsignedKeys(kind, body, version));
  const add = (object: JsonObject, kept: readonly string[], path: string): void =>
    [...object.keys()].filter(key => !kept.includes(key)).forEach(key => found.add(`${path}.${key}`));
  const messages = kind === 'chat' ? body.get('messages') : null;
  for (const message of Array.isArray(messages) ? messages.filter(isObject) : []) {
    const role = message.get('role');
    add(message, MESSAGE_KEYS.get(typeof role === 'string' ? role : '') ?? [], 'messages');
    const calls = role === 'assistant' ? message.get('tool_calls') : null;
    for (const call of Array.isArray(calls) ? calls.filter(isObject) : []) {
      add(call, ['id', 'type', 'function'], 'messages.tool_calls');
      const inner = call.get('function') ?? null;
      if (isObject(inner)) {
        add(inner, ['name', 'arguments'], 'messages.tool_calls.function');
      }
    }
    const content = role === 'user' && rulesOf(version) === NEWER ? message.get('content') : null;
    for (const part of Array.isArray(content) ? content.filter(isObject) : []) {
      const type = part.get('type');
      if (type === 'text') {
        add(part, ['type', 'text'], 'messages.content');
      } else {
        found.add(`messages.${typeof type === 'string' ? type : 'content'}`);
      }
    }
  }
  return [...found].sort(byCodePoint);
}

function canonicalChat(body: JsonObject, version: string): string {
  const messages = body.get('messages');
  if (!Array.isArray(messages)) {
    throw malformed('messages is not a list');
  }
  const [rules, unicode = OLDEST] = version.split(ON);
  const text: Text = value => pythonText(value, unicode);
  const reduce = rules === NEWER ? (content: Json | undefined): Json => reducedContent(content, text) : text;
  const canonical: JsonObject = new Map<string, Json>([
    ['model', body.get('model') ?? null],
    ['messages', messages.map(message => canonicalMessage(message, reduce))],
    ['temperature', temperature(body.get('temperature') ?? null)]
  ]);
  const maxTokens = body.get('max_tokens') ?? null;
  if (maxTokens !== null) {
    canonical.set('max_tokens', maxTokens);
  }
  for (const key of ['stop', 'tools', 'response_format']) {
    const value = body.get(key);
    if (value !== undefined && truthy(value)) {
      if ((key === 'tools' && !Array.isArray(value)) || (key === 'response_format' && !isObject(value))) {
        throw malformed(`${key} has another form`);
      }
      canonical.set(key, value);
    }
  }
  if (rules === NEWER && truthy(body.get('web_search'))) {
    canonical.set('web_search', true);
  }
  return dumpsPython(canonical);
}

function canonicalCompletion(body: JsonObject): string {
  const canonical: JsonObject = new Map<string, Json>([
    ['model', body.get('model') ?? null],
    ['prompt', body.get('prompt') ?? null],
    // Absent means 1, an explicit null 0.0; absent `max_tokens` hashes as 16.
    ['temperature', temperature(body.has('temperature') ? body.get('temperature')! : 1n)]
  ]);
  const maxTokens = body.has('max_tokens') ? body.get('max_tokens')! : 16n;
  if (maxTokens !== null) {
    canonical.set('max_tokens', maxTokens);
  }
  const stop = body.get('stop');
  if (stop !== undefined && truthy(stop)) {
    canonical.set('stop', stop);
  }
  return dumpsPython(canonical);
}

function malformed(message: string): MalformedMessage {
  return new MalformedMessage(message, 'request');
}

function temperature(value: Json): number {
  if (value === null) {
    return 0;
  }
  if (typeof value !== 'bigint' && typeof value !== 'number') {
    throw malformed('temperature is not a number');
  }
  const float = Number(value);
  if (!Number.isFinite(float)) {
    throw malformed('temperature is too large');
  }
  return float;
}

function canonicalMessage(message: Json, reduce: (content: Json | undefined) => Json): JsonObject {
  if (!isObject(message)) {
    throw malformed('a message is not an object');
  }
  const role = message.get('role') ?? null;
  const content = message.get('content') ?? null;
  switch (role) {
    case 'system':
      return new Map<string, Json>([['role', role], ['content', content]]);
    case 'user':
      return new Map<string, Json>([['role', role], ['content', typeof content === 'string' ? content : reduce(content)]]);
    case 'assistant': {
      const reduced: JsonObject = new Map<string, Json>([['role', role], ['content', truthy(content) ? content : '']]);
      const calls = message.get('tool_calls');
      if (calls !== undefined && truthy(calls)) {
        if (!Array.isArray(calls)) {
          throw malformed('tool_calls is not a list');
        }
        reduced.set('tool_calls', calls.map(canonicalToolCall));
      }
      return reduced;
    }
    case 'tool':
      return new Map<string, Json>([
        ['role', role],
        ['content', content],
        ['tool_call_id', message.get('tool_call_id') ?? null]
      ]);
    case 'function':
      return new Map<string, Json>([['role', role], ['content', content], ['name', message.get('name') ?? null]]);
  }
  throw malformed('no host takes a message of that role');
}

function canonicalToolCall(call: Json): JsonObject {
  const inner: Json = isObject(call) ? (call.has('function') ? call.get('function')! : new Map()) : null;
  if (!isObject(call) || !isObject(inner)) {
    throw malformed('a tool call is not an object with a function');
  }
  return new Map<string, Json>([
    ['id', call.get('id') ?? null],
    ['type', call.get('type') ?? null],
    ['function', new Map([['name', inner.get('name') ?? null], ['arguments', inner.get('arguments') ?? null]])]
  ]);
}

type Text = (value: Json | undefined) => string;

function reducedContent(content: Json | undefined, text: Text): Json {
  return Array.isArray(content) ? content.map(part => reducedPart(part, text)) : text(content);
}

function reducedPart(part: Json, write: Text): JsonObject {
  if (!isObject(part)) {
    return new Map<string, Json>([['type', 'text'], ['text', write(part)]]);
  }
  if (part.get('type') === 'text') {
    const text = part.get('text');
    return new Map<string, Json>([['type', 'text'], ['text', text !== undefined && truthy(text) ? text : '']]);
  }
  const reduced: JsonObject = new Map<string, Json>([['type', part.get('type') ?? null]]);
  const file = part.get('file');
  const own = isObject(file) ? file.get('filename') : undefined;
  const name = own !== undefined && truthy(own) ? own : part.get('filename');
  if (name !== undefined && truthy(name)) {
    reduced.set('filename', name);
  }
  return reduced;
}
