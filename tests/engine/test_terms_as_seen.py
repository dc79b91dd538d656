"""Calls under each set of terms that was seen of real gateways, on a simulated network that offers
it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.simnet import RunningSimnet, isolated_home

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt
from opg_magic.protocol.x402 import VALID_AFTER_MARGIN
from opg_magic.settings.config import Settings
from opg_magic.simnet.payment.terms import terms_named

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


def started(net: RunningSimnet, folder: Path, **limits: str) -> Session:
    file = folder / "own.toml"
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in limits.items()))
    settings = Settings(environ={}, user_file=file, project_dir=folder)
    return Session(settings, simulator=lambda _known: net.net.state)


def test_a_session_that_its_host_ended_before_we_thought_is_paid_once(tmp_path: Path):
    """Such a host takes no more calls 120 s before the deadline; by our own reckoning the last may
    end 95 s before."""
    with isolated_home(tmp_path), RunningSimnet(terms=terms_named("2026-07")) as net:
        session = started(
            net, tmp_path, max_cost_per_call="5", max_cost_per_kernel="20", max_cost_per_day="20"
        )
        try:
            first = session.ask(PROMPT, CallOptions(host="anna"))
            (entry,) = session.ledger.open_authorisations()
            (anna,) = (host for host in net.net.hosts if host.name == "anna")
            # The host's clock: inside its last 120 s.
            clock, anna.sessions._clock = (
                anna.sessions._clock,
                lambda: entry.authorisation.deadline - 119,
            )
            second = session.ask(PROMPT, CallOptions(host="anna"))
            anna.sessions._clock = clock
            third = session.ask(PROMPT, CallOptions(host="anna"))
            assert [answer.cost.charge for answer in (first, second, third)] == [Charge.CLAIMED] * 3
            assert "a new authorisation was signed" in second.notes[0]
            assert not first.notes and not third.notes
            # One for the first call, and one for the other two.
            assert len(session.ledger.open_authorisations()) == 2
            session._engines["sim"][1].route.payments.sessions.clear()
            net.settle_now()
            session.reconcile()
            rows = session.receipts()
            assert list(rows["charge"]) == ["charged"] * 3
            assert rows["settled_base_units"].sum() == rows["cost_base_units"].sum()
        finally:
            session.close()


@pytest.fixture(params=["2026-07", "dev8"])
def net(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningSimnet]:
    with isolated_home(tmp_path), RunningSimnet(terms=terms_named(request.param)) as running:
        yield running


def test_a_call_is_made_once_the_limit_allows_the_cap(net: RunningSimnet, tmp_path: Path):
    file = tmp_path / "own.toml"
    session = Session(
        Settings(environ={}, user_file=file, project_dir=tmp_path),
        simulator=lambda _known: net.net.state,
    )
    try:
        terms = net.net.terms
        with pytest.raises(errors.LimitExceeded) as refused:
            session.ask(PROMPT)
        assert session.ledger.open_authorisations() == []
        whole = terms.cap // 10**18
        assert f"opg config max_cost_per_call {whole}" in str(refused.value.hint)
        file.write_text(
            f'max_cost_per_call = "{whole}"\nmax_cost_per_kernel = "20"\nmax_cost_per_day = "20"\n'
        )
        assert session.ask(PROMPT).cost.charge is Charge.CLAIMED
        (entry,) = session.ledger.open_authorisations()
        auth = entry.authorisation
        assert auth.cap == terms.cap
        assert auth.deadline - auth.valid_after - VALID_AFTER_MARGIN == min(terms.deadline, 600)
        (opened,) = session._engines["sim"][1].route.payments.sessions
        assert opened.timing.idle == terms.idle
        # The rest of the cap carries the next call.
        session.ask(PROMPT)
        assert len(session.ledger.open_authorisations()) == 1
    finally:
        session.close()
