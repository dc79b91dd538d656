/**
 * JSON with exactly one reading, and JSON as Python and as RFC 8785 write it.
 *
 * Hosts hash what Python makes of a request, so integers and floats must stay apart: here a `bigint` is a Python int and
 * a `number` is a Python float.
 */

/** A JSON value without loss: objects keep their order of keys, integers every digit. */
export type Json = null | boolean | string | bigint | number | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** Text that different readers would read differently (`ambiguous-json`), or that is no JSON at all (`not-json`). */
export class MalformedMessage extends Error {
  constructor(
    message: string,
    readonly code: string
  ) {
    super(message);
    this.name = 'MalformedMessage';
  }
}

export const MAX_DEPTH = 64;
export const AMBIGUOUS = 'ambiguous-json';
export const NOT_JSON = 'not-json';

/** Python refuses to read integers with more digits. */
const MAX_INT_DIGITS = 4300;

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

export function hasLoneSurrogate(text: string): boolean {
  // Newer engines know by themselves.
  const { isWellFormed } = text as { isWellFormed?: () => boolean };
  return isWellFormed === undefined ? LONE_SURROGATE.test(text) : !isWellFormed.call(text);
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map;
}

/**
 * Parse one JSON text; throws {@link MalformedMessage} unless every reader would read the same: duplicate keys, NaN,
 * infinities, lone surrogates and nesting deeper than 64 are refused.
 */
export function parseStrict(text: string): Json {
  if (hasLoneSurrogate(text)) {
    throw ambiguous('the text holds a lone surrogate');
  }
  checkDepth(text);
  const parser = new Parser(text);
  const value = parser.whole();
  if (parser.surrogates) {
    throw ambiguous('the JSON holds a lone surrogate');
  }
  return value;
}

function ambiguous(message: string): MalformedMessage {
  return new MalformedMessage(`ambiguous JSON: ${message}`, AMBIGUOUS);
}

function checkDepth(text: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22:
        i = endOfString(text, i);
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > MAX_DEPTH) {
          throw ambiguous(`the JSON is nested deeper than ${MAX_DEPTH}`);
        }
        break;
      case 0x5d:
      case 0x7d:
        depth--;
    }
  }
}

/** The place of the quote that ends the string which begins at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length) {
    const code = text.charCodeAt(i);
    if (code === 0x22) {
      return i;
    }
    i += code === 0x5c ? 2 : 1;
  }
  return text.length;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES: Record<string, string> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t'
};

class Parser {
  /** Whether any string holds a lone surrogate. */
  surrogates = false;
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): Json {
    this.space();
    const value = this.value();
    this.space();
    if (this.at !== this.text.length) {
      throw this.bad('more after the value');
    }
    return value;
  }

  private bad(what: string): MalformedMessage {
    return new MalformedMessage(`not JSON: ${what} at ${this.at}`, NOT_JSON);
  }

  private space(): void {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
  }

  private value(): Json {
    switch (this.text[this.at]) {
      case '"':
        return this.string();
      case '{':
        return this.object();
      case '[':
        return this.array();
      case 'n':
        return this.word('null', null);
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      default:
        return this.number();
    }
  }

  private word<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) {
      throw this.bad('no value');
    }
    this.at += word.length;
    return value;
  }

  private number(): bigint | number {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (found === null) {
      for (const name of ['NaN', 'Infinity', '-Infinity']) {
        if (this.text.startsWith(name, this.at)) {
          throw ambiguous(`${name} is no JSON number`);
        }
      }
      throw this.bad('no value');
    }
    if (found[1] === undefined && found[2] === undefined) {
      if (found[0].length - (found[0].startsWith('-') ? 1 : 0) > MAX_INT_DIGITS) {
        throw this.bad('a number with too many digits');
      }
      this.at = NUMBER.lastIndex;
      return BigInt(found[0]);
    }
    const value = Number(found[0]);
    if (!Number.isFinite(value)) {
      throw ambiguous('a number is too large for a double');
    }
    this.at = NUMBER.lastIndex;
    return value;
  }

  private string(): string {
    this.at++;
    let out = '';
    for (;;) {
      PLAIN.lastIndex = this.at;
      out += PLAIN.exec(this.text)![0];
      this.at = PLAIN.lastIndex;
      const next = this.text[this.at];
      if (next === '"') {
        this.at++;
        break;
      }
      if (next !== '\\') {
        throw this.bad(next === undefined ? 'a string without end' : 'a control character in a string');
      }
      const escape = this.text[this.at + 1];
      if (escape === 'u') {
        const digits = this.text.slice(this.at + 2, this.at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) {
          throw this.bad('a bad escape');
        }
        out += String.fromCharCode(parseInt(digits, 16));
        this.at += 6;
      } else {
        const char = escape === undefined ? undefined : ESCAPES[escape];
        if (char === undefined) {
          throw this.bad('a bad escape');
        }
        out += char;
        this.at += 2;
      }
    }
    this.surrogates ||= hasLoneSurrogate(out);
    return out;
  }

  private array(): Json[] {
    this.at++;
    const out: Json[] = [];
    this.space();
    if (this.text[this.at] === ']') {
      this.at++;
      return out;
    }
    for (;;) {
      this.space();
      out.push(this.value());
      this.space();
      const next = this.text[this.at];
      if (next === ',') {
        this.at++;
      } else if (next === ']') {
        this.at++;
        return out;
      } else {
        throw this.bad('a list without end');
      }
    }
  }

  private object(): JsonObject {
    this.at++;
    const out: JsonObject = new Map();
    let count = 0;
    this.space();
    if (this.text[this.at] === '}') {
      this.at++;
      return out;
    }
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') {
        throw this.bad('an object without a key');
      }
      const key = this.string();
      this.space();
      if (this.text[this.at] !== ':') {
        throw this.bad('a key without a value');
      }
      this.at++;
      this.space();
      out.set(key, this.value());
      count++;
      this.space();
      const next = this.text[this.at];
      if (next === ',') {
        this.at++;
      } else if (next === '}') {
        this.at++;
        if (out.size !== count) {
          throw ambiguous('an object names one key twice');
        }
        return out;
      } else {
        throw this.bad('an object without end');
      }
    }
  }
}

