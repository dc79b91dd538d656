"""The receipts of a table's calls for its cell's output: whoever opens the notebook has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opg_magic.receipt import table
from opg_magic.receipt.face.table import table_text

if TYPE_CHECKING:
    from opg_magic.ledger.store import Ledger
    from opg_magic.receipt.document import Receipt


def taken_along(ledger: Ledger, ids: Sequence[str], counts: table.Counts) -> dict[str, Any] | None:
    """Return the MIME bundle with these receipts as they were made, or with their digests where
    they are too many; None without any.  Raises LedgerError."""
    digests = ledger.digests(ids)
    there = [one for one in ids if one in digests]
    if not there:
        return None
    if len(there) <= table.MOST_TRIED:
        read: list[Receipt] = []

        def one_by_one() -> Any:
            for receipt in ledger.receipts(there, as_made=True):
                read.append(receipt)
                yield receipt

        value = table.packed(one_by_one(), counts)
        if value is not None:
            return {"text/plain": table_text(counts, read), table.MIME_TYPE: value}
    value = table.named([digests[one] for one in there], counts)
    text = table_text(counts, None, len(there))
    return {"text/plain": text} | ({} if value is None else {table.MIME_TYPE: value})
