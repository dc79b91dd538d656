/**
 * A receipt's face: what a display shows of a call, made of its receipt alone, and the same bytes as Python makes
 * (opg_magic/receipt/face). Whole notebooks in the corpus hold both together: change neither alone.
 *
 * Here is form `card 3`: one line (the state in words, what it rests on, figures), and the checks behind it, grouped by
 * what each rests on.
 */

import { beginnings, rule } from './answer';
import { compared, ICompared } from './hosts';
import * as second from './second';
import { clock, command, duration, escaped, IMITATION, modelNamed, money, Note, oneLine, rounded, sentAgain, shortHash, Texts, told, unmarked } from './figures';
import { isWithheldAtCreation, signedText } from '../receipt/findings';
import { Receipt } from '../receipt/receipt';
import { HEADINGS, HOSTS, NOT_KNOWN, NOT_KNOWN_RE_RUN, OPEN, SAYS, SAYS_SEALED, SAYS_SIMULATED, UNMET } from './says';
import { SIMULATED } from './tag';

export { beginnings, rule } from './answer';
export { REMARKS, type Texts, type Type } from './figures';

/** This form, as the line between answer and card names it. */
const FORM = 'card 3';
/** What that line says of a card that cannot be made anew, since it says more than its receipt. */
const FREE = 'card 3 in words';
/** The same two of an answer that calls tools, where the calls stand as a person reads them. */
const [CALLS, CALLS_FREE] = ['card 3 of calls', 'card 3 of calls in words'];

type Make = (receipt: Receipt, show: boolean, remarks: readonly string[]) => Texts;

type Form = readonly [former: boolean, calls: boolean, make: Make | null];

/** The forms by their names: how the answer stands before the card (`beginnings`), and what makes the card (null: it says more). */
export const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  [FORM, [false, false, face]],
  [FREE, [false, false, null]],
  [CALLS, [false, true, (receipt, show, remarks) => face(receipt, show, remarks, true)]],
  [CALLS_FREE, [false, true, null]],
  [second.FORM, [true, false, second.face]],
  [second.FREE, [true, false, null]]
]);

const ALL = '[aA][lL][lL] [0-9]{1,9} [cC][hH][eE][cC][kK][sS]';
const SAME = '[0-9]{1,9} [oO][fF] [0-9]{1,9} [iI][nN][dD][eE][pP][eE][nN][dD][eE][nN][tT] [hH][oO][sS][tT][sS]';
const IMITATES = new RegExp(`${IMITATION.source}|${ALL}|${SAME}`, 'u');
const MARKS: Readonly<Record<string, string>> = { passed: '✓', failed: '✗', pending: '◌', missing: '○' };
const AUTHOR = "the author's kernel";
const NO_ANSWER: ReadonlyMap<string, string> = new Map([
  ['interrupted', 'Stopped by you'],
  ['host-failure', 'The host reports a failure'],
  ['http-status', 'The host reports a failure']
]);

type Row = readonly [mark: string, name: string, text: string];
type Checked = NonNullable<Receipt['checked']>;
type SavedClaim = Checked['claims'][number];

interface IGroup {
  readonly heading: string;
  readonly rows: readonly Row[];
}

interface ICard {
  readonly tone: keyof typeof TONES;
  readonly state: string;
  readonly rests: readonly string[];
  readonly figures: readonly string[];
  readonly tag: string | null;
  readonly groups: readonly IGroup[];
  readonly warnings: readonly Note[];
  readonly notes: readonly Note[];
}

/** The three texts of a display. */
export function face(receipt: Receipt, show: boolean, remarks: readonly string[] = [], calls = false): Texts {
  const card = cardOf(receipt, show, remarks);
  const starts = beginnings(receipt, show, false, calls);
  // One host of several, beside the answer that is shown: a line is enough where nothing folds.
  const brief = !show && receipt.agreement !== null;
  return {
    'text/plain': `${starts['text/plain']}${rule(receipt, calls ? CALLS : FORM, show, calls)}\n${plainCard(card, brief)}`,
    'text/markdown': starts['text/markdown'] + markdownCard(card),
    'text/html': `${starts['text/html']}${htmlCard(card)}</div>`
  };
}

