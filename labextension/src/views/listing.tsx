/** What the panel's first tab shows of a notebook: loaded when someone looks. */

import * as React from 'react';

import { conversation } from '../card/line';
import { checker } from '../audit/check';
import { counted } from '../receipt/collected';
import { saveAs } from '../lab/exporting';
import { EDITED, Finding } from '../receipt/findings';
import { toneOf } from './mark';
import type { Receipt } from '../receipt/receipt';
import { Scrolled, spanOf } from './scrolled';
import { addStyles, ours } from '../card/style';
import css from '../../style/asked.raw.css';
import { ICellFinding, IEntry, INotebookReceipts } from '../card/tokens';
import type { Verdict } from '../verify/verdict';
import * as words from '../card/words';

addStyles(css);

export type SortBy = 'cell' | 'verdict' | 'model' | 'host' | 'cost' | 'time';
export type Show = 'all' | 'failed' | 'edited' | 'without' | 'simulated' | 'unasked';

const SORTS: readonly [SortBy, string][] = [
  ['cell', 'cell order'],
  ['verdict', 'verdict'],
  ['cost', 'cost'],
  ['time', 'time taken'],
  ['model', 'model'],
  ['host', 'host']
];

const SHOWS: readonly [Show, string][] = [
  ['all', 'all'],
  ['failed', 'failed'],
  ['edited', 'cell edited since'],
  ['without', 'without receipt'],
  ['simulated', 'simulated'],
  ['unasked', 'registry not asked']
];

const TONES: readonly words.Tone[] = ['bad', 'warn', 'quiet', 'sim', 'ok'];

function isEdited(entry: IEntry): boolean {
  return entry.findings.some(finding => EDITED.has(finding.code));
}

/** `%%opg` cells without a receipt that are listed. */
export function arrangeCells(cells: readonly ICellFinding[], show: Show, search: string): ICellFinding[] {
  return (show === 'all' || show === 'without') && !search.trim() ? [...cells] : [];
}

/** Which entries are listed, in which order: failures and differences first, whatever else is asked for. */
export function arrange(entries: readonly IEntry[], by: SortBy, show: Show, search: string): IEntry[] {
  const wanted = search.trim().toLowerCase();
  const listed = entries.filter(entry => {
    const { receipt, verdict } = entry;
    const shown =
      show === 'all' ||
      (show === 'failed' && words.hasFailed(entry)) ||
      (show === 'edited' && isEdited(entry)) ||
      (show === 'simulated' && (receipt?.network.simulated === true || verdict?.simulated === true)) ||
      (show === 'unasked' && verdict?.claims.registry.basis !== 'asked');
    return shown && (!wanted || searchable(entry).includes(wanted));
  });
  const key = KEYS[by];
  const place = new Map(entries.map((entry, index) => [entry, index]));
  return listed.sort((one, other) => {
    const first = urgency(one) - urgency(other);
    const [a, b] = [key(one), key(other)];
    return first || (a < b ? -1 : a > b ? 1 : 0) || place.get(one)! - place.get(other)!;
  });
}

const UNCLEAR = 2;
const LAST = 4;

/** Differences between what was saved and what was computed come first, then other failures, then edited cells and unsigned output. */
function urgency(entry: IEntry): number {
  if (entry.findings.some(finding => finding.code === 'saved-differs' || finding.code === 'shown-text')) {
    return 0;
  }
  return words.hasFailed(entry) ? 1 : isEdited(entry) || words.isUnclear(entry) ? UNCLEAR : 3;
}

function searchable({ receipt, error }: IEntry): string {
  return receipt === null
    ? (error ?? '')
    : `${receipt.id} ${words.model(receipt)} ${receipt.host?.tee_id ?? ''} ${conversation(receipt)} ${receipt.prompt.text}`.toLowerCase();
}

const KEYS: Record<SortBy, (entry: IEntry) => string | number> = {
  cell: () => 0,
  verdict: entry => TONES.indexOf(words.headline(entry).tone),
  model: ({ receipt }) => (receipt === null ? '' : words.model(receipt)),
  host: ({ receipt }) => receipt?.host?.tee_id ?? '',
  cost: ({ receipt }) => (receipt === null ? 0 : -Number(counted(receipt) ?? 0n)),
  time: ({ receipt }) => (receipt === null ? 0 : -words.elapsed(receipt))
};

export interface IListProps {
  readonly model: INotebookReceipts;
  readonly name: string;
}

