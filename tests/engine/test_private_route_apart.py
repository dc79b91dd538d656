"""The private route beside the direct one: neither needs, breaks or delays the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from opg_magic import errors
from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt
from opg_magic.models.networks import Network
from opg_magic.settings import sign_in
from opg_magic.settings.sign_in import SignIn

PRIVATE = CallOptions(route="private")
DIRECT = CallOptions(route="direct")
PROMPT = Prompt(text="Is 97 prime?", model="openai/gpt-5")


def test_a_private_call_builds_no_direct_engine(session: Session) -> None:
    assert session.ask(PROMPT, PRIVATE).text
    assert session._engines == {}
    first = session.engine(PRIVATE)
    assert session.ask(PROMPT, DIRECT).text
    assert session.engine(PRIVATE) is first


def test_both_routes_know_the_same_prices(session: Session) -> None:
    own = Prompt(text="Is 97 prime?", model="huggingfacetb/smollm2-135m-instruct")
    quotes = [session.quote(own, options) for options in (DIRECT, PRIVATE)]
    assert quotes[0].price is not None
    assert quotes[1].price == quotes[0].price


def test_a_private_call_says_that_the_simulated_network_is_started(session: Session) -> None:
    notes: list[str | None] = []
    session.ask(PROMPT, PRIVATE, lambda progress: notes.append(progress.note))
    assert notes[0] == "starting the simulated network"


@pytest.fixture
def locked() -> Iterator[None]:
    """A sign-in is kept, and its keyring does not open."""

    def refused(_network: Network) -> SignIn | None:
        raise errors.WalletError("the keyring did not answer")

    before = sign_in.use(refused)
    yield
    sign_in.use(before)


def test_who_has_a_wallet_needs_no_keyring(
    session: Session, locked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CallOptions(network="opengradient")
    monkeypatch.setattr(Session, "_has_wallet", lambda self: True)
    assert session.route_of(real) == "direct"
    monkeypatch.setattr(Session, "_has_wallet", lambda self: False)
    with pytest.raises(errors.WalletError, match="keyring did not answer"):
        session.route_of(real)


def test_the_sign_in_is_first_opened_on_the_callers_thread(session: Session) -> None:
    threads: list[int] = []

    def asked(_network: Network) -> SignIn | None:
        threads.append(threading.get_ident())
        return None

    before = sign_in.use(asked)
    try:
        session.ask(PROMPT, PRIVATE)
    finally:
        sign_in.use(before)
    assert threads[0] == threading.get_ident()
