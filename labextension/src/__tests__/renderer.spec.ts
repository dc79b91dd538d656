/** @jest-environment jsdom */
import '@jupyterlab/testing/lib/jest-shim';

import { checker, IJudged } from '../audit/check';
import { askedOf, besideThePrompt } from '../receipt/asked';
import { asks } from '../cells/calls';
import { cellFindings, sourceSha256 } from '../audit/cells';
import { answerPart, Finding, inert, showsNoAnswer } from '../receipt/findings';
import { fills } from '../cells/grammar';
import { isCostly, isSafeLink, renderMarkdown } from '../card/markdown';
import { CLAIM_NAMES, MIME_TYPE, Receipt } from '../receipt/receipt';
import { isApart, ReceiptRenderer } from '../card/renderer';
import { OURS } from '../card/style';
import { headline, isWithheld } from '../card/words';
import { judged, receipt, verdict } from './receipts';

const ALL = `✓ All ${CLAIM_NAMES.length} checks pass`;

function bundle(text = 'SECRET WORDS of the answer'): Record<string, unknown> {
  return {
    [MIME_TYPE]: receipt(),
    'text/plain': `${text}\n\n──── opg receipt 7Q4K2M0000\ncard`,
    'text/markdown': `~~~text\n${text}\n~~~\n`
  };
}

async function shown(outcome: Partial<IJudged>, data = bundle()): Promise<ReceiptRenderer> {
  jest.spyOn(checker, 'recall').mockReturnValue(null);
  jest.spyOn(checker, 'judgeRead').mockResolvedValue(judged(outcome));
  const renderer = new ReceiptRenderer();
  await renderer.renderModel({ data, metadata: {}, trusted: false, setData: () => undefined } as any);
  // What opens is loaded apart.
  await import('../card/body');
  await new Promise(resolve => setTimeout(resolve));
  return renderer;
}

afterEach(() => jest.restoreAllMocks());

