/** A widget whose content is loaded when it is first seen. */

import type { Message } from '@lumino/messaging';
import { Panel, type Widget } from '@lumino/widgets';

import { h } from './dom';
import { dress } from './style';

export class LateWidget extends Panel {
  private _state: 'empty' | 'loading' | 'there' = 'empty';

  constructor(private readonly _make: () => Promise<Widget>) {
    super();
    dress(this.node, 'opg-late');
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this._fill();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      void this._fill();
    }
  }

  private async _fill(): Promise<void> {
    if (this._state !== 'empty') {
      return;
    }
    this._state = 'loading';
    try {
      const content = await this._make();
      this._state = 'there';
      if (this.isDisposed) {
        content.dispose();
        return;
      }
      this.node.replaceChildren();
      this.addWidget(content);
    } catch (problem) {
      // Shown again, it tries again.
      this._state = 'empty';
      this.node.replaceChildren(h('p', { class: 'opg-note', role: 'alert' }, problem instanceof Error ? problem.message : String(problem)));
    }
  }
}
