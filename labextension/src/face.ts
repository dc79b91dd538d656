/**
 * A receipt's face: what a display shows of a call, made of its receipt alone, and the same bytes as Python makes
 * (opg_magic/receipt/face.py). Whole notebooks in the corpus hold both together: change neither alone.
 */

import { askedOf, besideThePrompt } from './asked';
import { BASIS_NAMES, STATUS_MARKS } from './claims/table';
import { inert, isWithheldAtCreation, RULE, signedText } from './findings';
import { MoneyPart, Receipt } from './receipt';

/** This form, as the line between answer and card names it. */
export const FORM = 'card 2';
/** What that line says of a card that cannot be made anew, since it says more than its receipt. */
export const FREE = 'card in words';

export const REMARKS = [
  'The host had closed the open session, so a new authorisation was signed.',
  'Another host was tried before and was not used.',
  'Text that had streamed before the check is removed; it may have been read.',
  'Its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash.'
];

const BANNER = '✗ Shown because you asked: the text below did not pass';

const NOT_PROVEN =
  'Not proven: which weights the provider ran, whether it honoured every parameter, and whether the answer is true. ' +
  "Model name, tokens and cost are the host's word, not signed.";

// Letter cases are written out: what a flag makes of them differs between languages.
const VERIFIED = '[vV][eE][rR][iI][fF][iI][eE][dD]';
const TICK = '(?:✓|✔|☑|✅|\u{1f5f8})';
const IMITATION = new RegExp(
  `${TICK}[^A-Za-z0-9_\\n]{0,12}${VERIFIED}|${VERIFIED}[^A-Za-z0-9_\\n]{0,12}${TICK}` +
    '|[0-9]{1,9} [oO][fF] [0-9]{1,9} (?:[cC][hH][eE][cC][kK][sS]|[cC][lL][aA][iI][mM][sS])' +
    '|[oO][pP][gG] [rR][eE][cC][eE][iI][pP][tT]',
  'u'
);
/** So many parts of a request are told on a card. */
const MOST_BESIDE = 12;
const NO_ANSWER: ReadonlyMap<string, string> = new Map([
  ['interrupted', 'Stopped by you'],
  ['host-failure', 'The host reports a failure'],
  ['http-status', 'The host reports a failure']
]);

export type Type = 'text/plain' | 'text/markdown' | 'text/html';
export type Texts = Record<Type, string>;
type Note = readonly [text: string, code: string | null];

interface ICard {
  readonly tone: keyof typeof TONES;
  readonly simulated: boolean;
  readonly headline: string;
  readonly facts: readonly string[];
  readonly notes: readonly Note[];
}

const characters = (text: string): string[] => Array.from(text);

/** The three texts of a display. */
export function face(receipt: Receipt, show: boolean, remarks: readonly string[] = []): Texts {
  const card = cardOf(receipt, show, remarks);
  const starts = beginnings(receipt, show);
  return {
    'text/plain': `${starts['text/plain']}${rule(receipt, FORM, show)}\n${plainCard(card)}`,
    'text/markdown': starts['text/markdown'] + markdownCard(card),
    'text/html': `${starts['text/html']}${htmlCard(card)}</div>`
  };
}

/** What stands before the card in each text: the answer, under a line that warns of it where it was withheld. */
export function beginnings(receipt: Receipt, show: boolean): Texts {
  const text = show ? signedText(receipt) : null;
  if (text === null) {
    return { 'text/plain': '', 'text/markdown': '', 'text/html': '<div style="font-family:inherit">' };
  }
  let [plain, markdown, html] = [`${inert(text)}\n\n`, `${fenced(text)}\n`, answerHtml(text)];
  if (isWithheldAtCreation(receipt)) {
    plain = `${BANNER}\n\n${plain}`;
    markdown = `**${BANNER}**\n\n${markdown}`;
    html = `<p><b>${BANNER}</b></p>${html}`;
  }
  return { 'text/plain': plain, 'text/markdown': markdown, 'text/html': `<div style="font-family:inherit">${html}` };
}

export function rule(receipt: Receipt, form: string, show: boolean): string {
  const text = show ? signedText(receipt) : null;
  const count = text === null ? 0 : characters(inert(text)).length;
  const what = text === null ? 'no answer is shown' : `the ${count} character${count === 1 ? '' : 's'} above are the answer`;
  return `${RULE}${receipt.id} · ${what} · ${form} ────`;
}