describe('the renderer', () => {
  it('shows a verified answer with words, not a bare tick', async () => {
    const { node } = await shown({});
    expect(node.querySelector('.opg-answer')!.textContent).toContain('SECRET WORDS');
    expect(node.querySelector('.opg-headline')!.textContent).toBe(ALL);
    expect(node.getAttribute('aria-label')).toBe(`Receipt 7Q4K2M0000: ${ALL.slice(2)}`);
  });

  it.each([
    ['failed', { verdict: verdict('FAILED', { response: 'failed' }) }],
    ['withheld by policy', { verdict: { ...verdict('PARTIAL'), withheld: true } }],
    ['altered', { findings: [{ level: 'failed', code: 'altered', message: 'altered' }] }],
    ['withheld by its kernel', { receipt: receipt({ checked: { withheld: true, verdict: 'FAILED', at: '2026-05-04T12:00:00.000000Z', by: 'k', policy: 'default', simulated: false, because: [], claims: [] } }) }]
  ] as [string, Partial<IJudged>][])('keeps the text of an answer back that is %s, until it is asked for', async (_, outcome) => {
    const { node } = await shown(outcome);
    expect(node.textContent).not.toContain('SECRET WORDS');
    const reveal = node.querySelector<HTMLDetailsElement>('.opg-withheld')!;
    expect(reveal.open).toBe(false);
    reveal.open = true;
    reveal.dispatchEvent(new Event('toggle'));
    expect(reveal.textContent).toMatch(/did not pass.*SECRET WORDS/);
  });

  it.each([
    ['FAILED', 'failed', 'The text differs', true],
    ['VERIFIED', undefined, 'Also shown', false]
  ] as const)('says first what failed, not what stands beside it: %s', async (status, response, first, below) => {
    // A withheld answer's cell always shows a traceback as well, and no receipt covers that.
    const beside: Finding = { level: 'incomplete', code: 'beside', message: 'Also shown.' };
    const found = verdict(status, response ? { response } : {});
    const { node } = await shown({ verdict: { ...found, because: ['response: the text differs'] }, findings: [beside] });
    expect(node.querySelector('summary')!.textContent).toMatch(new RegExp(first, 'i'));
    expect(node.querySelector('summary')!.textContent!.includes('Also shown')).toBe(!below);
    const details = node.querySelector<HTMLDetailsElement>('details.opg-card')!;
    details.open = true;
    details.dispatchEvent(new Event('toggle'));
    await new Promise(resolve => setTimeout(resolve));
    const line = node.querySelector('.opg-finding-incomplete')!;
    const after = line.compareDocumentPosition(node.querySelector('table.opg-claims')!) & Node.DOCUMENT_POSITION_PRECEDING;
    expect(Boolean(after)).toBe(below);
  });

  it('shows nothing of an answer before it was judged', async () => {
    jest.spyOn(checker, 'recall').mockReturnValue(null);
    let settle: (outcome: IJudged) => void = () => undefined;
    jest.spyOn(checker, 'judgeRead').mockReturnValue(new Promise(resolve => (settle = resolve)));
    const renderer = new ReceiptRenderer();
    const done = renderer.renderModel({ data: bundle(), metadata: {}, trusted: true, setData: () => undefined } as any);
    expect(renderer.node.textContent).toContain('Checking');
    expect(renderer.node.textContent).not.toContain('SECRET');
    settle(judged());
    await done;
    expect(renderer.node.textContent).toContain('SECRET');
  });

  it('is idempotent: the same again leaves the very elements', async () => {
    const renderer = await shown({});
    const first = [...renderer.node.childNodes];
    await renderer.renderModel({ data: bundle(), metadata: {}, trusted: false, setData: () => undefined } as any);
    expect([...renderer.node.childNodes]).toEqual(first);
    first.forEach((node, i) => expect(renderer.node.childNodes[i]).toBe(node));
  });

  it('says a reason that checks share once, in the first of their rows', async () => {
    const lacking = verdict('FAILED', { request: 'missing', response: 'failed', signature: 'failed', freshness: 'missing' });
    for (const name of ['request', 'response', 'signature', 'freshness'] as const) {
      (lacking.claims as any)[name] = { ...lacking.claims[name], reason: 'the host did not sign this answer' };
    }
    const { node } = await shown({ verdict: { ...lacking, because: ['request: x', 'freshness: x'] } });
    const said = (name: string): string => node.querySelector(`tr[data-claim=${name}] td`)!.textContent!;
    expect(said('response')).toBe('Sentence of response. The host did not sign this answer.');
    expect(['signature', 'request', 'freshness'].map(said)).toEqual(['Sentence of signature.', 'Sentence of request.', 'Sentence of freshness.']);
  });

  it.each([
    ['passed', 're-run', true],
    ['passed', 'recorded', false],
    ['failed', 're-run', false]
  ] as const)('knows which weights ran only where they were run again: %s, %s', async (status, basis, known) => {
    const ran = verdict(status === 'passed' ? 'VERIFIED' : 'FAILED', { weights: status });
    (ran.claims as any).weights = { ...ran.claims.weights, basis };
    const { node } = await shown({ verdict: ran });
    const details = node.querySelector<HTMLDetailsElement>('details.opg-card')!;
    details.open = true;
    details.dispatchEvent(new Event('toggle'));
    await new Promise(resolve => setTimeout(resolve));
    expect(node.textContent).toContain('whether the answer is true');
    expect(node.textContent!.includes('which weights ran')).toBe(!known);
    expect(node.textContent).toContain('Provider: unknown.');
  });

  it('says of the private route that the request was sealed, and of no TLS', async () => {
    const { node } = await shown({ receipt: receipt({ sealed: {} as any }) });
    const details = node.querySelector<HTMLDetailsElement>('details.opg-card')!;
    details.open = true;
    details.dispatchEvent(new Event('toggle'));
    await new Promise(resolve => setTimeout(resolve));
    expect(node.querySelector('tr[data-claim=channel] td')!.textContent).toBe('Encrypted to the registered key.');
  });

  it('says what is no receipt', async () => {
    const { node } = await shown({}, { [MIME_TYPE]: { type: 'opg-receipt', version: 1, text: 'SECRET' } });
    expect(node.textContent).toContain('Unreadable receipt');
    expect(node.textContent).not.toContain('SECRET');
  });

  it.each([
    ['text', (document: unknown) => JSON.stringify(document)],
    ['lines', (document: unknown) => JSON.stringify(document, null, 1).split(/(?<=\n)/)]
  ])('reads a receipt that is given as JSON %s', async (_, given) => {
    const { node } = await shown({}, { ...bundle(), [MIME_TYPE]: given(receipt()) });
    expect(node.querySelector('.opg-headline')!.textContent).toBe(ALL);
    const twice = await shown({}, { ...bundle(), [MIME_TYPE]: JSON.stringify(receipt()).replace('{', '{"type":"opg-receipt",') });
    expect(twice.node.textContent).toContain('Unreadable receipt');
  });

  it('vouches for nothing in a frame apart, into which its first markup is copied for good', async () => {
    jest.spyOn(checker, 'judgeRead').mockResolvedValue(judged());
    for (const metadata of [{ isolated: true }, { [MIME_TYPE]: { isolated: 1 } }]) {
      const renderer = new ReceiptRenderer();
      void renderer.renderModel({ data: bundle(), metadata, trusted: false, setData: () => undefined } as any);
      expect(renderer.node.textContent).toMatch(/^✗ .*nothing is checked.*beside the cell/);
    }
    expect(isApart({ isolated: true, [MIME_TYPE]: { isolated: false } })).toBe(false);
    expect(isApart({ isolated: 0, 'text/html': { isolated: true } })).toBe(false);
  });

  it('shows what was asked as it was signed, where its cell says something else', async () => {
    const scope = (around: Finding[]) => {
      jest.spyOn(checker, 'scopeAt').mockReturnValue({ node: document.body, name: 'n.ipynb', seen: new Map(), around: () => around });
    };
    scope([{ level: 'failed', code: 'prompt-differs', message: 'Its prompt is another.' }]);
    const { node } = await shown({});
    expect(node.querySelector(':scope > .opg-asked')!.textContent).toBe('Asked, as it was signed: Say hi');
    expect(node.querySelector('.opg-headline')!.textContent).toBe(ALL);
    expect(node.querySelector('.opg-card')!.classList.contains('opg-tone-warn')).toBe(true);
    expect(node.querySelector('.opg-facts')!.textContent!.replace(/\u00a0/g, ' ')).toMatch(/^Its prompt is another ·/);
    expect(node.querySelector(':scope > .opg-answer')).not.toBeNull();
    scope([{ level: 'incomplete', code: 'beside', message: 'More is shown.' }]);
    const beside = (await shown({})).node;
    expect(beside.querySelector('.opg-asked')).toBeNull();
    expect(beside.querySelector('.opg-card')!.classList.contains('opg-tone-warn')).toBe(true);
  });

  it('turns red where the notebook shows another text than the signed one', async () => {
    const { node } = await shown({}, bundle('SECRET WORDS of another'));
    expect(node.dataset.opgTone).toBe('bad');
    expect(node.querySelector('.opg-answer')!.textContent).toBe('SECRET WORDS of the answer');
  });

  it('shows no answer that its cell did not show (--quiet), but on request', async () => {
    const quiet = { [MIME_TYPE]: receipt(), 'text/plain': '──── opg receipt 7Q4K2M0000\ncard' };
    const { node } = await shown({ verdict: verdict('UNVERIFIED') }, quiet);
    expect(node.querySelector(':scope > .opg-answer')).toBeNull();
    expect(node.textContent).toContain('Show the answer');
  });

  it('says simulated wherever a verdict is, and never verified', async () => {
    const { node } = await shown({ verdict: verdict('VERIFIED', {}, true) });
    expect(node.querySelector('.opg-card > summary > .opg-tag')!.textContent).toBe('simulated network');
    expect(node.getAttribute('aria-label')).toMatch(/, simulated network$/);
    expect(node.textContent!.replace('Unverified', '')).not.toMatch(/✓ Verified/);
    expect(node.querySelector('.opg-simulated')).not.toBeNull();
  });

  it('says of a conversation what of it was sent and paid for again, and where that comes from', async () => {
    const digest = `sha256:${'ab'.repeat(32)}`;
    const request = {
      ...receipt().request,
      body: JSON.stringify({ model: 'gpt-5', messages: ['Hi', 'Ho', 'Say hi'].map((content, at) => ({ role: at % 2 ? 'assistant' : 'user', content })) })
    };
    const told = async (name: string | null, earlier: NonNullable<Receipt['thread']>['earlier']) => {
      const { node } = await shown({ receipt: receipt({ request, thread: { name, earlier } }) });
      const open = (details: HTMLDetailsElement): void => {
        details.open = true;
        details.dispatchEvent(new Event('toggle'));
      };
      open(node.querySelector('.opg-card')!);
      await new Promise(resolve => setTimeout(resolve));
      open(node.querySelector('.opg-evidence')!);
      await import('../card/evidence');
      await new Promise(resolve => setTimeout(resolve));
      return [node.querySelector('.opg-facts')!, node].map(one => one.textContent!.replace(/\u00a0/g, ' '));
    };
    const [line, all] = await told('plans', [{ receipt: '7AAAAAAAAA', digest, messages: 2 }]);
    expect(line).toContain(' · chat plans, 2 earlier messages sent again · ');
    expect(all).toContain('Sent again: 2 earlier messages of chat plans, about 40 % of the input (estimated by length).');
    expect(all).toContain(`2 messages from receipt 7AAAAAAAAA${digest}`);
    expect((await told('plans', []))[0]).toContain(' · chat plans · ');
    expect((await told(null, [{ receipt: '7AAAAAAAAA', digest, messages: 2 }]))[0]).toContain(' · 2 earlier messages sent again · ');
    expect((await told(null, []))[1]).not.toContain('again');
  });

  it('says what rests on the author’s kernel', async () => {
    const { node } = await shown({ verdict: verdict('PARTIAL') });
    expect(node.textContent!.replace(/\u00a0/g, ' ')).toContain("registry and channel: the author's word");
    expect(headline(judged({ verdict: verdict('PARTIAL') })).text).toBe('✓ Request, response, signature and attestation proven here');
  });
});

