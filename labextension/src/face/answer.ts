/** A display before its card: the answer, and the line that ends it. */

import { inert, isWithheldAtCreation, RULE, signedText } from '../receipt/findings';
import { callText, readCalls } from '../receipt/tool-calls';
import { characters, escaped, Texts } from './figures';
import { Receipt } from '../receipt/receipt';

const BANNER = '✗ Shown because you asked: the text below did not pass';

/** The calls of tools that stand in place of an answer's text, a line each; null where there are none, or they have no such form. */
function callsOf({ response }: Receipt): string | null {
  const found = response.text ? null : readCalls(response.tool_calls);
  return found === null ? null : found.map(callText).join('\n');
}

/**
 * What stands before the card in each text: the answer, under a line that warns of it where it was withheld; `former`: as
 * forms up to `card 2` had it; `calls`: with calls of tools as a person reads them.
 */
export function beginnings(receipt: Receipt, show: boolean, former = false, calls = false): Texts {
  const text = show ? signedText(receipt) : null;
  if (text === null) {
    return { 'text/plain': '', 'text/markdown': '', 'text/html': '<div style="font-family:inherit">' };
  }
  const read = calls ? callsOf(receipt) : null;
  const shown = read ?? inert(text);
  let [plain, markdown, html] = [`${shown}\n\n`, `${fenced(shown)}\n`, read === null ? answerHtml(text, former) : callsHtml(read, text)];
  if (isWithheldAtCreation(receipt)) {
    plain = `${BANNER}\n\n${plain}`;
    markdown = `**${BANNER}**\n\n${markdown}`;
    html = `<p><b>${BANNER}</b></p>${html}`;
  }
  return { 'text/plain': plain, 'text/markdown': markdown, 'text/html': `<div style="font-family:inherit">${html}` };
}

export function rule(receipt: Receipt, form: string, show: boolean, calls = false): string {
  const text = show ? signedText(receipt) : null;
  const count = text === null ? 0 : characters((calls ? callsOf(receipt) : null) ?? inert(text)).length;
  const what = text === null ? 'no answer is shown' : `the ${count} character${count === 1 ? '' : 's'} above are the answer`;
  return `${RULE}${receipt.id} · ${what} · ${form} ────`;
}

/** Inert text as a Markdown code block that it cannot close. */
export function fenced(shown: string): string {
  const longest = (shown.match(/~+/g) ?? []).reduce((most, run) => Math.max(most, run.length + 1), 3);
  const fence = '~'.repeat(longest);
  return `${fence}text\n${shown}\n${fence}\n`;
}

const MONO = 'font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px';
const EMPTY = /^[ \t\n]*$/;
const PRE = `${MONO};margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere`;

function answerHtml(text: string, former: boolean): string {
  const shown = inert(text);
  if (EMPTY.test(shown)) {
    return '<div style="margin:0 0 8px">(an answer without visible text)</div>';
  }
  const parts = blocks(shown.split('\n')).map(([isBlock, lines]) =>
    isBlock ? `<pre style="${PRE}">${block(lines, former)}</pre>` : lines.map(prose).join('<br>\n')
  );
  return `<div style="margin:0 0 8px;overflow:auto;max-width:100%">${parts.join('')}</div>`;
}

/** Calls of tools for a page; what was signed to the letter opens below them. */
function callsHtml(read: string, signed: string): string {
  const [shown, raw] = [read, inert(signed)].map(text => `<pre style="${PRE}">${block(text.split('\n'), false)}</pre>`);
  return `<div style="margin:0 0 8px;overflow:auto;max-width:100%">${shown}<details><summary><small>As signed</small></summary>${raw}</details></div>`;
}

/** No line of it is empty, unless in former forms: in a Markdown file, an empty line would end the HTML. */
function block(lines: readonly string[], former: boolean): string {
  const end = (line: string): string => (former || !EMPTY.test(line) ? '\n' : '&#10;');
  return lines.map((line, index) => (index ? end(line) : '') + escaped(line)).join('');
}

/** Runs of lines: whether a block of code or a table, and its lines. */
function blocks(lines: readonly string[]): [boolean, string[]][] {
  const found: [boolean, string[]][] = [];
  let fence: string | null = null;
  let run: string[] = [];
  let kind = '';
  const end = (isBlock: boolean): void => {
    found.push([isBlock, run]);
    run = [];
  };
  for (const line of lines) {
    const marks: string | null = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? null;
    const closes: boolean = fence !== null && marks !== null && marks.startsWith(fence);
    const opens: boolean = fence === null && marks !== null;
    const now: string = fence !== null || opens ? 'code' : line.startsWith('|') ? 'table' : 'prose';
    if (run.length && (now !== kind || opens)) {
      end(kind !== 'prose');
    }
    run.push(line);
    kind = now;
    if (opens) {
      fence = marks;
    } else if (closes) {
      fence = null;
      end(true);
    }
  }
  if (run.length) {
    end(kind !== 'prose');
  }
  return found;
}

function prose(line: string): string {
  if (/^#{1,6} /.test(line)) {
    return `<b>${spaced(line)}</b>`;
  }
  return line
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .map((part, index) => {
      const tag = index % 2 === 0 ? '' : part.startsWith('`') ? 'code' : 'b';
      return tag ? `<${tag}>${spaced(part)}</${tag}>` : spaced(part);
    })
    .join('');
}

function spaced(text: string): string {
  return escaped(text).replace(/\t/g, '&nbsp;&nbsp;&nbsp; ').replace(/ {2}/g, '&nbsp; ');
}
