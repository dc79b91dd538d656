/**
 * What a cell's line says of the shape of its answer: the `response_format` that `--schema` and `--format` make.
 *
 * The twin of opg_magic/shapes/reader.py, short.py and sent.py; notebooks in the corpus hold both together.
 */

import { utf8 } from '../crypto/bytes';
import { baseName, isName, strip } from './grammar';
import { dumpsPython, isObject, type Json, type JsonObject, parseStrict } from '../base/json';

/** `asked`: the `response_format` that the line makes, null if none; `elsewhere`: where the schema stands that only its kernel read. */
export interface IOnLine {
  readonly asked: Json;
  readonly elsewhere: string | null;
}

const is = (asked: Json): IOnLine => ({ asked, elsewhere: null });
const record = (...entries: [string, Json][]): JsonObject => new Map(entries);

/** What no kernel would have sent: it equals no request's. */
const NOTHING = record();
const MOST_BYTES = 200_000;

/** What `--schema` and `--format` of a line ask for. */
export function onLine(schema: string | null, format: string | null): IOnLine {
  if (schema === null) {
    return is(format === 'json' ? record(['type', 'json_object']) : null);
  }
  if (utf8(schema).length > MOST_BYTES) {
    return is(NOTHING);
  }
  const plain = strip(schema);
  const named = variable(plain);
  if (named !== null) {
    return { asked: null, elsewhere: named };
  }
  if (!plain.startsWith('{') && plain.toLowerCase().endsWith('.json') && !plain.includes('\n')) {
    return { asked: null, elsewhere: `schema ${baseName(plain)}` };
  }
  try {
    return is(plain.startsWith('{') ? ofJsonSchema(parseStrict(plain), format === 'df') : ofShort(schema, format === 'df'));
  } catch {
    return is(NOTHING);
  }
}

/** Whether a signed request's `response_format` (null: it has none) is what the line asks for. */
export function agrees({ asked, elsewhere }: IOnLine, format: Json): boolean {
  return elsewhere === null ? dumpsPython(asked) === dumpsPython(format) : isObject(format) && format.get('type') === 'json_schema';
}

/** The Python name that a schema on a line is; null where it is written out. */
function variable(whole: string): string | null {
  const listed = /^list\[([^\n[\]]*)\]$/.exec(whole);
  const plain = listed === null ? whole : strip(listed[1]);
  let name = plain;
  if (plain.startsWith('{') && plain.endsWith('}')) {
    name = strip(plain.slice(1, -1));
  } else if (plain.toLowerCase().endsWith('.json')) {
    return null;
  }
  return name.split('.').every(isName) ? name : null;
}

// ------------------------------------------------------------------------------------------------------ the short form