// ------------------------------------------------------------------------------------------------------------ the card

function cardOf(receipt: Receipt, show: boolean, remarks: readonly string[]): ICard {
  const { checked, response, network } = receipt;
  const simulated = network.simulated || checked?.simulated === true;
  const ended = response.problem !== null && response.problem.code !== 'unsigned';
  const answered = checked !== null && signedText(receipt) !== null && !ended;
  const verified = answered && checked.verdict === 'VERIFIED' && !isWithheldAtCreation(receipt);
  // Where its answer is not shown, it stands as one line beside the answer that is.
  const hosts = verified && show ? compared(receipt) : null;
  const [state, tone] = stateOf(receipt, answered, simulated, hosts);
  const rests = [verified ? '' : why(receipt, answered, show), checked === null ? '' : `checked by ${AUTHOR}, ${clock(checked.at)}`];
  const figures = [...who(receipt, hosts), `${cost(receipt, simulated)}${hosts === null ? '' : ' for this answer'}`, duration(receipt.sent_at, receipt.received_at)];
  return {
    tone,
    state,
    rests: rests.filter(Boolean),
    figures: figures.filter(Boolean),
    tag: simulated ? SIMULATED : null,
    groups: groupsOf(receipt, verified, simulated, hosts),
    warnings: [...remarks.map((remark): Note => [remark, null]), ...warningsOf(receipt, show)],
    notes: [
      [notKnown(receipt), null],
      ...runAgain(receipt),
      ['', command(receipt)]
    ]
  };
}

function notKnown({ checked }: Receipt): string {
  const weights = checked?.claims.find(({ name }) => name === 'weights');
  return weights?.status === 'passed' && weights.basis === 're-run' ? NOT_KNOWN_RE_RUN : NOT_KNOWN;
}

/** The run of the weights that was added after the verdict was written down. */
function runAgain(receipt: Receipt): Note[] {
  const run = receipt.weights;
  if (run === undefined || notKnown(receipt) !== NOT_KNOWN) {
    return [];
  }
  const count = run.tokens.length + Number(run.end);
  const first = `${count - run.misses.length} of ${count} tokens are their first choice`;
  return [[`Weights run again by ${AUTHOR}, ${clock(run.at)}: ${first}.`, null]];
}

function stateOf(receipt: Receipt, answered: boolean, simulated: boolean, hosts: ICompared | null): [string, ICard['tone']] {
  const { checked, response } = receipt;
  if (!answered) {
    // With neither a problem nor a verdict, an answer came and could not be judged.
    const unchecked = checked === null && response.problem === null;
    return [`✗ ${unchecked ? 'Not checked' : (NO_ANSWER.get(response.problem?.code ?? '') ?? 'No answer')}`, 'quiet'];
  }
  if (checked!.verdict === 'FAILED') {
    return ['✗ Failed at the call', 'bad'];
  }
  if (isWithheldAtCreation(receipt)) {
    return ['✗ Withheld: the policy is not met', 'bad'];
  }
  if (checked!.verdict === 'UNVERIFIED') {
    return ['! Not verified', 'warn'];
  }
  if (checked!.verdict === 'PARTIAL') {
    return ['◐ Partially verified', 'warn'];
  }
  const good = simulated ? 'sim' : 'ok';
  return hosts === null ? [`✓ ${counted(checked!.claims)}`, good] : [hosts.headline, hosts.agrees ? good : 'warn'];
}

/** `All 7 checks pass`: of those that apply and are not open. */
function counted(claims: readonly { readonly status: string }[]): string {
  const [passed, failed, missing] = ['passed', 'failed', 'missing'].map(wanted => claims.filter(({ status }) => status === wanted).length);
  const total = passed + failed + missing;
  return passed === total ? `All ${total} checks pass` : `${passed} of ${total} checks pass`;
}