export function Listing({ model, name }: IListProps): JSX.Element {
  const [by, setBy] = React.useState<SortBy>('cell');
  const [show, setShow] = React.useState<Show>('all');
  const [search, setSearch] = React.useState('');
  useChanges(model);

  const { entries, summary } = model;
  if (!entries.length && !summary.without) {
    return <Empty />;
  }
  const rows = rowsOf(model, by, show, search);
  return (
    <div className={ours('opg-listing')}>
      <div className={ours(`opg-totals opg-tone-${toneOf(summary)}${summary.simulated ? ' opg-simulated' : ''}`)} role="status">
        <b>{name}</b>
        <span>
          {summary.failed ? '✗ ' : ''}
          {words.notebookLine(summary)}
        </span>
      </div>
      <div className={ours('opg-tools')}>
        <input
          type="search"
          className="jp-mod-styled"
          placeholder="Search prompt, model, host, chat, ID"
          aria-label="Search receipts"
          value={search}
          onChange={event => setSearch(event.target.value)}
        />
        <label>
          Show
          <Select value={show} choices={SHOWS} onChange={setShow} />
        </label>
        <label>
          Sort by
          <Select value={by} choices={SORTS} onChange={setBy} />
        </label>
      </div>
      <Rows rows={rows} />
      {rows.length === 0 && <p className={ours('opg-empty')}>None of {words.plural(entries.length, 'receipt')} fits.</p>}
      <Actions model={model} name={name} />
      <p className={ours('opg-fine')}>
        All of this was computed in this browser from the notebook alone, unless a line says “asked”. Costs are the hosts’ figures.
      </p>
    </div>
  );
}

/** Draw again whenever a notebook's receipts, or what is known of them, change. */
function useChanges(model: INotebookReceipts): void {
  const [, redraw] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    model.changed.connect(redraw);
    checker.changed.connect(redraw);
    return () => {
      model.changed.disconnect(redraw);
      checker.changed.disconnect(redraw);
    };
  }, [model]);
}

function Empty(): JSX.Element {
  return (
    <div className={ours('opg-empty')}>
      <p>No AI answers with receipts in this notebook yet.</p>
      <p>
        Run a <code>%%opg</code> cell; what comes back is checked here, in your browser.
      </p>
    </div>
  );
}

/** What is listed, in order: receipts, and the cells without one. */
function rowsOf(model: INotebookReceipts, by: SortBy, show: Show, search: string): { readonly key: string; readonly row: JSX.Element }[] {
  return [
    ...arrange(model.entries, by, show, search).map(entry => ({
      key: `${entry.cellId} ${entry.output} ${entry.row ?? ''}`,
      rank: urgency(entry),
      cell: entry.cell,
      row: <Row entry={entry} open={() => void model.reveal(entry)} />
    })),
    ...arrangeCells(model.cells, show, search).map(cell => ({
      key: cell.cellId,
      rank: cell.run ? UNCLEAR : LAST,
      cell: cell.cell,
      row: <CellRow cell={cell} open={() => void model.reveal(cell)} />
    }))
  ].sort((one, other) => one.rank - other.rank || (by === 'cell' ? one.cell - other.cell : 0));
}

function Actions({ model, name }: IListProps): JSX.Element {
  const [asking, setAsking] = React.useState(false);
  return (
    <div className={ours('opg-actions')}>
      <button className="jp-mod-styled" onClick={() => void model.refresh()}>
        Check again
      </button>
      <button
        className="jp-mod-styled"
        disabled={asking || !checker.canAsk}
        title="Asks the RPCs in your own settings, through this Jupyter server. They then learn which hosts you look at."
        onClick={() => {
          setAsking(true);
          void model.askRegistry().finally(() => setAsking(false));
        }}
      >
        {asking ? 'Asking …' : 'Ask the registry'}
      </button>
      <button className="jp-mod-styled" onClick={() => saveAs('jsonl', name, model.entries)}>
        Export JSONL
      </button>
      <button className="jp-mod-styled" onClick={() => saveAs('csv', name, model.entries)}>
        Export CSV
      </button>
    </div>
  );
}

/** Pixels of a row that was never drawn. */
const GUESS = 92;

/** The list, drawn as far as one scrolls. */
function Rows({ rows }: { readonly rows: readonly { readonly key: string; readonly row: JSX.Element }[] }): JSX.Element {
  const list = React.useRef<HTMLUListElement>(null);
  const scrolled = React.useRef<Scrolled | null>(null);
  const [, redraw] = React.useReducer((count: number) => count + 1, 0);
  React.useLayoutEffect(() => {
    scrolled.current = new Scrolled(list.current!, GUESS, redraw);
    return () => scrolled.current?.dispose();
  }, []);
  React.useLayoutEffect(() => scrolled.current?.set(rows.map(one => one.key)));
  const { first, last, before, after } = scrolled.current?.span ?? spanOf([], 0, 0);
  return (
    <ul ref={list} className={ours('opg-entries')} style={{ paddingTop: before, paddingBottom: after }} aria-label="Receipts of this notebook">
      {rows.slice(first, last).map(({ key, row }, index) => (
        <li key={key} data-row={first + index} aria-setsize={rows.length} aria-posinset={first + index + 1}>
          {row}
        </li>
      ))}
    </ul>
  );
}

