import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

import { MIME_TYPE } from './receipt';

/** Names the receipt, and shows nothing of an answer that nobody here has checked. */
class ReceiptRenderer extends Widget implements IRenderMime.IRenderer {
  constructor() {
    super();
    this.addClass('opg-receipt');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const receipt = model.data[MIME_TYPE] as { id?: unknown } | undefined;
    this.node.textContent = typeof receipt?.id === 'string' ? `Receipt ${receipt.id}, not checked` : 'A receipt, not checked';
  }
}

const extension: IRenderMime.IExtension = {
  id: 'opg-magic:receipt',
  description: 'Shows receipts of opg_magic.',
  rendererFactory: {
    safe: true,
    mimeTypes: [MIME_TYPE],
    createRenderer: () => new ReceiptRenderer()
  },
  rank: 1000, // below text/html, until it shows the card
  dataType: 'json'
};

export default extension;
