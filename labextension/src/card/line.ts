/** The line under an answer: the state in words, what it rests on, figures. Loaded with the first receipt. */

import css from '../../style/card.raw.css';
import { checker, IJudged } from '../audit/check';
import type { IContext } from './body';
import { h } from './dom';
import { foldable, SHOWN } from './fold';
import { inert } from '../receipt/findings';
import { part } from '../base/load';
import type { Looker } from './looker';
import { CLAIM_NAMES, Receipt } from '../receipt/receipt';
import { addStyles } from './style';
import { SIMULATED } from '../face/tag';
import * as words from './words';

addStyles(css);

/** Most cards stay closed. */
const bodyPart = part(() => import('./body'));

const MOST_HOSTS = 4;

/** Who answered: the model, and the host, or the hosts that were compared. */
function who(receipt: Receipt): string[] {
  const { host, network, response } = receipt;
  const asked = words.model(receipt);
  const named = response.model;
  const scripted = named === null || named === '' || named === 'scripted-model';
  const by = scripted ? 'the scripted model' : words.oneLine(named, 80);
  const hosts = receipt.agreement?.answers.map(one => one.tee_id) ?? (host === null ? [] : [host.tee_id]);
  const names = hosts.slice(0, MOST_HOSTS).map(hostNamed).join(', ') + (hosts.length > MOST_HOSTS ? ', …' : '');
  return [network.simulated && by !== asked ? `${by} for ${asked}` : asked, ...(names ? [`${hosts.length > 1 ? 'hosts' : 'host'} ${names}`] : [])];
}

/** Of a conversation: its name, and how many of its earlier messages were sent once more, and paid for. */
export function conversation({ thread }: Receipt): string {
  const count = thread?.earlier.reduce((sum, one) => sum + one.messages, 0) ?? 0;
  const name = thread?.name ? `chat ${words.oneLine(thread.name, 64)}` : '';
  return [name, count ? `${words.plural(count, 'earlier message')} sent again` : ''].filter(Boolean).join(', ');
}

/** A host by its name, where the user's own server knows it; else by the ends of its id. */
export function hostNamed(teeId: string): string {
  const name = words.hostNames.get(teeId.toLowerCase());
  return name === undefined ? words.shortHash(teeId) : words.oneLine(name, 40);
}

/** The same without the date where that is today's. */
export function clockToday(time: string, now = new Date()): string {
  const full = words.clock(time);
  return full.slice(0, 10) === now.toISOString().slice(0, 10) ? full.slice(11) : full;
}

/** Who computed what is shown, and when. */
export function checkedHere(at: Date): string {
  return `Checked in this browser at ${String(at.getHours()).padStart(2, '0')}:${String(at.getMinutes()).padStart(2, '0')}`;
}

/** What the state rests on, beyond what this browser computed: a short phrase each. */
function restsOn({ verdict, own }: IJudged): string[] {
  if (verdict === null || verdict.status === 'FAILED' || verdict.status === 'UNVERIFIED') {
    return [];
  }
  const said: string[] = [];
  const passed = CLAIM_NAMES.filter(name => verdict.claims[name].status === 'passed');
  // The signed time is proven; that it fell into the call is told where it opens.
  const recorded = passed.filter(name => name !== 'freshness' && verdict.claims[name].basis === 'recorded');
  const asked = passed.filter(name => verdict.claims[name].basis === 'asked' && !own?.asked.includes(name));
  if (own) {
    said.push(`asked live by your kernel at ${clockToday(own.at)}`);
  }
  if (asked.length) {
    said.push(`${words.listed(asked)} asked live`);
  }
  if (recorded.length) {
    said.push(`${words.listed(recorded)}: the author's word`);
  }
  return said;
}

/** The facts beside the headline: what it rests on, then figures. */
export function summary(judged: IJudged): string[] {
  const { receipt, verdict } = judged;
  if (receipt === null) {
    return [words.oneLine(judged.error ?? '', 200)];
  }
  // What failed says more than what is missing beside it, such as the traceback below a withheld answer.
  const levels = verdict?.status === 'FAILED' ? ['failed'] : ['failed', 'incomplete'];
  const wrong = levels.map(level => judged.findings.find(finding => finding.level === level)).find(Boolean);
  const facts = [];
  if (judged.error !== null) {
    facts.push(words.oneLine(judged.error, 200));
  }
  if (words.isWithheld(judged) && verdict !== null && !words.unanswered(receipt)) {
    facts.push(words.isChanged(judged) ? 'changed after the call, and withheld here' : 'the answer is withheld');
  }
  if (wrong !== undefined && !(wrong.code === 'saved-differs' && words.isChanged(judged))) {
    facts.push(words.told(wrong.message, 200).replace(/\.$/, ''));
  } else if (verdict?.status === 'FAILED' || verdict?.status === 'UNVERIFIED' || (verdict?.status === 'PARTIAL' && words.lacksMore(verdict))) {
    facts.push(words.told(verdict.because[0] ?? '', 160));
  }
  if (judged.findings.some(finding => finding.code === 'shown-again' && finding.message.startsWith('The same answer'))) {
    facts.push('the same answer again');
  }
  if (words.unanswered(receipt) && receipt.response.problem !== null) {
    facts.push(words.told(receipt.response.problem.message, 160));
  }
  const of = receipt.agreement === null ? '' : ' for this answer';
  facts.push(...restsOn(judged), ...who(receipt), conversation(receipt), words.cost(receipt) + of, words.duration(words.elapsed(receipt)));
  return facts.filter(Boolean);
}

