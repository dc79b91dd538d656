/** The item in the status bar: network (simulated in plain sight), what the day took of its limit, running calls. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Widget } from '@lumino/widgets';

import { formatUnits } from '../receipt/money';
import { IServerStatus, IStatusSource } from '../lab/status';
import { dress } from '../card/style';
import { SIMULATED } from '../face/tag';
import { CommandIDs } from '../card/tokens';

/** What the item shows, and what it says on demand. */
export function words(status: IServerStatus): { text: string; title: string } {
  const { network, token, limits, today, running } = status;
  const sum = (units: string): string => formatUnits(BigInt(units), token.decimals);
  const parts = [network.simulated ? SIMULATED : network.title];
  const lines = [
    network.simulated
      ? 'Simulated network: no hardware vouches for its answers, no real money is paid.'
      : `${network.title}: calls cost ${token.symbol}.`
  ];
  if (today === null) {
    parts.push('not running');
    lines.push('It starts with the first call.');
  } else {
    parts.push(`${sum(today.reserved)} of ${sum(limits.day)} ${token.symbol} today`);
    lines.push(
      `Counted against the limit of this UTC day: ${sum(today.reserved)} of ${sum(limits.day)} ${token.symbol}`,
      `(a payment that is not settled yet counts with its whole cap).`,
      `Settled, or claimed by the hosts: ${sum(today.cost)} ${token.symbol}.`
    );
  }
  if (running > 0) {
    parts.push(`${running} running`);
    lines.push(`${running === 1 ? 'One call is' : `${running} calls are`} running in your kernels.`);
  }
  lines.push(`Policy: ${status.policy}. By your settings; a kernel may have been told otherwise.`, 'Click for the receipts.');
  return { text: `opg: ${parts.join(' · ')}`, title: lines.join('\n') };
}

/** A button that tells the status. */
export class StatusItem extends Widget {
  constructor(
    private readonly _source: IStatusSource,
    private readonly _open: () => void
  ) {
    super({ node: document.createElement('button') });
    dress(this.node, 'opg-statusItem');
    (this.node as HTMLButtonElement).type = 'button';
    this.node.addEventListener('click', () => this._open());
    _source.changed.connect(this._show, this);
    this._show();
  }

  private _show(): void {
    const { current, problem } = this._source;
    const { text, title } =
      current !== null
        ? words(current)
        : { text: problem === null ? 'opg' : 'opg: status unknown', title: problem ?? 'Click for the receipts.' };
    this.node.textContent = text;
    this.node.title = title;
    this.node.setAttribute('aria-label', `${text}. Opens the receipts.`);
    this.toggleClass('opg-mod-simulated', current?.network.simulated ?? false);
  }
}

export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:status-bar',
  description: 'Shows network, spending of the day and running calls in the status bar.',
  autoStart: true,
  requires: [IStatusSource],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, source: IStatusSource, bar: IStatusBar | null) => {
    if (bar === null) {
      return;
    }
    void source.ready.then(there => {
      if (there) {
        const item = new StatusItem(source, () => {
          if (app.commands.hasCommand(CommandIDs.showPanel)) {
            void app.commands.execute(CommandIDs.showPanel);
          }
        });
        bar.registerStatusItem('opg-magic:status', { item, align: 'left', rank: 900 });
      }
    });
  }
};
