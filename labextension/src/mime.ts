import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';

/** MIME type of a receipt in a notebook's output. */
export const MIME_TYPE = 'application/vnd.opg.receipt.v1+json';

/** Shows the answer of a receipt as plain text; never HTML. */
class ReceiptRenderer extends Widget implements IRenderMime.IRenderer {
  constructor() {
    super();
    this.addClass('opg-receipt');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const receipt = model.data[MIME_TYPE] as { response?: { text?: unknown } } | undefined;
    const text = receipt?.response?.text;
    this.node.textContent = typeof text === 'string' ? text : '';
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
  rank: 0,
  dataType: 'json'
};

export default extension;
