"""A table that uses its hosts' caps up: the next session is opened while the one before still
carries calls, and only where the rest needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
from support.simnet import RunningSimnet

import opg_magic
from opg_magic import errors
from opg_magic.call import session as sessions
from opg_magic.call.caps import Caps
from opg_magic.call.paying import UptoPayments
from opg_magic.call.session import Session
from opg_magic.models import Authorisation
from opg_magic.network.profiles import SIM_OPG
from opg_magic.simnet.host.conduct import Honest

ASK = {"model": "openai/gpt-5-mini", "max_tokens": 20, "progress": False}
#: What one of these may cost at worst; about two thirds of it is what one comes to.
WORST = 480 * 10**12
CAP = 24 * WORST


@pytest.fixture(autouse=True)
def small_caps(
    session: Session, honest_simnet: RunningSimnet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr(sessions, "_current", session)
    hosts = honest_simnet.net.hosts
    before = [host._terms for host in hosts]
    for host in hosts:
        host._terms = replace(host._terms, cap=CAP)
    yield
    for host, terms in zip(hosts, before, strict=True):
        host._terms = terms
    honest_simnet.reset()


def data(count: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(count)})


def authorisations(session: Session) -> set[str]:
    """Under which anything was charged."""
    return {
        receipt.document["payment"]["authorisation"]["nonce"]
        for receipt in session.ledger.receipts()
    }


class Opening(Honest):
    """Answers a call that opens a session, but the first one, only once another call has come under
    a session that was open before."""

    def __init__(self) -> None:
        self.opened = 0
        self.joined = asyncio.Event()

    async def before_answer(self, host, request):
        if "X-Upto-Session" in request.headers:
            self.joined.set()
            return
        self.opened += 1
        if self.opened > 1:
            self.joined.clear()
            await self.joined.wait()
        return


def test_the_next_session_is_opened_while_the_one_before_still_carries_calls(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    """All calls waited for the host's answer to the one that opened it."""
    conduct = Opening()

    async def put() -> None:
        honest_simnet.host("anna").play(conduct)

    honest_simnet.run(put())
    ask = ASK | {"host": "anna", "concurrency": 4, "timeout": 20}
    planned = opg_magic.map(data(90), "Is {{n}} prime?", dry_run=True, **ask)
    found = opg_magic.map(data(90), "Is {{n}} prime?", **ask)
    assert found["answer"].notna().all(), set(found["answer_error"])
    assert session.ledger.count() == 90  # nothing was asked twice
    assert conduct.opened == len(authorisations(session)) <= planned.authorisations
    assert conduct.opened > 1


def test_a_session_that_carries_the_rest_is_the_last(session: Session) -> None:
    # They nearly fill the cap; at the end, one more at its worst would not fit beside the others.
    found = opg_magic.map(data(33), "Is {{n}} prime?", host="anna", concurrency=6, **ASK)
    assert found["answer"].notna().all()
    assert len(authorisations(session)) == 1


def test_of_several_hosts_as_many_open_another_session_as_the_rest_needs(
    session: Session,
) -> None:
    """Each of them did."""
    found = opg_magic.map(data(110), "Is {{n}} prime?", hosts=3, concurrency=9, **ASK)
    assert found["answer"].notna().all()
    assert len(authorisations(session)) == 4


@pytest.mark.parametrize("problem", [errors.LimitExceeded, errors.WalletError])
def test_where_the_next_session_may_not_be_opened_the_open_one_is_used_up(
    session: Session, monkeypatch: pytest.MonkeyPatch, problem: type[errors.OpgError]
) -> None:
    authorise, signed = UptoPayments._authorise, []

    async def once(self, call, ready, settings):
        if signed:
            raise problem("no more")
        signed.append(call.id)
        return await authorise(self, call, ready, settings)

    monkeypatch.setattr(UptoPayments, "_authorise", once)
    found = opg_magic.map(data(60), "Is {{n}} prime?", host="anna", concurrency=4, **ASK)
    kept = session.ledger.receipts()
    spent = sum(int(one.document["payment"]["cost"]["amount"]) for one in kept)
    assert CAP - WORST < spent <= CAP
    assert found["answer"].notna().sum() == session.ledger.count()
    assert found["answer_error"].dropna().unique().tolist() == ["not asked: no more"]


def test_no_more_is_signed_ahead_than_was_planned_or_than_the_rest_needs() -> None:
    caps = Caps(planned=2)
    assert not caps.may_open_ahead(0)  # what the rest costs is not known yet
    caps.rest = 10
    assert caps.may_open_ahead(9)
    assert not caps.may_open_ahead(10)
    for nonce in (1, 2):
        with caps.taking(authorisation(nonce), SIM_OPG):
            pass
    assert not caps.may_open_ahead(0)
    assert not Caps().may_open_ahead(0)


def authorisation(nonce: int) -> Authorisation:
    nobody = "0x" + "0" * 40
    return Authorisation(1, nobody, nobody, 5, nobody, nonce, 1, nobody, nobody, 0)
