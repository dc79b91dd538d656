"""Receipts of one file that tell of each other: what `opg verify` says of them, and what the
browser must say, too.

Their registry is asked, or not; an agreement is never taken further than what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support import signing
from support.agreeing import Listed, by, told
from support.chains import agreed, settled
from support.signed_receipts import jsonl, verify

from opg_magic.errors import NetworkUnavailable, OpgError, RpcsDisagree
from opg_magic.models import Host
from opg_magic.receipt.document import Receipt, supplemented
from opg_magic.receipt.form import digest
from opg_magic.receipt.parts.registry import registry_json
from opg_magic.receipt.supplements import supplement_json

#: What is said of receipts together; all else is compared by the rest of the corpus.
TOGETHER = frozenset({"agreement-differs", "rpcs-disagree", "registry-not-asked"})


@dataclass(frozen=True)
class FileCase:
    """``asked``: what the registry says of each host, None where nobody asks; ``want``: status and
    basis of the first receipt's agreement."""

    name: str
    want: tuple[str, str | None]
    receipts: tuple[Receipt, ...]
    asked: dict[str, Host | OpgError | None] | None = field(default=None)


def all_files() -> Iterator[FileCase]:
    anna, boris = by("anna"), by("boris")
    hosts = {one.evidence().host.tee_id: one.evidence().host for one in (anna, boris)}  # type: ignore[union-attr]
    own, other = (one.evidence().host for one in (anna, boris))
    assert own is not None and other is not None

    def bound(*members: Any) -> Receipt:
        return supplemented(anna, {"agreement": supplement_json(agreed(members))})

    honest = bound(told(anna), told(boris))
    yield FileCase("agreement, nobody asked", ("passed", "recorded"), (honest, boris))
    yield FileCase("agreement alone, nobody asked", ("passed", "recorded"), (honest,))
    yield FileCase("agreement, all asked", ("passed", "asked"), (honest, boris), {**hosts})
    yield FileCase("agreement alone, all asked", ("passed", "recorded"), (honest,), {**hosts})
    answers: dict[str, tuple[tuple[str, str | None], Host | OpgError | None]] = {
        "attack_40 one owner for both": (("failed", "asked"), replace(other, owner=own.owner)),
        "attack_40 another owner": (("failed", "asked"), replace(other, owner="0x" + "99" * 20)),
        "attack_40 a host that is not listed": (("failed", "asked"), None),
        "a host that cannot be asked for": (("passed", "recorded"), NetworkUnavailable("down")),
        "RPCs that disagree about a host": (("passed", "recorded"), RpcsDisagree("a and b")),
    }
    for name, (want, answer) in answers.items():
        for whole in (True, False):
            held = (honest, boris) if whole else (honest,)
            yield FileCase(
                f"{name}{'' if whole else ', alone'}", want, held, {**hosts, other.tee_id: answer}
            )
    forged = bound(told(anna), replace(told(boris), owner="0x" + "77" * 20))
    yield FileCase(
        "attack_40 an owner that the receipt does not name",
        ("passed", "recorded"),
        (forged, boris),
        {**hosts},
    )
    words = bound(
        told(anna), replace(told(boris), digest=told(boris).digest, receipt_id="0000000000")
    )
    yield FileCase("another receipt's id", ("passed", "recorded"), (words, boris), {**hosts})
    first, second = (paid_in(one, chain) for one, chain in ((anna, "8453"), (boris, "10")))
    yield FileCase(
        "attack_40 one transaction for two payments, the other on another chain",
        ("not_applicable", None),
        (first, second),
    )
    lone = bound(told(anna), replace(told(boris), owner=own.owner))
    yield FileCase("one owner, by the author's own word", ("missing", None), (lone,))


def paid_in(one: Receipt, chain: str) -> Receipt:
    """A later version, whose payment was settled by the transaction of all others; the nonce is its
    own."""
    document = one.document
    nonce = str(int(document["payment"]["authorisation"]["nonce"]) + len(chain))
    signed = {**document["payment"]["authorisation"], "nonce": nonce}
    document = {**document, "payment": {**document["payment"], "authorisation": signed}}
    own = Receipt({**document, "digest": digest(document)})
    found = replace(settled(own.evidence()), chain_id=int(chain))
    return supplemented(own, {"payment": supplement_json(found)})


def said_of(case: FileCase, folder: Path) -> dict[str, Any]:
    """What `opg verify` says of each receipt, by its id."""
    reader = None if case.asked is None else Listed(*case.receipts, change=dict(case.asked))
    report = verify(jsonl(folder, *case.receipts), rpc_reader=reader)
    said: dict[str, Any] = {}
    for one in report.checked:
        claims = one.verdict.claims
        said[one.receipt.id] = {
            "label": one.label,
            "agreement": [
                claims["agreement"].status,
                claims["agreement"].basis,
                claims["agreement"].code,
            ],
            "bases": {name: claim.basis for name, claim in claims.items()},
            "findings": sorted(
                f"{f.level} {f.code}: {f.message}"
                for f in report.findings
                if f.receipt_id == one.receipt.id and f.code in TOGETHER
            ),
        }
    return said


def line(case: FileCase, folder: Path) -> str:
    known = case.receipts[0].evidence().registry
    assert known is not None
    asked: dict[str, Any] = {}
    for tee_id, answer in (case.asked or {}).items():
        if isinstance(answer, RpcsDisagree):
            asked[tee_id] = {"disagreement": answer.message}
        elif isinstance(answer, OpgError):
            asked[tee_id] = {"problem": answer.message}
        else:
            asked[tee_id] = {
                "registry": registry_json(replace(known, entry=answer, active=answer is not None))
            }
    return json.dumps(
        {
            "name": case.name,
            "receipts": [one.document for one in case.receipts],
            "roots": [signing.authority().root_sha256],
            "asked": None if case.asked is None else asked,
            "said": said_of(case, folder),
        }
    )
