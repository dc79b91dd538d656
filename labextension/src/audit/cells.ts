/**
 * Whether a notebook's cell is the call that a receipt answers. The rules are those of `opg verify`
 * (opg_magic/audit/sources.py); notebooks in the corpus hold both together.
 */

import { CELL_CHANGED, NOT_THE_CALL, PROMPT_DIFFERS } from './finding-words';
import { askedOf, IAsked } from '../receipt/asked';
import { SHOW } from '../cells/calls';
import { sha256Hex, utf8 } from '../crypto/bytes';
import { type Finding, isWithheldAtCreation } from '../receipt/findings';
import { baseName, fieldNames, IHead, ILine, INamed, isPromptOf, lstrip, newlines, normal, readCell, strip } from '../cells/grammar';
import type { Json } from '../base/json';
import type { Receipt } from '../receipt/receipt';
import { agrees, type IOnLine, onLine } from '../cells/shapes';

/**
 * What sets this cell apart from the call that the receipt answers; nothing if it is that call to the letter.
 *
 * Where the cell is no call, all that can be said is that it was not compared: that is said, whatever it holds. `row`: the receipt
 * is one of those of a table.
 */
export function cellFindings(source: string, receipt: Receipt, row = false): Finding[] {
  const known = remembered.get(receipt);
  if (known?.source === source && known.row === row) {
    return known.found;
  }
  const found = compared(source, receipt, row);
  remembered.set(receipt, { source, row, found });
  return found;
}

/** A notebook is looked through with every change, and has the receipts of whole tables. */
const remembered = new WeakMap<Receipt, { readonly source: string; readonly row: boolean; readonly found: Finding[] }>();

function compared(source: string, receipt: Receipt, row: boolean): Finding[] {
  const cell = readCell(source);
  const found = askedOf(receipt);
  if (cell.head !== null && found !== null) {
    if (found.prompt === null || !isPromptOf(cell.head.body, cell.line, found.prompt, row)) {
      return [failure('prompt-differs', PROMPT_DIFFERS)];
    }
  }
  if (cell.kind !== 'call' || cell.head === null || cell.line === null || found === null || row !== (cell.line.given.over !== undefined)) {
    return [{ level: 'incomplete', code: 'not-the-call', message: NOT_THE_CALL }];
  }
  return ofCall(cell.head, cell.line, source, found, receipt);
}

/** Whether a cell does no more than show an answer again: by `%opg show`, or by the name that its call gave it. */
export function showsAgain(source: string, id: string, names: ReadonlySet<string>): boolean {
  const text = normal(source);
  const shown = SHOW.exec(text);
  return shown === null ? text === '_' || (text !== '' && names.has(text)) : shown[1] === 'last' || id.startsWith(shown[1].toUpperCase());
}

/** The name that a call gives its answer, '' if none; null if the cell is not the call that the receipt answers. */
export function comparedName(source: string, receipt: Receipt, row = false): string | null {
  const { kind, line } = readCell(source);
  // A table's name shows the table, not one of its receipts.
  return kind === 'call' && cellFindings(source, receipt, row).every(({ level }) => level === 'note') ? (row ? '' : (line?.name ?? '')) : null;
}

function ofCall(top: IHead, line: ILine, source: string, found: IAsked, receipt: Receipt): Finding[] {
  const findings: Finding[] = [];
  const wanted = line.given.model;
  // Of the request, which is signed; what the receipt says of it beside is its author's word.
  if (typeof wanted === 'string' && (found.model === null || bare(wanted) !== bare(found.model))) {
    findings.push(failure('model-differs', `The cell asks for ${wanted}; ${found.model || 'no model'} was asked.`));
  }
  const more = notInTheCell(line, found, receipt.thread);
  if (more.length) {
    findings.push(failure('request-differs', `The request that was signed is not what the cell asks: it has ${more.join(', ')}.`));
  }
  const hosts = otherHosts(line, receipt);
  if (hosts !== null) {
    findings.push(hosts);
  }
  const route = otherRoute(line, receipt);
  if (route !== null) {
    findings.push(route);
  }
  const { source_sha256, template } = receipt.prompt;
  const wrapped = 'template' in line.given || 'file' in line.given;
  const sent = wrapped ? null : template || found.prompt;
  if (!findings.length && source_sha256 !== null && !sources(source, top, sent).some(one => sourceSha256(one) === source_sha256)) {
    findings.push({ level: 'incomplete', code: 'cell-changed', message: CELL_CHANGED });
  }
  const names = [
    ...('over' in line.given ? [`table ${line.given.over}`] : []),
    ...('vars' in line.given || 'over' in line.given ? fieldNames(top.body) : []),
    ...Object.values(line.given).flatMap(value => (isNamed(value) ? [value.variable] : [])),
    ...[shapeOf(line.given).elsewhere ?? []].flat(),
    ...(typeof line.given.template === 'string' ? [`template ${line.given.template}`] : []),
    ...((line.given.file ?? []) as readonly string[]).map(path => `file ${baseName(path)}`),
    ...(isHostsName(line.given.host, receipt) ? [`host ${line.given.host}`] : [])
  ];
  if (names.length) {
    findings.push({
      level: 'note',
      code: 'from-variables',
      message: `Not in the cell; from variables, files or settings: ${[...new Set(names)].join(', ')}.`
    });
  }
  return findings;
}

