"""Write the corpus: one JSON line a case, with the verdict that the Python package comes to.

``python tests/corpus/generate.py FILE``: the other verifiers read that file and must come to the
same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.cases import Case, all_cases

from opg_magic.errors import ConfigError, UnreadableReceipt
from opg_magic.ledger.columns import AUDIT_COLUMNS
from opg_magic.ledger.records import LedgerRow
from opg_magic.ledger.row_cells import table_cells
from opg_magic.models import Trust, Verdict
from opg_magic.models.prompts import RouteName
from opg_magic.receipt.document import Receipt, signature_key
from opg_magic.receipt.face import FORMS
from opg_magic.verify import AUDIT, DEFAULT, STRICT, judge
from opg_magic.verify.policy import Policy, combine, requiring


def expected_of(case: Case) -> dict[str, Any] | None:
    """What Python says of it; None where it is no receipt that can be read."""
    try:
        receipt = Receipt.from_json(case.text)
    except UnreadableReceipt:
        return None
    evidence = receipt.evidence(seen_in=case.seen_in, paid_in=case.paid_in)
    evidence = replace(evidence, agreement_contradicted=case.contradicted)
    verdict = judge(evidence, policy=case.policy, trust=case.trust)
    return {
        **_verdict_json(verdict),
        "computed_digest": receipt.computed_digest,
        "digest_matches": receipt.digest_matches,
        "faithful": receipt.is_faithful,
    }


def audit_of(case: Case) -> dict[str, str] | None:
    """The cells of a table for an audit, as text; None where it is no receipt that can be read."""
    try:
        receipt = Receipt.from_json(case.text)
    except UnreadableReceipt:
        return None
    row = LedgerRow(receipt.id, receipt.created_at, receipt.document)
    cells = table_cells(row, audit=True)
    return {name: "" if cells[name] is None else _text(cells[name]) for name in AUDIT_COLUMNS}


def display_of(case: Case) -> dict[str, Any] | None:
    """Every display of it in each form, and what tells whether another receipt bears its signature;
    None where it is no receipt that can be read."""
    try:
        receipt = Receipt.from_json(case.text)
    except UnreadableReceipt:
        return None
    shown = {
        f"{form}, {'answer' if show else 'no answer'}": make(receipt, show=show, remarks=())
        for form, (_, _, make) in FORMS.items()
        if make is not None
        for show in (True, False)
    }
    return {"shown": shown, "signature": signature_key(receipt.signature)}


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.status.value,
        "simulated": verdict.simulated,
        "label": verdict.label,
        "withheld": verdict.withheld,
        "policy": verdict.policy,
        "because": [reason.partition(":")[0] for reason in verdict.because],
        "claims": {
            name: {
                "status": claim.status.value,
                "basis": None if claim.basis is None else claim.basis.value,
                "code": claim.code,
                "sentence": claim.sentence,
                "expires": None
                if claim.expires is None
                else claim.expires.isoformat(timespec="milliseconds"),
            }
            for name, claim in verdict.claims.items()
        },
    }


def _trust_json(trust: Trust) -> dict[str, Any]:
    return {
        "awsRootSha256": trust.aws_root_sha256,
        "simulatedRoots": sorted(trust.simulated_roots),
        "pinnedPcrs": sorted(trust.pinned_pcrs),
        "skewSeconds": trust.skew_seconds,
        "reader": trust.reader,
        "asked": sorted(trust.asked),
        "registry": trust.registry,
        "relay": trust.relay,
        "relaySenders": sorted(trust.relay_senders),
        "payees": sorted(trust.payees),
        "now": None if trust.now is None else trust.now.isoformat(),
    }


def line(case: Case, expected: dict[str, Any] | None) -> str:
    """One line of the corpus: the case, and what it comes to."""
    return json.dumps(
        {
            "name": case.name,
            "text": case.text,
            "trust": _trust_json(case.trust),
            "policy": case.policy.name,
            "seen": {
                "signatureIn": case.seen_in,
                "paymentIn": case.paid_in,
                "contradicted": case.contradicted,
            },
            "expected": expected,
            "audit": audit_of(case),
            "display": display_of(case),
        }
    )


def policies() -> list[dict[str, Any]]:
    """What two or three policies come to together; None where they contradict each other."""
    base = (DEFAULT, STRICT, AUDIT, requiring(STRICT, ["payment"]))
    routes: tuple[RouteName | None, ...] = (None, "direct", "private")
    known = [requiring(one, [], route) for one in base for route in routes]
    cases = [(), *product(known, repeat=2), *product(known[:3], repeat=3)]
    return [
        {"names": [policy.name for policy in group], "expected": _combined(group)}
        for group in cases
    ]


def _combined(group: tuple[Policy, ...]) -> dict[str, Any] | None:
    try:
        found = combine(*group)
    except ConfigError:
        return None
    return {
        "name": found.name,
        "required": sorted(found.required),
        "rpcs": found.rpcs,
        "withholdMissing": found.withhold_missing,
        "route": found.route,
    }


def write(path: Path, cases: Iterable[Case]) -> int:
    """Write the cases; how many there were."""
    lines = [line(case, expected_of(case)) for case in cases]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(f"{write(target, all_cases())} receipts in {target}")