describe('model text as Markdown', () => {
  // A parser that does what JupyterLab's may: whatever it makes of the source, only what is allowed comes through.
  const parser = (html: (source: string) => string) => ({ render: async (source: string) => html(source) });

  it('never lets a tag of the text reach the parser', async () => {
    const seen: string[] = [];
    const text = '<script>alert(1)</script> &lt;b&gt; <img src=x onerror=alert(1)>';
    const node = await renderMarkdown(text, parser(source => (seen.push(source), `<p>${source}</p>`)));
    expect(seen[0]).not.toMatch(/[<&]/);
    expect(node.textContent).toBe(text);
    expect(node.querySelectorAll('script, img')).toHaveLength(0);
  });

  it('copies no attribute but the link’s, and shows where it leads', async () => {
    const html = '<p onclick="x()" style="position:fixed" class="c">a <a href="https://e.org/" onclick="x()">b</a></p>';
    const node = await renderMarkdown('x', parser(() => html));
    expect(node.innerHTML).toBe(
      `<p>a <a href="https://e.org/" rel="noopener noreferrer nofollow ugc" target="_blank">b</a><span class="opg-faint opg-where ${OURS}"> (https://e.org/)</span></p>`
    );
  });

  it('shows images as text and unknown elements verbatim', async () => {
    const image = await renderMarkdown('x', parser(() => '<p><img alt="a" src="https://t.example/p.png"></p>'));
    expect(image.textContent).toBe('[image not loaded: a https://t.example/p.png]');
    const odd = await renderMarkdown('as **it** is', parser(() => '<svg></svg>'));
    expect(odd.textContent).toBe('as **it** is');
  });

  it('keeps from the parser what would hold the page for long', async () => {
    const never = parser(() => {
      throw new Error('asked');
    });
    for (const mark of ['*a ', '_a ', '**a ', '~~a ', '`a', '[a](', '![', '\\\\*', '--\n', 'a_b', '_']) {
      const text = mark.repeat(200_000 / mark.length);
      expect(isCostly(text)).toBe(true);
      expect((await renderMarkdown(text, never)).textContent).toBe(text);
    }
  });

  it('keeps from it a table whose short rows it would fill up to millions of cells', async () => {
    const table = (columns: number, rows: number): string => `|${'a|'.repeat(columns)}\n|${'-|'.repeat(columns)}\n${'|x\n'.repeat(rows)}`;
    for (const many of [table(4_200, 900), table(200, 300), `${table(9, 300)}\n`.repeat(20)]) {
      expect(isCostly(many)).toBe(true);
    }
    expect(isCostly(table(9, 300))).toBe(false);
  });

  it('lets a long answer through that is written as people write', () => {
    const list = Array.from({ length: 100 }, (_, n) => `- **Point ${n}** says _something_ about \`case_${n}\``).join('\n');
    const table = '| a | b |\n|---|---|\n' + Array.from({ length: 200 }, (_, n) => `| ${n} | [x](https://x.example/${n}) |`).join('\n');
    const code = '```python\n' + Array.from({ length: 200 }, (_, n) => `some_value_${n} = other * ${n}`).join('\n') + '\n```';
    expect(isCostly([list, table, code, 'Plain prose, *here* and there. '.repeat(100)].join('\n\n'))).toBe(false);
  });

  it('falls back to the text where the parser fails', async () => {
    const node = await renderMarkdown('*a*', { render: async () => Promise.reject(new Error('no')) });
    expect(node.textContent).toBe('*a*');
  });

  it.each([
    ['https://a.example/x', true],
    ['mailto:a@b.example', true],
    ['javascript:alert(1)', false],
    ['data:text/html,x', false],
    ['https://bank.example@evil.example/', false],
    ['/local', false],
    [' vbscript:x', false]
  ])('link %s: %s', (href, safe) => expect(isSafeLink(href)).toBe(safe));
});

