/** The panel's second tab: the user's own ledger. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { LEDGER } from './commands';
import { LateWidget } from '../card/late';
import { part } from '../base/load';
import { IStatusSource } from '../lab/status';
import { IReceiptsPanel } from '../card/tokens';

const TAB = 'opg-magic-ledger';

const view = part(() => import('./ledger-view'));

export const ledgerPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:ledger',
  description: "Shows the user's own ledger in a second tab, where their server has our extension.",
  autoStart: true,
  requires: [IStatusSource],
  optional: [IReceiptsPanel],
  activate: (app: JupyterFrontEnd, source: IStatusSource, panel: IReceiptsPanel | null) => {
    if (panel === null) {
      return;
    }
    let there = false;
    app.commands.addCommand(LEDGER, {
      label: 'Show My Ledger of AI Calls',
      isEnabled: () => there,
      execute: () => panel.show(TAB)
    });
    void source.ready.then(answers => {
      if (answers) {
        there = true;
        const content = new LateWidget(async () => {
          const { LedgerView } = await view();
          return new LedgerView(source.server, () => source.current?.token.decimals ?? 18);
        });
        panel.addTab({ id: TAB, title: 'Ledger', content });
        app.commands.notifyCommandChanged(LEDGER);
      }
    });
  }
};
