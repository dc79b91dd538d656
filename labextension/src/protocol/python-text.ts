/**
 * `str` of a parsed JSON value as some version of Python writes it (opg_magic/protocol/python_text.py).
 *
 * `repr` escapes what is not printable by the Unicode data of its Python, and this browser has data of its own: the
 * characters that were added since Python 3.11's are in a table, with the version that brought them.
 */

import { ADDED } from '../generated/unicode';
import { Json, pythonFloat } from '../base/json';

/** Unicode's version in Python 3.11, then in 3.12, 3.13, 3.14, 3.15 and after. */
export const OLDEST = '14.0';
export const NEWER: readonly string[] = Object.keys(ADDED);

/** `str(value)` in a Python with this version of Unicode. */
export function pythonText(value: Json | undefined, unicode = OLDEST): string {
  return typeof value === 'string' ? value : repr(value ?? null, unicode);
}

/** Whether Pythons write this differently. */
export function varies(value: Json | undefined): boolean {
  if (typeof value === 'string') {
    return /[^\u0000-\u007f]/.test(value) && [...value].some(char => since(char) !== null);
  }
  if (Array.isArray(value)) {
    return value.some(varies);
  }
  return value instanceof Map && [...value].some(([key, item]) => varies(key) || varies(item));
}

function repr(value: Json, unicode: string): string {
  switch (typeof value) {
    case 'string':
      return reprString(value, unicode);
    case 'bigint':
      return value.toString();
    case 'number':
      return pythonFloat(value);
    case 'boolean':
      return value ? 'True' : 'False';
  }
  if (value === null) {
    return 'None';
  }
  if (Array.isArray(value)) {
    return `[${value.map(item => repr(item, unicode)).join(', ')}]`;
  }
  return `{${[...value].map(([key, item]) => `${reprString(key, unicode)}: ${repr(item, unicode)}`).join(', ')}}`;
}

const SHORT: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function reprString(text: string, unicode: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = '';
  for (const char of text) {
    if (char === quote) {
      out += `\\${char}`;
    } else if (SHORT[char] !== undefined) {
      out += SHORT[char];
    } else if (isPrintable(char, unicode)) {
      out += char;
    } else {
      const code = char.codePointAt(0)!;
      const hex = code.toString(16);
      out += code < 0x100 ? `\\x${hex.padStart(2, '0')}` : code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
    }
  }
  return quote + out + quote;
}

function isPrintable(char: string, unicode: string): boolean {
  if (char >= ' ' && char <= '~') {
    return true;
  }
  const version = since(char);
  return version === null ? !/[\p{C}\p{Z}]/u.test(char) : NEWER.indexOf(version) <= NEWER.indexOf(unicode);
}

type Range = readonly [first: number, last: number, version: string];
let ranges: Range[] | null = null;

/** The version of Unicode that added this printable character; null if it is not newer than 14.0. */
function since(char: string): string | null {
  ranges ??= Object.entries(ADDED).flatMap(([version, text]) =>
    text.split(' ').map((part): Range => {
      const [first, last] = part.split('-').map(code => parseInt(code, 16));
      return [first, last ?? first, version];
    })
  );
  const code = char.codePointAt(0)!;
  return code < 0x80 ? null : (ranges.find(([first, last]) => first <= code && code <= last)?.[2] ?? null);
}