/** A parsed value as plain JavaScript, with `number` for all numbers; integers beyond 2^53 lose their last digits. */
export function toPlain(value: Json): unknown {
  if (typeof value === 'bigint') {
    return Number(value);
  }
  if (Array.isArray(value)) {
    return value.map(toPlain);
  }
  if (value instanceof Map) {
    const out: Record<string, unknown> = {};
    for (const [key, item] of value) {
      // Never an assignment: a key `__proto__` would vanish.
      Object.defineProperty(out, key, { value: toPlain(item), enumerable: true, configurable: true, writable: true });
    }
    return out;
  }
  return value;
}

/** Whether Python takes the value for true. */
export function truthy(value: Json | undefined): boolean {
  if (value === undefined || value === null) {
    return false;
  }
  if (Array.isArray(value)) {
    return value.length > 0;
  }
  if (value instanceof Map) {
    return value.size > 0;
  }
  return Boolean(value);
}

// ------------------------------------------------------------------------------------------------------ as Python writes

/** `json.dumps(value, sort_keys=True)`: what hosts hash. */
export function dumpsPython(value: Json): string {
  switch (typeof value) {
    case 'string':
      return asciiString(value);
    case 'bigint':
      return value.toString();
    case 'number':
      return pythonFloat(value);
    case 'boolean':
      return value ? 'true' : 'false';
  }
  if (value === null) {
    return 'null';
  }
  if (Array.isArray(value)) {
    return `[${value.map(dumpsPython).join(', ')}]`;
  }
  const keys = [...value.keys()].sort(byCodePoint);
  return `{${keys.map(key => `${asciiString(key)}: ${dumpsPython(value.get(key)!)}`).join(', ')}}`;
}

/** Python compares texts by code point, JavaScript by UTF-16 unit. */
export function byCodePoint(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    let a = one.charCodeAt(i);
    let b = other.charCodeAt(i);
    if (a !== b) {
      // Surrogates stand for code points above all others.
      a = a >= 0xd800 && a <= 0xdfff ? a + 0x10000 : a;
      b = b >= 0xd800 && b <= 0xdfff ? b + 0x10000 : b;
      return a - b;
    }
  }
  return one.length - other.length;
}

const SHORT: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b'
};

function asciiString(text: string): string {
  // Without the `u` flag: a pair of surrogates is escaped as two, as Python does.
  const escaped = text.replace(
    /["\\]|[^ -~]/g,
    char => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
  return `"${escaped}"`;
}

/** `repr` of a Python float. The digits are those of JavaScript (both take the shortest); the exponent's form is not. */
export function pythonFloat(value: number): string {
  if (Object.is(value, -0)) {
    return '-0.0';
  }
  const [mantissa, exponentText] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${Math.abs(exponent).toString().padStart(2, '0')}`;
  }
  // Between these bounds JavaScript writes no exponent either.
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}

// ------------------------------------------------------------------------------------------------------------- RFC 8785

/**
 * The RFC 8785 text of a plain value, or of a {@link Json} one. Throws a RangeError for what has none: integers beyond
 * 2^53, numbers that are not finite, lone surrogates, anything but JSON.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (hasLoneSurrogate(value)) {
        throw new RangeError('a lone surrogate');
      }
      return JSON.stringify(value);
    case 'bigint':
      if (value > MAX_SAFE || value < -MAX_SAFE) {
        throw new RangeError('a number that JSON cannot carry');
      }
      return value.toString();
    case 'number':
      if (!Number.isFinite(value)) {
        throw new RangeError('a number that JSON cannot carry');
      }
      return String(value === 0 ? 0 : value);
    case 'boolean':
      return String(value);
    case 'object':
      if (value === null) {
        return 'null';
      }
      if (Array.isArray(value)) {
        return `[${value.map(canonicalJson).join(',')}]`;
      }
      if (value instanceof Map) {
        return members([...value.keys()] as string[], key => value.get(key));
      }
      return members(Object.keys(value), key => (value as Record<string, unknown>)[key]);
  }
  throw new RangeError('a value that JSON does not know');
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Sorted by UTF-16 units, which is JavaScript's own order. */
function members(keys: string[], get: (key: string) => unknown): string {
  return `{${keys
    .sort()
    .map(key => `${canonicalJson(key)}:${canonicalJson(get(key))}`)
    .join(',')}}`;
}
