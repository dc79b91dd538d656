import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

/** All plugins of the extension. */
const plugins: JupyterFrontEndPlugin<unknown>[] = [];

export default plugins;
