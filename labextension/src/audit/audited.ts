/**
 * What an auditor's table has of a receipt besides: the same columns, by the same names, as `opg_magic.receipts(columns="audit")`.
 * The checks are as the author's kernel found them. The kernel's twin is `opg_magic/ledger/row_cells.py`.
 */

import { toHex } from '../crypto/bytes';
import { isProblem, readFrame, SignedFields } from '../protocol/frame';
import type { Receipt } from '../receipt/receipt';
import { AUDIT_COLUMNS } from './audit-columns';

/** The cells of one receipt, as text; what is not known is empty. */
export function audited(receipt: Receipt): Record<string, string> {
  const { checked, payment, request, response, settlement } = receipt;
  const cells: Record<string, string | null | undefined> = {
    raw_sha256: response.raw_sha256,
    // The conversation's name; of one without a name, the ID of its first call.
    thread: receipt.thread && (receipt.thread.name ?? receipt.thread.earlier[0]?.receipt ?? receipt.id),
    settlement_mode: request.settlement,
    settlement_tx: settlement?.tx_hash,
    payer: payment?.authorisation.payer,
    payee: payment?.authorisation.pay_to,
    nonce: payment?.authorisation.nonce,
    payment_status: payment?.settled?.status,
    payment_tx: payment?.settled?.tx_hash
  };
  const signed = response.frame === null ? null : readFrame(response.frame).fields;
  if (signed !== null && !isProblem(signed)) {
    cells.request_hash = toHex(signed.requestHash);
    cells.output_hash = toHex(signed.outputHash);
    cells.signed_at = signedAt(signed);
  }
  for (const { name, status, basis } of checked?.claims ?? []) {
    cells[`check_${name}`] = basis === null ? status : `${status}:${basis}`;
  }
  return Object.fromEntries(AUDIT_COLUMNS.map(name => [name, cells[name] ?? '']));
}

/** The host's own time, where a table can hold it. */
function signedAt({ timestamp }: SignedFields): string {
  return timestamp < 1n << 33n ? new Date(Number(timestamp) * 1000).toISOString().replace('.000Z', '+00:00') : '';
}
