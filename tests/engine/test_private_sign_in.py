"""A private call has one sign-in: it is reserved with it, sent with it, and its receipt says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.simnet import RunningSimnet

from opg_magic import errors
from opg_magic.call.engine import Engine
from opg_magic.call.private import PrivateRoute, RelayedPayments, SealedChannel
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Charge, Prompt
from opg_magic.models.secret import Secret
from opg_magic.network.exchange import RawExchange
from opg_magic.network.ohttp_relay import RelayClient
from opg_magic.settings.sign_in import SignIn
from opg_magic.simnet.oblivious.relay import Relay

PRIVATE = CallOptions(route="private")
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")


@pytest.fixture
def other(honest_simnet: RunningSimnet) -> Iterator[Relay]:
    """A second relay to the same hosts."""
    relay = Relay(lambda: honest_simnet.hosts)
    honest_simnet.run(relay.start())
    yield relay
    honest_simnet.run(relay.stop())


@pytest.fixture
def engine(session: Session) -> Engine:
    """The private route's engine, of a network that names no relay of its own."""
    found = session.engine(PRIVATE)
    found.route._network = replace(found.network, private_relay=None)
    return found


def at(relay: Relay) -> SignIn:
    return SignIn(relay.url, relay.own.token)


def sign_in(engine: Engine, found: SignIn | None) -> None:
    assert isinstance(engine.route, PrivateRoute)
    engine.route._signed_in = lambda: found


def label(relay: Relay) -> str:
    return relay.url.removeprefix("http://")


def test_the_receipt_names_the_relay_of_a_later_sign_in(
    session: Session, engine: Engine, relay: Relay, other: Relay
) -> None:
    for here in (relay, other, relay):
        sign_in(engine, at(here))
        answer = session.ask(PROMPT, PRIVATE)
        assert answer.receipt.document["sealed"]["relay"] == label(here)


def between(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None]) -> None:
    """Do something right before a step of the call."""
    owner, name = {"reserve": (RelayedPayments, "reserve"), "send": (SealedChannel, "send")}[step]
    then = getattr(owner, name)

    async def acted(self, *args, **more):
        act()
        return await then(self, *args, **more)

    monkeypatch.setattr(owner, name, acted)


def events(session: Session) -> list[str]:
    """What the ledger holds of its calls."""
    with sqlite3.connect(session.ledger.path) as db:
        return [kind for (kind,) in db.execute("SELECT kind FROM events ORDER BY seq")]


@pytest.mark.parametrize("step", ["reserve", "send"])
def test_a_token_goes_to_its_own_relay_whenever_one_signs_in_elsewhere(
    session: Session, engine: Engine, relay: Relay, other: Relay,
    monkeypatch: pytest.MonkeyPatch, step: str,
) -> None:  # fmt: skip
    sent: list[tuple[str, str]] = []

    async def send(self: RelayClient, host, body, *, token: Secret[str], **more) -> RawExchange:
        sent.append((self.label, token.reveal()))
        raise AssertionError

    monkeypatch.setattr(RelayClient, "send", send)
    sign_in(engine, at(relay))
    between(monkeypatch, step, lambda: sign_in(engine, at(other)))
    with pytest.raises(errors.SignInNeeded, match="changed while the call was prepared"):
        session.ask(PROMPT, PRIVATE)
    assert sent == []


def test_another_account_at_the_same_relay_is_not_sent_for_either(
    session: Session, engine: Engine, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token would be in no list of what may stand in no receipt."""
    sign_in(engine, at(relay))
    eve = SignIn(relay.url, relay.accounts.open("eve").token)
    between(monkeypatch, "send", lambda: sign_in(engine, eve))
    with pytest.raises(errors.SignInNeeded, match="changed while the call was prepared"):
        session.ask(PROMPT, PRIVATE)


@pytest.mark.parametrize(
    "problem",
    [
        errors.SignInNeeded("it has expired"),
        errors.ConfigError("another relay"),
        errors.WalletError("the keyring did not answer"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_what_fails_before_it_is_sent_gives_its_reservation_back(
    session: Session, engine: Engine, relay: Relay, monkeypatch: pytest.MonkeyPatch, problem
) -> None:
    def refuse() -> None:
        raise problem

    sign_in(engine, at(relay))
    between(monkeypatch, "send", refuse)
    with pytest.raises(type(problem)) as caught:
        session.ask(PROMPT, PRIVATE)
    assert caught.value.charge is Charge.NONE
    assert events(session) == ["relayed", "relayed-unsent", "ended"]


def test_a_call_that_failed_after_it_was_sent_keeps_its_reservation(
    session: Session, engine: Engine, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise errors.CallFailed("it broke", charge=Charge.UNKNOWN)

    sign_in(engine, at(relay))
    between(monkeypatch, "send", fail)
    with pytest.raises(errors.CallFailed) as caught:
        session.ask(PROMPT, PRIVATE)
    assert caught.value.charge is Charge.UNKNOWN
    assert events(session) == ["relayed"]


def test_a_relay_that_the_users_setting_does_not_name_is_refused_before_the_registry_is_read(
    session: Session, relay: Relay, other: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = session.engine(PRIVATE)
    sign_in(engine, at(other))
    monkeypatch.setattr(
        type(engine.route.directory), "snapshot", lambda self: pytest.fail("it was read")
    )
    with pytest.raises(errors.ConfigError, match="your settings name another relay"):
        session.ask(PROMPT, PRIVATE)
