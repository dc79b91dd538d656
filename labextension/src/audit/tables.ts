/**
 * A table's receipts in one output of a notebook: unpacked, put together again, and compared with the text beside them.
 * The twin of opg_magic/receipt/table.py, receipt/face/table.py and audit/tables.py; notebooks in the corpus hold both together.
 * Loaded where a notebook has a table.
 */

import { cellFindings } from './cells';
import { readDocument } from './check';
import { fromBase64, toHex, utf8 } from '../crypto/bytes';
import { money } from '../face/figures';
import { Finding, formFindings, isWithheldAtCreation, joined } from '../receipt/findings';
import { MalformedMessage, parseStrict, toPlain } from '../base/json';
import type { IDisplay, ITable } from './notebook';
import { Pace } from '../base/pace';
import { computedDigest, computeDigest, MIME_TYPE, holdsHugeInteger, MoneyPart, originalOf, Receipt, TABLE_TYPE, UnreadableReceipt } from '../receipt/receipt';
import { TWICE_IN_TABLE } from './finding-words';
import { FIGURES, FOUND, MOST, MOST_NAMED, MOST_PACKED, MOST_UNPACKED, MOST_WHOLE, SHARED } from './table-form';

const LINE = new RegExp(`^(?:${FIGURES})$`);
/** What a line of figures says of its cost, and of answers that it did not pay for. */
const COST = / · cost ([0-9]+)(?:\.([0-9]+))? ([A-Za-z0-9-]+) of at most /;
const UNPAID = / · ([0-9,]+) (?:from the ledger|on record do not fit)/g;

interface ICounts {
  readonly rows: number;
  readonly prompts: number;
  readonly figures: string;
}

type Read = Receipt | UnreadableReceipt;

/** A value that was read: its receipts, or how many of them it names. */
interface IRead {
  readonly counts: ICounts;
  readonly receipts: readonly Read[] | null;
  readonly named: number;
}

/** What a cell's tables come to: a display for each receipt, and what is to be said of tables that hold none, the worst first. */
export interface IRows {
  readonly displays: readonly IDisplay[];
  readonly findings: readonly Finding[];
}

/** One value is looked at again and again, and read once. */
const known = new WeakMap<object, IRead | UnreadableReceipt>();

/** The receipts of a cell's tables, with what is to be said of each table at its first. */
export async function readTables(tables: readonly ITable[], source: string, pace: Pace): Promise<IRows> {
  const displays: IDisplay[] = [];
  const findings: Finding[] = [];
  for (const table of tables) {
    const { output } = table;
    const found = await readOnce(table.bundle[TABLE_TYPE], pace);
    if (found instanceof UnreadableReceipt) {
      displays.push({ output, row: 0, bundle: {}, metadata: {}, read: found, findings: [] });
      continue;
    }
    const receipts = new Map<string, Receipt>();
    const own: Finding[] = [];
    const rows: IDisplay[] = [];
    for (const read of found.receipts ?? []) {
      if (!(read instanceof UnreadableReceipt)) {
        // What a document states of its own digest makes another one of it.
        const key = `${computedDigest(read)} ${read.digest}`;
        if (receipts.has(key)) {
          own.push({ level: 'incomplete', code: 'twice', message: TWICE_IN_TABLE });
          continue;
        }
        receipts.set(key, read);
        // Remembered; in slices here, or all at once later.
        cellFindings(source, read, true);
        await pace.rest();
      }
      const bundle = read instanceof UnreadableReceipt ? {} : { [MIME_TYPE]: read };
      rows.push({ output, row: rows.length, bundle, metadata: {}, read, findings: [] });
    }
    own.push(...tableFindings(table, found, [...receipts.values()]));
    if (rows.length) {
      rows[0] = { ...rows[0], findings: own };
    } else {
      findings.push(...own);
    }
    displays.push(...rows);
  }
  return { displays, findings: findings.sort((one, other) => Number(other.level === 'failed') - Number(one.level === 'failed')) };
}

