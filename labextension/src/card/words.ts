/** What a card, the panel and the marks say, in words; no markup here. */

import { IJudged } from '../audit/check';
import { collected } from '../receipt/collected';
import { EDITED, type Finding, inert, type Level } from '../receipt/findings';
import { formatUnits } from '../receipt/money';
import { CLAIM_NAMES, ClaimName, Receipt, TokenPart } from '../receipt/receipt';
import { SIMULATED_BRIEF } from '../face/tag';
import { ISummary } from './tokens';
import { Verdict } from '../verify/verdict';

/** A colour, of which a word beside it always says the same. `part`: nothing is wrong, and not all is known. */
export type Tone = 'ok' | 'sim' | 'part' | 'warn' | 'bad' | 'quiet';

export { BASIS_WORDS as BASES, STATUS_MARKS as MARKS, STATUS_WORDS } from '../base/claims';

/** Names of hosts by their ids, as the user's own server knows them. */
export const hostNames = new Map<string, string>();

const HEX = /\b(0x)?[0-9a-fA-F]{40,}\b/g;

/** Foreign words inside a sentence of ours: one line, inert, bounded. */
export function oneLine(text: string, limit = 400): string {
  const flat = inert(text).split(/\s+/).filter(Boolean).join(' ');
  return flat.length <= limit ? flat : `${flat.slice(0, limit - 1)}…`;
}

/** Words of a claim for a card: long hashes by their ends. */
export function told(text: string, limit = 400): string {
  return oneLine(text.replace(HEX, hash => `${hash.slice(0, 8)}…${hash.slice(-6)}`), limit);
}

export function shortHash(value: string): string {
  const digits = inert(value).replace(/^0x/, '');
  return digits.length <= 9 ? digits : `${digits.slice(0, 4)}…${digits.slice(-4)}`;
}

export function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(upper) ? upper : `${upper}.`;
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

