/** What a card holds when it is opened; loaded when the first one is. */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import type { IJudged } from '../audit/check';
import { checkedHere, clockToday, command, hostNamed } from './line';
import { checker } from '../audit/check';
import { compared } from '../face/hosts';
import { Claim } from '../verify/shared';
import { copyButton, h, verbatim } from './dom';
import type { IFact } from './evidence';
import { sentAgain } from '../face/figures';
import { Finding, inert, signedText } from '../receipt/findings';
import { part } from '../base/load';
import { foldable, rendered, SHOWN } from './fold';
import { CLAIM_NAMES, Receipt } from '../receipt/receipt';
import { HEADINGS, HOP, HOSTS, NOT_KNOWN, NOT_KNOWN_RE_RUN, OPEN, SAYS, SAYS_SEALED, SAYS_SIMULATED, UNMET } from '../face/says';
import { Verdict } from '../verify/verdict';
import * as words from './words';

/** Looked at by few, and then once. */
const evidencePart = part(() => import('./evidence'));

export interface IContext {
  /** The answer is not on show; what the reader may do about it stands on the card. */
  readonly hidden: boolean;
  /** How many characters of the signed text its rendering does not show. */
  readonly dropped: number;
  /** The notebook's name now. */
  readonly file: string | null;
  readonly parser: IRenderMime.IMarkdownParser | null;
}

/** What did not pass, what did by what it rests on, the other hosts, what is open; then what no check says. */
export function bodyOf(judged: IJudged, receipt: Receipt, verdict: Verdict, context: IContext): HTMLElement[] {
  const typed = command(receipt, context.file);
  // Above the checks stands what matters more than they do: nothing less than a failure where one of them failed.
  const above = ({ code, level }: Finding): boolean => code !== 'shown-again' && (level === 'failed' || verdict.status !== 'FAILED');
  return [
    ...judged.findings.filter(above).map(findingLine),
    groupsTable(judged, receipt, verdict, context.dropped),
    ...judged.findings.filter(finding => !above(finding)).map(findingLine),
    ...(receipt.thread?.earlier.length ? [note(sentAgain(receipt)[0])] : []),
    note(HOP),
    note(notKnown(verdict)),
    note(h('code', { class: 'opg-command' }, typed), ' ', copyButton(typed, 'the command')),
    ...(context.hidden ? [hiddenText(judged, receipt, context)] : []),
    foldable(
      `${receipt.digest} evidence`,
      { class: 'opg-evidence' },
      h('summary', {}, 'Evidence'),
      false,
      () => [note(history(receipt, verdict)), evidence(receipt, verdict)]
    )
  ];
}

function notKnown({ claims: { weights } }: Verdict): string {
  return weights.status === 'passed' && weights.basis === 're-run' ? NOT_KNOWN_RE_RUN : NOT_KNOWN;
}

function note(...children: (string | Node)[]): HTMLElement {
  return h('p', { class: 'opg-note' }, ...children);
}

/** Who judged it here, and what its author's kernel said. */
function history({ checked }: Receipt, verdict: Verdict): string {
  const then =
    checked === null
      ? "The author's kernel did not judge it."
      : `The author's kernel said ${checked.verdict.toLowerCase()} at ${words.clock(checked.at)} (policy ${words.oneLine(checked.policy, 40)}); that is history.`;
  return `${checkedHere(new Date())}, under policy ${words.oneLine(verdict.policy, 40)}. ${then}`;
}

interface IGroup {
  readonly heading: string;
  readonly claims: readonly Claim[];
}

