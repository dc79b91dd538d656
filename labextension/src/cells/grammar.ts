/**
 * How the text of a cell is read: newlines, the magics at its head, the words of a line, the fields of a template.
 *
 * The twin of opg_magic/cells/grammar.py, magic_line.py and cells.py; one file of cases holds both (tests/grammar/cases.json).
 * Characters are listed, never left to a language's own idea of white space or of a word.
 */

import { FLAGS, IFlag } from './vocabulary';

/** All white space, as Python knows it; inside a class of a regular expression. */
const SPACE = '\\t\\n\\x0b\\x0c\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const BLANK = new RegExp(`^[${SPACE}]*$`);
/** Where Python's `splitlines`, and so IPython, ends a line, and no editor does. */
const ODD_ENDS = /[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]/; // eslint-disable-line no-control-regex
const BLANK_LINES = /^(?:[ \t]*\n)*[ \t]*/;
/**
 * Magics that run the cell below their line as it stands: a call under one of them is still that call. With options alone, and the
 * name that `%%capture` fills: other words would be read and compared with nothing.
 */
const WRAPPER_OPTIONS = '(?: +(?:-[-A-Za-z0-9]+|[0-9]+))*';
const WRAPPER = new RegExp(`^%%(?:(?:time|timeit)${WRAPPER_OPTIONS}|capture${WRAPPER_OPTIONS}(?: +[A-Za-z_][A-Za-z0-9_]*${WRAPPER_OPTIONS})?)$`);
const OPG = /^%%opg(?: ([^\n]*))?$/;
/** More magics above one cell than anyone stacks. */
const MOST_WRAPPERS = 8;

