/**
 * Shows a receipt: the answer, and a card with what this browser has just computed about it.
 *
 * Everything is made of elements and text; nothing from a notebook is parsed as HTML but the structure that
 * `markdown.ts` copies. It needs no kernel, no trust in the notebook, and may be called again at any time.
 */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { checker, IJudged, unreadable } from './check';
import { Claim } from './claims/shared';
import { copyButton, h, verbatim } from './dom';
import type { IFact } from './evidence';
import { Finding, inert, showsNoAnswer, shownFindings, signedText } from './findings';
import { part } from './load';
import { looker, Looker, readBundle } from './notebook';
import { computedDigest, MIME_TYPE, Receipt, UnreadableReceipt } from './receipt';
import { dress } from './style';
import { Verdict } from './verdict';
import * as words from './words';

type Bundle = Readonly<Record<string, unknown>>;

/** Which parts of which cards stand open: what is scrolled out and in again looks as it was left. */
const opened = new Map<string, boolean>();
const MOST_OPENED = 1000;
/** Most characters of one piece of evidence that are shown; its button copies all of it. */
const SHOWN = 4000;

/** Looked at by few, and then once. */
const evidencePart = part(() => import('./evidence'));

export class ReceiptRenderer extends Widget implements IRenderMime.IRenderer {
  private readonly _parser: IRenderMime.IMarkdownParser | null;
  private readonly _mimeType: string;
  private _bundle: Bundle = {};
  private _metadata: unknown;
  /** The document, read when it is first needed. */
  private _receipt: Receipt | UnreadableReceipt | null = null;
  private _file: string | null = null;
  private _turn = 0;
  private _shown = '';
  private _answer: { text: string; node: HTMLElement } | null = null;

  constructor(options: Partial<IRenderMime.IRendererOptions> = {}) {
    super({ node: document.createElement('section') });
    this._parser = options.markdownParser ?? null;
    this._mimeType = options.mimeType ?? MIME_TYPE;
    dress(this.node, 'opg-receipt');
    checker.changed.connect(this._onChanged, this);
  }

  dispose(): void {
    checker.changed.disconnect(this._onChanged, this);
    super.dispose();
  }

