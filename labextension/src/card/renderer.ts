/**
 * Shows a receipt: the answer, and a card with what this browser has just computed about it.
 *
 * Everything is made of elements and text; nothing from a notebook is parsed as HTML but the structure that
 * `markdown.ts` copies. It needs no kernel, no trust in the notebook, and may be called again at any time.
 */

import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { checker, IJudged, unreadable } from '../audit/check';
import { h, verbatim } from './dom';
import { showsNoAnswer, shownFindings, signedText } from '../receipt/findings';
import { part } from '../base/load';
import { looker, Looker } from './looker';
import { readBundle } from '../audit/notebook';
import { computedDigest, MIME_TYPE, Receipt, UnreadableReceipt } from '../receipt/receipt';
import { dress } from './style';
import * as words from './words';

type Shown = import('./answer').IShownAnswer;
type Bundle = Readonly<Record<string, unknown>>;

/** What draws the line under an answer. */
const linePart = part(() => import('./line'));
type Line = typeof import('./line');

export class ReceiptRenderer extends Widget implements IRenderMime.IRenderer {
  private readonly _parser: IRenderMime.IMarkdownParser | null;
  private readonly _typesetter: IRenderMime.ILatexTypesetter | null;
  private readonly _mimeType: string;
  private _bundle: Bundle = {};
  private _metadata: unknown;
  /** The document, read when it is first needed. */
  private _receipt: Receipt | UnreadableReceipt | null = null;
  private _file: string | null = null;
  private _turn = 0;
  private _shown = '';
  private _answer: { text: string; shown: Shown } | null = null;

  constructor(options: Partial<IRenderMime.IRendererOptions> = {}) {
    super({ node: document.createElement('section') });
    this._parser = options.markdownParser ?? null;
    this._typesetter = options.latexTypesetter ?? null;
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
      const line = await drawing();
      if (turn === this._turn && !this.isDisposed) {
        this._show(unreadable(receipt), null, line);
      }
      return;
    }
    const scope = checker.scopeAt(this.node);
    const seen = scope?.seen.get(computedDigest(receipt));
    this._file = scope?.name ?? null;
    let judged = checker.recall(receipt, seen);
    if (judged === null) {
      if (this._shown === '') {
        this._show({ receipt, error: null, verdict: null, findings: [] }, null, null);
      }
      judged = await checker.judgeRead(receipt, seen);
    }
    const [looking, line] = await Promise.all([looker(), drawing()]);
    const shown = shownFindings(this._bundle, this._metadata, receipt, looking.comparedTexts);
    const around = scope?.around(this.node, computedDigest(receipt)) ?? [];
    shown.push(...around.filter(finding => !shown.some(own => own.code === finding.code)));
    if (shown.length) {
      judged = { ...judged, findings: [...judged.findings, ...shown] };
    }
    const answer = words.isWithheld(judged) ? null : await this._answerOf(receipt, looking);
    if (turn === this._turn && !this.isDisposed) {
      this._show(judged, answer, line, looking);
    }
  }

  /** The answer as an element, made once for one text. */
  private async _answerOf(receipt: Receipt, looking: Looker): Promise<Shown | null> {
    const text = signedText(receipt);
    if (text === null || showsNoAnswer(this._bundle)) {
      return null;
    }
    if (this._answer?.text !== text) {
      const helpers = { parser: this._parser, typesetter: this._typesetter };
      const shown = receipt.response.text ? await looking.shownAnswer?.(text, helpers) : looking.shownCalls?.(text);
      this._answer = { text, shown: shown ?? { node: verbatim(text), bar: null, dropped: 0, settle: () => undefined } };
    }
    return this._answer.shown;
  }

  private _show(judged: IJudged, answer: Shown | null, line: Line | null, looking: Looker | null = null): void {
    const key = JSON.stringify([
      judged.receipt?.digest,
      judged.error,
      judged.verdict?.label,
      Object.values(judged.verdict?.claims ?? {}).map(claim => [claim.name, claim.status, claim.basis, claim.sentence, claim.reason]),
      judged.findings,
      judged.own?.at,
      words.hostNames.size,
      answer !== null && this._answer?.text,
      checker.reader.explorers,
      this._file,
      line !== null
    ]);
    if (key === this._shown) {
      return;
    }
    this._shown = key;
    if (judged.receipt?.agreement && judged.verdict !== null && answer === null) {
      // One line of several, beside the answer that is shown.
      judged = { ...judged, receipt: { ...judged.receipt, agreement: null } };
    }
    const head = words.headline(judged);
    const name = judged.receipt === null ? 'Receipt' : `Receipt ${judged.receipt.id}`;
    const state = head.text.replace(/[✓✗◐!–…] /g, '');
    this.node.setAttribute('aria-label', `${name}: ${state}${head.simulated ? ', simulated network' : ''}`);
    this.node.dataset.opgTone = head.tone;
    this.node.replaceChildren(
      ...(judged.receipt !== null && words.isOtherCall(judged) && line !== null ? [line.asked(judged.receipt, looking)] : []),
      ...(answer === null ? [] : [h('div', { class: 'opg-answer' }, answer.node), ...(answer.bar === null ? [] : [answer.bar])]),
      (line?.card ?? bareCard)(judged, head, { hidden: answer === null && judged.verdict !== null, dropped: answer?.dropped ?? 0, file: this._file, parser: this._parser })
    );
    answer?.settle();
  }
}

async function drawing(): Promise<Line | null> {
  try {
    return await linePart();
  } catch {
    return null;
  }
}

/** Where what draws the line is not there (yet): the state, and what is wrong. */
function bareCard(judged: IJudged, head: words.IHeadline): HTMLElement {
  return h('div', { class: `opg-card opg-tone-${head.tone}` }, h('b', { class: 'opg-headline' }, head.text), ` ${judged.error ?? ''}`);
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
