/** Figures and foreign words on a receipt's face. Every form of it uses them, so none may change: a new form brings its own. */

import { askedOf, besideThePrompt, type IAsked } from '../receipt/asked';
import { inert } from '../receipt/findings';
import { MoneyPart, Receipt } from '../receipt/receipt';

export const REMARKS = [
  'The host had closed the open session, so a new authorisation was signed.',
  'Another host was tried before and was not used.',
  'Text that had streamed before the check is removed; it may have been read.',
  'Its hashes go on a public chain, unsalted: a short prompt can be guessed from its hash.',
  "Out of the author's ledger: this notebook had asked the same, so nothing was sent or paid."
];

export type Type = 'text/plain' | 'text/markdown' | 'text/html';
export type Texts = Record<Type, string>;

/** A line, and what may be typed. */
export type Note = readonly [text: string, code: string | null];

// Letter cases are written out: what a flag makes of them differs between languages.
const VERIFIED = '[vV][eE][rR][iI][fF][iI][eE][dD]';
const TICK = '(?:✓|✔|☑|✅|\u{1f5f8})';
export const IMITATION = new RegExp(
  `${TICK}[^A-Za-z0-9_\\n]{0,12}${VERIFIED}|${VERIFIED}[^A-Za-z0-9_\\n]{0,12}${TICK}` +
    '|[0-9]{1,9} [oO][fF] [0-9]{1,9} (?:[cC][hH][eE][cC][kK][sS]|[cC][lL][aA][iI][mM][sS])' +
    '|[oO][pP][gG] [rR][eE][cC][eE][iI][pP][tT]',
  'u'
);
/** So many parts of a request are told on a card. */
const MOST_BESIDE = 12;

export const characters = (text: string): string[] => Array.from(text);

/** What was asked besides the prompt, and what of it nobody signed. */
export function beside(receipt: Receipt): string[] {
  return besideOf(askedOf(receipt));
}

/** As `beside`; of a conversation's earlier messages, how many there are and which share of the input. */
export function sentAgain(receipt: Receipt): string[] {
  const asked = askedOf(receipt);
  const { thread } = receipt;
  const count = thread?.earlier.reduce((sum, one) => sum + one.messages, 0) ?? 0;
  if (asked === null || thread === undefined || !count) {
    return besideOf(asked);
  }
  const length = (text: string): number => characters(text).length;
  const sum = (lengths: readonly number[]): number => lengths.reduce((one, other) => one + other, 0);
  const systems = asked.before.filter(({ role }) => role === 'system');
  const before = asked.before.filter(({ role }) => role !== 'system');
  const prompt = asked.prompt === null ? [] : [length(asked.prompt)];
  const lengths = [...before.map(({ text }) => length(text)), ...prompt, ...asked.after.map(({ text }) => length(text))];
  const again = sum(lengths.slice(0, count));
  const whole = sum(lengths) + sum(systems.map(({ text }) => length(text)));
  const share = whole ? Math.floor((200 * again + whole) / (2 * whole)) : 0;
  const name = thread.name === null ? 'this conversation' : `chat ${thread.name}`;
  const later = asked.after.slice(Math.max(0, count - before.length - prompt.length));
  return [
    `Sent again: ${count} earlier message${count === 1 ? '' : 's'} of ${name}, about ${share} % of the input (estimated by length).`,
    ...besideOf({ ...asked, before: [...systems, ...before.slice(count)], after: later })
  ];
}

function besideOf(asked: IAsked | null): string[] {
  const more = asked === null ? [] : besideThePrompt(asked, false);
  const told = more.slice(0, MOST_BESIDE).map(([what, text]) => `Asked with ${oneLine(what, 60)}: ${oneLine(text, 400)}`);
  return more.length > MOST_BESIDE ? [...told, `Asked with ${more.length - MOST_BESIDE} more: the receipt has them.`] : told;
}

/** The model that a request names, for a line; a request that can be read in two ways names none. */
export function modelNamed(receipt: Receipt): string {
  const model = askedOf(receipt)?.model ?? null;
  return model === null ? 'model not named' : oneLine(model, 80);
}

export function oneLine(text: string, limit: number): string {
  const flat = inert(text).split(/\s+/).filter(Boolean).join(' ');
  const all = characters(flat);
  return all.length <= limit ? flat : `${all.slice(0, limit - 1).join('')}…`;
}

export function told(text: string, limit: number): string {
  return oneLine(text.replace(/\b(?:0x)?[0-9a-fA-F]{40,}\b/g, hash => `${hash.slice(0, 8)}…${hash.slice(-6)}`), limit);
}

export function shortHash(value: string): string {
  const digits = characters(value.replace(/^0x/, ''));
  return digits.length <= 9 ? digits.join('') : `${digits.slice(0, 4).join('')}…${digits.slice(-4).join('')}`;
}

export function clock(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

export function money({ amount, token }: MoneyPart): string {
  const symbol = /^[A-Za-z][A-Za-z0-9-]{0,11}$/.test(token.symbol) ? token.symbol : 'tokens';
  return `${rounded(BigInt(amount), token.decimals)} ${symbol}`;
}

export function rounded(amount: bigint, decimals: number): string {
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

export function duration(sent: string, received: string): string {
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

const REFERENCES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' };

/** Escaped, and the delimiters of TeX set apart so that no typesetter finds any. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, char => REFERENCES[char]).replace(/[$\\]/g, char => `<span>${char}</span>`);
}

const MARKDOWN: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '@': '&#64;' };

export function unmarked(text: string): string {
  return text.replace(/[\\`*_{}[\]#|~$<>&@]/g, char => MARKDOWN[char] ?? `\\${char}`);
}

export function command(receipt: Receipt): string {
  return `opg verify notebook.ipynb --receipt ${receipt.id}${receipt.network.simulated ? ' --allow-simulated' : ''}`;
}