/** What a request holds and the cell does not, or the other way round, in words. */
function notInTheCell({ given }: ILine, found: IAsked, thread: Receipt['thread']): string[] {
  const more: string[] = [];
  if (found.kind !== 'chat') {
    more.push('another form (a completion)');
  }
  const name = thread?.name ?? null;
  if (!isNamed(given.chat) && (given.chat ?? null) !== name) {
    more.push(name === null ? 'no chat' : `chat ${name}`);
  }
  const again = 'chat' in given && Boolean(thread?.earlier.length);
  const system = found.before.filter(({ role }) => role === 'system').map(({ text }) => text);
  // A chat keeps the system message that it began with.
  if (again && !('system' in given)) {
    // It may have any.
  } else if (system.length !== ('system' in given ? 1 : 0) || (system.length === 1 && system[0] !== given.system)) {
    if (!('system' in given)) {
      more.push(system.length === 1 ? 'a system message' : `${system.length} system messages`);
    } else {
      more.push(system.length ? 'another system message' : 'no system message');
    }
  }
  const earlier = found.before.filter(({ role }) => role !== 'system');
  for (const [turns, where, told] of [[earlier, 'before', again], [found.after, 'after', thread !== undefined && 'tools' in given]] as const) {
    if (turns.length && !told) {
      more.push(`${turns.length} message${turns.length === 1 ? '' : 's'} ${where} the prompt`);
    }
  }
  if (found.attachments.length) {
    more.push(`attachments (${found.attachments.join(', ')})`);
  }
  const { tools } = given;
  if (typeof tools === 'string') {
    const names = tools.split(',').map(name => name.replace(/^ +| +$/g, ''));
    if (JSON.stringify(names) !== JSON.stringify(found.tools)) {
      more.push('other tools');
    }
  } else if (found.tools.length && !isNamed(tools)) {
    more.push(`tools (${found.tools.join(', ')})`);
  }
  if (!isNamed(given.temperature) && Number(given.temperature ?? '0') !== (numberOf(found.options.get('temperature')) ?? 0)) {
    more.push('another temperature');
  }
  if (!isNamed(given.max_tokens)) {
    const [said, sent] = [given.max_tokens, found.options.get('max_tokens')];
    if (said === undefined ? sent !== undefined : numberOf(sent) !== Number(said)) {
      more.push('another max_tokens');
    }
  }
  const stop = found.options.get('stop') ?? [];
  if (JSON.stringify(given.stop ?? []) !== JSON.stringify(typeof stop === 'string' ? [stop] : plainTexts(stop))) {
    more.push('another stop');
  }
  const form = found.options.get('response_format') ?? null;
  if (!agrees(shapeOf(given), form)) {
    const asks = 'schema' in given || given.format === 'json';
    more.push(asks ? `${form === null ? 'no' : 'another'} response_format` : 'response_format');
  }
  if (found.options.has('web_search')) {
    more.push('web_search');
  }
  if (found.notSigned.length) {
    more.push(`what nobody signed (${found.notSigned.join(', ')})`);
  }
  return more;
}

const shapeOf = ({ schema, format }: ILine['given']): IOnLine => onLine((schema ?? null) as string | null, (format ?? null) as string | null);

