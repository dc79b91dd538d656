/** @jest-environment jsdom */
import '@jupyterlab/testing/lib/jest-shim';
import { StringStream } from '@codemirror/language';
import { Signal } from '@lumino/signaling';

import { CellTypes, MIME_OPG, parser } from '../editing/language';

// JupyterLab itself is not needed here, and slow to load: its names stand for nothing.
jest.mock('@jupyterlab/codemirror', () => ({}));
jest.mock('@jupyterlab/notebook', () => ({}));

type Token = [string, string | null];

/** Tokens of each line, white space without a style left out. */
function read(text: string): Token[][] {
  const state = parser.startState!(4);
  return text.split('\n').map(line => {
    const tokens: Token[] = [];
    if (!line) {
      parser.blankLine!(state, 4);
      return tokens;
    }
    const stream = new StringStream(line, 4, 4);
    while (!stream.eol()) {
      stream.start = stream.pos;
      const style = parser.token(stream, state);
      expect(stream.pos).toBeGreaterThan(stream.start);
      if (style || stream.current().trim()) {
        tokens.push([stream.current(), style]);
      }
    }
    return tokens;
  });
}

describe('the language', () => {
  test('a line of flags', () => {
    expect(read('%%opg name --model openai/gpt-5 --max-tokens 40 --quiet # why')).toEqual([
      [
        ['%%opg', 'meta'],
        ['name', 'def'],
        ['--model', 'keyword'],
        ['openai/gpt-5', 'string'],
        ['--max-tokens', 'keyword'],
        ['40', 'number'],
        ['--quiet', 'keyword'],
        ['# why', 'comment']
      ]
    ]);
  });

  test('a list with spaces, and short flags', () => {
    expect(read('%%opg --tools f, g , h name -f df')[0]).toEqual([
      ['%%opg', 'meta'],
      ['--tools', 'keyword'],
      ['f,', 'string'],
      ['g', 'string'],
      [',', 'string'],
      ['h', 'string'],
      ['name', 'def'],
      ['-f', 'keyword'],
      ['df', 'string']
    ]);
    expect(read('%%opg --tools=f, g name, h')[0].map(([, style]) => style)).toEqual(['meta', 'keyword', 'string', 'string', 'def', 'def']);
  });

  test('quotes, equals signs, variables, and a flag that this list does not know', () => {
    expect(read(`%%opg --system "say --model" --stop='a b' --model {m} --later x`)[0]).toEqual([
      ['%%opg', 'meta'],
      ['--system', 'keyword'],
      ['"say --model"', 'string'],
      ['--stop=', 'keyword'],
      [`'a b'`, 'string'],
      ['--model', 'keyword'],
      ['{m}', 'variableName.special'],
      ['--later', null],
      ['x', 'def']
    ]);
  });

  test('what is a flag to the kernel is one here', () => {
    expect(read(`%%opg --system -h --model --vars tee # --dry-run`)[0]).toEqual([
      ['%%opg', 'meta'],
      ['--system', 'keyword'],
      ['-h', 'string'],
      ['--model', 'keyword'],
      ['--vars', 'keyword'],
      ['tee', 'def'],
      ['# --dry-run', 'comment']
    ]);
    expect(read('%%opg\tx')[0][0][1]).toBeNull();
  });

  test('the prompt is text: nothing of Python in it', () => {
    const prompt = "import os # isn't a comment\nfor x in y: return 'don't'\n%%opg again";
    expect(read(`%%opg\n${prompt}`).slice(1).flat().map(token => token[1])).toEqual([null, null, null]);
  });

  test('fences, headings and code in it', () => {
    expect(read('%%opg\n# Title\nuse `x` here\n```\n# no title\n```\n# Title')).toEqual([
      [['%%opg', 'meta']],
      [['# Title', 'heading']],
      [['use ', null], ['`x`', 'monospace'], [' here', null]],
      [['```', 'monospace']],
      [['# no title', 'monospace']],
      [['```', 'monospace']],
      [['# Title', 'heading']]
    ]);
  });

  test('double braces mean something with --vars alone', () => {
    expect(read('%%opg --vars\nSay {{name}}.')[1]).toEqual([['Say ', null], ['{', null]].slice(0, 1).concat([['{{name}}', 'variableName.special'], ['.', null]]));
    expect(read('%%opg\nSay {{name}}.')[1].every(token => token[1] === null)).toBe(true);
  });

  test('an empty first line of the prompt, and empty lines before the magic', () => {
    expect(read('%%opg\n\n--model')[2]).toEqual([['--model', null]]);
    expect(read('\n%%opg --quiet\nx')[1]).toEqual([['%%opg', 'meta'], ['--quiet', 'keyword']]);
  });

  test.each(['%%opg "open', "%%opg 'open\\", '%%opg \\', '%%opg --', '%%opg =', '%%opg {{', '```', '%%opg\n{{{`{'])('%j ends', text => {
    expect(read(text)).toHaveLength(text.split('\n').length);
  });
});

