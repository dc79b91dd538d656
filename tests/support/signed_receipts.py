"""Receipts of calls that were really signed and attested, and a reader's look at a file of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import signing
from support.receipts import SIM, authorisation, cost

from opg_magic.audit.judgement import Report, verify_path
from opg_magic.models import Charge, Evidence, PaymentEvidence, Prompt, Trust
from opg_magic.models.networks import Network
from opg_magic.network.profiles import SIM_OPG
from opg_magic.protocol.canonical import CANONICALISER
from opg_magic.receipt.build import build_receipt
from opg_magic.receipt.document import Receipt, new_id
from opg_magic.receipt.form import digest
from opg_magic.verify import DEFAULT, judge

PROMPT = "Say hi"


def signed(
    *,
    text: str = "hi *there*, <b>you</b>",
    prompt: str = PROMPT,
    cell: str | None = None,
    network: Network = SIM,
    trust: Trust | None = None,
    change: Callable[[Evidence], Evidence] = lambda e: e,
    asked: dict[str, Any] | None = None,
    version: str = CANONICALISER,
    **more: Any,
) -> Receipt:
    """A receipt of a call that was really signed, attested under a simulated root, and judged by
    its kernel.

    ``asked`` is put over the request's usual keys; ``version``: the rules by which the host hashed
    it."""
    messages = [{"role": "user", "content": prompt}]
    body = {
        "model": "gpt-5",
        "messages": messages,
        "temperature": 0.0,
        "stream": True,
        **(asked or {}),
    }
    raw = signing.stream(signing.signer(), body, pieces=(text[:3], text[3:]), version=version)
    payment = PaymentEvidence(
        "eip155:8453", authorisation(), SIM_OPG, first_call=True, charge=Charge.CHARGED
    )
    evidence = change(
        replace(
            signing.evidence(raw, body, version=version),
            payment=payment,
            declared_simulated=network.simulated,
        )
    )
    verdict = judge(evidence, trust=trust or signing.live())
    given: dict[str, Any] = {
        "id": new_id(),
        "created_at": signing.SENT,
        "checked_at": signing.RECEIVED,
        "network": network,
        "prompt": Prompt(
            prompt, "openai/gpt-5", source=cell if cell is not None else f"%%opg hi\n{prompt}"
        ),
        "evidence": evidence,
        "verdict": verdict,
        "cost": cost(),
        "kernel": "k1",
        "notebook": "n.ipynb",
        "cell": 1,
    }
    return build_receipt(**{**given, **more})


def redigested(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "digest": digest(document)}


def verify(path: Path, **options: Any) -> Report:
    given: dict[str, Any] = {"policy": DEFAULT, "trust": signing.reader()}
    return verify_path(path, **{**given, **options})


def jsonl(tmp_path: Path, *receipts: Receipt | str) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text(
        "".join((r if isinstance(r, str) else r.to_json()) + "\n" for r in receipts),
        encoding="utf-8",
    )
    return path
