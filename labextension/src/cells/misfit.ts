/**
 * Why JSON does not have the form that was asked for, in words that follow from the signed request and the signed answer.
 *
 * The twin of opg_magic/shapes/misfit.py and reading.py; whole notebooks in the corpus hold both together.
 */

import { IS_SPACE, strip } from './grammar';
import {
  BOUNDS, CUT, DEEPEST, DO_NOT_FIT, DOES_NOT_FIT, EMPTY, EXTRA, FORBIDDEN, LONGEST, MISSING, MOST_FAULTS, MOST_STEPS, NAMES, NO_FORM, NO_JSON, NO_TOOL,
  NO_VALUE, NOT_JSON
} from '../receipt/implied-words';
import { AMBIGUOUS, dumpsPython, isObject, Json, JsonObject, MalformedMessage, parseStrict } from '../base/json';
import { cut, grouped, isolated, lengthOf, parsed, seen } from '../receipt/tool-calls';

/** One place where a value does not fit. `types`: it is of another type than these. */
interface IFault {
  readonly path: readonly (string | number)[];
  readonly words: string;
  readonly types: readonly string[];
}

type Path = IFault['path'];

/** The schema holds what is not followed here. */
class Beyond extends Error {}

/** Why an answer's text does not have the form that was asked for; null where it has, or it cannot be told. */
export function reason(responseFormat: Json, text: string): string | null {
  const found = jsonIn(text);
  if (typeof found === 'string') {
    return found;
  }
  const faults = ofResponse(responseFormat, found.value);
  return faults?.length ? `${DOES_NOT_FIT}: ${said(faults)}.` : null;
}

/** Why a tool's call does not fit the tool's definition, of those offered; null where it does, or it cannot be told. */
export function callProblem(offered: ReadonlyMap<string, JsonObject>, name: string, args: string): string | null {
  const definition = offered.get(name);
  if (definition === undefined) {
    return NO_TOOL;
  }
  const value = parsed(args);
  if (value === undefined) {
    return NOT_JSON;
  }
  const described = definition.get('function');
  const schema = isObject(described) ? described.get('parameters') : undefined;
  const faults = isObject(schema) ? faultsOf(schema, value) : null;
  return faults?.length ? `${DO_NOT_FIT}: ${said(faults)}` : null;
}

// ----------------------------------------------------------------------------------------------------- the JSON in a text

/** The JSON that an answer is, or that its one code block is; or why there is none. */
export function jsonIn(text: string): string | { readonly value: Json } {
  const plain = strip(text.replace(/^\ufeff/, ''));
  if (!plain) {
    return EMPTY;
  }
  let first = readOrNot(plain);
  if (!(first instanceof MalformedMessage)) {
    return first;
  }
  const found: { readonly value: Json }[] = [];
  for (const [language, code] of blocks(plain)) {
    if (['', 'json'].includes(language.toLowerCase())) {
      const read = readOrNot(code);
      if (read instanceof MalformedMessage) {
        first = read;
      } else {
        found.push(read);
      }
    }
  }
  if (found.length > 1) {
    return `The answer has ${found.length} blocks of JSON; one was asked for.`;
  }
  if (found.length) {
    return found[0];
  }
  if (first.code === AMBIGUOUS) {
    return `The answer is ${first.message}.`;
  }
  return '[{'.includes(plain[0]) && !']}'.includes(plain[plain.length - 1]) ? CUT : NO_JSON;
}

function readOrNot(text: string): { readonly value: Json } | MalformedMessage {
  try {
    return { value: parseStrict(text) };
  } catch (error) {
    if (error instanceof MalformedMessage) {
      return error;
    }
    throw error;
  }
}

/** The fenced code blocks of a Markdown text, in order: language and code. */
function blocks(text: string): [string, string][] {
  const found: [string, string][] = [];
  let [fence, language] = ['', ''];
  let lines: string[] = [];
  for (const line of text.split('\n')) {
    const match = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$/.exec(line.replace(/\r+$/, ''));
    if (!fence && match !== null) {
      fence = match[1];
      const end = Array.from(match[2]).findIndex(char => IS_SPACE.test(char));
      language = end < 0 ? match[2] : Array.from(match[2]).slice(0, end).join('');
      lines = [];
    } else if (fence && closes(line, fence)) {
      found.push([language, lines.join('\n')]);
      fence = '';
    } else if (fence) {
      lines.push(line);
    }
  }
  if (fence) {
    found.push([language, lines.join('\n')]);
  }
  return found;
}