function Select<T extends string>(props: {
  readonly value: T;
  readonly choices: readonly (readonly [T, string])[];
  readonly onChange: (value: T) => void;
}): JSX.Element {
  return (
    <select className="jp-mod-styled" value={props.value} onChange={event => props.onChange(event.target.value as T)}>
      {props.choices.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
}

function CellRow({ cell, open }: { readonly cell: ICellFinding; readonly open: () => void }): JSX.Element {
  const { run, finding } = cell;
  return (
    <button className={ours(`opg-entry opg-tone-${run ? 'warn' : 'quiet'}`)} onClick={open} title="Show this cell">
      <span className={ours('opg-entry-head')}>
        <b>{run ? '! No receipt' : '– Not run'}</b>
        <span className={ours('opg-faint')}>cell {cell.cell + 1}</span>
      </span>
      <span className={ours('opg-faint')}>{`${finding.message}${run ? ' Nobody signed what it shows.' : ''}`}</span>
    </button>
  );
}

/** What was asked. The rows of a table begin with their own words, not with those that they all share. */
export function asked({ row }: IEntry, { prompt: { text, template } }: Receipt): string {
  const shared = template?.slice(0, Math.max(0, template.indexOf('{{'))) ?? '';
  return row !== undefined && shared.length > 16 && text.startsWith(shared) ? `… ${text.slice(shared.length)}` : text;
}

/** What a row's host answered, unless it failed or was withheld: no card of its own shows it. */
export function answered(entry: IEntry, { response }: Receipt): string | null {
  return entry.row === undefined || words.hasFailed(entry) || words.isWithheld(entry) ? null : response.text;
}

/** What the signature says of what stands here. */
export function signed({ claims }: Verdict): string {
  const held = (['request', 'response'] as const).every(name => claims[name].status === 'passed');
  return claims.signature.status !== 'passed' ? 'signature not valid' : held ? 'signature valid' : 'not what the host signed';
}

/** What is to be said of an entry; what the cell says of all rows of its table stands at the first. */
function findingsOf({ row, findings }: IEntry): readonly Finding[] {
  return row ? findings.filter(({ code }) => code !== 'from-variables') : findings;
}

function Row({ entry, open }: { readonly entry: IEntry; readonly open: () => void }): JSX.Element {
  const { receipt } = entry;
  const head = words.headline(entry);
  const facts =
    receipt === null
      ? [entry.error ?? '']
      : [
          words.model(receipt),
          receipt.host === null ? '' : `host ${words.shortHash(receipt.host.tee_id)}`,
          conversation(receipt),
          words.cost(receipt),
          words.duration(words.elapsed(receipt))
        ];
  const basis = entry.verdict?.claims.registry.basis;
  return (
    <button
      className={ours(`opg-entry opg-tone-${(isEdited(entry) || words.isUnclear(entry)) && head.tone !== 'bad' ? 'warn' : head.tone}${head.simulated ? ' opg-simulated' : ''}`)}
      onClick={open}
      title="Show this cell"
    >
      <span className={ours('opg-entry-head')}>
        <b>{head.text}</b>
        <span className={ours('opg-faint')}>cell {entry.cell + 1}</span>
      </span>
      {receipt !== null && <span className={ours('opg-entry-prompt')}>{words.oneLine(asked(entry, receipt), 120)}</span>}
      {receipt !== null && answered(entry, receipt) !== null && (
        <span className={ours('opg-entry-prompt')}>→ {words.oneLine(answered(entry, receipt)!, 120)}</span>
      )}
      <span className={ours('opg-faint')}>{facts.filter(Boolean).join(' · ')}</span>
      {entry.verdict !== null && (
        <span className={ours('opg-faint')}>
          {signed(entry.verdict)} ·{' '}
          {basis === 'asked' ? 'registry asked' : basis === 'recorded' ? "registry: author's word" : 'registry not known'}
        </span>
      )}
      {findingsOf(entry).map(finding => (
        <span key={finding.code} className={ours(EDITED.has(finding.code) ? 'opg-finding-edited' : `opg-finding-${finding.level}`)}>
          {EDITED.has(finding.code) ? '≠ ' : words.SIGNS[finding.level]}
          {words.told(finding.message, 200)}
        </span>
      ))}
    </button>
  );
}
