/**
 * Judging the receipts of open notebooks: one place for what the reader trusts, what was asked, and what is remembered.
 *
 * The renderer, the panel, the mark and the badges all show what comes from here, so that they cannot disagree.
 */

import { ISignal, Signal } from '@lumino/signaling';

import type { Finding } from '../receipt/findings';
import { NotLoaded, part } from '../base/load';
import { AskLedger, IOwn, OwnLedger } from './own';
import { Pace } from '../base/pace';
import { Policy, policyNamed } from '../verify/policy';
import { computedDigest, readReceipt, Receipt, RegistryPart, UnreadableReceipt } from '../receipt/receipt';
import { Seen } from '../verify/shared';
import { Relations } from '../verify/relations';
import { Trust } from '../verify/trust';
import { Verdict } from '../verify/verdict';

/** What the reader chose, in their settings and never in a notebook. */
export interface IReader {
  readonly policy: string;
  readonly askRegistry: boolean;
  readonly pinnedPcrs: readonly string[];
  readonly simulatedRoots: readonly string[];
  readonly skewSeconds: number;
  readonly explorers: Readonly<Record<string, string>>;
  readonly mark: boolean;
  readonly badges: boolean;
}

export const DEFAULT_READER: IReader = {
  policy: 'default',
  askRegistry: false,
  pinnedPcrs: [],
  simulatedRoots: [],
  skewSeconds: 300,
  explorers: {},
  mark: true,
  badges: true
};

/** One receipt, judged here. */
export interface IJudged {
  readonly receipt: Receipt | null;
  /** Why the receipt cannot be read; or, beside a receipt, why it could not be judged. */
  readonly error: string | null;
  readonly verdict: Verdict | null;
  readonly findings: readonly Finding[];
  /** What the reader's own kernel asked, where the reader's own ledger holds this very receipt. */
  readonly own?: IOwn | null;
}

/** Asks the reader's own RPC for a host's entry at a block; rejects with words for a person. */
export type AskRegistry = (receipt: Receipt) => Promise<RegistryPart>;

/** What came of asking. */
type Asked = { readonly registry: RegistryPart } | { readonly problem: string };

/** Where receipts stand together: those of one notebook know of each other. */
export interface IScope {
  readonly node: Node;
  /** The notebook's file name. */
  readonly name: string;
  readonly seen: ReadonlyMap<string, Seen>;
  /** What is wrong with the place where the receipt with this digest is shown: its display, its cell, its notebook. */
  around(node: Node, digest: string): readonly Finding[];
}

const MOST_REMEMBERED = 4096;
/** How long one piece of work may hold the page. */
export const SLICE_MS = 10;

/** Loaded when the first receipt is met: most pages show none. */
const verifier = part(() => import('../verify/verify'));

export class Checker {
  private _reader: IReader = DEFAULT_READER;
  private _policy: Policy = policyNamed('default');
  private _ask: AskRegistry | null = null;
  private _own: OwnLedger | null = null;
  private readonly _ownRoots = new Set<string>();
  private _payees: readonly string[] = [];
  private readonly _asked = new Map<string, Asked>();
  private readonly _verdicts = new Map<string, IJudged>();
  private readonly _underWay = new Map<string, Promise<IJudged>>();
  /** One receipt is judged after the other: browsers compute signatures where they draw and take in keys. */
  private _last: Promise<unknown> = Promise.resolve();
  private readonly _pace = new Pace(SLICE_MS);
  /** Which question the verdicts are answers to: settings and known roots change it. */
  private _question = 0;
  private readonly _scopes = new Set<IScope>();
  private readonly _changed = new Signal<Checker, ReadonlySet<string> | null>(this);

  get reader(): IReader {
    return this._reader;
  }

  /** Whether there is anyone to ask about the registry. */
  get canAsk(): boolean {
    return this._ask !== null;
  }

  /** Digests of receipts that are to be judged anew; null: all. */
  get changed(): ISignal<Checker, ReadonlySet<string> | null> {
    return this._changed;
  }

  configure(reader: Partial<IReader>): void {
    const next = { ...this._reader, ...reader };
    if (JSON.stringify(next) === JSON.stringify(this._reader)) {
      return;
    }
    this._reader = next;
    this._policy = policyNamed(next.policy);
    this.forget();
  }