  /** Show what the model holds; a second call with the same changes nothing on the page. */
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this._bundle = model.data as Bundle;
    this._metadata = model.metadata;
    this._receipt = null;
    if (isApart(model.metadata, this._mimeType)) {
      // JupyterLab copies what stands here now into a frame, without our styles, and never again.
      this._turn = 0;
      this._shown = '';
      this.node.replaceChildren(h('p', {}, `✗ ${APART}`));
      return;
    }
    await this._render();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    // Only now is it known in which notebook this stands, and so which receipts stand beside it.
    if (this._turn > 0) {
      void this._render();
    }
  }

  private _read(): Receipt | UnreadableReceipt {
    return (this._receipt ??= readBundle(this._bundle, this._mimeType));
  }

  private _onChanged(_: unknown, digests: ReadonlySet<string> | null): void {
    const receipt = this._turn > 0 && digests !== null ? this._read() : null;
    if (this._turn > 0 && (receipt === null || (!(receipt instanceof UnreadableReceipt) && digests!.has(computedDigest(receipt))))) {
      void this._render();
    }
  }

  private async _render(): Promise<void> {
    const turn = ++this._turn;
    const receipt = this._read();
    if (receipt instanceof UnreadableReceipt) {
      this._show(unreadable(receipt), null);
      return;
    }
    const scope = checker.scopeAt(this.node);
    const seen = scope?.seen.get(computedDigest(receipt));
    this._file = scope?.name ?? null;
    let judged = checker.recall(receipt, seen);
    if (judged === null) {
      if (this._shown === '') {
        this._show({ receipt, error: null, verdict: null, findings: [] }, null);
      }
      judged = await checker.judgeRead(receipt, seen);
    }
    const looking = await looker();
    const shown = shownFindings(this._bundle, this._metadata, receipt, looking.comparedTexts);
    const around = scope?.around(this.node, computedDigest(receipt)) ?? [];
    shown.push(...around.filter(finding => !shown.some(own => own.code === finding.code)));
    if (shown.length) {
      judged = { ...judged, findings: [...judged.findings, ...shown] };
    }
    const answer = words.isWithheld(judged) ? null : await this._answerOf(receipt);
    if (turn === this._turn && !this.isDisposed) {
      this._show(judged, answer, looking);
    }
  }

  /** The answer as an element, made once for one text. */
  private async _answerOf(receipt: Receipt): Promise<HTMLElement | null> {
    const text = signedText(receipt);
    if (text === null || showsNoAnswer(this._bundle)) {
      return null;
    }
    if (this._answer?.text !== text) {
      // Tool calls are shown as the exact string that was signed.
      const node = receipt.response.text ? await rendered(text, this._parser) : verbatim(text);
      this._answer = { text, node };
    }
    return this._answer.node;
  }

  private _show(judged: IJudged, answer: HTMLElement | null, looking: Looker | null = null): void {
    const key = JSON.stringify([
      judged.receipt?.digest,
      judged.error,
      judged.verdict?.label,
      Object.values(judged.verdict?.claims ?? {}).map(claim => [claim.name, claim.status, claim.basis, claim.sentence, claim.reason]),
      judged.findings,
      answer !== null && this._answer?.text,
      checker.reader.explorers,
      this._file
    ]);
    if (key === this._shown) {
      return;
    }
    this._shown = key;
    const head = words.headline(judged);
    const name = judged.receipt === null ? 'Receipt' : `Receipt ${judged.receipt.id}`;
    this.node.setAttribute('aria-label', `${name}: ${head.text.replace(/[✓✗◐!–…] /g, '')}`);
    this.node.dataset.opgTone = head.tone;
    this.node.replaceChildren(
      ...(judged.receipt !== null && words.isOtherCall(judged) ? [asked(judged.receipt, looking)] : []),
      ...(answer === null ? [] : [h('div', { class: 'opg-answer' }, answer)]),
      card(judged, head, { hidden: answer === null && judged.verdict !== null, file: this._file, parser: this._parser })
    );
  }
}

interface IContext {
  /** The answer is not on show; what the reader may do about it stands on the card. */
  readonly hidden: boolean;
  /** The notebook's name now. */
  readonly file: string | null;
  readonly parser: IRenderMime.IMarkdownParser | null;
}

