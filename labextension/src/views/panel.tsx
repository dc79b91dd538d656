/** The panel in the side bar: all receipts of the open notebook, what is wrong first. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { LabIcon, ReactWidget } from '@jupyterlab/ui-components';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { BoxLayout, StackedPanel, TabBar, Widget } from '@lumino/widgets';
import * as React from 'react';

import { checker } from '../audit/check';
import { part } from '../base/load';
import { tell } from '../lab/status';
import { dress, ours } from '../card/style';
import { CommandIDs, IReceipts, IReceiptsPanel } from '../card/tokens';
import * as words from '../card/words';

export const receiptIcon = new LabIcon({
  name: 'opg-magic:receipt',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3" fill="#616161" d="M5 2v20l2.3-1.5L9.7 22l2.3-1.5 2.3 1.5 2.4-1.5L19 22V2H5zm5.7 14.2-3.6-3.6 1.4-1.4 2.2 2.2 4.8-4.8 1.4 1.4-6.2 6.2z"/></svg>'
});

/** What nobody needs who does not look at the panel. */
const listing = part(() => import('./listing'));
const exporting = part(() => import('../lab/exporting'));

/** The first tab: whichever notebook is open. */
class NotebookTab extends ReactWidget {
  private _listing: typeof import('./listing') | null = null;
  private _problem: string | null = null;

  constructor(
    private readonly _receipts: IReceipts,
    private readonly _nameOf: () => string
  ) {
    super();
    dress(this.node, 'opg-Tab');
    _receipts.currentChanged.connect(() => this.update(), this);
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._problem = null;
    this.update();
  }

  private async _load(): Promise<void> {
    try {
      this._listing = await listing();
      this._problem = null;
    } catch (error) {
      this._problem = String(error instanceof Error ? error.message : error);
    }
    this.update();
  }

  protected render(): JSX.Element {
    const model = this._receipts.current;
    if (model === null) {
      return (
        <div className={ours('opg-empty')}>
          <p>Open a notebook to see its AI answers and what this browser makes of them.</p>
        </div>
      );
    }
    if (this._listing === null) {
      if (this.isVisible && this._problem === null) {
        void this._load();
      }
      return <div className={ours('opg-empty')}>{this._problem !== null && <p role="alert">{this._problem}</p>}</div>;
    }
    const { Listing } = this._listing;
    return <Listing key={this._nameOf()} model={model} name={this._nameOf()} />;
  }
}

/** The panel: one tab after another. */
class ReceiptsPanel extends Widget implements IReceiptsPanel {
  private readonly _bar = new TabBar<Widget>({ orientation: 'horizontal' });
  private readonly _stack = new StackedPanel();

  constructor(private readonly _activate: () => void) {
    super();
    this.id = 'opg-magic-receipts';
    this.title.icon = receiptIcon;
    this.title.caption = 'AI answers and their receipts';
    dress(this.node, 'opg-Panel');
    dress(this._bar.node, 'opg-Panel-tabs');
    const layout = new BoxLayout({ direction: 'top-to-bottom', spacing: 0 });
    BoxLayout.setStretch(this._bar, 0);
    BoxLayout.setStretch(this._stack, 1);
    layout.addWidget(this._bar);
    layout.addWidget(this._stack);
    this.layout = layout;
    this._bar.currentChanged.connect((_, { currentTitle }) => {
      for (const widget of this._stack.widgets) {
        widget.setHidden(widget !== currentTitle?.owner);
      }
    });
  }

  addTab(tab: { id: string; title: string; content: Widget }): IDisposable {
    const { content } = tab;
    content.id = tab.id;
    content.title.label = tab.title;
    content.node.setAttribute('role', 'tabpanel');
    content.node.setAttribute('aria-label', tab.title);
    this._stack.addWidget(content);
    content.setHidden(this._stack.widgets.length > 1);
    this._bar.addTab(content.title);
    this._bar.setHidden(this._bar.titles.length < 2);
    return new DisposableDelegate(() => {
      this._bar.removeTab(content.title);
      content.parent = null;
      this._bar.setHidden(this._bar.titles.length < 2);
    });
  }

