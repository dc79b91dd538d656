/** What a cell's text says about the magics, and what could stand under the cursor; no JupyterLab here. */

import { COMMANDS, FLAGS, IFlag, MODELS, NETWORKS, SETTINGS } from './vocabulary';

const CELL = /^\s*%%opg(?=\s|$)/;

/** Whether a cell is a `%%opg` cell; IPython overlooks empty lines before it. */
export function isOpg(source: string): boolean {
  return CELL.test(source);
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

const IN_CELL = /^%%opg([ \t].*)$/;
const IN_LINE = /^[ \t]*(?:\w+[ \t]*=[ \t]*)?%opg([ \t].*)$/;

/** Whether the cursor stands in the line of a magic of ours, where words complete. */
export function inMagic(text: string, offset: number): boolean {
  return rest(text, offset) !== null;
}

/** As opg_magic/completion.py, which answers where there is a kernel. */
export function candidates(text: string, offset: number, hosts: readonly IKnownHost[] = []): ICandidates | null {
  const at = rest(text, offset);
  if (at === null) {
    return null;
  }
  const words = at.rest.split(' ');
  const word = words[words.length - 1].replace(/^\t+/, '');
  const before = words.slice(0, -1).filter(Boolean);
  const all = at.cell ? ofCell(word, before, hosts) : ofLine(before, hosts);
  return { start: offset - word.length, word, found: all.filter(one => one.text.startsWith(word)) };
}

function rest(text: string, offset: number): { cell: boolean; rest: string } | null {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const line = text.slice(start, offset);
  const cell = text.slice(0, start).trim() ? null : IN_CELL.exec(line);
  const match = cell ?? IN_LINE.exec(line);
  return match && { cell: cell !== null, rest: match[1] };
}

const BY_FLAG = new Map(FLAGS.map(flag => [flag.flag, flag]));

function ofCell(word: string, before: readonly string[], hosts: readonly IKnownHost[]): ICandidate[] {
  const last = BY_FLAG.get(before[before.length - 1] ?? '');
  if (last?.value) {
    return values(last, hosts);
  }
  if (word.startsWith('--') && word.includes('=')) {
    const name = word.slice(0, word.indexOf('='));
    const flag = BY_FLAG.get(name);
    return flag ? values(flag, hosts).map(one => ({ ...one, text: `${name}=${one.text}` })) : [];
  }
  return FLAGS.filter(flag => flag.repeat || !before.includes(flag.flag)).map(flag => ({
    text: flag.flag,
    kind: 'flag',
    help: flag.help
  }));
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