/** A cell's model: text, type, and what it tells. */
class FakeModel {
  type = 'code';
  isDisposed = false;
  set = 0;
  private _source: string;
  private _mimeType = 'text/x-ipython';
  readonly mimeTypeChanged = new Signal<this, void>(this);
  readonly sharedModel: any;

  constructor(source: string) {
    this._source = source;
    this.sharedModel = { isDisposed: false, getSource: () => this._source };
    this.sharedModel.changed = new Signal<any, void>(this.sharedModel);
  }

  get mimeType(): string {
    return this._mimeType;
  }

  set mimeType(type: string) {
    this.set++;
    this._mimeType = type;
    this.mimeTypeChanged.emit();
  }

  type_(source: string): void {
    this._source = source;
    this.sharedModel.changed.emit();
  }
}

describe('CellTypes', () => {
  function panel(cells: FakeModel[], support: unknown = {}) {
    const content: any = { codeMimetype: 'text/x-ipython' };
    const list: any = Object.assign([...cells], {});
    list.changed = new Signal<any, void>(list);
    content.modelChanged = new Signal<any, void>(content);
    content.model = { cells: list };
    const spec = { support };
    let loaded: () => void = () => undefined;
    const languages: any = {
      findByMIME: () => spec,
      getLanguage: () => new Promise(resolve => (loaded = () => ((spec.support = {}), resolve(spec))))
    };
    new CellTypes({ content } as any, languages);
    return { list, content, load: () => loaded() };
  }

  test('a question gets its type, and the notebook’s own again when it is none any more', () => {
    const cell = new FakeModel('x = 1');
    panel([cell]);
    expect(cell.set).toBe(0);
    cell.type_('%%opg\nWhy?');
    expect(cell.mimeType).toBe(MIME_OPG);
    cell.type_('%%opg\nWhy not?');
    expect(cell.set).toBe(1);
    cell.type_('%opg');
    expect(cell.mimeType).toBe('text/x-ipython');
    expect(cell.set).toBe(2);
  });

  test('cells that come later, and Markdown left alone', () => {
    const [later, text] = [new FakeModel('%%opg\nWhy?'), new FakeModel('%%opg\nWhy?')];
    text.type = 'markdown';
    const { list } = panel([text]);
    list.push(later);
    list.changed.emit();
    expect(later.mimeType).toBe(MIME_OPG);
    expect(text.set).toBe(0);
  });

  test('a notebook that sets all its cells anew does not win', () => {
    const cell = new FakeModel('%%opg\nWhy?');
    panel([cell]);
    cell.mimeType = 'text/x-ipython';
    expect(cell.mimeType).toBe(MIME_OPG);
  });

  test('the language that is being loaded comes first: it would replace ours', async () => {
    const cell = new FakeModel('%%opg\nWhy?');
    const { load } = panel([cell], null);
    expect(cell.set).toBe(0);
    load();
    await new Promise(resolve => setTimeout(resolve, 5));
    expect(cell.mimeType).toBe(MIME_OPG);
    expect(cell.set).toBe(1);
  });
});