  show(id?: string): void {
    super.show();
    const title = this._bar.titles.find(one => one.owner.id === id);
    if (title !== undefined) {
      this._bar.currentTitle = title;
    }
    if (id !== undefined) {
      this._activate();
    }
  }
}

const NOTEBOOK_TAB = 'opg-magic-notebook';

const has = (receipts: IReceipts): boolean => (receipts.current?.entries.length ?? 0) > 0;

/** The commands that write the receipts of the open notebook to a file. */
function addExports({ commands }: JupyterFrontEnd, receipts: IReceipts, name: () => string): void {
  const save = async (type: 'jsonl' | 'csv'): Promise<void> => {
    const entries = receipts.current?.entries ?? [];
    try {
      (await exporting()).saveAs(type, name(), entries);
    } catch (problem) {
      tell(problem);
    }
  };
  commands.addCommand(CommandIDs.exportJsonl, {
    label: 'Export Receipts of This Notebook (JSONL)',
    isEnabled: () => has(receipts),
    execute: () => save('jsonl')
  });
  commands.addCommand(CommandIDs.exportCsv, {
    label: 'Export Receipts of This Notebook (CSV)',
    isEnabled: () => has(receipts),
    execute: () => save('csv')
  });
}

/** The commands that check the open notebook, and lead to what failed. */
function addChecks({ commands }: JupyterFrontEnd, receipts: IReceipts, tracker: INotebookTracker): void {
  commands.addCommand(CommandIDs.recheck, {
    label: 'Check the Receipts of This Notebook Again',
    isEnabled: () => has(receipts),
    execute: () => receipts.current?.refresh()
  });
  commands.addCommand(CommandIDs.askRegistry, {
    label: 'Ask the Registry About the Hosts in This Notebook',
    isEnabled: () => has(receipts) && checker.canAsk,
    execute: () => receipts.current?.askRegistry()
  });
  commands.addCommand(CommandIDs.nextFailed, {
    label: 'Go to the Next Failed AI Answer',
    isEnabled: () => (receipts.current?.summary.failed ?? 0) > 0,
    execute: async () => {
      const model = receipts.current;
      const failed = model?.entries.filter(words.hasFailed) ?? [];
      const at = tracker.currentWidget?.content.activeCellIndex ?? -1;
      const next = failed.find(entry => entry.cell > at) ?? failed[0];
      if (next !== undefined) {
        await model!.reveal(next);
      }
    }
  });
}

export const panelPlugin: JupyterFrontEndPlugin<IReceiptsPanel> = {
  id: 'opg-magic:panel',
  description: 'Lists the receipts of the open notebook in the side bar.',
  autoStart: true,
  requires: [IReceipts, INotebookTracker],
  provides: IReceiptsPanel,
  activate: (
    app: JupyterFrontEnd,
    receipts: IReceipts,
    tracker: INotebookTracker
  ): IReceiptsPanel => {
    const activate = (): void => app.shell.activateById(panel.id);
    const panel = new ReceiptsPanel(activate);
    const name = (): string => tracker.currentWidget?.context.path.replace(/^.*\//, '') ?? '';
    panel.addTab({ id: NOTEBOOK_TAB, title: 'Notebook', content: new NotebookTab(receipts, name) });
    app.shell.add(panel, 'right', { rank: 600, type: 'AI answers' });

    app.commands.addCommand(CommandIDs.showPanel, {
      label: 'Show AI Answers and Their Receipts',
      icon: receiptIcon,
      execute: () => panel.show(NOTEBOOK_TAB)
    });
    addExports(app, receipts, name);
    addChecks(app, receipts, tracker);
    return panel;
  }
};