// ---------------------------------------------------------------------------------------------------------- the answer

function fenced(text: string): string {
  const shown = inert(text);
  const longest = (shown.match(/~+/g) ?? []).reduce((most, run) => Math.max(most, run.length + 1), 3);
  const fence = '~'.repeat(longest);
  return `${fence}text\n${shown}\n${fence}\n`;
}

const MONO = 'font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px';
const PRE = `${MONO};margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere`;

function answerHtml(text: string): string {
  const shown = inert(text);
  if (/^[ \t\n]*$/.test(shown)) {
    return '<div style="margin:0 0 8px">(an answer without visible text)</div>';
  }
  const parts = blocks(shown.split('\n')).map(([isBlock, lines]) =>
    isBlock ? `<pre style="${PRE}">${escaped(lines.join('\n'))}</pre>` : lines.map(prose).join('<br>\n')
  );
  return `<div style="margin:0 0 8px;overflow:auto;max-width:100%">${parts.join('')}</div>`;
}

/** Runs of lines: whether a block of code or a table, and its lines. */
function blocks(lines: readonly string[]): [boolean, string[]][] {
  const found: [boolean, string[]][] = [];
  let fence: string | null = null;
  let run: string[] = [];
  let kind = '';
  const end = (isBlock: boolean): void => {
    found.push([isBlock, run]);
    run = [];
  };
  for (const line of lines) {
    const marks: string | null = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? null;
    const closes: boolean = fence !== null && marks !== null && marks.startsWith(fence);
    const opens: boolean = fence === null && marks !== null;
    const now: string = fence !== null || opens ? 'code' : line.startsWith('|') ? 'table' : 'prose';
    if (run.length && (now !== kind || opens)) {
      end(kind !== 'prose');
    }
    run.push(line);
    kind = now;
    if (opens) {
      fence = marks;
    } else if (closes) {
      fence = null;
      end(true);
    }
  }
  if (run.length) {
    end(kind !== 'prose');
  }
  return found;
}

function prose(line: string): string {
  if (/^#{1,6} /.test(line)) {
    return `<b>${spaced(line)}</b>`;
  }
  return line
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .map((part, index) => {
      const tag = index % 2 === 0 ? '' : part.startsWith('`') ? 'code' : 'b';
      return tag ? `<${tag}>${spaced(part)}</${tag}>` : spaced(part);
    })
    .join('');
}

function spaced(text: string): string {
  return escaped(text).replace(/\t/g, '&nbsp;&nbsp;&nbsp; ').replace(/ {2}/g, '&nbsp; ');
}

const REFERENCES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' };

