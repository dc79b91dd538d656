"""What cases are made of: a receipt as text, one reader, one policy, and what it must come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support import chains
from support.signing import (
    CHAT,
    PCR_HASH,
    RECEIVED,
    SENT,
    TOOL_CALL,
    TOOLS,
    as_aws,
    signer,
)

from opg_magic.models import (
    Charge,
    Cost,
    Evidence,
    Prompt,
    Trust,
    VerdictStatus,
)
from opg_magic.models.networks import Network
from opg_magic.network.profiles import OPENGRADIENT, REGISTRY_ADDRESS, REGISTRY_CHAIN_ID, simulated
from opg_magic.receipt.build import build_receipt
from opg_magic.receipt.form import digest
from opg_magic.verify import DEFAULT, Policy, judge

V, P, U, F = (
    VerdictStatus.VERIFIED,
    VerdictStatus.PARTIAL,
    VerdictStatus.UNVERIFIED,
    VerdictStatus.FAILED,
)

ANNA, BORIS = signer("anna"), signer("boris")
WITH_TOOLS = {**CHAT, "tools": TOOLS}
CALLS_TEXT = json.dumps([TOOL_CALL], sort_keys=True)
FRAGMENTS = ({"index": 0, **TOOL_CALL},)
ELSEWHERE = "0x" + "99" * 20
WORD = "0x" + "5a" * 32
SIM = simulated(
    registry_rpc="http://127.0.0.1:1",
    payment_rpc="http://127.0.0.1:2",
    facilitator=chains.FACILITATOR,
    run_id="run-1",
    root_sha256="ab" * 32,
)

#: The reader of most cases: the root made here stands for AWS', the registry was asked just now.
ASKING = replace(
    as_aws(), reader=True, asked=frozenset({"registry", "payment", "settlement", "agreement"})
)
#: The same, who asks nobody.
READING = replace(ASKING, asked=frozenset())
#: Who has pinned the code, and so needs no registry.
PINNING = replace(READING, pinned_pcrs=frozenset({PCR_HASH}))
#: Who names registry, relay and senders.
MEANING = replace(
    ASKING,
    registry=(REGISTRY_CHAIN_ID, REGISTRY_ADDRESS),
    relay=(REGISTRY_CHAIN_ID, chains.RELAY),
    relay_senders=frozenset({chains.FACILITATOR}),
)


@dataclass(frozen=True)
class Case:
    """``text`` is the receipt's JSON; ``seen_in``, ``paid_in`` and ``contradicted`` are what only a
    caller knows."""

    name: str
    want: VerdictStatus | None
    text: str
    trust: Trust = ASKING
    policy: Policy = DEFAULT
    seen_in: tuple[str, ...] = ()
    paid_in: tuple[str, ...] = ()
    contradicted: str | None = None
    #: The claims that must have failed, where the case is about that.
    fails: frozenset[str] = field(default_factory=frozenset)


def document_of(found: Evidence, *, network: Network = OPENGRADIENT, **more: Any) -> dict[str, Any]:
    """The document of a receipt over that evidence, by the kernel that made the call."""
    found = replace(found, declared_simulated=network.simulated)
    # Nobody can ask for it any more; receipts that did are read.
    individual = found.settlement_mode == "individual"
    given: dict[str, Any] = {
        "id": "0123456789",
        "created_at": SENT,
        "checked_at": RECEIVED,
        "network": network,
        "prompt": Prompt(
            "Say hi",
            "openai/gpt-5",
            kind=found.request.kind,
            settle="private" if individual else found.settlement_mode,
        ),
        "evidence": found,
        "verdict": judge(found, trust=as_aws()),
        "cost": Cost(
            amount=None, cap=None, charge=found.payment.charge if found.payment else Charge.NONE
        ),
        "kernel": "k1",
        "notebook": "n.ipynb",
        "cell": 1,
    }
    document = build_receipt(**(given | more)).document
    if individual:
        document = redigested(
            {**document, "request": {**document["request"], "settlement": "individual"}}
        )
    return document


def redigested(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "digest": digest(document)}


def written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)


def case(
    name: str,
    want: VerdictStatus,
    found: Evidence,
    trust: Trust = ASKING,
    policy: Policy = DEFAULT,
    *,
    fails: str = "",
    network: Network = OPENGRADIENT,
    **more: Any,
) -> Case:
    claims = frozenset(fails.split())
    return Case(
        name,
        want,
        written(document_of(found, network=network)),
        trust,
        policy,
        fails=claims,
        **more,
    )
