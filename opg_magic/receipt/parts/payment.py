"""The authorisation that pays for a call, its cost, and what the payment chain showed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opg_magic.models import Authorisation, Charge, Cost, Money, PaymentEvidence, SettlementTx
from opg_magic.models.networks import Token
from opg_magic.receipt.parts.interface import Judged
from opg_magic.receipt.parts.values import clip, iso, label, plain, time_of

COST_BASIS = (
    "usage x price / token price: the host's figure, not signed; at most the cap can be taken"
)


def _write_token(token: Token) -> dict[str, Any]:
    return {
        "symbol": token.symbol,
        "address": token.address,
        "decimals": token.decimals,
        "chain_id": token.chain_id,
    }


def _write_money(money: Money | None) -> dict[str, Any] | None:
    return (
        None if money is None else {"amount": str(money.amount), "token": _write_token(money.token)}
    )


def read_money(d: Mapping[str, Any] | None) -> Money | None:
    """A sum out of its JSON data."""
    return None if d is None else Money(int(d["amount"]), Token(**d["token"]))


def write(judged: Judged) -> dict[str, Any] | None:
    """The authorisation without its signature, and the cost by the host's figures."""
    p = judged.evidence.payment
    if p is None:
        return None
    a = p.authorisation
    cost = judged.cost or Cost(amount=None, cap=None, charge=p.charge)
    price = cost.price
    return {
        "network": p.network,
        # Never the signature: it can be spent.
        "authorisation": {
            "chain_id": a.chain_id,
            "payer": a.payer,
            "token": a.token,
            "cap": str(a.cap),
            "spender": a.spender,
            "nonce": str(a.nonce),
            "deadline": str(a.deadline),
            "pay_to": a.pay_to,
            "facilitator": a.facilitator,
            "valid_after": str(a.valid_after),
        },
        "token": _write_token(p.token),
        "first_call": p.first_call,
        "charge": p.charge.value,
        "cap": _write_money(Money(a.cap, p.token)),
        "estimate": _write_money(p.estimate),
        "cost": _write_money(cost.amount),
        "cost_usd": plain(cost.usd),
        "token_usd": plain(cost.token_usd),
        "price": None
        if price is None
        else {
            "input_usd": plain(price.input_usd),
            "output_usd": plain(price.output_usd),
            "as_of": price.as_of,
            "source": clip(price.source, 1024),
        },
        "basis": COST_BASIS,
        **({} if p.settled is None else {"settled": settled_json(p.settled)}),
    }


def read(document: Mapping[str, Any]) -> PaymentEvidence | None:
    """The authorisation as it is judged, and what the chain showed of it."""
    d = document["payment"]
    if d is None:
        return None
    a = d["authorisation"]
    numbers = ("cap", "nonce", "deadline", "valid_after")
    fields: dict[str, Any] = {k: int(v) if k in numbers else v for k, v in a.items()}
    return PaymentEvidence(
        network=d["network"],
        authorisation=Authorisation(**fields),
        token=Token(**d["token"]),
        first_call=d["first_call"],
        charge=Charge(d["charge"]),
        estimate=read_money(d["estimate"]),
        settled=_read_settled(d.get("settled")),
    )


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


_SETTLED_NUMBERS = ("block_number", "amount", "cap", "nonce", "seen_at_block")


def settled_json(s: SettlementTx) -> dict[str, Any]:
    """What the payment chain showed of an authorisation, as JSON data."""
    return {
        "status": s.status,
        "chain_id": s.chain_id,
        "tx_hash": _lower(s.tx_hash),
        "block_hash": _lower(s.block_hash),
        "block_time": iso(s.block_time) if s.block_time is not None else None,
        "token": s.token,
        "payer": s.payer,
        "payee": s.payee,
        "facilitator": s.facilitator,
        **{name: _digits(getattr(s, name)) for name in _SETTLED_NUMBERS},
        "rpcs": [label(rpc) for rpc in s.rpcs],
        "shared": [{"receipt": receipt, "amount": str(amount)} for receipt, amount in s.shared],
        "remainder": str(s.remainder),
    }


def _read_settled(d: Mapping[str, Any] | None) -> SettlementTx | None:
    if d is None:
        return None
    fields: dict[str, Any] = {k: _number(v) if k in _SETTLED_NUMBERS else v for k, v in d.items()}
    fields |= {
        "block_time": time_of(d["block_time"]) if d["block_time"] is not None else None,
        "rpcs": tuple(d["rpcs"]),
        "shared": tuple((one["receipt"], int(one["amount"])) for one in d["shared"]),
        "remainder": int(d["remainder"]),
    }
    return SettlementTx(**fields)