/** Text with every line ended by a line feed alone. */
export function newlines(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

/** What is compared of a prompt: its line ends alike, without the spaces and empty lines at either end. */
export function normal(text: string): string {
  return trimEnd(trimStart(newlines(text)));
}

const trimStart = (text: string): string => text.replace(/^[ \t\n]+/, '');

function trimEnd(text: string, of = ' \t\n'): string {
  let end = text.length;
  while (end > 0 && of.includes(text[end - 1])) {
    end--;
  }
  return text.slice(0, end);
}

/** White space, as Python has it. */
export const IS_SPACE = new RegExp(`[${SPACE}]`);

/** Text without the white space at its beginning, as Python's `str.lstrip` has it. */
export function lstrip(text: string): string {
  let start = 0;
  while (start < text.length && IS_SPACE.test(text[start])) {
    start++;
  }
  return text.slice(start);
}

/** Text without the white space at its ends, as Python's `str.strip` has it. */
export function strip(text: string): string {
  let end = text.length;
  while (end > 0 && IS_SPACE.test(text[end - 1])) {
    end--;
  }
  return lstrip(text.slice(0, end));
}

/** A cell whose first line is `%%opg`, perhaps under a magic that runs it as it stands. */
export interface IHead {
  readonly line: string;
  readonly body: string;
}

/** The head of a `%%opg` cell; null if the cell is none to the letter. */
export function head(source: string): IHead | null {
  let text = newlines(source);
  for (let depth = 0; depth <= MOST_WRAPPERS; depth++) {
    text = text.slice(BLANK_LINES.exec(text)![0].length);
    const at = text.indexOf('\n');
    const whole = at < 0 ? text : text.slice(0, at);
    if (ODD_ENDS.test(whole)) {
      return null;
    }
    const line = trimEnd(whole, ' \t');
    const opg = OPG.exec(line);
    if (opg !== null) {
      return { line: (opg[1] ?? '').replace(/^[ \t]+/, ''), body: at < 0 ? '' : text.slice(at + 1) };
    }
    if (at < 0 || !WRAPPER.test(line)) {
      return null;
    }
    text = text.slice(at + 1);
  }
  return null;
}

/* eslint-disable no-control-regex, no-misleading-character-class */
/** What nobody sees: controls, marks that combine, formats, fillers. */
const UNSEEN =
  /[\x00-\x08\x0e-\x1b\x7f-\x9f\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]/g;
/** `%%opg`, or three letters that may look so, perhaps after a prompt of IPython's or Python's. */
const LIKE_OPG =
  /^(?:In ?\[[0-9 ]*\]: ?|>>> ?|\.\.\.:? ?)?[%\uff05\ufe6a\u066a]{2}(?:[oO0]|[^\x00-\x7f])(?:[pP]|[^\x00-\x7f])(?:[gG]|[^\x00-\x7f])(?![0-9A-Za-z_]|[^\x00-\x7f])/u;
/* eslint-enable no-control-regex, no-misleading-character-class */
const SPACES = new RegExp(`[${SPACE}]`, 'g');

/** Whether a reader may take a cell for a `%%opg` call: below comments, other magics and what nobody sees. */
export function readsLikeACall(source: string): boolean {
  for (const line of newlines(source).split(/[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]/)) { // eslint-disable-line no-control-regex
    const seen = line.replace(SPACES, ' ').replace(UNSEEN, '').replace(/^ +/, '');
    if (LIKE_OPG.test(seen)) {
      return true;
    }
    if (seen !== '' && !'#%'.includes(seen[0])) {
      return false;
    }
  }
  return false;
}

// ------------------------------------------------------------------------------------------------------------ the line

/** A word of a line: where it stands, and what it says without its quotes. */
export interface IWord {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

/** `comment`: where one begins; `isOpen`: the last word lacks its closing quote, or what its backslash is for. */
export interface IWords {
  readonly words: readonly IWord[];
  readonly comment: number | null;
  readonly isOpen: boolean;
}

/** The words of a line, as a shell splits them; a `#` that begins a word outside quotes begins a comment. */
export function words(line: string): IWords {
  const found: IWord[] = [];
  let place = 0;
  while (place < line.length) {
    if (' \t\r\n'.includes(line[place])) {
      place++;
    } else if (line[place] === '#') {
      return { words: found, comment: place, isOpen: false };
    } else {
      const { isOpen, ...word } = wordAt(line, place);
      found.push(word);
      if (isOpen) {
        return { words: found, comment: null, isOpen };
      }
      place = word.end;
    }
  }
  return { words: found, comment: null, isOpen: false };
}

function wordAt(line: string, start: number): IWord & { isOpen: boolean } {
  let [value, quote, place] = ['', '', start];
  for (; place < line.length; place++) {
    const char = line[place];
    if (char === '\\' && quote !== "'") {
      const following = line[++place];
      if (following === undefined) {
        return { start, end: line.length, value, isOpen: true };
      }
      value += quote === '' || following === '"' || following === '\\' ? following : char + following;
    } else if (quote !== '') {
      if (char === quote) {
        quote = '';
      } else {
        value += char;
      }
    } else if (' \t\r\n'.includes(char)) {
      break;
    } else if (char === '"' || char === "'") {
      quote = char;
    } else {
      value += char;
    }
  }
  return { start, end: place, value, isOpen: quote !== '' };
}

/** A value that stands in a variable or, with `@`, in the settings, which only the kernel that made the call knew. */
export interface INamed {
  readonly variable: string;
}

export type Value = true | string | INamed;

/** A line as a reader sees it: the name that takes the answer, and the options as they are written. */
export interface ILine {
  readonly name: string | null;
  readonly given: Readonly<Record<string, Value | readonly string[]>>;
}

/** How a flag may be written. */
export const namesOf = ({ flag, short }: IFlag): readonly string[] => (short === null ? [flag] : [flag, short]);

const BY_FLAG = new Map(FLAGS.flatMap(flag => namesOf(flag).map(name => [name, flag])));
const TEXT = new RegExp(`[^${SPACE}]`);
const FORMS: Record<IFlag['form'], RegExp> = {
  text: TEXT,
  number: /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$/,
  count: /^[0-9]{1,15}$/,
  amount: /^([0-9]+\.?[0-9]{0,18}|\.[0-9]{1,18})$/,
  name: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  list: TEXT
};
const IDENTIFIER = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;
const KEYWORDS = new Set(
  'False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield'.split(
    ' '
  )
);

export const isName = (word: string): boolean => IDENTIFIER.test(word) && !KEYWORDS.has(word);

/** The key of an option: `max_tokens` of `--max-tokens`. */
export const keyOf = (flag: string): string => flag.slice(2).replace(/-/g, '_');

/** The line of `%%opg`; null if no kernel would take it. */
export function readLine(text: string): ILine | null {
  const split = words(text);
  let name: string | null = null;
  const given: Record<string, Value | readonly string[]> = {};
  const values = split.words.map(word => word.value);
  for (let place = 0; place < values.length; place++) {
    const word = values[place];
    if (!word.startsWith('--') && !BY_FLAG.has(word)) {
      if (name !== null || !isName(word)) {
        return null;
      }
      name = word;
      continue;
    }
    const at = word.indexOf('=');
    const option = BY_FLAG.get(at < 0 ? word : word.slice(0, at));
    const key = keyOf(option?.flag ?? word);
    if (option === undefined || (key in given && !option.repeat) || (option.value === null && at >= 0)) {
      return null;
    }
    if (option.value === null) {
      given[key] = true;
      continue;
    }
    let written = at < 0 ? values[++place] : word.slice(at + 1);
    while (option.form === 'list' && goesOn(written, values[place + 1])) {
      written += values[++place];
    }
    const value = written === undefined || (at < 0 && written.startsWith('--')) ? null : valueOf(option, written);
    if (value === null) {
      return null;
    }
    if (option.repeat) {
      ((given[key] ??= []) as string[]).push(value as string);
    } else {
      given[key] = value;
    }
  }
  return split.isOpen ? null : { name, given };
}

/** Whether `word` belongs to the list before it: a comma stands between the two. */
export function goesOn(value = '', word = ''): boolean {
  return (value.endsWith(',') || word.startsWith(',')) && word !== '' && !word.startsWith('--') && !BY_FLAG.has(word);
}

function valueOf(option: IFlag, written: string): string | INamed | null {
  const whole = option.free ? null : /^\{([^{}]+)\}$/.exec(written);
  if (whole !== null) {
    return isName(whole[1]) ? { variable: whole[1] } : null;
  }
  const fits = option.choices.length ? [...option.choices, ...option.former].includes(written) : FORMS[option.form].test(written);
  if (!fits || !Number.isFinite(option.form === 'number' ? Number(written) : 0)) {
    return null;
  }
  // An alias stands for a model that only its owner's settings name.
  return option.flag === '--model' && /^@[A-Za-z][A-Za-z0-9_-]*$/.test(written) ? { variable: written } : written;
}

// ------------------------------------------------------------------------------------------------------------ the cell

/** `call`: a paid call to the letter; `free`: one that pays nothing; `unclear`: its line is none that a kernel takes. */
export interface ICell {
  readonly kind: 'call' | 'free' | 'unclear' | 'other';
  readonly head: IHead | null;
  readonly line: ILine | null;
}

/** What a cell is. */
export function readCell(source: string): ICell {
  const found = head(source);
  if (found === null) {
    return { kind: 'other', head: null, line: null };
  }
  const line = readLine(found.line);
  if (line === null) {
    return { kind: 'unclear', head: found, line: null };
  }
  const free = 'dry_run' in line.given || 'help' in line.given || BLANK.test(found.body);
  return { kind: free ? 'free' : 'call', head: found, line };
}

// -------------------------------------------------------------------------------------------------------- the template

/** A template as its fixed parts and what stands between double braces, between two parts each. */
function cut(template: string): { fixed: string[]; names: string[] } {
  const fixed: string[] = [];
  const names: string[] = [];
  let place = 0;
  for (;;) {
    const opens = template.indexOf('{{', place);
    const closes = opens < 0 ? -1 : template.indexOf('}}', opens + 2);
    if (closes < 0) {
      return { fixed: [...fixed, template.slice(place)], names };
    }
    fixed.push(template.slice(place, opens));
    names.push(template.slice(opens + 2, closes));
    place = closes + 2;
  }
}

/** The names in a template, in order of first use. */
export function fieldNames(template: string): string[] {
  return [...new Set(cut(template).names.map(strip))];
}

/** Whether `text` can be `template` with each `{{name}}` filled in: its fixed parts, in order. */
export function fills(template: string, text: string): boolean {
  return follows(cut(normal(template)).fixed, text);
}

/** Whether `text` is these parts in their order, with anything between two of them: the first begins it, the last ends it. */
function follows([begin, ...rest]: readonly string[], text: string): boolean {
  if (rest.length === 0) {
    return begin === normal(text);
  }
  // A value at either end may bring white space of its own, or be nothing else.
  const first = trimStart(begin);
  const last = trimEnd(rest[rest.length - 1]);
  let whole = newlines(text);
  whole = first ? trimStart(whole) : whole;
  whole = last ? trimEnd(whole) : whole;
  if (!whole.startsWith(first) || !whole.endsWith(last)) {
    return false;
  }
  let position = first.length;
  const end = whole.length - last.length;
  for (const part of rest.slice(0, -1)) {
    const found = whole.indexOf(part, position);
    if (found < 0 || found + part.length > end) {
      return false;
    }
    position = found + part.length;
  }
  return position <= end;
}

/**
 * Whether a prompt is what a cell's text and line make of it: between two parts of it, and around those that `--template` fills in,
 * may stand anything; after them come the files. A table's cells are filled in for `row`.
 */
export function isPromptOf(body: string, line: ILine | null, prompt: string, row = false): boolean {
  const whole = normal(body);
  if (line === null) {
    return whole === normal(prompt);
  }
  const { file = [], template, vars } = line.given;
  const files = (file as readonly string[]).map(path => `\n\nFile ${baseName(path)} (`);
  const parts = [...(template === undefined ? [] : ['']), ...(vars === undefined && !row ? [whole] : cut(whole).fixed), ...files];
  return follows(template === undefined && !files.length ? parts : [...parts, ''], prompt);
}

/** The name of a file, without the folders before it. */
export const baseName = (path: string): string => path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