function closes(line: string, fence: string): boolean {
  const plain = strip(line);
  return plain.length >= fence.length && plain === fence[0].repeat(plain.length) && /^ {0,3}(?! )/.test(line);
}

// ------------------------------------------------------------------------------------------------------------ the schema

/** A host may say a list of rows, or a single value, without the object that goes around it. */
function ofResponse(responseFormat: Json, value: Json): IFault[] | null {
  const named = isObject(responseFormat) ? responseFormat.get('json_schema') : undefined;
  const schema = isObject(named) ? named.get('schema') : undefined;
  if (!isObject(schema)) {
    return null;
  }
  const properties = schema.get('properties');
  const names = isObject(properties) ? [...properties.keys()] : [];
  const around = names.length === 1 && ['items', 'value'].includes(names[0]) ? names[0] : null;
  if (around === null || (isObject(value) && value.size === 1 && value.has(around))) {
    return faultsOf(schema, value);
  }
  const bare = (properties as JsonObject).get(around)!;
  const definitions = ['$defs', 'definitions'].flatMap(word => (schema.has(word) ? [[word, schema.get(word)!] as const] : []));
  return faultsOf(isObject(bare) ? new Map([...definitions, ...bare]) : bare, value);
}

function faultsOf(schema: Json, value: Json): IFault[] | null {
  try {
    return new Walk(schema).faults(schema, value, [], 0);
  } catch (error) {
    if (error instanceof Beyond) {
      return null;
    }
    throw error;
  }
}

/** The first faults as one line. */
function said(found: readonly IFault[]): string {
  const named = found.slice(0, MOST_FAULTS).map(({ path, words }) => {
    const steps = path.map(step => (typeof step === 'number' ? `[${step}]` : `.${isolated(seen(step))}`)).join('');
    return steps ? `${shortened(steps.replace(/^\./, ''))}: ${words}` : words;
  });
  const more = found.length - MOST_FAULTS;
  return more > 0 ? `${named.join('; ')}; and ${grouped(more)} more` : named.join('; ');
}

const shortened = (text: string): string => (lengthOf(text) <= LONGEST ? text : `${cut(text, LONGEST - 1)}…`);

class Walk {
  private _steps = 0;

  constructor(private readonly _root: Json) {}

  faults(schema: Json, value: Json, path: Path, depth: number): IFault[] {
    this._steps += 1;
    if (this._steps > MOST_STEPS || depth > DEEPEST) {
      throw new Beyond();
    }
    if (schema === false) {
      return [fault(path, FORBIDDEN)];
    }
    if (!isObject(schema)) {
      return [];
    }
    const found: IFault[] = [];
    const reference = schema.get('$ref');
    if (typeof reference === 'string') {
      add(found, this.faults(this._target(reference), value, path, depth + 1));
    }
    const expected = typesOf(schema.get('type'));
    const kind = kindOf(value);
    if (expected.length && !isOneOf(value, kind, expected)) {
      return [...found, fault(path, notOf(kind, expected), expected)];
    }
    found.push(...ofValues(schema, value, path), ...ofBounds(schema, value, kind, path));
    for (const one of listOf(schema.get('allOf'))) {
      add(found, this.faults(one, value, path, depth + 1));
    }
    for (const word of ['anyOf', 'oneOf']) {
      const choices = listOf(schema.get(word));
      if (choices.length) {
        add(found, this._ofChoices(choices, value, path, depth));
      }
    }
    const items = schema.get('items');
    if (isObject(value)) {
      add(found, this._ofObject(schema, value, path, depth));
    } else if (Array.isArray(value) && isObject(items)) {
      for (const [place, one] of value.entries()) {
        add(found, this.faults(items, one, [...path, place], depth + 1));
      }
    }
    return found;
  }