const TYPES = new Map<string, readonly [string, string?]>([
  ['str', ['string']],
  ['int', ['integer']],
  ['float', ['number']],
  ['bool', ['boolean']],
  ['date', ['string', 'date']],
  ['datetime', ['string', 'date-time']]
]);
const MOST_FIELDS = 100;
const MOST_LISTS = 8;
const NAME = /^[^\x00-\x20\x7f,:|?[\]{}()"'`\\]{1,64}/u; // eslint-disable-line no-control-regex
const LIST = /^list[ \t]*(?:\[([^\n]*)\])?$/;

const trim = (text: string): string => text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');

function ofShort(text: string, asRows: boolean): JsonObject {
  let inner = trim(text);
  const rows = inner.startsWith('[') && inner.endsWith(']');
  inner = rows ? trim(inner.slice(1, -1)) : inner;
  let parts = inner.includes('\n') ? inner.split('\n').map(trim) : between(inner).map(trim);
  if (inner.includes('\n')) {
    parts = parts.filter(part => part !== '').map(part => trim(part.replace(/,$/, '')));
  }
  if (inner === '' || parts.includes('') || parts.length > MOST_FIELDS) {
    throw new Error();
  }
  const fields = new Map(parts.map(field));
  if (fields.size < parts.length) {
    throw new Error();
  }
  const row = object(fields);
  return responseFormat('answer', asRows || rows ? around('items', listOf(row)) : row);
}

/** What stands between the commas outside brackets. */
function between(text: string): string[] {
  const parts = [''];
  let depth = 0;
  for (const letter of text) {
    depth += letter === '[' ? 1 : letter === ']' ? -1 : 0;
    if (letter === ',' && depth <= 0) {
      parts.push('');
    } else {
      parts[parts.length - 1] += letter;
    }
  }
  return parts;
}

function field(text: string): [string, Json] {
  const colon = text.indexOf(':');
  const head = trim(colon < 0 ? text : text.slice(0, colon));
  const about = colon < 0 ? '' : trim(text.slice(colon + 1));
  const name = NAME.exec(head)?.[0] ?? '';
  if (name === '' || !['', ' ', '\t', '?'].includes(head.charAt(name.length))) {
    throw new Error();
  }
  let kind = trim(head.slice(name.length));
  const optional = kind.endsWith('?');
  kind = optional ? trim(kind.slice(0, -1)) : kind;
  let lists = 0;
  for (let listed = LIST.exec(kind); listed !== null; listed = LIST.exec(kind)) {
    if (++lists > MOST_LISTS) {
      throw new Error();
    }
    kind = trim(listed[1] || 'str');
  }
  let made = kind.includes('|') ? choices(kind.split('|').map(trim)) : typed(kind || 'str');
  for (; lists > 0; lists--) {
    made = listOf(made);
  }
  made = optional ? record(['anyOf', [made, record(['type', 'null'])]]) : made;
  return [name, about === '' ? made : new Map([...made, ['description', about]])];
}

function typed(word: string): JsonObject {
  const [type, format] = TYPES.get(word) ?? [];
  if (type === undefined) {
    throw new Error();
  }
  return format === undefined ? record(['type', type]) : record(['type', type], ['format', format]);
}

function choices(words: string[]): JsonObject {
  if (words.includes('') || new Set(words).size < words.length || words.some(word => TYPES.has(word))) {
    throw new Error();
  }
  return record(['type', 'string'], ['enum', words]);
}

// ------------------------------------------------------------------------------------------------------ as it is sent

const listOf = (items: Json): JsonObject => record(['type', 'array'], ['items', items]);
const around = (key: string, schema: Json): JsonObject => object(new Map([[key, schema]]));

function object(properties: JsonObject): JsonObject {
  return record(['type', 'object'], ['properties', properties], ['required', [...properties.keys()]], ['additionalProperties', false]);
}

function responseFormat(name: string, schema: JsonObject): JsonObject {
  const plain = name.replace(/[^a-zA-Z0-9_-]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 64);
  const named = record(['name', plain || 'answer'], ['schema', schema]);
  return record(['type', 'json_schema'], ['json_schema', isStrict(schema) ? named.set('strict', true) : named]);
}

const STRICT = new Set(
  'type properties required additionalProperties items enum const anyOf $ref $defs description title format'.split(' ')
);
const FORMATS = new Set('date-time time date duration email hostname ipv4 ipv6 uuid'.split(' '));

function isStrict(schema: Json | undefined): boolean {
  if (!isObject(schema) || ![...schema.keys()].every(word => STRICT.has(word))) {
    return false;
  }
  if (schema.has('$ref')) {
    return [...schema.keys()].every(word => word === '$ref' || word === '$defs');
  }
  if (!['type', 'enum', 'const', 'anyOf'].some(word => schema.has(word))) {
    return false;
  }
  if (schema.has('format') && !FORMATS.has(schema.get('format') as string)) {
    return false;
  }
  const kind = schema.get('type');
  const kinds = Array.isArray(kind) ? kind : [kind];
  const [properties, definitions] = ['properties', '$defs'].map(word => (schema.has(word) ? schema.get(word) : record()));
  const choices = schema.has('anyOf') ? schema.get('anyOf') : [];
  if (!isObject(properties) || !isObject(definitions) || !Array.isArray(choices)) {
    return false;
  }
  if ((kinds.includes('object') || schema.has('properties')) && !isClosed(schema, properties)) {
    return false;
  }
  if (kinds.includes('array') && !schema.has('items')) {
    return false;
  }
  const items = schema.has('items') ? [schema.get('items')!] : [];
  return [...properties.values(), ...definitions.values(), ...choices, ...items].every(isStrict);
}

/** Whether an object has all of the keys that it names, and no others. */
function isClosed(schema: JsonObject, properties: JsonObject): boolean {
  const required = schema.has('required') ? schema.get('required') : [];
  if (!Array.isArray(required) || required.some(name => typeof name !== 'string')) {
    return false;
  }
  const names = new Set(required);
  return names.size === properties.size && [...properties.keys()].every(key => names.has(key)) && schema.has('properties') && schema.get('additionalProperties') === false;
}

function ofJsonSchema(schema: Json, asRows: boolean): JsonObject {
  if (!isObject(schema)) {
    throw new Error();
  }
  let [bare, rows] = [schema, schema.get('type') === 'array'];
  if (asRows && !rows) {
    [bare, rows] = [lifted(inner => listOf(inner), schema), true];
  }
  const whole = bare.get('type') === 'object' ? bare : lifted(inner => around(rows ? 'items' : 'value', inner), bare);
  const title = schema.get('title');
  return responseFormat(typeof title === 'string' ? title : 'answer', whole);
}

const DEFINITIONS = ['$defs', 'definitions'];

/** What is put around a schema, with the definitions of that at its own top, where its references look for them. */
function lifted(outer: (inner: JsonObject) => JsonObject, schema: JsonObject): JsonObject {
  refuseRefsToTop(schema);
  const inner = new Map([...schema].filter(([word]) => !DEFINITIONS.includes(word)));
  return new Map([...outer(inner), ...[...schema].filter(([word]) => DEFINITIONS.includes(word))]);
}

const DATA = ['enum', 'const', 'default', 'examples'];
const NAMED = ['properties', '$defs', 'definitions', 'patternProperties', 'dependentSchemas'];

function refuseRefsToTop(schema: Json): void {
  if (Array.isArray(schema)) {
    schema.forEach(refuseRefsToTop);
  }
  if (!isObject(schema)) {
    return;
  }
  for (const [word, value] of schema) {
    if (DATA.includes(word)) {
      continue;
    }
    if ((word === '$ref' || word === '$dynamicRef') && typeof value === 'string' && !/^#\/(\$defs|definitions)\//.test(value)) {
      throw new Error();
    }
    (NAMED.includes(word) && isObject(value) ? [...value.values()] : [value]).forEach(refuseRefsToTop);
  }
}