function tableFindings({ bundle, metadata }: ITable, { counts, receipts, named }: IRead, readable: readonly Receipt[]): Finding[] {
  const found: Finding[] = [];
  if (joined(bundle['text/plain']) !== tableText(counts, receipts === null ? null : readable, named)) {
    found.push({ level: 'failed', code: 'shown-card', message: 'The text that the cell shows is not the one of the receipts in it.' });
  }
  found.push(...formFindings(bundle, metadata, ['text/plain', TABLE_TYPE]));
  // One receipt for each call: others are later versions of it.
  const calls = [...new Map(readable.map(receipt => [computedDigest(originalOf(receipt)), receipt])).values()];
  // Of those that are named and not here, something is said already.
  const lacking = counts.prompts - (receipts === null ? named : calls.length);
  if (receipts === null) {
    const message = `The receipts of ${grouped(named)} calls are not here: ask the author for them (opg receipts export), then: opg verify NOTEBOOK FILE.`;
    found.push({ level: 'incomplete', code: 'receipts-elsewhere', message });
  }
  if (lacking > 0) {
    const message = `${grouped(lacking)} of ${grouped(counts.prompts)} prompts have no receipt here: nobody signed what a table shows for them.`;
    found.push({ level: 'incomplete', code: 'rows-without-receipt', message });
  }
  const least = costLeftOut(counts.figures, calls);
  if (least !== null) {
    const message = `The author's figures tell of a lower cost than the receipts here: these come to ${least} at least.`;
    found.push({ level: 'incomplete', code: 'table-cost', message });
  }
  if (calls.length) {
    const message = `A table's ${grouped(calls.length)} receipts. Which row got which answer is not in them, and tables that other cells show were not compared.`;
    found.push({ level: 'note', code: 'table', message });
  }
  return found;
}

/**
 * What these receipts cost at least, if the line tells of less: neither is signed, but they cannot both be so.
 * Answers out of the ledger cost nothing; the dearest may be theirs.
 */
function costLeftOut(figures: string, receipts: readonly Receipt[]): string | null {
  const told = COST.exec(figures);
  const costs = receipts.flatMap(({ response, payment }) =>
    response.problem === null && payment !== null && payment.charge !== 'not charged' ? payment.cost ?? [] : []
  );
  if (told === null || !costs.length) {
    return null;
  }
  const { token } = costs[0];
  const same = (other: MoneyPart['token']): boolean => tokenKey(other) === tokenKey(token);
  // What is in another token was not paid by this table.
  const own = costs.flatMap(cost => (same(cost.token) ? BigInt(cost.amount) : []));
  own.sort((one, other) => (one < other ? -1 : Number(one > other)));
  const unpaid = [...figures.matchAll(UNPAID)].reduce((sum, [, count]) => sum + Number(count.replace(/,/g, '')), 0);
  const paid = own.slice(0, Math.max(0, costs.length - unpaid));
  const least = paid.reduce((sum, amount) => sum + amount, 0n);
  const fraction = (told[2] ?? '').slice(0, token.decimals).padEnd(token.decimals, '0');
  if (!paid.length || (told[3] === token.symbol && BigInt(told[1] + fraction) >= least)) {
    return null;
  }
  return money({ amount: String(least), token });
}

const tokenKey = ({ chain_id, address, symbol, decimals }: MoneyPart['token']): string => JSON.stringify([chain_id, address, symbol, decimals]);

// ------------------------------------------------------------------------------------------------------------- reading

async function readOnce(value: unknown, pace: Pace): Promise<IRead | UnreadableReceipt> {
  const remembered = isRecord(value) ? known.get(value) : undefined;
  if (remembered !== undefined) {
    return remembered;
  }
  let read: IRead | UnreadableReceipt;
  try {
    read = await readValue(value, pace);
  } catch (error) {
    if (!(error instanceof UnreadableReceipt)) {
      throw error;
    }
    read = error;
  }
  if (isRecord(value)) {
    known.set(value, read);
  }
  return read;
}

