"""A report as CSV: one row per receipt, one column per check, for a spreadsheet or a script."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from opg_magic.audit.findings import Checked, Finding
from opg_magic.ledger.formats.csv import guarded
from opg_magic.models import CLAIM_NAMES

#: The columns before those of the checks.
COLUMNS = (
    "id",
    "where",
    "created_at",
    "verdict",
    "state",
    "verdict_when_made",
    "because",
    "findings",
    "model",
    "tee_id",
    "token",
    "claimed_base_units",
    "settled_base_units",
    "digest",
)


def csv_text(checked: Sequence[Checked], findings: Sequence[Finding]) -> str:
    """The whole table with its head.

    ``state`` is ``accepted``, ``failed when made``, ``failed`` or ``open``; each check has its
    status and, after a colon, what it rests on.  An apostrophe stands where a spreadsheet could see
    a formula begin."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow([*COLUMNS, *CLAIM_NAMES])
    told: dict[str | None, list[Finding]] = {}
    for finding in findings:
        told.setdefault(finding.receipt_id, []).append(finding)
    for one in checked:
        writer.writerow(guarded(cell) for cell in _row(one, told.get(one.receipt.id, [])))
    return out.getvalue()


def _row(one: Checked, findings: Sequence[Finding]) -> Iterator[str]:
    document, cost = one.receipt.document, one.receipt.cost
    unit = cost.cap or cost.amount
    yield from (one.receipt.id, one.where, document["created_at"], one.label)
    yield state(one, findings)
    yield one.receipt.label
    yield "; ".join(one.verdict.because)
    yield "; ".join(f"{f.level} {f.code}" for f in findings)
    yield document["request"]["model_requested"]
    yield (document["host"] or {}).get("tee_id") or ""
    yield unit.token.symbol if unit else ""
    yield str(cost.amount.amount) if cost.amount else ""
    yield str(cost.settled.amount) if cost.settled else ""
    yield one.receipt.digest
    for name in CLAIM_NAMES:
        claim = one.verdict.claims.get(name)
        basis = f":{claim.basis}" if claim is not None and claim.basis else ""
        yield f"{claim.status}{basis}" if claim is not None else ""


def state(one: Checked, findings: Sequence[Finding]) -> str:
    """What a receipt comes to in one word: see :func:`csv_text`."""
    if any(finding.level == "failed" for finding in findings):
        return "failed"
    if one.failed:
        return "failed when made" if one.failed_when_made else "failed"
    return "accepted" if one.accepted else "open"
