"""What all receipts of a file have in common, looked up once for all of them."""

from __future__ import annotations

from collections.abc import Iterable

from opg_magic.receipt.document import Receipt, signature_key


class Index:
    """The receipts of a file by digest, by signature and by payment."""

    def __init__(self, receipts: Iterable[Receipt]) -> None:
        #: By the digest of the receipt as it was made.
        self.by_digest: dict[str, Receipt] = {}
        signatures: dict[str, set[tuple[str, str]]] = {}
        transactions: dict[str, set[tuple[str, str]]] = {}
        for receipt in receipts:
            call = receipt.original().computed_digest
            self.by_digest[call] = receipt
            key = signature_key(receipt.signature)
            if key is not None:
                signatures.setdefault(key, set()).add((receipt.id, call))
            paid = _transaction(receipt)
            if paid is not None:
                transactions.setdefault(paid[0], set()).add((receipt.id, paid[1]))
        self._signatures = {key: sorted(found) for key, found in signatures.items()}
        self._transactions = {key: sorted(found) for key, found in transactions.items()}

    def signed_elsewhere(self, receipt: Receipt) -> list[str]:
        """Ids of other calls' receipts that bear this one's signature (attack 14); of very many the
        first."""
        found = self._signatures.get(signature_key(receipt.signature) or "", [])
        return _of_others(found, receipt.original().computed_digest)

    def paid_elsewhere(self, receipt: Receipt) -> list[str]:
        """Ids of receipts that claim this one's payment transaction under another nonce (attack
        23)."""
        paid = _transaction(receipt)
        return [] if paid is None else _of_others(self._transactions.get(paid[0], []), paid[1])


#: Of receipts that share what they should not, so many are named: a file may hold ten thousand
#: copies.
_MOST_NAMED = 8


def _of_others(found: list[tuple[str, str]], own: str) -> list[str]:
    """Ids of those (id, what it is) that are something else."""
    others: list[str] = []
    for id, what in found:
        if what != own and id not in others:
            others.append(id)
            if len(others) == _MOST_NAMED:
                break
    return others


def _transaction(receipt: Receipt) -> tuple[str, str] | None:
    """(transaction, nonce that was signed) of a receipt's payment."""
    payment = receipt.document["payment"]
    settled = (payment or {}).get("settled")
    if settled is None or settled["tx_hash"] is None:
        return None
    return settled["tx_hash"], payment["authorisation"]["nonce"]
