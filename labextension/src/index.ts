import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { badgePlugin } from './badge';
import { commandsPlugin } from './commands';
import { completerPlugin } from './completer';
import { languagePlugin } from './language';
import { launcherPlugin } from './launcher';
import { ledgerPlugin } from './ledger';
import { livePlugin } from './live';
import { markPlugin } from './mark';
import { panelPlugin } from './panel';
import { receiptsPlugin } from './model';
import { settingsPlugin } from './settings';
import { statusPlugin } from './status';
import { statusBarPlugin } from './statusbar';

/** All plugins of the extension, one a feature; the renderer stands in `mime.ts`. */
const plugins: JupyterFrontEndPlugin<any>[] = [
  settingsPlugin,
  receiptsPlugin,
  panelPlugin,
  markPlugin,
  badgePlugin,
  languagePlugin,
  completerPlugin,
  livePlugin,
  statusPlugin,
  statusBarPlugin,
  ledgerPlugin,
  launcherPlugin,
  commandsPlugin
];

export default plugins;