  private _ofObject(schema: JsonObject, value: JsonObject, path: Path, depth: number): IFault[] {
    const found: IFault[] = [];
    const told = schema.get('properties');
    const properties: JsonObject = isObject(told) ? told : new Map();
    const required = listOf(schema.get('required')).filter(name => typeof name === 'string');
    for (const name of [...properties.keys(), ...required.filter(one => !properties.has(one))]) {
      if (value.has(name)) {
        if (properties.has(name)) {
          add(found, this.faults(properties.get(name)!, value.get(name)!, [...path, name], depth + 1));
        }
      } else if (required.includes(name)) {
        found.push(fault([...path, name], MISSING));
      }
    }
    const others = schema.get('additionalProperties') ?? null;
    for (const [name, one] of value) {
      if (properties.has(name) || others === null || others === true) {
        continue;
      }
      if (others === false) {
        found.push(fault([...path, name], EXTRA));
      } else {
        add(found, this.faults(others, one, [...path, name], depth + 1));
      }
    }
    return found;
  }

  private _ofChoices(choices: readonly Json[], value: Json, path: Path, depth: number): IFault[] {
    const tried: IFault[][] = [];
    for (const choice of choices) {
      const found = this.faults(choice, value, path, depth + 1);
      if (!found.length) {
        return [];
      }
      tried.push(found);
    }
    // A choice of another type was not meant.
    const meant = tried.filter(([first]) => first.path.length !== path.length || !first.types.length);
    if (meant.length === 1) {
      return meant[0];
    }
    if (meant.length) {
      return [fault(path, NO_FORM)];
    }
    const expected = [...new Set(tried.flatMap(([first]) => first.types))];
    return [fault(path, notOf(kindOf(value), expected), expected)];
  }

  private _target(reference: string): Json {
    if (reference !== '#' && !reference.startsWith('#/')) {
      throw new Beyond();
    }
    let found = this._root;
    for (const step of reference.split('/').slice(1)) {
      if (!isObject(found) || !found.has(step)) {
        throw new Beyond();
      }
      found = found.get(step)!;
    }
    return found;
  }
}

/** There may be more of them than a call may have arguments. */
function add(found: IFault[], more: readonly IFault[]): void {
  for (const one of more) {
    found.push(one);
  }
}

function ofValues(schema: JsonObject, value: Json, path: Path): IFault[] {
  const listed = schema.get('enum');
  const allowed = schema.has('const') ? [schema.get('const')!] : Array.isArray(listed) ? listed : null;
  if (allowed === null) {
    return [];
  }
  const texts = allowed.map(dumpsPython);
  if (texts.includes(dumpsPython(value))) {
    return [];
  }
  const words = `${texts.length === 1 ? 'not' : 'none of'} ${texts.join(', ')}`;
  return [fault(path, words.length <= 80 ? words : NO_VALUE)];
}

function ofBounds(schema: JsonObject, value: Json, kind: string, path: Path): IFault[] {
  const sized = kind === 'integer' ? 'number' : kind;
  const size = typeof value === 'string' ? lengthOf(value) : Array.isArray(value) ? value.length : (value as bigint | number);
  return BOUNDS.flatMap(([word, of, words]) => {
    const bound = schema.get(word);
    if (sized !== of || (typeof bound !== 'bigint' && typeof bound !== 'number')) {
      return [];
    }
    const beyond =
      word === 'exclusiveMinimum' ? size <= bound : word === 'exclusiveMaximum' ? size >= bound : word.startsWith('min') ? size < bound : size > bound;
    return beyond ? [fault(path, words.replace('{}', () => dumpsPython(bound)))] : [];
  });
}

const fault = (path: Path, words: string, types: readonly string[] = []): IFault => ({ path, words, types });

function typesOf(said: Json | undefined): string[] {
  const named = typeof said === 'string' ? [said] : said;
  return Array.isArray(named) && named.every(one => typeof one === 'string' && Object.hasOwn(NAMES, one)) ? (named as string[]) : [];
}

function kindOf(value: Json): string {
  if (value === null) {
    return 'null';
  }
  const known = { boolean: 'boolean', string: 'string', bigint: 'integer', number: 'number' }[typeof value as string];
  return known ?? (Array.isArray(value) ? 'array' : 'object');
}

function isOneOf(value: Json, kind: string, expected: readonly string[]): boolean {
  return (
    expected.includes(kind) ||
    (kind === 'integer' && expected.includes('number')) ||
    (kind === 'number' && expected.includes('integer') && Number.isInteger(value))
  );
}

const notOf = (kind: string, expected: readonly string[]): string => `${NAMES[kind]}, not ${expected.map(one => NAMES[one]).join(' or ')}`;
const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
