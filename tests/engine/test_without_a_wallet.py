"""Signed in, and without a wallet: a call on the real profile goes through the relay by itself,
asks no payment chain, and leaves a receipt that is checked like any other.

Chains, hosts and relay are the simulated ones; their attestation root is put beside AWS'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call import doctor
from opg_magic.call.session import Session
from opg_magic.models import Charge, Prompt, VerdictStatus
from opg_magic.network import profiles
from opg_magic.notebook.commands import ledger as commands
from opg_magic.settings import sign_in
from opg_magic.settings.config import Settings
from opg_magic.settings.sign_in import SignIn
from opg_magic.wallet import keys

PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def session(
    honest_simnet: RunningSimnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Session]:
    monkeypatch.setenv("OPG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPG_PRIVATE_KEY", raising=False)
    monkeypatch.setattr(keys, "open_wallet", lambda *a, **k: pytest.fail("there is no wallet"))
    roots = honest_simnet.network.simulated_roots
    real = replace(profiles.OPENGRADIENT, simulated_roots=roots)
    monkeypatch.setattr(profiles, "OPENGRADIENT", real)
    file = tmp_path / "config.toml"
    rpc = honest_simnet.net.state["registry_rpc"]
    file.write_text(
        f'network = "opengradient"\nregistry_rpcs = ["{rpc}"]\npayment_rpcs = ["{DEAD}"]\n'
    )
    relay = honest_simnet.net.relay
    before = sign_in.use(lambda _network: SignIn(relay.url, relay.own.token, account="ada"))
    made = Session(Settings(environ={}, user_file=file, project_dir=tmp_path))
    yield made
    made.close()
    sign_in.use(before)


def test_a_call_needs_nothing_but_the_sign_in(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    answer = session.ask(PROMPT)
    assert answer.text.startswith("Yes. 97 is prime")
    assert answer.verdict.outcome is VerdictStatus.VERIFIED
    assert answer.cost.charge is Charge.NONE and answer.cost.cap is None
    document = answer.receipt.document
    assert document["network"]["name"] == "opengradient"
    assert document["sealed"]["relay"] == honest_simnet.net.relay.url.removeprefix("http://")
    assert (document["channel"], document["payment"]) == (None, None)
    assert honest_simnet.net.relay.own.token.reveal() not in json.dumps(document)
    again = session.show("last")
    assert again.text == answer.text


def test_the_ledger_is_looked_at_while_the_kernel_has_it_open(session: Session) -> None:
    """A view that outlives its kernel opens no ledger again."""
    seen = session.overview.ledger_state()
    session.ask(PROMPT)
    asked = session.overview.ledger_state()
    assert asked not in (None, seen) and session.overview.ledger_state() == asked
    assert session.overview.is_up
    session.close()
    assert session.overview.ledger_state() is None


def test_nor_do_a_quote_the_costs_and_the_doctor(session: Session) -> None:
    assert session.quote(PROMPT).cap is None
    session.ask(PROMPT)
    kernel: Any = SimpleNamespace(session=lambda: session)
    assert commands.cost(kernel, []).loc["calls through a relay, today", "limit"] == "500"
    assert session.overview.status()["network"] == "opengradient"
    found = doctor.examine(session, in_notebook=True)
    assert found.ready and found.route == "private", found


def test_a_limit_and_an_expired_sign_in_are_noticed_before_anything_is_sent(
    session: Session, honest_simnet: RunningSimnet
) -> None:
    relay = honest_simnet.net.relay
    made = len(relay.own.made)
    session.settings.set("max_calls_per_day", 0)
    with pytest.raises(errors.LimitExceeded):
        session.ask(PROMPT)
    session.settings.set("max_calls_per_day", 5)
    over = SignIn(relay.url, relay.own.token, expires_at=datetime(2026, 1, 2, tzinfo=UTC))
    sign_in.use(lambda _network: over)
    with pytest.raises(errors.SignInNeeded, match="expired at 2026-01-02"):
        session.ask(PROMPT)
    assert len(relay.own.made) == made
    assert session.ledger.count() == 0
