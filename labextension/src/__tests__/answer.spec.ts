/** @jest-environment jsdom */
import '@jupyterlab/testing/lib/jest-shim';
import { marked } from 'marked';

import { droppedFrom, shownAnswer, shownCalls } from '../card/answer';
import { highlighter } from '../card/highlighter';
import { jsonTree } from '../card/json-tree';
import { mayBeTypeset, typeset, withFormulas } from '../card/math';

const parser = { render: async (source: string) => marked.parse(source, { async: false }) as string };
const typesetter = { typeset: (node: HTMLElement) => void (node.innerHTML = `<mjx-container>${node.textContent!.replace(/\$/g, '')}</mjx-container>`) };
const show = (text: string, more: object = {}) => shownAnswer(text, { parser, typesetter: null, ...more } as any);
const press = (bar: HTMLElement, name: string) => Array.from(bar.querySelectorAll('button')).find(one => one.textContent === name)!.click();

describe('an answer', () => {
  it('keeps a product: 3*11*17 is no emphasis', async () => {
    const { node, dropped, bar } = await show('561 = 3*11*17');
    expect(node.textContent!.trim()).toBe('561 = 3*11*17');
    expect(dropped).toBe(0);
    expect(bar).toBeNull();
  });

  it('says what its rendering drops, and shows the exact text on request', async () => {
    const text = 'a *b* c_d_e **f**\n\n- one';
    const { node, dropped, bar } = await show(text);
    expect(node.textContent).not.toContain('**');
    expect(dropped).toBe(7);
    expect(bar!.textContent).toContain('7 characters of markup not shown');
    press(bar!, 'As signed');
    expect(node.textContent).toBe(text);
    press(bar!, 'As signed');
    expect(node.textContent).not.toContain('**');
  });

  it('that calls tools reads as Python writes it, and as it was signed on request', () => {
    const signed = JSON.stringify([{ id: '1', type: 'function', function: { name: 'send', arguments: '{"to":"<b>\u05e9\u05dc</b>","n":1.50,"now":true}' } }]);
    const { node, bar } = shownCalls(signed)!;
    expect(node.textContent).toBe('send(to="\u2068<b>\u05e9\u05dc</b>\u2069", n=1.50, now=True)');
    expect(node.querySelector('b')).toBeNull();
    press(bar!, 'As signed');
    expect(node.textContent).toBe(signed);
    expect(shownCalls('[{"id": 1}]')).toBeUndefined();
    expect(shownCalls('no calls')).toBeUndefined();
  });

  it('counts every character that is not there, once', () => {
    const made = document.createElement('p');
    made.textContent = 'abc';
    expect(droppedFrom('a*b*c', made)).toBe(2);
    expect(droppedFrom('a b\nc', made)).toBe(0);
  });

  it('has code with a copy button, and colours that are the same text', async () => {
    highlighter.highlight = async (code, language, place) => {
      place.innerHTML = language === 'evil' ? '<img src=x>' : '';
      place.append(Object.assign(document.createElement('span'), { textContent: code }));
      return true;
    };
    const good = await show('```python\na = 1\n```');
    expect(good.node.querySelector('pre code > span')!.textContent).toBe('a = 1\n');
    expect(good.node.querySelector('.opg-codehead')!.textContent).toBe('pythonCopy');
    const bad = await show('```evil\na = 1\n```');
    expect(bad.node.querySelector('img')).toBeNull();
    expect(bad.node.querySelector('pre')!.textContent).toBe('a = 1\n');
    highlighter.highlight = null;
  });

  it('is folded where it is long', async () => {
    const { node, bar } = await show('word\n\n'.repeat(50));
    expect(node.classList.contains('opg-folded')).toBe(true);
    bar!.querySelector('button')!.click();
    expect(node.classList.contains('opg-folded')).toBe(false);
  });
});