describe('what stands around a receipt', () => {
  it('finds the answer before the last rule', () => {
    expect(answerPart('a\n\n──── opg receipt X\nb\n\n──── opg receipt Y\nc')).toBe('a\n\n──── opg receipt X\nb');
    expect(answerPart('──── opg receipt X\nc')).toBeNull();
    expect(showsNoAnswer({ 'text/plain': ['──── opg receipt X\n', 'c'] })).toBe(true);
  });

  it('makes control characters visible', () => {
    expect(inert('a\u001b[31m\u202e\ud800\n\u{1f600}')).toBe('a␛[31m⟦U+202E⟧⟦U+D800⟧\n\u{1f600}');
  });

  it('knows a call from help and dry runs', () => {
    expect(asks('\n%%opg x --model a\nhi')).toBe(true);
    expect(asks('%%opg --dry-run\nhi')).toBe(false);
    expect(asks('%%opgx\nhi')).toBe(false);
  });

  it('tells an edited prompt from an edited line', () => {
    const source = '%%opg answer\nSay hi\n';
    const made = receipt({ prompt: { text: 'Say hi', template: null, variables: [], source_sha256: sourceSha256(source) } });
    const codes = (cell: string): string[] => cellFindings(cell, made).map(finding => finding.code);
    expect(codes(source)).toEqual([]);
    expect(codes('%%opg   answer  \r\nSay hi')).toEqual([]);
    expect(codes('%%opg answer\nSay ho')).toEqual(['prompt-differs']);
    expect(codes('%%opg other\nSay hi')).toEqual(['cell-changed']);
    expect(codes('%%opg --model openai/gpt-4\nSay hi')).toEqual(['model-differs']);
    expect(codes('print(1)')).toEqual(['not-the-call']);
  });

  it('takes apart all that was asked', () => {
    const made = receipt();
    const messages = [
      { role: 'system', content: 'Lie.' },
      { role: 'user', content: 'Is it?' },
      { role: 'assistant', content: null, tool_calls: [{ id: '1' }] },
      { role: 'user', content: [{ type: 'text', text: 'Say hi' }, { type: 'image_url', image_url: {} }] },
      { role: 'assistant', content: 'I say:' }
    ];
    const tools = [{ type: 'function', function: { name: 'look' } }];
    const body = JSON.stringify({ model: 'm', messages, temperature: 0.5, stream: true, seed: 7, tools });
    const asked = askedOf({ ...made, request: { ...made.request, body } })!;
    expect([asked.model, asked.prompt]).toEqual(['m', 'Say hi']);
    expect(besideThePrompt(asked)).toEqual([
      ['system message', 'Lie.'],
      ['before the prompt, user', 'Is it?'],
      ['before the prompt, assistant', '[{"id": "1"}]'],
      ['after the prompt, assistant', 'I say:'],
      ['attachments', 'image_url'],
      ['tools', 'look'],
      ['temperature', '0.5'],
      ['not signed', 'seed']
    ]);
    expect(askedOf({ ...made, request: { ...made.request, body: '{"model": "a", "model": "b"}' } })).toBeNull();
  });

  it('fills templates part by part', () => {
    expect(fills('a {{x}} b {{y}} c', 'a 1 b 2 c')).toBe(true);
    expect(fills('a {{x}} b', 'a 1 c')).toBe(false);
    expect(fills('{{x}}{{x}}', '')).toBe(true);
    expect(fills('ab{{x}}bc', 'abc')).toBe(false);
  });

  it('an edited cell does not withhold its answer', () => {
    const outcome = judged({ findings: [{ level: 'failed', code: 'prompt-differs', message: 'm' }] });
    expect(isWithheld(outcome)).toBe(false);
    expect(headline(outcome).tone).toBe('ok');
  });
});
