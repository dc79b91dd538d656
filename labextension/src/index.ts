import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { badgePlugin } from './views/badge';
import { commandsPlugin } from './views/commands';
import { completerPlugin } from './editing/completer';
import { languagePlugin } from './editing/language';
import { launcherPlugin } from './views/launcher';
import { ledgerPlugin } from './views/ledger';
import { livePlugin } from './lab/live';
import { markPlugin } from './views/mark';
import { panelPlugin } from './views/panel';
import { receiptsPlugin } from './lab/model';
import { settingsPlugin } from './lab/settings';
import { statusPlugin } from './lab/status';
import { statusBarPlugin } from './views/status-bar';

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