export function duration(seconds: number): string {
  if (seconds < 0.95) {
    return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A sum as people read it: two significant digits below one, two decimals above. */
export function figure(amount: bigint, token: Pick<TokenPart, 'decimals' | 'symbol'>): string {
  return `${short(formatUnits(amount, token.decimals))} ${oneLine(token.symbol, 16)}`;
}

function short(decimal: string): string {
  const value = Number(decimal);
  if (value >= 1) {
    return value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  }
  if (value > 0 && value < 1e-9) {
    return '<0.000000001';
  }
  const two = Number(value.toPrecision(2));
  // Never an exponent: as many decimals as two significant digits take.
  const places = two === 0 ? 0 : Math.max(1, 1 - Math.floor(Math.log10(Math.abs(two))));
  return two.toFixed(Math.min(places, 20)).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
}

export function cost(receipt: Receipt): string {
  const { payment } = receipt;
  const { charge, settled } = collected(receipt);
  if (payment === null || charge === 'not charged') {
    return 'not charged';
  }
  const most = payment.cap !== null ? `, at most ${figure(BigInt(payment.cap.amount), payment.cap.token)}` : '';
  if (charge === 'unknown') {
    return `charge unknown${most}`;
  }
  if (settled !== null) {
    return `${figure(settled, payment.token)} settled`;
  }
  if (payment.cost === null) {
    return `${payment.price === null ? 'price' : 'cost'} unknown${most}`;
  }
  const worth = receipt.network.simulated || payment.cost_usd === null ? '' : ` ≈ $${short(payment.cost_usd)}`;
  return `${figure(BigInt(payment.cost.amount), payment.cost.token)} claimed${worth}`;
}

/** Seconds between sending and receiving. */
export function elapsed(receipt: Receipt): number {
  return (Date.parse(receipt.received_at) - Date.parse(receipt.sent_at)) / 1000;
}

export function model(receipt: Receipt): string {
  return oneLine(receipt.request.model_sent || receipt.request.model_requested, 80);
}

/** `2026-05-04 12:00 UTC` */
export function clock(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

export interface IHeadline {
  readonly tone: Tone;
  /** The state in words, with its mark. */
  readonly text: string;
  /** For narrow places: a mark and a word. */
  readonly short: string;
  readonly simulated: boolean;
}

/** Whether request, response and signature hold: what the host signed is what stands here. */
export function signatureValid(verdict: Verdict): boolean {
  return (['request', 'response', 'signature'] as const).every(name => verdict.claims[name].status === 'passed');
}

/** Whether something is not as the notebook says. */
export function hasFailed(judged: IJudged): boolean {
  return (
    judged.receipt === null ||
    judged.verdict?.status === 'FAILED' ||
    judged.findings.some(finding => finding.level === 'failed' && !EDITED.has(finding.code))
  );
}

/** Findings about what stands around the receipt. */
const PLACE_FINDINGS: ReadonlySet<string> = new Set(['shown-text', 'shown-card', 'shown-question', 'shown-error', 'other-types', 'isolated', 'two-versions']);

/** Before a finding, by its level. */
export const SIGNS: Readonly<Record<Level, string>> = { failed: '✗ ', unreadable: '✗ ', incomplete: '! ', note: '· ' };

const OTHER_CALL: ReadonlySet<string> = new Set(['prompt-differs', 'model-differs', 'request-differs', 'not-the-call']);

/** Whether the cell does not say, or may not say, what its receipt's host was asked. */
export function isOtherCall(judged: IJudged): boolean {
  return judged.findings.some(finding => OTHER_CALL.has(finding.code));
}

/** Whether a cell shows more than its receipt covers, or not all of it could be compared: nothing false, and not all known. */
export function isUnclear(judged: IJudged): boolean {
  return unclear(judged).length > 0;
}

/** The findings that say so. */
export function unclear(judged: IJudged): Finding[] {
  return judged.findings.filter(finding => finding.level === 'incomplete' && !EDITED.has(finding.code));
}

/** Whether the text of this receipt must not be shown unasked. */
export function isWithheld(judged: IJudged): boolean {
  const { receipt, verdict, findings } = judged;
  return (
    receipt === null ||
    verdict === null ||
    verdict.withheld ||
    receipt.checked?.withheld === true ||
    // What the notebook shows elsewhere, or in which cell, does not make the signed text itself false.
    findings.some(finding => finding.level === 'failed' && !EDITED.has(finding.code) && !PLACE_FINDINGS.has(finding.code))
  );
}

/** Whether the call ended without an answer to judge. */
export function unanswered(receipt: Receipt): boolean {
  return receipt.response.text === null && receipt.response.tool_calls === null;
}

export function headline(judged: IJudged): IHeadline {
  const { receipt, verdict } = judged;
  if (receipt === null) {
    return { tone: 'bad', text: '✗ Unreadable receipt', short: '✗ unreadable', simulated: false };
  }
  const simulated = receipt.network.simulated || verdict?.simulated === true;
  const make = (tone: Tone, text: string, brief: string): IHeadline => ({
    tone,
    text,
    short: brief,
    simulated
  });
  if (verdict === null && judged.error !== null) {
    return make('warn', '! Not checked', '! unchecked');
  }
  if (verdict === null) {
    return make('quiet', '… Checking', '… checking');
  }
  if (judged.findings.some(finding => finding.code.endsWith('altered'))) {
    return make('bad', '✗ Altered after the call', '✗ altered');
  }
  if (unanswered(receipt) && verdict.status !== 'FAILED') {
    return make('quiet', '– No answer', '– no answer');
  }
  if (verdict.status === 'FAILED') {
    return make('bad', failedWords(receipt, verdict), '✗ failed');
  }
  if (isWithheld(judged) && hasFailed(judged)) {
    return make('bad', '✗ Failed: the answer is withheld', '✗ failed');
  }
  if (hasFailed(judged)) {
    return make('bad', '✗ The notebook differs; what stands here is what was signed', '✗ differs');
  }
  if (verdict.withheld) {
    return make('bad', `✗ Withheld: policy ${oneLine(verdict.policy, 40)} is not met`, '✗ withheld');
  }
  if (receipt.checked?.withheld) {
    return make('bad', "✗ Withheld by the author's kernel", '✗ withheld');
  }
  if (verdict.status === 'UNVERIFIED') {
    return make('warn', '! Not verified', '! unverified');
  }
  if (verdict.status === 'PARTIAL') {
    const proven = provenNames(verdict);
    return lacksMore(verdict)
      ? make('warn', '◐ Partially verified', '◐ partial')
      : make('part', `✓ ${proven.charAt(0).toUpperCase()}${proven.slice(1)} proven here`, '✓ signed');
  }
  const good = simulated ? 'sim' : 'ok';
  const hosts = receipt.agreement === null ? null : sameAnswer(verdict);
  return hosts === null ? make(good, `✓ ${counted(verdict)}`, `✓ ${counted(verdict, true)}`) : make(hosts.tone ?? good, hosts.text, hosts.short);
}

/** Whether it failed when it was made, or is no longer what was made. */
function failedWords(receipt: Receipt, verdict: Verdict): string {
  if (receipt.checked?.verdict === 'FAILED') {
    return '✗ Failed at the call';
  }
  const failed = failedNames(verdict);
  return failed.some(name => OF_THE_SIGNED.has(name)) ? '✗ Not what the host signed' : `✗ Failed: ${failed.join(', ')}`;
}

/** Whether what stands here is no longer what came of the call. */
export function isChanged({ receipt, verdict, findings }: IJudged): boolean {
  const failed = verdict === null || receipt?.checked?.verdict === 'FAILED' ? [] : failedNames(verdict);
  return failed.some(name => OF_THE_SIGNED.has(name)) || findings.some(finding => finding.code.endsWith('altered'));
}

const OF_THE_SIGNED: ReadonlySet<string> = new Set(['request', 'response', 'signature']);

function failedNames(verdict: Verdict): ClaimName[] {
  return CLAIM_NAMES.filter(name => verdict.claims[name].status === 'failed');
}

/** `All 7 checks pass`: of those that apply and are not open. Where one is missing, nobody required it. */
function counted({ claims }: Verdict, brief = false): string {
  const statuses = Object.values(claims).map(claim => claim.status);
  const passed = statuses.filter(status => status === 'passed').length;
  const total = passed + statuses.filter(status => status === 'failed' || status === 'missing').length;
  if (brief) {
    return `all ${passed} pass`;
  }
  return `All ${passed} ${passed === total ? '' : 'required '}checks pass`;
}

/** Several hosts, where they were compared. */
function sameAnswer(verdict: Verdict): { text: string; short: string; tone?: Tone } | null {
  const { status, facts } = verdict.claims.agreement;
  if (status === 'passed') {
    return { text: `✓ ${facts.agree} of ${facts.asked} independent hosts say the same`, short: `✓ ${facts.agree} of ${facts.asked} agree` };
  }
  return status === 'missing'
    ? { text: `! Hosts disagree: ${facts.agree} of ${facts.asked} gave this answer, ${facts.quorum} must`, short: '! disagree', tone: 'warn' }
    : null;
}

/** What this browser computed by itself, in a list: `request, response, signature and attestation`. */
function provenNames(verdict: Verdict): string {
  const proven = (['request', 'response', 'signature', 'attestation'] as const).filter(name => verdict.claims[name].status === 'passed');
  return listed(proven.filter(name => verdict.claims[name].basis === 'proven'));
}

export function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}

/** Whether more stands in the way than that something rests on the author's word. */
export function lacksMore(verdict: Verdict): boolean {
  return !signatureValid(verdict) || verdict.because.some(reason => !reason.endsWith(': only recorded by the author of the receipt'));
}

/** What is to be said of the cells, beyond their receipts. */
function cellWords(sum: ISummary): string[] {
  const said: string[] = [];
  if (sum.without) {
    said.push(`${plural(sum.without, '%%opg cell')} without receipt`);
  }
  if (sum.beside) {
    said.push(`${plural(sum.beside, 'cell')} with unsigned output`);
  }
  if (sum.uncompared) {
    said.push(`${plural(sum.uncompared, 'cell')} not compared in full`);
  }
  if (sum.edited) {
    said.push(`${plural(sum.edited, 'cell')} edited since`);
  }
  if (sum.unrun) {
    said.push(`${plural(sum.unrun, '%%opg cell')} not run`);
  }
  return said;
}

/** A notebook in one line: `7 answers · 6 as signed, 1 failed · registry not asked · 0.0042 OPG`. */
export function notebookLine(sum: ISummary): string {
  if (sum.answers === 0) {
    return ['No receipts', ...cellWords(sum)].join(' · ');
  }
  const all = sum.simulated === sum.answers;
  const parts = [plural(sum.answers, all ? `${SIMULATED_BRIEF} answer` : 'answer')];
  if (sum.simulated && !all) {
    parts.push(`${sum.simulated} of them ${SIMULATED_BRIEF}`);
  }
  const waiting = sum.answers - sum.checked - sum.unchecked;
  if (waiting > 0) {
    parts.push(`checking, ${waiting} to go`);
    return parts.join(' · ');
  }
  // Not "signatures valid": of an altered answer the signature is valid, over another text.
  parts.push(`${sum.valid} as signed${sum.failed ? `, ${sum.failed} failed` : ''}`);
  if (sum.unchecked) {
    parts.push(`${sum.unchecked} not checked`);
  }
  parts.push(...cellWords(sum));
  parts.push(sum.asked ? `registry asked: ${sum.asked}` : 'registry not asked');
  parts.push(...sum.cost);
  if (sum.unknownCharges) {
    parts.push(`${plural(sum.unknownCharges, 'charge')} unknown`);
  }
  return parts.join(' · ');
}

/** The same where there is little room: the worst first. */
export function briefLine(sum: ISummary): string {
  const simulated = sum.simulated ? ` · ${SIMULATED_BRIEF}` : '';
  if (sum.failed) {
    return `${sum.failed} of ${sum.answers} failed${simulated}`;
  }
  if (sum.unchecked) {
    return `${sum.unchecked} of ${sum.answers} not checked${simulated}`;
  }
  if (sum.without) {
    return `${sum.without} without receipt${simulated}`;
  }
  return sum.checked < sum.answers ? `checking ${sum.answers}` : `${sum.valid} of ${sum.answers} signed${simulated}`;
}