/** Where the cell above may say something else: all that was asked, in the words that were signed. */
function asked(receipt: Receipt, looking: Looker | null): HTMLElement {
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

function card(judged: IJudged, head: words.IHeadline, context: IContext): HTMLElement {
  const tone = head.tone !== 'bad' && (words.isOtherCall(judged) || words.isUnclear(judged)) ? 'warn' : head.tone;
  const box = `opg-card opg-tone-${tone}${head.simulated ? ' opg-simulated' : ''}`;
  const line = [
    h('b', { class: 'opg-headline' }, head.text),
    h('span', { class: 'opg-facts' }, words.summary(judged).map(fact => ` · ${unbroken(fact)}`).join(''))
  ];
  const { receipt, verdict } = judged;
  if (receipt === null || verdict === null) {
    return h('div', { class: box }, ...line);
  }
  const expanded = words.isWithheld(judged) || head.tone === 'bad' || head.tone === 'warn' && verdict.status === 'UNVERIFIED';
  return foldable(`${receipt.digest} card`, { class: box }, h('summary', {}, ...line), expanded, () => [
    claimsTable(words.orderedClaims(verdict)),
    ...judged.findings.map(findingLine),
    ...notes(receipt, verdict, context.file),
    ...(context.hidden ? [hiddenText(judged, receipt, context)] : []),
    foldable(
      `${receipt.digest} evidence`,
      { class: 'opg-evidence' },
      h('summary', {}, 'Evidence: hashes, key, block, transaction, proof'),
      false,
      () => [evidence(receipt, verdict)]
    )
  ]);
}

/** An answer's text as Markdown; as it is where what renders it could not be loaded. */
async function rendered(text: string, parser: IRenderMime.IMarkdownParser | null): Promise<HTMLElement> {
  return (await looker()).renderMarkdown?.(text, parser) ?? verbatim(text);
}

/** A short fact (a sum, a time) stays on one line. */
function unbroken(fact: string): string {
  return fact.length > 28 ? fact : fact.replace(/ /g, '\u00a0');
}

/** `<details>` whose content is made when it is first opened, and which stays as it was left. */
function foldable(
  key: string | null,
  attributes: Readonly<Record<string, string>>,
  summary: HTMLElement,
  expanded: boolean,
  content: () => HTMLElement[]
): HTMLDetailsElement {
  const details = h('details', attributes, summary);
  let made = false;
  const fill = (): void => {
    if (!made) {
      made = true;
      details.append(h('div', { class: 'opg-body' }, ...content()));
    }
  };
  if ((key !== null ? opened.get(key) : undefined) ?? expanded) {
    details.open = true;
    fill();
  }
  details.addEventListener('toggle', () => {
    if (details.open) {
      fill();
    }
    if (key !== null) {
      if (opened.size >= MOST_OPENED) {
        opened.clear();
      }
      opened.set(key, details.open);
    }
  });
  return details;
}

function claimsTable(claims: readonly Claim[]): HTMLElement {
  return h(
    'table',
    { class: 'opg-claims' },
    h('caption', { class: 'opg-unseen' }, 'What was checked, how it came out, and what that rests on'),
    h('tbody', {}, ...claims.map(claimRow))
  );
}

function claimRow(claim: Claim): HTMLElement {
  const reason = claim.status === 'passed' || !claim.reason ? '' : ` ${words.sentence(words.told(claim.reason))}`;
  const basis = claim.basis === null ? null : words.BASES[claim.basis][1];
  return h(
    'tr',
    { class: `opg-claim opg-${claim.status}`, 'data-claim': claim.name, 'data-status': claim.status },
    h(
      'th',
      { scope: 'row' },
      h('span', { class: 'opg-symbol', 'aria-hidden': 'true' }, words.MARKS[claim.status]),
      `\u00a0${claim.name}`,
      h('span', { class: 'opg-unseen' }, ` ${words.STATUS_WORDS[claim.status]}`)
    ),
    h('td', {}, words.told(claim.sentence), reason),
    h('td', { class: 'opg-basis', title: basis }, words.basisWords(claim))
  );
}

function findingLine(finding: Finding): HTMLElement {
  return h('p', { class: `opg-note opg-finding-${finding.level}` }, `${words.SIGNS[finding.level]}${words.told(finding.message)}`);
}

function notes(receipt: Receipt, verdict: Verdict, file: string | null): HTMLElement[] {
  const note = (...children: (string | Node)[]): HTMLElement => h('p', { class: 'opg-note' }, ...children);
  const said: HTMLElement[] = [];
  if (verdict.simulated || receipt.network.simulated) {
    said.push(note('Simulated network: no hardware vouches for it, and no real money moved.'));
  }
  said.push(note(words.NOT_PROVEN));
  const { checked } = receipt;
  const then =
    checked === null
      ? "The author's kernel did not judge it."
      : `The author's kernel said ${checked.verdict.toLowerCase()} at ${words.clock(checked.at)} (policy ${words.oneLine(checked.policy, 40)}); that is history.`;
  said.push(note(`${words.checkedHere(new Date())}, under policy ${words.oneLine(verdict.policy, 40)}. ${then}`));
  const command = words.command(receipt, file);
  said.push(note('Check it yourself: ', h('code', { class: 'opg-command' }, command), ' ', copyButton(command, 'the command')));
  return said;
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

const APART =
  'The notebook asks to show this answer in a frame of its own (isolated), where nothing is checked. What this browser found stands beside the cell and in the list of AI answers.';

/** Whether JupyterLab puts this display into a frame: its own rule (`OutputArea.isIsolated`). */
export function isApart(metadata: Bundle, mimeType: string = MIME_TYPE): boolean {
  const own = metadata[mimeType] as { isolated?: unknown } | null | undefined;
  return Boolean(own && own.isolated !== undefined ? own.isolated : metadata.isolated);
}

/** Whether a display holds a receipt. */
export function holdsReceipt(bundle: Bundle): boolean {
  return bundle[MIME_TYPE] !== undefined;
}