/** The command with which anyone checks this receipt for themselves. */
export function command(receipt: Receipt, file: string | null): string {
  const recorded = receipt.notebook.name ?? 'notebook.ipynb';
  const name = words.oneLine((file ?? recorded).replace(/\\/g, '/').replace(/^.*\//, ''), 120) || 'notebook.ipynb';
  const quoted = /^[\w.,@%+=:-]+$/.test(name) && !name.startsWith('-') ? name : `'./${name.replace(/'/g, "'\\''")}'`;
  return `opg verify ${quoted} --receipt ${receipt.id}${receipt.network.simulated ? ' --allow-simulated' : ''}${receipt.weights ? ' --weights' : ''}`;
}

/** Where the cell above may say something else: all that was asked, in the words that were signed. */
export function asked(receipt: Receipt, looking: Looker | null): HTMLElement {
  const all = looking?.askedOf?.(receipt) ?? null;
  const shown = (text: string): string =>
    inert(text.length > SHOWN ? `${text.slice(0, SHOWN)}… (${text.length} characters; all of them under “Evidence”)` : text);
  return h(
    'div',
    { class: 'opg-asked' },
    h('b', {}, 'Asked, as it was signed:'),
    ` ${shown(all?.prompt ?? '(no prompt that can be read)')}`,
    ...(all === null ? [] : (looking?.besideThePrompt?.(all) ?? [])).map(([what, text]) => h('div', {}, h('b', {}, `With ${inert(what)}:`), ` ${shown(text)}`))
  );
}

export function card(judged: IJudged, head: words.IHeadline, context: IContext): HTMLElement {
  const tone = head.tone !== 'bad' && (words.isOtherCall(judged) || words.isUnclear(judged)) ? 'warn' : head.tone;
  const box = `opg-card opg-tone-${tone}${head.simulated ? ' opg-simulated' : ''}`;
  const told: (string | Node)[] = [...summary(judged).map(unbroken), ...(asks(judged) ? [askButton(judged.receipt!)] : [])];
  const facts = told.flatMap((fact, index) => (index ? [' · ', fact] : [fact]));
  const line = [
    h('span', { class: 'opg-said' }, h('b', { class: 'opg-headline' }, head.text), ' ', h('span', { class: 'opg-facts' }, ...facts)),
    ...(head.simulated ? [h('span', { class: 'opg-tag' }, SIMULATED)] : [])
  ];
  const { receipt, verdict } = judged;
  if (receipt === null || verdict === null) {
    return h('div', { class: box }, h('div', { class: 'opg-line' }, ...line));
  }
  const expanded = words.isWithheld(judged) || head.tone === 'bad' || (head.tone === 'warn' && verdict.status === 'UNVERIFIED');
  return foldable(`${receipt.digest} card`, { class: box }, h('summary', { class: 'opg-line' }, ...line), expanded, () => [
    later(async () => (await bodyPart()).bodyOf(judged, receipt, verdict, context))
  ]);
}

/** Filled as soon as its part is there. */
function later(make: () => Promise<readonly Node[]>): HTMLElement {
  const place = h('div', {});
  make().then(
    nodes => place.append(...nodes),
    (error: Error) => place.append(h('p', { class: 'opg-note' }, error.message))
  );
  return place;
}

/** Whether the reader could ask the registry for what rests on the author's word. */
function asks({ receipt, verdict }: IJudged): boolean {
  const { registry } = verdict?.claims ?? {};
  return checker.canAsk && receipt !== null && verdict?.status !== 'FAILED' && registry?.status === 'passed' && registry.basis === 'recorded';
}

function askButton(receipt: Receipt): HTMLElement {
  const button = h('button', { type: 'button', class: 'opg-ask', title: 'Ask the registry through your own server and RPCs' }, 'ask the registry');
  button.addEventListener('click', event => {
    event.preventDefault();
    button.disabled = true;
    void checker.askRegistry([receipt], true).finally(() => (button.disabled = false));
  });
  return button;
}

/** A short fact (a sum, a time) stays on one line; what runs from right to left in one changes the order of no other. */
function unbroken(fact: string): Node {
  return h('bdi', { class: fact.length > 28 ? null : 'opg-fact' }, fact);
}