  /** Attestation roots of the reader's own simulated network, as their own server tells them: as `opg verify` does. */
  knowRoots(roots: readonly string[]): void {
    if (roots.some(root => !this._ownRoots.has(root.toLowerCase()))) {
      roots.forEach(root => this._ownRoots.add(root.toLowerCase()));
      this.forget();
    }
  }

  /** Payees that the reader pinned in their own settings, as their own server tells them. */
  knowPayees(payees: readonly string[]): void {
    if (payees.join() !== this._payees.join()) {
      this._payees = payees;
      this.forget();
    }
  }

  /** Who asks the registry on the reader's behalf. */
  setRegistry(ask: AskRegistry | null): void {
    this._ask = ask;
  }

  /** Who tells which receipts the reader's own kernels wrote. */
  setLedger(ask: AskLedger | null): void {
    const changes = ask !== null || this._own !== null;
    this._own = ask === null ? null : new OwnLedger(ask);
    if (changes) {
      this.forget();
    }
  }

  /** Judge everything anew. */
  forget(): void {
    this._own?.forget();
    this._question++;
    this._verdicts.clear();
    this._underWay.clear();
    this._changed.emit(null);
  }

  /** Receipts that stand in one notebook; the answer takes them out again. */
  addScope(scope: IScope): () => void {
    this._scopes.add(scope);
    return () => void this._scopes.delete(scope);
  }

  /** That what receipts with these digests know of others has changed. */
  announce(digests: ReadonlySet<string>): void {
    if (digests.size) {
      this._changed.emit(digests);
    }
  }

  /** The notebook in which `node` stands; null elsewhere. */
  scopeAt(node: Node): IScope | null {
    return [...this._scopes].find(scope => scope.node.contains(node)) ?? null;
  }

  /** What is remembered of this receipt; null if it has to be judged first. */
  recall(receipt: Receipt, seen: Seen = {}): IJudged | null {
    return this._verdicts.get(this._key(receipt, seen)) ?? null;
  }

  /** Judge one receipt. Never rejects for what a document holds. */
  async judge(document: unknown, seen: Seen = {}): Promise<IJudged> {
    const receipt = readDocument(document);
    return receipt instanceof UnreadableReceipt ? unreadable(receipt) : this.judgeRead(receipt, seen);
  }

  async judgeRead(receipt: Receipt, seen: Seen = {}): Promise<IJudged> {
    if (this._own?.known(receipt) === undefined) {
      await this._own?.of(receipt);
    }
    const key = this._key(receipt, seen);
    const known = this._verdicts.get(key);
    if (known !== undefined) {
      return known;
    }
    // A card, the panel and the mark want the same one: it is judged once.
    let judging = this._underWay.get(key);
    if (judging === undefined) {
      judging = this._last.then(() => this._pace.rest()).then(() => this._judge(receipt, seen, key));
      this._underWay.set(key, judging);
      const over = (): void => {
        if (this._underWay.get(key) === judging) {
          this._underWay.delete(key);
        }
      };
      this._last = judging.then(over, over);
    }
    return judging;
  }

