import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { MIME_TYPE } from './receipt/receipt';
import { ReceiptRenderer } from './card/renderer';

/** Before every other type: JSON of any kind, a widget, a picture beside a receipt would stand in the card's place. */
const RANK = -Infinity;

const extension: IRenderMime.IExtension = {
  id: 'opg-magic:receipt',
  description: 'Shows receipts of opg_magic, each judged by this browser.',
  rendererFactory: {
    safe: true,
    mimeTypes: [MIME_TYPE],
    createRenderer: options => new ReceiptRenderer(options)
  },
  rank: RANK,
  dataType: 'json'
};

export default extension;