/** The checks that apply, by how they came out and what they rest on. */
export function groupsOf({ own }: IJudged, verdict: Verdict): IGroup[] {
  const all = CLAIM_NAMES.map(name => verdict.claims[name]).filter(claim => claim.status !== 'not_applicable');
  const mine = (claim: Claim): boolean => own?.asked.includes(claim.name) ?? false;
  const passed = (basis: string): Claim[] => all.filter(claim => claim.status === 'passed' && claim.basis === basis);
  const groups: IGroup[] = Object.entries(UNMET).map(([status, heading]) => ({ heading, claims: all.filter(claim => claim.status === status) }));
  for (const [basis, heading] of Object.entries(HEADINGS)) {
    if (basis === 'asked') {
      const asked = passed(basis);
      groups.push({ heading: `${heading.replace('{}', 'your kernel')} at ${own ? clockToday(own.at).replace(' UTC', '') : ''}`, claims: asked.filter(mine) });
      groups.push({ heading: heading.replace('{}', 'your own RPC'), claims: asked.filter(claim => !mine(claim)) });
    } else {
      groups.push({ heading: heading.replace('{}', 'this machine'), claims: passed(basis) });
    }
  }
  groups.push({ heading: OPEN, claims: all.filter(claim => claim.status === 'pending') });
  return groups.filter(({ claims }) => claims.length);
}

function groupsTable(judged: IJudged, receipt: Receipt, verdict: Verdict, dropped: number): HTMLElement {
  const reasons = new Set<string>();
  const groups = groupsOf(judged, verdict).map(
    ({ heading, claims }) => [heading, claims.map(claim => claimRow(claim, claimText(claim, verdict, receipt, reasons) + unshown(claim, dropped)))] as const
  );
  const hosts = verdict.claims.agreement.status === 'not_applicable' ? [] : (compared(receipt)?.lines ?? []);
  const members = receipt.agreement?.answers ?? [];
  const lines = hosts.map(([mark, name, said], index) =>
    row(mark === '✓' ? 'passed' : 'missing', mark, index in members ? `host ${hostNamed(members[index].tee_id)}` : name, null, said)
  );
  const at = groups.length && groups[groups.length - 1][0] === OPEN ? groups.length - 1 : groups.length;
  const all = lines.length ? [...groups.slice(0, at), [HOSTS, lines] as const, ...groups.slice(at)] : groups;
  return h(
    'table',
    { class: 'opg-claims' },
    h('caption', { class: 'opg-unseen' }, 'What was checked, how it came out, and what that rests on'),
    ...all.map(([heading, rows]) =>
      h('tbody', { 'data-group': heading }, h('tr', { class: 'opg-basis' }, h('th', { scope: 'rowgroup', colspan: '2' }, heading)), ...rows)
    )
  );
}

function claimRow(claim: Claim, text: string): HTMLElement {
  const made = row(claim.status, words.MARKS[claim.status], claim.name, words.STATUS_WORDS[claim.status], text);
  made.dataset.claim = claim.name;
  made.dataset.status = claim.status;
  if (claim.basis !== null) {
    made.dataset.basis = claim.basis;
    made.title = words.BASES[claim.basis][1];
  }
  return made;
}

/** What can still come, and by when it is known. */
function openText({ name, expires }: Claim, { payment }: Receipt): string {
  const most = name === 'payment' ? (payment?.cap ?? null) : null;
  const what = most === null ? 'Not there yet' : `At most ${words.figure(BigInt(most.amount), most.token)}`;
  return expires === null ? `${what}.` : `${what}; known by ${clockToday(expires.toISOString())}.`;
}

/** Where rendering drops characters of the answer, the card says so. */
function unshown(claim: Claim, dropped: number): string {
  return claim.name === 'response' && claim.status === 'passed' && dropped ? ` ${words.plural(dropped, 'character')} of markup not shown.` : '';
}

/** `reasons`: those of the rows above, which are not said again; this one's is added. */
function claimText(claim: Claim, verdict: Verdict, receipt: Receipt, reasons: Set<string>): string {
  if (claim.status === 'passed') {
    if (claim.name === 'channel' && receipt.sealed !== undefined) {
      return SAYS_SEALED;
    }
    return verdict.simulated && claim.name === 'attestation' ? SAYS_SIMULATED : SAYS[claim.name];
  }
  if (claim.status === 'pending') {
    return openText(claim, receipt);
  }
  if (claim.status === 'missing' && !verdict.because.some(reason => reason.startsWith(`${claim.name}:`))) {
    // Nobody asked for it: the evidence has the rest.
    return words.told(claim.sentence);
  }
  const again = claim.sentence !== '' && reasons.has(claim.reason ?? '');
  const reason = again ? '' : (claim.reason ?? '');
  reasons.add(reason);
  return [words.told(claim.sentence), reason ? words.sentence(words.told(reason)) : ''].filter(Boolean).join(' ');
}

