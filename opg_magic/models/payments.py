"""What a host asks to be paid, what is authorised, and what a call would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from opg_magic.models.hosts import Host
from opg_magic.models.money import ModelPrice, Money


@dataclass(frozen=True, slots=True)
class PaymentTerms:
    """One entry of a 402's ``accepts`` that this network allows, with the resource it is for."""

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    max_timeout_seconds: int
    facilitator: str
    accepted: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A Permit2 witness transfer authorisation without its signature: who may take how much, until
    when."""

    chain_id: int
    payer: str
    token: str
    cap: int
    spender: str
    nonce: int
    deadline: int
    pay_to: str
    facilitator: str
    valid_after: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would cost, and who would answer it.  Nothing has been paid or signed."""

    host: Host
    model: str
    model_sent: str
    #: None where a relay pays.
    cap: Money | None
    price: ModelPrice | None
    estimate: Money | None
    token_usd: Decimal | None
    prompt_tokens: int
    max_output_tokens: int | None
    reuses_session: bool
    notes: tuple[str, ...] = ()
