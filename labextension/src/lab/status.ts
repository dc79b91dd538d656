/** The user's own Jupyter server, where our extension of it is installed: status, ledger, receipts, registry. */

import { Notification } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Token } from '@lumino/coreutils';
import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import { checker } from '../audit/check';
import type { IKnownHost } from '../cells/magic';
import type { IOwn } from '../audit/own';
import { hostNames } from '../card/words';

/** `GET /opg-magic/status`; sums are base units as decimal text. */
export interface IServerStatus {
  readonly version: string;
  readonly network: {
    readonly name: string;
    readonly title: string;
    readonly simulated: boolean;
    readonly up: boolean;
    readonly run_id: string | null;
  };
  readonly token: { readonly symbol: string; readonly decimals: number };
  readonly limits: { readonly call: string; readonly kernel: string; readonly day: string };
  readonly today: { readonly reserved: string; readonly cost: string } | null;
  readonly running: number;
  readonly policy: string;
  readonly model: string;
  /** How many RPCs of the registry's chain the user named. */
  readonly registry_rpcs: number;
  readonly hosts: readonly IKnownHost[];
  /** Attestation roots (SHA-256, hex) of this user's own simulated network. */
  readonly simulated_roots: readonly string[];
  /** Addresses that this user pinned as paid besides a host's registered one. */
  readonly payees?: readonly string[];
}

/** One call in the ledger; what was withheld is not in it, long texts are cut. */
export interface ILedgerRow {
  readonly id: string;
  readonly time: string;
  readonly has_receipt: boolean;
  readonly notebook: string | null;
  readonly cell: number | null;
  readonly model: string | null;
  readonly host: string | null;
  readonly verdict: string | null;
  readonly simulated: boolean | null;
  readonly withheld: boolean | null;
  readonly charge: string | null;
  /** The host's figure, and the call's share of what the chain shows. */
  readonly cost_base_units: string | null;
  readonly settled_base_units: string | null;
  readonly token: string | null;
  readonly prompt: string | null;
  readonly answer: string | null;
  readonly problem: string | null;
}

export interface ILedgerPage {
  readonly rows: readonly ILedgerRow[];
  readonly next: string | null;
  /** Of all calls, or of those that have the words that were searched. */
  readonly total: number;
  /** Changes with the ledger, whichever kernel or shell wrote. */
  readonly state: string;
}

/** What the server said instead of an answer, in words for a person; `code` for programs. */
export class ServerRefused extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null
  ) {
    super(message);
  }
}

/** Asks the routes of our server extension. */
export class OpgServer {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  status(): Promise<IServerStatus> {
    return this._get('status');
  }

  /** A page of the calls that have each of these words, newest first. */
  ledger(after: string | null = null, limit = 100, words = ''): Promise<ILedgerPage> {
    return this._get('ledger', { limit: String(limit), ...(after === null ? {} : { after }), ...(words ? { q: words } : {}) });
  }

  /** The first page, as `ledger` has it; null while the ledger is still in that state. */
  async ledgerUnless(state: string, limit: number, words: string): Promise<ILedgerPage | null> {
    const page = await this._get<Partial<ILedgerPage>>('ledger', { limit: String(limit), unless: state, ...(words ? { q: words } : {}) });
    return page.rows === undefined ? null : (page as ILedgerPage);
  }

  /** The receipt as it was saved; not checked, not trusted. */
  receipt(id: string): Promise<unknown> {
    return this._get(`receipt/${encodeURIComponent(id)}`);
  }

  /** Which of these receipts (`ID~DIGEST`) the user's own kernels wrote, by digest. */
  async own(receipts: readonly string[]): Promise<Readonly<Record<string, IOwn>>> {
    const query = receipts.map(receipt => `receipt=${encodeURIComponent(receipt)}`).join('&');
    return (await this._get<{ own: Readonly<Record<string, IOwn>> }>(`own?${query}`)).own;
  }

