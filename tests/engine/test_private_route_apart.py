"""The private route beside the direct one: neither needs, breaks or delays the other."""

from __future__ import annotations

from opg_magic.call.session import Session
from opg_magic.call.state import CallOptions
from opg_magic.models import Prompt

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
