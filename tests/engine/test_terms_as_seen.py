"""Calls under each set of terms that was seen of real gateways, on a simulated network that offers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.simnet import RunningSimnet, isolated_home

from opg_magic import errors
from opg_magic.config import Settings
from opg_magic.models import Charge, Prompt
from opg_magic.protocol.x402 import VALID_AFTER_MARGIN
from opg_magic.session import Session
from opg_magic.simnet.terms import terms_named

PROMPT = Prompt(text="What does a TEE protect against?", model="openai/gpt-5")


@pytest.fixture(params=["2026-07", "dev8"])
def net(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningSimnet]:
    with isolated_home(tmp_path), RunningSimnet(terms=terms_named(request.param)) as running:
        yield running


def test_a_call_is_made_once_the_limit_allows_the_cap(net: RunningSimnet, tmp_path: Path):
    file = tmp_path / "own.toml"
    session = Session(
        Settings(environ={}, user_file=file, project_dir=tmp_path), simulator=lambda _known: net.net.state
    )
    try:
        terms = net.net.terms
        with pytest.raises(errors.LimitExceeded) as refused:
            session.ask(PROMPT)
        assert session.ledger.open_authorisations() == []
        whole = terms.cap // 10**18
        assert f"opg config max_cost_per_call {whole}" in str(refused.value.hint)
        file.write_text(f'max_cost_per_call = "{whole}"\nmax_cost_per_kernel = "20"\nmax_cost_per_day = "20"\n')
        assert session.ask(PROMPT).cost.charge is Charge.CLAIMED
        (entry,) = session.ledger.open_authorisations()
        auth = entry.authorisation
        assert auth.cap == terms.cap
        assert auth.deadline - auth.valid_after - VALID_AFTER_MARGIN == min(terms.deadline, 600)
        (opened,) = session._engines["sim"][1]._sessions
        assert opened.timing.idle == terms.idle
        # The rest of the cap carries the next call.
        session.ask(PROMPT)
        assert len(session.ledger.open_authorisations()) == 1
    finally:
        session.close()
