/** "Verified notebook": a new notebook that loads the extension and holds a first question. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';
import type { INotebookContent } from '@jupyterlab/nbformat';
import type { KernelSpec, ServiceManager } from '@jupyterlab/services';
import { LabIcon } from '@jupyterlab/ui-components';

import { tell } from '../lab/status';

export const NEW_NOTEBOOK = 'opg-magic:new-notebook';

/** A check mark on a sheet; its colours are the theme's. */
export const verifiedIcon = new LabIcon({
  name: 'opg-magic:verified-notebook',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><g class="jp-icon3" fill="#616161">' +
    '<path d="M6 2h9l5 5v15H4V2zm0 2v16h12V8h-4V4zm5 13.4L7.6 14 9 12.6l2 2 4.4-4.4 1.4 1.4z"/></g></svg>'
});

/** The kernel that a new notebook gets: the default one if it speaks Python, else the first that does. */
export function pythonSpec(specs: KernelSpec.ISpecModels | null): KernelSpec.ISpecModel | null {
  const all = Object.values(specs?.kernelspecs ?? {}).filter((spec): spec is KernelSpec.ISpecModel => spec !== undefined);
  const python = all.filter(spec => spec.language.toLowerCase() === 'python');
  return python.find(spec => spec.name === specs?.default) ?? python[0] ?? null;
}

/** What stands in a new notebook. */
export function content(spec: KernelSpec.ISpecModel | null): INotebookContent {
  const cells = [
    {
      cell_type: 'markdown',
      metadata: {},
      source:
        '# Verified notebook\n\nEach `%%opg` cell asks a model on an attested host. The answer is checked on this machine, ' +
        'and its receipt stays in this file: whoever opens it can check it again, without running anything.\n\n' +
        'A new kernel uses the *simulated* network: no key, no money, and nothing that is vouched for by hardware. ' +
        '`%opg help` tells the rest.'
    },
    { cell_type: 'code', metadata: {}, source: '%load_ext opg_magic', outputs: [], execution_count: null },
    {
      cell_type: 'code',
      metadata: {},
      source: '%%opg answer\nWhat does a trusted execution environment protect against, and what not?',
      outputs: [],
      execution_count: null
    }
  ];
  return {
    cells: cells as INotebookContent['cells'],
    metadata: spec
      ? {
          kernelspec: { name: spec.name, display_name: spec.display_name, language: spec.language },
          language_info: { name: 'python' }
        }
      : {},
    nbformat: 4,
    nbformat_minor: 4
  };
}

/** Make the file; its path. */
export async function create(services: ServiceManager.IManager, folder: string): Promise<string> {
  await services.kernelspecs.ready;
  const spec = pythonSpec(services.kernelspecs.specs);
  const { path } = await services.contents.newUntitled({ path: folder, type: 'notebook' });
  await services.contents.save(path, { type: 'notebook', format: 'json', content: content(spec) });
  return path;
}

export const launcherPlugin: JupyterFrontEndPlugin<void> = {
  id: 'opg-magic:launcher',
  description: 'Makes a notebook that begins with a %%opg cell.',
  autoStart: true,
  optional: [ILauncher],
  activate: (app: JupyterFrontEnd, launcher: ILauncher | null) => {
    const { commands, serviceManager } = app;
    commands.addCommand(NEW_NOTEBOOK, {
      label: args => (args['isLauncher'] ? 'Verified notebook' : 'New Verified Notebook'),
      caption: 'A notebook whose AI answers can be checked by whoever opens it',
      icon: verifiedIcon,
      execute: async args => {
        const cwd = typeof args['cwd'] === 'string' ? args['cwd'] : '';
        try {
          const path = await create(serviceManager, cwd);
          return await commands.execute('docmanager:open', { path, factory: 'Notebook' });
        } catch (problem) {
          tell(problem);
          return undefined;
        }
      }
    });
    launcher?.add({ command: NEW_NOTEBOOK, args: { isLauncher: true }, category: 'Notebook', rank: 90 });
  }
};