function row(status: string, mark: string, name: string, unseen: string | null, text: string): HTMLElement {
  return h(
    'tr',
    { class: `opg-claim opg-${status}` },
    h(
      'th',
      { scope: 'row' },
      h('span', { class: 'opg-symbol', 'aria-hidden': 'true' }, mark),
      `\u00a0${name}`,
      unseen === null ? null : h('span', { class: 'opg-unseen' }, ` ${unseen}`)
    ),
    h('td', {}, text)
  );
}

function findingLine(finding: Finding): HTMLElement {
  return h('p', { class: `opg-note opg-finding-${finding.level}` }, `${words.SIGNS[finding.level]}${words.told(finding.message)}`);
}

/** The text that is not on show, behind an act of the reader's own. */
function hiddenText(judged: IJudged, receipt: Receipt, context: IContext): HTMLElement {
  const text = signedText(receipt) ?? receipt.response.unsigned_text;
  if (text === null) {
    return h('p', { class: 'opg-note' }, 'The receipt holds no text of an answer.');
  }
  const { response } = receipt;
  if (!words.isWithheld(judged) && (response.problem !== null || (response.text === null && response.tool_calls === null))) {
    return foldable(null, { class: 'opg-withheld' }, h('summary', {}, 'Show what had come until then'), false, () => [
      h('p', { class: 'opg-banner' }, '! Nobody signed the text below. Do not rely on it.'),
      verbatim(text)
    ]);
  }
  if (!words.isWithheld(judged)) {
    return foldable(null, { class: 'opg-evidence' }, h('summary', {}, 'Show the answer (its cell asked for none)'), false, () => {
      const place = h('div', { class: 'opg-answer' });
      void rendered(text, context.parser).then(node => place.append(node));
      return [place];
    });
  }
  return foldable(
    null,
    { class: 'opg-withheld' },
    h('summary', {}, 'Show the withheld text all the same'),
    false,
    () => [
      h('p', { class: 'opg-banner' }, '✗ The text below did not pass. Do not rely on it.'),
      verbatim(text)
    ]
  );
}

/** Filled as soon as the part that lists evidence is there. */
function evidence(receipt: Receipt, verdict: Verdict): HTMLElement {
  const place = h('div', {});
  evidencePart().then(
    ({ evidenceOf }) => {
      place.append(...evidenceOf(receipt, verdict, checker.reader.explorers).map(group => evidenceGroup(group.title, group.facts)));
    },
    (error: Error) => place.append(h('p', { class: 'opg-note' }, error.message))
  );
  return place;
}

function evidenceGroup(title: string, facts: readonly IFact[]): HTMLElement {
  return h('div', { class: 'opg-group' }, h('h6', {}, title), h('dl', {}, ...facts.flatMap(factRow)));
}

function factRow(fact: IFact): HTMLElement[] {
  const value = inert(fact.value.length > SHOWN ? `${fact.value.slice(0, SHOWN)}… (${fact.value.length - SHOWN} characters more)` : fact.value);
  const shown = fact.long
    ? h('pre', { class: 'opg-value', tabindex: '0', 'aria-label': fact.name }, value)
    : h('code', { class: 'opg-value' }, value);
  const link =
    fact.link === null
      ? null
      : h('a', { href: fact.link, target: '_blank', rel: 'noopener noreferrer', class: 'opg-link' }, 'Look it up');
  return [h('dt', {}, fact.name), h('dd', {}, shown, fact.copy ? copyButton(fact.value, fact.name) : null, link)];
}