/** Escaped, and the delimiters of TeX set apart so that no typesetter finds any. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, char => REFERENCES[char]).replace(/[$\\]/g, char => `<span>${char}</span>`);
}

// ------------------------------------------------------------------------------------------------------------ the card

function cardOf(receipt: Receipt, show: boolean, remarks: readonly string[]): ICard {
  const { checked, response, network } = receipt;
  const simulated = network.simulated || checked?.simulated === true;
  const ended = response.problem !== null && response.problem.code !== 'unsigned';
  const answered = checked !== null && signedText(receipt) !== null && !ended;
  const verified = answered && checked.verdict === 'VERIFIED' && !isWithheldAtCreation(receipt);
  const [headline, tone] = headlineOf(receipt, simulated, show, answered);
  const facts = [
    verified ? '' : why(receipt, answered),
    model(receipt),
    cost(receipt, simulated),
    duration(receipt.sent_at, receipt.received_at),
    `${count(receipt)}author's kernel, ${clock(receipt.created_at)}`
  ].filter(fact => fact !== '');
  const said = (...texts: readonly string[]): Note[] => texts.map(text => [text, null]);
  const notes: Note[] = [
    ...said(...rows(receipt, verified), ...remarks),
    ...aboutTheText(receipt, show),
    ...(simulated ? said('Simulated network: no hardware vouches for it, and no real money moved.') : []),
    ...said(...beside(receipt), ...agreement(receipt), NOT_PROVEN),
    ['Check it yourself:', `opg verify notebook.ipynb --receipt ${receipt.id}${network.simulated ? ' --allow-simulated' : ''}`]
  ];
  return { tone, simulated, headline, facts, notes };
}

function headlineOf(receipt: Receipt, simulated: boolean, show: boolean, answered: boolean): [string, ICard['tone']] {
  const { checked, response } = receipt;
  let [text, tone]: [string, ICard['tone']] = simulated ? ['all checks pass', 'sim'] : ['✓ Verified', 'ok'];
  if (!answered) {
    // With neither a problem nor a verdict, an answer came and could not be judged.
    const unchecked = checked === null && response.problem === null;
    const ended = unchecked ? 'Not checked' : (NO_ANSWER.get(response.problem?.code ?? '') ?? 'No answer');
    [text, tone] = [`✗ ${ended}`, 'quiet'];
  } else if (checked!.verdict === 'FAILED') {
    [text, tone] = [show ? '✗ Failed: shown because you asked' : '✗ Failed: answer withheld', 'bad'];
  } else if (isWithheldAtCreation(receipt)) {
    [text, tone] = ['✗ Withheld: the policy is not met', 'bad'];
  } else if (checked!.verdict === 'UNVERIFIED') {
    [text, tone] = ['! Not verified', 'warn'];
  } else if (checked!.verdict === 'PARTIAL') {
    [text, tone] = ['◐ Partly verified', 'warn'];
  }
  return [simulated ? `SIMULATED · ${text}` : text, tone];
}

function why({ checked, response }: Receipt, answered: boolean): string {
  if (!answered) {
    return response.problem === null ? '' : told(response.problem.message, 200);
  }
  if (checked!.because.length) {
    return told(checked!.because[0], 160);
  }
  const failed = checked!.claims.find(claim => claim.status === 'failed');
  return failed === undefined ? '' : told(`${failed.name}: ${failed.reason || failed.sentence}`, 160);
}

function rows({ checked }: Receipt, verified: boolean): string[] {
  const claims = checked?.claims ?? [];
  const found: string[] = [];
  for (const status of ['failed', 'missing', 'pending'] as const) {
    for (const claim of claims.filter(one => one.status === status)) {
      const said = [claim.sentence, claim.reason].filter(Boolean).join(' ');
      const words = verified || status === 'pending' ? status : `${told(said, 400)} [${status}]`;
      const until = status === 'pending' && claim.expires ? `, open until ${clock(claim.expires)}` : '';
      found.push(`${STATUS_MARKS[status]} ${claim.name}: ${words}${until}`);
    }
  }
  const by = BASIS_NAMES.map(basis => {
    const names = claims.filter(claim => claim.status === 'passed' && claim.basis === basis).map(claim => claim.name);
    return names.length ? `${names.join(', ')} (${basis})` : '';
  }).filter(Boolean);
  return by.length ? [...found, `✓ ${by.join('; ')}`] : found;
}

function aboutTheText(receipt: Receipt, show: boolean): Note[] {
  const text = signedText(receipt);
  const found: Note[] = [];
  if (text !== null && show && IMITATION.test(text)) {
    found.push(["Some words of the answer look like a verdict. They are the model's; only this box is one.", null]);
  }
  if (!isWithheldAtCreation(receipt)) {
    return found;
  }
  if (text !== null && show) {
    return [...found, ['The text stands here because you asked for it. Do not rely on it.', null]];
  }
  if (text !== null) {
    found.push([`Kept as receipt ${receipt.id}. To read the text all the same:`, `%opg show ${receipt.id} --unverified`]);
  }
  return found;
}

/** What was asked besides the prompt, and what of it nobody signed. */
function beside(receipt: Receipt): string[] {
  const asked = askedOf(receipt);
  const more = asked === null ? [] : besideThePrompt(asked, false);
  const told = more.slice(0, MOST_BESIDE).map(([what, text]) => `Asked with ${oneLine(what, 60)}: ${oneLine(text, 400)}`);
  return more.length > MOST_BESIDE ? [...told, `Asked with ${more.length - MOST_BESIDE} more: the receipt has them.`] : told;
}

function agreement(receipt: Receipt): string[] {
  const found = receipt.agreement;
  return found === null
    ? []
    : [`One of ${found.answers.length} answers to one prompt; ${found.quorum} of ${found.asked} hosts had to agree.`];
}

function model(receipt: Receipt): string {
  const named = body(receipt).model;
  const words = typeof named === 'string' ? oneLine(named, 80) : 'model not named';
  return receipt.host === null ? words : `${words} via host ${oneLine(shortHash(receipt.host.tee_id), 9)}`;
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
  return `${money(payment.cost)} claimed${usd}${most}`;
}

