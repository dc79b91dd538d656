"""A receipt that could not be made afterwards ends the call before it costs anything (attack
42)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions, CallSite
from opg_magic.models import ModelPrice, Prompt


def _unchecked(**fields: Any) -> Prompt:
    """A prompt as the next gap in its own checks would let it through."""
    prompt = Prompt("Is 561 prime?", "openai/gpt-5")
    for name, value in fields.items():
        object.__setattr__(prompt, name, value)
    return prompt


def _nothing_was_begun(session: Session) -> None:
    assert session.ledger.count() == 0
    assert session.ledger.unfinished(include_running=True) == []
    assert session.overview.spending().kernel_reserved.amount == 0
    assert session._engines["sim"][1].hosts.set_aside == {}


UNSAYABLE = [
    {"stream": 0},
    {"stream": 1},
    {"stream": np.bool_(False)},
    {"kind": "Chat"},
    {"kind": None},
    {"settle": "Individual"},
    {"settle": "individual"},
    {"settle": b"private"},
    {"variables": (1,)},
    {"variables": 5},
    {"template": 5},
    {"source": b"x"},
    {"max_tokens": np.int64(5)},
    {"temperature": Decimal("0.5")},
    {"temperature": float("nan")},
    {"stop": (b"x",)},
]


def test_what_no_receipt_can_say_is_not_paid_for(session: Session):
    for fields in UNSAYABLE:
        with pytest.raises((errors.ConfigError, errors.RequestError)):
            session.ask(_unchecked(**fields))
    with pytest.raises(errors.ConfigError, match="no receipt of this call could be made"):
        session.agree(_unchecked(stream=0), hosts=2)
    _nothing_was_begun(session)


def test_a_call_whose_notebook_has_no_name_that_can_be_kept_is_not_paid_for(
    session: Session, monkeypatch
):
    session.overview.hosts()
    engine = session._engines["sim"][1]
    monkeypatch.setattr(engine, "_call_site", lambda: CallSite("kernel", "study.ipynb", cell=-1))
    with pytest.raises(
        errors.ConfigError, match=r"no receipt of this call could be made.*notebook.cell"
    ):
        session.ask(_unchecked())
    _nothing_was_begun(session)


def test_a_price_that_no_receipt_can_say_is_not_paid_for(session: Session, monkeypatch):
    session.overview.hosts()
    nan = ModelPrice(Decimal("NaN"), Decimal(1), "2026-11-20", "a list")
    monkeypatch.setattr(type(session._engines["sim"][1]._prices), "price", lambda *_: nan)
    with pytest.raises(errors.OpgError, match="no receipt of this call could be made"):
        session.ask(_unchecked())
    _nothing_was_begun(session)


def test_a_host_whose_entry_no_receipt_can_hold_is_passed_over(
    session: Session, honest_simnet: RunningSimnet, monkeypatch
):
    session.overview.hosts()
    hosts = session._engines["sim"][1].hosts
    anna = honest_simnet.host("anna").tee_id
    check = hosts.check

    async def with_a_fault(host, *more, **named):
        ready = await check(host, *more, **named)
        if host.tee_id == anna:
            bad = replace(ready.host, tee_type="nitro")
            return replace(ready, host=bad, registry=replace(ready.registry, entry=bad))
        return ready

    monkeypatch.setattr(hosts, "check", with_a_fault)
    with pytest.raises(
        errors.HostUnavailable, match=r"no receipt could be made of a call to host .*tee_type"
    ):
        session.ask(_unchecked(), CallOptions(host=anna))
    _nothing_was_begun(session)
    agreed = session.agree(_unchecked(), hosts=2)
    assert anna not in {answer.receipt.document["host"]["tee_id"] for answer in agreed.answers}


@pytest.mark.parametrize("form", ["0x{}", "{}", "key={}.", '{{"key": "{}"}}'])
def test_a_prompt_that_holds_the_wallets_key_is_not_sent(session: Session, monkeypatch, form: str):
    key = "5a" * 31 + "Fb"
    monkeypatch.setenv("OPG_PRIVATE_KEY", "0x" + key)
    for written in (key, key.upper()):
        with pytest.raises(
            errors.ConfigError, match="your wallet's private key stands in it"
        ) as refused:
            session.ask(Prompt(f"Who owns {form.format(written)}?", "openai/gpt-5"))
        assert key.lower() not in str(refused.value).lower()
    _nothing_was_begun(session)


def test_a_rehearsal_leaves_no_trace(session: Session):
    answer = session.ask(_unchecked())
    assert session.ledger.count() == 1
    assert answer.receipt.document["created_at"] <= answer.receipt.document["sent_at"]
    assert datetime.fromisoformat(answer.receipt.document["received_at"])


def test_what_a_host_brings_is_rehearsed_again_once_it_is_another(session: Session) -> None:
    session.ask(_unchecked())
    engine = session._engines["sim"][1]
    settings = session.engine_settings(engine.network)

    async def rehearsed() -> None:
        snapshot = await engine.hosts.snapshot(settings)
        call = engine.start(_unchecked(), CallOptions(), settings)
        specimen = engine.route.payments.specimen()
        (host, *_) = engine.hosts.in_order(snapshot)
        ready = await engine.hosts.check(host, snapshot, settings)
        rehearse, site = engine._rehearsals.rehearse, CallSite("kernel")
        for _ in range(2):
            public = rehearse(call, ready, specimen, site)
            for stands in (host.endpoint, "Is 561 prime?"):
                assert stands.encode() in public
        with pytest.raises(errors.ConfigError, match="no receipt of this call could be made"):
            rehearse(call, ready, specimen, replace(site, cell=-1))
        bad = replace(host, tee_type="nitro")
        with pytest.raises(errors.HostUnavailable, match="tee_type"):
            rehearse(call, replace(ready, host=bad), specimen, site)
        with pytest.raises(errors.HostUnavailable, match="was not asked"):
            rehearse(call, replace(ready, token_usd=Decimal("NaN")), specimen, site)

    session.run(rehearsed())
