/** @jest-environment jsdom */
import { readFileSync } from 'node:fs';

import { h } from '../card/dom';
import { only, ours, OURS } from '../card/style';

const SHEETS = ['base', 'card', 'editing', 'asked'].map(name => readFileSync(`${__dirname}/../../style/${name}.raw.css`, 'utf8').replace(/\/\*[^]*?\*\//g, ''));

describe('our styles', () => {
  it('hold for nothing that has only the names known before the page was loaded', () => {
    const rules = [...only(SHEETS.join('\n'), 'opgabc').replace(/@(media|container|keyframes)[^{]*\{/g, '').matchAll(/([^{}]+)\{[^{}]*\}/g)];
    expect(rules.length).toBeGreaterThan(120);
    for (const [, selectors] of rules) {
      const list = selectors.trim().replace(/:hover|:enabled|:focus-visible|:disabled|::after/g, '');
      // Variables, which no name of a class gives to anyone; and the steps of an animation.
      if (/^body(\[data-jp-theme-light='false'\])?$/.test(list) || list === 'from') {
        continue;
      }
      // Each selector of a list stands on an element of ours.
      expect(list.split(/,(?![^(]*\))/).filter(one => !one.includes(':where(.opgabc)'))).toEqual([]);
    }
    expect(only('body{--opg-tint:red}.opg-card{background:var(--opg-tint);animation:1s opg-found}@keyframes opg-found{}', 'x')).toBe(
      'body{--x-tint:red}.opg-card:where(.x){background:var(--x-tint);animation:1s x-found}@keyframes x-found{}'
    );
  });

  it('hold for what we make', () => {
    expect(h('p', { class: 'opg-note' }).className).toBe(`opg-note ${OURS}`);
    expect(h('p', { class: 'jp-mod-styled' }).className).toBe('jp-mod-styled');
    expect(OURS).toMatch(/^opg[0-9a-f]{24}$/);
    expect(ours('opg-a opg-b').split(' ')).toEqual(['opg-a', 'opg-b', OURS]);
    expect(document.head.querySelectorAll('style')).toHaveLength(1);
  });

  it('are made anew for each page', () => {
    jest.isolateModules(() => expect((require('../card/style') as { OURS: string }).OURS).not.toBe(OURS));
  });
});