function why(receipt: Receipt, answered: boolean, show: boolean): string {
  const { checked, response } = receipt;
  if (!answered) {
    return response.problem === null ? '' : told(response.problem.message, 200);
  }
  const failed = checked!.claims.find(claim => claim.status === 'failed');
  let reason = '';
  if (checked!.because.length) {
    reason = told(checked!.because[0], 160);
  } else if (failed !== undefined) {
    reason = told(`${failed.name}: ${failed.reason || failed.sentence}`, 160);
  }
  if (!isWithheldAtCreation(receipt)) {
    return reason;
  }
  const kept = show ? 'shown because you asked' : 'the answer is withheld';
  return reason ? `${kept} · ${reason}` : kept;
}

/** What did not pass, what did by what it rests on, the other hosts, what is open. */
function groupsOf(receipt: Receipt, verified: boolean, simulated: boolean, hosts: ICompared | null): IGroup[] {
  const claims = receipt.checked?.claims ?? [];
  const group = (heading: string, rows: readonly Row[]): IGroup[] => (rows.length ? [{ heading, rows }] : []);
  const of = (status: string): readonly SavedClaim[] => claims.filter(claim => claim.status === status);
  const reasons = new Set<string>();
  return [
    ...Object.entries(UNMET).flatMap(([status, heading]) => group(heading, of(status).map(claim => unmet(claim, reasons, verified)))),
    ...Object.entries(HEADINGS).flatMap(([basis, heading]) =>
      group(
        heading.replace('{}', AUTHOR),
        of('passed')
          .filter(claim => claim.basis === basis)
          .map(({ name }): Row => [MARKS.passed, name, says(name, simulated, receipt.sealed !== undefined)])
      )
    ),
    ...group(HOSTS, hosts?.lines ?? []),
    ...group(OPEN, of('pending').map(claim => open(claim, receipt)))
  ];
}

/** What a check that passed says. `sealed`: the call took the private route. */
function says(name: string, simulated: boolean, sealed: boolean): string {
  if (sealed && name === 'channel') {
    return SAYS_SEALED;
  }
  return simulated && name === 'attestation' ? SAYS_SIMULATED : SAYS[name];
}

/** `reasons`: those of the rows above, which are not said again; this one's is added. */
function unmet({ status, name, sentence, reason }: SavedClaim, reasons: Set<string>, verified: boolean): Row {
  const again = reason !== null && reasons.has(reason);
  if (reason) {
    reasons.add(reason);
  }
  return [MARKS[status], name, verified ? '' : told([sentence, again && sentence ? '' : reason].filter(Boolean).join(' '), 400)];
}

function open(claim: SavedClaim, { payment, created_at }: Receipt): Row {
  const most = claim.name === 'payment' ? (payment?.cap ?? null) : null;
  const parts = [most === null ? 'Not there yet' : `At most ${money(most)}`];
  if (claim.expires) {
    const until = clock(claim.expires);
    parts.push(`known by ${until.slice(0, 10) === created_at.slice(0, 10) ? until.slice(11) : until}`);
  }
  return [MARKS.pending, claim.name, `${parts.join('; ')}.`];
}

function warningsOf(receipt: Receipt, show: boolean): Note[] {
  const text = signedText(receipt);
  const found: Note[] = [];
  if (text !== null && show && IMITATES.test(text)) {
    found.push(["Some words of the answer look like a verdict. They are the model's; only this box is one.", null]);
  }
  if (isWithheldAtCreation(receipt) && text !== null) {
    found.push(show ? ['Do not rely on the text above.', null] : ['To read it all the same:', `%opg show ${receipt.id} --unverified`]);
  }
  return [...found, ...sentAgain(receipt).map((line): Note => [line, null])];
}

function who(receipt: Receipt, hosts: ICompared | null): string[] {
  const model = modelNamed(receipt);
  return hosts !== null || receipt.host === null ? [model] : [model, `host ${oneLine(shortHash(receipt.host.tee_id), 9)}`];
}