  private async _judge(receipt: Receipt, seen: Seen, key: string): Promise<IJudged> {
    const reader = this._reader;
    const question = this._question;
    const findings: Finding[] = [];
    const trust: Partial<Trust> = {
      pinnedPcrs: reader.pinnedPcrs,
      simulatedRoots: [...reader.simulatedRoots.map(root => root.toLowerCase()), ...this._ownRoots],
      skewSeconds: reader.skewSeconds,
      payees: this._payees,
      now: new Date()
    };
    let evidence = receipt;
    const asked = this._asked.get(registryKey(receipt) ?? '');
    let isAsked = false;
    if (asked !== undefined && receipt.registry !== null) {
      const outcome = applyAsked(receipt, receipt.registry, asked);
      findings.push(...outcome.findings);
      isAsked = outcome.receipt !== receipt;
      evidence = outcome.receipt;
    }
    let asking: Partial<Trust> =
      isAsked && evidence.registry !== null
        ? { asked: ['registry'], registry: [evidence.registry.chain_id, evidence.registry.contract] }
        : {};
    const own = this._own?.known(receipt) ?? null;
    if (own !== null) {
      const { registry } = evidence;
      asking = {
        asked: [...(asking.asked ?? []), ...own.asked],
        registry: asking.registry ?? (registry !== null && own.asked.includes('registry') ? [registry.chain_id, registry.contract] : null)
      };
    }
    let verdict: Verdict;
    try {
      const { compareAnswers, documentFindings, verify } = await verifier();
      findings.unshift(...documentFindings(receipt));
      let { contradicted } = seen;
      if (evidence.agreement !== null && (isAsked || seen.members !== undefined)) {
        const compared = await compareAnswers(
          evidence.agreement,
          seen.members ?? new Map(),
          evidence.registry?.block_number ?? '',
          isAsked && evidence.registry?.disagreement === undefined ? teeId => this._askedOf(receipt, evidence, teeId) : null,
          other => verify(other, trust)
        );
        contradicted = compared.contradicted;
        findings.push(...(compared.finding === null ? [] : [compared.finding]));
        if (compared.asked) {
          asking = { ...asking, asked: [...(asking.asked ?? []), 'agreement'] };
        }
      }
      verdict = await verify(evidence, { ...trust, ...asking }, { policy: this._policy, seen: { ...seen, contradicted } });
    } catch (error) {
      // A fault of this page is no evidence against anyone: it was not checked.
      const why = error instanceof NotLoaded ? error.message : `This browser could not check it: ${String(error)}`;
      return { receipt, error: why, verdict: null, findings };
    }
    findings.push(...savedFindings(receipt, verdict));
    // What was asked just now is not what the kernel asked.
    const kernels = own !== null && isAsked ? { ...own, asked: own.asked.filter(name => name !== 'registry') } : own;
    const judged: IJudged = { receipt, error: null, verdict, findings, own: kernels };
    if (question === this._question && key === this._key(receipt, seen)) {
      if (this._verdicts.size >= MOST_REMEMBERED) {
        this._verdicts.clear();
      }
      this._verdicts.set(key, judged);
    }
    return judged;
  }

  /**
   * Ask the registry, by the reader's own RPC, for the hosts of these receipts; each host at each block once. Whether
   * anything was asked.
   */
  async askRegistry(receipts: readonly Receipt[], again = false): Promise<boolean> {
    const ask = this._ask;
    if (ask === null) {
      return false;
    }
    const wanted = new Map<string, Receipt>();
    for (const receipt of receipts) {
      for (const one of [receipt, ...comparedWith(receipt)]) {
        const key = registryKey(one);
        if (key !== null && (again || !this._asked.has(key))) {
          wanted.set(key, one);
        }
      }
    }
    const waiting = [...wanted];
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [key, receipt] = next;
        try {
          this._asked.set(key, { registry: await ask(receipt) });
        } catch (error) {
          this._asked.set(key, { problem: error instanceof Error ? error.message : String(error) });
        }
      }
    };
    await Promise.all([worker(), worker()]);
    if (wanted.size) {
      this.announce(new Set(receipts.map(computedDigest)));
    }
    return wanted.size > 0;
  }

  /** What was asked of the registry about a host that was compared, at this receipt's block. */
  private _askedOf(receipt: Receipt, evidence: Receipt, teeId: string): Asked | undefined {
    const asked = this._asked.get(registryKey(withHost(receipt, teeId)) ?? '');
    const sameBlock = asked === undefined || 'problem' in asked || asked.registry.block_hash.toLowerCase() === evidence.registry?.block_hash.toLowerCase();
    return sameBlock ? asked : undefined;
  }

  private _key(receipt: Receipt, seen: Seen): string {
    const state = [receipt, ...comparedWith(receipt)].map(one => stateOf(this._asked.get(registryKey(one) ?? ''))).join();
    // The stated digest is not part of the computed one.
    const own = this._own?.known(receipt)?.at ?? '';
    return [computedDigest(receipt), receipt.digest, state, own, ...(seen.signatureIn ?? []), '|', ...(seen.paymentIn ?? []), '|', ...(seen.memberDigests ?? [])].join(' ');
  }
}

/** The one that this extension's parts share. */
export const checker = new Checker();

export function readDocument(document: unknown): Receipt | UnreadableReceipt {
  try {
    return readReceipt(document);
  } catch (error) {
    if (error instanceof UnreadableReceipt) {
      return error;
    }
    // What is no JSON document at all (a cycle, too deep) is no receipt either; all else is a fault of ours.
    if (error instanceof RangeError || (error instanceof Error && error.name === 'InternalError')) {
      return new UnreadableReceipt('This receipt cannot be read.');
    }
    throw error;
  }
}

