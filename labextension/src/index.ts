import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { badgePlugin } from './badge';
import { markPlugin } from './mark';
import { panelPlugin } from './panel';
import { receiptsPlugin } from './model';
import { settingsPlugin } from './settings';

/** All plugins of the extension, one a feature; the renderer stands in `mime.ts`. */
const plugins: JupyterFrontEndPlugin<any>[] = [
  settingsPlugin,
  receiptsPlugin,
  panelPlugin,
  markPlugin,
  badgePlugin
];

export default plugins;
