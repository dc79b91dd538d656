"""Receipts and their parts for tests, with evidence that is shaped like a real call's but signed by
nobody."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from opg_magic.models import (
    CLAIM_NAMES,
    AttestationEvidence,
    Authorisation,
    Basis,
    ChannelEvidence,
    Charge,
    Claim,
    Cost,
    Evidence,
    Host,
    ModelPrice,
    Money,
    PaymentEvidence,
    Problem,
    Prompt,
    RegistryEvidence,
    RequestEvidence,
    ResponseEvidence,
    Status,
    Verdict,
    VerdictStatus,
)
from opg_magic.network.profiles import OBSERVED_CAP, OPENGRADIENT, SIM_OPG, simulated
from opg_magic.receipt.build import build_receipt
from opg_magic.receipt.document import Receipt, new_id

NOW = datetime(2026, 11, 20, 22, 10, 40, 123456, tzinfo=UTC)

SIM = simulated(
    registry_rpc="http://127.0.0.1:1",
    payment_rpc="http://127.0.0.1:2",
    facilitator="0x" + "fa" * 20,
    run_id="run-1",
    root_sha256="ab" * 32,
)

HOST = Host(
    tee_id="0x27e3" + "0" * 56 + "6328",
    owner="0x" + "01" * 20,
    payment_address="0x" + "22" * 20,
    endpoint="https://127.0.0.1:4000",
    public_key=b"\x30\x82" + b"k" * 292,
    tls_certificate=b"\x30\x82" + b"c" * 900,
    pcr_hash="0x" + "80" * 32,
    tee_type=0,
    enabled=True,
    registered_at=1_700_000_000,
    last_heartbeat_at=2**255,
    ohttp_config={"keyId": 1, "publicKey": b"\x00\xff", "registeredAt": 2**200},
)


def authorisation(
    nonce: int = 2**255 + 7, cap: int = OBSERVED_CAP, *, deadline: int | None = None
) -> Authorisation:
    return Authorisation(
        chain_id=8453,
        payer="0x" + "0a" * 20,
        token=SIM_OPG.address,
        cap=cap,
        spender=SIM.upto_proxy,
        nonce=nonce,
        deadline=deadline if deadline is not None else int(NOW.timestamp()) + 300,
        pay_to=HOST.payment_address,
        facilitator="0x" + "fa" * 20,
        valid_after=0,
    )


def request(text: str = "Say hi.") -> RequestEvidence:
    body = {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0.0,
        "stream": True,
    }
    return RequestEvidence(
        "chat", json.dumps(body, ensure_ascii=False), json.dumps(body, sort_keys=True), "2026-04"
    )


def response(
    text: str | None = "Hi! — ünïcode \u0000 \U0001f600",
    signature: str = "c2lnbmF0dXJl",
    **changes: Any,
) -> ResponseEvidence:
    frame = json.dumps(
        {"tee_signature": signature, "tee_timestamp": 1795212642, "choices": [], "usage": {"x": 1}}
    )
    made = ResponseEvidence(
        stream=True,
        text=text,
        tool_calls=None,
        finish_reason="stop",
        frame=frame,
        raw_sha256=hashlib.sha256(frame.encode()).hexdigest(),
        raw_size=len(frame),
        model="scripted",
        usage={"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46},
    )
    return replace(made, **changes)


def evidence(
    text: str = "Say hi.", answer: ResponseEvidence | None = None, **changes: Any
) -> Evidence:
    made = Evidence(
        request=request(text),
        response=answer or response(),
        sent_at=NOW,
        received_at=NOW + timedelta(seconds=1.8),
        signing_key=HOST.public_key,
        host=HOST,
        attestation=AttestationEvidence(
            document=b"\xd2" + b"d" * 5000, nonce=b"\x01" * 20, fetched_at=NOW
        ),
        registry=RegistryEvidence(
            chain_id=10740,
            contract=SIM.registry_address,
            block_number=4_182_077,
            block_hash="0x" + "bb" * 32,
            block_time=NOW - timedelta(seconds=2),
            entry=HOST,
            active=True,
            pcr_approved=True,
            pcr_version="v1.4.2",
            rpcs=("127.0.0.1:1",),
        ),
        channel=ChannelEvidence(certificate_sha256="cc" * 32, tls_version="TLSv1.3"),
        payment=PaymentEvidence(
            network="eip155:8453",
            authorisation=authorisation(),
            token=SIM_OPG,
            first_call=True,
            charge=Charge.CHARGED,
            estimate=Money(9 * 10**15, SIM_OPG),
        ),
        declared_simulated=True,
    )
    return replace(made, **changes)


def verdict(
    status: VerdictStatus = VerdictStatus.VERIFIED,
    *,
    simulated: bool = True,
    withheld: bool | None = None,
) -> Verdict:
    claims = {}
    for name in CLAIM_NAMES[:7]:
        failed = status is VerdictStatus.FAILED and name == "response"
        claims[name] = Claim(
            name=name,
            status=Status.FAILED if failed else Status.PASSED,
            basis=Basis.PROVEN,
            sentence=f"{name} holds.",
            reason="because" if failed else None,
            facts={"root_sha256": "ab" * 32} if name == "attestation" else {},
        )
    failed = status is VerdictStatus.FAILED
    return Verdict(
        status, simulated, claims, "default", ("why",), failed if withheld is None else withheld
    )


def cost() -> Cost:
    return Cost(
        amount=Money(4_100_000_000_000_000, SIM_OPG),
        cap=Money(OBSERVED_CAP, SIM_OPG),
        usd=Decimal("0.00041"),
        price=ModelPrice(Decimal("1.25"), Decimal("10"), "2026-04-30", "prices.json"),
        token_usd=Decimal("0.1"),
        charge=Charge.CHARGED,
    )


def receipt(**changes: Any) -> Receipt:
    text = changes.pop("text", "Say hi.")
    given: dict[str, Any] = {
        "id": new_id(),
        "created_at": NOW,
        "network": SIM,
        "prompt": Prompt(text=text, model="openai/gpt-5", source=f"%%opg hi\n{text}"),
        "evidence": evidence(text),
        "verdict": verdict(),
        "cost": cost(),
        "kernel": "kernel-1",
        "notebook": "study.ipynb",
        "cell": 3,
        "checked_at": NOW,
    }
    return build_receipt(**{**given, **changes})


def failed_receipt(**changes: Any) -> Receipt:
    """A call that never got a byte of response."""
    nothing = ResponseEvidence(
        stream=True,
        text=None,
        tool_calls=None,
        finish_reason=None,
        frame=None,
        raw_sha256=hashlib.sha256(b"").hexdigest(),
        raw_size=0,
        problem=Problem("timeout", "no answer within 60 s"),
    )
    return receipt(
        evidence=evidence(
            answer=nothing,
            attestation=None,
            registry=None,
            channel=None,
            payment=None,
            host=None,
            signing_key=None,
        ),
        verdict=None,
        cost=None,
        network=OPENGRADIENT,
        **changes,
    )