async function readValue(value: unknown, pace: Pace): Promise<IRead> {
  if (!isRecord(value) || value.type !== 'opg-receipts' || value.version !== 1) {
    throw new UnreadableReceipt("These are not a table's receipts of version 1.");
  }
  const held = value.packed !== undefined ? 'packed' : 'digests';
  const { rows, prompts, figures, [held]: text } = value;
  if (Object.keys(value).sort().join() !== ['figures', held, 'prompts', 'rows', 'type', 'version'].sort().join() || typeof text !== 'string') {
    throw new UnreadableReceipt("A table's receipts do not have the documented form.");
  }
  if (!isCount(rows) || !isCount(prompts)) {
    throw new UnreadableReceipt("A table's receipts are counted by what is no number.");
  }
  if (typeof figures !== 'string' || !LINE.test(figures)) {
    throw new UnreadableReceipt("A table's receipts come with a line that is no line of figures.");
  }
  if (prompts > rows || !figures.split(' prompts')[0].endsWith(` of ${grouped(prompts)}`)) {
    throw new UnreadableReceipt("A table's receipts are counted in two ways that differ.");
  }
  if (text.length > MOST_PACKED) {
    throw new UnreadableReceipt(`A table's receipts are longer than ${MOST_PACKED} characters.`);
  }
  const content = fromBase64(text);
  if (content === null) {
    throw new UnreadableReceipt("A table's receipts are not canonical base64.");
  }
  const counts = { rows, prompts, figures };
  if (held === 'packed') {
    return { counts, receipts: await unpacked(content, pace), named: 0 };
  }
  if (!content.length || content.length % 32) {
    throw new UnreadableReceipt("A table's receipts are named by what are no digests.");
  }
  const digests = new Set(Array.from({ length: content.length / 32 }, (_, at) => toHex(content.subarray(32 * at, 32 * at + 32))));
  return { counts, receipts: null, named: digests.size };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

async function unpacked(content: Uint8Array, pace: Pace): Promise<Read[]> {
  let text: string;
  const bytes = await inflated(content);
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UnreadableReceipt("A table's receipts are not UTF-8.");
  }
  const between = text.indexOf('\n\n');
  const lines = text.slice(0, Math.max(0, between)).split('\n');
  if (between < 0 || lines.length > MOST) {
    throw new UnreadableReceipt(`A table has 1 to ${MOST} receipts, and what they share.`);
  }
  return putBack(lines, text.slice(between + 2).split('\n'), pace);
}

async function inflated(content: Uint8Array): Promise<Uint8Array> {
  const whole = await inflate(content);
  // Not every engine minds what stands behind the end: only there would less do as well.
  const shorter = await inflate(content.subarray(0, -1)).catch(() => null);
  return shorter === null ? whole : damaged();
}

async function inflate(content: Uint8Array): Promise<Uint8Array> {
  const stream = new DecompressionStream('deflate');
  const writer = stream.writable.getWriter();
  // What is wrong with it is told by the other end.
  void writer.write(content as BufferSource).then(() => writer.close()).catch(() => undefined);
  const reader = stream.readable.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => damaged());
    if (done) {
      break;
    }
    pieces.push(value);
    length += value.length;
    if (length > MOST_UNPACKED) {
      void reader.cancel().catch(() => undefined);
      throw new UnreadableReceipt(`A table's receipts are longer than ${MOST_UNPACKED} bytes.`);
    }
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function damaged(): never {
  throw new UnreadableReceipt("A table's receipts cannot be unpacked: they are cut or damaged.");
}

async function putBack(lines: readonly string[], parts: readonly string[], pace: Pace): Promise<Read[]> {
  const sizes = parts.map(part => utf8(part).length);
  const shared = new Map<number, unknown>();
  const found: Read[] = [];
  let whole = utf8(lines.join('')).length;
  for (const line of lines) {
    let read: Read;
    try {
      const document = plain(line);
      for (const [holder, key] of references(document)) {
        const { part } = holder[key] as { part: unknown };
        if (!isCount(part) || part >= parts.length) {
          throw new UnreadableReceipt('What this receipt shares with others is not there.');
        }
        whole += sizes[part];
        if (whole > MOST_WHOLE) {
          break;
        }
        if (!shared.has(part)) {
          shared.set(part, plain(parts[part]));
        }
        holder[key] = shared.get(part);
      }
      read = whole > MOST_WHOLE ? new UnreadableReceipt('') : readDocument(document);
    } catch (error) {
      if (!(error instanceof UnreadableReceipt)) {
        throw error;
      }
      read = error;
    }
    if (whole > MOST_WHOLE) {
      throw new UnreadableReceipt(`A table's receipts are longer than ${MOST_WHOLE} bytes together.`);
    }
    if (!(read instanceof UnreadableReceipt)) {
      await computeDigest(read);
    }
    found.push(read);
    await pace.rest();
  }
  return found;
}