  private async _get<T>(path: string, query: Record<string, string> = {}): Promise<T> {
    const { baseUrl } = this._settings;
    const [route, asked] = path.split('?');
    const url = URLExt.join(baseUrl, 'opg-magic', route) + (asked ? `?${asked}` : URLExt.objectToQueryString(query));
    const response = await ServerConnection.makeRequest(url, {}, this._settings);
    const text = await response.text();
    let said: unknown = null;
    try {
      said = JSON.parse(text);
    } catch {
      // Not of ours: a proxy's page, or a server without the extension.
    }
    if (!response.ok || said === null) {
      const { message, code, hint } = (said ?? {}) as { message?: string; code?: string; hint?: string | null };
      const words = [message ?? `The server answers ${response.status}.`, hint].filter(Boolean).join(' ');
      throw new ServerRefused(words, response.ok ? 404 : response.status, code ?? null);
    }
    return said as T;
  }
}

/** The status as last told, and the server behind it. */
export interface IStatusSource {
  readonly server: OpgServer;
  /** null before the first answer, and where the server has no such extension. */
  readonly current: IServerStatus | null;
  /** Settled once it is known whether there is a server extension. */
  readonly ready: Promise<boolean>;
  /** What is wrong, in words, where the server cannot tell. */
  readonly problem: string | null;
  readonly changed: ISignal<IStatusSource, void>;
  refresh(): Promise<void>;
}

export const IStatusSource = new Token<IStatusSource>('opg-magic:IStatusSource', "What the user's own server says: network, limits, spending.");

/** Seconds between two looks, while somebody looks. */
const EVERY = 15;

export class StatusSource implements IStatusSource {
  readonly ready: Promise<boolean>;
  private _current: IServerStatus | null = null;
  private _problem: string | null = null;
  private readonly _changed = new Signal<IStatusSource, void>(this);
  private readonly _poll: Poll;

  constructor(readonly server: OpgServer) {
    this._poll = new Poll({
      auto: false,
      factory: () => this._ask(),
      frequency: { interval: EVERY * 1000, backoff: true, max: 300_000 },
      name: 'opg-magic:status',
      standby: 'when-hidden'
    });
    this.ready = this._first();
  }

  get current(): IServerStatus | null {
    return this._current;
  }

  get problem(): string | null {
    return this._problem;
  }

  get changed(): ISignal<IStatusSource, void> {
    return this._changed;
  }

  async refresh(): Promise<void> {
    if (await this.ready) {
      await this._poll.refresh();
      await this._poll.tick.catch(() => undefined);
    }
  }

  dispose(): void {
    this._poll.dispose();
  }

  /** Whether there is such an extension; a server without it is not asked again. */
  private async _first(): Promise<boolean> {
    try {
      await this._ask();
    } catch (problem) {
      if (problem instanceof ServerRefused && problem.code === null && problem.status !== 429) {
        return false;
      }
    }
    await this._poll.start();
    return true;
  }

  private async _ask(): Promise<void> {
    try {
      this._current = await this.server.status();
      this._problem = null;
    } catch (problem) {
      this._current = null;
      this._problem = problem instanceof Error ? problem.message : String(problem);
      throw problem;
    } finally {
      this._changed.emit();
    }
  }
}

/** Say what went wrong, once and quietly. */
export function tell(problem: unknown): void {
  Notification.warning(problem instanceof Error ? problem.message : String(problem), { autoClose: 8000 });
}

export const statusPlugin: JupyterFrontEndPlugin<IStatusSource> = {
  id: 'opg-magic:status',
  description: "Asks the user's own server for network, limits, spending and running calls.",
  autoStart: true,
  provides: IStatusSource,
  activate: (app: JupyterFrontEnd): IStatusSource => {
    const source = new StatusSource(new OpgServer(app.serviceManager.serverSettings));
    source.changed.connect(() => {
      source.current?.hosts.forEach(host => hostNames.set(host.tee_id.toLowerCase(), host.name));
      checker.knowRoots((source.current?.simulated_roots ?? []).filter(root => /^[0-9a-f]{64}$/.test(root)));
      checker.knowPayees((source.current?.payees ?? []).filter(payee => /^0x[0-9a-fA-F]{40}$/.test(payee)));
    });
    // The page's own server, and no other: what a notebook names is never asked.
    void source.ready.then(answers => checker.setLedger(answers ? receipts => source.server.own(receipts) : null));
    return source;
  }
};
