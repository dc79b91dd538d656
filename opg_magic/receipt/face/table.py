"""Form ``table 1``: what a cell shows of a table's receipts.  Made of the value and of the receipts
in it alone; ``labextension/src/audit/tables.ts`` makes the same bytes.

The answers do not stand here, so nothing here says what a table shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from opg_magic.receipt.document import Receipt
from opg_magic.receipt.face.figures import money
from opg_magic.receipt.table import MOST_NAMED, Counts

#: What the author's kernel found, in the order in which it is counted.
FOUND = (
    *("verified", "partially verified", "not verified", "withheld", "failed"),
    *("without an answer", "not checked"),
)


def table_text(counts: Counts, receipts: Sequence[Receipt] | None, elsewhere: int = 0) -> str:
    """The text below a table's cell.  ``receipts`` None: they are ``elsewhere``, so many, and named
    by their digests as far as these fit."""
    lines = [
        "──── opg receipts · table 1 ────",
        f"{counts.rows:,} rows · {counts.figures} (the author's figures)",
    ]
    if receipts is None and elsewhere > MOST_NAMED:
        lines += [
            f"Receipts: {elsewhere:,}, too many for a notebook, as are their digests. They are in "
            "the author's ledger.",
        ]
        return "\n".join(lines)
    if receipts is None:
        lines += [
            f"Receipts: {elsewhere:,}, too many for a notebook. They are in the author's ledger; "
            "this cell holds their digests.",
            "  Export them: opg receipts export receipts.jsonl --notebook NAME.ipynb",
            "  Check them:  opg verify NAME.ipynb receipts.jsonl",
        ]
        return "\n".join(lines)
    simulated = any(receipt.simulated for receipt in receipts)
    hosts = {(receipt.document["host"] or {}).get("tee_id") for receipt in receipts} - {None}
    facts = [
        f"Receipts in this cell: {len(receipts):,}",
        f"{_found(receipts)} by the author's kernel",
        f"hosts: {len(hosts):,}",
        *(f"cost: {sum_} claimed" for sum_ in _sums(receipts)),
        *(["[simulated network]"] if simulated else []),
    ]
    lines += [
        " · ".join(facts),
        "  Not covered: which row got which answer, and tables that other cells show.",
        f"  opg verify notebook.ipynb{' --allow-simulated' if simulated else ''}",
    ]
    return "\n".join(lines)


def _found(receipts: Sequence[Receipt]) -> str:
    counts = Counter(map(_state, receipts))
    return ", ".join(f"{counts[what]:,} {what}" for what in FOUND if counts[what])


def _state(receipt: Receipt) -> str:
    checked, response = receipt.document["checked"], receipt.document["response"]
    if response["text"] is None and response["tool_calls"] is None:
        return "without an answer"
    if checked is None:
        return "not checked"
    if checked["verdict"] == "FAILED":
        return "failed"
    if receipt.withheld:
        return "withheld"
    words = {"PARTIAL": "partially verified", "UNVERIFIED": "not verified"}
    return words.get(checked["verdict"], "verified")


def _sums(receipts: Sequence[Receipt]) -> Iterator[str]:
    """What the hosts claim, one sum per token."""
    sums: dict[tuple[int, str, str, int], int] = {}
    for receipt in receipts:
        payment = receipt.document["payment"]
        if payment is None or payment["cost"] is None or payment["charge"] == "not charged":
            continue
        token = payment["cost"]["token"]
        key = (token["chain_id"], token["address"], token["symbol"], token["decimals"])
        sums[key] = sums.get(key, 0) + int(payment["cost"]["amount"])
    for (_, _, symbol, decimals), amount in sums.items():
        token = {"symbol": symbol, "decimals": decimals}
        yield money({"amount": str(amount), "token": token})
