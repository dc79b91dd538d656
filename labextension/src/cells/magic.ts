/** What a cell's text says about the magics, and what could stand under the cursor; no JupyterLab here. */

import { goesOn, head, IWords, namesOf, words } from './grammar';
import { COMMANDS, FLAGS, IFlag, MODELS, NETWORKS, SETTINGS } from './vocabulary';

/** Whether a cell is a `%%opg` cell, and that from its first line on: under `%%time` it is edited as Python. */
export function isOpg(source: string): boolean {
  return /^\s*%%opg/.test(source) && head(source) !== null;
}

/** One thing that could stand at the cursor. */
export interface ICandidate {
  readonly text: string;
  readonly kind: 'flag' | 'command' | 'setting' | 'model' | 'host' | 'network' | 'value';
  readonly help: string | null;
}

/** A host by name, as the user's own server knows it. */
export interface IKnownHost {
  readonly name: string;
  readonly tee_id: string;
}

/** The word under the cursor (`start`, in UTF-16 units) and what could stand there; null where no line of ours is. */
export interface ICandidates {
  readonly start: number;
  readonly word: string;
  readonly found: readonly ICandidate[];
}

const IN_LINE = /^[ \t]*(?:\w+[ \t]*=[ \t]*)?%opg([ \t].*)$/;

/** Whether the cursor stands in the line of a magic of ours, where words complete. */
export function inMagic(text: string, offset: number): boolean {
  return place(text.slice(0, offset)) !== null;
}

/** As opg_magic/notebook/completion.py, which answers where there is a kernel. */
export function candidates(text: string, offset: number, hosts: readonly IKnownHost[] = []): ICandidates | null {
  const at = place(text.slice(0, offset));
  if (at === null) {
    return null;
  }
  const all = at.cell ? ofCell(at.word, at.before, hosts) : ofLine(at.before, hosts);
  return { start: offset - at.word.length, word: at.word, found: all.filter(one => one.text.startsWith(at.word)) };
}

interface IPlace {
  readonly cell: boolean;
  readonly word: string;
  readonly before: readonly string[];
}

/** The word before the cursor, and those before it; null where no line of ours is, in its quotes and its comment. */
function place(before: string): IPlace | null {
  const whole = before.slice(before.lastIndexOf('\n') + 1);
  const line = whole.replace(/^[ \t]+/, '');
  const found = line.startsWith('%%opg ') ? head(before) : null;
  if (found !== null && found.body === '') {
    return inWords(line.slice('%%opg'.length));
  }
  const match = IN_LINE.exec(whole);
  if (match === null) {
    return null;
  }
  const split = match[1].split(' ');
  return { cell: false, word: split[split.length - 1].replace(/^\t+/, ''), before: split.slice(0, -1).filter(Boolean) };
}

function inWords(line: string): IPlace | null {
  const split: IWords = words(line);
  if (split.isOpen || split.comment !== null) {
    return null;
  }
  const last = split.words[split.words.length - 1];
  const under = last !== undefined && last.end === line.length ? last : null;
  return {
    cell: true,
    word: under === null ? '' : line.slice(under.start),
    before: split.words.filter(one => one !== under).map(one => one.value)
  };
}

const BY_FLAG = new Map(FLAGS.flatMap(flag => namesOf(flag).map(name => [name, flag])));

function ofCell(word: string, before: readonly string[], hosts: readonly IKnownHost[]): ICandidate[] {
  const last = BY_FLAG.get(before[before.length - 1] ?? '');
  if (inList(before, word)) {
    return []; // of the user's own functions, which the kernel alone knows
  }
  if (last?.value) {
    return values(last, hosts);
  }
  if (word.startsWith('--') && word.includes('=')) {
    const name = word.slice(0, word.indexOf('='));
    const flag = BY_FLAG.get(name);
    return flag ? values(flag, hosts).map(one => ({ ...one, text: `${name}=${one.text}` })) : [];
  }
  const given = new Set(before.map(one => one.split('=', 1)[0]));
  return FLAGS.filter(flag => flag.repeat || !namesOf(flag).some(name => given.has(name))).map(flag => ({
    text: flag.flag,
    kind: 'flag',
    help: flag.help
  }));
}

/** Whether the word stands in a list. */
function inList(before: readonly string[], word: string): boolean {
  const all = [...before, word];
  let at = before.length;
  while (at > 0 && !BY_FLAG.has(all[at - 1]) && goesOn(all[at - 1], all[at] || '?')) {
    at--;
  }
  return [all[at - 1] ?? '', /^(.*?)=/.exec(all[at])?.[1] ?? ''].some(flag => BY_FLAG.get(flag)?.form === 'list');
}

function values(flag: IFlag, hosts: readonly IKnownHost[]): ICandidate[] {
  const plain = (kind: ICandidate['kind'], texts: readonly string[]): ICandidate[] =>
    texts.map(text => ({ text, kind, help: null }));
  switch (flag.source) {
    case 'model':
      return plain('model', MODELS);
    case 'network':
      return plain('network', NETWORKS);
    case 'host':
      return hosts.map(host => ({ text: host.tee_id, kind: 'host', help: host.name }));
    default:
      return plain('value', flag.choices);
  }
}

function ofLine(before: readonly string[], hosts: readonly IKnownHost[]): ICandidate[] {
  const plain = (kind: ICandidate['kind'], texts: readonly string[]): ICandidate[] =>
    texts.map(text => ({ text, kind, help: null }));
  const [command, ...more] = before;
  if (command === undefined) {
    return COMMANDS.map(one => ({ text: one.name, kind: 'command', help: one.help }));
  }
  if (command === 'config' && more.length === 0) {
    return SETTINGS.map(one => ({ text: one.name, kind: 'setting', help: one.help }));
  }
  if (command === 'config' && more.length === 1) {
    return more[0] === 'model' ? plain('model', MODELS) : more[0] === 'policy' ? plain('value', BY_FLAG.get('--policy')?.choices ?? []) : [];
  }
  if (command === 'use' && more.length === 0) {
    return plain('network', NETWORKS);
  }
  if (command === 'show') {
    return plain('value', more.length ? ['--unverified'] : ['last', '--unverified']);
  }
  if (command === 'simnet' && more.length === 0) {
    return plain('value', ['status', 'up', 'down', 'cheat']);
  }
  if (command === 'simnet' && more.length === 1 && more[0] === 'cheat') {
    return hosts.map(host => ({ text: host.name, kind: 'host', help: host.tee_id }));
  }
  return [];
}
