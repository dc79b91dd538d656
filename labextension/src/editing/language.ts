/**
 * `%%opg` cells in the editor: the magic's line apart from the prompt, which is text and no Python.
 *
 * A CodeMirror language under a MIME type of its own; cells get that type while they begin with `%%opg`, and the
 * notebook's own again when they no longer do. The type is the editor's alone: nothing of it is saved.
 */

import { LanguageSupport, StreamLanguage, StreamParser, StringStream } from '@codemirror/language';
import type { Extension } from '@codemirror/state';
import { Decoration, DecorationSet, EditorView, ViewPlugin, ViewUpdate } from '@codemirror/view';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ICellModel } from '@jupyterlab/cells';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { goesOn, namesOf, words } from '../cells/grammar';
import { highlighter } from '../card/highlighter';
import { isOpg } from '../cells/magic';
import { ours } from '../card/style';
import { FLAGS } from '../cells/vocabulary';

/** The type of a cell that begins with `%%opg`. */
export const MIME_OPG = 'text/x-opg';

const MAGIC = '%%opg';
const KNOWN = new Map(FLAGS.flatMap(flag => namesOf(flag).map(name => [name, flag])));

/** Where the reading of a cell stands. */
interface IState {
  /** `start`: before the magic; `magic`: in its line; `prompt`: below it. */
  where: 'start' | 'magic' | 'prompt';
  /** Whether the next word of the line is the value of a flag. */
  value: boolean;
  /** Whether that value is a list, which goes on after a comma. */
  list: boolean;
  /** Whether `--vars` stands in the line, so that double braces mean something. */
  vars: boolean;
  /** Whether the line stands between fences of three backticks. */
  fence: boolean;
}

/** Reads one token; the names are those that CodeMirror's stream languages know. */
export const parser: StreamParser<IState> = {
  name: 'opg',
  startState: () => ({ where: 'start', value: false, list: false, vars: false, fence: false }),
  copyState: state => ({ ...state }),
  token(stream, state) {
    if (state.where === 'magic' && stream.sol()) {
      state.where = 'prompt';
    }
    if (state.where === 'start') {
      if (stream.match(/^[ \t\r]+/)) {
        return null;
      }
      if (stream.match(/^%%opg(?= |[ \t\r]*$)/)) {
        state.where = 'magic';
        return 'meta';
      }
      stream.skipToEnd();
      return null;
    }
    return state.where === 'magic' ? magicToken(stream, state) : promptToken(stream, state);
  },
  blankLine(state) {
    if (state.where === 'magic') {
      state.where = 'prompt';
    }
  },
  languageData: { closeBrackets: { brackets: ['(', '[', '{'] } }
};

function magicToken(stream: StringStream, state: IState): string | null {
  if (stream.match(/^[ \t\r]+/)) {
    return null;
  }
  const base = stream.string.indexOf(MAGIC) + MAGIC.length;
  const at = stream.pos - base;
  const split = words(stream.string.slice(base));
  const word = split.words.find(one => one.start <= at && at < one.end);
  if (word === undefined) {
    stream.skipToEnd();
    return 'comment';
  }
  if (word.start === at && (word.value.startsWith('--') || KNOWN.has(word.value))) {
    const [name] = word.value.split('=', 1);
    const known = KNOWN.get(name);
    state.vars ||= name === '--vars';
    state.value = !!known?.value;
    state.list = known?.form === 'list';
    if (stream.match(/^--[\w-]+=/)) {
      state.value = true;
    } else {
      stream.pos = base + word.end;
    }
    // A newer package may know more flags than this list: an unknown one is plain, not wrong.
    return known ? 'keyword' : null;
  }
  const raw = stream.string.slice(stream.pos, base + word.end);
  stream.pos = base + word.end;
  const value = state.value || (state.list && goesOn(split.words[split.words.indexOf(word) - 1]?.value, word.value));
  state.value = false;
  if (!value) {
    state.list = false;
    return 'def';
  }
  if (/^\{[^{}]+\}$/.test(raw)) {
    return 'variableName.special';
  }
  return /^\d+(\.\d+)?$/.test(raw) ? 'number' : 'string';
}