function cost({ payment }: Receipt, simulated: boolean): string {
  if (payment === null || payment.charge === 'not charged') {
    return 'not charged';
  }
  const most = payment.cap === null ? '' : `, at most ${money(payment.cap)}`;
  if (payment.charge === 'unknown') {
    return `charge unknown${most}`;
  }
  if (payment.cost === null) {
    return `${payment.price === null ? 'price' : 'cost'} unknown${most}`;
  }
  const worth = simulated ? null : /^([0-9]{1,30})(?:\.([0-9]{1,30}))?$/.exec(payment.cost_usd ?? '');
  const usd = worth === null ? '' : ` ≈ $${rounded(BigInt(worth[1] + (worth[2] ?? '')), (worth[2] ?? '').length)}`;
  return `${money(payment.cost)} claimed${usd}`;
}

// -------------------------------------------------------------------------------------------------------- in each form

function plainCard(card: ICard, brief: boolean): string {
  const tag = card.tag === null ? [] : [`[${card.tag}]`];
  return [
    [card.state, ...card.rests, ...card.figures, ...tag].join(' · '),
    ...card.warnings.map(note => `  ${typed(note)}`),
    ...(brief ? [] : card.groups).flatMap(({ heading, rows }) => [`  ${heading}`, ...rows.map(row => `    ${rowText(row)}`)]),
    ...(brief ? card.notes.slice(-1) : card.notes).map(note => `  ${typed(note)}`)
  ].join('\n');
}

function rowText([mark, name, text]: Row): string {
  return text ? `${mark} ${name}: ${text}` : `${mark} ${name}`;
}

const typed = (note: Note): string => note.filter(Boolean).join(' ');

/** One line; below it only what nobody may miss. A Markdown file has room for no more. */
function markdownCard(card: ICard): string {
  const facts = [...card.rests, ...card.figures].map(unmarked);
  const tag = card.tag === null ? [] : [`*${card.tag}*`];
  const code = card.notes.flatMap(([, typed]) => (typed ? [`\`${typed}\``] : []));
  const line = [`**${unmarked(card.state)}**`, ...facts, ...tag, ...code].join(' · ');
  const warnings = card.warnings.map(([text, code]) => (code ? `- ${unmarked(text)} \`${code}\`` : `- ${unmarked(text)}`));
  return `${[line, ...(warnings.length ? ['', ...warnings] : [])].join('\n')}\n`;
}

const TONES = { ok: '#2e8b3a', sim: '#2e8b3a', warn: '#c77700', bad: '#d32f2f', quiet: '#808080' };
const TAG = 'border:1px dashed #1976d2;border-radius:3px;padding:0 6px';
const BOX = 'border:1px solid rgba(128,128,128,.5);border-radius:4px;padding:6px 12px;font-size:13px';

/** A line that opens, with no line of its own empty: this HTML may come to stand in Markdown. */
function htmlCard(card: ICard): string {
  const facts = [...card.rests, ...card.figures].map(fact => ` · ${escaped(fact)}`).join('');
  const tag = card.tag === null ? '' : ` · <i style="${TAG}">${card.tag}</i>`;
  const note = ([text, code]: Note): string => {
    const parts = [escaped(text), code ? `<code>${escaped(code)}</code>` : ''];
    return `<div>${parts.filter(Boolean).join(' ')}</div>`;
  };
  const group = ({ heading, rows }: IGroup): string =>
    `<div><small>${escaped(heading)}</small>${rows.map(row => `<br>${escaped(rowText(row))}`).join('')}</div>`;
  const line = `<details style="${BOX};border-left:4px solid ${TONES[card.tone]}"><summary><b>${escaped(card.state)}</b>${facts}${tag}</summary>`;
  return `${[line, ...card.warnings.map(note), ...card.groups.map(group), ...card.notes.map(note)].join('\n')}</details>`;
}