export function unreadable(error: UnreadableReceipt): IJudged {
  return { receipt: null, error: error.message, verdict: null, findings: [] };
}

/** What the receipts of one notebook know of each other, by computed digest. */
export function relate(receipts: readonly Receipt[]): Map<string, Seen> {
  const relations = new Relations();
  receipts.forEach(receipt => relations.add(receipt));
  const found = new Map<string, Seen>();
  for (const receipt of receipts) {
    const seen = relations.of(receipt);
    if (seen.signatureIn?.length || seen.paymentIn?.length || seen.memberDigests?.length) {
      found.set(computedDigest(receipt), seen);
    }
  }
  return found;
}

function stateOf(asked: Asked | undefined): string {
  if (asked === undefined || 'problem' in asked) {
    return asked?.problem ?? '';
  }
  const { block_hash, active, disagreement, entry } = asked.registry;
  return `${block_hash}${active}${disagreement ?? ''}${entry === null || entry === 'host' ? '' : entry.owner}`;
}

/** The same receipt as if it were another host's: what is asked of the registry is a host at a block. */
function withHost(receipt: Receipt, teeId: string): Receipt {
  return receipt.host === null ? receipt : { ...receipt, host: { ...receipt.host, tee_id: teeId } };
}

/** For each host that an agreement compares: whom to ask the registry for. */
function comparedWith(receipt: Receipt): Receipt[] {
  return (receipt.agreement?.answers ?? []).filter(member => member.tee_id !== '').map(member => withHost(receipt, member.tee_id));
}

function registryKey(receipt: Receipt): string | null {
  const { registry, host, network } = receipt;
  return registry === null || host === null
    ? null
    : [network.simulated ? network.run_id : '', registry.chain_id, host.tee_id.toLowerCase(), registry.block_number].join(' ');
}

function applyAsked(receipt: Receipt, recorded: RegistryPart, asked: Asked): { receipt: Receipt; findings: Finding[] } {
  if ('problem' in asked) {
    return { receipt, findings: [note('registry-not-asked', `The registry could not be asked: ${asked.problem}`)] };
  }
  const { registry } = asked;
  if (registry.block_hash.toLowerCase() !== recorded.block_hash.toLowerCase()) {
    return receipt.network.simulated
      ? { receipt, findings: [note('other-chain', 'Your RPC does not serve the simulated chain of this receipt; the registry stays recorded.')] }
      : {
          receipt,
          findings: [
            {
              level: 'failed',
              code: 'other-block',
              message: `The receipt names block ${recorded.block_number} with hash ${recorded.block_hash}; the chain that you asked has ${registry.block_hash} there.`
            }
          ]
        };
  }
  const disagreement: Finding[] =
    registry.disagreement === undefined ? [] : [{ level: 'failed', code: 'rpcs-disagree', message: registry.disagreement }];
  return { receipt: { ...receipt, registry }, findings: disagreement };
}

/** Where the verdict that was saved and the one computed here tell different stories of a failure. */
function savedFindings(receipt: Receipt, verdict: Verdict): Finding[] {
  const { checked } = receipt;
  if (checked === null) {
    return [];
  }
  if (verdict.simulated && !checked.simulated && !receipt.network.simulated) {
    return [{ level: 'failed', code: 'saved-differs', message: 'The saved card does not say that the network was simulated; here it is.' }];
  }
  const [then, now] = [checked.verdict, verdict.status === 'SIMULATED' ? 'VERIFIED' : verdict.status];
  if (then === now) {
    return [];
  }
  if (now === 'FAILED') {
    const names = Object.values(verdict.claims).filter(claim => claim.status === 'failed').map(claim => claim.name);
    return [{ level: 'failed', code: 'saved-differs', message: `The saved card says ${then.toLowerCase()}; here ${names.join(', ')} failed.` }];
  }
  // A card quotes its author's kernel wherever it does not say "verified": words that a verdict of now must not cover.
  return now === 'VERIFIED' || then === 'FAILED'
    ? [
        {
          level: 'incomplete',
          code: 'saved-differs',
          message: `Here it is ${now.toLowerCase()}; its card does not say verified, and quotes its author's kernel in words that were not compared.`
        }
      ]
    : [];
}

function note(code: Finding['code'], message: string): Finding {
  return { level: 'note', code, message };
}