function promptToken(stream: StringStream, state: IState): string | null {
  if (stream.sol() && stream.match(/^\s*(`{3,}|~{3,}).*$/)) {
    state.fence = !state.fence;
    return 'monospace';
  }
  if (state.vars && stream.match(/^\{\{\s*\w+\s*\}\}/)) {
    return 'variableName.special';
  }
  if (state.fence) {
    stream.next();
    stream.eatWhile(state.vars ? /[^{]/ : /./);
    return 'monospace';
  }
  if (stream.sol() && stream.match(/^#{1,6}\s.*$/)) {
    return 'heading';
  }
  if (stream.match(/^`[^`]+`/)) {
    return 'monospace';
  }
  stream.next();
  stream.eatWhile(/[^`{]/);
  return null;
}

const magicLine = Decoration.line({ class: ours('opg-magicLine') });
const blank = Decoration.line({});

/** Marks the magic's line, for the style sheet. */
const lines = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = marked(view);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged) {
        this.decorations = marked(update.view);
      }
    }
  },
  { decorations: plugin => plugin.decorations }
);

function marked(view: EditorView): DecorationSet {
  const { doc } = view.state;
  for (let number = 1; number <= Math.min(doc.lines, 50); number++) {
    const line = doc.line(number);
    if (line.text.trim()) {
      return Decoration.set((isOpg(line.text) ? magicLine : blank).range(line.from));
    }
  }
  return Decoration.none;
}

/** The language, with what an editor of prose needs: its lines wrap. */
export function opgLanguage(): LanguageSupport {
  const extensions: Extension[] = [
    lines,
    EditorView.lineWrapping,
    EditorView.editorAttributes.of({ class: ours('opg-promptEditor') })
  ];
  return new LanguageSupport(StreamLanguage.define(parser), extensions);
}

/** Keeps the types of a notebook's cells. */
export class CellTypes {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _languages: Pick<IEditorLanguageRegistry, 'findByMIME' | 'getLanguage'>
  ) {
    this._panel.content.modelChanged.connect(this._watch, this);
    this._watch();
  }

  private _watch(): void {
    // A cell that was moved is another model: it comes in here anew.
    this._panel.content.model?.cells.changed.connect(this._scan, this);
    this._scan();
  }

  private _scan(): void {
    for (const model of this._panel.content.model?.cells ?? []) {
      if (model.type === 'code' && !this._known.has(model)) {
        this._known.add(model);
        model.sharedModel.changed.connect(() => this._set(model));
        model.mimeTypeChanged.connect(() => this._set(model));
        this._set(model);
      }
    }
  }

  private _set(model: ICellModel): void {
    if (model.isDisposed || model.sharedModel.isDisposed) {
      return;
    }
    const is = model.mimeType === MIME_OPG;
    if (isOpg(model.sharedModel.getSource()) === is) {
      return;
    }
    if (is) {
      model.mimeType = this._panel.content.codeMimetype;
      return;
    }
    // The editor loads the language that it has now; set before that is done, ours would be replaced by it.
    const now = this._languages.findByMIME(model.mimeType);
    if (now !== null && !now.support && !this._loading.has(model)) {
      this._loading.add(model);
      const go = () => {
        this._loading.delete(model);
        this._set(model);
      };
      void this._languages.getLanguage(now).then(() => setTimeout(go), go);
      return;
    }
    if (!this._loading.has(model)) {
      model.mimeType = MIME_OPG;
    }
  }

  private readonly _known = new WeakSet<ICellModel>();
  private readonly _loading = new WeakSet<ICellModel>();
}

export const languagePlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:language',
  description: 'Shows %%opg cells as a line of flags above a prompt, not as Python.',
  autoStart: true,
  requires: [IEditorLanguageRegistry, INotebookTracker],
  activate: (_: JupyterFrontEnd, languages: IEditorLanguageRegistry, notebooks: INotebookTracker) => {
    languages.addLanguage({ name: 'opg', displayName: 'opg prompt', mime: MIME_OPG, support: opgLanguage() });
    highlighter.highlight = async (code, name, place) => {
      const language = languages.findBest(name);
      if (language === null) {
        return false;
      }
      await languages.highlight(code, language, place);
      return true;
    };
    const kept = new WeakMap<NotebookPanel, CellTypes>();
    const keep = (panel: NotebookPanel): void => {
      if (!kept.has(panel)) {
        kept.set(panel, new CellTypes(panel, languages));
      }
    };
    notebooks.widgetAdded.connect((_tracker, panel) => keep(panel));
    notebooks.forEach(keep);
  }
};
