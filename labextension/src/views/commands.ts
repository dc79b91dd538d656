/** Commands: a question below, the line's settings, a pin; and where all commands stand: palette and menu. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Menu } from '@lumino/widgets';

import { NEW_NOTEBOOK } from './launcher';
import { STOP } from '../lab/live';
import { part } from '../base/load';
import { tell } from '../lab/status';
import { CommandIDs, IReceipts } from '../card/tokens';

export const ASK = 'opg-magic:insert-question';
export const PIN = 'opg-magic:pin-code';
export const SETTINGS = 'opg-magic:settings';
export const LEDGER = 'opg-magic:show-ledger';

/** All commands in the order of palette and menu; null: a line between. */
export const ORDER: readonly (string | null)[] = [
  CommandIDs.showPanel,
  LEDGER,
  CommandIDs.recheck,
  CommandIDs.askRegistry,
  CommandIDs.nextFailed,
  null,
  CommandIDs.exportJsonl,
  CommandIDs.exportCsv,
  null,
  ASK,
  STOP,
  NEW_NOTEBOOK,
  null,
  PIN,
  SETTINGS
];

/** What few ever open. */
const pinning = part(() => import('../lab/pinning'));

/** Put all commands that there are into palette and menu. */
function place(commands: JupyterFrontEnd['commands'], palette: ICommandPalette | null, mainMenu: IMainMenu | null): void {
  const there = ORDER.filter(id => id === null || commands.hasCommand(id));
  for (const command of there) {
    if (command !== null) {
      palette?.addItem({ command, category: 'Verified AI' });
    }
  }
  if (mainMenu !== null) {
    const menu = new Menu({ commands });
    menu.id = 'opg-magic-menu';
    menu.title.label = 'Verified AI';
    for (const command of there) {
      menu.addItem(command === null ? { type: 'separator' } : { command });
    }
    mainMenu.addMenu(menu, true, { rank: 95 });
  }
}

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:commands',
  description: 'Commands, their places in palette and menu, their shortcuts.',
  autoStart: true,
  optional: [INotebookTracker, IReceipts, ISettingRegistry, ICommandPalette, IMainMenu],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    receipts: IReceipts | null,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null,
    mainMenu: IMainMenu | null
  ) => {
    const { commands } = app;
    const notebook = () => notebooks?.currentWidget ?? null;
    commands.addCommand(ASK, {
      label: 'Insert an AI Question Below',
      caption: 'A cell that begins with %%opg',
      isEnabled: () => notebook() !== null,
      execute: async () => {
        const panel = notebook();
        if (panel !== null) {
          NotebookActions.insertBelow(panel.content);
          NotebookActions.changeCellType(panel.content, 'code');
          const cell = panel.content.activeCell;
          cell?.model.sharedModel.setSource('%%opg \n');
          panel.content.mode = 'edit';
          await cell?.ready;
          cell?.editor?.setCursorPosition({ line: 1, column: 0 });
        }
      }
    });
    commands.addCommand(PIN, {
      label: 'Code That You Accept (Pins) …',
      caption: 'Accept attested code by your own review',
      isEnabled: () => registry !== null,
      execute: async () => {
        try {
          await (await pinning()).pin(receipts?.current?.entries ?? [], registry!);
        } catch (problem) {
          tell(problem);
        }
      }
    });
    commands.addCommand(SETTINGS, {
      label: 'Settings of AI Receipts',
      isEnabled: () => commands.hasCommand('settingeditor:open'),
      execute: () => commands.execute('settingeditor:open', { query: 'AI answers that check themselves' })
    });
    // The others come with their own parts, in whatever order those start.
    void app.started.then(() => place(commands, palette, mainMenu));
  }
};
