/** Commands: a question below, the line's settings, a pin; and where all commands stand: palette and menu. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, InputDialog, showDialog } from '@jupyterlab/apputils';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Menu } from '@lumino/widgets';

import { NEW_NOTEBOOK } from './launcher';
import { SETTINGS_ID } from './settings';
import { STOP } from './live';
import { tell } from './status';
import { CommandIDs, IEntry, IReceipts } from './tokens';

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

/** Code that an attestation proves here and now, and that is not pinned yet: hash to how many answers it gave. */
export function pinnable(entries: readonly IEntry[], pinned: readonly string[]): Map<string, number> {
  const known = new Set(pinned.map(hash => hash.toLowerCase()));
  const found = new Map<string, number>();
  for (const { verdict, findings } of entries) {
    const claim = verdict?.claims.attestation;
    const hash = claim?.status === 'passed' && claim.basis === 'proven' ? claim.facts.pcr_hash : null;
    if (typeof hash === 'string' && !known.has(hash.toLowerCase()) && !findings.some(one => one.level === 'failed')) {
      found.set(hash.toLowerCase(), (found.get(hash.toLowerCase()) ?? 0) + 1);
    }
  }
  return found;
}

async function pin(receipts: IReceipts, registry: ISettingRegistry): Promise<void> {
  const settings = await registry.load(SETTINGS_ID);
  const pinned = (settings.composite['pinnedPcrs'] ?? []) as string[];
  const found = pinnable(receipts.current?.entries ?? [], pinned);
  if (found.size === 0) {
    await showDialog({
      title: 'Nothing to pin',
      body: 'No answer in this notebook comes from attested code that is not pinned already.',
      buttons: [Dialog.okButton()]
    });
    return;
  }
  const items = [...found].map(([hash, answers]) => `${hash} (${answers} ${answers === 1 ? 'answer' : 'answers'})`);
  const chosen = await InputDialog.getItem({
    title: 'Accept this code by your own review?',
    label: pinned.length
      ? 'It is added to the code that you accept.'
      : 'From then on, only code that you pinned is accepted, in every notebook.',
    items,
    okLabel: 'Pin'
  });
  if (chosen.button.accept && chosen.value) {
    await settings.set('pinnedPcrs', [...pinned, chosen.value.split(' ')[0]]);
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
      label: 'Pin the Code of This Notebook’s Answers …',
      caption: 'Accept attested code by your own review',
      isEnabled: () => receipts?.current !== null && receipts?.current !== undefined && registry !== null,
      execute: () => (receipts !== null && registry !== null ? pin(receipts, registry).catch(tell) : undefined)
    });
    commands.addCommand(SETTINGS, {
      label: 'Settings of AI Receipts',
      isEnabled: () => commands.hasCommand('settingeditor:open'),
      execute: () => commands.execute('settingeditor:open', { query: 'AI answers that check themselves' })
    });
    // The others come with their own parts, in whatever order those start.
    void app.started.then(() => {
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
    });
  }
};
