/** Written by scripts/vocabulary.py from opg_magic/ledger/columns.py: do not edit. */

export const AUDIT_COLUMNS: readonly string[] = [
  "signed_at",
  "request_hash",
  "output_hash",
  "raw_sha256",
  "payer",
  "payee",
  "nonce",
  "payment_status",
  "payment_tx",
  "thread",
  "settlement_mode",
  "settlement_tx",
  "check_request",
  "check_response",
  "check_signature",
  "check_freshness",
  "check_attestation",
  "check_registry",
  "check_channel",
  "check_payment",
  "check_settlement",
  "check_agreement",
  "check_weights"
];
