"""Calls in every state that a person can meet, for tests and for the gallery: receipts shaped like
real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from support.receipts import HOST, NOW, SIM, evidence, response
from support.receipts import receipt as make_receipt

from opg_magic.models import (
    Answer,
    Basis,
    Charge,
    Claim,
    Cost,
    ModelPrice,
    Money,
    Problem,
    Prompt,
    Quote,
    Status,
    Verdict,
    VerdictStatus,
)
from opg_magic.network.profiles import OBSERVED_CAP, OPENGRADIENT, OPG, SIM_OPG
from opg_magic.receipt.document import Receipt

TEXT = (
    "It keeps code and data inside a **sealed part of the processor**, so that not even the "
    "machine's owner can read "
    "or change them while they are in use.\n\n1. The enclave is *measured* when it starts.\n"
    "2. Its key is born inside.\n\n"
    "```python\nassert tee_id == keccak256(public_key)\n```\n"
)

PASSED = {
    "request": "The host signed exactly the request that was sent.",
    "response": "The text above is the text that was signed, to the byte.",
    "signature": "Signed by the key of host 27e3…6328 at 2026-11-20 22:10:42 UTC.",
    "freshness": "Signed between sending and receiving; the signature is in no other receipt.",
    "attestation": "The host's signing key and TLS certificate belong to code 0x8082af22… in an "
    "AWS Nitro enclave.",
    "registry": "The host was active in the registry of chain 10740 at block 4,182,077.",
    "channel": "The connection ended in exactly the certificate that the registry names.",
}
ASKED = {"registry", "channel"}


def claims(*changed: Claim) -> dict[str, Claim]:
    made = {
        name: Claim(name, Status.PASSED, Basis.ASKED if name in ASKED else Basis.PROVEN, sentence)  # type: ignore[arg-type]
        for name, sentence in PASSED.items()
    }
    made.update({claim.name: claim for claim in changed})
    return made


PENDING = Claim(
    "settlement",
    Status.PENDING,
    None,
    "Not on the chain yet; usually within 15 minutes.",
    expires=NOW + timedelta(hours=1),
)
TAMPERED = Claim(
    "response",
    Status.FAILED,
    Basis.PROVEN,
    "The text received is not the text that was signed.",
    reason="received text hashes to 5e0c41…; the host signed ee2791…",
    code="output-hash",
)
UNATTESTED = Claim(
    "attestation",
    Status.MISSING,
    None,
    "No attestation of the host's enclave was to be had.",
    reason="none offered",
)
UNSIGNED = Claim(
    "signature",
    Status.MISSING,
    None,
    "The host did not sign this answer.",
    reason="the final frame bears no signature",
)


def cost(token: Any = OPG, charge: Charge = Charge.CLAIMED) -> Cost:
    return Cost(
        amount=Money(4_100_000_000_000_000, token),
        cap=Money(OBSERVED_CAP, token),
        usd=Decimal("0.00041"),
        price=ModelPrice(
            Decimal("1.25"),
            Decimal(10),
            "2026-04",
            "price table of the gateway software, April 2026",
        ),
        token_usd=Decimal("0.1"),
        charge=charge,
    )


def call(
    status: VerdictStatus = VerdictStatus.VERIFIED,
    *changed: Claim,
    text: str | None = TEXT,
    simulated: bool = False,
    withheld: bool | None = None,
    because: tuple[str, ...] = (),
    policy: str = "default",
    charge: Charge = Charge.CLAIMED,
    id: str = "7Q4K2M9XTB",
    judged: bool = True,
    problem: Problem | None = None,
    model: str | None = None,
) -> tuple[Verdict, Receipt, Cost]:
    """A verdict, its receipt and its cost."""
    verdict = Verdict(
        status,
        simulated,
        claims(*changed),
        policy,
        because,
        (status is VerdictStatus.FAILED) if withheld is None else withheld,
    )
    paid = cost(SIM_OPG if simulated else OPG, charge)
    made = evidence(
        "In one sentence: what does a TEE protect against?",
        response(
            text,
            model=model or ("scripted-model" if simulated else "gpt-5-2025-08-07"),
            problem=problem,
        ),
        declared_simulated=simulated,
    )
    receipt = make_receipt(
        id=id,
        created_at=NOW + timedelta(seconds=2),
        network=SIM if simulated else OPENGRADIENT,
        prompt=Prompt(
            text="In one sentence: what does a TEE protect against?", model="openai/gpt-5"
        ),
        evidence=made,
        verdict=verdict if judged else None,
        cost=paid,
        notebook="study.ipynb",
        model_sent="gpt-5",
    )
    return verdict, receipt, paid


def answer(*args: Any, **kwargs: Any) -> Answer:
    text = kwargs.get("text", TEXT)
    verdict, receipt, paid = call(*args, **kwargs)
    return Answer(text=text, verdict=verdict, receipt=receipt, cost=paid)


def failed(**kwargs: Any) -> Answer:
    return answer(
        VerdictStatus.FAILED,
        TAMPERED,
        because=("response: received text hashes to 5e0c41…; signed ee2791…",),
        **kwargs,
    )


def quote(**changes: Any) -> Quote:
    made = Quote(
        host=HOST,
        model="anthropic/claude-sonnet-4-5",
        model_sent="claude-sonnet-4-5",
        cap=Money(OBSERVED_CAP, OPG),
        price=ModelPrice(
            Decimal(3), Decimal(15), "2026-04", "price table of the gateway software, April 2026"
        ),
        estimate=Money(61 * 10**15, OPG),
        token_usd=Decimal("0.1"),
        prompt_tokens=14,
        max_output_tokens=400,
        reuses_session=False,
    )
    return replace(made, **changes)
