/** Completion in the magics' lines: flags, models, networks from a list of our own, hosts as the user's server knows them. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { CompletionHandler, ICompletionContext, ICompletionProvider, ICompletionProviderManager } from '@jupyterlab/completer';
import type { SourceChange } from '@jupyter/ydoc';

import { candidates, inMagic, isOpg } from '../cells/magic';
import { IServerStatus, IStatusSource } from '../lab/status';

/**
 * What the kernel's matcher offers stands beside it (the completer shows what both have once); without a kernel, or
 * while it is busy, this stands alone.
 */
export class OpgCompletion implements ICompletionProvider {
  readonly identifier = 'opg-magic:completion';
  // Before the kernel's (550): the help beside a flag is ours.
  readonly rank = 1000;
  readonly renderer = null;

  constructor(private readonly _status: () => IServerStatus | null) {}

  async isApplicable(context: ICompletionContext): Promise<boolean> {
    const { editor } = context;
    if (!editor) {
      return false;
    }
    const source = editor.model.sharedModel.getSource();
    return isOpg(source) || inMagic(source, editor.getOffsetAt(editor.getCursorPosition()));
  }

  async fetch(
    request: CompletionHandler.IRequest,
    _context?: ICompletionContext
  ): Promise<CompletionHandler.ICompletionItemsReply> {
    // The completer counts characters, not UTF-16 units.
    const offset = Array.from(request.text).slice(0, request.offset).join('').length;
    const at = candidates(request.text, offset, this._status()?.hosts ?? []);
    if (at === null) {
      return { start: request.offset, end: request.offset, items: [] };
    }
    return {
      start: request.offset - Array.from(at.word).length,
      end: request.offset,
      items: at.found.map(one => ({
        label: one.text,
        insertText: one.text,
        type: one.kind,
        documentation: one.help ?? undefined
      }))
    };
  }

  /** As one types, where the user wants that: in the magic's line alone, never in the prompt. */
  shouldShowContinuousHint(visible: boolean, changed: SourceChange, context?: ICompletionContext): boolean {
    const editor = context?.editor;
    if (visible || !editor || changed.sourceChange?.some(delta => delta.delete !== undefined)) {
      return false;
    }
    const inserted = (changed.sourceChange ?? []).map(delta => delta.insert ?? '').join('');
    return (
      /^[\w\-/.]$/.test(String(inserted)) &&
      inMagic(editor.model.sharedModel.getSource(), editor.getOffsetAt(editor.getCursorPosition()))
    );
  }
}

export const completerPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:completer',
  description: 'Completes flags, models and hosts in the lines of %%opg and %opg.',
  autoStart: true,
  requires: [ICompletionProviderManager],
  optional: [IStatusSource],
  activate: (_: JupyterFrontEnd, completion: ICompletionProviderManager, status: IStatusSource | null) => {
    completion.registerProvider(new OpgCompletion(() => status?.current ?? null));
  }
};