/** A host's ID, or the beginning of one. */
const HOST_ID = /^ *(0[xX])?[0-9a-fA-F]{4,64} *$/;

/** Whether a host is asked for by a name that only its simulated network knew. */
const isHostsName = (host: unknown, { network }: Receipt): boolean => network.simulated && typeof host === 'string' && !HOST_ID.test(host);

/** What the line says of the hosts that were asked, and the receipt does not. */
function otherHosts({ given }: ILine, receipt: Receipt): Finding | null {
  const { host, agreement } = receipt;
  if (typeof given.host === 'string' && host !== null && !isHostsName(given.host, receipt)) {
    const digits = given.host.replace(/^ +| +$/g, '').toLowerCase().replace(/^0x/, '');
    if (!host.tee_id.toLowerCase().startsWith(`0x${digits}`)) {
      return failure('hosts-differ', `The cell asks host ${given.host}; host ${host.tee_id} answered.`);
    }
  }
  const { hosts, quorum } = given;
  // With --over the hosts share the rows: nothing is compared.
  if (typeof hosts !== 'string' || isNamed(quorum) || 'over' in given) {
    return null;
  }
  if (agreement === null) {
    const message = `The cell asks ${hosts} hosts; the receipt tells of no comparison.`;
    return isWithheldAtCreation(receipt) ? null : { level: 'incomplete', code: 'hosts-differ', message };
  }
  const wanted = quorum === undefined ? Math.floor(Number(hosts) / 2) + 1 : Number(quorum);
  return agreement.asked === Number(hosts) && agreement.quorum === wanted
    ? null
    : failure('hosts-differ', 'The cell asks other numbers of hosts than the receipt tells of.');
}

/** The route that the line asks for, where the receipt's call took the other one. */
function otherRoute({ given }: ILine, { channel, sealed }: Receipt): Finding | null {
  const wanted = given.route;
  const taken = { private: sealed ?? null, direct: channel };
  if ((wanted !== 'private' && wanted !== 'direct') || taken[wanted] !== null) {
    return null;
  }
  const other = wanted === 'private' ? 'direct' : 'private';
  return taken[other] === null
    ? null
    : failure('route-differs', `The cell asks for the ${wanted} route; the call took the ${other} one.`);
}

function numberOf(value: Json | undefined): number | null {
  return typeof value === 'bigint' || typeof value === 'number' ? Number(value) : value === undefined ? null : NaN;
}

/** A list of texts; of anything else, what equals no such list. */
function plainTexts(value: Json): unknown {
  return Array.isArray(value) && value.every(one => typeof one === 'string') ? value : null;
}

const isNamed = (value: unknown): value is INamed => typeof value === 'object' && value !== null && 'variable' in value;
const bare = (model: string): string => model.slice(model.lastIndexOf('/') + 1).replace(/^[ \t]+|[ \t]+$/g, '');

/**
 * What a call's source may have been. Older versions took a call under `%%time` from its `%%opg` line on; and tools take white
 * space off a cell's end, which is no part of what is compared of a prompt: it is put back from what was sent.
 */
function sources(source: string, top: IHead, sent: string | null): string[] {
  const whole = newlines(source);
  const above = [whole.slice(0, whole.length - top.body.length), `%%opg ${top.line}\n`];
  const put = sent !== null && normal(sent) === normal(top.body) ? [top.body, sent] : [top.body];
  return above.flatMap(one => put.map(body => one + body));
}

/** SHA-256 of a cell's source, such that the notebook file and the running kernel give the same. */
export function sourceSha256(source: string): string {
  const text = lstrip(newlines(source));
  const at = text.indexOf('\n');
  const first = strip(at < 0 ? text : text.slice(0, at));
  const gap = first.indexOf(' ');
  const name = gap < 0 ? first : first.slice(0, gap);
  const line = gap < 0 ? '' : strip(first.slice(gap + 1));
  const whole = strip(`${name} ${line}`) + (at < 0 ? '' : text.slice(at));
  // Lone surrogates have no UTF-8: three replacement characters stand for each, one a byte, as in Python.
  return sha256Hex(utf8(whole.replace(/[\ud800-\udfff]/gu, '\ufffd\ufffd\ufffd').replace(/\n+$/, '')));
}

function failure(code: Finding['code'], message: string): Finding {
  return { level: 'failed', code, message };
}