function count({ checked }: Receipt): string {
  const statuses = (checked?.claims ?? []).map(claim => claim.status);
  if (!statuses.length) {
    return '';
  }
  const number = (status: string): number => statuses.filter(one => one === status).length;
  const pending = number('pending');
  const total = statuses.length - number('not_applicable') - pending;
  return `${number('passed')} of ${total} checks, ${pending ? `${pending} pending, ` : ''}`;
}

// ------------------------------------------------------------------------------------------------------ words, figures

function body(receipt: Receipt): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(receipt.request.body);
    return isRecord(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

function oneLine(text: string, limit: number): string {
  const flat = inert(text).split(/\s+/).filter(Boolean).join(' ');
  const all = characters(flat);
  return all.length <= limit ? flat : `${all.slice(0, limit - 1).join('')}…`;
}

function told(text: string, limit: number): string {
  return oneLine(text.replace(/\b(?:0x)?[0-9a-fA-F]{40,}\b/g, hash => `${hash.slice(0, 8)}…${hash.slice(-6)}`), limit);
}

function shortHash(value: string): string {
  const digits = characters(value.replace(/^0x/, ''));
  return digits.length <= 9 ? digits.join('') : `${digits.slice(0, 4).join('')}…${digits.slice(-4).join('')}`;
}

function clock(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

function money({ amount, token }: MoneyPart): string {
  const symbol = /^[A-Za-z][A-Za-z0-9-]{0,11}$/.test(token.symbol) ? token.symbol : 'tokens';
  return `${rounded(BigInt(amount), token.decimals)} ${symbol}`;
}

function rounded(amount: bigint, decimals: number): string {
  const places = amount.toString().length > decimals ? 2 : decimals - amount.toString().length + 2;
  if (places < decimals) {
    const unit = 10n ** BigInt(decimals - places);
    amount = (amount + unit / 2n) / unit;
    decimals = places;
  }
  const digits = amount.toString().padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  return fraction ? `${whole}.${fraction}` : whole;
}

const micros = (time: string): bigint => BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26));

function duration(sent: string, received: string): string {
  const passed = micros(received) - micros(sent);
  const took = passed < 0n ? 0n : passed;
  if (took < 949_500n) {
    return `${(took + 500n) / 1000n} ms`;
  }
  const tenths = (took + 50_000n) / 100_000n;
  if (tenths < 600n) {
    return `${tenths / 10n}.${tenths % 10n} s`;
  }
  const whole = (took + 500_000n) / 1_000_000n;
  return `${whole / 60n} min ${whole % 60n} s`;
}

// -------------------------------------------------------------------------------------------------------- in each form

function plainCard(card: ICard): string {
  const notes = card.notes.map(([text, code]) => (code === null ? `  ${text}` : `  ${text} ${code}`));
  return [[card.headline, ...card.facts].join(' · '), ...notes].join('\n');
}

function markdownCard(card: ICard): string {
  const head = [`**${unmarked(card.headline)}**`, ...card.facts.map(unmarked)].join(' · ');
  const notes = card.notes.map(([text, code]) => (code === null ? `- ${unmarked(text)}` : `- ${unmarked(text)} \`${code}\``));
  return `${[`${head}\n`, ...notes].join('\n')}\n`;
}

const MARKDOWN: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '@': '&#64;' };

function unmarked(text: string): string {
  return text.replace(/[\\`*_{}[\]#|~$<>&@]/g, char => MARKDOWN[char] ?? `\\${char}`);
}

const TONES = { ok: '#2e8b3a', sim: '#1976d2', warn: '#c77700', bad: '#d32f2f', quiet: '#808080' };

function htmlCard(card: ICard): string {
  const style =
    `border-left:4px ${card.simulated ? 'dashed' : 'solid'} ${TONES[card.tone]};background:rgba(128,128,128,.08);padding:7px 14px;` +
    'font-size:13px;line-height:1.5;overflow-wrap:anywhere';
  const facts = card.facts.map(fact => ` · ${escaped(fact)}`).join('');
  const notes = card.notes.map(
    ([text, code]) => `<div style="margin:4px 0 0">${escaped(text)}${code === null ? '' : ` <code>${escaped(code)}</code>`}</div>`
  );
  return `<div style="${style}"><b>${escaped(card.headline)}</b>${facts}${notes.join('')}</div>`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
