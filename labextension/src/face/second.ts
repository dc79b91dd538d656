/** Form `card 2` of a receipt's face, as notebooks of earlier versions hold it (opg_magic/receipt/face/second.py): never changed. */

import { beginnings, rule } from './answer';
import { beside, clock, duration, escaped, IMITATION, modelNamed, money, Note, oneLine, rounded, shortHash, Texts, told, unmarked } from './figures';
import { isWithheldAtCreation, signedText } from '../receipt/findings';
import { Receipt } from '../receipt/receipt';

export const FORM = 'card 2';
export const FREE = 'card in words';

const NOT_PROVEN =
  'Not proven: which weights the provider ran, whether it honoured every parameter, and whether the answer is true. ' +
  "Model name, tokens and cost are the host's word, not signed.";

const MARKS: Readonly<Record<string, string>> = { passed: '✓', failed: '✗', pending: '◌', missing: '○' };
const BASES = ['proven', 'asked', 'recorded'];
const NO_ANSWER: ReadonlyMap<string, string> = new Map([
  ['interrupted', 'Stopped by you'],
  ['host-failure', 'The host reports a failure'],
  ['http-status', 'The host reports a failure']
]);

interface ICard {
  readonly tone: keyof typeof TONES;
  readonly simulated: boolean;
  readonly headline: string;
  readonly facts: readonly string[];
  readonly notes: readonly Note[];
}

/** The three texts of a display. */
export function face(receipt: Receipt, show: boolean, remarks: readonly string[] = []): Texts {
  const card = cardOf(receipt, show, remarks);
  const starts = beginnings(receipt, show, true);
  return {
    'text/plain': `${starts['text/plain']}${rule(receipt, FORM, show)}\n${plainCard(card)}`,
    'text/markdown': starts['text/markdown'] + markdownCard(card),
    'text/html': `${starts['text/html']}${htmlCard(card)}</div>`
  };
}

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
  for (const status of ['failed', 'missing', 'pending']) {
    for (const claim of claims.filter(one => one.status === status)) {
      const said = [claim.sentence, claim.reason].filter(Boolean).join(' ');
      const words = verified || status === 'pending' ? status : `${told(said, 400)} [${status}]`;
      const until = status === 'pending' && claim.expires ? `, open until ${clock(claim.expires)}` : '';
      found.push(`${MARKS[status]} ${claim.name}: ${words}${until}`);
    }
  }
  const by = BASES.map(basis => {
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

function agreement(receipt: Receipt): string[] {
  const found = receipt.agreement;
  return found === null
    ? []
    : [`One of ${found.answers.length} answers to one prompt; ${found.quorum} of ${found.asked} hosts had to agree.`];
}

function model(receipt: Receipt): string {
  const words = modelNamed(receipt);
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

function plainCard(card: ICard): string {
  const notes = card.notes.map(([text, code]) => (code === null ? `  ${text}` : `  ${text} ${code}`));
  return [[card.headline, ...card.facts].join(' · '), ...notes].join('\n');
}

function markdownCard(card: ICard): string {
  const head = [`**${unmarked(card.headline)}**`, ...card.facts.map(unmarked)].join(' · ');
  const notes = card.notes.map(([text, code]) => (code === null ? `- ${unmarked(text)}` : `- ${unmarked(text)} \`${code}\``));
  return `${[`${head}\n`, ...notes].join('\n')}\n`;
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