describe('JSON', () => {
  it('folds, in the characters that were signed', async () => {
    const text = '{"a": 1e-07, "b": [1, {"c": {"deep": "<b>x</b>"}}], "n": 12345678901234567890}';
    const { node, bar } = await show(text);
    expect(node.querySelectorAll('details').length).toBeGreaterThan(2);
    expect(node.textContent).toContain('1e-07');
    expect(node.textContent).toContain('12345678901234567890');
    expect(node.textContent).not.toContain('deep');
    for (let folded; (folded = node.querySelector<HTMLDetailsElement>('details:not([open])')) !== null; ) {
      folded.open = true;
      folded.dispatchEvent(new Event('toggle'));
    }
    expect(node.textContent).toContain('"deep": "<b>x</b>"');
    expect(node.querySelector('b')).toBeNull();
    press(bar!, 'As signed');
    expect(node.textContent).toBe(text);
  });

  it.each(['12', '"text"', '{"a": 1, "a": 2}', '{"a": }', '{} and more', '[not json](x)', `${'['.repeat(200)}${']'.repeat(200)}`])(
    'is no tree where it is %s',
    text => expect(jsonTree(text)).toBeNull()
  );

  it('makes what is large bit by bit', () => {
    const tree = jsonTree(JSON.stringify(Array.from({ length: 1000 }, (_, i) => i)))!;
    expect(tree.querySelectorAll('.opg-json-line').length).toBe(200);
    tree.querySelector('button')!.click();
    expect(tree.querySelectorAll('.opg-json-line').length).toBe(400);
  });
});

describe('formulas (attack 27)', () => {
  it.each(['$x^2$', '$$\\frac{a}{b} \\le \\sqrt{2}$$', '\\(\\alpha_1\\)', '\\[\\begin{pmatrix}1 & 2\\\\3 & 4\\end{pmatrix}\\]', '$\\text{if } x > 0$'])('%s is typeset', formula =>
    expect(mayBeTypeset(formula)).toBe(true)
  );

  it.each([
    '$\\raise{5em}{x}$', '$\\href{https://evil.example}{x}$', '$\\style{position:fixed}{x}$', '$\\class{opg-card}{x}$', '$\\cssId{a}{x}$',
    '$\\color{green}{✓}$', '$\\bbox[border:1px solid]{x}$', '$\\colorbox{red}{x}$', '$\\def\\a{b}\\a$', '$\\newcommand{\\a}{b}$', '$\\require{html}$',
    '$\\unicode{x2713}$', '$\\hspace{-9em}x$', '$\\kern-9em x$', '$\\rule{9em}{9em}$', '$\\rlap{x}$', '$\\llap{x}$', '$\\smash{x}$', '$\\moveleft 9em x$',
    '$\\lower 9em x$', '$\\vphantom{x}$', '$\\data{x}$', '$\\tag{x}$', '$\\begin{html}x\\end{html}$', '$\\begin x$', '$x\\$', `$${'x'.repeat(2000)}$`
  ])('%s is not', formula => expect(mayBeTypeset(formula)).toBe(false));

  it('are not looked for in code, nor in sums of money', () => {
    const text = 'It costs $5 and $6. `$x$`\n\n```\n$y$\n```\n$z$';
    expect(withFormulas(text, formula => `<${formula}>`)).toBe('It costs $5 and $6. `$x$`\n\n```\n$y$\n```\n<$z$>');
  });

  it('reach the typesetter alone, once they stand on the page', async () => {
    const shown = await show('Let $a_1 * b_2 * c$ be $\\raise{9em}{x}$.', { typesetter });
    expect(shown.node.textContent!.trim()).toBe('Let $a_1 * b_2 * c$ be $\\raise{9em}{x}$.');
    expect(shown.dropped).toBe(0);
    shown.settle();
    await new Promise(resolve => setTimeout(resolve));
    expect(shown.node.querySelectorAll('mjx-container').length).toBe(1);
    expect(shown.node.textContent).toContain('$\\raise{9em}{x}$');
    press(shown.bar!, 'As signed');
    expect(shown.node.textContent).toBe('Let $a_1 * b_2 * c$ be $\\raise{9em}{x}$.');
  });

  it('that come out with more than marks are shown as they were written', async () => {
    const place = document.createElement('span');
    place.textContent = '$x$';
    await typeset([place], { typeset: node => void (node.innerHTML = '<a href="https://evil.example">x</a>') });
    expect(place.innerHTML).toBe('$x$');
    await typeset([place], { typeset: () => Promise.reject(new Error('no')) });
    expect(place.innerHTML).toBe('$x$');
  });
});