/** A line as plain data, read as strictly as a file. */
function plain(line: string): unknown {
  try {
    const value = parseStrict(line);
    if (!holdsHugeInteger(value)) {
      return toPlain(value);
    }
  } catch (error) {
    if (!(error instanceof MalformedMessage)) {
      throw error;
    }
    throw new UnreadableReceipt(`This receipt is not readable as JSON: ${error.message}`);
  }
  throw new UnreadableReceipt('This receipt holds a value that cannot be: a number that JSON cannot carry.');
}

/** Where a document holds a reference. Only where one may stand: no receipt has such an object in these places. */
function references(document: unknown): [Record<string, unknown>, string][] {
  const found: [Record<string, unknown>, string][] = [];
  for (const way of SHARED) {
    const key = way[way.length - 1];
    const holder = way.length === 1 ? document : own(document, way[0]);
    const value = own(holder, key);
    if (isRecord(value) && Object.keys(value).join() === 'part') {
      found.push([holder as Record<string, unknown>, key]);
    }
  }
  return found;
}

const own = (value: unknown, key: string): unknown => (isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// ------------------------------------------------------------------------------------------------------------ the text

/** The text below a table's cell, form `table 1`. `receipts` null: they are elsewhere, so many. */
function tableText({ rows, figures }: ICounts, receipts: readonly Receipt[] | null, elsewhere: number): string {
  const lines = ['──── opg receipts · table 1 ────', `${grouped(rows)} rows · ${figures} (the author's figures)`];
  if (receipts === null && elsewhere > MOST_NAMED) {
    return [...lines, `Receipts: ${grouped(elsewhere)}, too many for a notebook, as are their digests. They are in the author's ledger.`].join('\n');
  }
  if (receipts === null) {
    return [
      ...lines,
      `Receipts: ${grouped(elsewhere)}, too many for a notebook. They are in the author's ledger; this cell holds their digests.`,
      '  Export them: opg receipts export receipts.jsonl --notebook NAME.ipynb',
      '  Check them:  opg verify NAME.ipynb receipts.jsonl'
    ].join('\n');
  }
  const simulated = receipts.some(({ network }) => network.simulated);
  const hosts = new Set(receipts.flatMap(({ host }) => host?.tee_id ?? []));
  const states = receipts.map(stateOf);
  const counts = FOUND.map(what => [what, states.filter(state => state === what).length] as const);
  const facts = [
    `Receipts in this cell: ${grouped(receipts.length)}`,
    `${counts.filter(([, count]) => count).map(([what, count]) => `${grouped(count)} ${what}`).join(', ')} by the author's kernel`,
    `hosts: ${grouped(hosts.size)}`,
    ...sums(receipts).map(sum => `cost: ${sum} claimed`),
    ...(simulated ? ['[simulated network]'] : [])
  ];
  return [
    ...lines,
    facts.join(' · '),
    '  Not covered: which row got which answer, and tables that other cells show.',
    `  opg verify notebook.ipynb${simulated ? ' --allow-simulated' : ''}`
  ].join('\n');
}

const grouped = (count: number): string => String(count).replace(/\B(?=(?:[0-9]{3})+$)/g, ',');

function stateOf(receipt: Receipt): (typeof FOUND)[number] {
  const { checked, response } = receipt;
  if (response.text === null && response.tool_calls === null) {
    return 'without an answer';
  }
  if (checked === null) {
    return 'not checked';
  }
  if (checked.verdict === 'FAILED') {
    return 'failed';
  }
  if (isWithheldAtCreation(receipt)) {
    return 'withheld';
  }
  return checked.verdict === 'PARTIAL' ? 'partially verified' : checked.verdict === 'UNVERIFIED' ? 'not verified' : 'verified';
}

/** What the hosts claim, one sum per token. */
function sums(receipts: readonly Receipt[]): string[] {
  const found = new Map<string, { amount: bigint; token: MoneyPart['token'] }>();
  for (const { payment } of receipts) {
    if (payment === null || payment.cost === null || payment.charge === 'not charged') {
      continue;
    }
    const { amount, token } = payment.cost;
    const key = tokenKey(token);
    found.set(key, { amount: (found.get(key)?.amount ?? 0n) + BigInt(amount), token });
  }
  return [...found.values()].map(({ amount, token }) => money({ amount: String(amount), token }));
}
